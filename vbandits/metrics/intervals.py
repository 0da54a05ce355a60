"""Confidence intervals that resample whole seeds, never steps: of means, of ratios, of curves, of interquartile means.

One method serves means, ratios and curves: the bootstrap-t. It asks how far the mean of resampled seeds strays from the
mean, in standard errors of those resampled seeds, and so follows a skewed distribution where Student's t does not:

* B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.5;
* T. Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.5.

Resamples are the same in every call, and their sums exact, so that equal values have equal intervals on any machine.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy import stats

RESAMPLES = 4000
"""Of seeds. The chance of the draw moves the tail of 2.5% by 0.25 percentage points (one standard deviation)."""
KEPT = 2**22
"""Most numbers of resamples that are in memory at once, where problems and seeds are many."""
FEWEST = 4
"""Below so many seeds the bootstrap has too few different resamples (3 seeds: 10): Student's t instead."""
FLOOR = 0.2
"""Least standard error of a resample, as a share of the sample's: one that drew a single seed over and over has none.

Tried: it costs no coverage, and one seed far off no longer makes an interval ten times as wide as its distance.
"""
DIGITS = 2.0**30
"""Values count in such parts of the largest, so that sums of resamples are of whole numbers: exact in any order."""
NAN = float("nan")


def mean_interval(
    values: np.ndarray,
    level: float = 0.95,
    low: float = -np.inf,
    high: float = np.inf,
    symmetric: bool = False,
) -> tuple[float, float]:
    """Returns the interval of the mean over seeds: the bootstrap-t, or Student's t for 2 and 3 seeds and differences.

    Args:
        values: one number per seed [R].
        level: of the interval.
        low: least possible value of a mean; the interval is clipped to it.
        high: largest possible value of a mean.
        symmetric: Student's t, for differences of pairs, whose distribution is nearly symmetric however skewed that of
            each is: so that an interval excludes 0 where the t test of `comparison.confidence_set` says so.

    Returns:
        Both ends; NaN below two seeds or where a value is not finite; the value itself where all are the same.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        return NAN, NAN
    mean, error = _mean_and_error(values[:, None])
    if symmetric or len(values) < FEWEST:
        above = -stats.t.ppf((1 - level) / 2, len(values) - 1)
        below = above
    else:
        below, above = _critical(values[:, None], level)
    ends = np.clip([mean[0] - below * error[0], mean[0] + above * error[0]], low, high)
    return float(ends[0]), float(ends[1])


def ratio_interval(
    values: np.ndarray, reference: np.ndarray, level: float = 0.95, low: float = -np.inf, high: float = np.inf
) -> tuple[float, float]:
    """Returns the interval of mean(values) / mean(reference), both [R] and paired by seed.

    It is `mean_interval` of `ratio_by_seed`.
    """
    return mean_interval(ratio_by_seed(values, reference), level, low, high)


def ratio_by_seed(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns numbers [R] whose mean is mean(values) / mean(reference): the ratio, and each seed's influence on it.

    Efron and Tibshirani, 1993, chapter 21 (the infinitesimal jackknife): a seed's influence is
    (value - ratio * reference) / mean(reference). The mean of the reference cancels in a studentised ratio, so that
    treating it as known loses nothing.

    Args:
        values: one number per seed [R].
        reference: of the same seeds [R].

    Returns:
        Numbers [R]: NaN where the reference has a mean of zero, or a value is not finite.
    """
    values, reference = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    scale = reference.mean() if len(reference) else 0.0
    if scale == 0 or not np.isfinite([values, reference]).all():
        return np.full(len(values), NAN)
    ratio = values.mean() / scale
    return ratio + (values - ratio * reference) / scale


