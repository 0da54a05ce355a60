"""What active learning left, read back: its records, and the summary that every report shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.experiment.results import StoredResults, estimated
from vbandits.metrics import learning
from vbandits.report.comparison import Measure

MEASURES = {"classes": "accuracy", "regression": "rmse"}
"""What the learners of a task are evaluated by."""
SIGN = {"accuracy": 1.0, "rmse": -1.0}
"""By which a measure is a quality: the higher, the better."""
SCORES = ("nll", "nll_median", "brier", "ece", "ece_debiased", "crps", "coverage_90")
"""Columns of the records besides the measure: of predictions for the test set."""
NULL = ("ece_null", "ece_null_low", "ece_null_high")
"""Columns of the last evaluation: mean and ends of the null band of `ece` on the test set."""
POOL = "pool_"
"""Begins the name of a column on those rows of the pool whose labels are not bought."""
HIGHER = ("accuracy", "reward", "gain", "learned", "relative_area", "labels_saved")
"""The higher the better; of other columns, the lower."""
LEVELS = {"labels_90": 0.9, "labels_95": 0.95}
"""Accuracies that labels are counted up to."""
RANDOM = "random"
"""Kind of the acquisition that buys labels by chance."""
WORTH = ("area", "gain", "learned", "relative_area", "labels_saved")
"""Columns of the summary that are made from whole curves, seed by seed."""
INTERVALS = ("accuracy", "rmse", *WORTH, "reward")
"""Columns of the summary with an interval."""
DIFFERENCES = ("gain", "relative_area", "labels_saved")
"""Those that are differences of pairs of seeds."""
HIGHEST = {"accuracy": 1.0, "rmse": np.inf}
"""What a measure is at most; it is at least 0."""
SPENT = ("labels", "bought", "cost", "seen", "reward")
"""Columns of the records that a row of the summary ends with as they were at the end."""


@dataclass(frozen=True, repr=False)
class ActiveResults(StoredResults):
    """The results of active learning.

    Attributes:
        jobs: one marker per job, finished or failed: problem, learner, seeds, status, reason, failures, seconds.
        records: one row per seed and evaluation: problem, learner, seed; round (0: before anything was bought); labels
            (known, initial ones included), bought and cost so far; accuracy, nll, nll_median (of rows), brier, ece,
            ece_debiased for classes, rmse, nll, nll_median, crps, coverage_90 for a regression, on the test set and
            with the prefix `pool_` on the rows of the pool whose labels are not bought; ece_null, ece_null_low,
            ece_null_high at the last evaluation (of a perfect model with these confidences on the test set: mean and
            95% band); full_accuracy or full_rmse, of the learner's own fit to all labels of the pool; of a stream also
            seen (rows that came by) and reward, both so far. NaN where a value does not exist: all that a learner
            predicts from where it has diverged.
    """

    benchmark: ClassVar = "active"
    shown: ClassVar = ("problem", "learner", "seeds", "failures", "accuracy", "rmse", "area", "gain", "labels_saved")
    seconds: ClassVar = {f"{name}_seconds": name for name in ("training", "querying", "environment", "evaluation")}
    losses: ClassVar = ("-relative_area",)  # and the area among equals
    headline: ClassVar = "-relative_area"
    groups: ClassVar = ("method",)

    def summary(self) -> pd.DataFrame:
        """Returns one row per problem and learner, the problems in the experiment's order, the best first.

        Columns: problem, learner, seeds (with results), failures (seeds that diverged or whose job failed); accuracy
        or rmse at the end; area (mean accuracy or RMSE over the labels bought, up to the most that a learner of the
        problem bought); gain (by how much the area is better than that of the learner of the same method that buys at
        random, paired by seed); learned (the area in parts of what there was to learn in the problem: 0 is the mean of
        its learners before the first purchase, 1 the best that any of them had at the end or with all labels);
        relative_area (the headline: the gain in these parts, or learned where not every method has a learner that buys
        at random); labels_saved (labels fewer than random for the same quality, negative where more are needed: see
        `learning.labels_saved`), each with `_low` and `_high`, the 95% interval of the mean over seeds; simple_regret
        (how far the last model falls short of the best fit to all labels); labels_90 and labels_95 (labels known when
        the accuracy is first reached, the median over seeds, infinite if never); nll, nll_median, brier, ece,
        ece_debiased, crps, coverage_90 at the end, and with `pool_` all that and accuracy or rmse on the rest of the
        pool; ece_null, ece_null_low, ece_null_high; labels, bought, cost, and of streams seen and reward at the end;
        training_seconds, querying_seconds, environment_seconds, evaluation_seconds, seconds (the first two),
        seconds_per_query (of querying, per label bought), and memory_mb, the largest of the process.

        A seed that diverged has no scores: those at the end are means of the other seeds. Where a number is needed, in
        accuracy or rmse at the end and in the area and all that is made of it, it stands as the worst that any seed of
        any learner has in the problem. There are no labels_saved then, and of a learner all of whose seeds diverged
        there is nothing.
        """
        return super().summary()

    def entry(self, axis: str, label: str) -> dict[str, Any]:
        """Returns a problem or a learner as the experiment describes it."""
        return next(entry for entry in self.experiment[f"{axis}s"] if entry["label"] == label)

    def measure(self, problem: str) -> str:
        """Returns what learners of a problem are evaluated by: "accuracy" or "rmse"."""
        return MEASURES[self.entry("problem", problem)["task"]]

    @cached_property
    def grid(self) -> dict[tuple[str, str], str]:
        """The learners by method and acquisition, in the experiment's order."""
        return {(entry["method"], entry["acquisition_label"]): entry["label"] for entry in self.experiment["learners"]}

    def random_of(self, learner: str) -> str | None:
        """Returns the learner of the same method that buys labels at random, if there is one."""
        return next(iter(self._randoms([self.entry("learner", learner)["method"]])), None)

    def _randoms(self, methods: Sequence[str]) -> list[str]:
        """Returns the learners of some methods that buy labels at random."""
        return [
            entry["label"]
            for entry in self.experiment["learners"]
            if entry["method"] in methods and entry["acquisition"]["kind"] == RANDOM
        ]

    @cached_property
    def _partners(self) -> dict[str, list[str]]:
        """The learners that buy at random whose mean a learner's area is compared with: that of the same method.

        Where settings of a method are tuned, it is the mean of all its settings: compared with its own, a setting would
        gain by making random worse.
        """
        tuned = self.experiment.get("tuning", {}).get("methods", {})
        groups = [[label for trial in method["trials"] for label in trial["methods"]] for method in tuned.values()]
        found = {}
        for learner in self.labels("learner"):
            group = next((group for group in groups if learner in group), [learner])
            found[learner] = self._randoms([self.entry("learner", label)["method"] for label in group])
        return found

    @property
    def paired(self) -> bool:
        """Whether the headline is the gain over random: every method has a learner that buys at random."""
        return all(self._partners.values())

    def final(self, problem: str, learner: str) -> pd.Series:
        """Returns accuracy or RMSE at the end, by seed; of one that diverged, the worst of the problem."""
        return self._final[problem, learner]

    def area(self, problem: str, learner: str) -> pd.Series:
        """Returns the area under the curve of accuracy or RMSE, by seed; of one that diverged, the worst there is.

        It has no values for a learner whose seeds have all diverged.
        """
        return self._area[problem, learner]

    def gain(self, problem: str, learner: str) -> pd.Series:
        """Returns by how much the area is better than random's, by seed; without values where there is no random."""
        randoms = [name for name in self._partners[learner] if (problem, name) in self.traces]
        areas = [area for area in (self.area(problem, name) for name in randoms) if len(area)]
        if not areas:
            return pd.Series(dtype=float)
        random: Any = pd.concat(areas, axis=1).mean(axis=1)
        return SIGN[self.measure(problem)] * (self.area(problem, learner) - random).dropna()

    def learned(self, problem: str, learner: str) -> pd.Series:
        """Returns the area in parts of what there was to learn in the problem, by seed."""
        start, end = self._range[problem]
        if not end > start:
            return pd.Series(dtype=float)
        return (SIGN[self.measure(problem)] * self.area(problem, learner) - start) / (end - start)

    def relative_area(self, problem: str, learner: str) -> pd.Series:
        """Returns the headline by seed: the gain in parts of what there was to learn, or without random `learned`."""
        start, end = self._range[problem]
        if not self.paired or not end > start:
            return self.learned(problem, learner)
        return self.gain(problem, learner) / (end - start)

    def labels_saved(self, problem: str, learner: str) -> pd.Series:
        """Returns how many labels fewer than random are needed for the same, by seed; without values where unknown."""
        random, measure = self.random_of(learner), self.measure(problem)
        if random is None or (problem, random) not in self.traces:
            return pd.Series(dtype=float)
        traces = [self.traces[problem, name] for name in (learner, random)]
        seeds = traces[0].seeds.intersection(traces[1].seeds)
        curves = [(grid, SIGN[measure] * values) for grid, values in (t.curves(measure, of=seeds) for t in traces)]
        return pd.Series(learning.labels_saved(*curves[0], *curves[1]), seeds).dropna()

    def fit(self, problem: str, learner: str) -> float:
        """Returns the quality of a learner fitted to all labels, the mean over seeds; NaN if unknown."""
        if (problem, learner) not in self.traces:
            return np.nan
        measure = self.measure(problem)
        return SIGN[measure] * float(self.traces[problem, learner].last(f"full_{measure}").to_numpy().mean())

    def best(self, problem: str) -> float:
        """Returns the quality of the best learner fitted to all labels: the highest mean over seeds; NaN if unknown."""
        return self._best[problem]

    @cached_property
    def traces(self) -> dict[tuple[str, str], "Trace"]:
        """The evaluations by problem and learner."""
        return {place: Trace(part) for place, part in self.parts.items()}

    @cached_property
    def _most(self) -> dict[str, float]:
        """The most labels that any learner knew at the end, by problem."""
        most: dict[str, float] = {}
        for (problem, _), trace in self.traces.items():
            most[problem] = max(most.get(problem, 0.0), float(trace.labels.max()))
        return most

    @cached_property
    def _best(self) -> dict[str, float]:
        fits = {
            problem: [self.fit(problem, name) for name in self.labels("learner")] for problem in self.labels("problem")
        }
        return {problem: max((fit for fit in own if np.isfinite(fit)), default=np.nan) for problem, own in fits.items()}

    @cached_property
    def _final(self) -> dict[tuple[str, str], pd.Series]:
        return self._imputed(lambda problem, trace: trace.last(self.measure(problem)))

    @cached_property
    def _area(self) -> dict[tuple[str, str], pd.Series]:
        def area(problem: str, trace: Trace) -> pd.Series:
            quality = trace[self.measure(problem)]
            return pd.Series(learning.area_under_curve(trace.labels, quality, self._most[problem]), trace.seeds)

        return self._imputed(area)

    def _imputed(self, of: Callable[[str, "Trace"], pd.Series]) -> dict[tuple[str, str], pd.Series]:
        """Returns values by seed where those that do not exist are the worst of the problem; none if none exists."""
        found = {place: of(place[0], trace) for place, trace in self.traces.items()}
        worst: dict[str, float] = {}
        for (problem, _), values in found.items():
            sign = SIGN[self.measure(problem)]
            lowest = np.fmin(sign * worst.get(problem, np.nan), np.fmin.reduce(sign * values.to_numpy()))
            worst[problem] = sign * float(lowest)
        return {
            place: values.fillna(worst[place[0]]) if values.notna().any() else pd.Series(dtype=float)
            for place, values in found.items()
        }

    @cached_property
    def _range(self) -> dict[str, tuple[float, float]]:
        """The mean quality before the first purchase, and the best mean at the end or with all labels, by problem."""
        found = {}
        for problem in self.labels("problem"):
            measure = self.measure(problem)
            own = [trace for (place, _), trace in self.traces.items() if place == problem]
            starts = [SIGN[measure] * np.nanmean(first) for t in own if np.isfinite(first := t[measure][:, 0]).any()]
            ends = [SIGN[measure] * t.last(measure).mean(skipna=False) for t in own]
            known = [end for end in (*ends, self.best(problem)) if np.isfinite(end)]
            found[problem] = (float(np.mean(starts)) if starts else np.nan, max(known, default=np.nan))
        return found

    def _loss(self, frame: pd.DataFrame) -> pd.Series:
        area = pd.Series([-SIGN[self.measure(problem)] for problem in frame["problem"]]) * frame["area"]
        keys: Any = pd.DataFrame({"first": -frame["relative_area"], "second": area})
        order = keys.sort_values(["first", "second"], kind="stable").index
        return pd.Series(np.arange(len(order), dtype=float), order).sort_index()

    def by_seed(self, problem: str, learner: str, column: str) -> pd.Series:
        """Returns a column of the summary as each seed has it; NaN for scores of one that diverged."""
        if column in WORTH:
            return getattr(self, column)(problem, learner)
        if column == self.measure(problem):
            return self.final(problem, learner)
        return self.traces[problem, learner].last(column)

    @property
    def compared_by(self) -> Measure:
        """The gain over random in percent of what there was to learn, or without random what was learned."""
        name = "gain over random" if self.paired else "area learned"
        return Measure(name, "% of what there was to learn", sign=-1.0, scale=100.0)

    def unknown(self, problem: str) -> str:
        """Returns why learners are not compared on a problem."""
        known = {place[0] for place in self.parts}
        return "nothing was learned there" if problem in known else super().unknown(problem)

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns a column of the summary as each seed has it, with the sign by which lower is better."""
        higher = column in HIGHER or column.removeprefix(POOL) == "accuracy"
        higher |= column == "area" and self.measure(problem) == "accuracy"
        return (-1.0 if higher else 1.0) * self.by_seed(problem, method, column)

    def _row(self, problem: str, method: str) -> dict[str, Any]:
        row = super()._row(problem, method)
        return row | {
            "seconds": row["training_seconds"] + row["querying_seconds"],
            "seconds_per_query": ratio(row["querying_seconds"], row["bought"] * row["seeds"]),
        }

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns what labels were worth, and the scores of predictions; NaN where they are not known."""
        if (problem, method) not in self.traces:
            return dict.fromkeys(_columns(), np.nan)
        trace, measure = self.traces[problem, method], self.measure(problem)
        row = dict.fromkeys(_columns(), np.nan)
        scores = (*SCORES, *NULL, f"{POOL}{measure}", *(f"{POOL}{name}" for name in SCORES), *SPENT)
        for name in (measure, "area"):
            values = self.by_seed(problem, method, name).to_numpy()
            row |= estimated(name, values, low=0.0, high=HIGHEST[measure])
        for name in (*WORTH[1:], *scores):
            row |= _mean(name, self.by_seed(problem, method, name).dropna())
        if measure == "accuracy":
            for name, level in LEVELS.items():
                row[name] = float(np.median(learning.labels_to(trace.labels, trace[measure], level)))
        row["simple_regret"] = self.best(problem) - SIGN[measure] * row[measure]
        return row


