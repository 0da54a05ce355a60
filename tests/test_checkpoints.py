"""Jobs that are stopped go on from a checkpoint to the same tables, bit for bit; agents of a run are kept."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from safetensors import SafetensorError

import vbandits
from tests.helpers import WHEEL, preset
from tests.registries import over
from tests.test_running import vbandits as command
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import CHECKPOINT, Progress
from vbandits.experiment.checkpoints import Checkpoints
from vbandits.experiment.resolve import resolve
from vbandits.presets import PRESETS
from vbandits.state.files import read, write

ARMS = {"arms": 6, "context_features": 2, "arm_features": 3, "dropped": 0.5}
CHANGING = "vbandits/AbruptBandit-v0"


class Stopped(BaseException):
    pass


class Steps(Progress):
    """Notes steps, and stops at one."""

    def __init__(self, stop=None):
        self.steps, self.stop = [], stop

    def __call__(self, step, values=dict, seeds=None):
        self.steps.append(step)
        if step == self.stop:
            raise Stopped


def made(name="ibvi", source=WHEEL, steps=70, seeds=(3, 4), kwargs=None, **feedback):
    environment = EnvironmentSpec("test", source, kwargs or {}, **feedback)
    sections = {} if name == "uniform" else {"schedule": {"every": 7}}
    return replace(job(environment, preset(name, **sections), seeds, steps), checkpoint=0.0)


def stopped(one, path, at=45):
    """Runs a job, which is stopped, and returns what it leaves when it runs again."""
    offer = Checkpoints.offer

    def sometimes(self, game):  # 0 seconds from one to the next are many
        if game.step in (at // 2, at):
            offer(self, game)

    with patch.object(Checkpoints, "offer", sometimes):
        with pytest.raises(Stopped):
            run_job(one, Steps(at + 1), path)
        assert path.exists()
        told = Steps()
        outcome = run_job(one, told, path)
    assert told.steps == list(range(at + 1, one.steps + 1))
    return outcome


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.records, other.records, check_exact=True)
    assert (one.held_out is None) == (other.held_out is None)
    if one.held_out is not None:
        pd.testing.assert_frame_equal(one.held_out, other.held_out, check_exact=True)
    assert one.diverged == other.diverged


@over("name", PRESETS, quick=["ibvi", "linear-ts", "uniform"])
def test_a_job_that_was_stopped_goes_on_to_the_same_tables(name, tmp_path):
    one = made(name)
    outcome = stopped(one, tmp_path / "checkpoint.safetensors")
    assert outcome.notes == ("went on from a checkpoint after 45 steps",)
    assert_same(outcome, run_job(one))
    assert min(outcome.seconds.values()) > 0


@pytest.mark.parametrize(
    "how",
    [
        {"seeds": (7,)},
        {"delay": 5, "batch": 3},
        {"name": "ensemble", "source": "vbandits/ArmFeaturesBandit-v0"},
        {"name": "neural-linear", "source": "vbandits/LogisticBandit-v0"},
        {"name": "linear-ts-forgetting", "source": CHANGING, "steps": 300, "at": 280},
        {"name": "linear-ts", "source": "outsider_envs:Ads"},
        {"name": "linear-ts", "source": "outsider_envs:Walk"},
    ],
    ids=str,
)
def test_in_other_environments(how, tmp_path):
    how = dict(how)
    at = how.pop("at", 45)
    one = made(**how)
    outcome = stopped(one, tmp_path / "checkpoint.safetensors", at)
    assert outcome.notes == (f"went on from a checkpoint after {at} steps",)
    assert_same(outcome, run_job(one))


def test_a_job_that_is_stopped_again_and_again(tmp_path):
    one, path = made("ensemble"), tmp_path / "checkpoint.safetensors"
    for at in (5, 20, 33, 69):
        with pytest.raises(Stopped):
            run_job(one, Steps(at), path)
    assert_same(run_job(one, checkpoint=path), run_job(one))


@pytest.mark.slow
def test_a_checkpoint_that_is_not_the_jobs_own_is_told_and_not_used(tmp_path):
    one, path = made("linear-ts"), tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        run_job(one, Steps(45), path)
    state, about = read(path)
    whole = path.read_bytes()
    for content, message in (
        (whole[:-5], "cannot be read"),
        (whole[:300] + b"?" + whole[301:], "expected"),
        ({**about, "job": "another"}, "expected one of this job"),
        ({**about, "versions": {**about["versions"], "torch": "1.0"}}, "versions that are installed, got another"),
    ):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write(path, state, content)
        outcome = run_job(one, checkpoint=path)
        assert len(outcome.notes) == 1
        assert "began anew, since its checkpoint is of no use: " in outcome.notes[0]
        assert message in outcome.notes[0]
    assert_same(outcome, run_job(one))


def test_an_environment_that_does_not_come_back_is_told(tmp_path, monkeypatch):
    Path(tmp_path / "fickle_envs.py").write_text(FICKLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    one, path = made("linear-ts", "fickle_envs:Fickle"), tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        run_job(one, Steps(45), path)
    (note,) = run_job(one, checkpoint=path).notes
    assert "expected the environment to pay the same for the same seeds and actions, got" in note


FICKLE = """
import gymnasium
import numpy as np


