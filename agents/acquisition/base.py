"""What an acquisition sees of a pool, and what it must offer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.types import Functions

AT_ONCE = 2**12
"""Rows times draws of one replica that are evaluated at a time: few enough for what is between to stay in the cache. It
must not depend on the number of replicas (law 1)."""
VALUES = 2**18
"""Numbers of one replica that are made of them at a time, likewise."""
CLASSES, REGRESSION = "classes", "regression"


@dataclass(frozen=True)
class Rows:
    """Some rows of the pool for every replica; the pool is in memory once for all.

    Attributes:
        pool: standardised features [N, D].
        index: which rows [R, C].
    """

    pool: Float[Tensor, "N D"]
    index: Int64[Tensor, "R C"]

    def __len__(self) -> int:
        """Returns C."""
        return self.index.shape[1]

    def blocks(self, size: int) -> Iterator[Float[Tensor, "R n D"]]:
        """Yields the features of a number of rows at a time, all in their order."""
        for index in self.index.split(size, 1):
            yield self.pool[index]


@dataclass(frozen=True)
class View:
    """What an acquisition may look at: inputs and beliefs, never a label that was not bought.

    Attributes:
        candidates: rows that may be queried, C of them.
        labelled: rows whose label is known.
        targets: gives rows on whose predictions it matters, of "pool" (a sample of all its rows) or "test" (test
            inputs), so many of them.
        classes: K, or 0 for a regression.
        draw: gives functions of the posterior, fresh ones at every call, standardised: [R, S, n, K] logits of the
            classes, or [R, S, n, 1] means.
        embed: gives features of rows [R, n, H]: those of the network's last layer at its mean weights, or the inputs.
        noise: variance of a target about the function [R], for a regression.
        uniform: gives uniform numbers in [0, 1) [R, *shape], float64, fresh ones at every call.
    """

    candidates: Rows
    labelled: Rows
    targets: Callable[[Literal["pool", "test"], int], Rows]
    classes: int
    draw: Callable[[int], Functions]
    embed: Callable[[Float[Tensor, "R n D"]], Float[Tensor, "R n H"]]
    noise: Float[Tensor, " R"]
    uniform: Callable[..., Float[Tensor, "R ..."]]

    def values(self, functions: Functions, rows: Rows, draws: int) -> Iterator[Float[Tensor, "R S n K"]]:
        """Yields the functions at a number of rows at a time, all in their order: log probabilities of the classes, or
        means in float64. One draw is one function over all rows, also over those of another call."""
        for x in rows.blocks(max(1, AT_ONCE // draws)):
            values = functions(x)
            yield values.log_softmax(3) if self.classes else values.double()


@runtime_checkable
class Acquisition(Protocol):
    """Which labels to buy.

    Attributes:
        tasks: what it can be used for, "classes" and "regression".
    """

    tasks: ClassVar[frozenset[str]]

    def select(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        """Returns places among the candidates, `count` different ones for every replica; equals are told by chance."""
        ...


@runtime_checkable
class Scored(Acquisition, Protocol):
    """An acquisition that gives every candidate a score of its own: it can also decide on one row of a stream."""

    def score(self, view: View) -> Float[Tensor, "R C"]:
        """Returns the score of every candidate; the largest is wanted most."""
        ...


def joined(blocks: Iterator[Tensor], dim: int = 2) -> Tensor:
    """Returns blocks of rows as one tensor."""
    return torch.cat(list(blocks), dim)