class Trace:
    """A learner's evaluations: a column of its records as one row per seed [R, E], in their order.

    Where a seed has fewer evaluations than others, its last one is repeated: nothing is bought there.
    """

    def __init__(self, records: pd.DataFrame) -> None:
        self._records = records.sort_values(["seed", "round"])
        rounds: Any = self._records.pivot(index="seed", columns="round", values="labels")
        self.seeds = rounds.index
        """Of the rows."""
        evaluated = rounds.notna().to_numpy()
        starts = np.append(0, evaluated.sum(1).cumsum()[:-1])
        self._rows = starts[:, None] + evaluated.cumsum(1) - 1  # of the last evaluation so far

    @property
    def labels(self) -> np.ndarray:
        """Labels known [R, E]."""
        return self["labels"]

    def __getitem__(self, column: str) -> np.ndarray:
        """Returns a column [R, E]; NaN if there is none of this name."""
        if column not in self._records:
            return np.full(self._rows.shape, np.nan)
        return self._records[column].to_numpy(dtype=float)[self._rows]

    def last(self, column: str) -> pd.Series:
        """Returns a column at the last evaluation, by seed."""
        return pd.Series(self[column][:, -1], self.seeds)

    def curves(self, column: str, against: str = "labels", of: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns where any seed was evaluated [G], and a column there, one row per seed [R, G].

        Seeds whose evaluations lie elsewhere, as on a stream, are interpolated, and held at their last value.

        Args:
            column: to return.
            against: the column of the horizontal axis, which never decreases in a seed: "labels" or "seen".
            of: the seeds; by default all.
        """
        kept = slice(None) if of is None else self.seeds.get_indexer(of)
        x, y = self[against][kept], self[column][kept]
        grid = np.unique(x)
        if (x == x[0]).all() and len(grid) == x.shape[1]:
            return grid, y
        rows = []
        for own, values in zip(x, y, strict=True):
            latest = np.append(own[1:] > own[:-1], True)  # of several evaluations with the same labels
            rows.append(np.interp(grid, own[latest], values[latest]))
        return grid, np.array(rows)


def ratio(own: float, whole: float) -> float:
    """Returns own / whole; NaN where there is no whole."""
    return own / whole if whole > 0 else np.nan


def _columns() -> list[str]:
    """Returns what is measured, in the order of the summary."""
    ended = [
        "accuracy",
        "rmse",
        *WORTH,
        "simple_regret",
        *LEVELS,
        *SCORES,
        *NULL,
        *(f"{POOL}{name}" for name in (*SIGN, *SCORES)),
        *SPENT,
    ]
    ends = ("", "_low", "_high")
    return [f"{name}{end}" for name in ended for end in (ends if name in INTERVALS else ("",))]


def _mean(name: str, by_seed: pd.Series) -> dict[str, float]:
    values = by_seed.to_numpy()
    if name in INTERVALS:
        return estimated(name, values, symmetric=name in DIFFERENCES)
    return {name: float(values.mean()) if values.size else np.nan}
