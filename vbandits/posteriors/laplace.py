"""The Laplace approximation of the last layer (Kristiadi, Hein and Hennig, 2020; Daxberger et al., 2021)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.blocks import times
from vbandits.networks.weights import as_matrix, size
from vbandits.posteriors.common import PREDICTIVE_DRAWS, headed, network_of, noise_of, predictive, with_constant
from vbandits.posteriors.deterministic import Deterministic, DeterministicState, weights
from vbandits.posteriors.regression import outer_sums
from vbandits.streams import Stream
from vbandits.types import Batch, Data, Functions, HeadedNetwork, Task

LARGEST = 5000
"""Most entries that are modelled jointly, by a full covariance: of the head, or of one output's where they are
independent. Eigenvectors of 4,000 take 20 seconds on one core."""
ITERATIONS = 60
"""Of the prior precision's fixed point."""
LOWEST, HIGHEST = math.log(1e-6), math.log(1e12)
"""What the logarithm of the prior precision is kept within."""


@runtime_checkable
class Curvature(Protocol):
    """The eigenvectors and eigenvalues of a positive semidefinite matrix over the head's P = K * I entries.

    Entries are in the order [K, I], I being the features and 1 for the bias.
    """

    @property
    def values(self) -> Float[Tensor, "R P"]:
        """The eigenvalues."""
        ...

    def coordinates(self, weights: Float[Tensor, "R S P"]) -> Float[Tensor, "R S P"]:
        """Returns the coordinates of vectors in the basis of eigenvectors."""
        ...

    def rotate(self, coordinates: Float[Tensor, "R S P"]) -> Float[Tensor, "R S P"]:
        """Returns the vectors that have these coordinates in the basis of eigenvectors."""
        ...


@dataclass
class LaplaceState(DeterministicState):
    """The network, the streams, and what the covariance is made from.

    Attributes:
        draws: stream of draws.
        fixed: noise [R, 64, P] of every predictive distribution.
        data: rows of the last update; None before it.
        curvature: at the trained weights, with the prior precision [R]; None until it is asked for.
    """

    draws: Stream
    fixed: Tensor
    data: Data | None = None
    curvature: tuple[Curvature, Tensor] | None = None
    not_saved: ClassVar = ("curvature",)


