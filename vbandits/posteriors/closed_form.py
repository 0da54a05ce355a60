"""Noise-aware implicit-bias VI of the last layer at its limit, in closed form, on features that SGD learns."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import as_matrix, initial, prior_std
from vbandits.posteriors.common import network_of, outer_sums, rows_after, solvable, solve, with_constant
from vbandits.posteriors.deterministic import Deterministic, DeterministicState, features
from vbandits.predictive import Mixture
from vbandits.streams import Stream
from vbandits.types import Batch, Data, Functions, Task


@dataclass
class ClosedFormState:
    """The trained network, and for every replica and output the regression of its targets on the features.

    Weights are u = (w - mean0) / s, inputs h = (features, 1) s, all in float64; W is their number.

    Attributes:
        network: the network and its training; its own last layer is used for nothing but to train the features.
        start: mean0 [R, W, K].
        scale: s [W, K].
        noise: variance of the targets' noise [R].
        seen: rows learned from.
        precision: of u, in units of the noise: H^T H + noise I [R, K, W, W].
        cross: H^T (y - h mean0) [R, K, W].
        location: mean of u [R, K, W].
        factor: Cholesky factor of the precision [R, K, W, W].
    """

    network: DeterministicState
    start: Tensor
    scale: Tensor
    noise: Tensor
    seen: int
    precision: Tensor
    cross: Tensor
    location: Tensor
    factor: Tensor
    draws: Stream


@dataclass(frozen=True)
class ClosedFormIBVI:
    """The last layer at what noise-aware IBVI converges to from the full-rank prior N(mean0, s^2), given its features.

        mean = mean0 + s (H^T H + sigma^2 I)^-1 H^T (y - h mean0),  covariance = sigma^2 s (H^T H + sigma^2 I)^-1 s,

    with rows h = s (features, 1). It is the exact Bayesian posterior, as the noise-aware form of `IBVI` has it without
    end of training and without sampling. The features are the deterministic network's, trained at each update; between
    updates `condition_on` adds each row by a rank-one update of the precision.

    Attributes:
        prior_scale: multiplies the prior's standard deviation s.
    """

    prior_scale: Annotated[float, Field(gt=0)] = 1.0

    def init(self, task: Task) -> ClosedFormState:
        """Starts at the prior.

        Raises:
            ValueError: for classes, or a network whose output is not that of a linear layer.
        """
        network = solvable(task)
        layer = network.layers[-1]
        mean = initial(network, task, "weights")[layer.name].double()
        start = as_matrix(layer, mean.unsqueeze(1))[:, 0]
        scale = as_matrix(layer, prior_std(network, task)[layer.name].double().view(1, 1, -1))[0, 0] * self.prior_scale
        replicas, width, outputs = start.shape
        prior = torch.eye(width, dtype=torch.float64, device=task.device).repeat(replicas, outputs, 1, 1)
        return ClosedFormState(
            Deterministic().init(task),
            start,
            scale,
            torch.ones(replicas, dtype=torch.float64, device=task.device),
            0,
            prior,
            prior.new_zeros(replicas, outputs, width),
            prior.new_zeros(replicas, outputs, width),
            prior.clone(),
            Stream(task.seeds, "draws", device=task.device, dtype=torch.float64),
        )

    def update(self, state: ClosedFormState, data: Data) -> None:
        """Trains the features, and solves for the last layer."""
        Deterministic().update(state.network, data)
        state.noise, state.seen = data.noise.double(), data.x.shape[1]
        state.precision.zero_().diagonal(dim1=2, dim2=3).add_(state.noise[:, None, None])
        state.cross.zero_()
        for batch in data.batches():
            self._add(state, batch)
        _solve(state, slice(None), slice(None))

    def condition_on(self, state: ClosedFormState, data: Data) -> None:
        """Learns from the rows that are new since the last call, with the features as they are."""
        replica = torch.arange(len(data.x), device=data.x.device)
        for batch in rows_after(state.seen, data):
            inputs, target, output = *self._regression(state, batch), batch.output[:, 0]
            state.precision[replica, output] += inputs[:, 0, :, None] * inputs[:, 0, None, :]
            state.cross[replica, output] += inputs[:, 0] * target
            _solve(state, replica, output)
        state.seen = data.x.shape[1]

    def draw(self, state: ClosedFormState, draws: int) -> Functions:
        """Returns the features with fresh draws of the last layer."""
        _, outputs, width = state.location.shape
        normal = state.draws.normal(draws, outputs, width).permute(0, 2, 3, 1)  # [R, K, W, S]
        deviation = torch.linalg.solve_triangular(state.factor.mT, normal, upper=True)
        deviation = state.noise.sqrt()[:, None, None, None] * deviation.permute(0, 3, 1, 2)
        return self._functions(state, state.location.unsqueeze(1) + deviation)

    def mean(self, state: ClosedFormState) -> Functions:
        """Returns the exact posterior mean given the features."""
        return self._functions(state, state.location.unsqueeze(1))

    def predict(self, state: ClosedFormState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns the exact marginals given the features, normal distributions."""
        batch = Batch(x, output, torch.zeros_like(x[:, :, 0]), output)
        inputs, target = self._regression(state, batch)
        replica = torch.arange(len(x), device=x.device).unsqueeze(1)
        whitened = torch.linalg.solve_triangular(state.factor[replica, output], inputs.unsqueeze(3), upper=False)
        mean = (inputs * state.location[replica, output]).sum(2) - target
        variance = state.noise.unsqueeze(1) * whitened.square().sum((2, 3)) + noise.double().unsqueeze(1)
        return Mixture(mean.unsqueeze(1), variance)

    def embed(self, state: ClosedFormState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer."""
        return Deterministic().embed(state.network, x)

    def _add(self, state: ClosedFormState, batch: Batch) -> None:
        """Adds rows to the sums."""
        inputs, target = self._regression(state, batch)
        sums = outer_sums(torch.cat([inputs, target.unsqueeze(2)], 2), batch.output, state.scale.shape[1])
        state.precision += sums[..., :-1, :-1]
        state.cross += sums[..., :-1, -1]

    def _regression(self, state: ClosedFormState, batch: Batch) -> tuple[Float[Tensor, "R N W"], Float[Tensor, "R N"]]:
        """Returns inputs and targets of the regression for the output taken in each row."""
        seen = _features(state, batch.x)
        replica = torch.arange(len(seen), device=seen.device).unsqueeze(1)
        target = batch.y.double() - (seen * state.start.mT[replica, batch.output]).sum(2)
        return seen * state.scale.T[batch.output], target

    def _functions(self, state: ClosedFormState, draws: Float[Tensor, "R S K W"]) -> Functions:
        weights = state.start.mT.unsqueeze(1) + state.scale.T * draws
        return lambda x: torch.einsum("rnw,rskw->rsnk", _features(state, x), weights)


def _features(state: ClosedFormState, x: Float[Tensor, "R N D"]) -> Float[Tensor, "R N W"]:
    """Returns the inputs of the last layer, with a 1 for its bias."""
    constant = bool(network_of(state.network.task).layers[-1].biases)
    return with_constant(features(state.network, x), constant)


def _solve(state: ClosedFormState, replica: Tensor | slice, output: Tensor | slice) -> None:
    """Solves for some outputs."""
    location, factor = solve(state.precision[replica, output], state.cross[replica, output])
    state.location[replica, output], state.factor[replica, output] = location, factor
