"""What active learning left, read back: its records, and the summary that every report shows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.experiment.results import StoredResults, estimated
from vbandits.metrics import learning
from vbandits.report.statistics import mean_ratio

MEASURES = {"classes": "accuracy", "regression": "rmse"}
"""What the learners of a task are evaluated by."""
SIGN = {"accuracy": 1.0, "rmse": -1.0}
"""By which a measure is a quality: the higher, the better."""
SCORES = ("nll", "brier", "ece", "ece_debiased", "crps", "coverage_90")
"""Columns of the records besides the measure: of predictions for the test set."""
POOL = "pool_"
"""Begins the name of a column on those rows of the pool whose labels are not bought."""
HIGHER = ("accuracy", "reward")
"""The higher the better; of other columns of the records, the lower."""
LEVELS = {"labels_90": 0.9, "labels_95": 0.95}
"""Accuracies that labels are counted up to."""
RANDOM = "random"
"""Kind of the acquisition that buys labels by chance."""
INTERVALS = ("accuracy", "rmse", "area", "regret_own", "regret_best", "reward")
"""Columns of the summary with an interval."""
SPENT = ("labels", "bought", "cost", "seen", "reward")
"""Columns of the records that a row of the summary ends with as they were at the end."""

Regret = tuple[pd.Series, pd.Series]
"""Cumulative regret, and that of a learner which learns nothing from the same labels, by seed; 1 is their ratio."""


@dataclass(frozen=True, repr=False)
class ActiveResults(StoredResults):
    """The results of active learning.

    Attributes:
        jobs: one marker per job, finished or failed: problem, learner, seeds, status, reason, failures, seconds.
        records: one row per seed and evaluation: problem, learner, seed; round (0: before anything was bought); labels
            (known, initial ones included), bought and cost so far; accuracy, nll, brier, ece, ece_debiased for classes,
            rmse, nll, crps, coverage_90 for a regression, on the test set and with the prefix `pool_` on the rows of
            the pool whose labels are not bought; full_accuracy or full_rmse, of the learner's own fit to all labels of
            the pool; of a stream also seen (rows that came by) and reward, both so far. NaN where a value does not
            exist.
    """

    benchmark: ClassVar = "active"
    shown: ClassVar = ("problem", "learner", "seeds", "failures", "accuracy", "rmse", "area", "regret_best", "speed_up")
    seconds: ClassVar = {f"{name}_seconds": name for name in ("training", "querying", "environment", "evaluation")}
    losses: ClassVar = ("area",)  # with the sign of the problem's measure
    headline: ClassVar = "regret_best"

    def summary(self) -> pd.DataFrame:
        """Returns one row per problem and learner, the problems in the experiment's order, the best area first.

        Columns: problem, learner, seeds (with results), failures (seeds that diverged or whose job failed); accuracy
        or rmse at the end; area (mean accuracy or RMSE over the labels bought, up to the most that a learner of the
        problem bought); regret_own and regret_best (cumulative regret, normalised so that 1 is to learn nothing,
        against the learner's own fit to all labels, seed by seed, and against the best such fit of the problem's
        learners, the mean over its seeds), each with `_low` and `_high`, the 95% interval of the mean over seeds, or of
        the ratio of means; simple_regret (against the best fit); labels_90 and labels_95 (labels known when the
        accuracy is first reached, the median over seeds, infinite if never); speed_up over the learner of the same
        method that buys at random; nll, brier, ece, ece_debiased, crps, coverage_90 at the end, and with `pool_` all
        that and accuracy or rmse on the rest of the pool; labels, bought, cost, and of streams seen and reward at the
        end; training_seconds, querying_seconds, environment_seconds, evaluation_seconds, seconds (the first two),
        seconds_per_query (of querying, per label bought), and memory_mb, the largest of the process.
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
        method = self.entry("learner", learner)["method"]
        return next(
            (
                entry["label"]
                for entry in self.experiment["learners"]
                if entry["method"] == method and entry["acquisition"]["kind"] == RANDOM
            ),
            None,
        )

    def area(self, problem: str, learner: str) -> pd.Series:
        """Returns the area under a learner's curve of accuracy or RMSE, by seed."""
        trace = self.traces[problem, learner]
        measure, until = self.measure(problem), self._most[problem]
        return pd.Series(learning.area_under_curve(trace.labels, trace[measure], until), trace.seeds)

    def regret(self, problem: str, learner: str, own: bool = False) -> Regret:
        """Returns a learner's cumulative regret, and that of one that learns nothing from the same labels.

        Args:
            problem: its label.
            learner: its label.
            own: against the learner's own fit to all labels, seed by seed, not the best of the problem.
        """
        trace, measure = self.traces[problem, learner], self.measure(problem)
        reference = SIGN[measure] * trace[f"full_{measure}"][:, -1] if own else self.best(problem)
        quality = SIGN[measure] * trace[measure]
        regret, idle = (f(trace.labels, quality, reference) for f in (learning.cumulative_regret, learning.idle_regret))
        return pd.Series(regret, trace.seeds), pd.Series(idle, trace.seeds)

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

    def _loss(self, frame: pd.DataFrame) -> pd.Series:
        return pd.Series([-SIGN[self.measure(problem)] for problem in frame["problem"]]) * frame["area"]

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns a column of the summary as each seed has it, as a loss; a regret as its seed's part in the ratio."""
        sign = SIGN[self.measure(problem)]
        if column == "area":
            return -sign * self.area(problem, method)
        if column.startswith("regret"):
            regret, idle = self.regret(problem, method, own=column == "regret_own")
            return mean_ratio([(regret, idle)]) if idle.mean() > 0 else pd.Series(dtype=float)
        return (-1.0 if column.removeprefix(POOL) in HIGHER else 1.0) * self.traces[problem, method].last(column)

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
        for name in (measure, *SCORES, f"{POOL}{measure}", *(f"{POOL}{name}" for name in SCORES), *SPENT):
            row |= _mean(name, trace.last(name))
        row |= _mean("area", self.area(problem, method))
        if measure == "accuracy":
            for name, level in LEVELS.items():
                row[name] = float(np.median(learning.labels_to(trace.labels, trace[measure], level)))
        row |= _ratio("regret_own", self.regret(problem, method, own=True))
        row |= _ratio("regret_best", self.regret(problem, method))
        row["simple_regret"] = self.best(problem) - SIGN[measure] * row[measure]
        return row | {"speed_up": self._speed_up(problem, method)}

    def _speed_up(self, problem: str, learner: str) -> float:
        """Returns the speed-up of the mean curve over that of the learner of the same method that buys at random."""
        measure, random = self.measure(problem), self.random_of(learner)
        if random is None or (problem, random) not in self.traces:
            return np.nan
        (labels, own), (random_labels, other) = (
            self.traces[problem, name].curves(measure) for name in (learner, random)
        )
        sign = SIGN[measure]
        return learning.speed_up(labels, sign * own.mean(0), random_labels, sign * other.mean(0))


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

    def curves(self, column: str, against: str = "labels") -> tuple[np.ndarray, np.ndarray]:
        """Returns where any seed was evaluated [G], and a column there, one row per seed [R, G].

        Seeds whose evaluations lie elsewhere, as on a stream, are interpolated, and held at their last value.

        Args:
            column: to return.
            against: the column of the horizontal axis, which never decreases in a seed: "labels" or "seen".
        """
        x, y = self[against], self[column]
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


def normalised(regret: Regret) -> float:
    """Returns mean regret over the mean of one that learns nothing; NaN where all labels are no better than the first.

    A ratio of means, as single seeds may start out as good as the reference.
    """
    return ratio(*(float(part.to_numpy().mean()) for part in regret))


def _columns() -> list[str]:
    """Returns what is measured, in the order of the summary."""
    ended = [
        "accuracy",
        "rmse",
        "area",
        "labels_90",
        "labels_95",
        "regret_own",
        "regret_best",
        "simple_regret",
        "speed_up",
        *SCORES,
        *(f"{POOL}{name}" for name in (*SIGN, *SCORES)),
        *SPENT,
    ]
    ends = ("", "_low", "_high")
    return [f"{name}{end}" for name in ended for end in (ends if name in INTERVALS else ("",))]


def _mean(name: str, by_seed: pd.Series) -> dict[str, float]:
    values = by_seed.to_numpy()
    return estimated(name, values) if name in INTERVALS else {name: float(values.mean())}


def _ratio(name: str, regret: Regret) -> dict[str, float]:
    own, idle = (part.to_numpy() for part in regret)
    return estimated(name, own, idle) if np.isfinite(normalised(regret)) else estimated(name, np.array([]))
