"""Proper scores of predictive distributions, as pure functions in float64.

Those of mixtures and of the Bernoulli distribution take tensors, on whatever device they are; those of Student's t take
arrays. Shapes: a target is [...]; mixture components stand on a last axis [..., S]. Lower is better throughout.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor

from vbandits.blocks import at_once

LOG_2PI = math.log(2 * math.pi)
AT_ONCE = {"cpu": 64, "cuda": 2**14}
"""Mixtures whose pairs of components are looked at together: few enough for a core's cache, or to fill a GPU."""


def mixture_nll(means: Tensor, std: Tensor, y: Tensor) -> Tensor:
    """Returns -log of the mean over s of N(y; means_s, std^2).

    Args:
        means: [..., S].
        std: common standard deviation of the components [...].
        y: [...].
    """
    z = (y.unsqueeze(-1) - means) / std.unsqueeze(-1)
    return math.log(means.shape[-1]) + 0.5 * LOG_2PI + std.log() - (-0.5 * z * z).logsumexp(-1)


def mixture_cdf(means: Tensor, std: Tensor, y: Tensor) -> Tensor:
    """Returns the distribution function of the mixture at `y`; arguments as in `mixture_nll`."""
    return 0.5 * torch.erfc((means - y.unsqueeze(-1)) / (math.sqrt(2) * std.unsqueeze(-1))).mean(-1)


def mixture_crps(means: Tensor, std: Tensor, y: Tensor) -> Tensor:
    """Returns the continuous ranked probability score of the mixture; arguments as in `mixture_nll`.

    Closed form: mean_s A(y - m_s, std^2) - 1/2 mean_st A(m_s - m_t, 2 std^2), where A(d, v) is the mean of |N(d, v)|
    (Grimit, Gneiting, Berrocal and Johnson, "The continuous ranked probability score for circular variables and its
    application to mesoscale forecast ensemble verification", 2006, equation 5).
    """
    size, flat = means.shape[-1], means.reshape(-1, means.shape[-1])
    spread, pairs = math.sqrt(2) * std.reshape(-1, 1), torch.empty_like(flat[:, 0])
    most = at_once(AT_ONCE, means.device)
    for start in range(0, len(flat), most):  # never all in memory
        rows = slice(start, start + most)
        pairs[rows] = mean_absolute(_distances(flat[rows]), spread[rows]).sum(-1)
    pairs = (2 * pairs + size * mean_absolute(torch.zeros_like(spread), spread)[:, 0]).view(std.shape)
    return mean_absolute(y.unsqueeze(-1) - means, std.unsqueeze(-1)).mean(-1) - 0.5 * pairs / size**2


def _distances(means: Tensor) -> Tensor:
    """Returns the distance of each two of the means [n, S] once [n, S (S - 1) / 2], as what they are for is even."""
    size = means.shape[1]
    others = torch.cat([means, means], 1).unfold(1, size, 1)[:, 1:]  # [n, S, S]: those k places further, in a circle
    every = (others[:, : (size - 1) // 2] - means.unsqueeze(1)).flatten(1)
    if size % 2:
        return every
    half = size // 2  # opposite in the circle
    return torch.cat([every, means[:, half:] - means[:, :half]], 1)


def of_predictive(predictive: Any, y: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the mean of a `types.Predictive` and its scores at targets `y` [R, N], by name, each [R, N]."""
    return {"mean": predictive.mean(), "nll": predictive.nll(y), "crps": predictive.crps(y), "pit": predictive.cdf(y)}


def mean_absolute(d: Tensor, std: Tensor) -> Tensor:
    """Returns the mean of |X| for X ~ N(d, std^2), the folded normal's; `std` is above 0.

    Leone, Nelson and Nottingham, "The Folded Normal Distribution" (1961).
    """
    z = d * (1 / (math.sqrt(2) * std))
    density = (z * z).neg_().exp_().mul_(1 / math.sqrt(math.pi))
    return density.addcmul_(z, torch.erf(z)).mul_(math.sqrt(2) * std)


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


def bernoulli_nll(probability: Tensor, y: Tensor) -> Tensor:
    """Returns -log of the probability of the outcome, for `y` in {0, 1}."""
    return -torch.where(y > 0.5, probability, 1 - probability).log()


def brier(probability: Tensor, y: Tensor) -> Tensor:
    """Returns the squared error of the probability of 1, for `y` in {0, 1} (Brier, 1950).

    It is also the continuous ranked probability score of the Bernoulli distribution.
    """
    return (probability - y).square()
