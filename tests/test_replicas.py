"""Law 1: a seed's result is its own."""

from functools import cache

import pytest
import torch

from tests.helpers import LEARNING, play, preset
from tests.registries import over, product
from vbandits.agents.agent import Agent
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spaces import ObservationSpec
from vbandits.envs.spec import EnvironmentSpec
from vbandits.networks import MLP
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.dropout import Dropout
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ibvi import IBVI
from vbandits.presets import PRESETS
from vbandits.types import Data, Schedule, Task

PROBLEMS = {
    "wheel": ("vbandits/Wheel-v0", {}),
    "digits": ("vbandits/Classification-v0", {"dataset": "digits"}),
}


def of_seed(records, seed):
    return records[records["seed"] == seed].reset_index(drop=True)


@cache
def alone(name, problem, seed):
    return together(name, problem, (seed,))


def together(name, problem, seeds):
    return play(preset(name, schedule={"every": 5, "gradient_steps": 3}), seeds, 60, *PROBLEMS[problem])


@product(("name", "problem", "seeds"), PRESETS, PROBLEMS, [(31, 7, 2), tuple(range(8)), tuple(range(32))], ids=str)
def test_a_seed_is_the_same_alone_and_in_a_block(name, problem, seeds):
    records = together(name, problem, seeds)
    assert of_seed(records, 7).equals(alone(name, problem, 7))
    assert not of_seed(records, 2)["action"].equals(alone(name, problem, 7)["action"])


@over("name", PRESETS, quick=["ibvi", "linear-ts", "ensemble"])
def test_a_short_run_is_the_beginning_of_a_long_one(name):
    spec = preset(name)
    short, long = play(spec, range(3), 80, recorded=200), play(spec, range(3), 130, recorded=200)
    for column in ("action", "reward", "cumulative_regret"):
        assert long[long["step"] < 80][column].tolist() == short[column].tolist()


@pytest.mark.parametrize("posterior", [Deterministic(), IBVI(samples=2), ELBO(), Dropout(0.2)], ids=repr)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_what_is_learned_does_not_depend_on_how_many_learn_beside(activation, posterior):
    """Also of batches and widths that are no multiple of what a processor takes at once."""
    kept = []
    for replicas in (2, 7, 16):
        network = MLP((50, 33), activation=activation).build(3, 5)
        learned = Task(tuple(range(replicas)), 3, 5, network, schedule=Schedule(gradient_steps=5, batch_size=65))
        random = torch.Generator().manual_seed(0)
        x, y = torch.randn(1, 40, 3, generator=random), torch.randn(1, 40, generator=random, dtype=torch.float64)
        output = torch.randint(5, (1, 40), generator=random)
        state = posterior.init(learned)
        posterior.update(state, Data.of(*(part.expand(replicas, *part.shape[1:]) for part in (x, output, y))))
        values = posterior.draw(state, 3)(x[:, :7].expand(replicas, -1, -1))
        kept.append((state.parameters.values[:2], values[:2]))
    assert all(torch.equal(ours, own) for one in kept[1:] for ours, own in zip(kept[0], one, strict=True))


def test_every_agent_meets_the_same_problem():
    first = {}
    for name in ("deterministic", "linear-ts", "ibvi"):  # while arms are pulled in turn, outcomes are the environment's
        records = play(preset(name, schedule={"initial_pulls": 4}), range(3), 20)
        first[name] = records["reward"].tolist()
    assert first["deterministic"] == first["linear-ts"] == first["ibvi"]


def test_a_replica_that_diverges_plays_on_uniformly_and_touches_no_other():
    spec = preset("ibvi")
    agent, healthy = (Agent(spec, (0, 1, 2), ObservationSpec(2, 5), 60) for _ in range(2))
    actions, expected = [], []
    x, action = torch.zeros(3, 2), torch.zeros(3, dtype=torch.long)
    for step in range(60):
        for one, kept in ((agent, actions), (healthy, expected)):
            x = torch.tensor([[0.1 * step, 1.0]] * 3).sin()
            action = one.act(x)
            kept.append(action)
            one.observe((x[:, 0] * action).double())
            if one.due:
                one.learn()
        if step == 20:
            agent.model.state.parameters.detached["mean/1"][1] = float("nan")
    assert agent.diverged.tolist() == [False, True, False]
    actions, expected = torch.stack(actions), torch.stack(expected)
    assert torch.equal(actions[:, [0, 2]], expected[:, [0, 2]])
    assert actions[21:, 1].unique().numel() == 5
    assert agent.predict(x.unsqueeze(1), action.unsqueeze(1)).values[[0, 2]].isfinite().all()


@pytest.mark.parametrize("clip", [10.0, 1e30])
def test_a_diverged_seed_counts_as_a_failure_and_is_not_scored(clip):
    spec = preset("deterministic", optimizer={"learning_rate": 1e9, "clip": clip})
    outcome = run_job(job(EnvironmentSpec("wheel", "vbandits/Wheel-v0"), spec, (0, 1), 60))
    assert outcome.diverged == (0, 1)
    assert outcome.records["cumulative_regret"].notna().all()
    scored = outcome.records[outcome.records["step"] >= 25]
    for column in ("mean", "aleatoric", "epistemic", "nll", "crps", "pit"):
        assert scored[column].isna().all()
    assert scored["thompson"].isna().all()
    assert outcome.held_out is not None
    assert outcome.held_out.drop(columns=["seed", "step", "contexts"]).isna().all(axis=None)


@over("name", LEARNING, quick=["ibvi", "linear-ts", "neural-linear"])
def test_predictions_do_not_know_outcomes_that_are_not_learned_from(name):
    agent = Agent(preset(name), (0, 1), ObservationSpec(2, 3), 60)
    contexts = torch.randn(2, 60, 2, generator=torch.Generator().manual_seed(0))
    for step in range(30):
        action = agent.act(contexts[:, step])
        agent.observe(action.double() + contexts[:, step, 0])
        if agent.due:
            agent.learn()
    action = agent.act(contexts[:, 40])
    asked = contexts[:, 40:41], action.unsqueeze(1)
    before = agent.predict(*asked).nll(torch.ones(2, 1))
    agent.observe(torch.tensor([1e3, -1e3], dtype=torch.float64))
    assert (agent.predict(*asked).nll(torch.ones(2, 1)) == before).all()
    agent.learn()
    assert (agent.predict(*asked).nll(torch.ones(2, 1)) != before).all()


@pytest.mark.parametrize("name", ["linear-ts", "deterministic"])
def test_where_contexts_and_rewards_lie_does_not_matter(name):
    """A column of large numbers, as a time stamp is, must not cost its digits."""
    right = []
    for offset in (0.0, 2.0**20):  # exact in float32, for values in steps of 1/8
        agent = Agent(preset(name), (0,), ObservationSpec(1, 2), 80)
        contexts = torch.randint(1, 9, (80, 1, 1), generator=torch.Generator().manual_seed(0)) / 8
        contexts = contexts * torch.tensor([1.0, -1.0]).repeat(40)[:, None, None]  # arm 1 pays for positive ones
        correct = 0
        for step, x in enumerate(contexts):
            action = agent.act(x + offset)
            agent.observe((2 * x[:, 0] * (2 * action - 1)).double() + offset)
            correct += step >= 40 and action.item() == int(x.item() > 0)
            if agent.due:
                agent.learn()
        right.append(correct)
    assert min(right) >= 36
