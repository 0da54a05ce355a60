"""What a tuning found: the score of every setting, and the best one of every method."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vbandits.experiment import sweeps
from vbandits.experiment.results import StoredResults
from vbandits.report.statistics import NOTHING, Interval, mean_interval
from vbandits.tuning import search


@dataclass(frozen=True)
class Trial:
    """A setting that was tried.

    Attributes:
        setting: the value of each field that was searched.
        preset: sections of the preset that it would make.
        scores: the headline by problem, NaN where it is not known.
        losses: the mean over problems as each seed has it, with the sign by which lower is better; without seeds where
            a run is missing, so that the setting cannot be chosen.
        score: the mean over problems, and its interval.
        failures: seeds that diverged, or whose job failed.
        seconds: of all its jobs.
    """

    setting: dict[str, Any]
    preset: dict[str, Any]
    scores: dict[str, float]
    losses: pd.Series = field(repr=False)
    score: Interval
    failures: int
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether it can be chosen."""
        return len(self.losses) > 0

    @property
    def text(self) -> str:
        """The setting in few words."""
        return sweeps.text(self.setting) or "as it is"


@dataclass(frozen=True)
class TunedMethod:
    """A method and the settings of it that were tried, the best first, and those that cannot be chosen last.

    Attributes:
        name: of its preset.
        axes: what was searched.
        trials: the settings.
        differences: the score of each less that of the best, paired by seed.
    """

    name: str
    axes: dict[str, list[Any]]
    trials: list[Trial]
    differences: list[Interval]

    @property
    def chosen(self) -> Trial | None:
        """The best setting; None if there is none that can be chosen."""
        return self.trials[0] if self.trials and self.trials[0].whole else None

    @property
    def next_best(self) -> tuple[Trial, Interval] | None:
        """The second best setting, and its difference to the best."""
        return (self.trials[1], self.differences[1]) if len(self.trials) > 1 and self.trials[1].whole else None

    @property
    def tied(self) -> list[bool]:
        """Which settings are the best or not told from it: the interval of the difference includes 0."""
        shown = zip(self.trials, self.differences, strict=True)
        return [trial is self.chosen or (trial.whole and not (low > 0 or high < 0)) for trial, (_, low, high) in shown]

    @property
    def edges(self) -> list[str]:
        """Fields whose chosen value is at an edge of what was tried."""
        return [] if self.chosen is None else search.edges(self.axes, self.chosen.setting)

    @property
    def seconds(self) -> float:
        """Seconds of all trials."""
        return sum(trial.seconds for trial in self.trials)


class Tuning:
    """The trials of a results folder.

    Attributes:
        results: what was run.
        settings: how many settings of every method were tried.
        headline: the column of the summary whose mean over problems is the score.
        higher: whether a higher score is better.
        problems: those that the score is the mean over.
        unscored: those in which there is no headline, whatever the method.
        methods: in the experiment's order.
    """

    def __init__(self, results: StoredResults) -> None:
        self.results = results
        self.settings: int = results.experiment["tuning"]["settings"]
        column = results.headline or results.losses[0]
        self.headline, self.higher = column.removeprefix("-"), column.startswith("-")
        described: Mapping[str, Any] = results.experiment["tuning"]["methods"]
        labels = {label for method in described.values() for trial in method["trials"] for label in trial["methods"]}
        self._losses = {place: results.headline_loss(*place) for place in results.parts if place[1] in labels}
        scored = {problem for (problem, _), loss in self._losses.items() if np.isfinite(loss).any()}
        failed = {job[results.axes[0]] for job in results.jobs if job["status"] == "failed"}
        played = {problem for problem, _ in self._losses} - failed  # which may be why there is no headline
        every = results.labels(results.axes[0])
        self.unscored = [problem for problem in every if problem in played - scored]
        self.problems = [problem for problem in every if problem not in self.unscored]
        self.methods = [self._method(name, method) for name, method in described.items()]

    def _method(self, name: str, described: Mapping[str, Any]) -> TunedMethod:
        sign = -1.0 if self.higher else 1.0
        trials = [self._trial(trial) for trial in described["trials"]]
        trials = sorted(trials, key=lambda trial: trial.losses.mean() if trial.whole else np.inf)
        differences = [
            mean_interval(sign * (trial.losses - trials[0].losses)) if trial.whole else NOTHING for trial in trials
        ]
        return TunedMethod(name, described["axes"], trials, differences)

    def _trial(self, described: Mapping[str, Any]) -> Trial:
        method_axis = self.results.axes[1]
        labels, seeds = described["methods"], self.results.experiment["seeds"]
        by_problem = {problem: self._of(problem, labels) for problem in self.problems}
        losses: Any = pd.DataFrame(by_problem, index=seeds).mean(axis=1, skipna=False)
        whole = bool(np.isfinite(losses).all())
        sign = -1.0 if self.higher else 1.0
        summary = self.results.summary()
        own: Any = summary[summary[method_axis].isin(labels)]
        jobs = [job for job in self.results.jobs if job[method_axis] in labels and job["status"] == "done"]
        return Trial(
            described["setting"],
            described["preset"],
            {problem: sign * float(loss.to_numpy().mean()) for problem, loss in by_problem.items()},
            losses if whole else losses[:0],
            mean_interval(sign * losses) if whole else NOTHING,
            int(own["failures"].sum()),
            sum(seconds for job in jobs for seconds in job["seconds"].values()),
        )

    def _of(self, problem: str, labels: list[str]) -> pd.Series:
        """Returns the mean loss of methods in a problem by seed; NaN where one is missing."""
        found = {label: self._losses.get((problem, label), pd.Series(dtype=float)) for label in labels}
        seeds = self.results.experiment["seeds"]
        return pd.Series(pd.DataFrame(found, index=seeds).mean(axis=1, skipna=False))
