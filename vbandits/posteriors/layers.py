"""Layers of a fully connected network and their gradients by hand, see `posteriors.backward`: points and Gaussians.

Weights w [I, O] and a bias b [1, O] are one matrix, the bias its last row; flat, they are a layer's P entries. A layer
here lives for one gradient, and is asked for outputs, variance and gradients in this order. It draws its weights, and
gives the gradients in its leaves from those in its draws:
    low rank, w = mean + F z:        in the mean dw, in F the outer product dw z^T, which is not formed;
    diagonal, w = mean + spread z:   in the mean dw, in the spread dw * z.
As the last layer it gives mean and variance of its outputs in closed form, given its inputs h:
    low rank:   |F^T h|^2, F's columns being outputs like any others;
    diagonal:   spread^2 . h^2.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.blocks import times
from vbandits.networks.mlp import product
from vbandits.posteriors.covariances import Diagonal
from vbandits.training import OuterProduct
from vbandits.types import Layer

Found = dict[str, list[Tensor]]
"""Gradients by leaf, in parts [L, ...] that make up its entries one after another."""


class Divergence(NamedTuple):
    """What is added to the loss: weight [L, 1] times the divergence to N(0, diag(scale^2)), the scale [P] by layer."""

    weight: Float[Tensor, "L 1"]
    scale: Mapping[str, Float[Tensor, " P"]]


class PointLayer:
    """A layer whose weights are what is trained; its outputs have no variance."""

    certain: ClassVar = True

    def __init__(self, layer: Layer, leaves: Mapping[str, Tensor], prefix: str) -> None:
        self.layer, self.name = layer, prefix + layer.name
        self.mean = leaves[self.name]

    def draw(self, noise: Tensor | None) -> Float[Tensor, "m P"]:
        """Returns the weights, or one for each draw of every model, L * S."""
        return self.mean

    def in_leaves(self, parts: list[Tensor], noise: Tensor | None) -> tuple[Found, list[OuterProduct]]:
        """Returns the gradients in the leaves, from those in the draws' weights [m, I, O] and bias [m, 1, O]."""
        return {self.name: parts}, []

    def outputs(self, inputs: Float[Tensor, "L n H"]) -> Float[Tensor, "L n K"]:
        """Returns the mean of the outputs at the weights' mean."""
        self.inputs, self.matrix = inputs, matrix(self.layer, self.mean)
        return affine(self.layer, self.matrix, inputs)

    def variance(self) -> Float[Tensor, "L n K"] | None:
        """Returns the variance of the outputs, or None where they have none."""
        return None

    def backward(self, in_mean: Tensor, in_variance: Tensor | None) -> tuple[Found, Float[Tensor, "L n H"]]:
        """Returns the gradients in the leaves and in the inputs, from those in the outputs' mean and variance."""
        own = in_parameters(self.layer, self.inputs, in_mean)
        return {self.name: own}, in_inputs(self.layer, self.matrix, in_mean)


class LowRankLayer(PointLayer):
    """w = mean + F z, with F of few columns."""

    certain = False

    def __init__(self, layer: Layer, leaves: Mapping[str, Tensor]) -> None:
        super().__init__(layer, leaves, "mean/")
        self.factor_name = f"factor/{layer.name}"
        self.factor = leaves[self.factor_name]

    def draw(self, noise: Tensor | None) -> Tensor:
        """Returns mean + F z."""
        assert noise is not None
        return times(noise, self.factor.mT, self.mean.unsqueeze(1)).flatten(0, 1)

    def in_leaves(self, parts: list[Tensor], noise: Tensor | None) -> tuple[Found, list[OuterProduct]]:
        """Returns the draws' gradients summed, and with their noise."""
        assert noise is not None
        flat = _flat(parts, noise)
        return {self.name: [_summed(flat)]}, [OuterProduct(self.factor_name, flat, noise)]

    def outputs(self, inputs: Tensor) -> Tensor:
        """Returns the mean, and keeps what each column of F gives behind it."""
        self.inputs, mean = inputs, matrix(self.layer, self.mean)
        self.matrix = torch.cat([mean, self.factor.view(*mean.shape[:2], -1)], 2)  # [L, H + 1, K + K * C]
        self.columns = affine(self.layer, self.matrix, inputs)
        return self.columns[..., : self.layer.fan_out]

    def variance(self) -> Tensor:
        """Returns |F^T h|^2."""
        return self._deviations.square().sum(3)

    def backward(self, in_mean: Tensor, in_variance: Tensor | None) -> tuple[Found, Tensor]:
        """Returns all of them from one product each; the columns are written over."""
        assert in_variance is not None
        self._deviations.mul_((2 * in_variance).unsqueeze(3))
        self.columns[..., : self.layer.fan_out] = in_mean
        own = in_parameters(self.layer, self.inputs, self.columns)
        found = {
            self.name: [part[..., : self.layer.fan_out] for part in own],
            self.factor_name: [part[..., self.layer.fan_out :] for part in own],
        }
        return found, in_inputs(self.layer, self.matrix, self.columns)

    @property
    def _deviations(self) -> Float[Tensor, "L n K C"]:
        return self.columns[..., self.layer.fan_out :].unflatten(2, (self.layer.fan_out, -1))


