"""Calibration of predictive distributions, from their probability integral transforms (PIT)."""

import numpy as np

LEVELS = (0.5, 0.9, 0.95)
DISTINCT = 20
"""Most values that the rewards of a run may take to count as discrete."""


def coverage(pit: np.ndarray, level: float) -> float:
    """Returns the part of targets inside the central interval of a level; `pit` is any array, NaN where there is none.

    A target lies between the quantiles (1 - level) / 2 and (1 + level) / 2 exactly where its PIT does.
    """
    known = pit[~np.isnan(pit)]
    return float((np.abs(known - 0.5) <= level / 2).mean()) if known.size else float("nan")


def randomised_pit(low: np.ndarray, high: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Returns low + uniform (high - low): uniform in [0, 1] for a perfect prediction of a discrete target.

    Brockwell, "Universal residuals: a multivariate transformation" (2007); Czado, Gneiting and Held, "Predictive Model
    Assessment for Count Data" (2009), equation 1.

    Args:
        low: the probability of a smaller target than the one that came.
        high: that of at most the target that came.
        uniform: independent uniform numbers in [0, 1).
    """
    return low + uniform * (high - low)


def neighbours(values: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the midpoints between a value and the next smaller and larger ones of its run [R, G], if it is discrete.

    A continuous distribution says of a discrete value what it says of the interval between them; they are infinite
    where there is no smaller or larger value. Whether a run is discrete, and what its values are, is told by those that
    it has had up to and with the one that is looked at, of which later ones change nothing: it is if they are from 2 to
    20 different ones and each came twice on average. Elsewhere both are NaN.

    Args:
        values: of runs, step after step [R, T].
        steps: that are looked at, counted from 0 [G].
    """
    lower, upper = np.full((2, len(values), len(steps)), np.nan)
    for run, low, high in zip(values, lower, upper, strict=True):
        distinct, first = np.unique(run, return_index=True)
        some = np.argsort(first, kind="stable")[: DISTINCT + 1]  # one more than are looked at tells when they are many
        distinct, first = distinct[some], first[some]
        seen = first <= steps[:, None]  # [G, V]
        count, here = seen.sum(1), run[steps, None]
        discrete = (count >= 2) & (count <= DISTINCT) & (steps + 1 >= 2 * count)
        below = np.where(seen & (distinct < here), distinct, -np.inf).max(1)
        above = np.where(seen & (distinct > here), distinct, np.inf).min(1)
        low[discrete] = ((run[steps] + below) / 2)[discrete]
        high[discrete] = ((run[steps] + above) / 2)[discrete]
    return lower, upper
