"""`vbandits.run`: an experiment from Python, and what the command line stands on."""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from vbandits import registry
from vbandits.errors import ConfigError, require_writable
from vbandits.experiment import comparing, engines, extend, merging
from vbandits.experiment.benchmark import Experiment, Job
from vbandits.experiment.callbacks import check_callbacks
from vbandits.experiment.devices import places
from vbandits.experiment.engine import run_jobs
from vbandits.experiment.locking import LOCK, MOMENT, held, is_free, locked
from vbandits.experiment.progress import ProgressDisplay, place, print_line
from vbandits.experiment.resolve import benchmark_of, resolve
from vbandits.experiment.results import StoredResults
from vbandits.experiment.store import Store
from vbandits.registry import DEFAULT_BENCHMARK
from vbandits.report.formats import count
from vbandits.serialize import has_code


def run(
    environments: Sequence[Any] | None = None,
    agents: Sequence[Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    steps: int | None = None,
    *,
    data_dir: str | Path | None = None,
    name: str = "experiment",
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    overwrite: bool = False,
    callbacks: Sequence[Any] = (),
    log: str | Path | None = None,
    **content: Any,
) -> Any:
    """Runs methods on problems: agents on environments, learners on pools, or classifiers on datasets.

    Args:
        environments: ids, dicts as in an experiment file, `EnvironmentSpec`s, or classes or functions that make a
            `gymnasium.Env`.
        agents: names of presets, "module:name" of your own, dicts as in an experiment file (a part may be a class or an
            instance, a list makes an agent each), or `AgentSpec`s, such as `preset` returns. The uniform agent always
            runs as well.
        seeds: how many, counted from 0, or which; by default those of an experiment file that says nothing, 50 mostly.
        steps: decisions per seed, or gradient steps; by default those of an experiment file that says nothing.
        data_dir: where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
        name: of the experiment.
        out: results folder, in which a run goes on that was stopped, or that is asked for more: what is there already
            is not computed again; without one, results live in memory alone.
        device: "auto", "cpu" or "cuda".
        workers: jobs at a time; by default one per processor, of the cluster if there is an address, or per GPU.
        engine: what runs them: "local" processes, "dask" or "ray", which may run on other machines that see `out`.
        address: of a dask scheduler or a ray head; by default one is started here.
        overwrite: discards what another experiment left in `out`, instead of using it.
        callbacks: what follows the jobs: classes, of which every job has an instance of its own, instances, functions
            that are called after every step, or names, see `vbandits.callbacks`. Results are the same without them.
        log: a file that lines of JSON are appended to, see `vbandits.callbacks.Log`.
        content: other sections of an experiment file, entries as above: `problems` and `learners`, `datasets` and
            `methods`, or those of `benchmark`, "module:name" of your own; and its other keys: delay, batch, block,
            recorded, batch_size, evaluations, save, checkpoint, timeout, precision.

    Returns:
        The results of the benchmark, such as `vbandits.Results` of agents.

    Raises:
        vbandits.ConfigError: for bad input, with all its errors.
    """
    document = {"name": name, "seeds": seeds, "steps": steps, "device": device}
    document |= {"environments": environments, "agents": agents, "callbacks": callbacks, "log": log, **content}
    document = {key: value for key, value in document.items() if value is not None}
    sections = benchmark_of(document).sections
    document = {key: _listed(value) if key in sections else value for key, value in document.items()}
    experiment = resolve(document, data_dir=data_dir)
    if experiment.save and out is None:
        raise ConfigError("save: expected a results folder, in which agents are kept, got none: give out")
    with contextlib.ExitStack() as stack:
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="vbandits-"))
        how: dict[str, Any] = {"workers": workers, "engine": engine, "address": address, "overwrite": overwrite}
        results = execute(experiment, Store(folder), command="vbandits.run(...)", **how)
        return results if out else results.in_memory()


