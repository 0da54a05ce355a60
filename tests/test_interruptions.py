"""Runs in which a cell fails, a worker dies, or somebody stops them: nothing else is lost, and they go on."""

import os
import signal
import subprocess
import sys
import time
from inspect import getsource
from pathlib import Path

import pytest

from tests.following import Stops
from tests.registries import over
from tests.test_running import EXPERIMENT, markers, table, vbandits, written


@pytest.fixture
def file(tmp_path, monkeypatch):
    return written(tmp_path, monkeypatch)


def run_beside_the_wheel(environment, workers):
    """Runs an agent in an environment and on the wheel, and returns the exit code."""
    options = {"environments": f"{environment},vbandits/Wheel-v0", "agents": "linear-ts", "seeds": 2, "steps": 80}
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    return vbandits("run", *given, "--workers", workers, "--out", "out")


@over("workers", [1, 2], quick=[1])
@pytest.mark.usefixtures("file")
def test_a_job_that_fails_is_reported_and_the_others_finish(workers, capsys):
    Path("broken_envs.py").write_text(BROKEN)
    assert run_beside_the_wheel("broken_envs:Breaks", workers) == 1
    assert "the feed went away" in capsys.readouterr().err
    summary = table("out").set_index(["environment", "agent"])
    assert summary.failures["broken_envs:Breaks"].tolist() == [2, 2]
    assert summary.seeds["Wheel-v0"].tolist() == [2, 2]
    assert summary.failures["Wheel-v0"].tolist() == [0, 0]
    page = Path("out/report/index.html").read_text()
    assert "the feed went away" in page
    assert "57" in page


BROKEN = "import gymnasium\nimport numpy as np\n\n\n" + getsource(Stops).replace("class Stops", "class Breaks")


@pytest.mark.slow
@over("workers", [1, 2], quick=[1])
@pytest.mark.usefixtures("file")
def test_a_failed_job_is_tried_again(workers):
    Path("mended_envs.py").write_text(
        BROKEN.replace("== 57", "== 57 and not __import__('pathlib').Path('mended').exists()")
    )
    run = ("run", "--environments", "mended_envs:Breaks", "--agents", "linear-ts", "--seeds", 2, "--steps", 80)
    assert vbandits(*run, "--workers", workers, "--out", "out") == 1
    Path("mended").touch()
    assert vbandits(*run, "--workers", workers, "--out", "out") == 0
    assert table("out").failures.tolist() == [0, 0]


LONG = ("--steps", 500, "--workers", 2)
"""Long enough not to end before it is stopped, which is when the first of six jobs has ended."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a long run that nobody stopped."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "small.toml").write_text(EXPERIMENT)
    assert vbandits("run", folder / "small.toml", *LONG, "--out", folder / "undisturbed") == 0
    return folder / "undisturbed"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_stopped_goes_on_to_the_same_tables(file, undisturbed, stop):
    long = ("run", file, *LONG)
    command = [sys.executable, "-m", "vbandits", *map(str, long), "--out", "stopped"]
    run = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(Path("stopped/cells").glob("*.json")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(run.pid, stop)
    message = run.communicate(timeout=60)[1]
    finished = markers("stopped")
    if stop != signal.SIGKILL:
        assert run.returncode == 130
        assert "to go on" in message
        assert "Traceback" not in message
    assert len(finished) < 6
    assert vbandits(*long, "--out", "stopped") == 0
    after = markers("stopped")
    assert {name: after[name] for name in finished} == finished
    assert table("stopped").equals(table(undisturbed))


@pytest.mark.slow
def test_workers_do_not_outlive_a_run_that_was_killed(file):
    command = [
        sys.executable,
        "-m",
        "vbandits",
        "run",
        str(file),
        "--steps",
        "100000",
        "--out",
        "killed",
        "--workers",
        "2",
    ]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(Path("killed/cells").glob("*.progress"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.kill()
    run.wait()
    notes = {path: path.stat().st_mtime_ns for path in Path("killed/cells").glob("*.progress")}
    time.sleep(3)  # six times the half second in which a worker notes its step
    later = {path: path.stat().st_mtime_ns for path in Path("killed/cells").glob("*.progress")}
    time.sleep(3)
    assert {path: path.stat().st_mtime_ns for path in later} == later
    assert notes


@pytest.mark.slow
@pytest.mark.parametrize("death", ["import os; os._exit(3)", "import sys; sys.exit('bye')"])
def test_a_worker_that_dies_takes_only_its_cell_along(file, death):
    module = f"deadly_envs_{len(death)}"
    Path(f"{module}.py").write_text(BROKEN.replace('raise RuntimeError("the feed went away")', death))
    assert run_beside_the_wheel(f"{module}:Breaks", 2) == 1
    summary = table("out").set_index(["environment", "agent"])
    assert summary.failures[f"{module}:Breaks"].tolist() == [2, 2]
    assert summary.failures["Wheel-v0"].tolist() == [0, 0]
