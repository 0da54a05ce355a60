"""Batches of rows that differ from each other, and from what is labelled."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition.base import CLASSES, REGRESSION, View, joined
from vbandits.agents.acquisition.batches import BatchAcquisition, best, one_by_one, weighted
from vbandits.agents.acquisition.features import at, features, nearest, squared_distance, squared_distances


@dataclass(frozen=True)
class BADGE(BatchAcquisition):
    """Rows that would move the last layer far and in different directions (Ash et al., 2020, "Deep Batch Active
    Learning by Diverse, Uncertain Gradient Lower Bounds", algorithm 1).

    A row stands for the gradient of the cross-entropy in the last layer's weights, as if the most probable class were
    the label: (p - onehot) outer features. Rows are drawn by k-means++: the longest gradient first, as the authors'
    program has it, then in proportion to the squared distance from the nearest one chosen. Of an outer product a x h
    only inner products are needed, (a . a')(h . h'). The bias is left out, as there.

    Attributes:
        draws: functions of the posterior, of whose probabilities p is the mean.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES})
    draws: Annotated[int, Field(ge=1)] = 100

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        blocks = view.values(view.draw(self.draws), view.candidates, self.draws)
        residual = residuals(joined((log_p.exp().mean(1) for log_p in blocks), 1).double())
        h = features(view, view.candidates)
        length = residual.square().sum(2) * h.square().sum(2)
        taken = torch.zeros_like(view.candidates.index, dtype=torch.bool)
        places = [best(length.log(), taken, view.uniform(len(view.candidates)))]
        distance = torch.full_like(length, torch.inf)
        while len(places) < count:
            taken = taken.scatter(1, places[-1].unsqueeze(1), True)
            distance = distance.minimum(gradient_distance(residual, h, places[-1]))
            noise = view.uniform(2, len(view.candidates))
            places.append(best(weighted(distance, noise[:, 0]), taken, noise[:, 1]))
        return torch.stack(places, 1)


@dataclass(frozen=True)
class CoreSet(BatchAcquisition):
    """Rows that leave none far from a labelled one: greedy k-centre in the features, labelled rows being centres from
    the start (Sener & Savarese, 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
    algorithm 1). Where nothing is labelled, the first is drawn by chance."""

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        x, labelled = features(view, view.candidates), features(view, view.labelled)
        distance = nearest(x, labelled)

        def score(last: Tensor | None) -> Tensor:
            nonlocal distance
            if last is not None:
                distance = distance.minimum(squared_distances(x, at(x, last)).squeeze(2))
            return distance.log()

        return one_by_one(view, count, score)


def residuals(p: Float[Tensor, "R C K"]) -> Float[Tensor, "R C K"]:
    """Returns the gradient of the cross-entropy in the logits, with the most probable class as the label."""
    likeliest = p.argmax(2, keepdim=True)
    return p.scatter_add(2, likeliest, torch.full_like(p[:, :, :1], -1.0))


def gradient_distance(
    residual: Float[Tensor, "R C K"], h: Float[Tensor, "R C H"], place: Int64[Tensor, " R"]
) -> Float[Tensor, "R C"]:
    """Returns the squared distance of every residual x features to that at one place."""
    a, b = at(residual, place), at(h, place)
    inner = (residual @ a.mT).squeeze(2) * (h @ b.mT).squeeze(2)
    length = residual.square().sum(2) * h.square().sum(2)
    return squared_distance(inner, length, a.square().sum(2) * b.square().sum(2))
