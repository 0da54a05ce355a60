"""`vbandits.run`: an experiment from Python, and what the command line stands on."""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock, Timeout
from rich.console import Console

from vbandits.errors import ConfigError, require_writable
from vbandits.experiment import comparing, extend
from vbandits.experiment.benchmark import Experiment
from vbandits.experiment.engine import run_jobs
from vbandits.experiment.progress import ProgressDisplay, print_line
from vbandits.experiment.resolve import benchmark_of, resolve
from vbandits.experiment.results import StoredResults
from vbandits.experiment.store import Store


def run(
    environments: Sequence[Any] | None = None,
    agents: Sequence[Any] | None = None,
    seeds: int | Sequence[int] = 8,
    steps: int | None = None,
    *,
    data_dir: str | Path | None = None,
    name: str = "experiment",
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    overwrite: bool = False,
    **content: Any,
) -> Any:
    """Runs methods on problems: agents on environments, learners on pools, or classifiers on datasets.

    Args:
        environments: ids, dicts as in an experiment file, `EnvironmentSpec`s, or classes or functions that make a
            `gymnasium.Env`.
        agents: names of presets, "module:name" of your own, dicts as in an experiment file, or `AgentSpec`s. The
            uniform agent always runs as well.
        seeds: how many, counted from 0, or which.
        steps: decisions per seed, or gradient steps; by default those of an experiment file that says nothing.
        data_dir: where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
        name: of the experiment.
        out: results folder, in which a run goes on that was stopped, or that is asked for more: what is there already
            is not computed again; without one, results live in memory alone.
        device: "auto", "cpu" or "cuda".
        workers: processes; by default one per processor, or 1 on a GPU.
        overwrite: discards what another experiment left in `out`, instead of using it.
        content: other sections of an experiment file, entries as above: `problems` and `learners`, `datasets` and
            `methods`, or those of `benchmark`, "module:name" of your own; and its other keys: delay, batch, block,
            recorded, batch_size, evaluations.

    Returns:
        The results of the benchmark, such as `vbandits.Results` of agents.

    Raises:
        vbandits.ConfigError: for bad input, with all its errors.
    """
    document = {"name": name, "seeds": seeds, "steps": steps, "device": device}
    document |= {"environments": environments, "agents": agents, **content}
    document = {key: value for key, value in document.items() if value is not None}
    sections = benchmark_of(document).sections
    document = {key: _listed(value) if key in sections else value for key, value in document.items()}
    experiment = resolve(document, data_dir=data_dir)
    with contextlib.ExitStack() as stack:
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="vbandits-"))
        results = execute(experiment, Store(folder), command="vbandits.run(...)", workers=workers, overwrite=overwrite)
        return results if out else results.in_memory()


def load(folder: str | Path) -> Any:
    """Returns the results that a run left in a folder: those of agents, learners or supervised methods.

    Raises:
        vbandits.ConfigError: if there are none.
    """
    return Store(folder).load()


def compare(*folders: str | Path, **named: Any) -> Any:
    """Returns results of several folders as one: two versions of a method, or of the code, paired by seed.

    A method whose label occurs more than once is called "label (folder)"; the report says first what changed.

    Args:
        folders: what runs left.
        named: others by name, folders or results.

    Returns:
        The results of the benchmark, of the problems and seeds that all have.

    Raises:
        vbandits.ConfigError: if they cannot be compared.
    """
    found = comparing.loaded(folders)
    found |= {name: load(own) if isinstance(own, str | Path) else own for name, own in named.items()}
    return comparing.combined(found)


def execute(
    experiment: Experiment,
    store: Store,
    *,
    command: str,
    workers: int | None = None,
    backend: str = "loky",
    overwrite: bool = False,
    paths: Iterable[str] = (),
    console: Console | None = None,
) -> StoredResults:
    """Runs the jobs of an experiment that its folder does not hold yet; jobs that failed before are tried again."""
    console = console or Console(stderr=True)
    for note in experiment.notes:
        print_line(console, f"note: {note}", "yellow")
    require_writable(store.folder)
    with interruptible(), locked(store.folder):
        before = store.prepare(experiment, command, overwrite)
        jobs = store.missing(experiment)
        for line in extend.told(before, experiment.document(), jobs):
            print_line(console, line)
        if jobs:
            workers = _workers(experiment, len(jobs), workers)
            with ProgressDisplay(jobs, store, workers, console) as display:
                for marker in run_jobs(jobs, store, workers=workers, backend=backend, paths=tuple(paths)):
                    display.finish(marker)
        return store.load()


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Mapping) or callable(value) else list(value)


def _workers(experiment: Experiment, jobs: int, wanted: int | None) -> int:
    available = 1 if experiment.device == "cuda" else joblib.cpu_count()
    return max(1, min(wanted or available, jobs))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Takes SIGTERM, which schedulers of clusters send before they kill, for Ctrl-C, unless a caller handles it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a results folder for one run at a time; the lock goes with the process, however it ends."""
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"{folder}: expected a folder that no other run writes to, got one in use: wait for that run, or give "
            "another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()
