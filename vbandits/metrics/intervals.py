"""Confidence intervals that resample whole seeds, never steps."""

import numpy as np
from scipy import stats

RESAMPLES = 9999
STRATIFIED = 2000
FEW = 10
"""Below this many seeds the bootstrap, which never leaves the range of what it has seen, covers too little."""


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Returns the interval of the mean over seeds; `values` [R], one number per seed."""
    return _interval((values,), lambda x, axis: x.mean(axis), level)


def ratio_interval(values: np.ndarray, reference: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Returns the interval of mean(values) / mean(reference), both [R] and paired by seed."""
    return _interval((values, reference), lambda x, y, axis: x.mean(axis) / y.mean(axis), level)


def interquartile_mean(runs: np.ndarray) -> float:
    """Returns the mean of the middle half of all runs [R, P], seeds by problems: no single run moves it much."""
    return float(stats.trim_mean(runs.ravel(), 0.25))


def interquartile_interval(runs: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Returns the interval of the interquartile mean of runs [R, P], resampling seeds in each problem by itself.

    Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", 2021, section 4.3: the stratified bootstrap, with percentiles.
    """
    size, problems = runs.shape
    if size < 2 or not np.isfinite(runs).all():
        return float("nan"), float("nan")
    chosen = np.random.default_rng(0).integers(size, size=(STRATIFIED, size, problems))
    resampled = runs[chosen, np.arange(problems)].reshape(STRATIFIED, -1)
    found = stats.trim_mean(resampled, 0.25, axis=1)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _interval(data: tuple[np.ndarray, ...], statistic, level: float) -> tuple[float, float]:
    """The jackknife with Student's t for few seeds, else the bootstrap; NaN where neither has a value."""
    size = len(data[0])
    if size < 2 or not all(np.isfinite(values).all() for values in data):
        return float("nan"), float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may have a reference of zero
        low, high = (_jackknife if size < FEW else _bootstrap)(data, statistic, level)
        if not (np.isfinite(low) and np.isfinite(high)):
            low, high = _jackknife(data, statistic, level)
    return (low, high) if np.isfinite(low) and np.isfinite(high) else (float("nan"), float("nan"))


def _jackknife(data: tuple[np.ndarray, ...], statistic, level: float) -> tuple[float, float]:
    """Leaves out one seed at a time (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11).

    Of a mean, it is Student's interval.
    """
    size = len(data[0])
    others = ~np.eye(size, dtype=bool)
    without = np.array([statistic(*(values[kept] for values in data), axis=0) for kept in others])
    error = np.sqrt((size - 1) * without.var())
    centre, width = statistic(*data, axis=0), stats.t.ppf((1 + level) / 2, size - 1) * error
    return float(centre - width), float(centre + width)


def _bootstrap(data: tuple[np.ndarray, ...], statistic, level: float) -> tuple[float, float]:
    """The percentile bootstrap, with percentiles widened for few seeds (Hesterberg, "What Teachers Should Know About
    the Bootstrap", 2015, section 5.3): an interval of normal shape gets the width of Student's t.
    """
    size = len(data[0])
    if all((values == values[0]).all() for values in data):  # nothing to resample
        same = float(statistic(*data, axis=0))
        return same, same
    tail = stats.norm.cdf(np.sqrt(size / (size - 1)) * stats.t.ppf((1 - level) / 2, size - 1))
    interval = stats.bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=float(1 - 2 * tail),
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)
