"""The command line. Heavy imports wait until a command needs them, so that `vbandits --help` answers at once."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from vbandits import __version__

app = App(
    name="vbandits",
    version=__version__,
    help="Benchmark uncertainty-aware networks on decisions: regret, labels bought, calibration, cost.",
    help_epilogue="Start with: vbandits run experiments/quickstart.toml",
)
data = App(name="data", help="List, fetch and verify the datasets of bandits and methods.")
app.command(data)
INVALID, FAILED, INTERRUPTED = 2, 1, 130


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How an experiment is run.

    Parameters
    ----------
    out
        Results folder; results/NAME by default.
    seeds
        Number of seeds, 0 to N - 1, instead of the file's.
    steps
        Decisions per seed or gradient steps, instead of the file's.
    data_dir
        Where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
    device
        Where to compute; auto takes a GPU where there is one.
    set_
        Change a field in every section that has it: --set schedule.batch_size=128, --set kwargs.delta=0.9.
    workers
        Processes; one per processor by default.
    engine
        How jobs are spread: loky on this machine, dask or ray across machines.
    overwrite
        Discard the results of another experiment in the same folder; the same one goes on.
    """

    out: Path | None = None
    seeds: int | None = None
    steps: int | None = None
    data_dir: Path | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None
    workers: int | None = None
    engine: Literal["loky", "dask", "ray"] = "loky"
    overwrite: Annotated[bool, Parameter(negative=())] = False


HOW = RunOptions()


@app.command
def run(file: Path | None = None, *, how: RunOptions = HOW, **chosen: str) -> int:
    """Run an experiment, or go on with one that was stopped: agents in environments, learners on pools, or methods.

    Parameters
    ----------
    file
        Experiment file (TOML). Without one, give --environments and --agents, or --datasets and --methods.
    chosen
        What to run of a section, separated by commas: --environments, --agents, --datasets or --methods, labels or ids
        of the file's, or others (without a file, all presets); --problems, labels of the file's; --learners, its
        labels, methods with all their acquisitions, or acquisitions of all.
    """
    from vbandits.experiment.resolve import ad_hoc, resolve, select

    def resolved(document: dict[str, Any], options: list[str]) -> Any:
        document = select(document, chosen, options)
        return resolve(document if file else ad_hoc(document), how.set_ or (), how.data_dir)

    store, results = _run(file, how, resolved)
    return INTERRUPTED if results is None else _show(results, store.folder)


@app.command
def tune(file: Path, *, how: RunOptions = HOW, write: Path | None = None, **chosen: str) -> int:
    """Try settings of methods, as many of each, and write the best as presets; goes on where it was stopped.

    Parameters
    ----------
    file
        Experiment file (TOML) with `settings`, how many are tried of every method, and methods with a `search`.
    write
        Where to write the presets, beside presets.toml in the results folder.
    chosen
        What to tune of a section, separated by commas: labels or ids of the file's, such as --agents ibvi,elbo.
    """
    from vbandits.errors import ConfigError, require_writable
    from vbandits.tuning.experiment import check_replaced, resolve_tuning

    if write is not None and (write.is_dir() or not write.parent.is_dir()):
        raise ConfigError(f"--write: expected a file in a folder that exists, got {str(write)!r}")
    if write is not None:
        require_writable(write.parent)

    def resolved(document: dict[str, Any], options: list[str]) -> Any:
        experiment = resolve_tuning(document, chosen, how.set_ or (), how.data_dir, [*options, "write"])
        if write is not None and write.exists():
            check_replaced(write, experiment)
        return experiment

    store, results = _run(file, how, resolved)
    return INTERRUPTED if results is None else _show(results, store.folder, write)


