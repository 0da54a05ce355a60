"""Rewards of zeros and ones, and noise that depends on arm and context."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers import play
from vbandits.agents.agent import AgentSpec
from vbandits.agents.rules import Thompson
from vbandits.envs import HeteroscedasticBandit, LogisticBandit
from vbandits.posteriors.linear import Linear
from vbandits.streams import Stream


def test_log_odds_are_linear_with_the_scale_and_bias_that_are_asked_for():
    for seed in range(5):
        x, probability, *_ = next(LogisticBandit(features=4, scale=2.0, bias=-1.5).blocks(seed))
        log_odds = np.log(probability) - np.log1p(-probability)
        inputs = np.column_stack([x, np.ones(len(x))])
        weights, *_ = np.linalg.lstsq(inputs, log_odds, rcond=None)
        np.testing.assert_allclose(inputs @ weights, log_odds, atol=1e-8)
        np.testing.assert_allclose(np.linalg.norm(weights[:-1], axis=0), 2.0, atol=1e-8)
        np.testing.assert_allclose(weights[-1], -1.5, atol=1e-8)


def test_clicks_are_zeros_and_ones_as_often_as_the_probability_says():
    blocks = [next(LogisticBandit().blocks(seed)) for seed in range(100)]
    probability = np.concatenate([block.expected for block in blocks]).ravel()
    rewards = np.concatenate([block.rewards for block in blocks]).ravel()
    assert set(rewards) == {0.0, 1.0}
    for rank in np.array_split(np.argsort(probability), 10):
        error = np.sqrt((probability[rank] * (1 - probability[rank])).sum()) / len(rank)
        assert rewards[rank].mean() == pytest.approx(probability[rank].mean(), abs=4 * error)
    assert probability.min() < 0.01
    assert probability.max() > 0.99


def test_clicks_of_different_arms_are_independent_given_the_context():
    blocks = [next(LogisticBandit(scale=0.01, arms=2).blocks(seed)) for seed in range(100)]
    rewards = np.concatenate([block.rewards for block in blocks])
    assert abs(np.corrcoef(rewards.T)[0, 1]) < 4 / np.sqrt(len(rewards))


def test_the_less_an_arm_pays_the_noisier_it_is():
    blocks = [next(HeteroscedasticBandit(quiet=0.2, loud=3.0).blocks(seed)) for seed in range(200)]
    expected = np.concatenate([block.expected for block in blocks]).ravel()
    noise = np.concatenate([block.rewards for block in blocks]).ravel() - expected
    ranks = np.array_split(np.argsort(expected), 20)
    for rank in ranks:
        asked = np.sqrt(np.mean((0.2 + 2.8 * stats.norm.sf(expected[rank])) ** 2))
        assert noise[rank].std() == pytest.approx(asked, rel=4 / np.sqrt(2 * len(rank)) * 1.5)
    # uniform from 0.2 to 3.0, so that each of 20 parts is 0.14 wide: loud where it pays least
    assert noise[ranks[0]].std() == pytest.approx(3.0 - 0.07, rel=0.02)
    assert noise[ranks[-1]].std() == pytest.approx(0.2 + 0.07, rel=0.05)


@dataclass(frozen=True)
class NoiseIsDoubt(Linear):
    """The exact posterior with a mistake: every value that is drawn has the noise of an observation on top.

    Attributes:
        quiet: with `loud`, the environment's own, to add the true noise of arm and context.
        loud: 0 to add the posterior's estimate, one per arm.
    """

    quiet: float = 0.0
    loud: float = 0.0

    def init(self, task):
        state = super().init(task)
        state.mistake = Stream(task.seeds, "noise that is no doubt", device=task.device, dtype=torch.float64)
        return state

    def draw(self, state, draws):
        function = super().draw(state, draws)

        def mistaken(x):
            values = function(x)
            own = (state.rate / state.shape).sqrt()[:, None, None]
            known = self.quiet + (self.loud - self.quiet) * torch.special.ndtr(-values)
            return values + (known if self.loud else own) * state.mistake.normal(*values.shape[1:])

        return mistaken


@pytest.mark.slow
def test_thompson_sampling_that_takes_noise_for_ignorance_never_stops_exploring():
    """Regret of 200 decisions, after 200 and after 400. Raw rewards, so that the true noise can be added as it is."""
    later, latest = {}, {}
    posteriors = {"exact": Linear(), "own": NoiseIsDoubt(), "true": NoiseIsDoubt(quiet=0.1, loud=2.0)}
    for name, posterior in posteriors.items():
        agent = AgentSpec(name, posterior, Thompson(), standardize=False)
        records = play(agent, range(8), 601, "vbandits/HeteroscedasticBandit-v0", recorded=4)
        at = {
            step: records.loc[records["step"] == step, "cumulative_regret"].to_numpy().mean()
            for step in (200, 400, 600)
        }
        later[name], latest[name] = at[400] - at[200], at[600] - at[400]
    assert latest["exact"] < 0.7 * later["exact"], "one that tells the two apart explores less and less"
    for mistaken in ("own", "true"):
        assert latest[mistaken] > 0.8 * later[mistaken], "one that does not goes on"
    assert latest["own"] > 3 * latest["exact"]
    assert latest["true"] > 5 * latest["exact"]
