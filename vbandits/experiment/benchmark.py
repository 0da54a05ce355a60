"""What a benchmark declares, and what is the same for all of them: an experiment, its jobs, and what a job leaves."""

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from vbandits.registry import BENCHMARKS, DEFAULT_BENCHMARK, find, load
from vbandits.report.formats import plural
from vbandits.serialize import canonical, slug

MADE = ("schema", "fingerprint", "command", "started", "commit", "versions", "machine", "history", "edited", "told")
"""How an experiment was made, as far as its `experiment.json` says so, whether that is not as it was written, and
what is told of its problems in words; the rest of it is what was asked for."""
APART = ("kind", "name", "seeds", "block", "device", "precision", "tuning")
"""What is asked for beside problems, methods and options."""
Values = Callable[[], Mapping[str, Any]]
"""Returns what has happened by name, each [R, ...] or one for all seeds; called only where somebody wants to know."""


class Progress:
    """What a job calls to tell how far it is. Nobody listens to this one; `experiment.observer` has one that is heard.

    A job that calls it changes nothing by it, and pays nothing for what nobody wants to know.
    """

    def __call__(self, step: int, values: Values = dict, seeds: Sequence[int] | None = None) -> None:
        """Tells that a step is taken.

        Args:
            step: how many are taken by now.
            values: what happened in it.
            seeds: that it was a step of; by default all seeds of the job.
        """

    def beat(self, values: Values | None = None) -> None:
        """Tells that the job is still alive, and what is known by now, where no step is taken."""

    def update(self, step: int, diverged: Callable[[], Any]) -> AbstractContextManager[None]:
        """Tells that what is done inside is learning.

        Args:
            step: how many steps are taken by now.
            diverged: returns which seeds' posteriors have diverged [R].
        """
        return nullcontext()

    def evaluation(self) -> AbstractContextManager[None]:
        """Tells that what is done inside comes again only when twice as many steps are taken."""
        return nullcontext()


UNHEARD = Progress()
FULL = "highest"
"""Precision of products in full float32, unless an experiment says otherwise; see `devices.products`."""
CHECKPOINT = 300.0
"""Seconds from one checkpoint of a job to the next, unless an experiment says otherwise."""


@dataclass(frozen=True)
class Benchmark:
    """One kind of experiment: methods that are compared on problems. References are "module:name", loaded when needed.

    Attributes:
        name: what `experiment.json` calls it: its name in `registry.BENCHMARKS`, or "module:name".
        axes: what a problem and a method are called; an experiment file lists them as sections, in the plural.
        config: an `experiment.config.Config`, which makes an experiment of a file's content.
        run: a function of a `Job` and a `Progress` that returns an `Outcome`.
        results: an `experiment.results.StoredResults`, what is read back.
        report: a function of the results that returns a `report.page.Report`.
        layout: a `report.terminal.Layout`, of the tables that a run ends with.
        presets: a dict of methods by name, each as the sections of an experiment file.
        live: of the values that jobs tell, those that are shown while they run, as means over seeds.
        baseline: label of the method beside whose the first of them, a sum over steps, is shown; none if empty.
        ad_hoc: whether names of problems and methods are enough for an experiment, without a file.
        resumes: whether `run` has a third parameter, the file of a checkpoint, from which it goes on if it is there.
    """

    name: str
    axes: tuple[str, str]
    config: str
    run: str
    results: str
    report: str
    layout: str
    presets: str
    ad_hoc: bool = True
    live: tuple[str, ...] = ()
    baseline: str = ""
    resumes: bool = False

    @property
    def sections(self) -> tuple[str, str]:
        """The sections of an experiment file by which the benchmark is known."""
        return plural(self.axes[0]), plural(self.axes[1])


def benchmarks() -> list[Benchmark]:
    """Returns those that are registered."""
    return [load(place) for place in BENCHMARKS.values()]


