"""Proper scores of predictive distributions, as pure functions of float64 arrays.

Shapes: a target is [...]; mixture components stand on a last axis [..., S]. Lower is better throughout.
"""

from typing import Any

import numpy as np
import torch
from scipy import special, stats

LOG_2PI = float(np.log(2 * np.pi))
AT_ONCE = 64
"""Mixtures whose pairs of components are looked at together."""


def mixture_nll(means: np.ndarray, std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns -log of the mean over s of N(y; means_s, std^2).

    Args:
        means: [..., S].
        std: common standard deviation of the components [...].
        y: [...].
    """
    z = (y[..., None] - means) / std[..., None]
    exponent = -0.5 * z * z
    largest = exponent.max(-1)
    total = np.exp(exponent - largest[..., None]).sum(-1)
    return np.log(means.shape[-1]) + 0.5 * LOG_2PI + np.log(std) - largest - np.log(total)


def mixture_cdf(means: np.ndarray, std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the distribution function of the mixture at `y`; arguments as in `mixture_nll`."""
    return special.ndtr((y[..., None] - means) / std[..., None]).mean(-1)


def mixture_crps(means: np.ndarray, std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the continuous ranked probability score of the mixture; arguments as in `mixture_nll`.

    Closed form: mean_s A(y - m_s, std^2) - 1/2 mean_st A(m_s - m_t, 2 std^2), where A(d, v) is the mean of |N(d, v)|
    (Grimit, Gneiting, Berrocal and Johnson, "The continuous ranked probability score for circular variables and its
    application to mesoscale forecast ensemble verification", 2006, equation 5).
    """
    size, flat = means.shape[-1], means.reshape(-1, means.shape[-1])
    first, second = np.triu_indices(size, 1)
    spread, pairs = np.sqrt(2) * std.reshape(-1, 1), np.empty(len(flat))
    for start in range(0, len(flat), AT_ONCE):  # each distance once, as A is even in d, and never all in memory
        rows = slice(start, start + AT_ONCE)
        distance = flat[rows].take(first, 1) - flat[rows].take(second, 1)
        pairs[rows] = 2 * mean_absolute(distance, spread[rows]).sum(
            -1
        )  # rows lie as one piece: the order of a sum is its own
    pairs = (pairs + size * mean_absolute(np.zeros(1), spread)[:, 0]).reshape(std.shape)
    return mean_absolute(y[..., None] - means, std[..., None]).mean(-1) - 0.5 * pairs / size**2


def of_predictive(predictive: Any, y: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the mean of a `types.Predictive` and its scores at targets `y` [R, N], by name, each [R, N]."""
    return {"mean": predictive.mean(), "nll": predictive.nll(y), "crps": predictive.crps(y), "pit": predictive.cdf(y)}


def mean_absolute(d: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Returns the mean of |X| for X ~ N(d, std^2), the folded normal's; `std` is above 0.

    Leone, Nelson and Nottingham, "The Folded Normal Distribution" (1961).
    """
    z = d / std
    error = torch.erf(torch.from_numpy(np.ascontiguousarray(z / np.sqrt(2)))).numpy()  # several times scipy's speed
    return std * (np.sqrt(2 / np.pi) * np.exp(-0.5 * z * z) + z * error)


def student_nll(df: np.ndarray, location: np.ndarray, scale: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the negative log density of Student's t."""
    return -stats.t.logpdf(y, df, location, scale)


def student_cdf(df: np.ndarray, location: np.ndarray, scale: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the distribution function of Student's t."""
    return special.stdtr(df, (y - location) / scale)


def student_crps(df: np.ndarray, location: np.ndarray, scale: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the continuous ranked probability score of Student's t, which needs df > 1.

    Closed form of Jordan, Krüger and Lerch, "Evaluating Probabilistic Forecasts with scoringRules" (2019), appendix A.
    """
    z = (y - location) / scale
    spread = z * (2 * special.stdtr(df, z) - 1) + 2 * stats.t.pdf(z, df) * (df + z * z) / (df - 1)
    log_ratio = special.betaln(0.5, df - 0.5) - 2 * special.betaln(0.5, df / 2)
    return scale * (spread - 2 * np.sqrt(df) / (df - 1) * np.exp(log_ratio))


def bernoulli_nll(probability: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns -log of the probability of the outcome, for `y` in {0, 1}."""
    return -np.log(np.where(y > 0.5, probability, 1 - probability))


def brier(probability: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the squared error of the probability of 1, for `y` in {0, 1} (Brier, 1950).

    It is also the continuous ranked probability score of the Bernoulli distribution.
    """
    return (probability - y) ** 2
