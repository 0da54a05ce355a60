"""Scale and offset of contexts, rewards and targets do not matter: to what is decided, and to scores in their units."""

import contextlib
from functools import cache

import gymnasium
import numpy as np
import pytest
import torch
from learners import arrays

from tests.helpers import LEARNING, preset
from tests.registries import product
from vbandits.agents.agent import Agent
from vbandits.agents.learner import standardiser
from vbandits.agents.replay import NoiseVariance
from vbandits.benchmarks.active.run import run_job
from vbandits.envs.spaces import ObservationSpec
from vbandits.envs.spec import EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve
from vbandits.presets import LEARNERS

POOL = "vbandits/PoolActiveLearning-v0"

STEPS, SEEDS = 45, (0, 1, 2)
SAME = (1.0, 0.0)
UNITS = {
    "rewards in millionths": (SAME, (1e-6, 0.0)),
    "rewards in millions": (SAME, (1e6, 0.0)),
    "rewards far from zero": (SAME, (1.0, 1e6)),
    "rewards small and far": (SAME, (1e-4, -37.0)),
    "time stamps": ((1e5, 1.7e9), SAME),
    "contexts small and far": ((1e-4, -37.0), SAME),
    "all tiny": ((1e-100, 0.0), (1e-100, 0.0)),
    "all huge": ((1e100, 0.0), (1e100, 0.0)),
    "all other": ((1e-3, 1e6), (1e5, -1e9)),
}
"""Scale and offset of contexts, and of rewards."""
FORMS = {
    "one context": (ObservationSpec(3, 4), "shared"),
    "a row for each arm": (ObservationSpec(2, 4, 3), "shared"),
    "a block for each arm": (ObservationSpec(3, 4), "disjoint"),
    "a block for features of each arm": (ObservationSpec(2, 4, 3), "disjoint"),
}


@cache
def played(name, form, of_contexts, of_rewards):
    """Actions [T, R], predictive means and negative log-likelihoods [R, T] of a small linear problem."""
    form, encoding = FORMS[form]
    small = {"every": 5, "gradient_steps": 4, "initial_pulls": 2}
    agent = Agent(preset(name, schedule=small, encoding=encoding), SEEDS, form, STEPS)
    scale, offset = of_rewards
    random = np.random.default_rng(0)
    size = form.features + form.arm_features
    x = random.normal(size=(STEPS, len(SEEDS), form.arms if form.arm_features else 1, size))
    weights, noise = random.normal(size=(size, form.arms)), random.normal(size=(STEPS, len(SEEDS), form.arms))
    mean = (x * weights[:, 0]).sum(3) if form.arm_features else x[:, :, 0] @ weights
    plain = torch.from_numpy(mean + 0.3 * noise)
    given = torch.from_numpy(of_contexts[1] + of_contexts[0] * x)
    actions = []
    for rows, rewards in zip(given, offset + scale * plain, strict=True):
        seen = rows[:, 0]
        if form.arm_features:
            seen = {"context": rows[:, 0, : form.features], "arms": rows[:, :, form.features :]}
        actions.append(agent.act(seen))
        agent.observe(rewards.gather(1, actions[-1].unsqueeze(1)).squeeze(1))
        if agent.due:
            agent.learn()
    assert not agent.diverged.any()
    rows, outputs = agent.recent(STEPS)
    y = np.take_along_axis((offset + scale * plain).numpy(), torch.stack(actions).numpy()[..., None], 2)[..., 0].T
    predictive = agent.predict(rows, outputs)
    return torch.stack(actions), (predictive.mean() - offset) / scale, predictive.nll(y) - np.log(scale)


@product(("name", "form", "units"), LEARNING, FORMS, UNITS)
def test_actions_and_scores_are_those_of_contexts_and_rewards_in_other_units(name, form, units):
    actions, mean, nll = played(name, form, SAME, SAME)
    found, found_mean, found_nll = played(name, form, *UNITS[units])
    assert actions.unique().numel() == 4
    same = (found == actions).all(0).numpy()  # ties within rounding may fall to the other side
    assert same.sum() >= len(SEEDS) - 1
    # training in single precision makes more of what rounding leaves, on one machine more than on another
    tolerance = 5e-3 if units.endswith(("far from zero", "other", "stamps")) else 1e-3
    np.testing.assert_allclose(found_mean[same], mean[same], rtol=0, atol=tolerance)
    np.testing.assert_allclose(found_nll[same], nll[same], rtol=0, atol=20 * tolerance)


EXTREMES = {
    "as far as it goes": (1e149, None),
    "as small as it goes": (1e-138, None),
    "too large": (1e160, "expected contexts and rewards of at most 1e\\+150 in size"),
    "too small": (1e-160, "expected rewards that differ by at least 1e-140"),
}