def benchmark(name: Any, *, imports: bool = False) -> Benchmark:
    """Returns a benchmark by its name, or a user's own by its "module:name".

    Args:
        name: of it.
        imports: whether its module is imported; if not, it must have been before, since a results folder, which is
            data, may name any.

    Raises:
        ValueError: if there is none.
    """
    found = find("benchmark", name, BENCHMARKS, imports=imports)
    if not isinstance(found, Benchmark):
        raise ValueError(f"expected {name!r} to be a vbandits.experiment.benchmark.Benchmark, got {found!r}")
    return found


@dataclass
class Outcome:
    """What a job leaves.

    Attributes:
        records: a table with a column `seed`.
        diverged: the seeds whose posterior diverged.
        seconds: wall time by purpose.
        held_out: a second table with a column `seed`, evaluated on held-out contexts; None if there are none.
        keep: writes what was trained to files that begin with a path; None if it is not to be kept, or cannot be.
        notes: what a person should know of it.
        parts: in how many parts of its seeds it was run, one after another, for want of memory.
    """

    records: pd.DataFrame
    diverged: tuple[int, ...]
    seconds: dict[str, float]
    held_out: pd.DataFrame | None = None
    keep: Callable[[Path], None] | None = None
    notes: tuple[str, ...] = ()
    parts: int = 1


class Keys:
    """Names of the files of jobs: readable, and different wherever the results could be."""

    def __init__(
        self,
        problems: Iterable[Mapping[str, Any]],
        methods: Iterable[Mapping[str, Any]],
        options: Sequence[Any],
        device: str,
        precision: str = FULL,
    ) -> None:
        """Takes problems and methods as they describe themselves, and what else results depend on."""
        self._problems, self._methods = (
            {entry["label"]: canonical(entry) for entry in entries} for entries in (problems, methods)
        )
        how = (device,) if precision == FULL else (device, precision)
        self._rest = [canonical(value) for value in (*options, *how)]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Keys":
        """Returns those of an experiment as `experiment.json` has it."""
        sections = benchmark(document.get("kind", DEFAULT_BENCHMARK)).sections
        options = [value for name, value in document.items() if name not in (*MADE, *APART, *sections)]
        how = document["device"], document.get("precision", FULL)
        return cls(document[sections[0]], document[sections[1]], options, *how)

    def content(self, problem: Any, method: Any) -> tuple[str, ...] | None:
        """Returns what the results of a problem and a method depend on beside the seeds; None of unknown labels."""
        if not (isinstance(problem, str) and problem in self._problems):
            return None
        if not (isinstance(method, str) and method in self._methods):
            return None
        return (self._problems[problem], self._methods[method], *self._rest)

    def of(self, problem: Any, method: Any, seeds: Sequence[int]) -> str:
        """Returns the key of a job; "" of unknown labels."""
        content = self.content(problem, method)
        if content is None:
            return ""
        first, second, *rest = content
        whole = ", ".join([first, second, canonical(list(seeds)), *rest])
        names = (problem, method, f"{seeds[0]}-{seeds[-1]}")
        return "--".join([*(slug(name) for name in names), hashlib.sha256(f"[{whole}]".encode()).hexdigest()[:10]])