def simultaneous_band(
    curves: np.ndarray, level: float = 0.95, low: float = -np.inf, high: float = np.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the mean over seeds and a band that holds the whole curve of true means with the given probability.

    J. Montiel Olea and M. Plagborg-Møller, "Simultaneous Confidence Bands", 2019 (sup-t): the same number of standard
    errors at every point, the number by which resampled curves stray where they stray most. Resamples are studentised
    and each side has its own number, as in `mean_interval`; there are fewer, for they cost G times as much.

    Args:
        curves: one row per seed [R, G]. Points where a seed has no finite value have no band.
        level: of the band as a whole.
        low: least possible value of a mean; the band is clipped to it.
        high: largest possible value of a mean.

    Returns:
        Mean, low and high, each [G]; ends are NaN below four seeds: no band for so few was found to hold.
    """
    curves = np.asarray(curves, dtype=float)
    mean, below, above = (np.full(curves.shape[1], NAN) for _ in range(3))
    known = np.isfinite(curves).all(0)
    if not len(curves) or not known.any():
        return mean, below, above
    mean[known], error = _mean_and_error(curves[:, known])
    if len(curves) >= FEWEST:
        down, up = _critical(curves[:, known], level, RESAMPLES // 4)
        below[known] = np.clip(mean[known] - down * error, low, high)
        above[known] = np.clip(mean[known] + up * error, low, high)
    return mean, below, above


def interquartile_mean(runs: np.ndarray) -> float:
    """Returns the mean of the middle half of all runs [R, P], seeds by problems: no single run moves it much."""
    return float(_middle_half(runs.reshape(1, -1))[0])


def interquartile_interval(
    runs: np.ndarray, level: float = 0.95, low: float = -np.inf, high: float = np.inf
) -> tuple[float, float]:
    """Returns the interval of the interquartile mean of runs [R, P], resampling seeds in each problem by itself.

    R. Agarwal, M. Schwarzer, P. Castro, A. Courville and M. Bellemare, "Deep Reinforcement Learning at the Edge of the
    Statistical Precipice", 2021, sections 4.1 and 4.3: the stratified bootstrap, with percentiles. These are moved
    away from the interquartile mean by what few seeds make them too near (Hesterberg, 2015, section 5.3): resamples
    have (R - 1) / R of the variance, and Student's t stands for the normal, its degrees of freedom from the middle half
    of the runs.

    Args:
        runs: seeds by problems [R, P].
        level: of the interval.
        low: least possible value; the interval is clipped to it.
        high: largest possible value.
    """
    size, problems = runs.shape
    if size < 2 or not np.isfinite(runs).all():
        return NAN, NAN
    random, at_once = np.random.default_rng(0), max(1, KEPT // runs.size)
    parts = []
    for start in range(0, RESAMPLES // 2, at_once):
        chosen = random.integers(size, size=(min(at_once, RESAMPLES // 2 - start), size, problems))
        parts.append(_middle_half(runs[chosen, np.arange(problems)].reshape(len(chosen), -1)))
    found = np.concatenate(parts)
    tail, middle = (1 - level) / 2, interquartile_mean(runs)
    freedom = max(problems * (size - 1) / 2, 1)
    wider = np.sqrt(size / (size - 1)) * stats.t.ppf(tail, freedom) / stats.norm.ppf(tail)
    ends = np.clip(middle + wider * (np.quantile(found, [tail, 1 - tail]) - middle), low, high)
    return float(ends[0]), float(ends[1])


def rests_on_one(values: np.ndarray, level: float = 0.95) -> bool:
    """Returns whether the mean over seeds rests on one of them: without it, the mean is quite another.

    That is: some seed whose removal moves the mean by more than half the width of the others' Student's t interval,
    out of which the mean of all then falls. Of Gaussian seeds 3% of samples of 5 and 0.1% of samples of 10 do so.

    Args:
        values: one number per seed [R]; False below three, or where one is not finite.
        level: of the others' interval.
    """
    values = np.asarray(values, dtype=float)
    size = len(values)
    if size < 3 or not np.isfinite(values).all():
        return False
    others = np.tile(values, (size, 1))[~np.eye(size, dtype=bool)].reshape(size, size - 1)
    half = stats.t.ppf((1 + level) / 2, size - 2) * others.std(1, ddof=1) / np.sqrt(size - 1)
    rounding = 1e-12 * np.abs(values).max()
    return bool((np.abs(values.mean() - others.mean(1)) > half + rounding).any())


@lru_cache(maxsize=16)
def resampled(size: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Returns how often each is drawn, in samples of as many with replacement [resamples, size]."""
    counts = _counts(np.random.default_rng(seed), size, resamples)
    counts.flags.writeable = False
    return counts


def resampled_in_blocks(size: int, rows: int, blocks: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields the rows of `resampled`, so many at a time; all are kept for the next call only if they are few."""
    if rows * blocks * size <= KEPT:
        yield from resampled(size, rows * blocks, seed).reshape(blocks, rows, size)
        return
    random = np.random.default_rng(seed)
    for _ in range(blocks):
        yield _counts(random, size, rows)


def _counts(random: np.random.Generator, size: int, resamples: int) -> np.ndarray:
    drawn = random.integers(size, size=(resamples, size)) + size * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size).astype(float)


def _middle_half(values: np.ndarray) -> np.ndarray:
    """Returns the mean of the middle half of each row of values [B, N]; sorted, they add up in one order everywhere."""
    cut = values.shape[1] // 4
    return np.sort(values, axis=1)[:, cut : values.shape[1] - cut].mean(1)


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean over seeds of values [R, G] and its standard error, exactly 0 where all are the same."""
    size = len(values)
    same = (values == values[0]).all(0)
    mean = np.where(same, values[0], values.mean(0))
    squares = ((values - mean) ** 2).sum(0)
    return mean, np.sqrt(squares / (size * max(size - 1, 1)))


def _critical(values: np.ndarray, level: float, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Returns how many standard errors the ends are below and above the means of values [R, G].

    They are those of the resampled means that are farthest from the means on each side, over all G.
    """
    size = len(values)
    mean, error = _mean_and_error(values)
    varied = error > 1e-13 * np.abs(values).max(0)  # else it is rounding that varies
    if not varied.any():
        return 0.0, 0.0
    centred = (values - mean)[:, varied]
    centred = centred / np.abs(centred).max(0)
    counts = resampled(size, resamples)
    means = counts @ np.rint(DIGITS * centred) / (DIGITS * size)
    squares = counts @ np.rint(DIGITS * centred**2) / (DIGITS * size)
    own = (centred**2).sum(0) / (size * (size - 1))
    away = means / np.sqrt(np.maximum((squares - means**2) / (size - 1), FLOOR**2 * own))
    below = np.quantile(away.max(1), (1 + level) / 2)
    above = np.quantile(away.min(1), (1 - level) / 2)
    return float(below), float(-above)
