"""`vbandits run` and `vbandits tune`."""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from vbandits.cli.app import FAILED, INTERRUPTED, app


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How an experiment is run.

    Parameters
    ----------
    out
        Results folder; results/NAME by default.
    name
        Of the experiment, instead of the file's; by default made of what is run.
    seeds
        How many, counted from 0, or which: 8, or 1,2,3, or 0-31; instead of the file's. By default 50, of logs 8, of
        datasets 3.
    steps
        Decisions per seed, or of datasets gradient steps, instead of the file's; 1000 by default. Problems and logs
        have none.
    data_dir
        Where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
    device
        Where to compute; auto, the default, takes a GPU where there is one.
    precision
        Of products on a GPU: highest (full float32, the default), high (TF32) or medium (bfloat16 where that is
        faster). On a CPU it changes nothing.
    set_
        Change a field in every section that has it: --set schedule.batch_size=128, --set kwargs.delta=0.9; or of one
        agent or environment: --set agents.ibvi.posterior.rank=10. A list, as posterior.rank=[2,5,10], makes one each.
        `vbandits list posteriors` and others tell fields and defaults.
    workers
        Jobs at a time; one per processor by default, or per GPU.
    engine
        What runs them: local (processes of this machine), dask or ray (also of others).
    address
        HOST:PORT of a dask scheduler or a ray head; by default one is started here.
    overwrite
        Discard what another experiment left in the same folder, instead of using what the two have in common.
    shard
        Run a part of the jobs, such as 2/8, while other processes run the others in the same folder, which all can see;
        no report is written: `vbandits report` does so once all have ended.
    callback
        What follows the jobs, beside the file's: my_module:MyCallback, or tensorboard, wandb, mlflow, trackio.
    log
        File that what happens is appended to, as lines of JSON.
    timeout
        Seconds that a job may take: one that hangs fails, and the others go on. Any time by default.
    """

    out: Path | None = None
    name: str | None = None
    seeds: str | None = None
    steps: int | None = None
    data_dir: Path | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    precision: Literal["highest", "high", "medium"] | None = None
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None
    workers: int | None = None
    engine: str = "local"
    address: str | None = None
    overwrite: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    shard: str | None = None
    callback: Annotated[list[str] | None, Parameter(negative=())] = None
    log: Path | None = None
    timeout: float | None = None


HOW = RunOptions()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is run of the sections of an experiment: names that commas separate.

    Parameters
    ----------
    environments
        Labels or ids of the file's, or others: vbandits/Wheel-v0,CartPole-v1.
    agents
        Labels or ids of the file's, or others: ibvi,ensemble, or "ibvi rank=2" of a sweep; without a file, all presets.
    problems
        Labels of the file's, of active learning.
    learners
        Labels of the file's, methods with all their acquisitions, or acquisitions of all methods.
    datasets
        Labels or ids of the file's, or others: digits,mnist.
    methods
        Labels or ids of the file's, or others; without a file, all presets.
    logs
        Labels or ids of the file's, or others.
    policies
        Labels or ids of the file's, or others.
    """

    environments: str | None = None
    agents: str | None = None
    problems: str | None = None
    learners: str | None = None
    datasets: str | None = None
    methods: str | None = None
    logs: str | None = None
    policies: str | None = None

    def with_others(self, others: dict[str, str]) -> dict[str, str]:
        """Returns the names by section, with those of sections of a user's own benchmark."""
        return {name: value for name, value in vars(self).items() if value is not None} | others


ALL = Chosen()
Others = Annotated[str, Parameter(show=False)]
"""Options that are none of these: sections of a user's own benchmark, or slips, which are told."""


@app.command
def run(file: Path | None = None, *, only: Chosen = ALL, how: RunOptions = HOW, **others: Others) -> int:
    """Run an experiment, or go on with one that was stopped, or that is asked for more: only what is new is computed.

    Parameters
    ----------
    file
        Experiment file (TOML). Without one, give --environments and --agents, or --datasets and --methods.
    """
    return _run(file, how, _resolved(file, only.with_others(others), how))


@app.command
def plan(file: Path | None = None, *, only: Chosen = ALL, how: RunOptions = HOW, **others: Others) -> int:
    """Tell what a run will take, before it is run: jobs, time, memory, disk. Takes a few steps of each method and
    problem; options are those of `run`, whose results folder is looked at and not changed.

    Parameters
    ----------
    file
        Experiment file (TOML). Without one, give --environments and --agents, or --datasets and --methods.
    """
    from vbandits.api import workers_for
    from vbandits.experiment import planning
    from vbandits.experiment.progress import output, print_line

    asked = _asked(file, how, _resolved(file, only.with_others(others), how))
    console = Console(stderr=True)
    for note in asked.experiment.notes:
        print_line(console, f"note: {note}", "yellow")
    missing = planning.missing(asked.experiment, asked.store, asked.shard or (1, 1), how.overwrite)
    workers = workers_for(asked.experiment, len(missing.jobs), how.workers)
    with console.status("calibrating") as status:
        found = planning.plan(missing, workers, lambda what: status.update(f"calibrating: {what}"))
    for line in planning.shown(found, asked.experiment, asked.store.folder):
        output().print(line)
    return FAILED if found.failed else 0


