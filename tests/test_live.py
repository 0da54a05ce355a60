"""What is shown of a run while it goes on, in its own process and in another."""

import io
import json
import shutil
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers import WHEEL, preset
from tests.test_running import EXPERIMENT, ran
from tests.test_running import vbandits as command
from vbandits.benchmarks.bandits import BENCHMARK
from vbandits.benchmarks.bandits.run import job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment import live, observer
from vbandits.experiment.files import write_json
from vbandits.experiment.locking import in_use, locked
from vbandits.experiment.observer import Observer
from vbandits.experiment.progress import ProgressDisplay
from vbandits.experiment.store import Store
from vbandits.experiment.watching import follow


def state(agent, seeds, status, step, regret, steps=100, seconds=4.0):
    told = {"step": step, "seconds": seconds} if status == "running" else {"seconds": {"agent": seconds}}
    names = {"environment": "wheel", "agent": agent, "key": f"{agent}{seeds[0]}"}
    return {**names, "seeds": seeds, "steps": steps, "status": status, "last": {"cumulative_regret": regret}} | told


def test_a_row_is_of_all_jobs_of_a_problem_and_a_method():
    wanted = {("wheel", "ibvi"): range(6), ("wheel", "uniform"): range(6)}
    found = [
        state("ibvi", [0, 1], "done", 100, 10.0),
        state("ibvi", [2, 3], "running", 50, 4.0),
        state("ibvi", [4, 5], "failed", 0, 0.0) | {"last": {}},
        state("uniform", [0, 1], "done", 100, 40.0),
        state("uniform", [2, 3], "running", 20, 10.0),
        state("uniform", [4, 5], "done", 100, 1e9),
        state("stranger", [0, 1], "done", 100, 1e9),
    ]
    row, uniform = live.rows(BENCHMARK, wanted, found)
    assert (row.seeds, row.done, row.failed, row.step, row.steps) == (6, 2, 2, 50, 100)
    assert row.running
    assert not row.over
    assert row.rate == pytest.approx(50 / 4)
    assert row.values == {"cumulative_regret": pytest.approx(7.0)}
    # per step 0.1 and 0.08 beside 0.4 and 0.5, on the seeds that both have
    assert row.beside == pytest.approx(100 * 0.18 / 0.9)
    assert uniform.beside == pytest.approx(100)
    assert row.progress == "step 50 of 100, 2 failed"
    assert "20.0% of uniform's" in live.line(row, BENCHMARK)


def test_a_table_shows_what_runs_first_and_says_what_it_leaves_out():
    wanted = {("wheel", name): [0] for name in ("done", "[waits]", "fails", "runs")}
    found = [state("done", [0], "done", 100, 1.0), state("runs", [0], "running", 5, 1.0)]
    found.append(state("fails", [0], "failed", 0, 0.0))
    console = Console(file=io.StringIO(), width=200)
    console.print(live.table(live.rows(BENCHMARK, wanted, found), BENCHMARK, 3))
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert [line[1] for line in lines[1:4]] == ["runs", "fails", "[waits]"]
    assert lines[4] == ["and", "1", "more"]
    assert "reward" not in lines[0], "nobody knows it"


def test_time_left_is_that_of_each_method():
    left = live.Estimate({"a": ("fast", 100), "b": ("slow", 100), "c": ("slow", 100)}, workers=2)
    assert str(left) == ""
    left.note("a", 50, 1.0)
    left.note("b", 50, 100.0)
    assert left.seconds == pytest.approx(200.0), "c alone takes as long as both workers need for all"
    left.drop("c")
    assert str(left) == "about 1:40 left"
    assert (left.done, left.total) == (200, 300)


