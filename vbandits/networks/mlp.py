"""A fully connected network, batched by hand over replicas and draws."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.blocks import times
from vbandits.networks.parametrization import Parametrization
from vbandits.networks.weights import Factored, dense
from vbandits.types import Layer, Weights


def gelu(x: Tensor) -> Tensor:
    """Returns x Phi(x); of values side by side in memory, since for others its bits depend on how many there are."""
    return torch.nn.functional.gelu(x.contiguous())


ACTIVATIONS = {"relu": torch.relu_, "tanh": torch.tanh, "gelu": gelu}
NARROW = 32
"""Outputs from which on a product is not much faster when it is made transposed."""


@dataclass(frozen=True)
class MLP:
    """Configuration of a fully connected network.

    Attributes:
        hidden: widths of the hidden layers; none makes a linear model.
        activation: between layers.
        bias: whether layers have biases.
        parametrization: "mup", "sp" or "ntp", see `networks.parametrization`.
    """

    hidden: tuple[int, ...] = (50, 50)
    activation: Literal["relu", "tanh", "gelu"] = "relu"
    bias: bool = True
    parametrization: Parametrization = "mup"

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"expected hidden widths of at least 1, got {list(self.hidden)}")

    def build(self, features: int, outputs: int) -> "MLPNetwork":
        """Returns the network for D features and K outputs."""
        return MLPNetwork(self, features, outputs)


class MLPNetwork:
    """The pure function of an `MLP`: weights `{layer}.weight` [R, S, in, out] and `{layer}.bias` [R, S, out]."""

    def __init__(self, config: MLP, features: int, outputs: int) -> None:
        self.parametrization = config.parametrization
        self._bias = config.bias
        self.activation = config.activation
        self._activation = ACTIVATIONS[config.activation]
        widths = (features, *config.hidden, outputs)
        self.layers = tuple(
            self._layer(i, widths[i], widths[i + 1], len(config.hidden)) for i in range(len(config.hidden) + 1)
        )

    def _layer(self, i: int, fan_in: int, fan_out: int, last: int) -> Layer:
        role = "output" if i == last else "input" if i == 0 else "hidden"
        shapes = {f"{i}.weight": (fan_in, fan_out)} | ({f"{i}.bias": (fan_out,)} if self._bias else {})
        biases = frozenset(name for name in shapes if name.endswith("bias"))
        return Layer(str(i), shapes, fan_in, fan_out, role, biases, inputs_first=True)

    def features(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N H"]:
        """Returns the inputs of the last layer."""
        for layer in self.layers[:-1]:
            x = self._activation(self._affine(weights, layer, x))
        return x

    def head(
        self, weights: Weights, features: Float[Tensor, "R s N H"], output: Int64[Tensor, "R N"] | None = None
    ) -> Float[Tensor, "R S N *K"]:
        """Returns the last layer's outputs given its inputs, or only the one taken in each row."""
        layer = self.layers[-1]
        if output is None:
            return self._affine(weights, layer, features)
        bias = dense(weights[f"{layer.name}.bias"]) if self._bias else None
        return taken(dense(weights[f"{layer.name}.weight"]).mT, bias, features, output)

    def apply(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N K"]:
        """Returns the network's outputs."""
        return self._affine(weights, self.layers[-1], self.features(weights, x))

    def _affine(self, weights: Weights, layer: Layer, x: Tensor) -> Tensor:
        return affine(x, weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"] if self._bias else None)


def taken(
    weight: Float[Tensor, "R S K H"],
    bias: Float[Tensor, "R S K"] | None,
    features: Float[Tensor, "R s N H"],
    output: Int64[Tensor, "R N"],
) -> Float[Tensor, "R _ N"]:
    """Returns the output taken in each row of a linear layer; the other outputs cost nothing."""
    replicas, draws, fan_out, fan_in = weight.shape
    first = torch.arange(replicas * draws, device=output.device).view(replicas, draws, 1) * fan_out
    chosen = (first + output.unsqueeze(1)).flatten()  # of all R * S * K outputs
    rows = weight.reshape(-1, fan_in).index_select(0, chosen).view(replicas, draws, -1, fan_in)
    values = (features * rows).sum(3)
    return values if bias is None else values + bias.reshape(-1).index_select(0, chosen).view(replicas, draws, -1)


def affine(x: Tensor, weight: Tensor | Factored, bias: Tensor | Factored | None) -> Tensor:
    """Returns x @ weight + bias for x [R, s, N, I], weight [R, S, I, O] and bias [R, S, O], as one batched product.

    `s` and `S` are equal or one of them is 1.
    """
    if isinstance(weight, Factored) and weight.pays and 1 in (x.shape[1], x.shape[2]):
        return _factored(x, weight, bias)
    weight, bias = dense(weight), None if bias is None else dense(bias)
    replicas, s, rows, fan_in = x.shape
    draws, fan_out = weight.shape[1], weight.shape[3]
    if draws == 1:  # one matrix for all draws: they become rows
        x = x.reshape(replicas, s * rows, fan_in)
        kept = s > 1 and fan_out >= NARROW  # draws are told apart again: rows stay rows in memory
        out = (times if kept else product)(x, weight[:, 0], bias)
        return out.view(replicas, s, rows, fan_out)
    x = x.expand(replicas, draws, rows, fan_in).reshape(replicas * draws, rows, fan_in)
    out = product(x, weight.flatten(0, 1), None if bias is None else bias.reshape(-1, 1, fan_out))
    return out.view(replicas, draws, rows, fan_out)


def _factored(x: Tensor, weight: Factored, bias: Tensor | Factored | None) -> Tensor:
    """Multiplies inputs that all draws share, or of which each draw has one row, with the mean and with each column of
    the factor; every draw is a sum of these."""
    assert bias is None or isinstance(bias, Factored)
    shared, (replicas, fan_in, fan_out, _) = x.shape[1] == 1, weight.factor.shape
    every = weight.columns.view(replicas, 1, fan_in, -1)
    shift = None if bias is None else bias.columns.view(replicas, 1, -1)
    parts = affine(x if shared else x.transpose(1, 2), every, shift).unflatten(3, (fan_out, -1))  # [R, 1, N, O, 1 + C]
    noise = torch.cat([torch.ones_like(weight.noise[..., :1]), weight.noise], 2)  # [R, S, 1 + C]
    if not shared:
        return (parts * noise[:, None, :, None]).sum(4).transpose(1, 2)
    return times(noise, parts.reshape(replicas, -1, noise.shape[2]).mT).unflatten(2, (-1, fan_out))


def product(
    x: Float[Tensor, "M N I"], weight: Float[Tensor, "M I O"], bias: Float[Tensor, "M 1 O"] | None = None
) -> Float[Tensor, "M N O"]:
    """Returns x @ weight + bias. What is less wide than high is made transposed: up to five times as fast."""
    if weight.shape[2] < x.shape[1]:
        return times(weight.mT, x.mT, None if bias is None else bias.mT).mT
    return times(x, weight, bias)
