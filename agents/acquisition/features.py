"""Features of rows, and distances between them."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.agents.acquisition import base
from vbandits.agents.acquisition.base import Rows, View

CANCELLED = 1e-12
"""A squared distance of less than this share of the squared lengths is what rounding leaves of zero."""
LARGEST = 1e100


def features(view: View, rows: Rows) -> Float[Tensor, "R n H"]:
    """Returns features of rows, float64, kept all at once: 8 R n H bytes, and as many again on the way.

    A replica with one that is no number, because it has diverged, has zeros: to it all rows are the same.
    """
    size = max(1, base.VALUES // rows.pool.shape[1])
    found = torch.cat([view.embed(x).double() for x in rows.blocks(size)], 1)
    sound = (found.abs() <= LARGEST).flatten(1).all(1)
    return torch.where(sound[:, None, None], found, 0.0)


def at(x: Float[Tensor, "R n H"], place: Int64[Tensor, " R"]) -> Float[Tensor, "R 1 H"]:
    """Returns one row of every replica."""
    return x.gather(1, place[:, None, None].expand(-1, 1, x.shape[2]))


def squared_distance(
    inner: Float[Tensor, "*shape"], length: Float[Tensor, "*#shape"], other: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """Returns squared distances, exactly zero between equals, from inner products and squared lengths."""
    lengths = length + other
    distance = lengths - 2 * inner
    return torch.where(distance < CANCELLED * lengths, 0.0, distance)


def squared_distances(x: Float[Tensor, "R n H"], y: Float[Tensor, "R m H"]) -> Float[Tensor, "R n m"]:
    """Returns squared distances between all of some rows and all of others."""
    length, other = x.square().sum(2, keepdim=True), y.square().sum(2).unsqueeze(1)
    return squared_distance(x @ y.mT, length, other)


def nearest(x: Float[Tensor, "R n H"], y: Float[Tensor, "R m H"]) -> Float[Tensor, "R n"]:
    """Returns the squared distance of each row to the nearest of others, infinite where there are none."""
    found = x.new_full(x.shape[:2], torch.inf)
    if y.shape[1]:
        for block in y.split(max(1, base.VALUES // x.shape[1]), 1):
            found = found.minimum(squared_distances(x, block).amin(2))
    return found
