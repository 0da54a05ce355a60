"""Monte Carlo dropout (Gal and Ghahramani, 2016), as masks on weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.posteriors.common import PREDICTIVE_DRAWS, functions, network_of, predictive
from vbandits.posteriors.deterministic import Deterministic, DeterministicState, minimise, weights
from vbandits.posteriors.gaussian import chosen
from vbandits.streams import Stream
from vbandits.types import Data, Functions, Layer, Network, Task, Weights

Masked = Literal["not_input", "last", "all"] | tuple[str, ...]
"""Which layers have masks on their inputs: by their place, or by name."""


@dataclass
class DropoutState(DeterministicState):
    """The network, the masked layers, and the streams.

    Attributes:
        masked: layers with masks on their inputs.
        noise: stream of the masks in training.
        draws: stream of draws.
        fixed: uniform numbers [R, 64, U] of every predictive distribution, one for each unit.
    """

    masked: tuple[Layer, ...]
    noise: Stream
    draws: Stream
    fixed: Tensor


@dataclass(frozen=True)
class Dropout:
    """A network with units left out at random, in training and in prediction.

        W_draw = diag(z) W,   z_i = Bernoulli(1 - rate) / (1 - rate) for each unit i that a layer takes in

    (Gal and Ghahramani, "Dropout as a Bayesian Approximation", 2016, equation 8). A draw has one mask for each layer,
    the same for all rows, so that it is one function. Of a convolution whole input channels are left out. The mask has
    mean 1: the mean function is the network without masks, exactly so if only the last layer has them. With a `rate` of
    0 it is `Deterministic`, bit for bit.

    Attributes:
        rate: probability of leaving a unit out.
        layers: which layers have masks on their inputs: "not_input" (what a network is given is never left out, unless
            it has one layer only), "last", "all", or those named.
        samples: masks per minibatch.
        weight_decay: adds weight_decay * |w|^2 over all weights and biases to the mean loss of a minibatch. That of the
            paper, for a squared error and a prior of length scale l, is (1 - rate) l^2 noise / N. It is 0 by default,
            as for all other networks here.
    """

    rate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    layers: Masked = "not_input"
    samples: Annotated[int, Field(ge=1)] = 1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    def init(self, task: Task) -> DropoutState:
        """Starts as the deterministic network."""
        masked = _masked(network_of(task), self.layers)
        uniform = {purpose: Stream(task.seeds, purpose, device=task.device) for purpose in ("training noise", "draws")}
        fixed = Stream(task.seeds, "predictive", device=task.device)
        return DropoutState(
            **vars(Deterministic().init(task)),
            masked=masked,
            noise=uniform["training noise"],
            draws=uniform["draws"],
            fixed=fixed.uniform(PREDICTIVE_DRAWS, sum(_units(layer) for layer in masked)),
        )

    def update(self, state: DropoutState, data: Data) -> None:
        """Trains on the loss under fresh masks for every minibatch."""
        decayed = [layer.name for layer in network_of(state.task).layers if layer.role != "norm"]

        def random() -> Tensor:
            return state.noise.uniform(self.samples, state.fixed.shape[2])

        def masked(leaves: Mapping[str, Tensor]) -> Weights:
            return self._weights(state, leaves, random())

        def decay(leaves: Mapping[str, Tensor]) -> Tensor:
            return self.weight_decay * torch.stack([leaves[name].square().sum(1) for name in decayed]).sum(0)

        masks = partial(self._masks, state)
        minimise(state, data, masked, decay if self.weight_decay else None, masks=masks, random=lambda: (random(),))

    def draw(self, state: DropoutState, draws: int) -> Functions:
        """Returns the network under fresh masks."""
        return self._functions(state, state.draws.uniform(draws, state.fixed.shape[2]))

    def mean(self, state: DropoutState) -> Functions:
        """Returns the network without masks."""
        return Deterministic().mean(state)

    def mixture(self, state: DropoutState) -> Functions:
        """Returns the network under 64 masks, the same at every call."""
        return self._functions(state, state.fixed)

    def predict(self, state: DropoutState, x: Tensor, output: Tensor, noise: Tensor) -> Any:
        """Returns the equal mixture over 64 draws, the same masks at every call."""
        return predictive(state, self.mixture(state), x, output, noise)

    def embed(self, state: DropoutState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer without masks."""
        return Deterministic().embed(state, x)

    def _functions(self, state: DropoutState, uniform: Float[Tensor, "R S U"]) -> Functions:
        made = self._weights(state, state.parameters.detached, uniform)
        return functions(network_of(state.task), made, uniform.shape[1])

    def _weights(self, state: DropoutState, leaves: Mapping[str, Tensor], uniform: Float[Tensor, "R S U"]) -> Weights:
        """Returns the network's weights, those of masked layers multiplied by their masks [R, S, *shape]."""
        made, masks = dict(weights(state.task, leaves)), self._masks(state, uniform)
        for layer in state.masked:
            name, mask = _matrix(layer), masks[layer.name]
            shape = [1] * len(layer.shapes[name])
            shape[_axis(layer)] = -1
            made |= {other: made[other].expand(-1, mask.shape[1], *layer.shapes[other]) for other in layer.biases}
            made[name] = made[name] * mask.unflatten(2, shape)
        return made

    def _masks(self, state: DropoutState, uniform: Float[Tensor, "R S U"]) -> dict[str, Float[Tensor, "R S I"]]:
        """Returns by layer what each unit that it takes in is multiplied by."""
        kept = (uniform >= self.rate).to(state.task.dtype) / (1 - self.rate)
        parts = kept.split([_units(layer) for layer in state.masked], 2)
        return {layer.name: part for layer, part in zip(state.masked, parts, strict=True)}


def _masked(network: Network, layers: Masked) -> tuple[Layer, ...]:
    if layers == "not_input":
        return tuple(layer for layer in chosen(network, "all") if layer.role != "input")
    return chosen(network, layers)


def _matrix(layer: Layer) -> str:
    """Returns the name of a layer's weight."""
    return next(name for name in layer.shapes if name not in layer.biases)


def _axis(layer: Layer) -> int:
    """Returns the axis of a layer's weight that its inputs are on."""
    return 0 if layer.inputs_first else 1


def _units(layer: Layer) -> int:
    """Returns the units that a layer takes in: features, or channels of a convolution."""
    return layer.shapes[_matrix(layer)][_axis(layer)]