@dataclass(frozen=True)
class Job:
    """One problem, one method, a block of seeds in lockstep: the unit of parallelism and of resumption.

    Problems and methods can be pickled. They have a `label`, which reports call them by, and `describe()`, which
    returns everything that results depend on as JSON, the label included. Where no option is called `steps`, a
    problem has `steps(seeds)`: how many steps a job of so many seeds reports.

    Attributes:
        options: what else the results depend on, such as the number of steps.
        device: "cpu" or "cuda".
        save: whether what it trains is kept.
        checkpoint: seconds from one checkpoint to the next.
        precision: of products on a GPU.
        whole: the seeds of the job that it is a part of, under whose key it goes; none of one that is whole.
    """

    benchmark: Benchmark
    problem: Any
    method: Any
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    device: str = "cpu"
    save: bool = False
    checkpoint: float = CHECKPOINT
    precision: str = FULL
    whole: tuple[int, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Labels of the problem and of the method by axis: {"environment": "wheel", "agent": "ibvi"}."""
        return dict(zip(self.benchmark.axes, (self.problem.label, self.method.label), strict=True))

    @property
    def steps(self) -> int:
        """Steps that it reports to `progress`."""
        return self.options["steps"] if "steps" in self.options else self.problem.steps(len(self.seeds))

    @cached_property
    def key(self) -> str:
        """The name of its files."""
        how = [*self.options.values()], self.device, self.precision
        keys = Keys([self.problem.describe()], [self.method.describe()], *how)
        return keys.of(self.problem.label, self.method.label, self.whole or self.seeds)

    def run(self, progress: Progress = UNHEARD, checkpoint: Path | None = None) -> Outcome:
        """Runs it from its first step to its last, or from that of a checkpoint on, where its benchmark has them."""
        from vbandits.experiment.devices import products  # torch, which what only names a benchmark does without

        more = (checkpoint,) if self.benchmark.resumes and checkpoint is not None else ()
        with products(self.device, self.precision):
            return load(self.benchmark.run)(self, progress, *more)


@dataclass(frozen=True)
class Experiment:
    """Problems x methods x seeds, validated and ready to run.

    Attributes:
        name: names the results folder.
        options: what else the results depend on, in the order in which a job's key has them.
        block: most seeds in one job.
        device: "cpu" or "cuda".
        notes: what a person should know before it runs.
        tuning: where its methods are settings that are tried, which ones of what, see `vbandits.tuning.experiment`.
        callbacks: that follow its jobs, see `experiment.callbacks`; results do not depend on them.
        save: whether what is trained is kept.
        checkpoint: seconds from one checkpoint of a job to the next.
        timeout: seconds that a job may take; None for any time.
        precision: of products on a GPU: "highest", "high" or "medium", see `devices.products`.
    """

    benchmark: Benchmark
    name: str
    seeds: tuple[int, ...]
    problems: tuple[Any, ...]
    methods: tuple[Any, ...]
    options: Mapping[str, Any]
    block: int = 64
    device: str = "cpu"
    notes: tuple[str, ...] = ()
    tuning: Mapping[str, Any] | None = None
    callbacks: tuple[Any, ...] = ()
    save: bool = False
    checkpoint: float = CHECKPOINT
    timeout: float | None = None
    precision: str = FULL

    def document(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that its results depend on."""
        problems, methods = self.benchmark.sections
        return {
            **({} if self.benchmark.name == DEFAULT_BENCHMARK else {"kind": self.benchmark.name}),
            "name": self.name,
            "seeds": list(self.seeds),
            **self.options,
            problems: [problem.describe() for problem in self.problems],
            methods: [method.describe() for method in self.methods],
            "block": self.block,
            "device": self.device,
            **({} if self.precision == FULL else {"precision": self.precision}),
            **({} if self.tuning is None else {"tuning": dict(self.tuning)}),
        }

    @property
    def told(self) -> dict[str, str]:
        """What problems have reports say of them, in words on which results do not depend, by label."""
        return {problem.label: told for problem in self.problems if (told := getattr(problem, "told", ""))}

    def saves(self, method: Any) -> bool:
        """Returns whether what a method trains is kept: of those that cannot be, their `can_be_kept` says so."""
        return self.save and getattr(method, "can_be_kept", True)

    def jobs(
        self, finished: Mapping[tuple[str, str], Collection[int]] | None = None, first: int = 0, every: int = 1
    ) -> Iterator[Job]:
        """Yields the jobs, problem by problem, without the seeds that have finished.

        Args:
            finished: seeds by the labels of a problem and a method.
            first: block of seeds to begin with, counted over all problems and methods.
            every: how many blocks later comes the next, whatever has finished.
        """
        blocks = [self.seeds[start : start + self.block] for start in range(0, len(self.seeds), self.block)]
        whole = itertools.product(self.problems, self.methods, blocks)
        for problem, method, block in itertools.islice(whole, first, None, every):
            done = (finished or {}).get((problem.label, method.label), ())
            if seeds := tuple(seed for seed in block if seed not in done):
                how = (self.device, self.saves(method), self.checkpoint, self.precision)
                yield Job(self.benchmark, problem, method, seeds, self.options, *how)
