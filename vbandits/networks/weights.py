"""Weights of a network as flat blocks, one per layer, and back."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vbandits.networks.parametrization import per_entry, rate, std
from vbandits.streams import Stream
from vbandits.types import Layer, Network, Task, Weights


def size(layer: Layer) -> int:
    """Returns the number of entries of a layer."""
    return sum(math.prod(shape) for shape in layer.shapes.values())


def prior_std(network: Network, task: Task, parametrization: str | None = None) -> dict[str, Tensor]:
    """Returns the standard deviation of each layer's entries under the prior [P], by layer.

    It is that of the network's parametrisation, unless another is named.
    """
    return {layer.name: per_entry(layer, parametrization or network.parametrization, std).to(task.device, task.dtype)
            for layer in network.layers}  # fmt: skip


def rates(network: Network, task: Task) -> dict[str, Tensor]:
    """Returns the learning-rate factor of each layer's entries [P], by layer."""
    return {layer.name: per_entry(layer, network.parametrization, rate).to(task.device, task.dtype)
            for layer in network.layers}  # fmt: skip


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


def unflatten(network: Network, blocks: Mapping[str, Tensor]) -> Weights:
    """Splits flat blocks [R, S, P] by layer into weights [R, S, *shape] by name."""
    weights = {}
    for layer in network.layers:
        block = blocks[layer.name]
        parts = block.split([math.prod(shape) for shape in layer.shapes.values()], 2)
        for (name, shape), part in zip(layer.shapes.items(), parts, strict=True):
            weights[name] = part.view(*block.shape[:2], *shape)
    return weights
