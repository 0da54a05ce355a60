"""What a user's code does to the process that it runs in costs its own jobs alone."""

import pytest

from tests.test_running import vbandits as command
from vbandits.experiment.store import Store

ENDING = """
import os, sys, time
import gymnasium, numpy as np


class Ending(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    steps = 0

    def __init__(self, how):
        self.how = how

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 30:
            exec(self.how)
        return np.zeros(3, np.float32), 0.5, False, False, {"regret": 0.5}
"""


def ended(tmp_path, monkeypatch, how, *options):
    """Runs an environment that ends or hangs beside one of ours, with one worker; returns the exit code and markers."""
    (tmp_path / "ending.py").write_text(ENDING)
    (tmp_path / "e.toml").write_text(
        f'name = "e"\nseeds = 2\nsteps = 40\nagents = ["linear-ts"]\nenvironments = ["vbandits/LinearBandit-v0", '
        f'{{ id = "ending:Ending", label = "ending", kwargs = {{ how = "{how}" }} }}]\n'
    )
    monkeypatch.chdir(tmp_path)
    code = command("run", "e.toml", "--workers", 1, "--out", "out", *options)
    found = {(m["environment"], m["agent"]): m for m in Store(tmp_path / "out").markers()}
    return code, found


@pytest.mark.slow
@pytest.mark.parametrize("how", ["os._exit(0)", "os.abort()"])
def test_with_one_worker_code_that_ends_its_process_fails_its_jobs_alone(tmp_path, monkeypatch, how):
    code, markers = ended(tmp_path, monkeypatch, how)
    assert code == 1
    assert len(markers) == 4
    assert all(marker["status"] == ("failed" if place[0] == "ending" else "done") for place, marker in markers.items())
    assert "the worker process died, 3 times" in markers["ending", "linear-ts"]["reason"]


@pytest.mark.slow
def test_a_job_that_hangs_fails_when_its_time_is_over(tmp_path, monkeypatch):
    code, markers = ended(tmp_path, monkeypatch, "time.sleep(600)", "--timeout", 20, "--agents", "uniform")
    assert code == 1
    assert "longer than the timeout of 20 seconds" in markers["ending", "uniform"]["reason"]
    assert "ending.py" in markers["ending", "uniform"]["details"], "it says where it hung"
    assert markers["LinearBandit-v0", "uniform"]["status"] == "done"
    assert not list((tmp_path / "out" / "cells").glob("*.temporary"))


def test_a_timeout_is_a_number_of_seconds(tmp_path, capsys):
    options = ("--environments", "vbandits/Wheel-v0", "--agents", "linear-ts", "--out", tmp_path / "out")
    assert command("run", *options, "--timeout", -1) == 2
    assert "timeout: expected greater than 0, got -1" in capsys.readouterr().err
