"""Neither the scale nor the offset of rewards matters: what an agent does, and its scores in units of the reward."""

from functools import cache

import numpy as np
import pytest
import torch

from tests.helpers import LEARNING, preset
from tests.registries import product
from vbandits.agents.agent import Agent
from vbandits.agents.replay import NoiseVariance
from vbandits.envs.spaces import ObservationSpec

STEPS, SEEDS = 70, (0, 1, 2)
UNITS = {
    "millionths": (1e-6, 0.0),
    "millions": (1e6, 0.0),
    "far from zero": (1.0, 1e6),
    "small and far": (1e-4, -37.0),
}


@cache
def played(name, scale, offset):
    """Actions [T, R], predictive means and negative log-likelihoods [R, T] of a small linear problem."""
    spec = preset(name, schedule={"every": 5, "gradient_steps": 4, "initial_pulls": 2})
    agent = Agent(spec, SEEDS, ObservationSpec(3, 4), STEPS)
    random = np.random.default_rng(0)
    contexts = torch.from_numpy(random.normal(size=(STEPS, len(SEEDS), 3))).float()
    weights, noise = random.normal(size=(3, 4)), random.normal(size=(STEPS, len(SEEDS), 4))
    plain = torch.from_numpy(contexts.double().numpy() @ weights + 0.3 * noise)
    actions = []
    for context, rewards in zip(contexts, offset + scale * plain, strict=True):
        actions.append(agent.act(context))
        agent.observe(rewards.gather(1, actions[-1].unsqueeze(1)).squeeze(1))
        if agent.due:
            agent.learn()
    x, outputs = agent.recent(STEPS)
    y = (offset + scale * plain).numpy().swapaxes(0, 1)
    taken = np.take_along_axis(y, outputs.numpy()[..., None], 2)[..., 0]
    predictive = agent.predict(x, outputs)
    return torch.stack(actions), (predictive.mean() - offset) / scale, predictive.nll(taken) + np.log(1 / scale)


@product(("name", "units"), LEARNING, UNITS)
def test_actions_and_scores_are_those_of_rewards_in_other_units(name, units):
    scale, offset = UNITS[units]
    actions, mean, nll = played(name, 1.0, 0.0)
    found, found_mean, found_nll = played(name, scale, offset)
    assert actions.unique().numel() == 4
    same = (found == actions).all(0).numpy()  # ties within rounding may fall to the other side
    assert same.sum() >= len(SEEDS) - 1
    tolerance = 1e-3 if abs(offset) > 1e3 else 1e-4
    np.testing.assert_allclose(found_mean[same], mean[same], rtol=0, atol=tolerance)
    np.testing.assert_allclose(found_nll[same], nll[same], rtol=0, atol=20 * tolerance)


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_the_noise_is_estimated_in_units_of_the_rewards(scale):
    estimates = []
    for unit in (1.0, scale):
        noise = NoiseVariance(2, torch.device("cpu"))
        random = torch.Generator().manual_seed(0)
        for _ in range(50):
            values = torch.randn(2, 3, generator=random, dtype=torch.float64) * unit
            noise.add(values[:, 0], values[:, 1:])
        estimates.append(noise.standardised(torch.full((2,), unit)))
    torch.testing.assert_close(*estimates, rtol=1e-12, atol=0)
