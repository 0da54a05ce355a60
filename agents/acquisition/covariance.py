"""Batches for regressions, from how the draws vary together.

Covariances of S draws have rank S at most: they are kept as the draws themselves, centred, and as a matrix over draws.
No matrix of candidates by candidates is made. All draws of all candidates are kept: 8 R S C bytes, and
three times as many on the way.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition.base import REGRESSION, Rows, View, joined
from vbandits.agents.acquisition.batches import BatchAcquisition, one_by_one
from vbandits.agents.acquisition.scores import noise
from vbandits.types import Functions


@dataclass(frozen=True)
class MaxDet(BatchAcquisition):
    """The batch whose labels together give the most information about the function of a regression, label by label.

    The labels' joint distribution being normal, their information is 0.5 log det(I + K / noise), K being the covariance
    of the function at the batch (Krause, Singh & Guestrin, 2008, "Near-Optimal Sensor Placements in Gaussian
    Processes"; Holzmüller et al., 2023, "A Framework and Benchmark for Deep Batch Active Learning for Regression",
    MaxDet): what BatchBALD is for classes. The next label is where the variance given the batch so far is largest.

    Attributes:
        draws: functions of the posterior.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({REGRESSION})
    draws: Annotated[int, Field(ge=2)] = 100

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        belief = Belief.of(centred(view, view.draw(self.draws), view.candidates, self.draws), noise(view))
        return _greedy(view, count, belief, Belief.variance)


@dataclass(frozen=True)
class IntegratedVariance(BatchAcquisition):
    """The batch after whose labels the function varies least at the targets, label by label (Cohn, 1996, "Neural
    Network Exploration Using Optimal Experiment Design"; as ALC in Seo et al., 2000, for Gaussian processes).

    A label at c takes cov(f(c), f(t))^2 / (var f(c) + noise) from the variance at t; the mean over targets counts.

    Attributes:
        draws: functions of the posterior.
        targets: rows at which the function matters, a sample of the pool.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({REGRESSION})
    draws: Annotated[int, Field(ge=2)] = 100
    targets: Annotated[int, Field(ge=1)] = 1000

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        functions = view.draw(self.draws)
        belief = Belief.of(centred(view, functions, view.candidates, self.draws), noise(view))
        targets = centred(view, functions, view.targets("pool", self.targets), self.draws)
        spread = targets @ targets.mT / targets.shape[2]  # [R, S, S]
        return _greedy(view, count, belief, lambda belief: belief.reduction(spread))


@dataclass(frozen=True)
class Belief:
    """A normal distribution over functions: cov(f(a), f(b)) = f_a^T A f_b / S, f_a being the centred draws at a.

    Attributes:
        draws: centred draws at the candidates [R, S, C].
        metric: A [R, S, S], the identity before any label.
        noise: variance of a label about the function [R, 1].
    """

    draws: Float[Tensor, "R S C"]
    metric: Float[Tensor, "R S S"]
    noise: Float[Tensor, "R 1"]

    @classmethod
    def of(cls, draws: Float[Tensor, "R S C"], noise: Float[Tensor, "R 1"]) -> "Belief":
        """Returns the distribution with the covariance of centred draws, divisor S."""
        replicas, count, _ = draws.shape
        return cls(draws, torch.eye(count).to(draws).expand(replicas, -1, -1), noise)

    def variance(self) -> Float[Tensor, "R C"]:
        """Returns the variance of the function at every candidate."""
        return self._form(self.metric) / self.draws.shape[1]

    def reduction(self, spread: Float[Tensor, "R S S"]) -> Float[Tensor, "R C"]:
        """Returns what a label at each candidate takes from the targets' mean variance; `spread` is the mean of
        f_t f_t^T over the targets t."""
        squares = self._form(self.metric @ spread @ self.metric) / self.draws.shape[1] ** 2  # mean of cov^2
        return squares / (self.variance() + self.noise)

    def given(self, place: Int64[Tensor, " R"]) -> "Belief":
        """Returns the distribution after a label of one candidate, whatever the label."""
        f = self.draws.gather(2, place[:, None, None].expand(-1, self.draws.shape[1], 1))  # [R, S, 1]
        seen = self.metric @ f
        scale = (f.mT @ seen) + self.draws.shape[1] * self.noise.unsqueeze(2)
        return Belief(self.draws, self.metric - seen @ seen.mT / scale, self.noise)

    def _form(self, matrix: Float[Tensor, "R S S"]) -> Float[Tensor, "R C"]:
        return (self.draws * (matrix @ self.draws)).sum(1)


def centred(view: View, functions: Functions, rows: Rows, draws: int) -> Float[Tensor, "R S n"]:
    """Returns the draws at rows, less their mean."""
    values = joined(view.values(functions, rows, draws)).squeeze(3)
    return values - values.mean(1, keepdim=True)


def _greedy(view: View, count: int, belief: Belief, gain) -> Int64[Tensor, "R b"]:
    """Returns the places of a batch: one label at a time the largest gain, given the ones before."""

    def score(last: Tensor | None) -> Tensor:
        nonlocal belief
        if last is not None:
            belief = belief.given(last)
        return gain(belief)

    return one_by_one(view, count, score)
