"""Calibration of predictive distributions, from their probability integral transforms (PIT)."""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVELS = (0.5, 0.9, 0.95)
DISTINCT = 20
"""Most values that the rewards of a run may take to count as discrete."""


def coverage(pit: np.ndarray, level: float) -> np.ndarray:
    """Returns the part of targets inside the central interval of a level [...], NaN where there are none.

    A target lies between the quantiles (1 - level) / 2 and (1 + level) / 2 exactly where its PIT does.

    Args:
        pit: of the targets on the last axis [..., N], NaN where there is none.
        level: of the interval.
    """
    inside, known = (np.abs(pit - 0.5) <= level / 2).sum(-1), (~np.isnan(pit)).sum(-1)
    return np.where(known, inside / np.maximum(known, 1), np.nan)


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
        distinct, first = np.unique(_telling(run), return_index=True)
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


def _telling(run: np.ndarray) -> np.ndarray:
    """Returns the beginning of a run that tells whether it is discrete: what comes after too many values does not."""
    size = 4 * DISTINCT
    while size < len(run) and len(np.unique(run[:size])) <= DISTINCT:
        size *= 2
    return run[:size]


class Bins(NamedTuple):
    """Probabilities against what happened, in bins of equal width; NaN in empty bins.

    Attributes:
        probability: mean probability of each bin [B].
        hits: part of the cases in which it happened [B].
        rows: cases [B].
    """

    probability: np.ndarray
    hits: np.ndarray
    rows: np.ndarray


def thompson_bins(probability: np.ndarray, hit: np.ndarray, bins: int = 10) -> Bins:
    """Returns probabilities of arms to be the best against whether they were, in bins.

    Of a posterior that is right, an arm that is best with probability p is the best in a part p of the cases.

    Args:
        probability: in [0, 1], any shape.
        hit: whether it was the best, of the same shape.
        bins: of equal width; the last includes 1.
    """
    place = np.minimum((probability * bins).astype(int), bins - 1).ravel()
    rows = np.bincount(place, minlength=bins).astype(float)
    divisor = np.where(rows > 0, rows, np.nan)
    mean, hits = (np.bincount(place, part.ravel().astype(float), bins) / divisor for part in (probability, hit))
    return Bins(mean, hits, rows)


def hits_band(bins: Bins, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the hits of each bin lie for probabilities that are right, as if cases were independent [B].

    The central interval of the binomial distribution of `rows` cases at the bin's mean probability. Arms of a context
    and neighbouring decisions are not independent: it is narrower than what chance makes of them.
    """
    tail = (1 - level) / 2
    low, high = (
        stats.binom.ppf(part, bins.rows, np.nan_to_num(bins.probability, nan=0.5)) for part in (tail, 1 - tail)
    )
    rows = np.where(bins.rows > 0, bins.rows, np.nan)
    return low / rows, high / rows


def coverage_band(count: int, level: float, confidence: float = 0.95) -> tuple[float, float]:
    """Returns where the coverage of a perfect model lies at a number of independent predictions.

    The central interval of the binomial distribution: a perfect model's PITs are independent, also where its decisions
    hang together (Diebold, Gunther and Tay, "Evaluating Density Forecasts with Applications to Financial Risk
    Management", 1998, for predictions of the next outcome given all before). Those of a model with errors are not, so
    that it is no interval of what is seen, but the band of a perfect model at that size.

    Args:
        count: predictions that are scored.
        level: of the interval whose coverage it is.
        confidence: probability of the band.
    """
    if count < 1:
        return float("nan"), float("nan")
    low, high = stats.binom.ppf([(1 - confidence) / 2, (1 + confidence) / 2], count, level) / count
    return float(low), float(high)


def uniformity(pit: np.ndarray) -> float:
    """Returns the largest distance of the distribution function of PITs from that of the uniform distribution.

    Kolmogorov's statistic; `pit` is any array, NaN where there is none, and NaN is returned if there are none.
    """
    known = np.sort(pit[~np.isnan(pit)])
    if not known.size:
        return float("nan")
    ranks = np.arange(1, known.size + 1) / known.size
    return float(np.maximum(ranks - known, known - (ranks - 1 / known.size)).max())


def pit_band(count: int, level: float = 0.95) -> float:
    """Returns the half-width of the simultaneous band of a perfect model about the distribution function of its PITs.

    The quantile of Kolmogorov's statistic at `count` independent PITs, exact for every count (Marsaglia, Tsang and
    Wang, "Evaluating Kolmogorov's Distribution", 2003): `uniformity` is above it with probability 1 - level.
    """
    return float(stats.kstwo.ppf(level, count)) if count > 0 else float("nan")


def histogram_band(count: int, bins: int = 10, level: float = 0.95) -> tuple[float, float]:
    """Returns the simultaneous band of a perfect model for the parts of its PITs in bins of equal width.

    Each bin has the pointwise binomial interval whose error is (1 - level) / bins (Bonferroni), so that all are inside
    with at least the level.
    """
    if count < 1:
        return float("nan"), float("nan")
    tail = (1 - level) / (2 * bins)
    low, high = stats.binom.ppf([tail, 1 - tail], count, 1 / bins) / count
    return float(low), float(high)