class Fickle(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    made = 0

    def reset(self, *, seed=None, options=None):
        Fickle.made += 1
        self.life = Fickle.made
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), float(self.life), False, False, {}
"""


def test_short_jobs_write_none(tmp_path):
    assert CHECKPOINT == 300
    one = replace(made("linear-ts"), checkpoint=CHECKPOINT)
    with pytest.raises(Stopped):
        run_job(one, Steps(45), tmp_path / "checkpoint.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_place_for_one_the_job_goes_on(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    one = made("linear-ts")
    whole = run_job(one)
    monkeypatch.setattr("vbandits.state.files.save_file", full)
    outcome = run_job(one, checkpoint=tmp_path / "checkpoint.safetensors")
    assert len(outcome.notes) == 1
    assert outcome.notes[0].startswith("it has no checkpoints: ")
    assert "No space left on device" in outcome.notes[0]
    assert list(tmp_path.iterdir()) == []
    assert_same(outcome, whole)


EXPERIMENT = """
name = "kept"
seeds = 3
steps = 60
block = 2
checkpoint = 0
environments = [{ id = "vbandits/Wheel-v0", label = "wheel" }]
agents = ["ibvi", { id = "linear-ts", label = "linear" }]
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kept.toml").write_text(EXPERIMENT)
    return Path("kept.toml")


@pytest.mark.slow
def test_agents_of_a_run_are_kept(file, capsys):
    assert command("run", file, "--workers", 1, "--out", "out") == 0
    assert not Path("out/agents").exists()
    assert not list(Path("out/cells").glob("*checkpoint*"))
    before = vbandits.load("out").records
    file.write_text(EXPERIMENT.replace("checkpoint = 0", "save = true"))
    assert command("run", file, "--workers", 1, "--out", "out") == 0
    assert "6 jobs that had finished are made again, to keep what they train" in capsys.readouterr().err
    after = vbandits.load("out").records
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    assert command("run", file, "--workers", 1, "--out", "out") == 0
    assert "made again" not in capsys.readouterr().err
    assert len(list(Path("out/agents").iterdir())) == 12
    agent = vbandits.load_agent("out", environment="wheel", agent="linear", seed=2)
    assert (agent.label, agent.seeds, agent.steps, agent.waiting) == ("linear", (2,), 60, 0)
    assert agent.about["names"] == {"environment": "wheel", "agent": "linear"}
    own = after[(after.agent == "linear") & (after.seed == 2)]
    assert agent._agent._replay._rewards[0, :60].tolist() == own.reward.tolist()
    assert vbandits.load_agent("out", agent="ibvi").seeds == (0,)
    assert vbandits.load_agent("out", agent="ibvi", seed=1).seeds == (1,)
    with pytest.raises(ConfigError, match=r"seed: expected one that was kept, of wheel · ibvi \(seeds 0, 1\).*, got 9"):
        vbandits.load_agent("out", agent="ibvi", seed=9)
    with pytest.raises(
        ConfigError, match=r"expected one agent, got 0 for agent='ibv': give environment, agent or seed"
    ):
        vbandits.load_agent("out", agent="ibv")
    with pytest.raises(ConfigError, match=r"expected one agent, got 6 for no name"):
        vbandits.load_agent("out")
    with pytest.raises(ConfigError, match=r"expected agents of a run with `save = true`, got none"):
        vbandits.load_agent("out/cells")


def test_folders_that_are_merged_keep_their_agents(tmp_path):
    how = {"steps": 20, "block": 2, "save": True, "workers": 1}
    for name, seeds in (("a", [0, 1]), ("b", [2, 3]), ("c", [2, 3])):
        vbandits.run([WHEEL], ["linear-ts"], seeds, out=tmp_path / name, **(how | {"save": name != "b"}))
    merged = vbandits.merge(*(tmp_path / name for name in "abc"), out=tmp_path / "all")
    assert merged.experiment["seeds"] == [0, 1, 2, 3]
    for seed, source in ((0, "a"), (3, "c")):
        both = [vbandits.load_agent(tmp_path / name, agent="linear-ts", seed=seed) for name in ("all", source)]
        assert both[0].about == both[1].about
    names = {path.name for name in "ac" for path in (tmp_path / name / "agents").iterdir()}
    assert {path.name for path in (tmp_path / "all" / "agents").iterdir()} == names
    next((tmp_path / "a" / "agents").glob("*.json")).rename(tmp_path / "elsewhere.json")
    with pytest.raises(ConfigError, match=r"expected one agent, got 0"):
        vbandits.load_agent(tmp_path / "a", agent="linear-ts", seed=0)


