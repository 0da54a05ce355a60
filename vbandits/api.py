"""`vbandits.run`: an experiment from Python, and what the command line stands on."""

import contextlib
import dataclasses
import fcntl
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
from rich.console import Console

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Experiment, key
from vbandits.experiment.engine import run_cells
from vbandits.experiment.progress import Live, say
from vbandits.experiment.resolve import resolve
from vbandits.experiment.results import StoredResults
from vbandits.experiment.store import Store


def run(
    environments: Sequence[Any] | None = None,
    agents: Sequence[Any] | None = None,
    seeds: int | Sequence[int] = 8,
    steps: int = 1000,
    *,
    datasets: Sequence[Any] | None = None,
    methods: Sequence[Any] | None = None,
    problems: Sequence[Any] | None = None,
    learners: Sequence[Any] | None = None,
    data_dir: str | Path | None = None,
    name: str = "experiment",
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """Runs agents on environments, learners on problems of active learning, or supervised methods on datasets.

    Args:
        environments: ids, dicts as in an experiment file, `EnvironmentSpec`s, or classes or functions that make a
            `gymnasium.Env`.
        agents: names of presets, "module:name" of your own, dicts as in an experiment file, or `AgentSpec`s. The
            uniform agent always runs as well.
        seeds: how many, counted from 0, or which.
        steps: decisions per seed, or gradient steps; problems of active learning have a budget instead.
        datasets: names, or dicts as in an experiment file.
        methods: names of presets, or dicts as in an experiment file.
        problems: dicts as in an experiment file, `EnvironmentSpec`s, or classes or functions that make one.
        learners: dicts as in an experiment file, or `LearnerSpec`s.
        data_dir: where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
        name: of the experiment.
        out: results folder, in which a run that was stopped goes on; without one, results live in memory alone.
        device: "auto", "cpu" or "cuda".
        workers: processes; by default one per processor, or 1 on a GPU.
        overwrite: discards what another experiment left in `out`.
        options: other keys of an experiment file: delay, batch, block, recorded, batch_size, evaluations.

    Returns:
        The results of its benchmark, such as `vbandits.Results` of agents.

    Raises:
        vbandits.ConfigError: for bad input, with all its faults.
    """
    sections = {
        "environments": environments,
        "agents": agents,
        "datasets": datasets,
        "methods": methods,
        "problems": problems,
        "learners": learners,
    }
    given = {section: _listed(entries) for section, entries in sections.items() if entries is not None}
    length = {"steps": steps} if problems is None else {}
    document = {"name": name, **given, **length, "seeds": seeds, "device": device, **options}
    experiment = resolve(document, data_dir=data_dir)
    with contextlib.ExitStack() as stack:
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="vbandits-"))
        results = execute(experiment, Store(folder), command="vbandits.run(...)", workers=workers, overwrite=overwrite)
        return results if out else dataclasses.replace(results, folder=None)


def load(folder: str | Path) -> Any:
    """Returns the results that a run left in a folder: those of agents, learners or supervised methods.

    Raises:
        vbandits.ConfigError: if there are none.
    """
    return Store(folder).load()


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
    """Runs the cells of an experiment that its folder does not hold yet; cells that failed before are tried again."""
    console = console or Console(stderr=True)
    for note in experiment.notes:
        say(console, f"note: {note}", "yellow")
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"{store.folder}: expected a folder to write results to, got: {error}"]) from None
    with locked(store.folder):
        store.prepare(experiment, command, overwrite)
        named = {key(cell): cell for cell in experiment.cells()}
        cells = {name: cell for name, cell in named.items() if store.finished(name) is None}
        if cells:
            workers = _workers(experiment, len(cells), workers)
            with Live(cells, store, workers, console) as live:
                for marker in run_cells(cells, store, workers=workers, backend=backend, paths=tuple(paths)):
                    live.finish(marker)
        return store.load()


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Mapping) or callable(value) else list(value)


def _workers(experiment: Experiment, cells: int, wanted: int | None) -> int:
    available = 1 if experiment.device == "cuda" else joblib.cpu_count()
    return max(1, min(wanted or available, cells))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a results folder for one run at a time; the lock goes with the process, however it ends."""
    with open(folder / ".lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                [
                    f"{folder}: expected a folder that no other run writes to, got one in use: wait for that "
                    "run, or give another --out"
                ]
            ) from None
        yield
