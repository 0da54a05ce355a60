"""Covariances of one layer's weights: what is stored, how it is drawn, and its terms in losses. All start at the prior.

A layer of P entries has a mean [R, P]; the leaves here describe its covariance. Leaves of a layer are named
`{kind}/{layer}`, the kind being that of the class. Scales at the start are the prior's standard deviations [P].
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import softplus

from vbandits.blocks import times
from vbandits.networks.weights import as_matrix, from_matrix, size
from vbandits.registry import unknown
from vbandits.streams import Stream
from vbandits.training import factor_draw
from vbandits.types import Layer

Family = Literal["low_rank", "mean_field", "low_rank_plus_diagonal", "kronecker", "full"]
LARGEST = 2000
"""Most entries of a layer that may have a full covariance."""
Leaves = Mapping[str, Tensor]


@runtime_checkable
class Covariance(Protocol):
    """A parametrised covariance of one layer. Those with a singular covariance have no `divergence`.

    Attributes:
        drawn_factors: kinds of leaves that sampled losses use for nothing but to make draws, see `training.Parameters`.
    """

    drawn_factors: ClassVar[tuple[str, ...]]

    def normals(self, layer: Layer) -> int:
        """Returns how many standard normal numbers a draw takes, Z."""
        ...

    def initial(self, layer: Layer, scale: Float[Tensor, " P"], normal: Stream) -> dict[str, Tensor]:
        """Returns the leaves at the prior."""
        ...

    def rates(self, layer: Layer, rate: Float[Tensor, " P"], closed: bool) -> dict[str, Tensor]:
        """Returns each leaf's learning-rate factor, given the weights'; `closed` where no gradient is sampled."""
        ...

    def sample(
        self, leaves: Leaves, layer: Layer, mean: Float[Tensor, "R s P"], noise: Float[Tensor, "R S Z"]
    ) -> Float[Tensor, "R S P"]:
        """Returns draws of the weights around a mean."""
        ...

    def head(
        self,
        leaves: Leaves,
        layer: Layer,
        mean: Float[Tensor, "R P"],
        features: Float[Tensor, "R M H"],
        output: Int64[Tensor, "R M"] | None,
    ) -> tuple[Tensor, Tensor]:
        """Returns mean and variance of a linear layer at fixed inputs: of one output [R, M], or of all [R, M, K]."""
        ...

    def divergence(
        self, leaves: Leaves, layer: Layer, mean: Float[Tensor, "R P"], scale: Float[Tensor, " P"]
    ) -> Float[Tensor, " R"]:
        """Returns the Kullback-Leibler divergence to N(0, diag(scale^2))."""
        ...

    def transport(self, leaves: Leaves, start: Leaves, layer: Layer, rate: Float[Tensor, " P"]) -> Float[Tensor, " R"]:
        """Returns the squared 2-Wasserstein distance to the covariance at the start, in units of the rates."""
        ...


def covariance(family: Family, rank: int, positive: bool = False) -> Covariance:
    """Returns the covariance of a name.

    Args:
        family: the name.
        rank: of "low_rank" and "low_rank_plus_diagonal".
        positive: how the spread of those with a diagonal is stored, see `Diagonal`.
    """
    made: dict[str, Any] = {
        "low_rank": lambda: LowRank(rank),
        "mean_field": lambda: Diagonal(positive),
        "low_rank_plus_diagonal": lambda: Sum(LowRank(rank), Diagonal(positive)),
        "kronecker": Kronecker,
        "full": Full,
    }
    if family not in made:
        raise ValueError(unknown("family", family, made))
    return made[family]()


@dataclass(frozen=True)
class LowRank:
    """F F^T with F [P, rank], whose entries start at N(0, scale^2 / rank)."""

    rank: int
    drawn_factors: ClassVar[tuple[str, ...]] = ("factor",)

    def columns(self, layer: Layer) -> int:
        """Returns the columns of F."""
        return self.rank

    def normals(self, layer: Layer) -> int:
        """Returns the columns of F."""
        return self.columns(layer)

    def initial(self, layer: Layer, scale: Tensor, normal: Stream) -> dict[str, Tensor]:
        """Returns F at random."""
        return {"factor": normal.normal(size(layer), self.rank) * (scale / self.rank**0.5).unsqueeze(1)}

    def rates(self, layer: Layer, rate: Tensor, closed: bool) -> dict[str, Tensor]:
        """Returns the weights' rate, divided by the columns where the gradient is sampled: it grows with them."""
        return {"factor": (rate if closed else rate / self.columns(layer)).unsqueeze(1)}

    def sample(self, leaves: Leaves, layer: Layer, mean: Tensor, noise: Tensor) -> Tensor:
        """Returns mean + F noise."""
        name = f"factor/{layer.name}"
        draw = times(noise, leaves[name].mT, mean)
        factor_draw(leaves, name, draw, noise)
        return draw

    def head(
        self, leaves: Leaves, layer: Layer, mean: Tensor, features: Tensor, output: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mean, and the squared length of F^T applied to each row's inputs, of one product."""
        columns = torch.cat([mean.unsqueeze(2), leaves[f"factor/{layer.name}"]], 2)
        values = linear(layer, columns, features, output)
        return values[..., 0], values[..., 1:].square().sum(-1)

    def divergence(self, leaves: Leaves, layer: Layer, mean: Tensor, scale: Tensor) -> Tensor:
        """Raises an error: the covariance is singular."""
        raise ValueError(
            "expected a covariance of full rank, got low_rank, whose divergence to the prior is infinite: use "
            "low_rank_plus_diagonal, mean_field, kronecker or full"
        )

    def transport(self, leaves: Leaves, start: Leaves, layer: Layer, rate: Tensor) -> Tensor:
        """Returns the least |F - F0 Q|^2 over orthogonal Q: |F|^2 + |F0|^2 - 2 |F^T F0|_nuclear.

        It is the Bures distance (Bhatia, Jain and Lim, "On the Bures-Wasserstein distance between positive definite
        matrices", 2019), for any rank.
        """
        scale = rate.rsqrt().unsqueeze(1)
        now, before = (blocks[f"factor/{layer.name}"] * scale for blocks in (leaves, start))
        nuclear = nuclear_norm(now.mT @ before)
        return now.square().sum((1, 2)) + before.square().sum((1, 2)) - 2 * nuclear


class Full(LowRank):
    """F F^T with a square F [P, P] that starts at diag(scale), for small layers."""

    def __init__(self) -> None:
        super().__init__(0)

    def columns(self, layer: Layer) -> int:
        """Returns P.

        Raises:
            ValueError: for a layer that is too large.
        """
        if size(layer) > LARGEST:
            raise ValueError(
                f"expected layers of at most {LARGEST:,} entries for a full covariance, got {size(layer):,} in "
                f"{layer.name!r}: use low_rank or kronecker, or other layers"
            )
        return size(layer)

    def initial(self, layer: Layer, scale: Tensor, normal: Stream) -> dict[str, Tensor]:
        """Returns the prior's own factor."""
        self.columns(layer)
        return {"factor": torch.diag(scale).repeat(normal.replicas, 1, 1)}

    def divergence(self, leaves: Leaves, layer: Layer, mean: Tensor, scale: Tensor) -> Tensor:
        """Returns the divergence, by the determinant of F."""
        factor = leaves[f"factor/{layer.name}"] / scale.unsqueeze(1)
        trace = factor.square().sum((1, 2)) + (mean / scale).square().sum(1)
        return 0.5 * (trace - size(layer)) - log_determinant(factor)


@dataclass(frozen=True)
class Diagonal:
    """diag(spread^2), "mean-field".

    Attributes:
        positive: whether the leaf is the inverse softplus of the spread. Otherwise it is the spread itself, of either
            sign, and SGD moves it as it moves a factor, which is what the implicit bias is about. With an explicit
            divergence, whose gradient grows as 1 / spread, the positive form trains better.
    """

    positive: bool = False
    drawn_factors: ClassVar[tuple[str, ...]] = ()

    def normals(self, layer: Layer) -> int:
        """Returns P."""
        return size(layer)

    def initial(self, layer: Layer, scale: Tensor, normal: Stream) -> dict[str, Tensor]:
        """Returns the prior's standard deviations."""
        leaf = scale.expm1().log() if self.positive else scale
        return {"spread": leaf.repeat(normal.replicas, 1)}

    def spread(self, leaves: Leaves, layer: Layer) -> Tensor:
        """Returns the spread [R, P], of either sign if it is not stored as positive."""
        leaf = leaves[f"spread/{layer.name}"]
        return softplus(leaf) if self.positive else leaf

    def rates(self, layer: Layer, rate: Tensor, closed: bool) -> dict[str, Tensor]:
        """Returns the weights' rate: each entry has one number to itself."""
        return {"spread": rate}

    def sample(self, leaves: Leaves, layer: Layer, mean: Tensor, noise: Tensor) -> Tensor:
        """Returns mean + spread noise."""
        return mean + self.spread(leaves, layer).unsqueeze(1) * noise

    def head(
        self, leaves: Leaves, layer: Layer, mean: Tensor, features: Tensor, output: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mean, and the sum of squared inputs times squared spreads."""
        values = linear(layer, mean.unsqueeze(2), features, output)
        variances = linear(layer, self.spread(leaves, layer).square().unsqueeze(2), features.square(), output)
        return values.squeeze(-1), variances.squeeze(-1)

    def divergence(self, leaves: Leaves, layer: Layer, mean: Tensor, scale: Tensor) -> Tensor:
        """Returns the sum of the entries' divergences."""
        ratio = self.spread(leaves, layer) / scale
        return (0.5 * (ratio.square() + (mean / scale).square() - 1) - ratio.abs().log()).sum(1)

    def transport(self, leaves: Leaves, start: Leaves, layer: Layer, rate: Tensor) -> Tensor:
        """Returns the sum of squared differences of standard deviations."""
        now, before = (self.spread(blocks, layer).abs() for blocks in (leaves, start))
        return ((now - before).square() / rate).sum(1)


@dataclass(frozen=True)
class Sum:
    """F F^T + diag(spread^2): each starts at the prior's covariance divided by two."""

    factor: LowRank
    spread: Diagonal
    drawn_factors: ClassVar[tuple[str, ...]] = ("factor",)

    def normals(self, layer: Layer) -> int:
        """Returns rank + P."""
        return self.factor.normals(layer) + self.spread.normals(layer)

    def initial(self, layer: Layer, scale: Tensor, normal: Stream) -> dict[str, Tensor]:
        """Returns both, each of half the prior's variance."""
        half = scale / math.sqrt(2)
        return self.factor.initial(layer, half, normal) | self.spread.initial(layer, half, normal)

    def rates(self, layer: Layer, rate: Tensor, closed: bool) -> dict[str, Tensor]:
        """Returns those of both."""
        return self.factor.rates(layer, rate, closed) | self.spread.rates(layer, rate, closed)

    def sample(self, leaves: Leaves, layer: Layer, mean: Tensor, noise: Tensor) -> Tensor:
        """Returns mean + F noise + spread noise."""
        first, second = noise.split([self.factor.normals(layer), self.spread.normals(layer)], 2)
        return self.spread.sample(leaves, layer, self.factor.sample(leaves, layer, mean, first), second)

    def head(
        self, leaves: Leaves, layer: Layer, mean: Tensor, features: Tensor, output: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mean and the sum of both variances."""
        values, first = self.factor.head(leaves, layer, mean, features, output)
        return values, first + self.spread.head(leaves, layer, mean, features, output)[1]

    def divergence(self, leaves: Leaves, layer: Layer, mean: Tensor, scale: Tensor) -> Tensor:
        """Adds the factor's trace and determinant, log det(D + F F^T) = log det D + log det(I + F^T D^-1 F)."""
        factor, spread = leaves[f"factor/{layer.name}"], self.spread.spread(leaves, layer)
        scaled = factor / spread.unsqueeze(2)
        small = torch.eye(scaled.shape[2], device=factor.device, dtype=factor.dtype) + scaled.mT @ scaled
        extra = (factor / scale.unsqueeze(1)).square().sum((1, 2)) - log_determinant(small)
        return self.spread.divergence(leaves, layer, mean, scale) + 0.5 * extra

    def transport(self, leaves: Leaves, start: Leaves, layer: Layer, rate: Tensor) -> Tensor:
        """Returns the sum of the two parts' distances: an upper bound, that of moving each part by itself."""
        return self.factor.transport(leaves, start, layer, rate) + self.spread.transport(leaves, start, layer, rate)


@dataclass(frozen=True)
class Kronecker:
    """A A^T over the inputs (with the bias as one more) times B B^T over the outputs: W = mean + A E B^T, E standard
    normal (Louizos and Welling, "Structured and Efficient Variational Deep Learning with Matrix Gaussian Posteriors",
    2016). A starts at the diagonal of the prior's standard deviations, B at the identity."""

    drawn_factors: ClassVar[tuple[str, ...]] = ()

    def normals(self, layer: Layer) -> int:
        """Returns P."""
        return size(layer)

    def initial(self, layer: Layer, scale: Tensor, normal: Stream) -> dict[str, Tensor]:
        """Returns A and B."""
        scales = as_matrix(layer, scale.view(1, 1, -1))[0, 0, :, 0]
        identity = torch.eye(layer.fan_out, dtype=scale.dtype, device=scale.device)
        return {
            "rows": torch.diag(scales).repeat(normal.replicas, 1, 1),
            "columns": identity.repeat(normal.replicas, 1, 1),
        }

    def rates(self, layer: Layer, rate: Tensor, closed: bool) -> dict[str, Tensor]:
        """Returns the weights' rate over the side of the factor, by which E^T E makes a sampled step grow."""
        rows = as_matrix(layer, rate.view(1, 1, -1))[0, 0, :, 0]
        sides = (1, 1) if closed else (len(rows), layer.fan_out)
        return {"rows": (rows / sides[0]).unsqueeze(1), "columns": rows[:1] / sides[1]}

    def sample(self, leaves: Leaves, layer: Layer, mean: Tensor, noise: Tensor) -> Tensor:
        """Returns mean + A E B^T."""
        rows, columns = self._factors(leaves, layer)
        standard = noise.unflatten(2, (rows.shape[1], columns.shape[1]))
        models, draws = standard.shape[:2]
        by_rows = times(rows, standard.transpose(1, 2).flatten(2))  # [R, I, S * O]: all draws in one product
        by_draw = by_rows.unflatten(2, (draws, -1)).transpose(1, 2).flatten(1, 2)  # [R, S * I, O]
        return mean + from_matrix(layer, times(by_draw, columns.mT).view(models, draws, -1, columns.shape[1]))

    def head(
        self, leaves: Leaves, layer: Layer, mean: Tensor, features: Tensor, output: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mean, and |A^T h|^2 times the output's diagonal entry of B B^T."""
        rows, columns = self._factors(leaves, layer)
        weight, shift = rows[:, : layer.fan_in], rows[:, layer.fan_in :]
        inputs = times(features, weight, shift if layer.biases else None)
        scale, by_output = inputs.square().sum(2), columns.square().sum(2)  # [R, M], [R, K]
        taken = by_output.unsqueeze(1) if output is None else by_output.gather(1, output)
        variance = (scale.unsqueeze(2) if output is None else scale) * taken
        return linear(layer, mean.unsqueeze(2), features, output).squeeze(-1), variance

    def divergence(self, leaves: Leaves, layer: Layer, mean: Tensor, scale: Tensor) -> Tensor:
        """Returns the divergence, by the determinants of A and B."""
        rows, columns = self._factors(leaves, layer)
        prior = as_matrix(layer, scale.view(1, 1, -1))[0, 0]  # [I, O]
        variances = rows.square().sum(2).unsqueeze(2) * columns.square().sum(2).unsqueeze(1)
        trace = (variances / prior.square()).sum((1, 2)) + (mean / scale).square().sum(1) - size(layer)
        logs = [log_determinant(factor) for factor in (rows, columns)]
        return 0.5 * trace + scale.log().sum() - layer.fan_out * logs[0] - rows.shape[1] * logs[1]

    def transport(self, leaves: Leaves, start: Leaves, layer: Layer, rate: Tensor) -> Tensor:
        """Returns the Bures distance of the products, |.|^2 and the nuclear norm being products too."""
        scale = as_matrix(layer, rate.view(1, 1, -1))[0, 0, :, 0].rsqrt().unsqueeze(1)
        (rows, columns), (rows0, columns0) = (self._factors(blocks, layer) for blocks in (leaves, start))
        rows, rows0 = scale * rows, scale * rows0
        lengths = [a.square().sum((1, 2)) * b.square().sum((1, 2)) for a, b in ((rows, columns), (rows0, columns0))]
        nuclear = [nuclear_norm(a.mT @ b) for a, b in ((rows, rows0), (columns, columns0))]
        return lengths[0] + lengths[1] - 2 * nuclear[0] * nuclear[1]

    def _factors(self, leaves: Leaves, layer: Layer) -> tuple[Tensor, Tensor]:
        return leaves[f"rows/{layer.name}"], leaves[f"columns/{layer.name}"]


def log_determinant(matrix: Float[Tensor, "R C C"]) -> Float[Tensor, " R"]:
    """Returns log |det|, a model at a time: the batched one's gradient has other bits in a batch of another size."""
    return torch.stack([torch.linalg.slogdet(own).logabsdet for own in matrix.unbind()])


def nuclear_norm(matrix: Float[Tensor, "R A B"]) -> Float[Tensor, " R"]:
    """Returns the sum of singular values, a model at a time for the same reason."""
    return torch.stack([torch.linalg.svdvals(own).sum() for own in matrix.unbind()])


def linear(
    layer: Layer, columns: Float[Tensor, "R P C"], features: Float[Tensor, "R M H"], output: Int64[Tensor, "R M"] | None
) -> Tensor:
    """Returns each of C flattened linear layers at the features: one output [R, M, C], or all [R, M, K, C]."""
    count, split, (fan_in, fan_out) = columns.shape[2], layer.fan_in * layer.fan_out, (layer.fan_in, layer.fan_out)
    if layer.inputs_first:
        weight = columns[:, :split].reshape(-1, fan_in, fan_out * count).mT
    else:
        weight = columns[:, :split].unflatten(1, (fan_out, fan_in)).transpose(2, 3).flatten(1, 2)
    values = Narrow.apply(weight, features)
    if layer.biases:
        values = values + columns[:, split:].reshape(-1, fan_out * count, 1)
    values = values.unflatten(1, (fan_out, count))  # [R, K, C, M]
    if output is None:
        return values.permute(0, 3, 1, 2)
    return values.gather(1, output[:, None, None].expand(-1, 1, count, -1)).squeeze(1).mT


class Narrow(torch.autograd.Function):
    """weight [R, C, H] @ features [R, M, H]^T for few columns C, each product in the order in which it is fastest."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, features: Tensor) -> Tensor:
        """Returns the product [R, C, M]."""
        ctx.save_for_backward(weight, features)
        return times(weight, features.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Returns gradients that lie in memory as the inputs do."""
        weight, features = ctx.saved_tensors
        return times(gradients[0], features), times(gradients[0].mT, weight)
