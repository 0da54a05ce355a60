import numpy as np
import pytest
import torch
from scipy import stats

import vbandits
from vbandits import philox, streams
from vbandits.state import Known, put, take
from vbandits.streams import BLOCK, Stream, generator


@pytest.fixture(autouse=True, params=["by NumPy", "by place"])
def made(request, monkeypatch):
    """How numbers are made: on a CPU, and on a GPU."""
    monkeypatch.setattr(streams, "BY_PLACE", {"cpu"} if request.param == "by place" else set())
    return request.param


def test_two_draws_are_one_longer_draw():
    whole = Stream([3], "test").normal(40)
    parts = Stream([3], "test")
    assert torch.equal(whole, torch.cat([parts.normal(7), parts.normal(33)], 1))


def test_draws_across_a_block_are_one_sequence():
    whole = Stream([3], "test").normal(2 * BLOCK + 10)
    parts = Stream([3], "test")
    pieces = [parts.normal(BLOCK - 5), parts.normal(10), parts.normal(BLOCK + 5)]
    assert torch.equal(whole, torch.cat(pieces, 1))


def test_a_seed_draws_the_same_numbers_alone_and_among_others():
    together = Stream(range(32), "test").normal(5, 3)
    assert torch.equal(together[7:8], Stream([7], "test").normal(5, 3))


def test_seeds_and_purposes_differ():
    numbers = {tuple(generator(seed, purpose).random(3)) for seed in range(5) for purpose in ("a", "b")}
    assert len(numbers) == 10


def test_normal_numbers_are_standard():
    for dtype in (torch.float32, torch.float64):
        numbers = Stream([0, 1], "test", dtype=dtype).normal(50_000)
        assert numbers.dtype == dtype
        assert numbers.mean(1).abs().max() < 4 / 50_000**0.5
        assert (numbers.var(1) - 1).abs().max() < 4 * (2 / 50_000) ** 0.5


def test_integers_cover_their_range_evenly_and_stay_below_it():
    numbers = Stream([0], "test").integers(3, 30_000)
    counts = np.bincount(numbers[0].numpy(), minlength=3)
    assert len(counts) == 3
    assert np.abs(counts - 10_000).max() < 4 * (30_000 * 2 / 9) ** 0.5


def test_a_stream_gives_one_kind_of_number():
    stream = Stream([0], "test")
    stream.normal(1)
    with pytest.raises(ValueError, match="one kind of number"):
        stream.uniform(1)


def test_no_numbers_are_a_shape_too():
    assert Stream([0, 1], "test").normal(64, 0).shape == (2, 64, 0)


def test_words_are_those_that_were_published():
    """Known answers of Philox 4x32-10, of the authors' Random123."""
    for key, place, expected in (
        ((0, 0), 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xA4093822, 0x299F31D0), None, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ):
        keys = torch.tensor([key, (1, 2)])
        if place is None:  # that the block begins with other words than a place has
            found = philox.mixed(keys, torch.tensor([[0x243F6A88], [0x85A308D3], [0x13198A2E], [0x03707344]]))
        else:
            found = philox.words(keys, place, 3)
        assert " ".join(f"{word:08x}" for word in found[:, 0, 0].tolist()) == expected


def test_numbers_by_place_are_those_of_longer_and_shorter_blocks(monkeypatch):
    keys = torch.tensor([[3, 4], [5, 6]])
    whole = philox.words(keys, 2**32 - 2, 5)
    assert torch.equal(whole, torch.cat([philox.words(keys, 2**32 - 2, 3), philox.words(keys, 2**32 + 1, 2)], 2))
    assert whole.unique().numel() == whole.numel()
    monkeypatch.setattr(streams, "BY_PLACE", {"cpu"})
    together = Stream([3, 4, 5], "test").normal(3000)
    monkeypatch.setattr(philox, "BLOCKS", 200)
    assert torch.equal(together, Stream([3, 4, 5], "test").normal(3000))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_have_their_distribution(dtype):
    stream, other = Stream(range(20), "test", dtype=dtype), Stream(range(20), "other")
    normal, uniform = stream.normal(20_000), other.uniform(20_000)
    assert (uniform >= 0).all()
    assert (uniform < 1).all()
    assert stats.kstest(normal.double().flatten().numpy(), "norm").pvalue > 0.01
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(normal.numpy()) - np.eye(20)).max() < 5 / 20_000**0.5
    assert abs(np.corrcoef(normal[:, :-1].flatten(), normal[:, 1:].flatten())[0, 1]) < 4 / 400_000**0.5
    assert abs(np.corrcoef(normal.square()[:, ::2].flatten(), normal.square()[:, 1::2].flatten())[0, 1]) < 0.01


def test_a_stream_goes_on_where_it_was_also_on_another_kind_of_device(monkeypatch):
    stream = Stream([3, 7], "test")
    stream.normal(5000)
    state = take(stream, Known(()))
    monkeypatch.setattr(streams, "BY_PLACE", set())  # a GPU's agent on a CPU
    other = put(Stream([3, 7], "test"), state, Known(()))
    assert torch.equal(other.normal(6000), stream.normal(6000))


def test_agents_learn_from_such_numbers_each_seed_by_itself():
    how = {"steps": 40, "device": "cpu", "workers": 1}
    both = vbandits.run("vbandits/Wheel-v0", ["ibvi", "linear-ts"], seeds=[0, 1, 2], **how)
    alone = vbandits.run("vbandits/Wheel-v0", ["ibvi", "linear-ts"], seeds=[1], **how)
    ours = both.records[both.records["seed"] == 1].reset_index(drop=True)
    assert ours.equals(alone.records.reset_index(drop=True))
