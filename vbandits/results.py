"""What a run left, read back: records, cells, and the summary that every report shows."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.metrics import calibration, intervals
from vbandits.metrics.regret import simple_regret

YARDSTICK = "uniform"
"""Label of the agent that relative regret is a percentage of."""


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


@dataclass(frozen=True, repr=False)
class Results(StoredResults):
    """The results of a bandit experiment.

    Attributes:
        cells: one marker per cell, finished or failed: environment, agent, seeds, status, reason, failures, seconds.
        records: one row per seed and recorded step: environment, agent, seed, step, action, reward, regret,
            cumulative_reward, cumulative_regret, nll, crps, pit, brier; NaN where a value does not exist.
    """

    axes: ClassVar = ("environment", "agent")
    shown: ClassVar = ("environment", "agent", "seeds", "failures", "relative_regret", "reward", "nll")
    losses: ClassVar = ("cumulative_regret", "-reward")  # by reward where there is no regret

    def summary(self) -> pd.DataFrame:
        """Returns one row per environment and agent, the environments in the experiment's order, the best agent first.

        Columns: environment, agent, seeds (with results), failures (seeds that diverged or whose cell failed), steps;
        cumulative_regret and relative_regret (percent of the uniform agent's), each with `_low` and `_high`, the 95%
        interval of the mean over seeds; simple_regret (mean regret of the last 500 decisions); reward (mean per
        decision); nll, crps, brier, coverage_50, coverage_90, coverage_95 of the prequential predictions (coverage is
        empty for rewards in {0, 1}, brier for all others); seconds of the agent, environment_seconds,
        scoring_seconds, and memory_mb, the largest of the process.
        """
        return super().summary()

    def _row(self, problem: str, contender: str) -> dict[str, Any]:
        seconds = {"seconds": "agent", "environment_seconds": "environment", "scoring_seconds": "scoring"}
        begin, cost = self._ended(problem, contender, seconds)
        return begin | _measures(self.parts.get((problem, contender)), self.parts.get((problem, YARDSTICK))) | cost


def final(records: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column at the last step, by seed."""
    last: Any = records[records["step"] == records["step"].max()]
    return pd.Series(last[column].to_numpy(), index=last["seed"].to_numpy()).sort_index()


def mean_reward(records: pd.DataFrame) -> pd.Series:
    """Returns the mean reward per decision, by seed."""
    return final(records, "cumulative_reward") / (records["step"].max() + 1)


def _measures(records: pd.DataFrame | None, uniform: pd.DataFrame | None) -> dict[str, float]:
    nan = float("nan")
    names = (
        "cumulative_regret",
        "cumulative_regret_low",
        "cumulative_regret_high",
        "relative_regret",
        "relative_regret_low",
        "relative_regret_high",
        "simple_regret",
        "reward",
        "nll",
        "crps",
        "brier",
        *(f"coverage_{100 * level:.0f}" for level in calibration.LEVELS),
    )
    row = dict.fromkeys(names, nan)
    if records is None:
        return row
    regret = final(records, "cumulative_regret")
    row["cumulative_regret"] = float(np.mean(regret.to_numpy()))
    row["cumulative_regret_low"], row["cumulative_regret_high"] = intervals.mean_interval(regret.to_numpy())
    if uniform is not None:
        both = pd.concat([regret, final(uniform, "cumulative_regret")], axis=1, join="inner", keys=["own", "uniform"])
        own, reference = both["own"].to_numpy(), both["uniform"].to_numpy()
        if np.isfinite(reference).all() and reference.mean() > 0:
            row["relative_regret"] = 100 * own.mean() / reference.mean()
            low, high = intervals.ratio_interval(own, reference)
            row["relative_regret_low"], row["relative_regret_high"] = 100 * low, 100 * high
    curves = records.pivot(index="seed", columns="step", values="cumulative_regret")
    row["simple_regret"] = simple_regret(curves.to_numpy(), curves.columns.to_numpy()).mean()
    row["reward"] = mean_reward(records).to_numpy().mean()
    for name in ("nll", "crps", "brier"):
        known = records[name].dropna().to_numpy()
        row[name] = known.mean() if known.size else nan
    for level in calibration.LEVELS:
        row[f"coverage_{100 * level:.0f}"] = calibration.coverage(records["pit"].to_numpy(), level)
    return row