def _run(file: Path | None, how: RunOptions, resolved: Callable[[dict[str, Any], list[str]], Any]) -> tuple[Any, Any]:
    """Runs an experiment, and returns its store and its results, None if it was interrupted.

    Args:
        file: of the experiment, if there is one.
        how: it is run.
        resolved: returns the experiment of a document, given also the names of all options.
    """
    from vbandits.api import execute
    from vbandits.errors import ConfigError
    from vbandits.experiment.engine import extend_path, installed
    from vbandits.experiment.progress import print_line
    from vbandits.experiment.resolve import read
    from vbandits.experiment.store import Store

    if how.workers is not None and how.workers < 1:
        raise ConfigError(f"--workers: expected at least 1, got {how.workers}")
    if not installed(how.engine):
        needed = f"pip install 'vbandits[{how.engine}]'"
        raise ConfigError(f"--engine: expected {how.engine} to be installed, got none: {needed}")
    paths = [str(Path.cwd()), *([str(file.resolve().parent)] if file else [])]
    extend_path(paths)
    document = read(file) if file else {}
    for name in ("seeds", "steps", "device"):
        if (value := getattr(how, name)) is not None:
            document[name] = value
    experiment = resolved(document, [field.name.rstrip("_").replace("_", "-") for field in fields(how)])
    console = Console(stderr=True)
    store = Store(how.out or Path("results") / experiment.name)
    command = shlex.join(["vbandits", *sys.argv[1:]])
    try:
        results = execute(
            experiment,
            store,
            command=command,
            workers=how.workers,
            backend=how.engine,
            overwrite=how.overwrite,
            paths=paths,
            console=console,
        )
    except KeyboardInterrupt:
        print_line(console, f"\nInterrupted. Finished jobs are kept in {store.folder}; to go on:\n  {command}")
        return store, None
    return store, results


@app.command
def report(folder: Path) -> int:
    """Write the report of a results folder again.

    Parameters
    ----------
    folder
        What a run left, such as results/quickstart.
    """
    from vbandits.experiment.engine import extend_path
    from vbandits.experiment.progress import print_failed
    from vbandits.experiment.store import Store

    extend_path([str(Path.cwd())])
    results = Store(folder).load()
    for marker in results.jobs:
        if marker["status"] == "failed":
            print_failed(Console(stderr=True), marker, results.axes)
    return _show(results, folder)


@app.command
def compare(*folders: Path, out: Path | None = None) -> int:
    """Set results folders side by side, paired by seed: two versions of a method, or of the code.

    Parameters
    ----------
    folders
        What runs left, such as results/before results/after: what changed is told against the first.
    out
        Folder of the report; results/compare-NAME-NAME by default.
    """
    from vbandits.experiment import changes
    from vbandits.experiment.engine import extend_path

    extend_path([str(Path.cwd())])
    changes.show(folders, out, shlex.join(["vbandits", *sys.argv[1:]]))
    return 0


@app.command(name="list")
def list_(what: str) -> None:
    """List what can be named in an experiment file.

    Parameters
    ----------
    what
        One of acquisitions, agents, datasets (as `vbandits data list`), environments, learners, methods.
    """
    from vbandits import catalogue
    from vbandits.experiment.progress import print_rows

    if what == "datasets":
        list_data()
        return
    print_rows(catalogue.rows(what))


@app.command
def check(id: str, *, kwargs: dict[str, str] | None = None, data_dir: Path | None = None) -> int:
    """Say whether an environment will work, and what it lacks for regret; exit code 1 if it will not work.

    Parameters
    ----------
    id
        Such as my_envs:acme/Ads-v0, with my_envs.py in the current folder.
    kwargs
        Handed to the environment: --kwargs.delta 0.9.
    data_dir
        Where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
    """
    from vbandits.envs.check import check as check_environment
    from vbandits.experiment.config import parse
    from vbandits.experiment.engine import extend_path

    extend_path([str(Path.cwd())])
    found = check_environment(id, {name: parse(value) for name, value in (kwargs or {}).items()}, data_dir)
    print(found)
    return 0 if found.works else FAILED


