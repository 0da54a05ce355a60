"""Gradients of fully connected networks without autograd, which costs small ones more than their arithmetic does.

For a layer with inputs h [M, N, I], a matrix W [M, I, O] and a bias b, and the gradient g [M, N, O] of the loss in its
outputs h W + b, backpropagation is
    dW = h^T g,   db = sum_n g,   dh = g W^T,   and through the activation below  dh * activation'.
A Gaussian layer of low rank, w = mean + F z, is drawn before: dw is the gradient in the mean, and dw z^T that in the
factor, which is not formed (see `training.Parameters`). In the last layer mean and variance |F^T h|^2 of the outputs
are in closed form: F's columns are outputs like any others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.networks.mlp import MLPNetwork
from vbandits.training import Gradient, OuterProduct, Parameters
from vbandits.types import Batch, Layer, Task

MOST_OUTPUTS = 32
"""Here all outputs are computed, of which a row may need one: with more of them autograd's way costs less."""
aten: Any = torch.ops.aten
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, lambda g, before, after: aten.threshold_backward(g, after, 0)),
    "tanh": (torch.tanh, lambda g, before, after: aten.tanh_backward(g, after)),
    "gelu": (torch.nn.functional.gelu, lambda g, before, after: aten.gelu_backward(g, before)),
}
"""The activation, and the gradient before it from the one behind it and the values before and behind it."""


@dataclass(frozen=True)
class Stored:
    """Where the leaves of an MLP's layers are: at a prefix and the layer's name, low-rank factors at "factor/".

    Attributes:
        mean: prefix of weights, or of their means.
        closed: whether the last layer is of low rank, and its expectation in closed form.
        members: models that share a replica's minibatch.
    """

    mean: str = ""
    closed: bool = False
    members: int = 1


