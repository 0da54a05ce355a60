"""Engines: the same tables wherever jobs run, and nothing lost or done twice where workers die."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.chaos import EXPERIMENT, JOBS, OWN, children, tables, workers_of
from tests.test_processes import gone
from tests.test_running import vbandits, written
from vbandits.errors import ConfigError
from vbandits.experiment import engines
from vbandits.experiment.engine import receive, run_jobs
from vbandits.experiment.engines import Engine, checked
from vbandits.experiment.engines.local import Processes
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store

DISK = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
DASK = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="dask is an extra")
RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is an extra")


SMALL = EXPERIMENT.replace("seeds = 6", "seeds = 3")
"""Half of its jobs: two workers have six each."""


class LostError(Exception):
    """A worker died."""


@pytest.fixture
def prepared(tmp_path):
    """A folder, and the jobs that are to be run there."""
    document = {"name": "tiny", "seeds": 3, "block": 1, "steps": 5, "environments": ["vbandits/Wheel-v0"], "agents": []}
    experiment, store = resolve(document | {"agents": ["linear-ts"]}), Store(tmp_path / "out")
    store.prepare(experiment, "", overwrite=False)
    return store, store.missing(experiment)


def losing(times, key=None, after=False):
    """An engine that loses the first calls of each job, or of one; before or after they did their work."""
    calls = Counter()

    def submit(function, job, *arguments):
        calls[job.key] += 1
        lost, future = key in (None, job.key) and calls[job.key] <= times, Future()
        marker = None if lost and not after else function(job, *arguments)
        future.set_exception(LostError("gone")) if lost else future.set_result(marker)
        return future

    return Engine(submit, 2, (LostError,), apart=False), calls


def test_a_job_whose_worker_dies_twice_is_completed(prepared):
    store, jobs = prepared
    engine, calls = losing(2)
    markers = list(run_jobs(jobs, store, engine))
    assert sorted(marker["key"] for marker in markers) == sorted(job.key for job in jobs)
    assert {marker["status"] for marker in markers} == {"done"}
    assert set(calls.values()) == {3}


def test_a_job_whose_worker_dies_three_times_fails_and_the_others_do_not(prepared):
    store, jobs = prepared
    engine, calls = losing(9, key=jobs[1].key)
    failed = [marker for marker in run_jobs(jobs, store, engine) if marker["status"] == "failed"]
    assert [marker["key"] for marker in failed] == [jobs[1].key]
    assert "the worker process died, 3 times" in failed[0]["reason"]
    assert "LostError: gone" in failed[0]["details"]
    assert calls[jobs[1].key] == 3
    assert len(list(store.markers())) == len(jobs)


def test_what_was_finished_when_its_worker_died_counts_once(prepared):
    store, jobs = prepared
    undisturbed = {marker["key"]: marker["sha256"] for marker in run_jobs(jobs, store, losing(0)[0])}
    markers = list(run_jobs(jobs, store, losing(1, after=True)[0]))
    assert len(markers) == len(jobs) == len(list(store.markers()))
    assert {marker["key"]: marker["sha256"] for marker in markers} == undisturbed


def test_no_more_jobs_are_in_flight_than_workers(prepared):
    store, jobs = prepared
    lock, running, most = threading.Lock(), Counter(), []

    def work(key):
        with lock:
            running[key] += 1
            most.append(sum(running.values()))
        time.sleep(0.01)
        with lock:
            del running[key]
        return {"key": key}

    with ThreadPoolExecutor(8) as pool:
        engine = Engine(lambda function, job, *_: pool.submit(work, job.key), 3, apart=False)
        found = list(run_jobs(jobs, store, engine))
    assert sorted(marker["key"] for marker in found) == sorted(job.key for job in jobs)
    assert len(jobs) > 3
    assert max(most) == 3


def leave(code):
    os._exit(code)


def test_a_process_that_dies_takes_no_other_call_along():
    with closing(Processes()) as processes:
        other = processes.submit(time.sleep, 3.0)
        with pytest.raises(Exception, match="terminated"):
            processes.submit(leave, 3).result(timeout=60)
        assert processes.submit(abs, -7).result(timeout=60) == 7
        assert other.result(timeout=60) is None


def test_what_cannot_be_received_is_told(prepared):
    store, jobs = prepared
    engine = Engine(losing(0)[0].submit, 1)
    with pytest.raises(Exception, match="UnpicklingError"):
        receive(b"nonsense", str(store.folder), ())
    assert engine.apart
    assert signal.signal(signal.SIGINT, signal.default_int_handler) == signal.SIG_IGN  # as in a worker
    assert jobs


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (("--engine", "loky"), "engine: expected local, dask or ray, got 'loky', which is called local now"),
        (("--engine", "spark"), "engine: expected local, dask or ray, got 'spark'"),
        (("--address", "here:8786"), "address: expected one for the engines dask or ray alone, got 'here:8786'"),
        pytest.param(
            ("--engine", "dask", "--address", "here"), "HOST:PORT of a dask scheduler, got 'here'", marks=DASK
        ),
        pytest.param(("--engine", "ray", "--address", "ray://here:x"), "expected HOST:PORT of a ray head", marks=RAY),
    ],
)
def test_engines_and_addresses_are_checked_first(tmp_path, monkeypatch, capsys, how, message):
    file = written(tmp_path, monkeypatch)
    assert vbandits("run", file, *how) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not Path("results").exists()


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_an_engine_that_is_not_installed_is_asked_for(engine, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=re.escape(f"pip install 'vbandits[{engine}]'")):
        checked(engine, None)


@pytest.mark.parametrize("engine", [pytest.param("dask", marks=DASK), pytest.param("ray", marks=RAY)])
def test_where_nobody_listens_is_refused(engine):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"expected a .* that answers at {address}, got: .*refused"):
            checked(engine, address)


def run(*how, out, **more):
    """Starts a run of the experiment in a process of its own."""
    command = [sys.executable, "-m", "vbandits", "run", "small.toml", "--out", out, *map(str, how)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)


def ended(process, code=0):
    """What a run has said; it must have ended so."""
    told = process.communicate(timeout=240)[1]
    assert process.returncode == code, told
    assert "Traceback" not in told
    return told


def until(condition, process):
    """Waits for something while a run goes on."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the experiment, slow enough to be disturbed."""
    written(tmp_path, monkeypatch, SMALL.replace("SECONDS", "0.05"))
    Path("own_envs.py").write_text(OWN)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The tables of the experiment, made in one process."""
    with pytest.MonkeyPatch.context() as patch:
        written(tmp_path_factory.mktemp("undisturbed"), patch, SMALL.replace("SECONDS", "0.05"))
        Path("own_envs.py").write_text(OWN)
        ended(run("--workers", 1, out="out"))
        found = tables("out")
    assert len(found) >= JOBS // 2
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread watches, which stops with its process")
@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=DASK)])
def test_workers_that_are_stopped_end_with_a_head_that_is_killed(here, engine):
    process = run("--engine", engine, "--workers", 2, out="out")
    until(lambda: len(tables("out")) >= 2, process)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    process.kill()
    process.communicate()  # nobody holds its output any more
    end = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < end:
        time.sleep(0.02)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=DASK), pytest.param("ray", marks=RAY)])
def test_tables_are_the_same_on_every_engine(here, undisturbed, engine):
    ended(run("--engine", engine, "--workers", 2, out="out"))
    assert tables("out") == undisturbed


@contextmanager
def cluster():
    """A scheduler of dask with two workers, each a process; gives its address and the workers."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, started = f"tcp://127.0.0.1:{port}", []
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        started.append(
            subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet)
        )
        started += [subprocess.Popen([*worker, "--no-dashboard"], **quiet) for _ in range(2)]
        until(lambda: answers(port), started[0])
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def answers(port):
    """Whether something listens at a port."""
    with closing(socket.socket()) as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@DASK
