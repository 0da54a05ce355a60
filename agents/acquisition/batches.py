"""From scores to batches: the largest, or a random batch that favours large ones; equals are told by chance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition.base import CLASSES, REGRESSION, View

RESOLUTION = 1e-10
"""Scores that are closer than this, in nats or squared standardised units, differ by rounding alone."""
SINGLE = 1e-6
"""The same of scores in single precision."""
LOWEST = -1e300

Batch = Literal["top", "power", "softmax", "softrank"]


class BatchAcquisition:
    """What the acquisitions here share: they buy from candidates that there are. Subclasses write `_places`."""

    def select(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        """Returns the places of a batch.

        Raises:
            ValueError: if there are fewer candidates than places wanted.
        """
        if not 1 <= count <= len(view.candidates):
            raise ValueError(f"expected to buy from 1 to {len(view.candidates)} labels, all candidates, got {count}")
        return self._places(view, count)

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        raise NotImplementedError


@dataclass(frozen=True)
class ByScore(BatchAcquisition):
    """What acquisitions share that score every candidate on its own.

    A batch is the candidates with the largest scores, or a random one that favours them and thereby does not buy the
    same information again and again (Kirsch et al., 2023, "Stochastic Batch Acquisition"): the largest after Gumbel
    noise was added, which draws one after another without replacement, in proportion to score^coldness ("power", for
    scores that are not negative), exp(coldness score) ("softmax") or rank^-coldness ("softrank").

    Attributes:
        batch: how scores become a batch.
        coldness: 0 draws at random; the larger, the more the largest scores are favoured.
    """

    batch: Batch = "top"
    coldness: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0

    def score(self, view: View) -> Float[Tensor, "R C"]:
        """Returns the score of every candidate."""
        raise NotImplementedError

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        numbers = view.uniform(2, len(view.candidates))
        score = perturbed(self.score(view), numbers[:, 0], numbers[:, 1], self.batch, self.coldness)
        return ranking(score, numbers[:, 1])[:, :count]


@dataclass(frozen=True)
class Random(BatchAcquisition):
    """Buys the labels of any candidates: the baseline of every acquisition."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})

    def score(self, view: View) -> Float[Tensor, "R C"]:
        """Returns uniform numbers."""
        return view.uniform(len(view.candidates))

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        return self.score(view).argsort(1)[:, :count]


def one_by_one(
    view: View, count: int, score: Callable[[Int64[Tensor, " R"] | None], Float[Tensor, "R C"]]
) -> Int64[Tensor, "R b"]:
    """Returns the places of a batch, one after another the largest score of those that are left.

    Args:
        view: with the candidates.
        count: b.
        score: gives the scores once the last place was taken; None before the first.
    """
    taken = torch.zeros_like(view.candidates.index, dtype=torch.bool)
    places = []
    for _ in range(count):
        scores = score(places[-1] if places else None)
        places.append(best(scores, taken, view.uniform(len(view.candidates))))
        taken = taken.scatter(1, places[-1].unsqueeze(1), True)
    return torch.stack(places, 1)


def settled(score: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Returns scores that cannot be negative, float64, with those that are zero but for rounding set to zero. Those in
    single precision are rounded to what they can tell: equal rows have equal scores wherever they stand."""
    if score.dtype == torch.float32:
        score = (score.double() / SINGLE).round() * SINGLE
    return torch.where(score < RESOLUTION, 0.0, score)  # NaN remains: a replica that has diverged knows nothing


def comparable(score: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
    """Returns scores of which those are equal that differ by rounding alone; NaN is below all numbers."""
    return (score / RESOLUTION).round().nan_to_num(nan=LOWEST, posinf=-LOWEST, neginf=LOWEST)


def ranking(score: Float[Tensor, "R C"], uniform: Float[Tensor, "R C"]) -> Int64[Tensor, "R C"]:
    """Returns all places from the largest score to the smallest, equals in the order of the uniform numbers."""
    shuffled = uniform.argsort(1)
    order = comparable(score).gather(1, shuffled).argsort(stable=True, dim=1, descending=True)
    return shuffled.gather(1, order)


def best(score: Float[Tensor, "R C"], taken: Bool[Tensor, "R C"], uniform: Float[Tensor, "R C"]) -> Int64[Tensor, " R"]:
    """Returns the place with the largest score of those not taken, one of several that are equal by chance."""
    score = comparable(score).masked_fill(taken, -torch.inf)
    return torch.where(score == score.amax(1, keepdim=True), uniform, -1.0).argmax(1)


def perturbed(
    score: Float[Tensor, "R C"],
    uniform: Float[Tensor, "R C"],
    ties: Float[Tensor, "R C"],
    batch: Batch,
    coldness: float,
) -> Float[Tensor, "R C"]:
    """Returns scores with noise, of which the largest make the batch (Kirsch et al., 2023)."""
    if batch == "top":
        return score
    if batch == "power":
        return weighted(score, uniform, coldness)
    if batch == "softmax":
        return coldness * score + gumbel(uniform)
    rank = ranking(score, ties).argsort(1) + 1
    return -coldness * rank.double().log() + gumbel(uniform)


def weighted(weight: Float[Tensor, "R C"], uniform: Float[Tensor, "R C"], power: float = 1.0) -> Float[Tensor, "R C"]:
    """Returns keys of which the largest is a draw in proportion to weight^power, and the largest b are b draws without
    replacement. What has no weight has the key -inf: it comes last."""
    return torch.where(weight > 0, power * weight.log() + gumbel(uniform), -torch.inf)


def gumbel(uniform: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Turns uniform numbers into Gumbel ones."""
    return -(-uniform.clamp_min(1e-300).log()).log()
