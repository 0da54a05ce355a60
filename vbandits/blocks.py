"""Replicas some at a time, where all of them are too large together: for a core's cache, or for the memory."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch


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
