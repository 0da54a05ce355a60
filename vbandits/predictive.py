"""Predictive distributions of targets: of numbers, in their own units, and of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from vbandits.metrics import scores


def _array(value: Tensor | np.ndarray) -> np.ndarray:
    return value.detach().to("cpu").double().numpy() if isinstance(value, Tensor) else np.asarray(value, float)


@runtime_checkable
class Predictive(Protocol):
    """The predictive distribution of N scalar targets per replica; scores are arrays [R, N] in float64."""

    def affine(self, shift: Tensor, scale: Tensor) -> Predictive:
        """Returns the distribution of shift + scale * target; both [R, 1]."""
        ...

    def mean(self) -> Any:
        """Returns the mean."""
        ...

    def nll(self, y: Any) -> Any:
        """Returns the negative log density at `y` [R, N], in nats."""
        ...

    def crps(self, y: Any) -> Any:
        """Returns the continuous ranked probability score at `y` [R, N], in units of `y`."""
        ...

    def cdf(self, y: Any) -> Any:
        """Returns the probability integral transform of `y` [R, N]."""
        ...


@dataclass(frozen=True)
class Mixture:
    """The equal mixture over draws s of N(values_s, variance).

    Attributes:
        values: [R, S, N].
        variance: [R, N].
    """

    values: Tensor
    variance: Tensor

    def affine(self, shift: Tensor, scale: Tensor) -> Mixture:
        """Returns the distribution of shift + scale * target; both [R, 1]."""
        return Mixture(shift.unsqueeze(1) + scale.unsqueeze(1) * self.values, scale.square() * self.variance)

    def mean(self) -> np.ndarray:
        """Returns the mean [R, N]."""
        return _array(self.values).mean(1)

    def nll(self, y) -> np.ndarray:
        """Returns the negative log density at `y` [R, N]."""
        return scores.mixture_nll(*self._arrays(), _array(y))

    def crps(self, y) -> np.ndarray:
        """Returns the continuous ranked probability score at `y` [R, N]."""
        return scores.mixture_crps(*self._arrays(), _array(y))

    def cdf(self, y) -> np.ndarray:
        """Returns the probability of a target of at most `y` [R, N]."""
        return scores.mixture_cdf(*self._arrays(), _array(y))

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.moveaxis(_array(self.values), 1, -1), np.sqrt(_array(self.variance))


@dataclass(frozen=True)
class StudentT:
    """Student's t distribution, the exact predictive of conjugate linear regression; all fields [R, N]."""

    df: Tensor
    location: Tensor
    scale: Tensor

    def affine(self, shift: Tensor, scale: Tensor) -> StudentT:
        """Returns the distribution of shift + scale * target; both [R, 1]."""
        return StudentT(self.df, shift + scale * self.location, scale * self.scale)

    def mean(self) -> np.ndarray:
        """Returns the location, which is the mean for more than one degree of freedom."""
        return _array(self.location)

    def nll(self, y) -> np.ndarray:
        """Returns the negative log density at `y` [R, N]."""
        return scores.student_nll(*self._arrays(), _array(y))

    def crps(self, y) -> np.ndarray:
        """Returns the continuous ranked probability score at `y` [R, N]; needs more than one degree of freedom."""
        return scores.student_crps(*self._arrays(), _array(y))

    def cdf(self, y) -> np.ndarray:
        """Returns the probability of a target of at most `y` [R, N]."""
        return scores.student_cdf(*self._arrays(), _array(y))

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _array(self.df), _array(self.location), _array(self.scale)


@dataclass(frozen=True)
class Classes:
    """The equal mixture over draws s of softmax(logits_s / temperature): a distribution over K classes.

    The temperature divides every draw, so it scales mean and covariance of the logits together.

    Attributes:
        logits: [R, S, N, K].
        temperature: [R], or one for all.
    """

    logits: Tensor
    temperature: Tensor | float = 1.0

    def log_probabilities(self) -> Tensor:
        """Returns the log probability of each class [R, N, K]."""
        temperature = torch.as_tensor(self.temperature, dtype=self.logits.dtype, device=self.logits.device)
        scaled = self.logits / temperature.expand(len(self.logits))[:, None, None, None]
        return scaled.log_softmax(3).logsumexp(1) - math.log(self.logits.shape[1])
