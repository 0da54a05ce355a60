"""The Python side: `vbandits.run`, a user's own agents, posteriors, rules, networks and environments."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import vbandits
from vbandits.agents import Thompson
from vbandits.envs.wheel import Wheel
from vbandits.networks import Module
from vbandits.posteriors.ibvi import IBVI
from vbandits.predictive import Mixture
from vbandits.types import Optimizer


class Coin(gymnasium.Env):
    """Arm 1 pays 1, arm 0 nothing."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        info = {"expected_reward": int(action), "optimal_expected_reward": 1}
        return np.zeros(1, np.float32), float(action), True, False, info


@dataclass(frozen=True)
class RunningMean:
    """A posterior as a user would write it: the mean reward of each output, with a spread that falls as 1 / sqrt(n)."""

    spread: float = 1.0

    def init(self, task):
        zeros = torch.zeros(len(task.seeds), task.outputs)
        return {"mean": zeros, "count": zeros + 1, "random": torch.Generator().manual_seed(0)}

    def update(self, state, data):
        taken = nn.functional.one_hot(data.output, state["mean"].shape[1])
        state["count"] = taken.sum(1) + 1.0
        state["mean"] = (taken * data.scaling.y(data.y).unsqueeze(2)).sum(1) / state["count"]

    def draw(self, state, draws):
        noise = torch.randn(len(state["mean"]), draws, state["mean"].shape[1], generator=state["random"])
        values = state["mean"].unsqueeze(1) + self.spread * noise / state["count"].sqrt().unsqueeze(1)
        return lambda x: values.unsqueeze(2).expand(-1, -1, x.shape[1], -1)

    def mean(self, state):
        return lambda x: state["mean"][:, None, None].expand(-1, 1, x.shape[1], -1)

    def predict(self, state, x, output, noise):
        return Mixture(state["mean"].gather(1, output).unsqueeze(1), noise.unsqueeze(1).expand(output.shape))


@dataclass(frozen=True)
class Second:
    """A rule as a user would write it: always the second arm."""

    draws: ClassVar[int] = 1

    def choose(self, values, random):
        return torch.ones(len(values), dtype=torch.long)


def mine():
    """An agent as a user would keep it in a file."""
    return vbandits.AgentSpec("mine", RunningMean(), Thompson())


def run(agents, environments=("vbandits/Wheel-v0",), **options):
    return vbandits.run(list(environments), agents, **{"seeds": 3, "steps": 60, "workers": 1, **options})


def test_results_have_a_summary_and_a_report(tmp_path):
    results = run(["linear-ts"])
    summary = results.summary()
    assert isinstance(summary, pd.DataFrame)
    assert set(summary.agent) == {"linear-ts", "uniform"}
    page = results.report(tmp_path / "report")
    assert page.read_text().count("linear-ts") > 2


def test_a_users_environment_agent_posterior_and_rule_run_together():
    results = run([mine(), vbandits.AgentSpec("second", RunningMean(), Second())], [Coin])
    regret = results.summary().set_index("agent")["cumulative_regret"]
    assert regret["second"] == 5.0  # its pulls of arm 0 in turn
    assert regret["mine"] < 0.5 * regret["uniform"]
    assert regret["uniform"] > 15


@pytest.mark.parametrize("place", ["tests.test_api:mine", "my_agents:make"])
def test_a_users_agent_is_found_by_its_place(place, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    Path(tmp_path, "my_agents.py").write_text(
        'def make():\n    return {"posterior": {"kind": "linear"}, "rule": {"kind": "thompson"}, "label": "mine"}\n'
    )
    sys.modules.pop("my_agents", None)
    results = run([place])
    assert set(results.summary().agent) == {"mine", "uniform"}


def test_a_users_posterior_can_be_a_kind():
    spec = {
        "posterior": {"kind": "tests.test_api:RunningMean", "spread": 0.5},
        "rule": {"kind": "thompson"},
        "label": "m",
    }
    results = run([spec], [Coin])
    assert results.experiment["agents"][0]["posterior"]["spread"] == 0.5
    assert results.experiment["agents"][0]["posterior"]["code"]


def test_any_module_can_be_the_network():
    def convolution(features, outputs):
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, outputs)
        )

    agents = [
        vbandits.AgentSpec(name, posterior, rule, network=Module(convolution))
        for name, posterior, rule in (("cnn ibvi", IBVI(), Thompson()),)
    ]
    digits = {"id": "vbandits/Classification-v0", "kwargs": {"dataset": "digits"}}
    results = run(agents, [digits], steps=200, seeds=2)
    regret = results.summary().set_index("agent")["cumulative_regret"]
    assert regret["cnn ibvi"] < 0.9 * regret["uniform"]


