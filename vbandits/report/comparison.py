"""Methods compared by one measure over seeds and problems: everything that a report concludes is concluded here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from vbandits.metrics import comparison, intervals
from vbandits.report.formats import MINUS
from vbandits.report.statistics import NAN, Interval

FEW = 10
"""Seeds below which a comparison is called weak."""


@dataclass(frozen=True)
class Measure:
    """What methods are compared by.

    Attributes:
        name: in words, as in "relative regret".
        unit: of a value, as in "% of uniform".
        sign: 1 where lower is better, -1 where higher is; a loss is a value times its sign.
        bounds: the least and the most that a value can be.
        chance: the value of acting by chance, if there is one.
        scale: by which what a benchmark calls its headline is multiplied: 100 shows fractions in percent.
    """

    name: str
    unit: str
    sign: float = 1.0
    bounds: tuple[float, float] = (-np.inf, np.inf)
    chance: float | None = None
    scale: float = 1.0

    @property
    def better(self) -> str:
        """Which way is better."""
        return "lower" if self.sign > 0 else "higher"

    def limits(self) -> tuple[float, float]:
        """Returns the least and the most that a loss can be."""
        low, high = sorted(self.sign * bound for bound in self.bounds)
        return low, high

    def value(self, loss: Interval) -> Interval:
        """Returns a loss and its interval as a value."""
        middle, *ends = (self.sign * number for number in loss)
        low, high = sorted(ends)
        return middle, low, high


@dataclass(frozen=True)
class Comparison:
    """Methods by seeds and problems.

    Attributes:
        measure: what they are compared by.
        labels: the methods, in the experiment's order.
        problems: those in which the measure is known.
        seeds: that every compared method has, or failed in.
        losses: of every run, as it counts in a mean over seeds [M, R, P]; NaN where there is none.
        runs: of every run by itself [M, R, P].
        failed: runs whose job failed or whose scores are nothing [M, R, P].
        incomplete: methods that lack runs which have not been made yet, and are not ranked.
        left_out: problems without the measure, and why.
        baseline: the method that acts by chance, which is never called best.
        planned: seeds of the experiment.
    """

    measure: Measure
    labels: tuple[str, ...]
    problems: tuple[str, ...]
    seeds: tuple[int, ...]
    losses: np.ndarray
    runs: np.ndarray
    failed: np.ndarray
    incomplete: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)
    baseline: str = ""
    planned: int = 0

    @property
    def known(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self.problems and self.ranked and self.seeds)

    @cached_property
    def ranked(self) -> tuple[str, ...]:
        """The methods that can be compared, the best first."""
        complete = [label for label in self.labels if label not in self.incomplete]
        order = {label: float(self.by_seed[self.labels.index(label)].mean()) for label in complete}
        return tuple(sorted(complete, key=lambda label: order[label]))

    @cached_property
    def contenders(self) -> tuple[str, ...]:
        """The ranked methods without the one that acts by chance."""
        return tuple(label for label in self.ranked if label != self.baseline)

    @cached_property
    def counted(self) -> np.ndarray:
        """The losses with the worst of a problem in the place of each failed run [M, R, P]."""
        return comparison.imputed(self.losses)[0]

    @cached_property
    def imputed_runs(self) -> np.ndarray:
        """The runs with the worst of a problem in the place of each failed run [M, R, P]."""
        return comparison.imputed(self.runs)[0]

    @cached_property
    def by_seed(self) -> np.ndarray:
        """The mean over problems [M, R]."""
        return self.counted.mean(2)

    def of(self, label: str) -> np.ndarray:
        """Returns a method's mean over problems by seed [R]."""
        return self.by_seed[self.labels.index(label)]

    def runs_of(self, label: str) -> np.ndarray:
        """Returns a method's runs, with the worst of a problem in the place of each failed one [R, P]."""
        return self.imputed_runs[self.labels.index(label)]

    def rows(self, labels: Sequence[str]) -> list[int]:
        """Returns the places of methods."""
        return [self.labels.index(label) for label in labels]

    @cached_property
    def means(self) -> dict[str, Interval]:
        """The mean over problems and its interval, as values."""
        return {label: self.measure.value(mean_of(self.of(label), self.measure.limits())) for label in self.ranked}

    @cached_property
    def middles(self) -> dict[str, Interval]:
        """The interquartile mean of runs and its interval, as values."""
        found, (low, high) = {}, self.measure.limits()
        for label in self.ranked:
            runs = self.runs_of(label)
            found[label] = self.measure.value(
                (intervals.interquartile_mean(runs), *intervals.interquartile_interval(runs, low=low, high=high))
            )
        return found

    @cached_property
    def candidates(self) -> frozenset[str]:
        """Methods that are not excluded as best."""
        return self._candidates(self.by_seed)

    def candidates_in(self, problem: str) -> frozenset[str]:
        """Returns methods that are not excluded as best in a problem."""
        return self._candidates(self.counted[:, :, self.problems.index(problem)])

    def _candidates(self, losses: np.ndarray) -> frozenset[str]:
        labels = self.contenders
        if not labels or losses.shape[1] < 2:  # a single seed excludes nothing, and recommends nothing
            return frozenset()
        kept = comparison.confidence_set(losses[self.rows(labels)])
        return frozenset(label for label, inside in zip(labels, kept, strict=True) if inside)

    @cached_property
    def behind(self) -> dict[str, Interval]:
        """By how much a method's mean loss is above the best one's, paired by seed."""
        return self._behind(self.by_seed)

    def behind_in(self, problem: str) -> dict[str, Interval]:
        """Returns by how much each method's mean loss in a problem is above that of the best overall."""
        return self._behind(self.counted[:, :, self.problems.index(problem)])

    def _behind(self, losses: np.ndarray) -> dict[str, Interval]:
        """Returns the differences of losses [M, R] to those of the best overall; none where nobody contends."""
        if not self.contenders:
            return {}
        best, *_ = self.contenders
        own = losses[self.labels.index(best)]
        return {
            label: comparison.paired_difference(losses[self.labels.index(label)], own)
            for label in self.ranked
            if label != best
        }

    @cached_property
    def rank_intervals(self) -> dict[str, tuple[int, int]]:
        """The ranks that these seeds leave a method, with 95% confidence for all at once."""
        return self._ranks(comparison.rank_intervals)(self.by_seed)

    @cached_property
    def problem_rank_intervals(self) -> dict[str, tuple[int, int]]:
        """The ranks that a method takes when problems are drawn again; empty below two problems."""
        if len(self.problems) < 2:
            return {}
        return self._ranks(comparison.problem_rank_intervals)(self.counted.mean(1))

    def _ranks(self, function):
        def found(losses: np.ndarray) -> dict[str, tuple[int, int]]:
            if losses.shape[1] < 2 or not self.contenders:
                return {}
            ends = function(losses[self.rows(self.contenders)])
            return {label: (int(low), int(high)) for label, (low, high) in zip(self.contenders, ends, strict=True)}

        return found

    @cached_property
    def lost(self) -> np.ndarray:
        """Runs that are nearer to chance than to the best method's median [M, R, P], or have failed."""
        if self.measure.chance is None or not self.contenders:
            return self.failed
        chance = self.measure.sign * self.measure.chance
        leaders = np.median(self.imputed_runs[self.rows(self.contenders)], 1).min(0)  # [P]
        lost = self.failed | (self.imputed_runs > np.maximum((leaders + chance) / 2, leaders))
        lost[[label == self.baseline for label in self.labels]] = False  # chance has nothing to lose
        return lost

    def lost_of(self, label: str) -> int:
        """Returns how many of a method's runs were lost."""
        return int(self.lost[self.labels.index(label)].sum())

    @property
    def size(self) -> int:
        """Runs of a method."""
        return len(self.seeds) * len(self.problems)