@app.command
def tune(file: Path, *, only: Chosen = ALL, how: RunOptions = HOW, write: Path | None = None, **others: Others) -> int:
    """Try settings of methods, as many of each, and write the best as presets; goes on where it was stopped.

    Parameters
    ----------
    file
        Experiment file (TOML) with `settings`, how many are tried of every method, and methods with a `search`.
    write
        Where to write the presets, beside presets.toml in the results folder.
    """
    from vbandits.errors import ConfigError, require_writable
    from vbandits.tuning.experiment import check_replaced, resolve_tuning

    if write is not None and (write.is_dir() or not write.parent.is_dir()):
        raise ConfigError(f"--write: expected a file in a folder that exists, got {str(write)!r}")
    if write is not None:
        require_writable(write.parent)

    chosen = only.with_others(others)

    def resolved(document: dict[str, Any], options: list[str]) -> Any:
        experiment = resolve_tuning(document, chosen, how.set_ or (), how.data_dir, [*options, "write"])
        if write is not None and write.exists():
            check_replaced(write, experiment)
        return experiment

    return _run(file, how, resolved, write)


Resolved = Callable[[dict[str, Any], list[str]], Any]
"""Returns the experiment of a document, given also the names of all options."""


def _resolved(file: Path | None, chosen: dict[str, str], how: RunOptions) -> Resolved:
    """Returns what makes an experiment of a file, or of names alone."""
    from vbandits.experiment.resolve import ad_hoc, resolve, select

    def resolved(document: dict[str, Any], options: list[str]) -> Any:
        settings = how.set_ or []
        document = select(document, chosen, options, settings)
        return resolve(document if file else ad_hoc(document, settings), settings, how.data_dir)

    return resolved


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        experiment: what is to be run.
        store: its results folder.
        paths: where a user's modules are.
        shard: (i, n) for a part of the jobs.
    """

    experiment: Any
    store: Any
    paths: list[str]
    shard: tuple[int, int] | None


def _asked(file: Path | None, how: RunOptions, resolved: Resolved) -> Asked:
    """Returns what a file and options ask for, or raises a ConfigError."""
    from vbandits.errors import ConfigError
    from vbandits.experiment import engines
    from vbandits.experiment.engine import extend_path
    from vbandits.experiment.resolve import read
    from vbandits.experiment.store import Store

    if how.workers is not None and how.workers < 1:
        raise ConfigError(f"--workers: expected at least 1, got {how.workers}")
    engines.checked(how.engine, how.address)
    shard = shard_of(how)
    paths = [str(Path.cwd()), *([str(file.resolve().parent)] if file else [])]
    extend_path(paths)
    document = read(file) if file else {}
    for name in ("name", "seeds", "steps", "device", "precision", "log", "timeout"):
        if (value := getattr(how, name)) is not None:
            document[name] = value
    if how.callback:
        document["callbacks"] = [*document.get("callbacks", []), *how.callback]
    experiment = resolved(document, [field.name.rstrip("_").replace("_", "-") for field in fields(how)])
    return Asked(experiment, Store(how.out or Path("results") / experiment.name), paths, shard)


def _run(file: Path | None, how: RunOptions, resolved: Resolved, presets: Path | None = None) -> int:
    """Runs an experiment, shows its results, and returns the exit code; `presets` is where to write a tuning's."""
    from vbandits.api import execute
    from vbandits.experiment.progress import print_line

    asked = _asked(file, how, resolved)
    store = asked.store
    console = Console(stderr=True)
    command = shlex.join(["vbandits", *sys.argv[1:]])
    try:
        results = execute(
            asked.experiment,
            store,
            command=command,
            workers=how.workers,
            engine=how.engine,
            address=how.address,
            overwrite=how.overwrite,
            paths=asked.paths,
            console=console,
            shard=asked.shard,
            apart=True,
        )
    except KeyboardInterrupt:
        print_line(console, f"\nInterrupted. Finished jobs are kept in {store.folder}; to go on:\n  {command}")
        return INTERRUPTED
    return show(results, store.folder, presets) if asked.shard is None else show_shard(results, store.folder)


def shard_of(how: RunOptions) -> tuple[int, int] | None:
    """Returns (i, n) of --shard i/n.

    Raises:
        ConfigError: for anything else.
    """
    from vbandits.errors import ConfigError

    if how.shard is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", how.shard)
    part, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigError(f"--shard: expected i/n with i from 1 to n, such as 2/8, got {how.shard!r}")
    if how.overwrite:
        raise ConfigError("--shard: expected a folder that is shared with other shards, got --overwrite as well")
    return part, parts


def show_shard(results: Any, folder: Path) -> int:
    """Prints how much of an experiment is there, and returns the exit code; the report is for all of it."""
    from vbandits.experiment.extend import runs
    from vbandits.experiment.progress import print_line

    wanted = runs(results.experiment, results.axes)
    done = sum(len(job["seeds"]) for job in results.jobs if job["status"] == "done")
    text = f"{done:,} of {wanted:,} runs are done, by all shards; when they have ended:\n  vbandits report {folder}"
    print_line(Console(stderr=True), text)
    return FAILED if any(job["status"] == "failed" for job in results.jobs) else 0


def show(results: Any, folder: Path, presets: Path | None = None) -> int:
    """Writes the report of results, of a tuning also its presets, and prints what they say."""
    from vbandits.experiment.made import remarks
    from vbandits.experiment.progress import print_line
    from vbandits.experiment.report import place, terminal, unmade, write

    console, complete = Console(stderr=True), True
    for remark in [*remarks(results), *unmade(results)]:
        print_line(console, f"note: {remark}", "yellow")
    if "tuning" in results.experiment:
        from vbandits.tuning import files

        complete = files.leave(results, folder, presets, console)
    else:
        Console().print(terminal(results))
    page = write(results, place(folder))  # where that is not possible, the table has been printed
    print_line(console, f"Report: {page}")
    return FAILED if not complete or any(job["status"] == "failed" for job in results.jobs) else 0