def test_a_run_in_a_folder_goes_on(tmp_path):
    first = run(["linear-ts"], out=tmp_path / "kept")
    again = run(["linear-ts"], out=tmp_path / "kept")
    assert first.summary().equals(again.summary())
    assert run(["linear-ts"], out=tmp_path / "kept", steps=61).summary()["steps"].tolist() == [61] * 2
    assert run(["linear-ts"], out=tmp_path / "kept").summary().equals(first.summary()), "seconds too: nothing has run"


def test_bad_input_is_refused_with_all_its_faults():
    with pytest.raises(vbandits.ConfigError, match=r"did you mean 'ibvi'.*\n.*did you mean 'vbandits/Wheel-v0'"):
        run(["ibiv"], ["vbandits/Weel-v0"])


def test_results_are_read_back_and_shown(tmp_path):
    made = run(["linear-ts"], out=tmp_path / "kept")
    again = vbandits.load(tmp_path / "kept")
    assert again.summary().equals(made.summary())
    assert "linear-ts" in repr(again)
    assert again.report() == tmp_path / "kept" / "report" / "index.html"
    with pytest.raises(ValueError, match="in no folder"):
        run(["linear-ts"]).report()


@dataclass(frozen=True)
class Short(RunningMean):
    """A posterior that loses the last arm."""

    def draw(self, state, draws):
        values = super().draw(state, draws)
        return lambda x: values(x)[..., :-1]


@dataclass(frozen=True)
class Beyond(Second):
    """A rule that plays an arm that is not there."""

    def choose(self, values, random):
        return torch.full((len(values),), values.shape[2])


class Incomplete:
    """A posterior without its methods."""

    def init(self, task):
        return None


@pytest.mark.parametrize(
    ("posterior", "rule", "message"),
    [
        (
            Short(),
            Thompson(),
            r"expected Short.draw to give a tensor .* = \[1, 2, 3, 2\], got \[1, 2, 3, 1\]",
        ),
        (RunningMean(), Beyond(), r"expected Beyond.choose to return an arm from 0 to 1, got 2"),
        (Incomplete(), Thompson(), r"expected Incomplete to have the methods .*update, draw, mean, predict"),
    ],
)
def test_a_posterior_or_rule_that_breaks_the_contract_is_refused(posterior, rule, message):
    with pytest.raises(vbandits.ConfigError, match=message):
        vbandits.run([Coin], [{"id": "linear-ts"}, _spec(posterior, rule)], seeds=2, steps=20)


def _spec(posterior, rule):
    spec = vbandits.AgentSpec("broken", RunningMean(), Second(), optimizer=Optimizer(), standardize=True)
    object.__setattr__(spec, "posterior", posterior)  # as a user without a type checker would pass it
    object.__setattr__(spec, "rule", rule)
    return spec


def test_a_problem_is_opened_once_to_be_checked_and_once_for_each_job(monkeypatch):
    made, start = [], Wheel.__init__

    def counted(self, *args, **kwargs):
        made.append(self)
        start(self, *args, **kwargs)

    monkeypatch.setattr(Wheel, "__init__", counted)
    results = run(["linear-ts"], seeds=6, block=2, steps=20)
    assert len(results.jobs) == 6
    assert len(made) == 1 + 6
