"""Gradients of fully connected networks without autograd, which costs small ones more than their arithmetic does.

For a layer with inputs h [M, N, I], a matrix W [M, I, O] and a bias b, and the gradient g [M, N, O] of the loss in its
outputs h W + b, backpropagation is
    dW = h^T g,   db = sum_n g,   dh = g W^T,   and through the activation below  dh * activation'.
What dW is to the mean and the covariance of Gaussian weights is said in `posteriors.layers`.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.blocks import blocks
from vbandits.networks.mlp import MLPNetwork, gelu
from vbandits.posteriors.covariances import Diagonal, LowRank
from vbandits.posteriors.layers import (
    DiagonalLayer,
    Divergence,
    Found,
    LowRankLayer,
    PointLayer,
    affine,
    in_inputs,
    in_parameters,
    matrix,
)
from vbandits.training import Gradient, OuterProduct, Parameters
from vbandits.types import Batch, Layer, Task

MOST_OUTPUTS = 32
"""Here all outputs are computed, of which a row may need one: with more of them autograd's way costs less."""
AT_ONCE = 2**17
"""Numbers behind a layer that are computed together on a CPU: what one operation writes, the next finds in a cache."""
aten: Any = torch.ops.aten
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, lambda g, before, after: aten.threshold_backward(g, after, 0)),
    "tanh": (torch.tanh, lambda g, before, after: aten.tanh_backward(g, after)),
    "gelu": (gelu, lambda g, before, after: aten.gelu_backward(g.contiguous(), before.contiguous())),
}
"""The activation, and the gradient before it from the one behind it and the values before and behind it."""


@dataclass(frozen=True)
class Stored:
    """What the leaves of an MLP's layers are.

    Attributes:
        prefix: of the names of weights, or of their means; the layer's name is behind it.
        stochastic: names of the layers that have a covariance. The last layer's expectation is then in closed form, the
            others are drawn.
        covariance: theirs.
        members: models that share a replica's minibatch.
    """

    prefix: str = ""
    stochastic: tuple[str, ...] = ()
    covariance: LowRank | Diagonal | None = None
    members: int = 1


class _Given(NamedTuple):
    """What a gradient is of, see `Backward.__call__`, and the leaves."""

    batch: Batch
    leaves: Mapping[str, Tensor]
    noise: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    offset: Tensor | None
    divergence: Divergence | None

    @property
    def draws(self) -> int:
        """S."""
        return next((own.shape[1] for own in (*self.noise.values(), *self.masks.values())), 1)

    def of(self, own: slice, members: int) -> "_Given":
        """Returns what it is of some replicas, each with so many members."""
        if own.stop - own.start == len(self.batch.output):
            return self
        x, output, y, rows = (part[own] for part in self.batch[:4])
        models = slice(members * own.start, members * own.stop)
        leaves, noise, masks = (
            {name: part[models] for name, part in parts.items()} for parts in (self.leaves, self.noise, self.masks)
        )
        offset = None if self.offset is None else self.offset[own]
        divergence = self.divergence and self.divergence._replace(weight=self.divergence.weight[models])
        return _Given(Batch(x, output, y, rows), leaves, noise, masks, offset, divergence)


