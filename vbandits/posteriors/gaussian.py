"""Gaussian distributions over the weights of a network: independent between layers, each jointly over its weight and
bias, with one of the covariances of `posteriors.covariances`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.blocks import times
from vbandits.networks.weights import Factored, initial, prior_std, rates, unflatten
from vbandits.posteriors.backward import Backward, Stored
from vbandits.posteriors.common import evaluate, headed, network_of
from vbandits.posteriors.covariances import Covariance, Diagonal, LowRank, linear
from vbandits.registry import unknown
from vbandits.streams import Stream
from vbandits.training import Parameters, factor_draw
from vbandits.types import Batch, HeadedNetwork, Layer, Network, Task, Weights

Layers = Literal["first_last", "last", "all"] | tuple[str, ...]
"""Which layers are stochastic: by their place, or by name."""
ROLES = {"first_last": ("input", "output"), "last": ("output",), "all": ("input", "hidden", "output")}


@dataclass(frozen=True)
class GaussianFamily:
    """The family over the weights of a task's network.

    Leaves are `mean/{layer}` [R, P] of every layer, those of the covariance in stochastic ones, and
    `noise_factor/{layer}` [R, P, C] where draws move with the noise of the targets (`posteriors.ibvi`):
    w = mean + noise_factor c + deviation.

    Attributes:
        noise_rank: columns C; the first C numbers of a draw's noise are c.
        closed_form_head: whether the last layer's expectation has a closed form: it is stochastic, and linear in its
            features.
    """

    task: Task
    stochastic: tuple[Layer, ...]
    covariance: Covariance
    noise_rank: int
    closed_form_head: bool

    @classmethod
    def over(cls, task: Task, layers: Layers, covariance: Covariance, noise_rank: int = 0) -> "GaussianFamily":
        """Returns the family over some layers; norm layers stay deterministic."""
        network = network_of(task)
        stochastic = chosen(network, layers)
        closed = headed(network) and network.layers[-1] in stochastic
        return cls(task, stochastic, covariance, noise_rank, closed)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one draw takes."""
        return self.noise_rank + sum(self.covariance.normals(layer) for layer in self.stochastic)

    def initial(self, scale: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns initial leaves and their learning-rate factors.

        Means are the deterministic network's initial weights; covariances are those of the prior times `scale` squared.
        """
        task, network = self.task, network_of(self.task)
        scales, rate = prior_std(network, task), rates(network, task)
        means = initial(network, task, "weights")
        blocks = {f"mean/{name}": block for name, block in means.items()}
        factors = {f"mean/{name}": value for name, value in rate.items()}
        normal = Stream(task.seeds, "factor", device=task.device, dtype=task.dtype)
        for layer in self.stochastic:
            name = layer.name
            for kind, block in self.covariance.initial(layer, scales[name] * scale, normal).items():
                blocks[f"{kind}/{name}"] = block
            closed = self.closed_form_head and layer is network.layers[-1]
            for kind, value in self.covariance.rates(layer, rate[name], closed).items():
                factors[f"{kind}/{name}"] = value
            if self.noise_rank:
                blocks[f"noise_factor/{name}"] = torch.zeros(*means[name].shape, self.noise_rank).to(means[name])
                factors[f"noise_factor/{name}"] = (rate[name] / self.noise_rank).unsqueeze(1)
        return blocks, factors

    @property
    def exact(self) -> bool:
        """Whether nothing is sampled: the last layer alone is stochastic, and its expectation has a closed form."""
        return self.closed_form_head and len(self.stochastic) == 1

    @property
    def drawn_factors(self) -> tuple[str, ...]:
        """Names of the blocks that do nothing in the expected loss but make draws, see `training.Parameters`."""
        head = network_of(self.task).layers[-1] if self.closed_form_head else None
        names = [
            f"{kind}/{layer.name}"
            for layer in self.stochastic
            for kind in self.covariance.drawn_factors
            if layer is not head
        ]
        moved = self.stochastic if self.noise_rank and not self.exact else ()
        return (*names, *(f"noise_factor/{layer.name}" for layer in moved))

    def sample(
        self,
        leaves: Mapping[str, Tensor],
        noise: Float[Tensor, "R S Z"],
        *,
        head_at_mean: bool = False,
        factored: bool = False,
    ) -> Weights:
        """Returns weights for standard normal `noise`.

        Args:
            leaves: of the family.
            noise: of all stochastic layers.
            head_at_mean: leaves out the deviation of the last layer.
            factored: gives low-rank layers as `Factored`, not multiplied out.
        """
        network = network_of(self.task)
        blocks: dict[str, Tensor | Factored] = {
            layer.name: leaves[f"mean/{layer.name}"].unsqueeze(1) for layer in network.layers
        }
        parts = noise.split([self.noise_rank, *(self.covariance.normals(layer) for layer in self.stochastic)], 2)
        for layer, own in zip(self.stochastic, parts[1:], strict=True):
            blocks[layer.name] = self._layer(leaves, layer, parts[0], own, head_at_mean, factored)
        return unflatten(network, blocks)

    def mean(self, leaves: Mapping[str, Tensor]) -> Weights:
        """Returns the mean weights (S = 1)."""
        network = network_of(self.task)
        return unflatten(network, {layer.name: leaves[f"mean/{layer.name}"].unsqueeze(1) for layer in network.layers})

    def expected_loss(
        self,
        leaves: Mapping[str, Tensor],
        batch: Batch,
        noise: Float[Tensor, "R S Z"],
        perturbation: Float[Tensor, "R N C"] | None = None,
    ) -> Float[Tensor, " R"]:
        """Returns the loss of a minibatch, averaged over rows and expected over the weights.

        The expectation over the last layer is in closed form where it can be; the rest is sampled.

        Args:
            leaves: of the family.
            batch: the rows.
            noise: of all stochastic layers.
            perturbation: adds perturbation . c to the targets, with the c of each draw.
        """
        network, likelihood = network_of(self.task), self.task.likelihood
        output_index = likelihood.output_index(batch.output)
        x, y, variance = batch.x.unsqueeze(1), batch.y.unsqueeze(1), None
        if self.exact:
            noise = torch.zeros_like(noise[:, :1])
        elif perturbation is not None:
            y = y + times(noise[:, :, : self.noise_rank], perturbation.mT)
        if self.closed_form_head:
            features, values, variance = self._head(leaves, x, noise, output_index)
            if self.exact and perturbation is not None:
                layer = network.layers[-1]
                moved = linear(layer, leaves[f"noise_factor/{layer.name}"], features.flatten(1, 2), output_index)
                variance = variance + (moved - perturbation).square().sum(2).unsqueeze(1)
        else:
            values = evaluate(network, self.sample(leaves, noise), x, output_index)
        return likelihood.loss(values, variance, batch.output, y).mean((1, 2))

    def divergence(self, leaves: Mapping[str, Tensor], scale: Mapping[str, Float[Tensor, " P"]]) -> Float[Tensor, " R"]:
        """Returns the divergence of stochastic layers to N(0, scale^2), the scale by layer."""
        return self.summed(
            self.covariance.divergence(leaves, layer, leaves[f"mean/{layer.name}"], scale[layer.name])
            for layer in self.stochastic
        )

    def backward(self, parameters: Parameters) -> Backward | None:
        """Returns the gradient of the expected loss, or None where autograd has to find it."""
        if type(self.covariance) not in (LowRank, Diagonal) or self.noise_rank:
            return None
        names = tuple(layer.name for layer in self.stochastic)
        return Backward.of(self.task, parameters, Stored("mean/", names, cast(Any, self.covariance)))

    def drawn(self, noise: Float[Tensor, "R S Z"]) -> dict[str, Float[Tensor, "R S C"]]:
        """Returns the noise of each layer that is sampled."""
        parts = noise.split([self.covariance.normals(layer) for layer in self.stochastic], 2)
        return {layer.name: own for layer, own in zip(self.stochastic, parts, strict=True) if layer in self._drawn}

    @property
    def _drawn(self) -> tuple[Layer, ...]:
        return self.stochastic[:-1] if self.closed_form_head else self.stochastic

    def summed(self, parts: Iterable[Float[Tensor, " R"]]) -> Float[Tensor, " R"]:
        """Returns the sum over stochastic layers, of which there may be none."""
        found = list(parts)
        return torch.stack(found).sum(0) if found else torch.zeros(len(self.task.seeds)).to(self.task.device)

    def _head(
        self, leaves: Mapping[str, Tensor], x: Tensor, noise: Tensor, output_index: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns features [R, S, N, H] at draws of all other layers, and the outputs' mean and variance given them."""
        network = cast(HeadedNetwork, network_of(self.task))
        layer = network.layers[-1]
        weights = self.sample(leaves, noise, head_at_mean=True)
        features = network.features(weights, x)
        draws = features.shape[1]
        chosen = None if output_index is None else output_index.unsqueeze(1).expand(-1, draws, -1).flatten(1)
        mean, flat = leaves[f"mean/{layer.name}"], features.flatten(1, 2)
        values, variance = self.covariance.head(leaves, layer, mean, flat, chosen)
        values, variance = (part.unflatten(1, (draws, -1)) for part in (values, variance))
        if self.noise_rank and not self.exact:  # the last layer's mean moves with each draw
            values = network.head(weights, features, output_index)
        return features, values, variance

    def _layer(
        self,
        leaves: Mapping[str, Tensor],
        layer: Layer,
        shared: Tensor,
        own: Tensor,
        head_at_mean: bool,
        factored: bool,
    ) -> Tensor | Factored:
        mean, name = leaves[f"mean/{layer.name}"].unsqueeze(1), layer.name
        still = head_at_mean and layer is network_of(self.task).layers[-1]
        if factored and not still and type(self.covariance) is LowRank:
            kinds = ("noise_factor", "factor") if self.noise_rank else ("factor",)
            columns = [leaves[f"{kind}/{name}"] for kind in kinds]
            return Factored(mean, torch.cat(columns, 2), torch.cat([shared, own], 2) if self.noise_rank else own)
        if self.noise_rank:
            mean = times(shared, leaves[f"noise_factor/{name}"].mT, mean)
            factor_draw(leaves, f"noise_factor/{name}", mean, shared)
        return mean if still else self.covariance.sample(leaves, layer, mean, own)


def chosen(network: Network, layers: Layers) -> tuple[Layer, ...]:
    """Returns the layers of a place, a key of `ROLES`, or those named; none for an empty tuple.

    Raises:
        ValueError: for a name that no layer with a weight matrix has.
    """
    if isinstance(layers, str):
        return tuple(layer for layer in network.layers if layer.role in ROLES[layers])
    known = {layer.name: layer for layer in network.layers if layer.role != "norm"}
    for name in layers:
        if name not in known:
            raise ValueError(unknown("layer", name, known))
    return tuple(layer for layer in network.layers if layer.name in layers)