def test_the_file_of_progress_says_what_a_marker_does(tmp_path, monkeypatch):
    monkeypatch.setattr(observer, "INTERVAL", 0.0)
    work = job(EnvironmentSpec("wheel", WHEEL), preset("linear-ts"), (3,), 30)
    path = tmp_path / f"{work.key}.progress"
    with Observer(work, path) as heard:
        outcome = work.run(heard)
        [found] = live.states(tmp_path)
        last = outcome.records["cumulative_regret"].iloc[-1]
        assert found["last"]["cumulative_regret"] == pytest.approx(last)
        assert {name: found[name] for name in ("environment", "agent", "seeds", "steps", "status", "step")} == {
            "environment": "wheel",
            "agent": "linear-ts",
            "seeds": [3],
            "steps": 30,
            "status": "running",
            "step": 30,
        }
        path.write_text('{"key": "torn')
        assert live.states(tmp_path) == []
    assert not path.exists()


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder with a finished run of two agents on the wheel."""
    chosen = ("--agents", "linear-ts", "--environments", "wheel")
    return ran(tmp_path_factory.mktemp("once"), EXPERIMENT, "run", "small.toml", *chosen) / "results" / "small"


@pytest.fixture
def finished(once, tmp_path):
    return Path(shutil.copytree(once, tmp_path / "small"))


def test_a_finished_run_is_told_in_lines(finished, capsys):
    assert command("watch", finished) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wheel · linear-ts: done, cumulative regret ")
    assert lines[1].endswith(", 100.0% of uniform's")
    assert lines[2] == "small: 8 of 8 runs of a seed are done"
    beside = Store(finished).load().summary().set_index("agent").loc["linear-ts", "relative_regret"]
    assert f"{beside:.1f}% of uniform's" in lines[0]


def test_a_run_that_was_stopped_is_told_as_such(finished, capsys):
    next((finished / "cells").glob("*uniform*.json")).unlink()
    assert command("watch", finished) == 1
    said = capsys.readouterr().out
    assert "4 of 8 runs of a seed are done" in said
    assert "No run on this machine writes to" in said
    assert "to go on:\n  vbandits run small.toml" in said


def test_a_failed_job_is_told_with_its_reason(finished, capsys):
    path = next((finished / "cells").glob("*linear*.json"))
    (marker,) = [own for own in Store(finished).markers() if own["key"] == path.stem]
    write_json(path, marker | {"status": "failed", "reason": "no network"})
    assert command("watch", finished) == 1
    said = capsys.readouterr().out
    assert "wheel · linear-ts: failed" in said
    assert "failed: wheel · linear-ts: no network" in said


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert command("watch", tmp_path) == 2
    assert "expected a results folder" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_of_another_process_is_followed_to_its_end(finished, terminal):
    path = next((finished / "cells").glob("*linear*.json"))
    whole = path.read_text()
    marker = json.loads(whole)
    path.unlink()
    running = marker | {"status": "running", "step": 31, "seconds": 2.0, "warnings": []}
    path.with_suffix(".progress").write_text(json.dumps(running))
    console = Console(file=io.StringIO(), width=200, force_terminal=terminal)
    good = []
    with locked(finished):
        assert in_use(finished)
        thread = threading.Thread(target=lambda: good.append(follow(finished, console, 0.01)))
        thread.start()
        deadline = time.monotonic() + 60
        while "step 31 of 60" not in console.file.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert thread.is_alive(), "it waits for the end"
        path.with_suffix(".progress").unlink()
        path.write_text(whole)
        thread.join(60)
    assert good == [True]
    assert not in_use(finished)
    said = console.file.getvalue()
    assert "about 0:01 left" in said
    assert said.rstrip().endswith("small: 8 of 8 runs of a seed are done")
    if not terminal:
        assert said.count("linear-ts") == 2, "a line when it was met, and one when it was done"


def test_a_look_at_a_folder_does_not_keep_a_run_from_it(finished):
    with locked(finished):
        pass
    (finished / ".lock").touch()
    assert not in_use(finished)
    with pytest.raises(ConfigError, match="in use"), locked(finished), locked(finished):
        pass


def test_a_terminal_shows_what_runs_beside_the_bar(tmp_path, monkeypatch):
    monkeypatch.setattr("vbandits.experiment.progress.INTERVAL", 0.01)
    work = job(EnvironmentSpec("wheel", WHEEL), preset("linear-ts"), (0, 1), 30)
    store = Store(tmp_path)
    store.jobs.mkdir()
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    running = state("linear-ts", [0, 1], "running", 12, 3.0, steps=30) | {"key": work.key, "warnings": ["it is loose"]}
    with ProgressDisplay([work], store, 1, console) as display:
        (store.jobs / f"{work.key}.progress").write_text(json.dumps(running))
        deadline = time.monotonic() + 60
        while "step 12 of 30" not in console.file.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        display.finish({"key": work.key, "status": "done", "steps": 30, "seconds": {}, "warnings": ["it is loose"]})
    said = console.file.getvalue()
    assert "1 of 1 jobs" in said
    assert said.count("it is loose") == 1
