"""What a supervised run left, read back: its records, and the summary that every report shows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.experiment.results import StoredResults, estimated
from vbandits.metrics import class_calibration
from vbandits.report.comparison import Measure

MEASURES = (
    "error",
    "nll",
    "nll_median",
    "nll_trimmed",
    "nll_calibration",
    "nll_refinement",
    "brier",
    "brier_calibration",
    "brier_refinement",
    "ece",
    "ece_debiased",
    "smooth_ece",
    "aurc",
    "excess_aurc",
)
"""Columns of the records that are measured; the lower, the better."""
UNBOUNDED = ("ece_debiased",)
"""Columns that may be below 0."""
AT_MOST = {"nll": np.inf, "brier": 2.0}
"""What columns that begin so are at most; others are parts of a whole."""
BANDS = ("ece_null", "smooth_ece_null")
"""Columns of the records with the mean error of a perfect model, and with `_low` and `_high` the ends of its band."""
CORRUPTED, SEVEREST = "corrupted_", "severest_"
"""Begin the names of columns that are means over all corruptions: at all severities, and at the highest one alone."""
AUROC = "auroc_"
"""Begins the name of a column that tells a dataset from an out-of-distribution set, which its name ends with."""
COVERAGES = tuple(range(5, 101, 5))
"""Percentages of rows for which the risk-coverage curve is recorded."""


def risk_column(percent: int) -> str:
    """Returns the column of the error among so many percent of the rows, the most confident ones."""
    return f"risk_{percent:03d}"


def bin_column(name: str, bin: int) -> str:
    """Returns the column of a reliability diagram's "rows", "confidence" or "accuracy" in a bin, counted from 1."""
    return f"{name}_{bin:02d}"


