"""Sub-environments in processes: what is played is the same, errors are told, and no process stays behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import outsider_active
import outsider_envs
import pandas as pd
import pytest
import slow_environments
import torch

import vbandits
from tests.registries import over
from vbandits.agents.agent import AgentSpec
from vbandits.agents.rules import Uniform
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec

UNIFORM = AgentSpec("uniform", None, Uniform())
SEEDS = (4, 0, 7, 1, 2)


def spec(source, processes=2, **kwargs):
    return EnvironmentSpec("it", source, kwargs, processes=processes)


def children(process):
    """The processes that a process has started, on Linux."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return set(found)


def gone(processes, seconds=20):
    """Whether processes end in time; one that nobody has asked about is as good as ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        states = [Path(f"/proc/{one}/stat") for one in processes]
        if all(not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z" for path in states):
            return True
        time.sleep(0.05)
    return False


@over("source", [outsider_envs.Ads, outsider_envs.Walk, slow_environments.Slow], quick=[outsider_envs.Walk])
def test_what_is_played_does_not_depend_on_processes(source):
    played = [run_job(job(spec(source, processes), UNIFORM, SEEDS, 20)).records for processes in (1, 2)]
    pd.testing.assert_frame_equal(*played, check_exact=True)


def test_a_pool_is_the_same_in_processes():
    found = []
    for processes in (1, 2):
        with contextlib.closing(spec(outsider_active.Labs, processes).open(3)) as environment:
            seen, info = environment.reset(seed=[3, 4, 5])
            rows = info["action_mask"].float().topk(2).indices
            found.append((seen, environment.step(rows), environment.features, environment.budget, environment.targets))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_every_process_has_an_equal_share_which_it_closes_and_none_stays(tmp_path):
    before = children(os.getpid())
    environment = spec(slow_environments.Slow, 3, shown=True, left=str(tmp_path / "closed")).open(5)
    seen, _ = environment.reset(seed=list(SEEDS))
    started = children(os.getpid()) - before
    where = seen[:, 1].tolist()
    environment.close()
    assert [where.count(one) for one in dict.fromkeys(where)] == [2, 2, 1]
    assert {*where} == started
    assert sorted((tmp_path / "closed").read_text().split()) == sorted(map(str, SEEDS))
    assert gone(started, 0.2)


@pytest.mark.slow
def test_what_an_environment_prints_does_not_come_between():
    environments = [spec(slow_environments.Slow, processes, does="prints") for processes in (1, 2)]
    played = [run_job(job(one, UNIFORM, (0, 1), 6)).records for one in environments]
    pd.testing.assert_frame_equal(*played, check_exact=True)


def test_an_error_is_told_as_in_one_process():
    told = []
    for processes in (1, 2):
        results = vbandits.run(
            [{"id": slow_environments.Slow, "kwargs": {"does": "fail", "seed": 2}, "processes": processes}],
            ["uniform"],
            seeds=4,
            steps=6,
        )
        told.append([one["reason"] for one in results.jobs])
    assert told[0] == told[1]
    assert "the environment raised Particular in step 1 (counted from 0, seed 2): number 1" in told[0][0]
    assert "(slow_environments.py:" in told[0][0]
    assert ", in Slow.fail)" in told[0][0]


def test_a_process_that_dies_says_whose_it_was():
    with contextlib.closing(spec(slow_environments.Slow, does="leave", seed=2).open(4)) as environment:
        environment.reset(seed=[0, 1, 2, 3])
        environment.step(np.zeros(4, int))
        with pytest.raises(RuntimeError, match=r"numbers 2 to 3 ended by itself \(exit code 3\)"):
            environment.step(np.zeros(4, int))


@pytest.mark.slow
def test_no_process_stays_where_one_cannot_be_made():
    before = children(os.getpid())
    with pytest.raises(ValueError, match=r"unknown parameter .*absent"):
        spec(slow_environments.Slow, absent=1).open(2)
    assert children(os.getpid()) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_no_process_outlives_a_parent_that_is_killed_in_the_middle_of_a_step():
    script = (
        "import slow_environments, numpy as np\n"
        "from vbandits.envs.spec import EnvironmentSpec\n"
        "environment = EnvironmentSpec('it', slow_environments.Slow, {'does': 'hang'}, processes=2).open(2)\n"
        "environment.reset(seed=[0, 1]); environment.step(np.zeros(2, int)); print('ready', flush=True)\n"
        "environment.step(np.zeros(2, int))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        started = children(parent.pid)
        assert len(started) == 2
        parent.send_signal(signal.SIGKILL)
        assert gone(started)


@pytest.mark.slow
def test_jobs_in_worker_processes_start_processes_of_their_own(tmp_path):
    entry = {"id": "slow_environments:Slow", "label": "slow", "processes": 2}
    tables = []
    for workers, processes in ((1, 1), (2, 2)):
        results = vbandits.run(
            [entry | {"processes": processes}], ["uniform", "linear-ts"], seeds=3, steps=12, workers=workers
        )
        assert {one["status"] for one in results.jobs} == {"done"}
        tables.append(results.records)
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.slow
def test_results_do_not_depend_on_it_and_go_on_with_others(tmp_path):
    entry = {"id": "slow_environments:Slow", "label": "slow"}
    first = vbandits.run([entry], ["uniform"], seeds=2, steps=4, out=tmp_path)
    again = vbandits.run([entry | {"processes": 2}], ["uniform"], seeds=2, steps=4, out=tmp_path)
    assert [one["key"] for one in first.jobs] == [one["key"] for one in again.jobs]


def test_our_own_need_none():
    with pytest.raises(vbandits.ConfigError, match=r"processes: expected 1, got 4: .*are one batch of tensors"):
        vbandits.run([{"id": "vbandits/Wheel-v0", "processes": 4}], ["uniform"], seeds=2, steps=4)


def test_what_cannot_be_sent_is_refused_before_work_starts():
    lock = threading.Lock()

    def held():
        return slow_environments.Slow(left=lock)

    with pytest.raises(vbandits.ConfigError, match="expected an environment that can be sent to another process, got"):
        vbandits.run([{"id": held, "processes": 2}], ["uniform"], seeds=1, steps=4)
