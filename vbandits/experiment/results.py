"""What a run left, read back: records, markers of jobs, and the summary that every report shows."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.experiment.benchmark import benchmark
from vbandits.metrics import intervals
from vbandits.report.comparison import Comparison, Measure, compared
from vbandits.report.formats import decimals, number, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Place = tuple[str, str]
"""Labels of a problem and of a method."""
Parts = Mapping[Place, pd.DataFrame]
"""Tables by problem and method."""


@dataclass(frozen=True)
class StoredResults:
    """What is common to the results of all benchmarks.

    Attributes:
        experiment: the experiment as run, with versions, device and command (`experiment.json`).
        jobs: one marker per job, finished or failed: its names, seeds, status, reason, failures, seconds.
        data: what the jobs recorded, with their names: a table of all, or tables by problem and method, which a folder
            reads when they are asked for.
        folder: where they lie.
        held_out: what was found on inputs held out of the run, by problem and method; empty where nothing was.
    """

    experiment: dict[str, Any]
    jobs: list[dict[str, Any]]
    data: pd.DataFrame | Parts = field(repr=False)
    folder: Path | None = None
    held_out: Parts = field(default_factory=dict, repr=False)

    benchmark: ClassVar[str]
    """Whose results these are: a name, or "module:name"."""
    shown: ClassVar[tuple[str, ...]]
    """Columns of the summary in the representation."""
    seconds: ClassVar[Mapping[str, str]]
    """Columns of the summary with wall time, and the purpose whose time each of them is."""
    losses: ClassVar[tuple[str, ...]]
    """Columns of the summary by which methods are ordered within a problem, those with a minus in front the highest
    first: the first that exists."""
    headline: ClassVar[str] = ""
    """Column of the summary whose mean over problems compares settings that are tried, with a minus in front where
    higher is better; by default the first of `losses`."""

    groups: ClassVar[tuple[str, ...]] = ()
    """Keys of a method as the experiment describes it, by which methods belong together within one experiment."""

    @property
    def axes(self) -> tuple[str, str]:
        """What problems and methods are called, as columns of `records`."""
        return benchmark(self.benchmark).axes

    def summary(self) -> pd.DataFrame:
        """Returns one row per problem and method, the problems in the experiment's order, the best first."""
        return self._summary.copy()

    def report(self, path: str | Path | None = None) -> Path:
        """Writes index.html, report.md and summary.csv into a folder, and returns the page's path.

        Without a path, the folder is `report` in the results folder; results in memory alone need one.
        """
        from vbandits.experiment.report import place, write

        if path is None and self.folder is None:
            raise ValueError("expected a path, as these results are in no folder: report('report'), or run(out=...)")
        return write(self, Path(path) if path is not None else place(Path(self.folder or "")))

    def figure(self, name: str, **where: str) -> "Figure":
        """Returns a figure of the report as a figure of matplotlib, its caption as its label: for a paper.

            results.figure("regret curves", environment="wheel").savefig("wheel.pdf")

        Args:
            name: "means", "cost", "profiles", "improvement", "ranks" over all problems; "runs" of one problem; and
                those of a benchmark: an unknown name tells them all.
            where: the problem, as in `environment="wheel"`, for a figure of one; not needed where there is one alone.

        Raises:
            ValueError: for a name or a label that is not known, or if there is nothing to draw.
        """
        from vbandits.experiment.figures import figure

        return figure(self, name, where)

    def runs_table(self) -> pd.DataFrame:
        """Returns one row per problem, method and seed that are compared, in the experiment's order.

        Columns: the two axes, such as environment and agent; seed; value, what methods are compared by (see
        `compared_by`: its name, unit, and which way is better), NaN for a run that failed without a result; failed;
        lost (failed, or nearer to chance than to the best method's median).
        """
        found = self.comparison
        values = found.measure.sign * found.runs
        rows = [
            (problem, method, seed, values[m, r, p], found.failed[m, r, p], found.lost[m, r, p])
            for p, problem in enumerate(found.problems)
            for m, method in enumerate(found.labels)
            for r, seed in enumerate(found.seeds)
            if found.failed[m, r, p] or np.isfinite(found.runs[m, r, p])
        ]
        return pd.DataFrame(rows, columns=pd.Index([*self.axes, "seed", "value", "failed", "lost"]))

    def held_out_table(self) -> pd.DataFrame:
        """Returns what was found on inputs held out of the runs, all in one table; empty where nothing was."""
        return pd.concat(self.held_out.values(), ignore_index=True) if len(self.held_out) else pd.DataFrame()

    def _repr_html_(self) -> str:
        """Shows what was run, and how it ended, in a notebook."""
        shown = self._summary[[name for name in self.shown if name in self._summary]]
        texts = shown.apply(lambda own: own.map(partial(number, places=decimals(own))) if own.dtype == float else own)
        title = html.escape(f"Results of {self.experiment['name']!r}")
        return f"<p>{title}</p>\n{texts.to_html(index=False, border=0, escape=True)}"

    def __repr__(self) -> str:
        """Shows what was run, and how it ended."""
        shown = self._summary[[name for name in self.shown if name in self._summary]]
        return f"Results of {self.experiment['name']!r}\n{shown.to_string(index=False)}"

    @property
    def records(self) -> pd.DataFrame:
        """What the jobs recorded, all in one table."""
        if isinstance(self.data, pd.DataFrame):
            return self.data
        return pd.concat(self.data.values(), ignore_index=True) if len(self.data) else pd.DataFrame()

    @cached_property
    def parts(self) -> Parts:
        """The records by problem and method."""
        if not isinstance(self.data, pd.DataFrame):
            return self.data
        if not len(self.data):
            return {}
        groups: Any = self.data.groupby(list(self.axes))
        return {(str(problem), str(method)): part for (problem, method), part in groups}

    def in_memory(self) -> Any:
        """Returns the same results without their folder, which may then go."""
        return replace(self, data=self.records, held_out=dict(self.held_out), folder=None)

    @cached_property
    def _jobs(self) -> dict[Place, list[dict[str, Any]]]:
        """The markers by problem and method."""
        found: dict[Place, list[dict[str, Any]]] = {}
        for job in self.jobs:
            found.setdefault((job[self.axes[0]], job[self.axes[1]]), []).append(job)
        return found

    def jobs_of(self, problem: str, method: str) -> list[dict[str, Any]]:
        """Returns the markers of a problem and a method."""
        return self._jobs.get((problem, method), [])

    def labels(self, axis: str) -> list[str]:
        """Returns the labels along an axis, in the experiment's order."""
        return [entry["label"] for entry in self.experiment[plural(axis)]]

    def rows(self, problem: str) -> pd.DataFrame:
        """Returns the rows of the summary on a problem, the best method first."""
        return self._summary.loc[self._summary[self.axes[0]] == problem].copy()

    def present(self, problem: str) -> list[str]:
        """Returns the methods that have records of a problem, the best first."""
        return [method for method in map(str, self.rows(problem)[self.axes[1]]) if (problem, method) in self.parts]

    def of(self, problem: str) -> dict[str, pd.DataFrame]:
        """Returns the records of a problem by method, the best first; without methods that have none."""
        return {method: self.parts[problem, method] for method in self.present(problem)}

    def costs(self, *columns: str) -> pd.DataFrame:
        """Returns by method, in the experiment's order: the sum of columns over all problems, and the most memory."""
        by_method: Any = self._summary.groupby(self.axes[1])
        totals = by_method[list(columns)].sum(min_count=1)
        return totals.assign(memory_mb=by_method["memory_mb"].max()).loc[self.labels(self.axes[1])]

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns the columns of the summary that are made from records, in their order; NaN where there are none."""
        raise NotImplementedError

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns what a column of the summary is the mean of, by seed, with the sign by which lower is better."""
        raise NotImplementedError

    def headline_loss(self, problem: str, method: str) -> pd.Series:
        """Returns the headline as each seed has it, with the sign by which lower is better; the column is its mean."""
        return self.loss(problem, method, (self.headline or self.losses[0]).removeprefix("-"))

    @property
    def compared_by(self) -> Measure:
        """What methods are compared by over all problems: the headline."""
        column = self.headline or self.losses[0]
        return Measure(column.removeprefix("-").replace("_", " "), "", -1.0 if column.startswith("-") else 1.0)

    @property
    def baseline(self) -> str:
        """The method that acts by chance, which is never called best; "" where there is none."""
        return ""

    @property
    def added(self) -> tuple[str, ...]:
        """Methods that run whether they are asked for or not."""
        return (self.baseline,)

    def compared_loss(self, problem: str, method: str) -> pd.Series:
        """Returns the headline of each seed as a loss, on a scale on which problems can be compared."""
        return self.headline_loss(problem, method)

    def runs(self, problem: str, method: str) -> pd.Series:
        """Returns the same of each run by itself, where `compared_loss` has a seed's part in a ratio of means."""
        return self.compared_loss(problem, method)

    def unknown(self, problem: str) -> str:
        """Returns why the headline is not known in a problem."""
        known = {place[0] for place in self.parts}
        return f"its {self.compared_by.name} is not known" if problem in known else "no run of it has a result"

    @cached_property
    def comparison(self) -> Comparison:
        """The methods compared by the headline over all problems where it is known, on the seeds that all have."""
        found = self._compared()
        if 0 < len(found.seeds) < len(self.experiment["seeds"]):  # what they are measured by is of the same seeds
            from vbandits.experiment.comparing import of_seeds

            found = replace(of_seeds(self, found.seeds)._compared(), planned=found.planned)
        return found

    def _compared(self) -> Comparison:
        problems, methods = (self.labels(axis) for axis in self.axes)
        losses = {place: self.compared_loss(*place) for place in self.parts}
        losses = {place: own for place, own in losses.items() if np.isfinite(own.to_numpy(dtype=float)).any()}
        known = [problem for problem in problems if any(place[0] == problem for place in losses)]
        failed = {
            place: frozenset(
                seed
                for job in jobs
                for seed in (job["seeds"] if job["status"] == "failed" else job.get("diverged", ()))
            )
            for place, jobs in self._jobs.items()
        }
        return compared(
            self.compared_by,
            methods,
            known,
            self.experiment["seeds"],
            losses,
            {place: self.runs(*place) for place in losses},
            failed,
            {problem: self.unknown(problem) for problem in problems if problem not in known},
            self.baseline,
        )

    @cached_property
    def _summary(self) -> pd.DataFrame:
        problems, methods = (self.labels(axis) for axis in self.axes)
        frame = pd.DataFrame([self._row(problem, method) for problem in problems for method in methods])
        order = {label: i for i, label in enumerate(problems)}
        return (
            frame.assign(_order=[order[name] for name in frame[self.axes[0]]], _best=self._loss(frame))
            .sort_values(["_order", "_best"], kind="stable")
            .drop(columns=["_order", "_best"])
            .reset_index(drop=True)
        )

    def _loss(self, frame: pd.DataFrame) -> pd.Series:
        """Returns for every row of the summary what methods are ordered by, the least first."""
        first: Any
        first, *others = (frame[name.removeprefix("-")] * (-1 if name.startswith("-") else 1) for name in self.losses)
        for other in others:
            first = first.fillna(other)
        return first

    def _row(self, problem: str, method: str) -> dict[str, Any]:
        """Returns a row of the summary: names, seeds, failures, any steps, what was measured, and the cost."""
        names = dict(zip(self.axes, (problem, method), strict=True))
        jobs = self.jobs_of(problem, method)
        failed = sum(len(job["seeds"]) for job in jobs if job["status"] == "failed")
        done = [job for job in jobs if job["status"] == "done"]
        return {
            **names,
            "seeds": sum(len(job["seeds"]) for job in done),
            "failures": failed + sum(job["failures"] for job in done),
            **({"steps": self.experiment["steps"]} if "steps" in self.experiment else {}),
            **self.measured(problem, method),
            **{
                column: sum(job["seconds"][purpose] for job in done) if done else np.nan
                for column, purpose in self.seconds.items()
            },
            "memory_mb": max((job["memory_mb"] for job in done), default=np.nan),
        }


def estimated(
    name: str,
    values: np.ndarray,
    reference: np.ndarray | None = None,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    symmetric: bool = False,
) -> dict[str, float]:
    """Returns a column of the summary with the ends of its 95% interval, which resamples whole seeds.

    Args:
        name: of the column.
        values: one per seed [R], whose mean is wanted; without any, all is NaN.
        reference: one per seed [R], where the ratio of the two means is wanted.
        low: least possible value; the interval is clipped to it.
        high: largest possible value.
        symmetric: whether values are differences of pairs, see `intervals.mean_interval`.
    """
    if not len(values):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    if reference is None:
        mean, ends = values.mean(), intervals.mean_interval(values, low=low, high=high, symmetric=symmetric)
    else:
        mean, ends = values.mean() / reference.mean(), intervals.ratio_interval(values, reference, low=low, high=high)
    return {name: float(mean), f"{name}_low": ends[0], f"{name}_high": ends[1]}
