"""What is seen and done in active learning, as gymnasium's spaces."""

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector.utils import batch_space
from torch import Tensor


class Labels(Box):
    """Numbers, or NaN where they are not known: gymnasium's own Box holds no NaN."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(-np.inf, np.inf, shape, np.float64)

    def contains(self, x: Any) -> bool:
        """Returns whether these are float64 numbers of the shape."""
        return isinstance(x, np.ndarray) and x.shape == self.shape and x.dtype == np.float64


@batch_space.register(Labels)
def _batch_labels(space: Labels, n: int = 1) -> Labels:
    return Labels((n, *space.shape))


def labels(classes: int, shape: tuple[int, ...]) -> Box:
    """Returns the space of labels: int64 with -1 where they are not known, or float64 with NaN (K = 0)."""
    return Box(-1, classes - 1, shape, np.int64) if classes else Labels(shape)


def pool_spaces(rows: int, classes: int, batch: int, budget: int) -> tuple[Space, Space]:
    """Returns what is seen of a pool of N rows, and the actions that ask for b of them."""
    seen = Dict(
        {
            "labels": labels(classes, (rows,)),
            "queried": Box(-1, rows - 1, (batch,), np.int64),
            "budget_left": Box(0, budget, (), np.int64),
        }
    )
    return seen, Discrete(rows) if batch == 1 else MultiDiscrete([rows] * batch)


def stream_spaces(
    features: int, classes: int, actions: int, budget: int, kind: Any = np.float32
) -> tuple[Space, Space]:
    """Returns what is seen of a stream of rows [D] of numbers of a type, and its actions."""
    seen = Dict(
        {
            "context": Box(-np.inf, np.inf, (features,), kind),
            "label": labels(classes, ()),
            "budget_left": Box(0, budget, (), np.int64),
        }
    )
    return seen, Discrete(actions)


def known_labels(labels: Tensor) -> Tensor:
    """Returns which labels are known, of any shape."""
    return ~labels.isnan() if labels.is_floating_point() else labels >= 0


def rows_of(mask: Tensor, what: str) -> Tensor:
    """Returns the rows that a mask [R, N] marks in every sub-environment [R, n], in their order.

    Args:
        mask: of any type.
        what: the rows are, for messages.

    Raises:
        ValueError: if there are more in one sub-environment than in another.
    """
    marked = mask.bool()
    counts = marked.sum(1)
    if (counts != counts[0]).any():
        raise ValueError(f"expected as many {what} in every sub-environment, got {counts.tolist()}")
    return marked.nonzero()[:, 1].view(len(marked), -1)