@dataclass(frozen=True, repr=False)
class SupervisedResults(StoredResults):
    """The results of a supervised experiment.

    Attributes:
        jobs: one marker per job, finished or failed: dataset, method, seeds, status, reason, failures, seconds.
        records: one row per seed and evaluation setting: dataset, method, seed, corruption ("none": the clean test
            set), severity; the columns of `MEASURES` (error, NLL with median and trimmed mean over rows, Brier score,
            both with their parts, ECE, debiased and smooth, area under the risk-coverage curve and its excess);
            ece_null, smooth_ece_null (of a perfect model) with `_low` and `_high`; auroc_NAME for every
            out-of-distribution set; temperature, and nll_unscaled (at temperature 1) where it was fitted;
            confidence_BB, accuracy_BB and rows_BB, the bins of the reliability diagram; risk_PPP, the error among the
            PPP percent of rows of the highest confidence. Of a seed that diverged, all that is predicted is NaN.
    """

    benchmark: ClassVar = "supervised"
    shown: ClassVar = ("dataset", "method", "seeds", "failures", "error", "nll", "ece", "corrupted_error")
    seconds: ClassVar = {"seconds": "training", "prediction_seconds": "prediction"}
    losses: ClassVar = ("nll",)

    def summary(self) -> pd.DataFrame:
        """Returns one row per dataset and method, the datasets in the experiment's order, the lowest NLL first.

        Columns: dataset, method, seeds (with results), failures (seeds that diverged or whose job failed), steps; the
        columns of `MEASURES` and auroc_NAME on the clean test set, with the prefix `corrupted_` their mean over all
        corruptions and severities and with `severest_` that at the highest severity alone, each with `_low` and
        `_high`, the 95% interval of the mean over seeds; ece_null and smooth_ece_null, what a perfect model has, whose
        `_low` and `_high` are the ends of its 95% band for one seed; temperature; temperature_loss (by how much a
        temperature that was fitted on other rows raised the NLL on the clean test set) with its interval; seconds of
        training, prediction_seconds, and memory_mb, the largest of the process.

        A seed that diverged stands in every column as the worst that any seed of any method has there; of a method all
        of whose seeds diverged there is nothing.
        """
        return super().summary()

    def measures(self) -> list[str]:
        """Returns the columns of the records that are measured: errors and scores, and the AUROCs that there are."""
        return [*MEASURES, *(name for name in self.records.columns if name.startswith(AUROC))]

    def by_seed(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns a column of the summary as each seed has it; without values where there are none."""
        if (problem, column) not in self._known:
            every = {label: means(part, column) for (place, label), part in self.parts.items() if place == problem}
            values = np.concatenate([own.to_numpy(dtype=float) for own in every.values()]) if every else np.empty(0)
            worst = (np.fmin if higher(column) else np.fmax).reduce(values, initial=np.nan)
            sound = {label: own for label, own in every.items() if own.notna().any()}
            self._known[problem, column] = {label: own.fillna(worst) for label, own in sound.items()}
        return self._known[problem, column].get(method, pd.Series(dtype=float))

    @cached_property
    def _known(self) -> dict[tuple[str, str], dict[str, pd.Series]]:
        """Columns of the summary by problem, and in them by method and seed, as they are asked for."""
        return {}

    @property
    def reference(self) -> str:
        """The method that others are measured by over datasets: the deterministic network, else the first one.

        Where folders are compared, it is the deterministic network of the first one.
        """
        labels = self.labels("method")
        return next((label for label in labels if label.partition(" (")[0] == "deterministic"), labels[0])

    @property
    def compared_by(self) -> Measure:
        """The negative log-likelihood in percent of the reference's; in nats where there is one dataset."""
        single = len(self.labels("dataset")) == 1
        return Measure("negative log-likelihood", "nats" if single else f"% of {self.reference}", bounds=(0.0, np.inf))

    def compared_loss(self, problem: str, method: str) -> pd.Series:
        """Returns the negative log-likelihood of each seed, over that of the reference where there are more datasets.

        It is without values where the reference has none.
        """
        own = self.loss(problem, method, "nll")
        if len(self.labels("dataset")) == 1:
            return own
        if (problem, self.reference) not in self.parts:
            return pd.Series(dtype=float)
        return 100 * own / self.loss(problem, self.reference, "nll").mean()

    def unknown(self, problem: str) -> str:
        """Returns why methods are not compared on a dataset."""
        known = {place[0] for place in self.parts}
        return f"{self.reference} has no results there" if problem in known else super().unknown(problem)

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns a column of the summary as each seed has it, an AUROC with its sign turned."""
        return (-1 if higher(column) else 1) * self.by_seed(problem, method, column)

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns errors and scores, clean, under corruption and under the strongest, and the temperature."""
        records, row = self.parts.get((problem, method)), {}
        for prefix in ("", CORRUPTED, SEVEREST):
            for name in self.measures():
                values = self.by_seed(problem, method, f"{prefix}{name}").to_numpy()
                high = AT_MOST.get(name.partition("_")[0], 1.0)
                low = -1.0 if name in UNBOUNDED else 0.0
                row |= estimated(f"{prefix}{name}", values, low=low, high=high)
            for name in (f"{prefix}{band}{end}" for band in BANDS for end in ("", "_low", "_high")):
                row[name] = np.nan if records is None else means(records, name).mean()
        row["temperature"] = np.nan if records is None else records["temperature"].mean()
        return row | estimated("temperature_loss", self.temperature_loss(problem, method).to_numpy(), symmetric=True)

    def temperature_loss(self, problem: str, method: str) -> pd.Series:
        """Returns by how much a fitted temperature raised the NLL on the clean test set, by seed, if it was fitted."""
        records = self.parts.get((problem, method))
        if records is None:
            return pd.Series(dtype=float)
        return (means(records, "nll") - means(records, "nll_unscaled")).dropna()


def higher(column: str) -> bool:
    """Returns whether a column of the summary is the better, the higher it is."""
    return column.removeprefix(CORRUPTED).removeprefix(SEVEREST).startswith(AUROC)


def means(records: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column of the summary by seed: its mean over the settings that its prefix names, NaN where one is."""
    name = column.removeprefix(CORRUPTED).removeprefix(SEVEREST)
    if name not in records:
        return pd.Series(np.nan, pd.Index(records["seed"].unique()))
    corrupted, severest = column.startswith(CORRUPTED), column.startswith(SEVEREST)
    severity = records["severity"]
    wanted = severity == severity.max() if severest else severity > 0
    kept: Any = records[(severity > 0) & wanted if corrupted or severest else severity == 0]
    groups = kept.groupby("seed")[name]
    return groups.mean().where(groups.count() == groups.size())


def reliability(records: pd.DataFrame, corrupted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns confidence, accuracy and rows of one evaluation in each bin [B], means over seeds and settings of a kind.

    Means weigh by rows; what a seed that diverged predicted is left out.
    """
    kept: Any = records[((records["severity"] > 0) == corrupted) & records["error"].notna()]
    columns = {
        name: [bin_column(name, bin) for bin in range(1, class_calibration.BINS + 1)]
        for name in class_calibration.Reliability._fields
    }
    rows = kept[columns["rows"]].to_numpy(dtype=float)
    total = rows.sum(0)
    with np.errstate(invalid="ignore"):  # empty bins have no mean
        confidence, accuracy = (
            np.nansum(rows * kept[columns[name]].to_numpy(dtype=float), 0) / total
            for name in ("confidence", "accuracy")
        )
    return confidence, accuracy, total / max(len(kept), 1)


def risks(records: pd.DataFrame, corrupted: bool) -> np.ndarray:
    """Returns the error at each of `COVERAGES` per seed [R, C], the mean over settings; without seeds that diverged."""
    kept: Any = records[(records["severity"] > 0) == corrupted]
    columns = [risk_column(percent) for percent in COVERAGES]
    if not set(columns) <= set(kept):
        return np.empty((0, len(columns)))
    found = kept.groupby("seed")[columns].mean().to_numpy(dtype=float)
    return found[np.isfinite(found).all(1)]


def by_severity(records: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns severities [G], 0 for the clean test set, and per seed [R, G] a column's mean over corruptions.

    Seeds that diverged are left out.
    """
    sound = records[records["error"].notna().groupby(records["seed"]).transform("all")]
    found: Any = sound.groupby(["seed", "severity"])[column].mean()
    table = found.unstack().dropna(axis="columns")
    return table.columns.to_numpy(), table.to_numpy(dtype=float)
