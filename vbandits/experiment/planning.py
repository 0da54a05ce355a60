"""What an experiment will take, told before it is run: jobs, time, memory and disk, from a short calibration.

What has finished in the results folder tells its cost. Of every other method some steps are taken on the first problem,
and on the costliest if that is another one by far; of every other problem some with one method. The cost of the rest is
the product of what the method and the problem are to these. A job's steps are taken by its own code, with all its
seeds, until enough is known of them, and what they leave is thrown away. Memory is that of this process, which has
loaded what a worker loads.
"""

import heapq
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Table

from vbandits.experiment import parts, resources
from vbandits.experiment.benchmark import Experiment, Job, Progress, Values
from vbandits.experiment.devices import places
from vbandits.experiment.isolation import isolated
from vbandits.experiment.made import duration
from vbandits.experiment.store import Store
from vbandits.report.formats import count

SECONDS, LONGEST = 1.5, 20.0
"""That a job's steps are taken for: as a rule, and where even a few of them take longer."""
COSTLY = 2.0
"""How many times as much as on the first problem a job takes where every method is measured as well."""
FEW = 4
"""Steps that are taken in any case, if time allows."""
SIZED, WHOLE = 2, 1000
"""Seeds, and most steps, of the job whose tables are weighed: of more steps not more are recorded as a rule."""


class _Enough(BaseException):
    """Ends a job whose cost is known; no exception that a user's code may catch."""


class _Taken(NamedTuple):
    """Where a job is: steps taken, the time, and how much of it was evaluation."""

    steps: int
    at: float
    evaluation: float


