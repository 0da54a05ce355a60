"""What an experiment will take, told before it is run: jobs, time, memory and disk, from a short calibration.

What has finished in the results folder tells its cost. Of every other method some steps are taken on the first problem,
and of every other problem some with one method; the cost of the rest is the product of what the method and the problem
are to these. A job's steps are taken by its own code, with all its seeds, until enough is known of them, and what they
leave is thrown away. Memory is that of this process, which has loaded what a worker loads.
"""

import heapq
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table

from vbandits.experiment import resources
from vbandits.experiment.benchmark import Experiment, Job, Progress, Values
from vbandits.experiment.isolation import isolated
from vbandits.experiment.made import duration
from vbandits.experiment.store import Store
from vbandits.report.formats import count

SECONDS, LONGEST = 1.5, 20.0
"""That a job's steps are taken for: as a rule, and where even a few of them take longer."""
FEW = 4
"""Steps that are taken in any case, if time allows."""
SIZED, WHOLE = 2, 1000
"""Seeds, and most steps, of the job whose tables are weighed: of more steps not more are recorded as a rule."""


class _Enough(Exception):
    """Ends a job whose cost is known."""


class _Watch(Progress):
    """Keeps when steps were taken, and ends the job when that is enough."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.points = [(0, self._now())]  # steps taken, and when

    def __call__(self, step: int, values: Values = dict, seeds: Sequence[int] | None = None) -> None:
        self.points.append((step, self._now()))
        self.beat()

    def beat(self, values: Values | None = None) -> None:
        first, now = self.points[min(1, len(self.points) - 1)][1], self._now()
        if now - self.points[0][1] > LONGEST or (now - first > SECONDS and len(self.points) > FEW):
            raise _Enough

    def seconds(self, steps: int, ended: bool) -> float | None:
        """Returns what a job of so many steps takes; None where not even one was taken.

        What goes before the first step is taken once; later steps are those of the second half of what was seen, as
        the first decide without having learned.
        """
        start = self.points[0][1]
        if ended:
            return self._now() - start
        if len(self.points) == 1:
            return None
        (taken, first), (last, end) = self.points[1], self.points[-1]
        if len(self.points) == 2:
            return (first - start) / taken * steps
        half, then = next(point for point in self.points[1:] if 2 * point[0] >= last or point is self.points[-2])
        return first - start + (end - then) / (last - half) * (steps - taken)

    def _now(self) -> float:
        """Returns CPU time, which other work on the machine does not change; on a GPU, which works beside it, the time
        of day."""
        if self._device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


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
        each: the cost of a seed by problem and method, as finished jobs had it.
    """

    jobs: list[Job]
    there: int = 0
    each: Mapping[tuple[str, str], Cost] = field(default_factory=dict)


