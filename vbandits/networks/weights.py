"""Weights of a network as flat blocks, one per layer, and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.blocks import times
from vbandits.networks.parametrization import per_entry, rate, std
from vbandits.streams import Stream
from vbandits.types import Layer, Network, Task, Weights


@dataclass(frozen=True)
class Factored:
    """Draws of a weight that are not multiplied out: mean + factor noise.

    Where all draws have the same inputs, or one row each, it is cheaper to multiply these with the factor's C columns
    than with each of the S draws.
    """

    mean: Float[Tensor, "R 1 *shape"]
    factor: Float[Tensor, "R *shape C"]
    noise: Float[Tensor, "R S C"]

    def dense(self) -> Float[Tensor, "R S *shape"]:
        """Returns the draws."""
        replicas, draws, columns = self.noise.shape
        shape = self.mean.shape[2:]
        flat = times(self.noise, self.factor.reshape(replicas, -1, columns).mT, self.mean.flatten(2))
        return flat.view(replicas, draws, *shape)

    @property
    def pays(self) -> bool:
        """Whether there are fewer columns than draws."""
        return self.factor.shape[-1] + 1 < self.noise.shape[1]

    @property
    def columns(self) -> Float[Tensor, "R *shape C1"]:
        """The mean, and behind it the columns of the factor."""
        return torch.cat([self.mean[:, 0].unsqueeze(-1), self.factor], -1)

    @property
    def mT(self) -> "Factored":
        """The draws of a matrix, transposed."""
        return Factored(self.mean.mT, self.factor.transpose(1, 2), self.noise)


def dense(weight: Tensor | Factored) -> Tensor:
    """Returns a weight [R, S, *shape], multiplied out if it is not yet."""
    return weight.dense() if isinstance(weight, Factored) else weight


def size(layer: Layer) -> int:
    """Returns the number of entries of a layer."""
    return sum(math.prod(shape) for shape in layer.shapes.values())


def prior_std(network: Network, task: Task, parametrization: str | None = None) -> dict[str, Tensor]:
    """Returns the standard deviation of each layer's entries under the prior [P], by layer.

    It is that of the network's parametrisation, unless another is named.
    """
    value = partial(std, parametrization=parametrization or network.parametrization)
    return {layer.name: per_entry(layer, value).to(task.device, task.dtype) for layer in network.layers}


def rates(network: Network, task: Task) -> dict[str, Tensor]:
    """Returns the learning-rate factor of each layer's entries [P], by layer."""
    value = partial(rate, parametrization=network.parametrization, optimizer=task.optimizer.kind)
    return {layer.name: per_entry(layer, value).to(task.device, task.dtype) for layer in network.layers}


def initial(network: Network, task: Task, purpose: str, members: int = 1) -> dict[str, Tensor]:
    """Returns weights drawn from the prior, flattened per layer [R * members, P].

    The first member of many has the weights that a single network has.
    """
    scales = prior_std(network, task)
    normal = Stream(task.seeds, purpose, device=task.device, dtype=task.dtype)
    widths = [size(layer) for layer in network.layers]
    blocks = normal.normal(members, sum(widths)).flatten(0, 1).split(widths, 1)
    return {
        layer.name: start(layer, task) + block * scales[layer.name]
        for layer, block in zip(network.layers, blocks, strict=True)
    }


def start(layer: Layer, task: Task) -> Tensor:
    """Returns the values [P] around which a layer is initialised: zero, but for norm layers."""
    entries = [layer.start.get(name, torch.zeros(shape)).flatten() for name, shape in layer.shapes.items()]
    return torch.cat(entries).to(task.device, task.dtype)


def unflatten(network: Network, blocks: Mapping[str, Tensor | Factored]) -> Weights:
    """Splits flat blocks [R, S, P] by layer into weights [R, S, *shape] by name."""
    weights: dict[str, Tensor | Factored] = {}
    for layer in network.layers:
        weights |= dict(zip(layer.shapes, _split(layer, blocks[layer.name]), strict=True))
    return weights


def _split(layer: Layer, block: Tensor | Factored) -> list[Tensor | Factored]:
    """Returns the parameters of a layer, each in its shape."""
    shapes = list(layer.shapes.values())
    sizes = [math.prod(shape) for shape in shapes]
    if isinstance(block, Tensor):
        return [part.view(*part.shape[:2], *shape) for part, shape in zip(block.split(sizes, 2), shapes, strict=True)]
    parts = zip(block.mean.split(sizes, 2), block.factor.split(sizes, 1), shapes, strict=True)
    return [
        Factored(mean.view(len(mean), 1, *shape), factor.unflatten(1, shape), block.noise)
        for mean, factor, shape in parts
    ]


def as_matrix(layer: Layer, flat: Float[Tensor, "R C P"]) -> Float[Tensor, "R C I O"]:
    """Returns a flattened layer as the matrix that maps its inputs to its outputs; a bias is the last row."""
    if layer.inputs_first:
        return flat.unflatten(2, (-1, layer.fan_out))
    count = layer.fan_in * layer.fan_out
    weight = flat[:, :, :count].unflatten(2, (layer.fan_out, layer.fan_in)).mT
    return torch.cat([weight, flat[:, :, None, count:]], 2) if layer.biases else weight


def from_matrix(layer: Layer, matrix: Float[Tensor, "R C I O"]) -> Float[Tensor, "R C P"]:
    """Returns the inverse of `as_matrix`."""
    if layer.inputs_first:
        return matrix.flatten(2)
    weight = matrix[:, :, : layer.fan_in].mT.flatten(2)
    return torch.cat([weight, matrix[:, :, -1]], 2) if layer.biases else weight
