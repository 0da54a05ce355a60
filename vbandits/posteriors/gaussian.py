"""Gaussian distributions over the weights of a network: N(mean, F F^T + diag(spread^2)) per layer, jointly over its
weight and bias, independent between layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import softplus

from vbandits.networks.weights import initial, prior_std, rates, size, unflatten
from vbandits.posteriors.common import headed, network_of, squared_error, taken
from vbandits.streams import Stream
from vbandits.types import HeadedNetwork, Layer, Task, Weights

Layers = Literal["first_last", "last", "all"]
ROLES = {
    "first_last": ("input", "output"),
    "last": ("output",),
    "all": ("input", "hidden", "output"),
    "none": (),
}


@dataclass(frozen=True)
class Gaussian:
    """The family over the weights of a task's network.

    Leaves, per layer of P entries: `mean/{layer}` [R, P]; in stochastic layers also `factor/{layer}` [R, P, rank] where
    rank > 0, and `spread/{layer}` [R, P] (before softplus) where there is a diagonal.
    """

    task: Task
    stochastic: tuple[Layer, ...]
    rank: int
    diagonal: bool
    closed_form_head: bool
    """Whether the last layer's expectation has a closed form: it is stochastic, and linear in its features."""

    @classmethod
    def over(cls, task: Task, layers: str, rank: int, diagonal: bool) -> "Gaussian":
        """Returns the family over some layers, a key of `ROLES`; norm layers stay deterministic."""
        network = network_of(task)
        stochastic = tuple(layer for layer in network.layers if layer.role in ROLES[layers])
        closed = headed(network) and network.layers[-1] in stochastic
        return cls(task, stochastic, rank, diagonal, closed)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one draw takes."""
        return sum(self._width(layer) for layer in self.stochastic)

    def initial(self, factor_scale: float, spread_scale: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns initial leaves and their learning-rate factors.

        Means are the deterministic network's initial weights. Entries of the factor are N(0, s^2 / rank) and the spread
        is t, where s and t are the prior's standard deviation times `factor_scale` and `spread_scale`.
        """
        task, network = self.task, network_of(self.task)
        scales, rate = prior_std(network, task), rates(network, task)
        means = initial(network, task, "weights")
        blocks = {f"mean/{name}": block for name, block in means.items()}
        factors = {f"mean/{name}": value for name, value in rate.items()}
        normal = Stream(task.seeds, "factor", device=task.device, dtype=task.dtype)
        for layer in self.stochastic:
            name, scale = layer.name, scales[layer.name]
            if self.rank:
                noise = normal.normal(size(layer), self.rank)
                blocks[f"factor/{name}"] = noise * (scale * factor_scale / self.rank**0.5).unsqueeze(1)
                factors[f"factor/{name}"] = (rate[name] * self._factor_rate(layer)).unsqueeze(1)
            if self.diagonal:
                spread = torch.log(torch.expm1(scale * spread_scale))  # the inverse of softplus
                blocks[f"spread/{name}"] = spread.expand_as(means[name]).clone()
                factors[f"spread/{name}"] = rate[name]
        return blocks, factors

    def sample(
        self, leaves: Mapping[str, Tensor], noise: Float[Tensor, "R S Z"], head_at_mean: bool = False
    ) -> Weights:
        """Returns weights for standard normal `noise`, the last layer's at their mean if asked for."""
        network = network_of(self.task)
        blocks = {layer.name: leaves[f"mean/{layer.name}"].unsqueeze(1) for layer in network.layers}
        parts = noise.split([self._width(layer) for layer in self.stochastic], 2)
        for layer, part in zip(self.stochastic, parts, strict=True):
            if not (head_at_mean and layer is network.layers[-1]):
                blocks[layer.name] = self._sample_layer(leaves, layer, part)
        return unflatten(network, blocks)

    def mean(self, leaves: Mapping[str, Tensor]) -> Weights:
        """Returns the mean weights (S = 1)."""
        network = network_of(self.task)
        return unflatten(network, {layer.name: leaves[f"mean/{layer.name}"].unsqueeze(1) for layer in network.layers})

    def head_variance(
        self, leaves: Mapping[str, Tensor], features: Float[Tensor, "R S N H"], output: Int64[Tensor, "R N"]
    ) -> Float[Tensor, "R S N"]:
        """Returns the variance of the output taken, over the last layer alone, given its features."""
        layer = network_of(self.task).layers[-1]
        replicas, draws, rows, _ = features.shape
        features = features.flatten(1, 2)  # [R, M, H], with M = S * N
        output = output.unsqueeze(1).expand(-1, draws, -1).flatten()
        index = torch.arange(len(output), device=output.device) * layer.fan_out + output  # of all R * M * K outputs
        variance = torch.zeros_like(features[:, :, 0])
        if self.rank:
            deviations = _affine(features, leaves[f"factor/{layer.name}"], layer)
            variance = variance + deviations.index_select(0, index).square().sum(1).view_as(variance)
        if self.diagonal:
            spread = softplus(leaves[f"spread/{layer.name}"]).square().unsqueeze(2)
            variances = _affine(features.square(), spread, layer)
            variance = variance + variances.index_select(0, index).view_as(variance)
        return variance.view(replicas, draws, rows)

    def divergence(self, leaves: Mapping[str, Tensor], prior: Mapping[str, Tensor]) -> Float[Tensor, " R"]:
        """Returns the Kullback-Leibler divergence to N(0, diag(prior^2)), with `prior` [P] by layer.

        Needs a diagonal: without one the covariance is singular and the divergence infinite. The determinant is that of
        the factor's small matrix, log det(D + F F^T) = log det D + log det(I + F^T D^-1 F).
        """
        total = torch.zeros(len(self.task.seeds), device=self.task.device, dtype=self.task.dtype)
        for layer in self.stochastic:
            mean, spread = leaves[f"mean/{layer.name}"], softplus(leaves[f"spread/{layer.name}"])
            scale = prior[layer.name]
            trace = (spread.square() + mean.square()) / scale.square()
            log_determinant = 2 * spread.log()
            total = total + 0.5 * (trace - 1 - log_determinant + 2 * scale.log()).sum(1)
            if self.rank:
                factor = leaves[f"factor/{layer.name}"]
                scaled = factor / spread.unsqueeze(2)
                small = torch.eye(self.rank, device=factor.device, dtype=factor.dtype) + scaled.mT @ scaled
                total = total + 0.5 * (factor / scale.unsqueeze(1)).square().sum((1, 2)) - 0.5 * torch.logdet(small)
        return total

    def expected_squared_error(
        self, leaves: Mapping[str, Tensor], batch: tuple[Tensor, Tensor, Tensor], noise: Float[Tensor, "R S Z"]
    ) -> Float[Tensor, " R"]:
        """Returns the squared error of a minibatch, averaged over rows and expected over the weights.

        The last layer's expectation is in closed form where it can be, (y - mean)^2 + variance; the rest is sampled.
        """
        x, output, y = batch
        network = network_of(self.task)
        if not self.closed_form_head:
            values = taken(network, self.sample(leaves, noise), x.unsqueeze(1), output)
            return squared_error(values, y).mean(1)
        network = cast(HeadedNetwork, network)
        weights = self.sample(leaves, noise, head_at_mean=True)
        features = network.features(weights, x.unsqueeze(1))
        mean = network.head(weights, features, output)
        return (squared_error(mean, y) + self.head_variance(leaves, features, output).mean(2)).mean(1)

    def _width(self, layer: Layer) -> int:
        return self.rank + (size(layer) if self.diagonal else 0)

    def _factor_rate(self, layer: Layer) -> float:
        """The gradient of a sampled factor grows with its rank; that of the closed form does not."""
        closed = self.closed_form_head and layer is network_of(self.task).layers[-1]
        return 1.0 if closed else 1 / self.rank

    def _sample_layer(self, leaves: Mapping[str, Tensor], layer: Layer, noise: Tensor) -> Tensor:
        weights = leaves[f"mean/{layer.name}"].unsqueeze(1)  # [R, 1, P]
        if self.rank:
            weights = torch.baddbmm(weights, noise[:, :, : self.rank], leaves[f"factor/{layer.name}"].mT)
        if self.diagonal:
            weights = weights + softplus(leaves[f"spread/{layer.name}"]).unsqueeze(1) * noise[:, :, self.rank :]
        return weights  # [R, S, P]


def _affine(features: Tensor, columns: Tensor, layer: Layer) -> Tensor:
    """Returns features [R, M, H] times each of C flattened linear layers [R, P, C], as one product: [R * M * K, C]."""
    count, split = columns.shape[2], layer.fan_in * layer.fan_out
    weight = columns[:, :split].reshape(-1, layer.fan_in, layer.fan_out * count)
    if not layer.biases:
        return torch.bmm(features, weight).view(-1, count)
    return torch.baddbmm(columns[:, split:].reshape(-1, 1, layer.fan_out * count), features, weight).view(-1, count)
