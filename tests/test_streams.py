import numpy as np
import pytest
import torch

from vbandits.streams import BLOCK, Stream, generator


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
