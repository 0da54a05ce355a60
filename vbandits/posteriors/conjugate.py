"""Conjugate Bayesian regression, one model per output, in float64: what it is, whatever its inputs are made of."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.posteriors.regression import add_row, drawn, evaluated, solve, variance
from vbandits.predictive import StudentT
from vbandits.streams import Stream
from vbandits.types import Batch, Functions, Task

ALL = slice(None)


@dataclass
class Regression:
    """The posterior of every replica and output, and the streams that it is drawn with; W inputs.

    Attributes:
        location: posterior mean of the weights [R, K, W].
        root: of the weights' covariance root root^T, in units of the noise [R, K, W, W].
        shape: of the inverse gamma distribution of the noise variance [R, K].
        rate: of the same [R, K].
        normals: gives the weights' randomness.
        uniforms: gives that of the noise variance.
    """

    location: Tensor
    root: Tensor
    shape: Tensor
    rate: Tensor
    normals: Stream
    uniforms: Stream


@dataclass(frozen=True)
class Conjugate(ABC):
    """y = w . h + e with e ~ N(0, v), w | v ~ N(0, v / prior_precision), v ~ InverseGamma(shape0, rate0).

    After N rows (h, y), the matrix H and the vector y (Gelman et al., "Bayesian Data Analysis", 3rd edition, section
    14.8; Riquelme et al., 2018, section 4):
        precision = prior_precision I + H^T H,  location = precision^-1 H^T y,
        shape = shape0 + N / 2,  rate = rate0 + (y^T y - location^T precision location) / 2.

    Attributes:
        prior_precision: of the weights, relative to the noise, in standardised units.
        noise_shape: shape of the noise variance's prior; more than 1/2, so that predictions have a mean.
        noise_rate: rate of the noise variance's prior.
    """

    prior_precision: Annotated[float, Field(gt=0)] = 1.0
    noise_shape: Annotated[float, Field(gt=0.5)] = 1.0
    noise_rate: Annotated[float, Field(gt=0)] = 1.0

    def draw(self, state: Regression, draws: int) -> Functions:
        """Draws the noise variance, then the weights given it."""
        _, outputs, width = state.location.shape
        gamma = state.uniforms.gamma(state.shape, draws)  # [R, S, K]
        noise = state.rate.unsqueeze(1) / gamma.clamp(min=torch.finfo(gamma.dtype).tiny)
        normal, std = state.normals.normal(draws, outputs, width), noise.sqrt().unsqueeze(2)

        def call(x: Tensor) -> Tensor:
            inputs = self._inputs(state, x).unsqueeze(1)
            return evaluated(inputs, state.location) + std * drawn(inputs, state.root, normal)

        return call

    def mean(self, state: Regression) -> Functions:
        """Returns the exact posterior mean."""
        return lambda x: evaluated(self._inputs(state, x).unsqueeze(1), state.location)

    def predict(self, state: Regression, x: Tensor, output: Tensor, noise: Tensor) -> StudentT:
        """Returns the exact marginals, Student's t with 2 shape degrees of freedom; `noise` is not used."""
        replica = torch.arange(len(x), device=x.device).unsqueeze(1)
        inputs, location = self._inputs(state, x), state.location[replica, output]
        shape, rate = state.shape[replica, output], state.rate[replica, output]
        noise, spread = (rate / shape).sqrt(), variance(inputs, state.root, output)
        return StudentT(2 * shape, (inputs * location).sum(2), (noise.square() * (1 + spread)).sqrt(), noise)

    @abstractmethod
    def _inputs(self, state: Any, x: Float[Tensor, "R N D"]) -> Float[Tensor, "R N W"]:
        """Returns h, in float64."""

    def _prior(self, task: Task, width: int) -> Regression:
        """Returns the posterior before any data."""
        cells = (len(task.seeds), task.outputs)
        double = {"dtype": torch.float64, "device": task.device}
        return Regression(
            torch.zeros(*cells, width, **double),
            torch.eye(width, **double).repeat(*cells, 1, 1) / math.sqrt(self.prior_precision),
            torch.full(cells, self.noise_shape, **double),
            torch.full(cells, self.noise_rate, **double),
            Stream(task.seeds, "draws", device=task.device, dtype=task.dtype),
            Stream(task.seeds, "noise variance", device=task.device),
        )

    def _solve(
        self, state: Regression, moments: Float[Tensor, "R K M M"], block: tuple[slice, slice] = (ALL, ALL)
    ) -> None:
        """Sets the posterior of some replicas and outputs from their sums of z z^T with z = (..., 1, y).

        The inputs are the first W entries of z, so that a constant is one of them or is not.
        """
        width = state.location.shape[2]
        gram, cross, square = moments[..., :width, :width], moments[..., :width, -1], moments[..., -1, -1]
        eye = torch.eye(width, dtype=gram.dtype, device=gram.device)
        location, root = solve(gram + self.prior_precision * eye, cross)
        explained = (location * cross).sum(-1)
        state.location[block], state.root[block] = location, root
        state.shape[block] = self.noise_shape + moments[..., -2, -2] / 2
        state.rate[block] = self.noise_rate + (square - explained).clamp(min=0) / 2

    def _add(self, state: Regression, batch: Batch) -> None:
        """Adds one row of every replica."""
        output, inputs = batch.output[:, 0], self._inputs(state, batch.x)[:, 0]
        unexplained = add_row(state.location, state.root, output, inputs, batch.y[:, 0].double())
        replica = torch.arange(len(output), device=output.device)
        state.shape[replica, output] += 1 / 2
        state.rate[replica, output] += unexplained / 2