@pytest.mark.parametrize(("scale", "message"), EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("form", ["one context", "a block for features of each arm"])
def test_what_float64_cannot_square_is_refused(form, scale, message):
    if message is not None:
        with pytest.raises(ValueError, match=message):
            played("linear-ts", form, SAME, (scale, 0.0))
        return
    actions, mean, _ = played("linear-ts", form, SAME, SAME)
    found, found_mean, _ = played("linear-ts", form, (scale, 0.0), (scale, 0.0))
    assert (found == actions).float().mean() > 0.9
    np.testing.assert_allclose(found_mean, mean, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("does", "message"),
    [
        (
            {"reward": 1e200},
            r"in step 0 \(counted from 0, seed 0\): expected the reward to be among numbers of at most",
        ),
        ({"context": -1e200}, r"in step 0 .*: expected the observation to hold numbers of at most 1e\+150 in size"),
        ({"regret": 1e308}, r"in step 0 .*: expected info\['regret'\] to be among numbers of at most .* got 1e\+308"),
    ],
)
def test_what_an_environment_returns_beyond_it_is_told_with_its_step(does, message):
    with contextlib.closing(EnvironmentSpec("it", Huge, does).open(1)) as environment:
        environment.reset(seed=[0])
        with pytest.raises(ValueError, match=message):
            environment.step(torch.tensor([1]))


class Huge(gymnasium.Env):
    """Returns a number that is what it is made with."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, reward=0.0, context=0.0, regret=0.0):
        self.reward, self.context, self.regret = reward, context, regret

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action):
        return np.full(2, self.context), self.reward, False, False, {"regret": self.regret}


@pytest.mark.parametrize(
    ("x", "y", "message"), [(1e200, 1.0, "pool: x"), (1.0, 1e200, "pool: y"), (1.0, 1e-200, "targets")]
)
def test_a_pool_beyond_it_is_refused(x, y, message):
    features, targets = arrays(0, rows=60)
    pool = EnvironmentSpec("p", POOL, {"pool": (x * features.astype(float), y * targets), "budget": 4, "initial": 4})
    document = {"name": "it", "problems": [pool], "learners": [{"id": "linear", "acquisition": "variance"}]}
    with pytest.raises((ValueError, ConfigError), match=message):
        run_job(next(resolve(document | {"seeds": 2, "evaluations": 1}).jobs()))


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


def test_what_was_predicted_before_there_was_a_scale_is_no_part_of_the_noise():
    one, other = NoiseVariance(2, torch.device("cpu")), NoiseVariance(1, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    for step in range(20):
        values = torch.randn(2, 3, generator=random, dtype=torch.float64)
        if step < 5:
            values[1, 1:] = torch.nan
        else:
            other.add(values[1:, 0], values[1:, 1:])
        one.add(values[:, 0], values[:, 1:])
    assert one.standardised(torch.ones(2))[1] == other.standardised(torch.ones(1))[0]
    assert one.standardised(torch.ones(2))[0] != one.standardised(torch.ones(2))[1]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_a_context_that_has_not_varied_yet_moves_by_one_whatever_its_unit(kind, unit):
    agent = Agent(preset("linear-ts", schedule={"every": 1, "initial_pulls": 2}), (0,), ObservationSpec(2, 2), 9)
    for step in range(4):
        agent.act(torch.tensor([[0.5 * step, 3 * unit]], dtype=kind))
        agent.observe(torch.tensor([float(step)]))
        agent.learn()
    x = agent.model.scaling.x(torch.tensor([[[1.0, 3 * unit], [1.0, 4.5 * unit], [1.0, 0.0]]], dtype=kind))
    assert x[0, :, 1].tolist() == [0.0, 1.0, -1.0]
    rows = torch.tensor([[0.5 * step, 3 * unit] for step in range(4)], dtype=kind)
    moved = standardiser(rows, None, torch.float32)(torch.tensor([[1.0, 4.5 * unit], [1.0, 0.0]], dtype=kind))
    assert moved[:, 1].tolist() == [1.0, -1.0]
    assert moved.dtype == torch.float32


@pytest.mark.parametrize("name", ["linear-ts", "ibvi"])
def test_large_contexts_before_the_first_outcome_are_no_divergence(name):
    agent = Agent(preset(name, schedule={"every": 5, "initial_pulls": 0}), (0, 1), ObservationSpec(3, 2), 40)
    random = torch.Generator().manual_seed(0)
    for _ in range(40):
        agent.act(1e9 + 1e8 * torch.randn(2, 3, generator=random, dtype=torch.float64))
        agent.observe(torch.rand(2, generator=random))
        if agent.due:
            agent.learn()
    assert not agent.diverged.any()


SCALES = {
    "tiny": ((1e-100, 0.0), (1e-100, 0.0)),
    "millionths": (SAME, (1e-6, 0.0)),
    "targets far from zero": (SAME, (1.0, 1e6)),
    "time stamps": ((1e5, 1.7e9), (1e5, 0.0)),
    "huge": ((1e100, 0.0), (1e100, 0.0)),
}
"""Scale and offset of features, and of targets."""


@cache
def learned(name, classes, of_features, of_targets):
    """What is measured of a learner in units of the targets, from one label of each class, or one number, on."""
    x, y = arrays(classes, rows=60)
    x = of_features[1] + of_features[0] * x.astype(float)
    scale, offset = (1.0, 0.0) if classes else of_targets
    pool = EnvironmentSpec("p", POOL, {"pool": (x, y if classes else offset + scale * y), "budget": 10, "initial": 1})
    small = {"gradient_steps": 20, "batch_size": 8, "full_steps": 20}
    learner = {"id": name, "acquisition": ["bald" if classes else "variance"], "training": small}
    document = {"name": "it", "problems": [pool], "learners": [learner], "seeds": [0, 1], "evaluations": 1}
    last = run_job(next(resolve(document).jobs())).records.query("round == 10")
    if classes:
        return last[["accuracy", "nll", "brier"]].to_numpy()
    return np.stack([last.rmse / scale, last.nll - np.log(scale), last.crps / scale], 1)


@product(
    ("name", "classes", "units"),
    LEARNERS,
    [0, 3],
    SCALES,
    valid=lambda name, classes, units: not (classes and (name in ("linear", "neural-linear") or "targets" in units)),
)
def test_learners_do_the_same_with_features_and_targets_in_other_units(name, classes, units):
    plain, found = learned(name, classes, SAME, SAME), learned(name, classes, *SCALES[units])
    np.testing.assert_allclose(found, plain, rtol=0.01)
