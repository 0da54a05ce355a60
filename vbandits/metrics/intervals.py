"""Confidence intervals that resample whole seeds, never steps."""

import numpy as np
from scipy import stats

RESAMPLES = 9999


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Returns the interval of the mean over seeds; `values` [R], one number per seed."""
    return _interval((values,), lambda x, axis: x.mean(axis), level)


def ratio_interval(values: np.ndarray, reference: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Returns the interval of mean(values) / mean(reference), both [R] and paired by seed."""
    return _interval((values, reference), lambda x, y, axis: x.mean(axis) / y.mean(axis), level)


def _interval(data: tuple[np.ndarray, ...], statistic, level: float) -> tuple[float, float]:
    """The percentile bootstrap, with percentiles widened for few seeds (Hesterberg, "What Teachers Should Know About
    the Bootstrap", 2015, section 5.3): an interval of normal shape gets the width of Student's t. NaN below two seeds.
    """
    size = len(data[0])
    if size < 2 or not all(np.isfinite(values).all() for values in data):
        return float("nan"), float("nan")
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