@dataclass(frozen=True)
class Laplace:
    """A Gaussian around the deterministic network's last layer; all other layers are points.

        q(w) = N(w*, (G + prior_precision I)^-1),   G = sum over rows of A_n kron h_n h_n^T,

    where w* are the trained weights and biases of the last layer, h_n its inputs and a 1, and A_n the Hessian of the
    negative log-likelihood in the outputs: 1 / noise at the output taken for a squared error, diag(p) - p p^T for
    classes. G is the generalised Gauss-Newton matrix (Daxberger et al., "Laplace Redux", 2021), here the Hessian, since
    the layer is linear. The network is trained as `Deterministic` is, and is the mean of the weights.

    The prior precision maximises Laplace's approximation of the marginal likelihood, for given w* and noise,
        log N(w*; 0, I / precision) - log det(G + precision I) / 2 + constant,
    by MacKay's iteration precision = gamma / |w*|^2 with gamma = sum of l / (l + precision) over the eigenvalues l of G
    (MacKay, "Bayesian interpolation", 1992). The logarithm moves half the way: the map then contracts by 1/2 or more,
    so that there is one fixed point, it is the maximum, and it is always found.

    Nothing is computed in `update` but the weights: the covariance, over all rows and in float64, at the first draw or
    prediction after it. Before any data it is that of the prior, with the precision given or else fan_in.

    Attributes:
        prior_precision: fixes it; by default it is chosen as above, at every update.
        structure: "full"; "kronecker", (sum of A_n) kron (mean of h_n h_n^T) in place of G (Ritter, Botev and Barber,
            2018); or "auto", full where at most 5,000 entries are modelled jointly: of all outputs for classes, of one
            for a squared error, under which outputs are independent.
    """

    prior_precision: Annotated[float, Field(gt=0)] | None = None
    structure: Literal["auto", "full", "kronecker"] = "auto"

    def init(self, task: Task) -> LaplaceState:
        """Starts as the deterministic network.

        Raises:
            ValueError: for a network whose output is not that of a linear layer, or one too wide for a full covariance.
        """
        network = network_of(task)
        if not headed(network):
            raise ValueError(
                "expected a network whose output is that of its last layer, an nn.Linear over features [N, H], got "
                f"{type(network).__name__} without: end the module in one, and give from_module its `features`; or use "
                "a posterior for any network, such as swag or dropout"
            )
        _full(task, self.structure)
        normal = partial(Stream, task.seeds, device=task.device, dtype=task.dtype)
        fixed = normal("predictive").normal(PREDICTIVE_DRAWS, size(network.layers[-1]))
        return LaplaceState(**vars(Deterministic().init(task)), draws=normal("draws"), fixed=fixed)

    def update(self, state: LaplaceState, data: Data) -> None:
        """Trains the network on the loss."""
        Deterministic().update(state, data)
        state.data, state.curvature = data, None

    def draw(self, state: LaplaceState, draws: int) -> Functions:
        """Returns the network at fresh draws of its last layer."""
        return self._functions(state, state.draws.normal(draws, state.fixed.shape[2]))

    def mean(self, state: LaplaceState) -> Functions:
        """Returns the network at its trained weights: the exact mean, since the last layer is linear."""
        return Deterministic().mean(state)

    def mixture(self, state: LaplaceState) -> Functions:
        """Returns 64 draws, of the same noise at every call."""
        return self._functions(state, state.fixed)

    def predict(self, state: LaplaceState, x: Tensor, output: Tensor, noise: Tensor) -> Any:
        """Returns the equal mixture over 64 draws, the same noise at every call."""
        return predictive(state, self.mixture(state), x, output, noise)

    def embed(self, state: LaplaceState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer."""
        return Deterministic().embed(state, x)

    def covariance(self, state: LaplaceState) -> tuple[Curvature, Float[Tensor, " R"]]:
        """Returns the curvature at the trained weights and the prior precision, computed once after an update."""
        if state.curvature is None:
            layer, data = network_of(state.task).layers[-1], state.data
            outputs, width = layer.fan_out, size(layer) // layer.fan_out
            mean = state.parameters.detached[layer.name].double()
            rows = iter(()) if data is None else _rows(state, data)
            if _full(state.task, self.structure):
                curvature = _blocks(mean.new_zeros(len(mean), outputs, width, width), rows)
            else:
                zeros = mean.new_zeros(len(mean), outputs, outputs), mean.new_zeros(len(mean), width, width)
                curvature = _kronecker(*zeros, rows)
            precision = torch.full_like(mean[:, 0], self.prior_precision or layer.fan_in)
            if self.prior_precision is None and data is not None:
                precision = most_likely_precision(curvature.values, mean.square().sum(1), precision)
            state.curvature = curvature, precision
        return state.curvature

    def _functions(self, state: LaplaceState, noise: Float[Tensor, "R S P"]) -> Functions:
        network = cast(HeadedNetwork, network_of(state.task))
        layer, trained = network.layers[-1], weights(state.task, state.parameters.detached)
        curvature, precision = self.covariance(state)
        # the symmetric root: eigenvectors alone have a sign, or a basis, that the last bit of a row decides
        scale = (curvature.values + precision.unsqueeze(1)).rsqrt().unsqueeze(1)
        deviation = (
            curvature.rotate(scale * curvature.coordinates(noise.double())).to(noise).unflatten(2, (layer.fan_out, -1))
        )  # [R, S, K, I]
        matrix = as_matrix(layer, state.parameters.detached[layer.name].unsqueeze(1)) + deviation.mT
        columns = matrix.transpose(1, 2).flatten(2)  # [R, I, S * K]: all draws have the same inputs

        def call(x: Tensor) -> Tensor:
            inputs = with_constant(network.features(trained, x.unsqueeze(1)).squeeze(1), bool(layer.biases))
            return times(inputs, columns).unflatten(2, (-1, layer.fan_out)).transpose(1, 2)

        return call


def most_likely_precision(
    values: Float[Tensor, "R P"], norm: Float[Tensor, " R"], start: Float[Tensor, " R"]
) -> Float[Tensor, " R"]:
    """Returns the prior precision of the largest marginal likelihood.

    Args:
        values: eigenvalues of the curvature.
        norm: |w*|^2.
        start: of the iteration.
    """
    logarithm = start.log()
    for _ in range(ITERATIONS):
        determined = (values / (values + logarithm.exp().unsqueeze(1))).sum(1)
        logarithm = (logarithm + (determined / norm).log().clamp(LOWEST, HIGHEST)) / 2
    return logarithm.exp()


@dataclass(frozen=True)
class Blocks:
    """A block-diagonal matrix of B blocks: one for each output, or one for all.

    Attributes:
        vectors: eigenvectors of each block, in columns [R, B, P / B, P / B].
        values: eigenvalues [R, P].
    """

    vectors: Tensor
    values: Tensor

    def coordinates(self, weights: Float[Tensor, "R S P"]) -> Float[Tensor, "R S P"]:
        """Returns weights in coordinates of the eigenvectors."""
        return self._times(self.vectors, weights)

    def rotate(self, coordinates: Float[Tensor, "R S P"]) -> Float[Tensor, "R S P"]:
        """Returns each block's vectors times its coordinates."""
        return self._times(self.vectors.mT, coordinates)

    def _times(self, matrices: Tensor, rows: Tensor) -> Tensor:
        parts = rows.unflatten(2, (matrices.shape[1], -1)).transpose(1, 2)  # [R, B, S, P / B]
        return (parts @ matrices).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Kronecker:
    """A product of a matrix over the outputs and one over the inputs.

    Attributes:
        outputs: eigenvectors of the first, in columns [R, K, K].
        inputs: eigenvectors of the second [R, I, I].
        values: products of their eigenvalues [R, K * I].
    """

    outputs: Tensor
    inputs: Tensor
    values: Tensor

    def coordinates(self, weights: Float[Tensor, "R S P"]) -> Float[Tensor, "R S P"]:
        """Returns weights in coordinates of the eigenvectors: outputs^T W inputs, W being the weights as a matrix."""
        matrix = weights.unflatten(2, (self.outputs.shape[2], -1))
        return (self.outputs.mT.unsqueeze(1) @ matrix @ self.inputs.unsqueeze(1)).flatten(2)

    def rotate(self, coordinates: Float[Tensor, "R S P"]) -> Float[Tensor, "R S P"]:
        """Returns outputs C inputs^T, C being the coordinates as a matrix."""
        matrix = coordinates.unflatten(2, (self.outputs.shape[2], -1))
        return (self.outputs.unsqueeze(1) @ matrix @ self.inputs.mT.unsqueeze(1)).flatten(2)


def _full(task: Task, structure: str) -> bool:
    """Says whether the covariance is full.

    Raises:
        ValueError: if it is to be, and is too large.
    """
    layer = network_of(task).layers[-1]
    independent = task.likelihood.output_index(torch.zeros(1, 1, dtype=torch.long)) is not None
    joint = size(layer) // layer.fan_out if independent else size(layer)
    if structure == "full" and joint > LARGEST:
        raise ValueError(
            f"expected at most {LARGEST:,} entries in a full covariance of the last layer, got {joint:,}: use the "
            "structure kronecker, or auto"
        )
    return structure == "full" or (structure == "auto" and joint <= LARGEST)


Rows = Iterator[tuple[Float[Tensor, "R N I"], Float[Tensor, "R N K"], Float[Tensor, "R N K"] | None, Batch]]
"""Of each row h times the root of its weight, the diagonal and vector of A, and what it is."""


def _rows(state: LaplaceState, data: Data) -> Rows:
    """Returns h and the diagonal and vector of A for all rows, a block at a time, in float64."""
    network = cast(HeadedNetwork, network_of(state.task))
    layer, trained = network.layers[-1], weights(state.task, state.parameters.detached)
    noise = noise_of(state.parameters, data.noise)
    for batch in data.batches():
        features = network.features(trained, batch.x.unsqueeze(1))
        values = network.head(trained, features).squeeze(1).double()
        inputs = with_constant(features.squeeze(1).double(), bool(layer.biases))
        inputs = inputs if batch.weight is None else inputs * batch.weight.sqrt().unsqueeze(1)
        yield inputs, *state.task.likelihood.curvature(values, batch.output, noise), batch


def _blocks(zero: Float[Tensor, "R K I I"], rows: Rows) -> Blocks:
    """Returns the sum of A kron h h^T, A = diag(d) - v v^T: blocks of the outputs, less what joins them. Without v a
    row is multiplied for its own output alone."""
    own, joint = zero, None
    for inputs, diagonal, vector, batch in rows:
        if vector is None:
            taken = diagonal.gather(2, batch.output.unsqueeze(2))
            own = own + outer_sums(inputs * taken.sqrt(), batch._replace(weight=None), own.shape[1])
            continue
        own = own + (inputs.unsqueeze(1) * diagonal.mT.unsqueeze(3)).mT @ inputs.unsqueeze(1)
        product = (vector.unsqueeze(3) * inputs.unsqueeze(2)).flatten(2)  # [R, N, K * I]
        joint = -(product.mT @ product) if joint is None else joint - product.mT @ product
    if joint is not None:
        outputs, width = own.shape[1:3]
        parts = joint.unflatten(2, (outputs, width)).unflatten(1, (outputs, width))  # a view
        parts.diagonal(dim1=1, dim2=3).add_(own.permute(0, 2, 3, 1))
        own = joint.unsqueeze(1)
    values, vectors = _eigen(own)
    return Blocks(vectors, values.flatten(1))


def _kronecker(zero: Float[Tensor, "R K K"], zero_inputs: Float[Tensor, "R I I"], rows: Rows) -> Kronecker:
    """Returns (sum of A) kron (mean of h h^T)."""
    left, right, count = zero, zero_inputs, 0.0
    for inputs, diagonal, vector, batch in rows:
        weight = inputs.new_ones(inputs.shape[1]) if batch.weight is None else batch.weight
        weighted = diagonal * weight.unsqueeze(1)
        left = left + torch.diag_embed(weighted.sum(1))
        if vector is not None:
            left = left - (vector * weight.unsqueeze(1)).mT @ vector
        right = right + inputs.mT @ inputs
        count += float(weight.sum())
    (first, outputs), (second, inputs) = _eigen(left), _eigen(right / (count or 1.0))
    return Kronecker(outputs, inputs, (first.unsqueeze(2) * second.unsqueeze(1)).flatten(1))


def _eigen(matrix: Float[Tensor, "*B n n"]) -> tuple[Float[Tensor, "*B n"], Float[Tensor, "*B n n"]]:
    """Returns eigenvalues and eigenvectors; a matrix that is not finite has values of NaN, for itself alone."""
    finite = matrix.isfinite().all(-1).all(-1)
    identity = torch.eye(matrix.shape[-1]).to(matrix)
    values, vectors = torch.linalg.eigh(torch.where(finite[..., None, None], matrix, identity))
    return torch.where(finite.unsqueeze(-1), values.clamp(min=0), torch.nan), vectors