class Backward:
    """The gradient of the mean loss of a minibatch, for L models of an MLP side by side."""

    def __init__(self, task: Task, parameters: Parameters, stored: Stored) -> None:
        assert isinstance(task.network, MLPNetwork)
        self._likelihood: Any = task.likelihood
        self._stored = stored
        self._layers, self._leaves = task.network.layers, parameters.detached
        self._activation, self._before_activation = ACTIVATIONS[task.network.activation]
        self._order = [name for name in self._leaves if name not in parameters.leaves.drawn_factors]
        self._entries = sum(self._leaves[name][0].numel() for name in self._order)

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
        divergence: Divergence | None = None,
    ) -> Gradient:
        """Returns the gradient.

        Args:
            batch: rows of every replica.
            noise: of each layer that is drawn, standard normal, for S draws.
            masks: by which the inputs of layers are multiplied, in each of S draws.
            offset: added to the outputs of each of a replica's models.
            divergence: added to the loss, of diagonal covariances alone.
        """
        whole = _Given(batch, self._leaves, noise or {}, masks or {}, offset, divergence)
        members, (replicas, rows) = self._stored.members, batch.output.shape
        plain = batch.x.new_empty(replicas * members, self._entries)
        size = self._at_once(members * whole.draws * rows, batch.x.device.type)
        outer = [
            self._gradient(whole.of(own, members), plain[members * own.start : members * own.stop])
            for own in blocks(replicas, size)
        ]
        return Gradient(plain, [_joined(products) for products in zip(*outer, strict=True)])

    def _at_once(self, rows: int, device: str) -> int:
        """Returns how many replicas, of so many rows each, are small enough together."""
        if device != "cpu":
            return sys.maxsize
        widest = max(layer.fan_out for layer in self._layers)
        return AT_ONCE // (rows * widest)

    def _gradient(self, given: _Given, plain: Float[Tensor, "L P"]) -> list[OuterProduct]:
        """Writes the gradient of some replicas to `plain`, and returns what of it are outer products."""
        batch, noise, masks = given.batch, given.noise, given.masks
        models = self._stored.members * given.draws  # of each replica
        x = batch.x.unsqueeze(1).expand(-1, models, -1, -1).flatten(0, 1)  # [M, N, D]
        layers = [self._layer(layer, given.leaves, given.divergence) for layer in self._layers]
        drawn = [noise.get(layer.name) for layer in self._layers]
        masked = [
            masks[layer.name].flatten(0, 1).unsqueeze(1) if layer.name in masks else None for layer in self._layers
        ]
        matrices = [matrix(own.layer, own.draw(numbers)) for own, numbers in zip(layers[:-1], drawn, strict=False)]
        before, after, inputs = [], [], [x if masked[0] is None else x * masked[0]]
        for own, weights, mask in zip(layers, matrices, masked[1:], strict=False):
            before.append(affine(own.layer, weights, inputs[-1]))
            after.append(self._activation(before[-1]).reshape(len(x), -1, own.layer.fan_out))
            inputs.append(after[-1] if mask is None else after[-1] * mask)
        found, gradient = self._last(layers[-1], batch, inputs[-1], given.offset)
        outer = []
        for i in reversed(range(len(matrices))):
            layer, weights, mask = self._layers[i], matrices[i], masked[i + 1]
            gradient = gradient.reshape(after[i].shape)
            gradient = gradient if mask is None else gradient * mask
            gradient = self._before_activation(gradient, before[i].reshape(gradient.shape), after[i])
            gradient = gradient.reshape(len(weights), -1, layer.fan_out)
            own = in_parameters(layer, inputs[i].reshape(len(weights), -1, layer.fan_in), gradient)
            leaves, products = layers[i].in_leaves(own, drawn[i])
            found |= leaves
            outer += products
            if i:
                gradient = in_inputs(layer, weights, gradient)
        torch.cat([part.flatten(1) for name in self._order for part in found[name]], 1, out=plain)
        return outer

    def _layer(self, layer: Layer, leaves: Mapping[str, Tensor], divergence: Divergence | None) -> PointLayer:
        covariance = self._stored.covariance
        if covariance is None or layer.name not in self._stored.stochastic:
            return PointLayer(layer, leaves, self._stored.prefix)
        if isinstance(covariance, Diagonal):
            return DiagonalLayer(layer, leaves, covariance, divergence)
        return LowRankLayer(layer, leaves)

    def _last(
        self, layer: PointLayer, batch: Batch, inputs: Float[Tensor, "M N H"], offset: Tensor | None
    ) -> tuple[Found, Float[Tensor, "L n H"]]:
        """Returns the gradients in the last layer's leaves, and in its inputs."""
        replicas, rows = batch.output.shape
        outputs = layer.outputs(inputs.reshape(len(layer.mean), -1, layer.layer.fan_in))  # [L, n, K]
        shape = replicas, -1, rows, outputs.shape[2]
        values = outputs.reshape(shape)  # [R, m, N, K]
        if offset is not None:
            values = values + offset

        def variance() -> Tensor | None:
            own = layer.variance()
            return None if own is None else own.reshape(shape)

        in_values, in_variance = self._likelihood.gradient(values, variance, batch.output, batch.y.unsqueeze(1))
        weight = self._stored.members / (rows * values.shape[1])  # a model's loss is a mean over rows
        in_mean = (weight * in_values).reshape(outputs.shape)
        if layer.certain:
            return layer.backward(in_mean, None)
        return layer.backward(in_mean, (weight * in_variance).expand(values.shape).reshape(outputs.shape))


def _joined(parts: tuple[OuterProduct, ...]) -> OuterProduct:
    """Returns the outer products of some replicas each as that of all."""
    if len(parts) == 1:
        return parts[0]
    gradient, noise = (torch.cat(own) for own in ([one.gradient for one in parts], [one.noise for one in parts]))
    return OuterProduct(parts[0].name, gradient, noise)
