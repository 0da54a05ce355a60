"""Problems that change: when, by how much, and what stays the same."""

import itertools

import numpy as np
import pytest

from vbandits.envs import AbruptBandit, DriftingBandit
from vbandits.envs.base import BLOCK
from vbandits.streams import generator


def steps_of(environment, seed, blocks):
    """Returns contexts [T, D], expected rewards and rewards [T, A] of the first blocks."""
    parts = [block[:3] for block in itertools.islice(environment.blocks(seed), blocks)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def misfit(x, expected):
    """Returns the largest error of the best linear function, and its weights [D, A]."""
    weights, *_ = np.linalg.lstsq(x, expected, rcond=None)
    return np.abs(x @ weights - expected).max(), weights


@pytest.mark.parametrize("period", [BLOCK, 300, 40])
def test_weights_are_redrawn_at_the_very_step_and_at_no_other(period):
    x, expected, _ = steps_of(AbruptBandit(features=4, arms=3, period=period), 5, 4)
    regimes = []
    for start in range(0, len(x) - period + 1, period):
        rows = slice(start, start + period)
        error, weights = misfit(x[rows], expected[rows])
        assert error < 1e-10, "nothing changes within a period"
        np.testing.assert_allclose(np.linalg.norm(weights, axis=0), 1, atol=1e-9)
        regimes.append(weights)
        if start + period < len(x):
            error, _ = misfit(x[start : start + period + 1], expected[start : start + period + 1])
            assert error > 1e-3, "the first step after it is of another regime"
    assert len(regimes) >= 3
    for one, other in itertools.combinations(regimes, 2):
        assert (np.abs(one - other).max(0) > 0.01).all(), "every arm's weights are new"


def test_regimes_are_independent():
    first, second = [], []
    for seed in range(300):
        weights = AbruptBandit(features=3, arms=4, period=2).weights(generator(seed, "test"))
        one, same, other = itertools.islice(weights, 3)
        assert np.array_equal(one, same)
        first.append(one)
        second.append(other)
    product = (np.stack(first) * np.stack(second)).sum(1)  # cosines of 1,200 pairs
    assert abs(product.mean()) < 4 * product.std() / np.sqrt(product.size)


def paths(rate, blocks, arms=4000):
    """Returns independent paths of a weight [T, arms]: with one feature, what is expected over the context."""
    x, expected, _ = steps_of(DriftingBandit(features=1, arms=arms, rate=rate), 0, blocks)
    return expected / x


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 1.0])
def test_drifting_weights_keep_their_law_and_forget_at_the_rate_that_is_asked_for(rate):
    """Of a correlation c between N pairs, the standard error is (1 - c^2) / sqrt(N); of a variance sqrt(2 / N)."""
    w = paths(rate, 3)
    error = 1 / np.sqrt(w.shape[1])
    for step in (0, 1, BLOCK - 1, BLOCK, 3 * BLOCK - 1):
        assert abs(w[step].mean()) < 4 * error
        assert w[step].var() == pytest.approx(1, abs=4 * np.sqrt(2) * error)
    for start, lag in ((0, 1), (100, 100), (BLOCK - 1, 1), (0, 2 * BLOCK)):
        exact = np.exp(-rate * lag)
        found = np.corrcoef(w[start], w[start + lag])[0, 1]
        assert found == pytest.approx(exact, abs=4 * (1 - exact**2) * error + 1e-12)


def test_drifting_weights_have_length_one_on_average_and_coordinates_drift_apart():
    environment = DriftingBandit(features=5, arms=800, rate=0.01)
    weights = np.stack(list(itertools.islice(environment.weights(generator(1, "test")), 200)))  # [T, D, A]
    for step in (0, 199):
        square = np.square(weights[step]).sum(0)
        assert square.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 5 / 800))
    moved = weights[199] - weights[0]
    assert np.abs(np.corrcoef(moved)[np.triu_indices(5, 1)]).max() < 4.5 / np.sqrt(800), "each on its own"


@pytest.mark.parametrize("make", [AbruptBandit, DriftingBandit])
def test_rewards_have_the_noise_that_is_asked_for(make):
    _, expected, rewards = steps_of(make(noise=[0.1, 0.2, 0.3, 0.4, 2.0]), 3, 20)
    np.testing.assert_allclose((rewards - expected).std(0), [0.1, 0.2, 0.3, 0.4, 2.0], rtol=4 / np.sqrt(2 * 20 * BLOCK))
