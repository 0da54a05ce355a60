"""Typical rows of the pool: for the first labels, when the network knows next to nothing.

Both take one replica after another, and keep its features in memory: 8 R C H bytes. Distances are made in blocks. Time
grows with C times the clusters for `TypiClust`, with the square of C for `Coverage`: 50,000 rows are slow for it.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController
from torch import Tensor

from vbandits.agents.acquisition import base
from vbandits.agents.acquisition.base import CLASSES, REGRESSION, View
from vbandits.agents.acquisition.batches import BatchAcquisition, best, ranking
from vbandits.agents.acquisition.features import features, nearest, squared_distances

NEIGHBOURS = 20
SMALL = 5
"""A cluster of fewer rows is passed over while there are larger ones."""
SAMPLE = 1000
"""Rows at which a radius is chosen."""
PURITY = 0.95
GROUPS = 10
"""Clusters that stand in for classes where there are none."""


@dataclass(frozen=True)
class TypiClust(BatchAcquisition):
    """Typical rows of large clusters in which nothing is labelled (Hacohen, Dekel & Weinshall, 2022, "Active Learning
    on a Budget: Opposite Strategies Suit High and Low Budgets", algorithm 1).

    Candidates and labelled rows are clustered by k-means in the features, into as many clusters as there will be
    labels. Clusters with the fewest labels come first, of those the largest; from each in turn the candidate is taken
    whose mean distance to its 20 nearest neighbours in the cluster is smallest. (The authors' features come from
    self-supervised learning, these from the network.)

    Attributes:
        clusters: the most clusters.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})
    clusters: Annotated[int, Field(ge=1)] = 500

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        rows = torch.cat([features(view, view.candidates), features(view, view.labelled)], 1)
        clusters = min(len(view.labelled) + count, self.clusters)
        seeds, ties = view.uniform(1), view.uniform(len(view.candidates))
        places = [
            _typical(x, clustered(x, clusters, float(seed)), chance, count)
            for x, seed, chance in zip(rows, seeds, ties, strict=True)
        ]
        return torch.stack(places)


