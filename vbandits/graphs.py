"""Kernels of a GPU that are launched together: a small network's step is a hundred of them, each over before the next
can be launched."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

EAGER = 3
"""Calls before a function is recorded, in which libraries set up what they need."""


class Replayed:
    """A function that changes tensors on a GPU in place, by the same kernels at every call: they are recorded once, as
    a CUDA graph, and replayed.

    It may hold on to no other tensors than those that stay where they are, must not look at their values from Python,
    and returns nothing.
    """

    def __init__(self, function: Callable[..., None], how: Any = None) -> None:
        """Takes the function, and what tells one such function from another."""
        self.how = how
        self._function = function
        self._calls = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> None:
        """Calls the function, or replays it for inputs of the same shapes."""
        if self._graph is None:
            self._calls += 1
            if self._calls <= EAGER:
                return self._function(*inputs)
            self._record(inputs)
        if any(kept.shape != own.shape for kept, own in zip(self._inputs, inputs, strict=True)):
            return self._function(*inputs)
        for kept, own in zip(self._inputs, inputs, strict=True):
            kept.copy_(own)
        assert self._graph is not None
        self._graph.replay()

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        """Records the kernels, which does not run them."""
        self._inputs = tuple(own.clone() for own in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._function(*self._inputs)
        self._graph = graph
