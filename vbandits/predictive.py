"""Predictive distributions of targets: of numbers, in their own units, and of classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
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


class NormalMixture:
    """The scores of an equal mixture of normal distributions."""

    def nll(self, y) -> np.ndarray:
        """Returns the negative log density at `y` [R, N]."""
        return self._scored(scores.mixture_nll, y)

    def crps(self, y) -> np.ndarray:
        """Returns the continuous ranked probability score at `y` [R, N]."""
        return self._scored(scores.mixture_crps, y)

    def cdf(self, y) -> np.ndarray:
        """Returns the probability of a target of at most `y` [R, N]."""
        return self._scored(scores.mixture_cdf, y)

    def _scored(self, score: Callable[[Tensor, Tensor, Tensor], Tensor], y: Any) -> np.ndarray:
        """Returns a score of the components at `y` [R, N], computed where they are."""
        means, std = self._components()
        y = y if isinstance(y, Tensor) else torch.tensor(np.asarray(y))
        return _array(score(means, std, y.to(std)))

    def _components(self) -> tuple[Tensor, Tensor]:
        """Returns the components' means [R, N, S], and their standard deviation [R, N], in float64."""
        raise NotImplementedError


@dataclass(frozen=True)
class Mixture(NormalMixture):
    """The equal mixture over draws s of N(values_s, variance).

    Attributes:
        values: [R, S, N].
        variance: [R, N].
        spread: the part of `variance` that is the posterior's own and not the noise of a target, where draws do not
            show it because marginals are exact; by default none [R, N].
    """

    values: Tensor
    variance: Tensor
    spread: Tensor | None = None

    def affine(self, shift: Tensor, scale: Tensor) -> Mixture:
        """Returns the distribution of shift + scale * target; both [R, 1]."""
        values, square = shift.unsqueeze(1) + scale.unsqueeze(1) * self.values, scale.square()
        return Mixture(values, square * self.variance, None if self.spread is None else square * self.spread)

    def mean(self) -> np.ndarray:
        """Returns the mean [R, N]."""
        return _array(self._components()[0].mean(-1))

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the variance of the noise and that of the mean function's value [R, N]: aleatoric and epistemic."""
        spread = 0.0 if self.spread is None else _array(self.spread)
        return _array(self.noise_variance), _array(self._components()[0].var(-1, correction=0)) + spread

    @property
    def noise_variance(self) -> Tensor:
        """The variance of a target about the function's value [R, N]."""
        return self.variance if self.spread is None else self.variance - self.spread

    def _components(self) -> tuple[Tensor, Tensor]:
        return self.values.detach().movedim(1, -1).double().contiguous(), self.variance.double().sqrt()


@dataclass(frozen=True)
class Normal(NormalMixture):
    """The normal distribution of a target of which no more is known: not what of it is noise, and what ignorance.

    Attributes:
        location: the mean [R, N].
        scale: the standard deviation [R, N].
    """

    location: Tensor
    scale: Tensor

    def affine(self, shift: Tensor, scale: Tensor) -> Normal:
        """Returns the distribution of shift + scale * target; both [R, 1]."""
        return Normal(shift + scale * self.location, scale * self.scale)

    def mean(self) -> np.ndarray:
        """Returns the mean [R, N]."""
        return _array(self.location)

    def _components(self) -> tuple[Tensor, Tensor]:
        return self.location.detach().double().unsqueeze(-1), self.scale.double()


@dataclass(frozen=True)
class StudentT:
    """Student's t distribution, the exact predictive of conjugate linear regression; all fields [R, N].

    Attributes:
        df: degrees of freedom.
        location: the mean, for more than one degree of freedom.
        scale: of the distribution.
        noise: the part of `scale` that is the noise of a target, where weights are known: noise^2 + spread^2 = scale^2.
    """

    df: Tensor
    location: Tensor
    scale: Tensor
    noise: Tensor | None = None

    def affine(self, shift: Tensor, scale: Tensor) -> StudentT:
        """Returns the distribution of shift + scale * target; both [R, 1]."""
        noise = None if self.noise is None else scale * self.noise
        return StudentT(self.df, shift + scale * self.location, scale * self.scale, noise)

    def mean(self) -> np.ndarray:
        """Returns the location, which is the mean for more than one degree of freedom."""
        return _array(self.location)

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the variance of the noise and that of the mean function's value [R, N]: aleatoric and epistemic.

        Both are infinite for at most two degrees of freedom, and NaN where the noise is not told.
        """
        df, _, scale = self._arrays()
        noise = np.full_like(scale, np.nan) if self.noise is None else _array(self.noise)
        factor = np.where(df > 2, df / np.where(df > 2, df - 2, 1), np.inf)
        return factor * noise**2, factor * (scale**2 - noise**2)

    @property
    def noise_variance(self) -> Tensor | None:
        """The square of `noise` [R, N]: one over the noise's mean precision, which unlike its mean is always finite."""
        return None if self.noise is None else self.noise.square()

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


def joined(parts: Sequence[Any]) -> Any:
    """Returns predictive distributions [R, N] side by side as one, or None where they are not of one kind of ours."""
    if type(parts[0]) not in (Mixture, Normal, StudentT) or len({_form(part) for part in parts}) > 1:
        return None
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(parts[0])}
    return type(parts[0])(**{name: None if own[0] is None else torch.cat(own, -1) for name, own in columns.items()})


def _form(predictive: Any) -> tuple[Any, ...]:
    """Returns the kind of a predictive distribution, and the sizes of its parts but for N."""
    parts = vars(predictive).values()
    return type(predictive), *(part.shape[:-1] if isinstance(part, Tensor) else None for part in parts)
