"""The limit of noise-aware implicit-bias VI: the exact posterior of the last layer, on features that SGD learns."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import as_matrix, initial, prior_std
from vbandits.posteriors.common import network_of
from vbandits.posteriors.last_layer import HeldFeatures, condition_on, learn
from vbandits.posteriors.regression import add_row, drawn, evaluated, outer_sums, solve, variance
from vbandits.predictive import Mixture
from vbandits.streams import Stream
from vbandits.types import Batch, Data, Functions, Task

LEAST_NOISE = 1e-3
"""Of the variance of standardised targets."""


@dataclass
class IBVILimitState:
    """The network, and for every replica and output the regression of its targets on the features, in float64.

    The last layer's weights are start + scale * u with u ~ N(0, I) before any data; W is their number per output.

    Attributes:
        held: the network, and the features of the rows in the regression.
        start: the prior's mean [R, K, W].
        scale: its standard deviation [R, K, W].
        noise: variance of the targets' noise [R], of the regression as it stands.
        estimated: the same, for the next regression.
        location: mean of u [R, K, W].
        root: of the covariance of u, noise * root root^T [R, K, W, W].
        draws: stream of draws.
    """

    held: HeldFeatures
    start: Tensor
    scale: Tensor
    noise: Tensor
    estimated: Tensor
    location: Tensor
    root: Tensor
    draws: Stream


@dataclass(frozen=True)
class IBVILimit:
    """The last layer where noise-aware IBVI converges to from a full-rank prior N(start, scale^2), given its features.

        mean = start + scale P^-1 H^T (y - h start),   covariance = sigma^2 scale P^-1 scale,   P = H^T H + sigma^2 I,

    with h = (features, 1), and rows scale * h of H: the exact Bayesian posterior, as the noise-aware form of `IBVI` has
    it without end of training and without sampling. The features are the deterministic network's, trained at each
    update; noise-aware IBVI holds them at their start as it does the last layer, which is `anchor` of the optimiser.

    In units of functions the prior is what it says of functions, whatever the network's width and parametrisation: zero
    on average, with the standard deviation `prior_scale` for the features' part at a row of average length, and the
    same for the constant. In units of weights it is the prior of the network's parametrisation around its initial
    weights. Both are in units of the targets' scale, which few rows tell badly (a reward of 50 may not have been seen
    yet): in units of functions the prior of an output with N rows is wider by 1 + doubt / N.

    The noise variance is one for all outputs, held from one regression to the next: with N rows, the residuals' sum of
    squares RSS, and gamma = tr(P^-1 H^T H) parameters that are determined by the data (MacKay,
    "Bayesian interpolation", 1992), summed over outputs,
        sigma^2 = (2 noise_rate + RSS) / (2 noise_shape + N - gamma),
    one over the posterior mean of the precision under a gamma prior, but for the rows that gamma takes.

    Attributes:
        prior_scale: standard deviation of the prior, in the units below.
        units: "function" or "weights".
        noise: "own", as above, or "shared": the one estimated for all posteriors from their predictions. Predictions
            have the latter in both cases: residuals of rows that features were fitted to are too small.
        noise_shape: of the noise's prior, which counts as twice as many rows.
        noise_rate: of the noise's prior; over noise_shape, it is the variance before any data.
        doubt: how many rows of an output it takes until its prior is only twice as wide as in the end; 0 for none.
    """

    prior_scale: Annotated[float, Field(gt=0)] = 2.0
    units: Literal["function", "weights"] = "function"
    noise: Literal["own", "shared"] = "own"
    noise_shape: Annotated[float, Field(gt=0)] = 10.0
    noise_rate: Annotated[float, Field(gt=0)] = 1.0
    doubt: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.doubt and self.units == "weights":
            raise ValueError(f"expected doubt = 0 for a prior in units of weights, got {self.doubt}")

    def init(self, task: Task) -> IBVILimitState:
        """Starts at the prior.

        Raises:
            ValueError: for classes, or a network whose output is not that of a linear layer.
        """
        held = HeldFeatures.of(task)
        prior = torch.eye(held.width, dtype=torch.float64, device=task.device)
        prior = prior.repeat(len(task.seeds), task.outputs, 1, 1)
        zero, noise = torch.zeros_like(prior[..., 0]), prior.new_full((len(task.seeds),), self._noise_before)
        draws = Stream(task.seeds, "draws", device=task.device, dtype=task.dtype)
        state = IBVILimitState(held, zero, zero.clone(), noise, noise, zero.clone(), prior / noise[0].sqrt(), draws)
        if self.units == "weights":
            layer = network_of(task).layers[-1]
            mean = initial(network_of(task), task, "weights")[layer.name].double()
            std = prior_std(network_of(task), task)[layer.name].double().view(1, 1, -1)
            state.start = as_matrix(layer, mean.unsqueeze(1))[:, 0].mT
            state.scale = self.prior_scale * as_matrix(layer, std)[:, 0].mT.expand_as(state.start)
        else:
            self._scale(state, torch.full_like(noise, held.width - held.constant))
        return state

    def update(self, state: IBVILimitState, data: Data) -> None:
        """Trains the features, and brings the regression up to date."""
        own = replace(data, noise=state.estimated.to(data.noise)) if self.noise == "own" else data
        learn(state.held, data, partial(self._sum, state), partial(self._add, state), own)

    def condition_on(self, state: IBVILimitState, data: Data) -> None:
        """Learns from the rows that are new since the last call, with the features as they are."""
        condition_on(state.held, data, partial(self._add, state))

    def draw(self, state: IBVILimitState, draws: int) -> Functions:
        """Returns the features with fresh draws of the last layer."""
        _, outputs, width = state.location.shape
        normal, mean = state.draws.normal(draws, outputs, width), self.mean(state)

        def call(x: Tensor) -> Tensor:
            deviation = drawn(_scaled(state, x), state.root, normal)
            return mean(x) + state.noise.sqrt()[:, None, None, None] * deviation

        return call

    def mean(self, state: IBVILimitState) -> Functions:
        """Returns the exact posterior mean given the features."""

        def call(x: Tensor) -> Tensor:
            values = evaluated(_scaled(state, x), state.location)
            if self.units == "weights":
                values = values + evaluated(state.held.inputs(x).unsqueeze(1), state.start)
            return values

        return call

    def predict(self, state: IBVILimitState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns the exact marginals given the features, normal distributions."""
        inputs, offset = self._regression(state, x, output)
        replica = torch.arange(len(x), device=x.device).unsqueeze(1)
        mean = (inputs * state.location[replica, output]).sum(2) + offset
        spread = state.noise.unsqueeze(1) * variance(inputs, state.root, output)
        return Mixture(mean.unsqueeze(1), spread + noise.double().unsqueeze(1), spread)

    def embed(self, state: IBVILimitState, x: Tensor) -> Tensor:
        """Returns the features that the regression has."""
        return state.held.features(x)

    @property
    def _noise_before(self) -> float:
        return self.noise_rate / self.noise_shape if self.noise == "own" else 1.0

    def _scale(self, state: IBVILimitState, squared_length: Float[Tensor, " R"]) -> None:
        """Sets the prior's scale in units of functions, from the mean of the features' squared lengths."""
        state.scale = (self.prior_scale * squared_length.rsqrt())[:, None, None].expand_as(state.scale).clone()
        if state.held.constant:
            state.scale[..., -1] = self.prior_scale

    def _sum(self, state: IBVILimitState, data: Data) -> None:
        """Solves for the regression on all rows, and estimates the noise."""
        state.noise = state.estimated if self.noise == "own" else data.noise.double()
        outputs, width = state.location.shape[1:]
        sums = state.location.new_zeros(len(state.location), outputs, width + 1, width + 1)  # of (h, y - h start)
        counts = state.location.new_zeros(len(state.location), outputs)
        for batch in data.batches():
            weight = torch.ones_like(batch.y[0]) if batch.weight is None else batch.weight
            counts += (torch.nn.functional.one_hot(batch.output, outputs) * weight.unsqueeze(1)).sum(1)
            inputs = state.held.inputs(batch.x)
            target = batch.y.double() - self._offset(state, inputs, batch.output)
            sums += outer_sums(torch.cat([inputs, target.unsqueeze(2)], 2), batch, outputs)
        gram, cross, square = sums[..., :-1, :-1], sums[..., :-1, -1], sums[..., -1, -1]
        if self.units == "function" and data.count:
            trace = gram.diagonal(dim1=2, dim2=3)[..., : width - state.held.constant]
            self._scale(state, (trace.sum((1, 2)) / data.count).clamp(min=1e-12))
            state.scale *= (1 + self.doubt / counts.clamp(min=1)).unsqueeze(2)
        gram, cross = state.scale.unsqueeze(3) * gram * state.scale.unsqueeze(2), state.scale * cross
        eye = torch.eye(width, dtype=gram.dtype, device=gram.device)
        state.location, state.root = solve(gram + state.noise[:, None, None, None] * eye, cross)
        explained = (state.location * cross).sum(2) + state.noise.unsqueeze(1) * state.location.square().sum(2)
        residual = (square - explained).clamp(min=0).sum(1)
        determined = outputs * width - state.noise * state.root.square().sum((1, 2, 3))
        left = 2 * self.noise_shape + (data.count - determined).clamp(min=0)
        state.estimated = ((2 * self.noise_rate + residual) / left).clamp(min=LEAST_NOISE)

    def _add(self, state: IBVILimitState, batch: Batch) -> None:
        """Adds one row of every replica."""
        inputs, offset = self._regression(state, batch.x, batch.output)
        target = batch.y.double() - offset
        add_row(state.location, state.root, batch.output[:, 0], inputs[:, 0], target[:, 0])

    def _regression(
        self, state: IBVILimitState, x: Float[Tensor, "R N D"], output: Int64[Tensor, "R N"]
    ) -> tuple[Float[Tensor, "R N W"], Float[Tensor, "R N"]]:
        """Returns the inputs of the regression of each row's output, and the prior's mean there."""
        inputs = state.held.inputs(x)
        replica = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
        return inputs * state.scale[replica, output], self._offset(state, inputs, output)

    def _offset(
        self, state: IBVILimitState, inputs: Float[Tensor, "R N W"], output: Int64[Tensor, "R N"]
    ) -> Float[Tensor, "R N"]:
        """Returns the prior's mean at features, of each row's output."""
        if self.units == "function":
            return torch.zeros_like(inputs[:, :, 0])
        replica = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
        return (inputs * state.start[replica, output]).sum(2)


def _scaled(state: IBVILimitState, x: Float[Tensor, "R N D"]) -> Float[Tensor, "R K N W"]:
    """Returns the inputs of every output's regression."""
    return state.held.inputs(x).unsqueeze(1) * state.scale.unsqueeze(2)