def test_a_folder_gives_the_agents_of_what_is_asked_for_now(tmp_path):
    how = {"seeds": 2, "save": True, "workers": 1, "out": tmp_path / "it"}
    for steps in (20, 30, 20):
        vbandits.run([WHEEL], ["linear-ts"], steps=steps, **how)
        for seed in (None, 1):
            assert vbandits.load_agent(tmp_path / "it", agent="linear-ts", seed=seed).steps == steps
    assert len(list((tmp_path / "it" / "agents").iterdir())) == 8, "two agents of two lengths: nothing is lost"
    vbandits.run(["vbandits/LinearBandit-v0"], ["ibvi-limit"], steps=20, overwrite=True, **(how | {"save": False}))
    assert not (tmp_path / "it" / "agents").exists()


def test_an_agent_that_was_kept_has_learned_from_all_its_rewards(tmp_path):
    environment = {"id": WHEEL, "label": "wheel", "delay": 5}
    agents = [{"id": "linear-ts", "schedule": {"every": 20}}]
    how = {"seeds": 2, "steps": 60, "save": True, "workers": 1}
    vbandits.run([environment], agents, out=tmp_path / "late", **how)
    agent = vbandits.load_agent(tmp_path / "late", agent="linear-ts", seed="all")
    assert (agent.waiting, agent._agent.rows, agent._agent.model.updates) == (0, 60, 2)
    assert agent._agent.model.state.seen == 60
    agent.predict(np.zeros((2, 2)))


def test_what_cannot_be_kept_is_told_before_anything_runs(tmp_path):
    local = vbandits.AgentSpec("mine", *(getattr(preset("ibvi"), name) for name in ("posterior", "rule")))
    local = replace(local, network=vbandits.networks.Module(lambda features, outputs: None))
    with pytest.raises(ConfigError, match="agent 'mine' with 2 features"):
        vbandits.run([WHEEL], [local], 1, 10, save=True, out=tmp_path)
    with pytest.raises(ConfigError, match="save: expected a results folder, in which agents are kept, got none"):
        vbandits.run([WHEEL], ["linear-ts"], 1, 10, save=True)
    with pytest.raises(ConfigError, match=r"save: expected an experiment with \[\[environments\]\]"):
        vbandits.run(datasets=["digits"], methods=["ibvi"], seeds=1, steps=10, out=tmp_path, save=True)
    with pytest.raises(ConfigError, match="save: expected a valid boolean, got 'yes'"):
        vbandits.run([WHEEL], ["linear-ts"], 1, 10, save="yes", out=tmp_path)


def test_policies_are_passed_over_where_the_agents_beside_them_are_kept(tmp_path, capsys):
    how = {"seeds": 1, "steps": 20, "save": True, "workers": 1, "out": tmp_path}
    vbandits.run([WHEEL], [Steady(), "linear-ts"], **how)
    assert "save: Steady: policies of your own are not kept, the agents are" in " ".join(
        capsys.readouterr().err.split()
    )
    assert vbandits.load_agent(tmp_path, agent="linear-ts").steps == 20
    kept = {path.name.split("--")[1] for path in (tmp_path / "agents").glob("*.json")}
    assert kept == {"linear-ts", "uniform"}
    then = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    vbandits.run([WHEEL], [Steady(), "linear-ts"], **how)
    told = " ".join(capsys.readouterr().err.split())
    assert "made again" not in told, "a policy that is not kept is not played once more for that"
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")} == then


class Steady:
    """A policy."""

    def act(self, observation):
        return 1

    def observe(self, actions, rewards):
        pass


def test_policies_begin_anew(tmp_path):
    specs = resolve({"name": "x", "environments": [WHEEL], "agents": [Steady()]}).methods
    one = replace(made("uniform"), method=specs[0])
    with pytest.raises(Stopped):
        run_job(one, Steps(45), tmp_path / "checkpoint.safetensors")
    assert list(tmp_path.iterdir()) == []
    assert_same(run_job(one, checkpoint=tmp_path / "checkpoint.safetensors"), run_job(one))


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_within_its_job(file, capsys):
    file.write_text(EXPERIMENT.replace("checkpoint = 0", "checkpoint = 0.2").replace("steps = 60", "steps = 600"))
    run = [sys.executable, "-m", "vbandits", "run", file, "--agents", "ibvi", "--workers", "1", "--out", "out"]
    started = subprocess.Popen(run, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(Path("out/cells").glob("*ibvi*.checkpoint.safetensors")):
        assert started.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    assert command("run", file, "--agents", "ibvi", "--workers", 1, "--out", "out") == 0
    assert "went on from a checkpoint after" in capsys.readouterr().err
    assert not list(Path("out/cells").glob("*checkpoint*"))
    markers = [json.loads(path.read_text()) for path in Path("out/cells").glob("*ibvi*.json")]
    assert [own["notes"][0][:28] for own in markers if "notes" in own] == ["went on from a checkpoint aft"[:28]]
    assert command("run", file, "--agents", "ibvi", "--workers", 1, "--out", "whole") == 0
    pd.testing.assert_frame_equal(vbandits.load("out").records, vbandits.load("whole").records, check_exact=True)