def missing(experiment: Experiment, store: Store, shard: tuple[int, int] = (1, 1), overwrite: bool = False) -> Missing:
    """Returns what a run would compute, and changes nothing in its folder."""
    part, parts = shard
    whole = list(experiment.jobs(None, part - 1, parts))
    if overwrite:
        return Missing(whole)
    jobs, each, axes = store.missing(experiment, shard), {}, experiment.benchmark.axes
    wanted = len(experiment.seeds[: experiment.block])
    for marker in store.markers_of(experiment.document(), torn=False):
        if marker["status"] == "done" and 2 * len(marker["seeds"]) >= wanted:  # fewer seeds cost more each
            seconds = sum(marker["seconds"].values()) / len(marker["seeds"])
            each[marker[axes[0]], marker[axes[1]]] = Cost(seconds, marker["memory_mb"])
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
    failed: dict[str, str] = {}
    unknown: set[str] = set()
    if not jobs:
        return Plan([], workers, missing.there, disk=0.0)
    first = jobs[0].problem.label
    largest: dict[tuple[str, str], Job] = {}
    for job in jobs:
        at = job.problem.label, job.method.label
        largest[at] = max(job, largest.get(at, job), key=lambda one: len(one.seeds))
    known = {
        at: Cost((own.seconds or 0.0) * len(largest[at].seeds), own.memory)
        for at, own in missing.each.items()
        if at in largest
    }

    def cost(at: tuple[str, str]) -> Cost:
        if at not in known:
            tell(" · ".join(at))
            known[at] = _measured(largest[at], failed)
        return known[at]

    for at in largest:
        if at[0] == first:
            cost(at)
    # of the methods that learn, the one in the middle: the cheapest would be all beginning
    ranked = sorted((own.seconds or 0.0, at[1]) for at, own in known.items())
    middle = ranked[len(ranked) // 2][1]
    found: dict[str, float] = defaultdict(float)
    each, memory = [], 0.0
    for job in jobs:
        at = job.problem.label, job.method.label
        there = [(at[0], middle), (first, at[1]), (first, middle)]
        if at in known or not all(one in largest for one in there):
            own = cost(at)
        else:
            own = _product(*(cost(one) for one in there))
        if own.seconds is None and " · ".join(at) not in failed:
            unknown.add(at[1])
        seconds = (own.seconds or 0.0) * len(job.seeds) / len(largest[at].seeds)
        found[at[1]] += seconds
        memory = max(memory, own.memory or 0.0)
        each.append(seconds)
    tell("the size of the tables")
    size = _size(largest[first, middle])
    seeds = sum(len(job.seeds) for job in jobs)
    return Plan(
        jobs,
        workers,
        missing.there,
        dict(found),
        _scheduled(each, workers),
        memory,
        None if size is None else size * seeds,
        time.perf_counter() - begin,
        failed,
        tuple(sorted(unknown)),
    )


def shown(plan: Plan, experiment: Experiment, folder: Path) -> Iterator[Any]:
    """Yields what a person is told of a plan: lines, and a table of methods."""
    runs = sum(len(job.seeds) for job in plan.jobs)
    there = f", {count(plan.there, 'run')} need none" if plan.there else ""
    yield f"{experiment.name}: {count(len(plan.jobs), 'job')} for {count(runs, 'run')}, one per seed{there}"
    if not plan.jobs:
        return
    total = sum(plan.seconds.values())
    cores = "" if plan.workers == 1 else f" ({duration(total)} of one)"
    at_work = count(plan.workers, "worker")
    yield f"time: about {duration(plan.wall)} with {at_work}{cores}; calibration took {duration(plan.calibration)}"
    together = f", {plan.memory * plan.workers / 1024:.1f} GB with {at_work}" if plan.workers > 1 else ""
    yield f"memory: about {plan.memory:,.0f} MB for the largest job{together}"
    size = "not known" if plan.disk is None else f"about {plan.disk / 2**20:,.1f} MB in {folder}"
    yield f"disk: {size}, besides the report"
    for method in plan.unknown:
        yield f"{method} took no step within {LONGEST:g} s, and is not counted"
    for place, reason in plan.failed.items():
        yield f"{place} cannot begin: {reason}"
    table = Table(experiment.benchmark.axes[1], "time of its jobs", "share", box=box.SIMPLE)
    table.columns[1].justify = table.columns[2].justify = "right"
    for method, seconds in sorted(plan.seconds.items(), key=lambda item: -item[1]):
        table.add_row(method, duration(seconds), f"{seconds / total:.0%}" if total else "")
    yield table


def _product(problem: Cost, method: Cost, both: Cost) -> Cost:
    """Returns the cost of a method on a problem, of which only the other halves of two pairs are known."""
    seconds, memory = None, None
    if problem.seconds and method.seconds and both.seconds:
        seconds = problem.seconds * method.seconds / both.seconds
    if problem.memory and method.memory and both.memory:
        memory = max(problem.memory + method.memory - both.memory, problem.memory, method.memory)
    return Cost(seconds, memory)


def _measured(job: Job, failed: dict[str, str]) -> Cost:
    """Returns what a job takes, from some of its steps."""
    with isolated(), resources.one_thread():
        resources.reset(job.device)
        watch, ended = _Watch(job.device), False
        try:
            job.run(watch)
            ended = True
        except _Enough:
            pass
        except Exception as error:
            failed[f"{job.problem.label} · {job.method.label}"] = f"{type(error).__name__}: {error}"
            return Cost(None, None)
        return Cost(watch.seconds(job.steps, ended), resources.peak(job.device))


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
            store.finish(small, small.run(_Cap()), 0.0)
        except Exception:  # the plan has told what cannot begin
            return None
        total = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return total / len(small.seeds)


class _Cap(Progress):
    """Ends a job that takes too long."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __call__(self, step: int, values: Values = dict, seeds: Sequence[int] | None = None) -> None:
        self.beat()

    def beat(self, values: Values | None = None) -> None:
        if time.perf_counter() - self._start > LONGEST:
            raise _Enough


def _scheduled(seconds: Iterable[float], workers: int) -> float:
    """Returns when the last job ends, if each begins when a worker is free."""
    free = [0.0] * workers
    for own in seconds:
        heapq.heapreplace(free, free[0] + own)
    return max(free)
