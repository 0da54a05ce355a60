"""The parameters of a module in layers: what belongs together, its fans, and its place in the network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from vbandits.registry import unknown
from vbandits.types import Layer

POINTS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.Embedding)
"""Modules whose weights are no matrices that map inputs to outputs."""


class Group(NamedTuple):
    """Parameters that belong together, by name, and the name of the weight matrix or kernel among them, if any."""

    name: str
    parameters: dict[str, nn.Parameter]
    matrix: str | None


def group(
    module: nn.Module, order: Sequence[str], input: str | None = None, output: str | None = None
) -> tuple[Layer, ...]:
    """Returns the trainable parameters of a module in layers, the output's last; each parameter is in exactly one.

    A layer holds a weight matrix (or the kernel of a convolution) and its bias. Other parameters, those of norm layers
    and arrays that a module adds or multiplies with, keep their initial values and are points. The first and the last
    layer with a matrix are the network's input and output, unless they are named.

    Args:
        module: any.
        order: names of the submodules that own parameters, in the order in which they are called.
        input: name of the input layer.
        output: name of the output layer.
    """
    parts = dict(module.named_modules())
    seen: set[int] = set()
    found: list[Group] = []
    for name in order:
        _refuse(name, parts[name])
        own = {
            f"{name}.{key}" if name else key: value
            for key, value in parts[name].named_parameters(recurse=False)
            if value.requires_grad and id(value) not in seen
        }
        seen |= {id(value) for value in own.values()}  # a weight that two submodules share belongs to the first
        found += _groups(name, parts[name], own)
    matrices = [each.name for each in found if each.matrix is not None]
    if not matrices:
        raise ValueError(f"expected a module with at least one weight matrix, got {type(module).__name__} without one")
    last = _named(output, matrices) or matrices[-1]
    first = _named(input, matrices) or matrices[0]
    roles = {first: "input", last: "output"}
    layers = [_layer(each, roles.get(each.name, "hidden")) for each in found]
    return tuple(sorted(layers, key=lambda layer: layer.role == "output"))


def _refuse(name: str, part: nn.Module) -> None:
    """Refuses weights whose fans cannot be read off their shape."""
    if isinstance(part, nn.modules.conv._ConvTransposeNd) or nn.utils.parametrize.is_parametrized(part):
        raise ValueError(
            f"expected weights whose rows are outputs, got {type(part).__name__} at {name!r}: transposed convolutions "
            "and parametrised weights are not supported"
        )


def _named(name: str | None, matrices: Sequence[str]) -> str | None:
    if name is not None and name not in matrices:
        raise ValueError(unknown("layer with a weight matrix", name, matrices))
    return name


def _groups(name: str, part: nn.Module, own: dict[str, nn.Parameter]) -> list[Group]:
    """Splits the parameters of one submodule: each matrix with the bias of its name, and what is left by itself."""
    dimensions = range(3, 6) if isinstance(part, nn.modules.conv._ConvNd) else (2,)
    matrices = [key for key, value in own.items() if value.dim() in dimensions and not isinstance(part, POINTS)]
    left = {key: value for key, value in own.items() if key not in matrices}
    groups = []
    for key in matrices:
        bias = key.replace("weight", "bias")
        attached = {bias: left.pop(bias)} if bias in left and left[bias].shape == own[key].shape[:1] else {}
        groups.append(Group(name if len(matrices) == 1 else key, {key: own[key]} | attached, key))
    if left:
        groups.append(Group(f"{name} (other)" if groups else name, left, None))
    return groups


def _layer(each: Group, role: str) -> Layer:
    shapes = {key: tuple(value.shape) for key, value in each.parameters.items()}
    if each.matrix is None:
        width = max(value.shape[-1] if value.dim() else 1 for value in each.parameters.values())
        start = {key: value.detach().clone() for key, value in each.parameters.items()}
        return Layer(each.name, shapes, width, width, "norm", start=start)
    matrix = each.parameters[each.matrix]
    biases = frozenset(shapes) - {each.matrix}
    return Layer(each.name, shapes, torch.Size(matrix.shape[1:]).numel(), matrix.shape[0], role, biases)