@pytest.mark.slow
def test_a_worker_of_dask_that_dies_costs_nothing(here, undisturbed):
    with cluster() as (address, workers):
        process = run("--engine", "dask", "--address", address, "--workers", 2, out="out")
        until(lambda: len(list(Path("out/cells").glob("*.progress"))) == 2, process)
        workers[0].kill()
        ended(process)
    assert tables("out") == undisturbed


@DASK
def test_what_is_no_scheduler_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(engines, "SECONDS", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"expected a dask scheduler that answers at {address}, got: timed out"):
            checked("dask", address)


@DISK
@pytest.mark.slow
def test_a_worker_of_this_machine_that_dies_costs_nothing(here, undisturbed):
    process = run("--workers", 2, out="out")
    until(lambda: len(list(Path("out/cells").glob("*.progress"))) == 2, process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    ended(process)
    assert tables("out") == undisturbed


def below(process):
    """All processes that a process has started, and those that they have."""
    found = children(process)
    return found.union(*(below(one) for one in found))


@DISK
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=DASK), pytest.param("ray", marks=RAY)])
def test_no_process_outlives_a_run_that_is_killed_while_an_environment_sleeps(here, engine):
    asleep = here / "asleep"
    asleep.mkdir()
    Path("small.toml").write_text(SMALL.replace("SECONDS", f"1000, asleep = '{asleep}'"))
    process = run("--engine", engine, "--workers", 2, out="out", stdout=subprocess.PIPE)
    until(lambda: len(list(asleep.iterdir())) == 2, process)
    started, working = below(process.pid), {int(path.name) for path in asleep.iterdir()}
    process.kill()
    assert gone(working, 3)
    assert gone(started, 120 if engine == "ray" else 3)  # agents of ray's own try for a minute to tell of it
    process.communicate(timeout=10)  # nobody holds its standard output