class Backward:
    """The gradient of the mean loss of a minibatch, for L models of an MLP side by side."""

    def __init__(self, task: Task, parameters: Parameters, stored: Stored) -> None:
        assert isinstance(task.network, MLPNetwork)
        self._likelihood: Any = task.likelihood
        self._stored = stored
        self._layers, self._leaves = task.network.layers, parameters.detached
        self._activation, self._before_activation = ACTIVATIONS[task.network.activation]
        self._order = [name for name in self._leaves if name not in parameters.leaves.drawn_factors]

    @classmethod
    def of(cls, task: Task, parameters: Parameters, stored: Stored) -> "Backward | None":
        """Returns it, or None where autograd has to find the gradient: of networks other than an MLP, losses that
        do not know theirs, a noise variance that is learned as well, or many outputs."""
        known = type(task.network) is MLPNetwork and hasattr(task.likelihood, "gradient")
        if not known or task.likelihood.learned_noise or task.outputs > MOST_OUTPUTS:
            return None
        return cls(task, parameters, stored)

    def __call__(
        self,
        batch: Batch,
        noise: Mapping[str, Float[Tensor, "L S C"]] | None = None,
        masks: Mapping[str, Float[Tensor, "L S I"]] | None = None,
        offset: Float[Tensor, "R m N K"] | None = None,
    ) -> Gradient:
        """Returns the gradient.

        Args:
            batch: rows of every replica.
            noise: of each layer that is drawn, standard normal, for S draws.
            masks: by which the inputs of layers are multiplied, in each of S draws.
            offset: added to the outputs of each of a replica's models.
        """
        noise, masks = noise or {}, masks or {}
        draws = next((own.shape[1] for own in (*noise.values(), *masks.values())), 1)
        models = self._stored.members * draws  # of each replica
        x = batch.x.unsqueeze(1).expand(-1, models, -1, -1).flatten(0, 1)  # [M, N, D]
        masked = [
            masks[layer.name].flatten(0, 1).unsqueeze(1) if layer.name in masks else None for layer in self._layers
        ]
        matrices = [self._matrix(layer, noise.get(layer.name)) for layer in self._layers[:-1]]
        before, after, inputs = [], [], [x if masked[0] is None else x * masked[0]]
        for layer, matrix, mask in zip(self._layers, matrices, masked[1:], strict=False):
            before.append(_affine(layer, matrix, inputs[-1]))
            after.append(self._activation(before[-1]).view(len(x), -1, layer.fan_out))
            inputs.append(after[-1] if mask is None else after[-1] * mask)
        found, gradient = self._last(batch, inputs[-1], offset)
        outer = []
        for i in reversed(range(len(matrices))):
            layer, matrix, mask = self._layers[i], matrices[i], masked[i + 1]
            gradient = gradient.view_as(after[i]) if mask is None else gradient.view_as(after[i]) * mask
            gradient = self._before_activation(gradient, before[i].view_as(gradient), after[i])
            own = _in_parameters(layer, len(matrix), inputs[i], gradient)  # [L or M, ...]
            if layer.name in noise:
                flat = torch.cat([part.flatten(1) for part in own], 1).unflatten(0, (-1, draws))
                outer.append(OuterProduct(f"factor/{layer.name}", flat, noise[layer.name]))
                own = [flat.sum(1) if draws > 1 else flat[:, 0]]
            found[self._stored.mean + layer.name] = own
            if i:
                gradient = _in_inputs(layer, matrix, gradient)
        return Gradient(torch.cat([part.flatten(1) for name in self._order for part in found[name]], 1), outer)

    def _matrix(self, layer: Layer, noise: Tensor | None) -> Float[Tensor, "m I1 O"]:
        """Returns the weights, the bias their last row: one for each model, or for each of its draws."""
        flat = self._leaves[self._stored.mean + layer.name]
        if noise is not None:
            flat = torch.baddbmm(flat.unsqueeze(1), noise, self._leaves[f"factor/{layer.name}"].mT).flatten(0, 1)
        return flat.view(len(flat), -1, layer.fan_out)

    def _last(self, batch: Batch, inputs: Tensor, offset: Tensor | None) -> tuple[dict[str, list[Tensor]], Tensor]:
        """Returns the gradients in the last layer's leaves, in parts [L, ...], and in its inputs [L, S * N, H]."""
        layer, (replicas, rows) = self._layers[-1], batch.output.shape
        mean, factor, outputs = self._stored.mean + layer.name, f"factor/{layer.name}", layer.fan_out
        columns = self._matrix(layer, None)
        if self._stored.closed:  # those of the factor behind those of the mean: [L, H + 1, K + K * C]
            columns = torch.cat([columns, self._leaves[factor].view(*columns.shape[:2], -1)], 2)
        values = _affine(layer, columns, inputs).view(replicas, -1, rows, columns.shape[2])  # [R, m, N, K + K * C]
        if offset is not None:
            values = values + offset
        gradient = self._likelihood.gradient(values, outputs, batch.output, batch.y.unsqueeze(1))
        gradient = gradient * (self._stored.members / (rows * values.shape[1]))  # a model's loss is a mean over rows
        own = _in_parameters(layer, len(columns), inputs, gradient)
        found = {mean: [part[:, :, :outputs] for part in own], factor: [part[:, :, outputs:] for part in own]}
        return found, _in_inputs(layer, columns, gradient)


def _affine(layer: Layer, matrix: Tensor, inputs: Tensor) -> Tensor:
    """Returns the outputs of a layer [m, n, O], given as many matrices as there are models, or draws of them."""
    inputs = inputs.view(len(matrix), -1, layer.fan_in)
    weight = matrix[:, : layer.fan_in]
    return torch.baddbmm(matrix[:, layer.fan_in :], inputs, weight) if layer.biases else torch.bmm(inputs, weight)


def _in_parameters(layer: Layer, models: int, inputs: Tensor, gradient: Tensor) -> list[Tensor]:
    """Returns the gradients in a layer's weights [m, I, O] and bias [m, 1, O], from that in its outputs."""
    inputs, gradient = inputs.view(models, -1, layer.fan_in), gradient.view(models, -1, gradient.shape[-1])
    weight = torch.bmm(inputs.mT, gradient)
    return [weight, gradient.sum(1, keepdim=True)] if layer.biases else [weight]


def _in_inputs(layer: Layer, matrix: Tensor, gradient: Tensor) -> Float[Tensor, "m n I"]:
    """Returns the gradient in a layer's inputs, from that in its outputs."""
    return torch.bmm(gradient.view(len(matrix), -1, matrix.shape[2]), matrix[:, : layer.fan_in].mT)
