"""The arithmetic of reports: intervals, which methods lead, a curve's band. Nothing is drawn here."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from vbandits.metrics import intervals

POINTS = 120
"""Most points of a curve: more are not seen, and make the page heavy."""

Interval = tuple[float, float, float]
"""A mean over seeds, and the two ends of its 95% interval (NaN below two seeds)."""
NAN = float("nan")


def mean_band(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns mean, low and high of Student's t interval of the mean over seeds, at each point.

    Args:
        values: one row per seed [R, G].
        level: of the interval, which is pointwise.
    """
    size = len(values)
    mean = values.mean(0)
    if size < 2:
        return mean, np.full_like(mean, NAN), np.full_like(mean, NAN)
    half = stats.t.ppf((1 + level) / 2, size - 1) * values.std(0, ddof=1) / np.sqrt(size)
    return mean, mean - half, mean + half


def thinned(size: int) -> np.ndarray:
    """Returns at most `POINTS` places of so many, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(POINTS, size)).round().astype(int))


def exists(frame: pd.DataFrame, column: str) -> bool:
    """Returns whether a column has any value."""
    return bool(frame[column].notna().to_numpy().any())


def leaders(losses: Mapping[str, pd.Series]) -> frozenset[str]:
    """Returns the method of the lowest mean loss, and those not told apart from it; none where there is one seed.

    Args:
        losses: each method's loss, by seed.
    """
    return leading(behind(losses))


def behind(losses: Mapping[str, pd.Series]) -> dict[str, Interval]:
    """Returns by how much each method's mean loss is above the lowest, paired by seed; the best method comes first.

    Args:
        losses: each method's loss, by seed; a method with one that is not finite is left out.
    """
    known = {method: loss for method, loss in losses.items() if len(loss) and np.isfinite(loss).all()}
    if not known:
        return {}
    best = min(known, key=lambda method: known[method].mean())
    return {method: mean_interval((known[method] - known[best]).dropna()) for method in dict.fromkeys([best, *known])}


def leading(differences: Mapping[str, Interval]) -> frozenset[str]:
    """Returns the best method and those not told apart from it, of what `behind` returns; none where there is one seed.

    A method is told apart from the best if the 95% interval of the difference excludes 0.
    """
    several = any(np.isfinite(low) for _, low, _ in differences.values())
    return frozenset(method for method, (_, low, _) in differences.items() if several and not low > 0)


def mean_ratio(pairs: Iterable[tuple[pd.Series, pd.Series]]) -> pd.Series:
    """Returns the mean over problems of mean(own) / mean(reference), as each seed has it; their mean is the ratio.

    A seed departs from it by its linear influence on the ratios (the delta method), so that seeds can be resampled or
    compared: the same ones in every problem.

    Args:
        pairs: per problem, own and reference by seed.
    """
    ratios, influences = [], []
    for own, reference in pairs:
        both: Any = pd.DataFrame({"own": own, "reference": reference}).dropna()
        scale = both["reference"].mean()
        ratio = both["own"].mean() / scale
        ratios.append(ratio)
        influences.append((both["own"] - ratio * both["reference"]) / scale)
    influence = pd.concat(influences, axis=1, join="inner").mean(axis=1)
    return float(np.mean(ratios)) + influence - (influence.mean() if len(influence) else 0.0)


def mean_interval(by_seed: pd.Series) -> Interval:
    """Returns the mean over seeds and its 95% interval, resampling whole seeds."""
    low, high = intervals.mean_interval(by_seed.to_numpy())
    return float(by_seed.mean()), low, high


def interquartile_mean(runs: np.ndarray) -> Interval:
    """Returns the mean of the middle half of runs [R, P], seeds by problems, and its 95% interval."""
    return intervals.interquartile_mean(runs), *intervals.interquartile_interval(runs)


def student_interval(by_seed: np.ndarray) -> Interval:
    """Returns the mean over the seeds that have a value, and its Student's t interval, as figures show it."""
    known = by_seed[np.isfinite(by_seed)]
    if not known.size:
        return NAN, NAN, NAN
    mean, low, high = mean_band(known[:, None])
    return float(mean[0]), float(low[0]), float(high[0])


def spread(positions: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Returns the positions nearest to the given ones that are at least `gap` apart and lie in [low, high]."""
    if not len(positions):
        return positions
    steps = np.arange(len(positions))
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    order = np.argsort(positions, kind="stable")
    free = optimize.isotonic_regression(positions[order] - gap * steps).x
    moved = np.empty(len(positions))
    moved[order] = np.clip(free, low, high - gap * steps[-1]) + gap * steps
    return moved
