"""What any run left, read back: records, cells, and the summary that every report shows."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class StoredResults:
    """What is common to the results of all kinds of experiments.

    Attributes:
        experiment: the experiment as run, with versions, device and command (`experiment.json`).
        cells: one marker per cell, finished or failed: its names, seeds, status, reason, failures, seconds.
        records: what the cells recorded, with their names.
        folder: where they lie.
    """

    experiment: dict[str, Any]
    cells: list[dict[str, Any]]
    records: pd.DataFrame
    folder: Path | None = None

    axes: ClassVar[tuple[str, str]]
    """What problems and contenders are called, as columns of `records`."""
    shown: ClassVar[tuple[str, ...]]
    """Columns of the summary in the representation."""
    losses: ClassVar[tuple[str, ...]]
    """Columns of the summary by which contenders are ordered within a problem: the first that exists."""

    def summary(self) -> pd.DataFrame:
        """Returns one row per problem and contender, the problems in the experiment's order, the best first."""
        return self._summary.copy()

    def report(self, path: str | Path | None = None) -> Path:
        """Writes index.html, report.md and summary.csv into a folder, and returns the page's path.

        Without a path, the folder is `report` in the results folder; results in memory alone need one.
        """
        from vbandits.report import write

        if path is None and self.folder is None:
            raise ValueError("expected a path, as these results are in no folder: report('report'), or run(out=...)")
        return write(self, Path(path) if path is not None else Path(self.folder or "") / "report")

    def __repr__(self) -> str:
        """Shows what was run, and how it ended."""
        shown = self._summary[[name for name in self.shown if name in self._summary]]
        return f"Results of {self.experiment['name']!r}\n{shown.to_string(index=False)}"

    @cached_property
    def parts(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The records by problem and contender."""
        if not len(self.records):
            return {}
        groups: Any = self.records.groupby(list(self.axes))
        return {(str(problem), str(contender)): part for (problem, contender), part in groups}

    def labels(self, axis: str) -> list[str]:
        """Returns the labels along an axis, in the experiment's order."""
        return [entry["label"] for entry in self.experiment[f"{axis}s"]]

    @cached_property
    def _summary(self) -> pd.DataFrame:
        problems, contenders = (self.labels(axis) for axis in self.axes)
        frame = pd.DataFrame([self._row(problem, contender) for problem in problems for contender in contenders])
        order = {label: i for i, label in enumerate(problems)}
        return (
            frame.assign(_order=[order[name] for name in frame[self.axes[0]]], _best=self._loss(frame))
            .sort_values(["_order", "_best"], kind="stable")
            .drop(columns=["_order", "_best"])
            .reset_index(drop=True)
        )

    def _loss(self, frame: pd.DataFrame) -> pd.Series:
        """Returns for every row of the summary what contenders are ordered by, the least first."""
        first: Any
        first, *others = (frame[name.removeprefix("-")] * (-1 if name.startswith("-") else 1) for name in self.losses)
        for other in others:
            first = first.fillna(other)
        return first

    def _row(self, problem: str, contender: str) -> dict[str, Any]:
        raise NotImplementedError

    def _ended(self, problem: str, contender: str, seconds: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns what begins a row of the summary, names, seeds, failures and any steps, and what ends it, the cost.

        Args:
            problem: its label.
            contender: its label.
            seconds: the purpose that each column of seconds is made from.
        """
        names = dict(zip(self.axes, (problem, contender), strict=True))
        cells = [cell for cell in self.cells if all(cell[axis] == label for axis, label in names.items())]
        failed = sum(len(cell["seeds"]) for cell in cells if cell["status"] == "failed")
        done = [cell for cell in cells if cell["status"] == "done"]
        begin = (
            names
            | {
                "seeds": sum(len(cell["seeds"]) for cell in done),
                "failures": failed + sum(cell["failures"] for cell in done),
            }
            | {name: self.experiment[name] for name in ("steps",) if name in self.experiment}
        )
        cost = {
            column: sum(cell["seconds"][purpose] for cell in done) if done else np.nan
            for column, purpose in seconds.items()
        }
        return begin, cost | {"memory_mb": max((cell["memory_mb"] for cell in done), default=np.nan)}