class DiagonalLayer(PointLayer):
    """w = mean + spread z, each entry by itself."""

    certain = False

    def __init__(
        self, layer: Layer, leaves: Mapping[str, Tensor], covariance: Diagonal, divergence: Divergence | None
    ) -> None:
        super().__init__(layer, leaves, "mean/")
        self.spread_name = f"spread/{layer.name}"
        self.spread = covariance.spread(leaves, layer)
        self.slope = leaves[self.spread_name].sigmoid() if covariance.positive else None
        self.divergence = divergence

    def draw(self, noise: Tensor | None) -> Tensor:
        """Returns mean + spread z."""
        assert noise is not None
        return torch.addcmul(self.mean.unsqueeze(1), self.spread.unsqueeze(1), noise).flatten(0, 1)

    def in_leaves(self, parts: list[Tensor], noise: Tensor | None) -> tuple[Found, list[OuterProduct]]:
        """Returns the draws' gradients summed, and summed with their noise."""
        assert noise is not None
        flat = _flat(parts, noise)
        return self._in_leaves(_summed(flat), _summed(flat * noise)), []

    def outputs(self, inputs: Tensor) -> Tensor:
        """Returns the mean."""
        self.square = matrix(self.layer, self.spread.square())
        return super().outputs(inputs)

    def variance(self) -> Tensor:
        """Returns spread^2 . h^2."""
        return affine(self.layer, self.square, self.inputs.square())

    def backward(self, in_mean: Tensor, in_variance: Tensor | None) -> tuple[Found, Tensor]:
        """Returns them from two products each."""
        assert in_variance is not None
        found, gradient = super().backward(in_mean, None)
        in_square = _joined(in_parameters(self.layer, self.inputs.square(), in_variance))
        through = in_inputs(self.layer, self.square, in_variance)
        own = self._in_leaves(_joined(found[self.name]), 2 * self.spread * in_square)
        return own, torch.addcmul(gradient, self.inputs, through, value=2)

    def _in_leaves(self, in_mean: Tensor, in_spread: Tensor) -> Found:
        """Adds the gradient of the divergence, sum (spread^2 + mean^2) / (2 scale^2) - log |spread|."""
        if self.divergence is not None:
            weight, precision = self.divergence.weight, self.divergence.scale[self.layer.name].pow(-2)
            in_mean = torch.addcmul(in_mean, weight * precision, self.mean)
            in_spread = in_spread + weight * (precision * self.spread - self.spread.reciprocal())
        if self.slope is not None:
            in_spread = in_spread * self.slope
        return {self.name: [in_mean], self.spread_name: [in_spread]}


def matrix(layer: Layer, flat: Float[Tensor, "m P"]) -> Float[Tensor, "m I1 O"]:
    """Returns a layer's entries as the weights and, as the last row, the bias."""
    return flat.view(len(flat), -1, layer.fan_out)


def affine(layer: Layer, matrix: Tensor, inputs: Tensor) -> Float[Tensor, "m n O"]:
    """Returns the outputs of a layer, given as many matrices as there are models, or draws of them."""
    inputs = inputs.reshape(len(matrix), -1, layer.fan_in)
    return product(inputs, matrix[:, : layer.fan_in], matrix[:, layer.fan_in :] if layer.biases else None)


def in_parameters(layer: Layer, inputs: Float[Tensor, "m n I"], gradient: Float[Tensor, "m n O"]) -> list[Tensor]:
    """Returns the gradients in a layer's weights [m, I, O] and bias [m, 1, O], from that in its outputs."""
    weight = product(inputs.mT, gradient)
    return [weight, gradient.sum(1, keepdim=True)] if layer.biases else [weight]


def in_inputs(layer: Layer, matrix: Tensor, gradient: Float[Tensor, "m n O"]) -> Float[Tensor, "m n I"]:
    """Returns the gradient in a layer's inputs, from that in its outputs."""
    return product(gradient, matrix[:, : layer.fan_in].mT)


def _joined(parts: list[Tensor]) -> Float[Tensor, "m P"]:
    return torch.cat([part.flatten(1) for part in parts], 1)


def _flat(parts: list[Tensor], noise: Float[Tensor, "L S Z"]) -> Float[Tensor, "L S P"]:
    return _joined(parts).unflatten(0, (-1, noise.shape[1]))


def _summed(draws: Float[Tensor, "L S P"]) -> Float[Tensor, "L P"]:
    return draws.sum(1) if draws.shape[1] > 1 else draws[:, 0]
