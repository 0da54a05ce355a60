"""What an offline experiment left, read back: its records, and the summary that every report shows."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.benchmarks.offline.config import LOGGING, UNIFORM
from vbandits.benchmarks.offline.evaluation import NAMES
from vbandits.experiment.results import StoredResults
from vbandits.metrics.off_policy import rows_needed
from vbandits.report.comparison import Measure

MAIN = "dr"
"""The estimator that policies are compared by."""


@dataclass(frozen=True, repr=False)
class OfflineResults(StoredResults):
    """The results of an offline experiment.

    Attributes:
        jobs: one marker per job, finished or failed: log, policy, seeds, status, reason, failures, seconds.
        records: one row per seed and estimator (dr, snips, ips, replay, dm): log, policy, seed, estimator; value, error
            (standard error), low and high (95% interval) and effective (sample size) on the held-out rows; rows of
            these; mean_weight and largest_weight; truth, the plain mean of an arm that is always played, or of the
            policy that was logged, over the whole log (NaN where it is not known).
    """

    benchmark: ClassVar = "offline"
    shown: ClassVar = ("log", "policy", "seeds", "failures", "dr", "snips", "ips", "effective")
    seconds: ClassVar = {"seconds": "policy", "estimation_seconds": "estimation"}
    losses: ClassVar = (f"-{MAIN}",)

    def summary(self) -> pd.DataFrame:
        """Returns one row per log and policy, the logs in the experiment's order, the highest value first.

        Columns: log, policy, seeds (with results), failures (seeds that diverged or whose job failed); the value by
        every estimator (dr, snips, ips, replay, dm), its mean over seeds, with `_low` and `_high`, the 95% interval of
        what the held-out rows of all seeds together tell, and `_error`, the standard error; truth; rows evaluated on,
        effective (sample size of dr), both of all seeds together, without what seeds have in common; mean_weight,
        largest_weight; needed, how many rows would tell the policy from the best one; seconds of the policy,
        estimation_seconds, and memory_mb.
        """
        return super().summary()

    @property
    def baseline(self) -> str:
        """The policy that plays any arm."""
        return self._label_of(UNIFORM)

    @property
    def added(self) -> tuple[str, ...]:
        """The policies that others are measured by: the one that plays any arm, and the one that was logged."""
        return self._label_of(UNIFORM), self._label_of(LOGGING)

    def _label_of(self, kind: str) -> str:
        """Returns the label of the first policy of a kind, "" if there is none."""
        return next((entry["label"] for entry in self.experiment["policies"] if entry.get("kind") == kind), "")

    @property
    def folds(self) -> int:
        """Parts of a log that have no row in common."""
        return int(self.experiment["folds"])

    @property
    def compared_by(self) -> Measure:
        """The value by doubly robust estimation; where there are more logs, in percent of the uniform policy's."""
        unit = "per decision" if len(self.labels("log")) == 1 else f"% of {self.baseline}"
        return Measure("value", unit, sign=-1.0)

    def by_seed(self, problem: str, method: str, estimator: str) -> Any:
        """Returns the records of an estimator by seed, a data frame; without rows where there are none."""
        records = self.parts.get((problem, method))
        if records is None:
            return pd.DataFrame()
        own: Any = records[records["estimator"] == estimator]
        return own.set_index("seed").sort_index()

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns minus the value by an estimator, by seed."""
        found = self.by_seed(problem, method, column)
        return -found["value"] if len(found) else pd.Series(dtype=float)

    def compared_loss(self, problem: str, method: str) -> pd.Series:
        """Returns minus the value of each seed; in percent of the uniform policy's mean where there are more logs."""
        own = self.loss(problem, method, MAIN)
        if len(self.labels("log")) == 1:
            return own
        reference = self.loss(problem, self.baseline, MAIN)
        return -100 * own / reference.mean() if len(reference) and reference.mean() else pd.Series(dtype=float)

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns values with their intervals, weights, and how many rows would tell the policy from the best."""
        row: dict[str, Any] = {}
        for name in NAMES:
            found = self.by_seed(problem, method, name)
            row |= pooled(name, found, self.folds)
        found = self.by_seed(problem, method, MAIN)
        for name in ("truth", "mean_weight"):
            row[name] = found[name].mean() if len(found) else np.nan
        row["largest_weight"] = found["largest_weight"].max() if len(found) else np.nan
        parts = parts_of(found.index, self.folds)
        row["rows"] = round(parts * found["rows"].mean()) if len(found) else 0
        row["effective"] = parts * float(found["effective"].mean()) if len(found) else np.nan
        row["needed"] = self.needed(problem, method, self.best(problem))
        return row

    def best(self, problem: str) -> str | None:
        """Returns the policy with the highest value in a log, of those that are no baseline; None if there is none."""
        values = {
            method: -self.loss(problem, method, MAIN).mean()
            for method in self.labels("policy")
            if method not in self.added and (problem, method) in self.parts
        }
        return max(values, key=lambda method: values[method]) if values else None

    def needed(self, problem: str, method: str, other: str | None) -> float:
        """Returns how many held-out rows would tell two policies apart, see `off_policy.rows_needed`; NaN where it is
        the same one, or has no results."""
        if other in (None, method):
            return np.nan
        own, best = (self.by_seed(problem, label, MAIN) for label in (method, str(other)))
        if not (len(own) and len(best)):
            return np.nan
        spreads = [float(np.sqrt((part["error"] ** 2 * part["rows"]).mean())) for part in (own, best)]
        return rows_needed(float(own["value"].mean() - best["value"].mean()), *spreads)


def parts_of(seeds: Any, folds: int) -> float:
    """Returns how many parts without a row in common would tell as much as the held-out rows of some seeds, on average.

    Of two seeds of one order of the rows, see `run.split`, they have none in common; of two orders, 1 / folds of them.
    """
    _, sizes = np.unique(np.asarray(seeds) // folds, return_counts=True)
    count = int(sizes.sum())
    return count**2 / (count + (count**2 - int(np.square(sizes).sum())) / folds) if count else 0.0


def pooled(name: str, found: Any, folds: int) -> dict[str, float]:
    """Returns the columns of an estimator, whose records are found by seed: the mean over seeds, and the interval of
    all their held-out rows together.

    A mean of K parts without a row in common has 1 / sqrt(K) of the error of one, and so have the two sides of its
    interval; what seeds have in common tells nothing twice, see `parts_of`.
    """
    columns = (name, f"{name}_low", f"{name}_high", f"{name}_error")
    if not len(found):
        return dict.fromkeys(columns, float("nan"))
    value, parts = float(found["value"].mean()), np.sqrt(parts_of(found.index, folds))
    below, above = ((found[end] - found["value"]).mean() / parts for end in ("low", "high"))
    error = float(np.sqrt((found["error"] ** 2).mean()) / parts)
    return dict(zip(columns, (value, value + float(below), value + float(above), error), strict=True))
