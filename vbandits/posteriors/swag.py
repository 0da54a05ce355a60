"""SWAG: a Gaussian with the moments of SGD's last iterates (Maddox et al., 2019)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import size, unflatten
from vbandits.posteriors.common import PREDICTIVE_DRAWS, functions, network_of, predictive
from vbandits.posteriors.deterministic import Deterministic, DeterministicState, minimise
from vbandits.streams import Stream
from vbandits.types import Data, Functions, Task, Weights

Moments = tuple[Float[Tensor, "R P"], Float[Tensor, "R P"], Float[Tensor, "R C P"]]
"""Mean and standard deviations of the snapshots, and their deviations from the mean."""


@dataclass
class SWAGState(DeterministicState):
    """The network, the snapshots, and the streams.

    Attributes:
        window: the last C iterates [R, C, P]; number n of all is at n modulo C.
        collected: snapshots so far.
        draws: stream of draws.
        fixed: noise [R, 64, P + C] of every predictive distribution.
        moments: of the window; None until they are asked for.
    """

    window: Tensor
    collected: int
    draws: Stream
    fixed: Tensor
    moments: Moments | None = None
    not_saved: ClassVar = ("moments",)


@dataclass(frozen=True)
class SWAG:
    """A Gaussian over all weights with the moments of the last iterates of SGD.

    Of the last C iterates w_1 ... w_C, m their mean:

        q(w) = N(m, scale^2 (diag(v) + D D^T / (C - 1)) / 2),   v = mean of w_i^2 - m^2,   D = [w_1 - m, ..., w_C - m]

    (Maddox, Garipov, Izmailov, Vetrov and Wilson, "A Simple Baseline for Bayesian Uncertainty in Deep Learning", 2019,
    with `scale` 1). There the moments are those of all iterates of a last phase of training with a constant rate, and
    only D has the last C. Here training goes on as long as data come, so that all are of a moving window; the learning
    rate is as the optimiser says. The steps are those of the deterministic network, bit for bit.

    Until there are two snapshots it is the current network, as `Deterministic` has it.

    Attributes:
        snapshots: C, the iterates in the window.
        every: gradient steps from one to the next, counted over all updates.
        scale: multiplies the standard deviation of the weights.
    """

    snapshots: Annotated[int, Field(ge=2)] = 20
    every: Annotated[int, Field(ge=1)] = 10
    scale: Annotated[float, Field(ge=0)] = 1.0

    def init(self, task: Task) -> SWAGState:
        """Starts as the deterministic network, without snapshots."""
        entries = sum(size(layer) for layer in network_of(task).layers)
        normal = partial(Stream, task.seeds, device=task.device, dtype=task.dtype)
        return SWAGState(
            **vars(Deterministic().init(task)),
            window=torch.zeros(len(task.seeds), self.snapshots, entries, device=task.device, dtype=task.dtype),
            collected=0,
            draws=normal("draws"),
            fixed=normal("predictive").normal(PREDICTIVE_DRAWS, entries + self.snapshots),
        )

    def update(self, state: SWAGState, data: Data) -> None:
        """Trains on the loss, and takes a snapshot every few steps."""
        state.moments = None
        minimise(state, data, after_step=self._collect(state))

    def draw(self, state: SWAGState, draws: int) -> Functions:
        """Returns the network at fresh draws of its weights."""
        return self._functions(state, state.draws.normal(draws, state.fixed.shape[2]))

    def mean(self, state: SWAGState) -> Functions:
        """Returns the network at the mean weights."""
        if state.collected < 2:
            return Deterministic().mean(state)
        return functions(network_of(state.task), _weights(state, self._moments(state)[0].unsqueeze(1)), 1)

    def mixture(self, state: SWAGState) -> Functions:
        """Returns 64 draws, of the same noise at every call."""
        return self._functions(state, state.fixed)

    def predict(self, state: SWAGState, x: Tensor, output: Tensor, noise: Tensor) -> Any:
        """Returns the equal mixture over 64 draws, the same noise at every call."""
        return predictive(state, self.mixture(state), x, output, noise)

    def embed(self, state: SWAGState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer at the last iterate."""
        return Deterministic().embed(state, x)

    def _collect(self, state: SWAGState) -> Callable[[], None]:
        trained, layers = state.parameters, network_of(state.task).layers

        def after_step() -> None:
            if trained.steps % self.every == 0:
                iterate = torch.cat([trained.detached[layer.name] for layer in layers], 1)
                state.window[:, state.collected % self.snapshots] = iterate
                state.collected += 1

        return after_step

    def _moments(self, state: SWAGState) -> Moments:
        if state.moments is None:
            window = state.window[:, : state.collected]
            mean = window.mean(1)
            deviations = window - mean.unsqueeze(1)  # of these, not of large squares: no digits are lost
            state.moments = mean, deviations.square().mean(1).sqrt(), deviations
        return state.moments

    def _functions(self, state: SWAGState, noise: Float[Tensor, "R S Z"]) -> Functions:
        if state.collected < 2:
            return Deterministic().draw(state, noise.shape[1])
        mean, std, deviations = self._moments(state)
        count = deviations.shape[1]
        own, shared = noise.split([mean.shape[1], self.snapshots], 2)
        deviation = torch.baddbmm(std.unsqueeze(1) * own, shared[:, :, :count], deviations, alpha=(count - 1) ** -0.5)
        draws = mean.unsqueeze(1) + self.scale * math.sqrt(0.5) * deviation  # [R, S, P]
        return functions(network_of(state.task), _weights(state, draws), noise.shape[1])


def _weights(state: SWAGState, flat: Float[Tensor, "R S P"]) -> Weights:
    layers = network_of(state.task).layers
    blocks = flat.split([size(layer) for layer in layers], 2)
    return unflatten(network_of(state.task), {layer.name: block for layer, block in zip(layers, blocks, strict=True)})