def preset(
    name: str, label: str | None = None, *, benchmark: str = DEFAULT_BENCHMARK, steps: int = 1000, **changed: Any
) -> Any:
    """Returns a preset at its tuned settings, with some of its parts changed.

    >>> vbandits.preset("ibvi", "mine", posterior={"rank": 20}, network=make_network)

    Args:
        name: such as "ibvi"; `vbandits list agents` shows them.
        label: how reports call it; by default its name.
        benchmark: "bandits", "active" (learners, with an `acquisition`) or "supervised".
        steps: of the run of a supervised method, over which its learning rate falls to zero.
        changed: parts as an entry of an experiment file has them: `posterior`, `rule`, `network`, `optimizer`, ...; a
            dict changes some fields, a class or an instance takes the place of the part.

    Returns:
        An `AgentSpec`, `LearnerSpec` or `MethodSpec`.

    Raises:
        vbandits.ConfigError: if there is no such preset, or what is changed cannot be.
    """
    kind = benchmark_of({"benchmark": benchmark})
    problems, methods = kind.sections
    entry = {"id": name, **({} if label is None else {"label": label}), **changed}
    config = registry.load(kind.config)
    run = {"steps": steps} if "steps" in config.file.model_fields else {}
    reader = config({"name": "preset", problems: [name], methods: [entry], **run})
    errors, found = reader.errors, reader.specs(methods, entry, f"preset({name!r})")
    if not errors and len(found) != 1:
        errors.append(f"preset({name!r}): expected one, got {len(found)}: {', '.join(one.label for one in found)}")
    if errors:
        raise ConfigError(*errors)
    return found[0]


def load(folder: str | Path) -> Any:
    """Returns the results that a run left in a folder: those of agents, learners or supervised methods.

    Raises:
        vbandits.ConfigError: if there are none.
    """
    return Store(folder).load()


def load_agent(
    path: str | Path,
    *,
    environment: str | None = None,
    agent: str | None = None,
    seed: int | Literal["all"] | None = None,
    device: str | None = None,
) -> Any:
    """Returns an agent that was kept, which acts, predicts and goes on learning, for as long as it is used.

    Its files are data alone. But where its declaration names a posterior, rule or network of a user's own
    ("module:name"), that module is imported, which runs the code in it: load such agents from people you trust.

    Args:
        path: of its file, or of the results folder of a run with `save`; of those in a folder, what its experiment asks
            for now counts.
        environment: label of the environment that it was trained in, where a folder holds several.
        agent: its label, where a folder holds several.
        seed: which of its seeds, as in seed=3; by default the first that there is. "all" has all of them side by side:
            everything that goes in and comes out then has their number R as its first axis.
        device: "cpu" or "cuda"; by default the one that it was trained on, if it is there.

    Returns:
        A `vbandits.agents.trained.TrainedAgent`, which tells when it is printed which seed it is, and which there are.

    Raises:
        vbandits.ConfigError: if there is no such agent, or its files are not what was written.
    """
    from vbandits.agents.trained import opened

    folder, wanted = Path(path), {"environment": environment, "agent": agent}
    store = Store(folder)
    return opened(folder, wanted, seed, device, store.keys() if store.described else None)


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


def merge(*folders: str | Path, out: str | Path) -> Any:
    """Makes one results folder of several: other seeds, methods or problems of one experiment, such as other machines'.

    All finished jobs that lie there are merged, also those of more than a folder was last asked for; what cannot be (of
    another content, such as another number of steps) stays behind, and is told.

    Args:
        folders: what runs left.
        out: the new folder.

    Returns:
        The results of the benchmark, of all jobs.

    Raises:
        ConfigError: if a label is not the same problem or method in all, or if a run has other results in one folder
            than in another.
    """
    return merging.merged(folders, Path(out), "vbandits.merge(...)")