@dataclass(frozen=True)
class Coverage(BatchAcquisition):
    """Rows around which most others lie: greedy maximum coverage of the candidates by balls in the features, those
    around labelled rows being covered from the start (Yehuda et al., 2022, "Active Learning Through a Covering Lens",
    algorithm 1). When all is covered, any are taken.

    Attributes:
        radius: of the balls, in units of the features; None chooses it for every replica by the authors' rule, the
            largest at which 95 in 100 balls are pure, clusters of k-means (as many as classes, or 10) standing in for
            the labels. It is not less than the median distance to the nearest neighbour: smaller balls hold one row.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES, REGRESSION})
    radius: Annotated[float, Field(gt=0)] | None = None

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        rows, labelled = features(view, view.candidates), features(view, view.labelled)
        numbers = view.uniform(count + 1, len(view.candidates))
        places = []
        for x, known, chance in zip(rows, labelled, numbers, strict=True):
            radius = pure_radius(x, view.classes or GROUPS, chance[0]) if self.radius is None else self.radius
            places.append(_covering(x, known, radius, chance[1:]))
        return torch.stack(places)


def clustered(x: Float[Tensor, "n H"], clusters: int, uniform: float) -> Int64[Tensor, " n"]:
    """Returns the cluster of each row by k-means, started at a uniform number. With one thread, in which sums have one
    order, it gives the same on every machine."""
    means = KMeans(min(clusters, len(x)), n_init="auto", random_state=int(uniform * 2**32))
    with warnings.catch_warnings(), _pools().limit(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        return torch.from_numpy(means.fit_predict(x.cpu().numpy())).long().to(x.device)


@cache
def _pools() -> ThreadpoolController:
    """Returns what sets numbers of threads; to look for the libraries that have threads takes long."""
    return ThreadpoolController()


def typicality(x: Float[Tensor, "n H"], neighbours: int) -> Float[Tensor, " n"]:
    """Returns the inverse mean distance of each row to so many nearest neighbours, or to all others if they are fewer
    (Hacohen et al., 2022, eq. 4)."""
    neighbours = min(neighbours, len(x) - 1)
    if neighbours < 1:
        return x.new_zeros(len(x))
    every = x.unsqueeze(0)
    found = []
    for block in every.split(max(1, base.VALUES // len(x)), 1):
        distance = squared_distances(block, every).sqrt().squeeze(0)
        found.append(distance.topk(neighbours + 1, largest=False).values.sum(1))  # the nearest is the row itself
    return neighbours / torch.cat(found)


def pure_radius(x: Float[Tensor, "n H"], clusters: int, uniform: Float[Tensor, " n"]) -> float:
    """Returns the largest radius at which 95 in 100 balls around rows, of up to 1,000 of them, have one cluster
    (Yehuda et al., 2022, section 3.3), or the median distance to the nearest neighbour if that is larger."""
    groups = clustered(x, clusters, float(uniform[0]))
    order = uniform.argsort()[:SAMPLE]
    other, neighbour = [], []
    for part in order.split(max(1, base.VALUES // len(x))):
        distance = squared_distances(x[part].unsqueeze(0), x.unsqueeze(0)).squeeze(0)
        elsewhere = groups[part].unsqueeze(1) != groups
        other.append(distance.masked_fill(~elsewhere, torch.inf).amin(1))
        itself = part.unsqueeze(1) == torch.arange(len(x), device=x.device)
        neighbour.append(distance.masked_fill(itself, torch.inf).amin(1))
    pure = torch.cat(other).sort().values[int((1 - PURITY) * len(order))]
    return float(torch.cat(neighbour).median().maximum(pure).sqrt())


def _typical(
    x: Float[Tensor, "n H"], cluster: Int64[Tensor, " n"], ties: Float[Tensor, " C"], count: int
) -> Int64[Tensor, " b"]:
    """Returns places of one replica, whose candidates are the first C rows."""
    size, candidates = cluster.bincount(), len(ties)
    labels = cluster[candidates:].bincount(minlength=len(size))
    order = sorted(range(len(size)), key=lambda c: (int(size[c]) < SMALL, int(labels[c]), -int(size[c])))
    queues: list[Tensor] = []
    for c in order:
        inside = (cluster == c).nonzero().squeeze(1)
        score = typicality(x[inside], NEIGHBOURS)[inside < candidates]
        inside = inside[inside < candidates]
        if len(inside):
            queues.append(inside[ranking(score.unsqueeze(0), ties[inside].unsqueeze(0)).squeeze(0)])
        if len(queues) == count:  # those that follow have no turn
            break
    longest = max(map(len, queues))
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    return torch.stack(turns[:count])


def _covering(
    x: Float[Tensor, "C H"], labelled: Float[Tensor, "L H"], radius: float, ties: Float[Tensor, "b C"]
) -> Int64[Tensor, " b"]:
    """Returns places of one replica."""
    every, square = x.unsqueeze(0), radius**2
    covered = nearest(every, labelled.unsqueeze(0)).squeeze(0) <= square
    gain = _inside(x, x[~covered], square)
    taken = torch.zeros_like(covered)
    places = []
    for chance in ties:
        place = best(gain.unsqueeze(0), taken.unsqueeze(0), chance.unsqueeze(0))
        places.append(place)
        taken = taken.index_fill(0, place, True)
        fresh = (squared_distances(every, x[place].unsqueeze(0)).flatten() <= square) & ~covered
        gain = gain - _inside(x, x[fresh], square)
        covered = covered | fresh
    return torch.cat(places)


def _inside(x: Float[Tensor, "C H"], others: Float[Tensor, "m H"], square: float) -> Float[Tensor, " C"]:
    """Returns how many of other rows lie in the ball around each."""
    count = x.new_zeros(len(x))
    for block in others.split(max(1, base.VALUES // len(x))):
        count = count + (squared_distances(x.unsqueeze(0), block.unsqueeze(0)) <= square).sum(2).squeeze(0)
    return count
