"""Scores of one candidate at a time: how unsure, or how divided, the draws are about its label."""

from dataclasses import dataclass
from math import e, pi
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition.base import CLASSES, REGRESSION, View, joined
from vbandits.agents.acquisition.batches import ByScore, settled

NOISE = 1e-12
"""The least variance of a target about its function."""


@dataclass(frozen=True)
class Pointwise(ByScore):
    """A score that follows from the draws' values at the candidate; rows are evaluated a block at a time.

    The draws are taken as the posterior: probabilities are means over them, and variances have the divisor S.

    Attributes:
        draws: functions of the posterior.
    """

    draws: Annotated[int, Field(ge=1)] = 100

    def score(self, view: View) -> Float[Tensor, "R C"]:
        """Returns the score of every candidate."""
        blocks = view.values(view.draw(self.draws), view.candidates, self.draws)
        return joined((self.of(view, values) for values in blocks), 1)

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns the score of rows, from the log probabilities of their classes or from means (K = 1)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Entropy(Pointwise):
    """Entropy of the predictive distribution, in nats (Settles, 2009, "Active Learning Literature
    Survey", section 3.1); of a regression, that of a normal distribution with the draws' variance and the noise's."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns the entropy; that of a density can be negative."""
        if view.classes:
            return settled(entropy(values.exp().mean(1)))
        return 0.5 * (2 * pi * e * (variance(values).squeeze(2) + noise(view))).log()


@dataclass(frozen=True)
class LeastConfidence(Pointwise):
    """One minus the probability of the most probable class (Lewis & Gale, 1994; Settles, 2009, section 3.1)."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns the probability that the likeliest class is wrong."""
        return settled(1 - values.exp().mean(1).amax(2))


@dataclass(frozen=True)
class Margin(Pointwise):
    """One minus the lead of the most probable class over the next (Scheffer et al., 2001; Settles, 2009, section
    3.1)."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns 1 - (p1 - p2)."""
        first, second = values.exp().mean(1).topk(2, dim=2).values.unbind(2)
        return settled(1 - (first - second))


@dataclass(frozen=True)
class VoteEntropy(Pointwise):
    """Entropy of the draws' votes, each for its most probable class, in nats (Dagan & Engelson, 1995)."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns the entropy of the shares of votes."""
        votes = torch.zeros_like(values).scatter_(3, values.argmax(3, keepdim=True), 1.0)
        return settled(entropy(votes.mean(1)))


@dataclass(frozen=True)
class MeanStd(Pointwise):
    """Standard deviation over draws of a class's probability, mean over classes (Kampffmeyer et al., 2016; Gal et al.,
    2017, "Deep Bayesian Active Learning with Image Data")."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns the mean standard deviation."""
        return settled(variance(values.exp()).sqrt().mean(2))


@dataclass(frozen=True)
class Variance(Pointwise):
    """Variance over draws: of the function, or of the classes' probabilities, summed over classes.

    For a regression it is a criterion of MacKay (1992, "Information-Based Objective Functions for Active Data
    Selection").
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns the variance, of a regression in squared standardised units."""
        return settled(variance(values.exp() if view.classes else values).sum(2))


def entropy(probability: Float[Tensor, "*rows K"]) -> Float[Tensor, "*rows"]:
    """Returns the entropy of distributions over classes, in nats."""
    return surprise(probability).sum(-1)


def surprise(probability: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Returns -p log p, zero for p = 0. (`torch.special.entr` takes four times as long.)"""
    return probability.clamp_min(torch.finfo(probability.dtype).tiny).log_().mul_(probability).neg_()


def variance(values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n K"]:
    """Returns the variance over draws, divisor S."""
    return values.var(1, correction=0)


def noise(view: View) -> Float[Tensor, "R 1"]:
    """Returns the variance of a target about the function, not below what keeps logarithms finite."""
    return view.noise.double().clamp_min(NOISE).unsqueeze(1)