class _Watch(Progress):
    """Keeps when steps were taken, and ends the job when that is enough."""

    def __init__(self, device: str, enough: float = math.inf) -> None:
        """Takes the device, and the seconds after which a few steps are enough; by default the job may end."""
        self._device, self._enough = device, enough
        self._evaluation = 0.0
        self.points = [_Taken(0, resources.now(self._device), 0.0)]

    def __call__(self, step: int, values: Values = dict, seeds: Sequence[int] | None = None) -> None:
        self.points.append(_Taken(step, resources.now(self._device), self._evaluation))
        self.beat()

    def beat(self, values: Values | None = None) -> None:
        first, now = self.points[min(1, len(self.points) - 1)].at, resources.now(self._device)
        if now - self.points[0].at > LONGEST or (now - first > self._enough and len(self.points) > FEW):
            raise _Enough

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Takes the time of what is done inside."""
        before = resources.now(self._device)
        yield
        self._evaluation += resources.now(self._device) - before

    def seconds(self, steps: int, ended: bool) -> float | None:
        """Returns what a job of so many steps takes; None where not even one was taken.

        What goes before the first step is taken once; later steps are those of the second half of what was seen, as
        the first decide without having learned. An evaluation in that half comes again whenever the steps have doubled.
        What comes after the last step is not told.
        """
        start = self.points[0].at
        if ended:
            return resources.now(self._device) - start
        if len(self.points) == 1:
            return None
        first, last = self.points[1], self.points[-1]
        if len(self.points) == 2:
            return (first.at - start) / first.steps * steps
        half = next(point for point in self.points[1:] if 2 * point.steps >= last.steps or point is self.points[-2])
        if half.steps == last.steps:  # it told one step several times
            return (last.at - start) / last.steps * steps
        evaluation = last.evaluation - half.evaluation
        each = (last.at - half.at - evaluation) / (last.steps - half.steps)
        return first.at - start + each * (steps - first.steps) + evaluation * math.log2(steps / half.steps)


Pair = tuple[str, str]
"""Labels of a problem and a method."""


@dataclass(frozen=True)
class Cost:
    """Of a job: seconds and the most memory in MB; None where it is not known."""

    seconds: float | None
    memory: float | None


@dataclass(frozen=True)
class Missing:
    """What is to be run.

    Attributes:
        jobs: in their order.
        there: runs that have finished.
        each: the cost of a seed by problem and method, as finished jobs had it, and how many seeds these had.
    """

    jobs: list[Job]
    there: int = 0
    each: Mapping[Pair, tuple[Cost, int]] = field(default_factory=dict)


def missing(experiment: Experiment, store: Store, shard: tuple[int, int] = (1, 1), overwrite: bool = False) -> Missing:
    """Returns what a run would compute, and changes nothing in its folder."""
    part, parts = shard
    whole = list(experiment.jobs(None, part - 1, parts))
    if overwrite and not store.holds(experiment):
        return Missing(whole)
    store.require_ours()
    jobs, axes = store.missing(experiment, shard), experiment.benchmark.axes
    each: dict[Pair, tuple[Cost, int]] = {}
    for marker in store.markers_of(experiment.document(), torn=False):
        if marker["status"] == "done":
            at, count = (marker[axes[0]], marker[axes[1]]), len(marker["seeds"])
            if count >= each.get(at, (None, 0))[1]:
                each[at] = Cost(sum(marker["seconds"].values()) / count, marker["memory_mb"]), count
    seeds = [sum(len(job.seeds) for job in some) for some in (whole, jobs)]
    return Missing(jobs, seeds[0] - seeds[1], each)


@dataclass(frozen=True)
class Plan:
    """What an experiment will take.

    Attributes:
        jobs: that are to be run.
        there: runs that need none.
        seconds: of all jobs by the label of their method, on one core or on a GPU.
        wall: seconds from the beginning to the end, with so many workers.
        memory: MB of the largest job.
        disk: bytes of what is left; None where it is not known.
        calibration: seconds that it took to find out.
        failed: what was raised where a job could not even begin, by the labels of its problem and method.
        unknown: labels of methods of which a job took no step in time: they count for nothing.
    """

    jobs: list[Job]
    workers: int
    there: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    memory: float = 0.0
    disk: float | None = None
    calibration: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def plan(missing: Missing, workers: int, tell: Any = lambda what: None) -> Plan:
    """Returns what jobs of an experiment will take.

    Args:
        missing: that are to be run, and what is known of those that have finished.
        workers: jobs at a time.
        tell: is told what is calibrated.
    """
    begin, jobs = time.perf_counter(), missing.jobs
    costs = _Costs(missing.each, tell)
    if not jobs:
        return Plan([], workers, missing.there, disk=0.0)
    found: dict[str, float] = defaultdict(float)
    each, memory, sizes = [], 0.0, [len(job.seeds) for job in jobs]
    for size in dict.fromkeys(sizes):  # in lockstep, more seeds cost less each
        for job, own in costs.of([job for job, seeds in zip(jobs, sizes, strict=True) if seeds == size]):
            found[job.method.label] += own.seconds or 0.0
            memory = max(memory, own.memory or 0.0)
            each.append(own.seconds or 0.0)
    tell("the size of the tables")
    size = _size(costs.typical or jobs[0])
    return Plan(
        jobs,
        workers,
        missing.there,
        dict(found),
        _scheduled(each, workers),
        memory,
        None if size is None else size * sum(sizes),
        time.perf_counter() - begin,
        costs.failed,
        tuple(sorted(costs.unknown)),
    )


class _Costs:
    """What jobs cost, from as few of them as will do.

    Attributes:
        failed, unknown: see `Plan`.
        typical: a job of the first problem, whose method is neither cheap nor dear; None before the first cost.
    """

    def __init__(self, each: Mapping[Pair, tuple[Cost, int]], tell: Callable[[str], Any]) -> None:
        """Takes what a seed of finished jobs cost, with how many seeds they had, and who is told what is measured."""
        self.failed: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.typical: Job | None = None
        self._each, self._tell = each, tell

    def of(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Cost]]:
        """Yields the cost of jobs of as many seeds as each other."""
        by_pair = {(job.problem.label, job.method.label): job for job in jobs}
        problems = [*dict.fromkeys(problem for problem, _ in by_pair)]
        first = problems[0]
        known = {at: self._cost(job) for at, job in by_pair.items() if at[0] == first}
        ranked = sorted((own.seconds, at[1]) for at, own in known.items() if own.seconds)
        middle = ranked[len(ranked) // 2][1] if ranked else ""
        self.typical = self.typical or by_pair.get((first, middle))
        for problem in problems:
            at = problem, middle
            if at in by_pair and at not in known:
                known[at] = self._cost(by_pair[at])
        costs = {problem: known[problem, middle].seconds or 0.0 for problem in problems if (problem, middle) in known}
        costliest = max(costs, key=lambda problem: costs[problem], default=first)
        if costs and costs[costliest] > COSTLY * costs[first]:
            known |= {at: self._cost(job) for at, job in by_pair.items() if at[0] == costliest and at not in known}
        for job in jobs:
            at = job.problem.label, job.method.label
            if at not in known:
                halves = (known.get(pair) for pair in ((at[0], middle), (first, at[1]), (first, middle)))
                known[at] = _product(*halves) or self._cost(job)
            yield job, known[at]

    def _cost(self, job: Job) -> Cost:
        """Returns the cost of a job, measured unless it is known of about as many seeds."""
        at, count = (job.problem.label, job.method.label), len(job.seeds)
        finished, seeds = self._each.get(at, (Cost(None, None), 0))
        if finished.seconds is not None and seeds <= 2 * count and count <= 2 * seeds:
            return Cost(finished.seconds * count, finished.memory)
        self._tell(" · ".join(at))
        own = _measured(job, self.failed)
        if own.seconds is None and " · ".join(at) not in self.failed:
            self.unknown.add(at[1])
        return own


def shown(plan: Plan, experiment: Experiment, folder: Path) -> Iterator[Any]:
    """Yields what a person is told of a plan: lines, and a table of methods."""
    runs = sum(len(job.seeds) for job in plan.jobs)
    if not plan.jobs:
        yield f"{experiment.name}: nothing to run, {count(plan.there, 'run')} have finished"
        return
    there = f", {count(plan.there, 'run')} need none" if plan.there else ""
    yield f"{experiment.name}: {count(len(plan.jobs), 'job')} for {count(runs, 'run')}, one per seed{there}"
    total = sum(plan.seconds.values())
    cores = "" if plan.workers == 1 else f" ({duration(total)} of one)"
    at_work = count(plan.workers, "worker")
    yield f"time: about {duration(plan.wall)} with {at_work}{cores}, besides starting and the report"
    yield f"calibration took {duration(plan.calibration)}"
    gpus = min(places("cuda"), plan.workers) if experiment.device == "cuda" else 0
    sharing = -(-plan.workers // max(gpus, 1))  # one memory
    on = f" on each of {count(gpus, 'GPU')}" if gpus > 1 else ""
    together = f", {plan.memory * sharing / 1024:.1f} GB with {count(sharing, 'worker')}" if sharing > 1 else ""
    yield f"memory: about {plan.memory:,.0f} MB for the largest job{together}{on}"
    size = "not known" if plan.disk is None else f"about {plan.disk / 2**20:,.1f} MB in {folder}"
    yield f"disk: {size}, besides the report"
    for method in plan.unknown:
        yield f"{escape(method)} took no step within {LONGEST:g} s, and is not counted"
    for place, reason in plan.failed.items():
        yield escape(f"{place} cannot begin: {reason}")
    table = Table(experiment.benchmark.axes[1], "time of its jobs", "share", box=box.SIMPLE)
    table.columns[1].justify = table.columns[2].justify = "right"
    for method, seconds in sorted(plan.seconds.items(), key=lambda item: -item[1]):
        table.add_row(escape(method), duration(seconds), f"{seconds / total:.0%}" if total else "")
    yield table


def _product(problem: Cost | None, method: Cost | None, both: Cost | None) -> Cost | None:
    """Returns the cost of a method on a problem, of which only the other halves of two pairs are known; None where one
    of them is not."""
    if problem is None or method is None or both is None:
        return None
    if not (problem.seconds and method.seconds and both.seconds):
        return None
    memory = None
    if problem.memory and method.memory and both.memory:
        memory = max(problem.memory + method.memory - both.memory, problem.memory, method.memory)
    return Cost(problem.seconds * method.seconds / both.seconds, memory)


def _measured(job: Job, failed: dict[str, str]) -> Cost:
    """Returns what a job takes, from some of its steps."""
    with isolated(), resources.one_thread():
        resources.reset(job.device)
        watch, ended, smaller = _Watch(job.device, SECONDS), False, None
        try:
            job.run(watch)
            ended = True
        except _Enough:
            pass
        except (Exception, SystemExit) as error:
            if len(job.seeds) == 1 or not resources.exhausted(error):
                failed[f"{job.problem.label} · {job.method.label}"] = f"{type(error).__name__}: {error}"
                return Cost(None, None)
            smaller = replace(job, seeds=job.seeds[: parts.half(len(job.seeds))])
        if smaller is None:
            return Cost(watch.seconds(job.steps, ended), resources.peak(job.device))
    own = _measured(smaller, failed)  # it will be run in parts
    each = None if own.seconds is None else own.seconds / len(smaller.seeds)
    return Cost(None if each is None else each * len(job.seeds), own.memory)


def _size(job: Job) -> float | None:
    """Returns the bytes of a seed's tables, of a job that is made smaller; None where that takes too long as well."""
    options = dict(job.options)
    if "steps" in options:
        options["steps"] = min(options["steps"], WHOLE)
    small = replace(job, seeds=job.seeds[:SIZED], options=options, save=False)
    with tempfile.TemporaryDirectory(prefix="vbandits-") as folder, isolated(), resources.one_thread():
        store = Store(folder)
        store.jobs.mkdir()
        try:
            store.finish(small, small.run(_Watch(small.device)), 0.0)
        except (Exception, SystemExit, _Enough):  # the plan has told what cannot begin
            return None
        total = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return total / len(small.seeds)


def _scheduled(seconds: Iterable[float], workers: int) -> float:
    """Returns when the last job ends, if each begins when a worker is free."""
    free = [0.0] * workers
    for own in seconds:
        heapq.heapreplace(free, free[0] + own)
    return max(free)
