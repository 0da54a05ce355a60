"""Mushroom, Jester and Financial: what they pay."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vbandits.data import load
from vbandits.data.folder import VARIABLE
from vbandits.envs import Classification, Financial, Jester, Mushroom
from vbandits.envs.base import BLOCK
from vbandits.envs.epochs import shuffled_epochs
from vbandits.envs.spec import EnvironmentSpec

DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")
needs_mushroom = pytest.mark.skipif(not (DATA / "mushroom").is_dir(), reason=f"needs the files in {DATA}/mushroom")


def steps(environment, seed, count=4):
    """Returns the first blocks of a lane, joined: contexts, expected and realised rewards."""
    lane = environment.blocks(seed)
    blocks = [next(lane) for _ in range(count)]
    return (np.concatenate([getattr(block, part) for block in blocks]) for part in ("contexts", "expected", "rewards"))


@pytest.mark.usefixtures("standins")
def test_mushrooms_pay_as_published():
    environment = Mushroom()
    labels = environment.dataset.labels
    assert labels is not None
    rows, expected, rewards = (
        np.concatenate(part) for part in zip(*(steps(environment, seed) for seed in range(20)), strict=True)
    )
    poisonous = labels[rows] == 1
    assert (expected[:, 0] == 0).all()
    assert (rewards[:, 0] == 0).all()
    assert (expected[~poisonous, 1] == 5).all()
    assert (rewards[~poisonous, 1] == 5).all()
    assert (expected[poisonous, 1] == -15).all()
    assert set(rewards[poisonous, 1]) == {5, -35}
    lucky = (rewards[poisonous, 1] == 5).mean()
    assert lucky == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(poisonous.sum()))


@needs_mushroom
def test_playing_mushrooms_at_random_loses_4_91_per_step():
    dataset = load("mushroom", DATA)
    assert dataset.labels is not None
    poisonous = dataset.labels.mean()
    exact = (1 - poisonous) * 2.5 + poisonous * 7.5
    assert exact == pytest.approx(4.91, abs=0.001)
    environment = Mushroom(32, data_dir=str(DATA))
    environment.reset(seed=list(range(32)))
    random, lost = np.random.default_rng(0), []
    for _ in range(500):
        info = environment.step(torch.from_numpy(random.integers(2, size=32)))[4]
        lost.append((info["optimal_expected_reward"] - info["expected_reward"]).numpy())
    error = np.std(lost) / np.sqrt(np.size(lost))
    assert error < 0.06
    assert np.mean(lost) == pytest.approx(exact, abs=4 * error)


@needs_mushroom
def test_contexts_are_the_rows_of_the_pool():
    environment = Mushroom(2, data_dir=str(DATA))
    contexts, _ = environment.reset(seed=[4, 5])
    assert contexts.dtype == torch.float32
    rows = [next(environment.blocks(seed)).contexts[0] for seed in (4, 5)]
    np.testing.assert_array_equal(contexts.numpy(), environment.dataset.features[rows])


@pytest.mark.usefixtures("standins")
def test_jokes_are_paid_by_their_rating_and_split_by_seed():
    environment = Jester()
    ratings = environment.dataset.features
    arms = set()
    for seed in range(5):
        contexts, expected, rewards = steps(environment, seed, 1)
        np.testing.assert_array_equal(expected, rewards)
        person = next(shuffled_epochs(seed, len(ratings)))
        both = np.concatenate([contexts, rewards], 1)
        np.testing.assert_array_equal(np.sort(both, 1), np.sort(ratings[person], 1).astype(np.float64))
        columns = [np.flatnonzero((ratings[person] == paid[:, None]).all(0))[0] for paid in rewards.T]
        assert len(set(columns)) == 8, "the same jokes for everybody"
        arms.add(tuple(columns))
    assert len(arms) == 5
    assert environment.notes == environment.dataset.notes


@pytest.mark.usefixtures("standins")
def test_portfolios_are_unit_weights_of_the_day_with_noise_of_their_own():
    environment = Financial()
    days, weights = environment.dataset.features, []
    noise = []
    for seed in range(20):
        rows, expected, rewards = steps(environment, seed)
        found, *_ = np.linalg.lstsq(days[rows].astype(float), expected, rcond=None)
        np.testing.assert_allclose(days[rows] @ found, expected, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-9)
        weights.append(found)
        noise.append(rewards - expected)
    spread = np.concatenate(noise).std(0)
    wanted = 0.01 * np.arange(1, 9)
    np.testing.assert_allclose(spread, wanted, rtol=4 / np.sqrt(2 * 20 * 4 * BLOCK))
    assert np.std(weights, 0).min() > 0.05, "drawn for each seed"
    # uniform numbers have a fourth moment of 9 / 5 of their squared variance, normal ones of 3; scaled to length 1, the
    # variance of 21 weights is 1 / 21
    kurtosis = np.mean(np.power(weights, 4)) * 21**2
    assert kurtosis == pytest.approx(1.8, abs=0.2)
    assert Financial(noise=0.0).arms == 8
    with pytest.raises(ValueError, match="noise: expected a standard deviation"):
        Financial(noise=-1.0)


@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("make", [Mushroom, Jester, Financial])
def test_a_noisy_optimum_is_what_the_best_arm_would_have_paid(make):
    environment = make(3, noisy_optimum=True)
    seeds = [7, 8, 9]
    environment.reset(seed=seeds)
    blocks = [next(environment.blocks(seed)) for seed in seeds]
    for step in range(100):
        _, reward, _, _, info = environment.step(torch.tensor([step % environment.arms] * 3))
        for lane, block in enumerate(blocks):
            best = block.rewards[step, block.expected[step].argmax()]
            assert reward[lane] == block.rewards[step, step % environment.arms]
            assert info["regret"][lane] == best - reward[lane]
            if make is Jester:
                assert info["regret"][lane] == info["optimal_expected_reward"][lane] - info["expected_reward"][lane]


def test_passes_go_through_all_rows_before_any_returns():
    lane = shuffled_epochs(3, 300)
    rows = np.concatenate([next(lane) for _ in range(8)])
    assert [sorted(rows[start : start + 300]) for start in range(0, 1800, 300)] == [list(range(300))] * 6
    assert (rows[:300] != rows[300:600]).any()
    assert (next(shuffled_epochs(4, 300)) != rows[:BLOCK]).any()


def test_the_data_directory_of_a_spec_is_handed_on_unless_kwargs_have_it(standins, monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE)
    assert EnvironmentSpec("it", "vbandits/Mushroom-v0", data_dir=str(standins)).open(2).arms == 2
    assert EnvironmentSpec("it", "vbandits/Financial-v0", data_dir=str(standins)).single().action_space.n == 8
    given = EnvironmentSpec("it", "vbandits/Jester-v0", {"data_dir": str(standins)}, data_dir=str(tmp_path))
    assert given.open(1).arms == 8
    with pytest.raises(ValueError, match="data_dir: expected a folder that exists"):
        EnvironmentSpec("it", "vbandits/Jester-v0", data_dir=str(tmp_path / "nowhere")).open(1)
    assert EnvironmentSpec("it", "vbandits/Wheel-v0", data_dir=str(tmp_path)).open(1).arms == 5


@pytest.mark.usefixtures("standins")
def test_a_dataset_without_classes_is_not_classified():
    with pytest.raises(ValueError, match=r"expected classes, which jester has not: it is for vbandits/Jester-v0"):
        Classification(dataset="jester")


@pytest.mark.usefixtures("standins")
def test_notes_say_what_was_done_to_the_rows():
    assert "left out" in Classification(dataset="adult").notes[0]
    assert "level of its own" in Mushroom().notes[0]
