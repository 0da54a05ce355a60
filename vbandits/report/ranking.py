"""Which method leads: in each problem, and over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vbandits.report import statistics
from vbandits.report.statistics import NAN, Interval

NOTHING: Interval = (NAN, NAN, NAN)


@dataclass(frozen=True)
class ProblemRanking:
    """One problem of the ranking.

    Attributes:
        label: of the problem.
        estimates: mean over seeds with its interval, by method; NaN for a method without results.
        leaders: the best method, and those not told apart from it; empty with a single seed.
        measure: the column of the summary that is shown.
        unit: of it, in words.
        relative: whether it is a percentage of a reference, over which means can be taken.
        higher: whether higher is better.
    """

    label: str
    estimates: Mapping[str, Interval]
    leaders: frozenset[str]
    measure: str
    unit: str
    relative: bool = True
    higher: bool = False

    @property
    def empty(self) -> bool:
        """Whether there are no results of any method."""
        return not any(np.isfinite(value) for value, _, _ in self.estimates.values())

    def place(self, method: str) -> float:
        """Returns a method's place, counted from 1; NaN without results."""
        sign = -1 if self.higher else 1
        own = sign * self.estimates[method][0]
        return 1 + sum(sign * value[0] < own for value in self.estimates.values()) if np.isfinite(own) else NAN


@dataclass(frozen=True)
class Ranking:
    """Methods over all problems.

    Attributes:
        methods: labels, the best first; those without results in every problem come last.
        ranks: counted from 1; None for a method without results in every problem.
        means: over the problems with a relative measure, with its interval.
        leaders: the best method by this mean, and those not told apart from it.
        problems: what is known of each.
        behind: by how much a method's mean is above the best one's, paired by seed, with its interval.
        middle: the interquartile mean of runs with its interval; empty where runs cannot be compared.
    """

    methods: tuple[str, ...]
    ranks: Mapping[str, int | None]
    means: Mapping[str, Interval]
    leaders: frozenset[str]
    problems: tuple[ProblemRanking, ...]
    behind: Mapping[str, Interval] = field(default_factory=dict)
    middle: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def comparable(self) -> tuple[ProblemRanking, ...]:
        """The problems with a relative measure, over which means are taken."""
        return tuple(problem for problem in self.problems if problem.relative)

    def problem(self, label: str) -> ProblemRanking:
        """Returns a problem by its label."""
        return next(problem for problem in self.problems if problem.label == label)


def rank(
    methods: Sequence[str],
    problems: Sequence[ProblemRanking],
    by_seed: Mapping[str, pd.Series],
    runs: Mapping[str, np.ndarray] | None = None,
) -> Ranking:
    """Ranks methods by their mean over problems with a relative measure, or where there is none by their mean place.

    Args:
        methods: labels.
        problems: in their order.
        by_seed: the mean over problems as each seed has it (`statistics.mean_ratio`), of the methods that have one.
        runs: the measure of every run [R, P], seeds by problems, of the methods that have all.
    """
    relative = [problem for problem in problems if problem.relative]
    means = {method: _mean(method, relative, by_seed) for method in methods}
    complete = {
        method: all(np.isfinite(problem.estimates[method][0]) for problem in relative or problems) for method in methods
    }
    score = {method: means[method][0] if relative else _place(method, problems) for method in methods}
    ordered = sorted(methods, key=lambda method: (not complete[method], np.nan_to_num(score[method], nan=np.inf)))
    behind = statistics.behind({method: own for method, own in by_seed.items() if complete[method]})
    return Ranking(
        methods=tuple(ordered),
        ranks={method: place if complete[method] else None for place, method in enumerate(ordered, 1)},
        means=means,
        leaders=statistics.leading(behind),
        problems=tuple(problems),
        behind=dict([*behind.items()][1:]),  # the first is the best itself
        middle={method: statistics.interquartile_mean(own) for method, own in (runs or {}).items()},
    )


def _mean(method: str, relative: Sequence[ProblemRanking], by_seed: Mapping[str, pd.Series]) -> Interval:
    """Returns the mean over the problems in which a method has results; over one problem it is that problem's."""
    found = [problem.estimates[method] for problem in relative]
    known = [estimate for estimate in found if np.isfinite(estimate[0])]
    if not known or method not in by_seed:
        return NOTHING
    return known[0] if len(known) == 1 else statistics.mean_interval(by_seed[method])


def _place(method: str, problems: Sequence[ProblemRanking]) -> float:
    places = [place for place in (problem.place(method) for problem in problems) if np.isfinite(place)]
    return float(np.mean(places)) if places else NAN
