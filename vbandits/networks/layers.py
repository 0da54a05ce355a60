"""The parameters of a module in layers: what belongs together, its fans, and its place in the network."""

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import nn

from vbandits.types import Layer


def group(
    module: nn.Module, order: Sequence[str], input: str | None = None, output: str | None = None
) -> tuple[Layer, ...]:
    """Returns the trainable parameters of a module in layers, the output's last; each parameter is in exactly one.

    A layer holds a weight matrix (or a kernel) and its bias, or the parameters of a norm layer. The first and the last
    with a matrix are the network's input and output, unless they are named.

    Args:
        module: any.
        order: names of the submodules that own parameters, in the order in which they are called.
        input: name of the input layer.
        output: name of the output layer.
    """
    parts = dict(module.named_modules())
    seen: set[int] = set()
    found: list[tuple[str, dict[str, nn.Parameter]]] = []
    for name in order:
        own = {f"{name}.{key}" if name else key: value for key, value in parts[name].named_parameters(recurse=False)
               if value.requires_grad and id(value) not in seen}  # fmt: skip
        seen |= {id(value) for value in own.values()}  # a weight that two submodules share belongs to the first
        found += _layers(name, own)
    matrices = [name for name, own in found if _matrix(own) is not None]
    if not matrices:
        raise ValueError(f"expected a module with at least one weight matrix, got {type(module).__name__} without one")
    last = _named(output, matrices) or matrices[-1]
    first = _named(input, matrices) or matrices[0]
    roles = {first: "input", last: "output"}
    layers = [_layer(name, own, roles.get(name, "hidden")) for name, own in found]
    return tuple(sorted(layers, key=lambda layer: layer.role == "output"))


def _named(name: str | None, matrices: Sequence[str]) -> str | None:
    if name is not None and name not in matrices:
        near = get_close_matches(name, matrices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"expected the name of a layer with a weight matrix, got {name!r}{hint} (known: {', '.join(matrices)})"
        )
    return name


def _matrix(own: dict[str, nn.Parameter]) -> str | None:
    return next((key for key, value in own.items() if value.dim() > 1), None)


def _layers(name: str, own: dict[str, nn.Parameter]) -> list[tuple[str, dict[str, nn.Parameter]]]:
    """Splits the parameters of one submodule where it has several matrices, each with the bias of its name."""
    matrices = [key for key, value in own.items() if value.dim() > 1]
    if not own or len(matrices) < 2:
        return [(name, own)] if own else []
    left = {key: value for key, value in own.items() if key not in matrices}
    split = []
    for key in matrices:
        bias = key.replace("weight", "bias")
        split.append((key, {key: own[key]} | ({bias: left.pop(bias)} if bias in left else {})))
    if left:
        split[0][1].update(left)
    return split


def _layer(name: str, own: dict[str, nn.Parameter], role: str) -> Layer:
    key = _matrix(own)
    if key is None:
        width = max(value.numel() for value in own.values())
        start = {key: value.detach().clone() for key, value in own.items()}
        return Layer(name, {key: tuple(value.shape) for key, value in own.items()}, width, width, "norm", start=start)
    matrix = own[key]
    shapes = {key: tuple(matrix.shape)} | {other: tuple(value.shape) for other, value in own.items() if other != key}
    biases = frozenset(shapes) - {key}
    return Layer(name, shapes, torch.Size(matrix.shape[1:]).numel(), matrix.shape[0], role, biases)
