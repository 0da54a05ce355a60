"""The arithmetic of reports: intervals, which methods may be best, a curve's band. Nothing is drawn here."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from vbandits.metrics import comparison, intervals

POINTS = 120
"""Most points of a curve: more are not seen, and make the page heavy."""

Interval = tuple[float, float, float]
"""A mean over seeds, and the two ends of its 95% interval (NaN below two seeds)."""
NAN = float("nan")
NOTHING: Interval = (NAN, NAN, NAN)


def mean_band(
    values: np.ndarray, low: float = -np.inf, high: float = np.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the mean over seeds at each point, and the two ends of a 95% band that holds at all points at once.

    Args:
        values: one row per seed [R, G].
        low: the least that is possible.
        high: the most that is possible.
    """
    return intervals.simultaneous_band(values, low=low, high=high)


def thinned(size: int) -> np.ndarray:
    """Returns at most `POINTS` places of so many, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(POINTS, size)).round().astype(int))


def exists(frame: pd.DataFrame, column: str) -> bool:
    """Returns whether a column has any value."""
    return bool(frame[column].notna().to_numpy().any())


def leaders(losses: Mapping[str, pd.Series]) -> frozenset[str]:
    """Returns the methods that are not excluded as best; none where there is one seed.

    Args:
        losses: each method's loss, by seed; a method with one that is not finite is left out.
    """
    known = {method: loss for method, loss in losses.items() if len(loss) and np.isfinite(loss).all()}
    table = pd.DataFrame(known).dropna()
    if len(table) < 2:
        return frozenset()
    kept = comparison.confidence_set(table.to_numpy(dtype=float).T)
    return frozenset(method for method, inside in zip(table.columns, kept, strict=True) if inside)


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


def mean_interval(by_seed: pd.Series | np.ndarray, low: float = -np.inf, high: float = np.inf) -> Interval:
    """Returns the mean over the seeds that have a value, and its 95% interval within what is possible."""
    values = np.asarray(by_seed, float)
    known = values[~np.isnan(values)]
    return (float(known.mean()), *intervals.mean_interval(known, low=low, high=high)) if len(known) else (NAN, NAN, NAN)


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
