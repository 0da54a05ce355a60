"""Information of one label about the function, or about the labels of other rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition import base
from vbandits.agents.acquisition.base import CLASSES, REGRESSION, View, joined
from vbandits.agents.acquisition.batches import BatchAcquisition, ByScore, one_by_one, settled
from vbandits.agents.acquisition.scores import Pointwise, entropy, noise, variance


@dataclass(frozen=True)
class BALD(Pointwise):
    """Information that a label gives about the function, in nats (Houlsby et al., 2011, "Bayesian Active Learning for
    Classification and Preference Learning", eq. 2; Gal et al., 2017, for networks)."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})

    def of(self, view: View, values: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
        """Returns H[mean p] - mean H[p], or 0.5 log(1 + variance / noise)."""
        if view.classes:
            return information(values)
        return settled(0.5 * (variance(values).squeeze(2) / noise(view)).log1p())


@dataclass(frozen=True)
class EPIG(ByScore):
    """Information that a label gives about the label of a target row, mean over targets, in nats: the expected
    predictive information gain (Bickford Smith et al., 2023, "Prediction-Oriented Bayesian Active Learning").

    The same functions are evaluated at candidates and at targets: what one label says about another is how they vary
    together from function to function.

    Attributes:
        draws: functions of the posterior.
        targets: rows on whose predictions it matters.
        source: where they come from, all rows of the pool or test inputs.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})
    draws: Annotated[int, Field(ge=2)] = 100
    targets: Annotated[int, Field(ge=1)] = 100
    source: Literal["pool", "test"] = "pool"

    def score(self, view: View) -> Float[Tensor, "R C"]:
        """Returns the information of every candidate."""
        functions = view.draw(self.draws)
        targets = joined(view.values(functions, view.targets(self.source, self.targets), self.draws))
        blocks = view.values(functions, view.candidates, self.draws)
        if view.classes:
            return joined((information_about(values, targets) for values in blocks), 1)
        return joined((gaussian_information_about(values, targets, noise(view)) for values in blocks), 1)


@dataclass(frozen=True)
class PosteriorSampling(BatchAcquisition):
    """For each label of a batch two fresh draws, and the candidate about which they disagree most.

    This is Thompson sampling for learning: the chance that a row is asked for is the chance that it is the most
    telling one between two functions that the posterior holds possible. It is query by committee (Seung, Opper &
    Sompolinsky, 1992) with a committee of two, anew for every label, which is what makes a batch diverse. Two
    functions disagree by the Jensen-Shannon divergence of their classes' probabilities, in nats, or by their
    distance. Draws are independent: of an ensemble of M members both are the same one, which tells nothing, with
    probability 1 / M.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})

    def score(self, view: View) -> Float[Tensor, "R C"]:
        """Returns how far two fresh draws disagree about each candidate."""
        blocks = view.values(view.draw(2), view.candidates, 2)
        if view.classes:
            return joined(map(information, blocks), 1)
        return joined((settled((values[:, 0] - values[:, 1]).abs().squeeze(2)) for values in blocks), 1)

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        return one_by_one(view, count, lambda last: self.score(view))


def information(log_p: Float[Tensor, "R S n K"]) -> Float[Tensor, "R n"]:
    """Returns the information between label and function: H[mean p] - mean H[p], in nats.

    Of two draws it is the Jensen-Shannon divergence between them.
    """
    p = log_p.exp()
    return settled(entropy(p.mean(1)) - entropy(p).mean(1))


def information_about(log_p: Float[Tensor, "R S n K"], targets: Float[Tensor, "R S M K"]) -> Float[Tensor, "R n"]:
    """Returns the information between the labels of a row and of a target, mean over targets, in nats.

    It is the mean of log p(y, y*) / (p(y) p(y*)), where p(y, y*) is the mean over draws of p_s(y) p_s(y*).
    """
    p, other = log_p.exp(), targets.exp().flatten(2)  # [R, S, M K]
    draws, count, classes = p.shape[1], targets.shape[2], p.shape[3]
    tiny, single = torch.finfo(p.dtype).tiny, other.mean(1).unsqueeze(1)
    found = []
    for block in _blocks(p, other.shape[2] * classes):
        each = block.flatten(2).mT  # [R, n K, S]
        together = each @ other / draws  # [R, n K, M K]: each row's with each target's
        apart = each.mean(2, keepdim=True) * single
        told = (together / apart.clamp_min_(tiny)).clamp_min_(tiny).log_().mul_(together)
        found.append(told.sum(2).unflatten(1, (-1, classes)).sum(2) / count)
    return settled(torch.cat(found, 1))


def gaussian_information_about(
    f: Float[Tensor, "R S n 1"], targets: Float[Tensor, "R S M 1"], noise: Float[Tensor, "R 1"]
) -> Float[Tensor, "R n"]:
    """Returns the information between normal labels of a row and of a target, mean over targets, in nats.

    It is -0.5 log(1 - rho^2), rho being the correlation of the two labels, noise included (Bickford Smith et al.
    2023).
    """
    f, targets = (f - f.mean(1, keepdim=True)).squeeze(3), (targets - targets.mean(1, keepdim=True)).squeeze(3)
    across = targets.square().mean(1) + noise  # [R, M]
    score = []
    for block in _blocks(f, targets.shape[2]):
        along = block.square().mean(1) + noise  # [R, n]
        covariance = block.mT @ targets / f.shape[1]  # [R, n, M]
        correlation = covariance.square() / (along.unsqueeze(2) * across.unsqueeze(1))
        score.append(-0.5 * (-correlation.clamp_max(1 - 1e-15)).log1p().mean(2))
    return settled(torch.cat(score, 1))


def _blocks(values: Tensor, each: int) -> Iterator[Tensor]:
    """Yields rows [R, S, n, ...], so many that what is made of them, `each` values per row, stays small."""
    yield from values.split(max(1, base.VALUES // each), 2)