@data.command(name="list")
def list_data(*, data_dir: Path | None = None) -> None:
    """List the datasets: their size, where they are found here, and how the others are to be had.

    Parameters
    ----------
    data_dir
        Where files lie; by default what the environment variable VBANDITS_DATA names.
    """
    from vbandits.data import inventory
    from vbandits.experiment.progress import print_line, print_rows

    rows = inventory.listing(data_dir)
    print_rows([{name: value for name, value in row.items() if name != inventory.TO_HAVE} for row in rows])
    for row in rows:
        if row[inventory.TO_HAVE]:
            print_line(Console(), f"{row['dataset']}: {row[inventory.TO_HAVE]}")


@data.command
def fetch(*names: str) -> int:
    """Fetch datasets from OpenML or scikit-learn into its cache, and check them; exit code 1 if one cannot be had.

    Parameters
    ----------
    names
        Such as mushroom.
    """
    from vbandits.data import inventory
    from vbandits.experiment.progress import print_outcomes

    return 0 if print_outcomes(Console(), inventory.fetch(names)) else FAILED


@data.command
def verify(*names: str, data_dir: Path | None = None) -> int:
    """Read datasets and check them against what was published; exit code 1 if one is missing, damaged or another.

    Parameters
    ----------
    names
        Such as mushroom; by default all that are found.
    data_dir
        Where files lie; by default what the environment variable VBANDITS_DATA names.
    """
    from vbandits.data import inventory
    from vbandits.experiment.progress import print_outcomes

    return 0 if print_outcomes(Console(), inventory.verify(names, data_dir)) else FAILED


@app.command
def bench() -> None:
    """Measure speed and memory, as ratios within one run: decisions, training steps, labels."""
    from vbandits.bench import decisions, labels, large_pool, memory, training

    console = Console()
    decisions(console)
    training(console)
    labels(console)
    memory(console)
    large_pool(console)


@app.command
def theory(
    *,
    out: Path = Path("results/theory"),
    only: str | None = None,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
) -> int:
    """Compute what is claimed about implicit-bias variational inference; exit code 1 if a claim fails.

    Parameters
    ----------
    out
        Folder of the page, its figures and a table of every number.
    only
        Checks to run, by id, separated by commas; all of them by default, which takes a few minutes.
    list_
        List the checks instead.
    """
    from vbandits.experiment.progress import output
    from vbandits.theory import running

    if list_:
        output().print(running.listing())
        return 0
    from vbandits.errors import require_writable

    checks = running.chosen(only)
    require_writable(out)
    outcomes = running.run(checks, Console(stderr=True))
    from vbandits.experiment.progress import print_line
    from vbandits.theory.page import write

    page = write(outcomes, out, shlex.join(["vbandits", *sys.argv[1:]]))
    output().print(running.table(outcomes))
    print_line(Console(stderr=True), f"Page: {page}")
    return 0 if all(outcome.passed for outcome in outcomes) else FAILED


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 some job failed, 2 invalid input, 130 interrupted."""
    for stream in {sys.stdout, sys.stderr} - {None}:  # a terminal that has not our signs shows others in their place
        getattr(stream, "reconfigure", dict)(errors="replace")
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        code = INVALID
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        from vbandits.errors import told

        if not (messages := told(error)):
            raise
        from vbandits.experiment.progress import print_line

        for message in messages:
            print_line(Console(stderr=True), f"error: {message}", "red")
        code = INVALID
    sys.exit(code or 0)


def _show(results: Any, folder: Path, presets: Path | None = None) -> int:
    """Writes the report of results, of a tuning also its presets, and prints what they say."""
    from vbandits.experiment.progress import print_line
    from vbandits.experiment.report import terminal, write

    console, complete = Console(stderr=True), True
    if "tuning" in results.experiment:
        from vbandits.tuning import files

        complete = files.leave(results, folder, presets, console)
    else:
        Console().print(terminal(results))
    page = write(results, folder / "report")  # where that is not possible, the table has been printed
    print_line(console, f"Report: {page}")
    return FAILED if not complete or any(job["status"] == "failed" for job in results.jobs) else 0
