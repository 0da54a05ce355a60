"""Agents that outlive a run: saved at a step and continued is the same as never stopped, bit for bit."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vbandits
from tests import keeping
from tests.helpers import preset
from tests.keeping import FORM, life
from tests.registries import over
from vbandits.agents import AgentSpec, Thompson
from vbandits.agents.agent import Agent
from vbandits.agents.saving import KNOWN, keep, read_agent, restore, write_agent
from vbandits.agents.trained import quantile
from vbandits.envs.spaces import ObservationSpec
from vbandits.errors import ConfigError
from vbandits.forgetting import Forgetting
from vbandits.networks import Module
from vbandits.predictive import Mixture
from vbandits.presets import PRESETS
from vbandits.state import take

SEEDS = (3, 5)
SMALL = {"network": {"kind": "mlp", "hidden": [6]}, "schedule": {"every": 7}}


def assert_same(one: Agent, other: Agent) -> None:
    """Asserts that two agents hold the same, to the last bit."""
    first, second = (take(own, KNOWN) for own in (one, other))
    assert first.tree == second.tree
    for name, array in first.arrays.items():
        assert array.numpy().tobytes() == second.arrays[name].numpy().tobytes(), name


def goes_on(spec: AgentSpec, tmp_path: Path, kind: str = "contexts", at: int = 41, **how) -> Agent:
    """Plays, saves at a step, plays on, and asserts that the one that was saved plays on in the same way."""
    agent = Agent(spec, SEEDS, FORM[kind], 12)  # fewer than are played: room is made
    life(agent, 0, at, **how)
    write_agent(tmp_path / "agent", keep(agent))
    other = restore(read_agent(tmp_path / "agent"))
    assert_same(agent, other)
    assert life(agent, at, 40, **how) == life(other, at, 40, **how)
    assert_same(agent, other)
    return other


@over("name", PRESETS, quick=["ibvi", "ibvi-limit", "laplace-ts", "linear-ts-forgetting", "uniform"])
def test_saved_and_continued_is_never_stopped(name, tmp_path):
    agent = goes_on(preset(name, **({} if name == "uniform" else SMALL)), tmp_path)
    assert agent.model is None or agent.model.updates > 3


@over("name", PRESETS, quick=["dropout-ts", "neural-linear", "swag-ts"])
@pytest.mark.parametrize("at", [2, 30])  # before anything is learned, too
def test_with_features_of_arms_that_come_and_go_and_outcomes_that_come_late(name, at, tmp_path):
    spec = preset(name, **({} if name == "uniform" else SMALL))
    goes_on(spec, tmp_path, "arms", at, delay=4)


@over("name", PRESETS, quick=["ensemble", "elbo"])
def test_with_rewards_of_0_and_1_and_rows_that_are_forgotten(name, tmp_path):
    spec = preset(name, **({} if name == "uniform" else SMALL))
    spec = replace(spec, schedule=replace(spec.schedule, forgetting=Forgetting(half_life=9.0)))
    goes_on(spec, tmp_path, binary=True)


@pytest.mark.parametrize("kind", ["kronecker", "full", "low_rank_plus_diagonal"])
def test_with_other_families(kind, tmp_path):
    posterior = {"kind": "ibvi", "family": kind, "layers": "all"}
    goes_on(preset("ibvi", posterior=posterior, **SMALL, optimizer={"kind": "adam"}), tmp_path)


def test_a_users_own_posterior_and_network(tmp_path):
    spec = AgentSpec("mine", keeping.Mine(), Thompson(), network=Module(keeping.network), encoding="disjoint")
    agent = goes_on(spec, tmp_path)
    assert len(agent.model.state.table) == agent.model.updates > 3
    assert isinstance(agent.spec.posterior, keeping.Mine)
    goes_on(replace(preset("elbo", **SMALL), network=Module(keeping.network)), tmp_path)


def test_what_could_not_be_made_again_is_refused_when_it_is_kept():
    agent = Agent(AgentSpec("mine", keeping.Forgetful(), Thompson()), SEEDS, FORM["contexts"], 12)
    keep(agent)
    life(agent, 0, 40)
    with pytest.raises(
        ConfigError, match=r"agent\.model\.state\.table\[later\]: expected what a new object has here .* got Later"
    ):
        keep(agent)
    local = Module(lambda features, outputs: keeping.network(features, outputs))
    with pytest.raises(ConfigError, match="expected the declaration of an agent"):
        keep(Agent(replace(preset("elbo"), network=local), SEEDS, FORM["contexts"], 12))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ibvi", "neural-linear"])
def test_in_another_process(name, tmp_path):
    code = (
        "import sys, json, vbandits; from tests.keeping import life;"
        "agent = vbandits.load_agent(sys.argv[1], seed='all'); print(json.dumps(life(agent._agent, 33, 40)));"
        "agent.save(sys.argv[2])"
    )
    agent = Agent(preset(name, **SMALL), SEEDS, FORM["contexts"], 33)
    life(agent, 0, 33)
    write_agent(tmp_path / "agent", keep(agent))
    command = [sys.executable, "-c", code, tmp_path / "agent", tmp_path / "later"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == life(agent, 33, 40)
    assert_same(agent, restore(read_agent(tmp_path / "later")))


def written(tmp_path, name="ibvi", kind="contexts", steps=40, **sections) -> Agent:
    agent = Agent(preset(name, **sections), SEEDS, FORM[kind], steps)
    life(agent, 0, steps)
    write_agent(tmp_path / "agent", keep(agent))
    return agent


@pytest.mark.parametrize("kind", FORM)
def test_it_acts_and_learns_outside_a_run_as_in_one(kind, tmp_path):
    agent = written(tmp_path, kind=kind)
    one, every = (vbandits.load_agent(tmp_path / "agent", seed=seed) for seed in (5, "all"))
    dice = np.random.default_rng(0)
    for _ in range(30):
        form = FORM[kind]
        seen = {"context": dice.normal(size=(2, form.features))}
        if form.nested:
            seen |= {
                "arms": dice.normal(size=(2, form.arms, form.arm_features)),
                "mask": dice.random((2, form.arms)) < 0.5,
            }
            seen["mask"][:, 0] = True
        own = {name: part[1] for name, part in seen.items()}
        tensors = {name: torch.from_numpy(part) for name, part in seen.items()}
        one.predict(own if form.nested else own["context"])  # changes nothing
        actions = agent.act(tensors if form.nested else tensors["context"])
        assert every.act(seen if form.nested else seen["context"]).tolist() == actions.tolist()
        assert one.act(own if form.nested else own["context"]) == actions[1]
        rewards = dice.normal(size=2)
        agent.observe(torch.from_numpy(rewards))
        if agent.due:
            agent.learn()
        every.observe(rewards)
        one.observe(rewards[1])
    assert_same(agent, every._agent)
    assert (one.steps, one.waiting, one.diverged, one.seeds, one.label) == (70, 0, False, (5,), "ibvi")
    assert every.diverged.tolist() == [False, False]


def test_rewards_that_come_together_are_learned_from_together(tmp_path):
    written(tmp_path, schedule={"every": 5})
    one, other = (vbandits.load_agent(tmp_path / "agent") for _ in range(2))
    contexts = np.random.default_rng(0).normal(size=(5, 4))
    assert [one.act(context) for context in contexts] == [other.act(context) for context in contexts]
    one.observe([1.0, 2.0, 3.0, 4.0, 5.0])
    for reward in range(1, 6):
        other.observe(reward)
    assert_same(one._agent, other._agent)
    with pytest.raises(ValueError, match=r"expected at most 0, one for each .*, got 1: call act before"):
        one.observe(1.0)


@pytest.mark.parametrize("name", ["linear-ts", "ibvi"])
def test_predictions_are_in_units_of_the_reward(name, tmp_path):
    agent = Agent(preset(name), (0,) * 2, FORM["contexts"], 400)
    dice = np.random.default_rng(0)
    slopes = np.array([[300.0, 0, 0, 0], [0, 300, 0, 0], [0, 0, 0, 300]])
    for _ in range(400):
        x = np.tile(dice.normal(size=4), (2, 1))
        actions = agent.act(torch.from_numpy(x)).numpy()
        paid = 5000 + (slopes[actions] * x).sum(1) + 20 * dice.normal()
        agent.observe(torch.from_numpy(paid))
        if agent.due:
            agent.learn()
    write_agent(tmp_path / "agent", keep(agent, [0]))
    found = vbandits.load_agent(tmp_path / "agent")
    x = np.array([0.5, -0.5, 0.3, 0.1])
    told, wide = found.predict(x), found.predict(x, [2, 0], level=0.99)
    assert np.abs(told.mean - 5000 - slopes @ x).max() < 60
    assert np.all((told.std > 10) & (told.std < 150) & (told.doubt < told.std))
    assert np.all((told.low < told.mean) & (told.mean < told.high))
    np.testing.assert_allclose(wide.mean, told.mean[[2, 0]], rtol=1e-6)
    assert np.all((wide.high - wide.low) > 1.3 * (told.high - told.low)[[2, 0]])
    np.testing.assert_allclose(found.predict(x, 1).mean, told.mean[[1]], rtol=1e-6)


def test_quantiles_are_those_of_the_distribution():
    from scipy.stats import norm

    found = Mixture(
        torch.tensor([[[3.0, -1e6]]], dtype=torch.float64), torch.tensor([[4.0, 1e-4]], dtype=torch.float64)
    )
    low = quantile(found, found.mean(), np.array([[0.0, np.inf]]), 0.05)
    np.testing.assert_allclose(low, [[norm.ppf(0.05, 3, 2), norm.ppf(0.05, -1e6, 1e-2)]], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda agent: agent.act(np.zeros(3)), r"expected context of finite .* \(4,\), got the shape \(3,\)"),
        (lambda agent: agent.act([0, 0, 0, np.nan]), r"expected context of finite numbers of shape \(4,\), got array"),
        (lambda agent: agent.act(["a"] * 4), r"expected context of finite numbers of shape \(4,\), got array"),
        (lambda agent: agent.observe(np.inf), "expected finite numbers, got inf: give what the decision paid"),
        (lambda agent: agent.observe("much"), "rewards: expected numbers, got 'much'"),
        (lambda agent: agent.observe([[1.0]]), r"one number, or the shape \(n,\) .* got the shape \(1, 1\): give a"),
        (lambda agent: agent.predict(np.zeros(4), 3), "expected numbers from 0 to 2, got 3"),
        (lambda agent: agent.predict(np.zeros(4), 0.5), "expected numbers from 0 to 2, got 0.5"),
        (lambda agent: agent.predict(np.zeros(4), level=95), "expected a number between 0 and 1, got 95"),
    ],
)
def test_what_it_cannot_take_is_refused(call, message, tmp_path):
    written(tmp_path, "linear-ts")
    with pytest.raises(ValueError, match=message):
        call(vbandits.load_agent(tmp_path / "agent"))


def test_of_several_seeds_each_has_its_own_numbers(tmp_path):
    written(tmp_path, "linear-ts")
    every = vbandits.load_agent(tmp_path / "agent", seed="all")
    with pytest.raises(
        ValueError, match=r"of shape \(2, 4\), one row for each of the seeds 3, 5, got the shape \(4,\)"
    ):
        every.act(np.zeros(4))
    every.act(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"the shape \(2,\), one for each of the seeds 3, 5, or \(2, n\) .* got the s"):
        every.observe(1.0)
    every.observe([1.0, 2.0])


def test_an_agent_says_what_it_is_and_how_another_seed_is_had(tmp_path):
    write_agent(
        tmp_path / "agent", keep(written(tmp_path, "linear-ts"), names={"environment": "shop", "agent": "mine"})
    )
    told = (
        "TrainedAgent 'linear-ts': posterior Linear, rule Thompson, environment 'shop', seed 3 of 3, 5 "
        "(load_agent(..., seed=...) takes another), 40 decisions"
    )
    agent = vbandits.load_agent(tmp_path / "agent")
    assert repr(agent) == told
    agent.act(np.zeros(4))
    assert repr(agent).endswith("41 decisions, 1 of them without a reward yet")
    assert ", seeds 3, 5, 40 decisions" in repr(vbandits.load_agent(tmp_path / "agent", seed="all"))


def test_what_it_cannot_tell_is_refused(tmp_path):
    written(tmp_path, "linear-ts", "arms", steps=1)
    agent = vbandits.load_agent(tmp_path / "agent.json")
    seen = {"context": np.zeros(2), "arms": np.zeros((5, 3)), "mask": np.zeros(5)}
    with pytest.raises(ValueError, match="expected a dict of context, arms, mask, got ndarray"):
        agent.act(np.zeros(2))
    with pytest.raises(ValueError, match="expected a mask with an available action, got none"):
        agent.act(seen)
    with pytest.raises(ValueError, match="got one that has not learned from any reward yet"):
        agent.predict({**seen, "mask": np.ones(5)})
    write_agent(tmp_path / "uniform", keep(Agent(preset("uniform"), SEEDS, FORM["contexts"], 1)))
    uniform = vbandits.load_agent(tmp_path / "uniform.safetensors")
    uniform.observe(1.0)
    assert 0 <= uniform.act(np.zeros(4)) < 3
    with pytest.raises(ValueError, match="got no posterior"):
        uniform.predict(np.zeros(4))
    with pytest.raises(ConfigError, match="seed: expected one of 3, 5, or 'all' of them, got 4"):
        vbandits.load_agent(tmp_path / "agent", seed=4)


def change(path: Path, **content) -> None:
    """Changes the JSON of an agent, and makes its digest fit."""
    from vbandits.serialize import digest

    about = {**json.loads(path.read_text()), **content}
    about.pop("digest")
    path.write_text(json.dumps(about | {"digest": digest(about)}))


def test_files_that_are_not_what_was_written_are_refused(tmp_path):
    written(tmp_path)
    about, arrays = tmp_path / "agent.json", tmp_path / "agent.safetensors"
    text, data = about.read_text(), arrays.read_bytes()
    for content in (text[:-9], "", "[]", "{}", "nothing", text.replace('"step": 40', '"step": 41')):
        about.write_text(content)
        with pytest.raises(ConfigError, match=r"agent\.json: expected"):
            vbandits.load_agent(tmp_path / "agent")
    about.write_text(text)
    for content in (data[:-1], b"", data[:99] + b"?" + data[100:]):
        arrays.write_bytes(content)
        with pytest.raises(ConfigError, match=r"agent\.safetensors: expected"):
            vbandits.load_agent(tmp_path / "agent")
    arrays.unlink()
    with pytest.raises(ConfigError, match=r"agent\.safetensors: expected .* got none"):
        vbandits.load_agent(tmp_path / "agent")
    arrays.write_bytes(data)
    vbandits.load_agent(tmp_path / "agent")


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    written(tmp_path)
    about = tmp_path / "agent.json"
    text, agent = about.read_text(), json.loads(about.read_text())["agent"]
    for content, message in (
        ({"schema": 2}, "expected schema 1, got 2"),
        ({"kind": "other"}, "expected an agent as vbandits writes it"),
        ({"observation": {"features": 5, "arms": 3}}, r"expected a tensor \[2, .*got \[2, "),
        ({"observation": {"features": "os"}}, "expected the declaration of an agent"),
        ({"replicas": [3]}, r"expected a tensor \[1, .*, got \[2, "),
        ({"agent": {**agent, "posterior": {**agent["posterior"], "rank": 4}}}, r"expected a tensor \["),
        ({"agent": {**agent, "posterior": {**agent["posterior"], "kind": "elbo"}}}, "expected the declaration"),
        ({"agent": {**agent, "posterior": {"kind": "linear"}}}, "posterior: expected"),
        ({"agent": {**agent, "rule": {"kind": "nowhere:Rule"}}}, "no module 'nowhere'"),
        ({"agent": {**agent, "network": {"kind": "mlp", "hidden": [7]}}}, "network: expected"),
        ({"agent": None}, "expected the declaration of an agent"),
    ):
        about.write_text(text)
        change(about, **content)
        with pytest.raises(ConfigError, match=message):
            vbandits.load_agent(tmp_path / "agent")


def test_code_that_has_changed_is_told(tmp_path):
    spec = AgentSpec("mine", keeping.Mine(), Thompson())
    write_agent(tmp_path / "agent", keep(Agent(spec, SEEDS, ObservationSpec(2, 2), 1)))
    agent = json.loads((tmp_path / "agent.json").read_text())["agent"]
    assert agent["posterior"]["kind"] == "tests.keeping:Mine"
    agent["posterior"]["code"] = {"tests.keeping:Mine": "another"}
    change(tmp_path / "agent.json", agent=agent)
    with pytest.warns(UserWarning, match="mine: the code of its posterior has changed since"):
        vbandits.load_agent(tmp_path / "agent")
