"""That agents learn at all: a claim about every preset."""

import pytest

from tests.helpers import LEARNING, play, preset
from tests.registries import over

COVERAGE = {"neural-linear": 0.78, "laplace-ts": 0.83, "linear-ts": 0.97, "linear-ts-forgetting": 0.97}
"""Of intervals of 90%, where it is not that: the noise of the one comes from the rows that its features were fitted to,
the prior of linear-ts counts as twelve rows of variance 1, and the prior of laplace-ts is narrow."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNING)
def test_every_learning_agent_has_less_than_half_the_regret_of_chance_on_the_wheel(name):
    steps = 1000
    records = play(preset(name), range(16), steps, "vbandits/Wheel-v0", {"delta": 0.5}, recorded=10)
    regret = records[records["step"] == steps - 1]["cumulative_regret"]
    chance = 29.41 * steps  # from the definition: 3/4 of contexts lie beyond delta, where chance misses 39.16
    assert regret.mean() < 0.5 * chance


@over("name", LEARNING, quick=["ibvi", "linear-ts"])
def test_predictions_beat_the_mean_of_past_rewards(name):
    """Scored before the outcome is learned from: the error of the best guess without a context is about 1."""
    records = play(preset(name), range(4), 400, "vbandits/LinearBandit-v0", {"noise": 0.3, "arms": 3})
    late = records[records["step"] >= 200]
    assert late["crps"].mean() < 0.35  # of N(0, 1 + 0.3^2) it is 0.58, of the truth 0.17
    assert (late["pit"].between(0.05, 0.95)).mean() == pytest.approx(COVERAGE.get(name, 0.9), abs=0.07)
