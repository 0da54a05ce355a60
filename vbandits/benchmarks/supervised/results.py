"""What a supervised run left, read back: its records, and the summary that every report shows."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.experiment.results import StoredResults, estimated
from vbandits.metrics import class_calibration

MEASURES = ("error", "nll", "ece", "brier")
CORRUPTED = "corrupted_"
"""Begins the name of a column that is a mean over all corruptions and severities."""
AUROC = "auroc_"
"""Begins the name of a column that tells a dataset from an out-of-distribution set, which its name ends with."""


def bin_column(name: str, bin: int) -> str:
    """Returns the column of a reliability diagram's "rows", "confidence" or "accuracy" in a bin, counted from 1."""
    return f"{name}_{bin:02d}"


@dataclass(frozen=True, repr=False)
class SupervisedResults(StoredResults):
    """The results of a supervised experiment.

    Attributes:
        jobs: one marker per job, finished or failed: dataset, method, seeds, status, reason, failures, seconds.
        records: one row per seed and evaluation setting: dataset, method, seed, corruption ("none": the clean test
            set), severity, error, nll, ece, brier, auroc_NAME for every out-of-distribution set, temperature; and
            confidence_BB, accuracy_BB and rows_BB, the bins of the reliability diagram.
    """

    benchmark: ClassVar = "supervised"
    shown: ClassVar = ("dataset", "method", "seeds", "failures", "error", "nll", "ece", "corrupted_error")
    seconds: ClassVar = {"seconds": "training", "prediction_seconds": "prediction"}
    losses: ClassVar = ("nll",)

    def summary(self) -> pd.DataFrame:
        """Returns one row per dataset and method, the datasets in the experiment's order, the lowest NLL first.

        Columns: dataset, method, seeds (with results), failures (seeds that diverged or whose job failed), steps;
        error, nll, ece, brier and auroc_NAME on the clean test set, and with the prefix `corrupted_` their mean over
        all corruptions and severities, each with `_low` and `_high`, the 95% interval of the mean over seeds;
        temperature; seconds of training, prediction_seconds, and memory_mb, the largest of the process.
        """
        return super().summary()

    def measures(self) -> list[str]:
        """Returns the columns of the records that are measured: errors and scores, and the AUROCs that there are."""
        return [*MEASURES, *(name for name in self.records.columns if name.startswith(AUROC))]

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns a column of the summary as each seed has it, an AUROC with its sign turned."""
        higher = column.removeprefix(CORRUPTED).startswith(AUROC)
        return (-1 if higher else 1) * by_seed(self.parts[problem, method], column)

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns errors and scores, clean and under corruption, and the temperature."""
        records, row = self.parts.get((problem, method)), {}
        for name in (f"{prefix}{name}" for prefix in ("", CORRUPTED) for name in self.measures()):
            row |= estimated(name, by_seed(records, name).to_numpy())
        return row | {"temperature": np.nan if records is None else records["temperature"].mean()}


def by_seed(records: pd.DataFrame | None, column: str) -> pd.Series:
    """Returns a column of the summary as each seed has it; without values where there are none."""
    if records is None:
        return pd.Series(dtype=float)
    corrupted = column.startswith(CORRUPTED)
    kept: Any = records[(records["severity"] > 0) == corrupted]
    return kept.groupby("seed")[column.removeprefix(CORRUPTED)].mean().dropna()


def reliability(records: pd.DataFrame, corrupted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns confidence, accuracy and the share of rows in each bin [B], over all seeds and settings of a kind."""
    kept: Any = records[(records["severity"] > 0) == corrupted]
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
    return confidence, accuracy, total / max(total.sum(), 1)


def by_severity(records: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns severities [G], 0 for the clean test set, and per seed [R, G] a column's mean over corruptions."""
    means: Any = records.groupby(["seed", "severity"])[column].mean()
    table = means.unstack().dropna(axis="columns")
    return table.columns.to_numpy(), table.to_numpy(dtype=float)