def execute(
    experiment: Experiment,
    store: Store,
    *,
    command: str,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    overwrite: bool = False,
    paths: Iterable[str] = (),
    console: Console | None = None,
    shard: tuple[int, int] | None = None,
    apart: bool = False,
) -> StoredResults:
    """Runs the jobs of an experiment that its folder does not hold yet; jobs that failed before are tried again.

    Args:
        experiment: to run.
        store: its folder.
        command: that the report names.
        workers: jobs at a time.
        engine: one of `engines.NAMES`.
        address: of its cluster; by default one is started here.
        overwrite: discards what another experiment left there.
        paths: where a user's modules are.
        console: told what happens.
        shard: (i, n) to run the i-th of n parts, while other processes may run the others in the same folder.
        apart: whether jobs with a user's own code run in processes of their own also with one worker, so that nothing
            that it does can end this one.
    """
    console = console or Console(stderr=True)
    for note in experiment.notes:
        print_line(console, f"note: {note}", "yellow")
    address = engines.checked(engine, address)
    require_writable(store.folder)
    with interruptible(), contextlib.ExitStack() as stack:
        if shard is None:
            stack.enter_context(locked(store.folder))
            before = store.prepare(experiment, command, overwrite)
        else:
            before = stack.enter_context(sharing(store, experiment, command, shard))
        for note in store.notes:
            print_line(console, f"note: {note}", "yellow")
        jobs = store.missing(experiment, shard or (1, 1))
        document = experiment.document()
        if not jobs and shard is None:
            there = count(extend.runs(document, experiment.benchmark.axes), "run")
            print_line(console, f"all {there} were there already: none is computed again")
        for line in extend.told(before, document, jobs):
            print_line(console, line)
        again = sum(job.save and store.finished(job.key) is not None for job in jobs)
        if again:
            print_line(console, f"note: {again} jobs that had finished are made again, to keep what they train (save)")
        if jobs:
            workers = workers_for(experiment, len(jobs), workers) if address is None else workers
            callbacks = experiment.callbacks
            for note in check_callbacks(callbacks, 2 if workers is None else workers):
                print_line(console, f"note: {note}", "yellow")
            alone = experiment.timeout is not None or (apart and _foreign(jobs))
            with (
                engines.opened(engine, workers, address, experiment.device, alone) as opened,
                ProgressDisplay(jobs, store, opened.workers, console) as display,
            ):
                for marker in run_jobs(jobs, store, opened, tuple(paths), callbacks, experiment.timeout):
                    display.finish(marker)
                    for note in marker.get("notes", ()):
                        print_line(console, f"note: {place(marker, experiment.benchmark.axes)}: {note}", "yellow")
        return store.load()


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str | Mapping) or callable(value) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _foreign(jobs: Sequence[Job]) -> bool:
    """Says whether a user's own code is part of any job."""
    parts = {id(part): part for job in jobs for part in (job.problem, job.method)}  # each is in many jobs
    return any(has_code(part.describe()) for part in parts.values())


def workers_for(experiment: Experiment, jobs: int, wanted: int | None) -> int:
    """Returns how many jobs run at a time on this machine."""
    return max(1, min(wanted or places(experiment.device), jobs))


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
def sharing(store: Store, experiment: Experiment, command: str, shard: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Holds one part of an experiment, beside processes that hold others; gives the experiment as it was before."""
    part, parts = shard
    folder, own = store.folder, store.folder / f"{LOCK}-{part}-of-{parts}"
    taken = f"{folder}: expected a folder that no run writes to but other shards, got one in use"
    with contextlib.ExitStack() as stack:
        with held(folder / LOCK, taken, MOMENT):  # one after the other
            again = f"{folder}: expected each shard once, got --shard {part}/{parts} while it is running"
            stack.enter_context(held(own, again))
            others = [path for path in folder.glob(f"{LOCK}-*") if path != own and not is_free(path)]
            if others and not store.holds(experiment):
                raise ConfigError(
                    f"{folder}: expected a shard of the experiment whose other shards are running here, got one of "
                    "another experiment: give another --out"
                )
            before = store.prepare(experiment, command, overwrite=False, alone=not others)
        yield before