def mean_of(losses: np.ndarray, limits: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
    """Returns the mean over seeds [R] and its 95% interval, within what is possible."""
    if not len(losses) or not np.isfinite(losses).all():
        return NAN, NAN, NAN
    return float(losses.mean()), *intervals.mean_interval(losses, low=limits[0], high=limits[1])


def compared(
    measure: Measure,
    labels: Sequence[str],
    problems: Sequence[str],
    seeds: Sequence[int],
    losses: Mapping[tuple[str, str], pd.Series],
    runs: Mapping[tuple[str, str], pd.Series],
    failed: Mapping[tuple[str, str], frozenset[int]],
    left_out: Mapping[str, str],
    baseline: str = "",
) -> Comparison:
    """Returns the comparison of methods.

    Runs that have not been made yet are not invented: methods with none in some problem are not ranked, and of the
    others the seeds count that all have in all problems, or have failed in.

    Args:
        measure: what they are compared by.
        labels: the methods.
        problems: in which the measure is known.
        seeds: of the experiment.
        losses: by problem and method, by seed.
        runs: the same, of every run by itself.
        failed: seeds by problem and method that failed.
        left_out: problems without the measure, and why.
        baseline: the method that acts by chance.
    """

    def table(found: Mapping[tuple[str, str], pd.Series]) -> np.ndarray:
        values = np.full((len(labels), len(seeds), len(problems)), np.nan)
        for m, method in enumerate(labels):
            for p, problem in enumerate(problems):
                own = found.get((problem, method))
                if own is not None and len(own):
                    values[m, :, p] = measure.scale * own.reindex(list(seeds)).to_numpy()
        return values

    counted, single = table(losses), table(runs)
    broken = np.array(
        [[[seed in failed.get((problem, method), ()) for problem in problems] for seed in seeds] for method in labels],
        dtype=bool,
    ).reshape(len(labels), len(seeds), len(problems))
    there = np.isfinite(counted) | broken
    whole = np.array([bool(own.any(0).all()) and len(problems) > 0 for own in there], dtype=bool)
    kept: Any = there[whole].all(axis=(0, 2)) if whole.any() else np.zeros(len(seeds), bool)
    some = np.array([bool(np.isfinite(counted[:, kept, p]).any()) for p in range(len(problems))], dtype=bool)
    if not some.all() and some.any():  # of a problem whose runs have all failed nothing can be said
        lost = dict.fromkeys(np.array(problems)[~some], "all of its runs that are compared have failed")
        left = [problem for problem, inside in zip(problems, some.tolist(), strict=True) if inside]
        everything = (measure, labels, left, seeds, losses, runs, failed, {**left_out, **lost}, baseline)
        return compared(*everything)
    return Comparison(
        measure,
        tuple(labels),
        tuple(problems),
        tuple(seed for seed, inside in zip(seeds, kept.tolist(), strict=True) if inside),
        np.where(np.isfinite(counted), counted, np.nan)[:, kept],
        np.where(np.isfinite(single), single, np.nan)[:, kept],
        broken[:, kept],
        frozenset(label for label, complete in zip(labels, whole.tolist(), strict=True) if not complete),
        dict(left_out),
        baseline,
        len(seeds),
    )


def signed(value: float, places: int) -> str:
    """Returns a number with its sign."""
    text = f"{abs(value):,.{places}f}"
    return f"{'+' if value >= 0 else MINUS}{text}"
