"""Replicas some at a time, where all of them are too large together: for a core's cache, or for the memory. Their rows,
and their products, which are the same for one that is alone."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor


def at_once(most: Mapping[str, int], device: torch.device) -> int:
    """Returns how much is computed together on a device, given that of a "cpu" and of "cuda", as which all others
    count."""
    return most.get(device.type, most["cuda"])


def blocks(replicas: int, size: int) -> Iterator[slice]:
    """Yields blocks of replicas, as even as they can be: of at least `size`, and less than twice as many.

    A block never has one replica where there are more: products of a single matrix are made by other kernels, to other
    last bits.
    """
    parts = max(1, replicas // max(size, 2))
    ends = [replicas * i // parts for i in range(parts + 1)]
    for first, last in pairwise(ends):
        yield slice(first, last)


def rows_of(x: Shaped[Tensor, "R N D"], index: Int64[Tensor, "*G R B"]) -> Shaped[Tensor, "*G R B D"]:
    """Returns rows of each replica: x[replica, index], which would copy them number by number."""
    count, features = x.shape[1:]
    between, within, step = x.stride()  # between is 0 where all replicas have the same rows
    replica = torch.arange(len(x), device=x.device).unsqueeze(1)
    if (within, step) != (features, 1) or between % features:
        return x[replica, index]
    apart = between // features
    whole = x.as_strided(((len(x) - 1) * apart + count, features), (features, 1))
    return whole.index_select(0, (index + apart * replica).flatten()).view(*index.shape, features)


def values_of(values: Shaped[Tensor, "R N"], index: Int64[Tensor, "*G R B"]) -> Shaped[Tensor, "*G R B"]:
    """Returns values of each replica, likewise."""
    return values.expand(*index.shape[:-2], -1, -1).gather(-1, index)


def times(
    x: Float[Tensor, "M N I"], weight: Float[Tensor, "M I O"], bias: Float[Tensor, "M n o"] | None = None
) -> Float[Tensor, "M N O"]:
    """Returns x @ weight + bias of each model, with the same bits whatever M is, where all lie alike in memory.

    Of a model that is alone, a product in which a side is 1 is made as one of two: as that of a vector it would be made
    by other kernels, which on some processors round otherwise.
    """
    if len(x) == 1 and 1 in (*x.shape[1:], weight.shape[2]):
        shift = None if bias is None else bias.expand(2, -1, -1)
        return _times(x.expand(2, -1, -1), weight.expand(2, -1, -1), shift)[:1]
    return _times(x, weight, bias)


def _times(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias, x, weight)
