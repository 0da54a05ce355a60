"""Exact Bayesian linear regression, one model per output, conjugate normal-inverse-gamma, in float64."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from scipy.special import gammaincinv
from torch import Tensor

from vbandits.posteriors.common import with_constant
from vbandits.predictive import StudentT
from vbandits.streams import Stream
from vbandits.types import Data, Functions, Scaling, Task


@dataclass
class LinearState:
    """Sufficient statistics and the posterior they give, for every replica and output.

    Attributes:
        origin: the first row (x, y) [R, D + 1], which sums are taken from so that no digits are lost.
        moments: sums of z z^T with z = (x, 1, y) in raw units less the origin [R, K, D + 2, D + 2], so that a new
            scaling is exact.
        seen: rows in the moments.
        location: posterior mean of the weights (x, 1) [R, K, W].
        precision: Cholesky factor of the weights' precision, in units of the noise [R, K, W, W].
        shape: of the inverse gamma distribution of the noise variance [R, K].
        rate: of the same [R, K].
    """

    task: Task
    origin: Tensor
    moments: Tensor
    seen: int
    location: Tensor
    precision: Tensor
    shape: Tensor
    rate: Tensor
    normals: Stream
    uniforms: Stream


@dataclass(frozen=True)
class Linear:
    """y = w . (x, 1) + e with e ~ N(0, v), w | v ~ N(0, v / prior_precision), v ~ InverseGamma(shape, rate).

    After N rows (Gelman et al., "Bayesian Data Analysis", 3rd edition, section 14.8; Riquelme et al., 2018, section 4):
        precision = prior_precision I + X^T X,  location = precision^-1 X^T y,
        shape = shape0 + N / 2,  rate = rate0 + (y^T y - location^T precision location) / 2.

    Attributes:
        prior_precision: of the weights, relative to the noise, in standardised units.
        noise_shape: shape of the noise variance's prior; more than 1/2, so that predictions have a mean.
        noise_rate: rate of the noise variance's prior.
        intercept: whether the model has a constant.
    """

    prior_precision: Annotated[float, Field(gt=0)] = 1.0
    noise_shape: Annotated[float, Field(gt=0.5)] = 1.0
    noise_rate: Annotated[float, Field(gt=0)] = 1.0
    intercept: bool = True

    def init(self, task: Task) -> LinearState:
        """Returns the prior."""
        cells = (len(task.seeds), task.outputs)
        width = task.features + self.intercept
        double = {"dtype": torch.float64, "device": task.device}
        return LinearState(
            task,
            torch.zeros(len(task.seeds), task.features + 1, **double),
            torch.zeros(*cells, task.features + 2, task.features + 2, **double),
            0,
            torch.zeros(*cells, width, **double),
            math.sqrt(self.prior_precision) * torch.eye(width, **double).expand(*cells, width, width),
            torch.full(cells, self.noise_shape, **double),
            torch.full(cells, self.noise_rate, **double),
            Stream(task.seeds, "draws", device=task.device, dtype=torch.float64),
            Stream(task.seeds, "noise variance", device=task.device),
        )

    def update(self, state: LinearState, data: Data) -> None:
        """Adds the rows not seen yet and solves for the posterior."""
        _add(state, data)
        moments = _standardised(state, data.scaling)
        width = state.location.shape[2]
        gram, cross, square = moments[..., :width, :width], moments[..., :width, -1], moments[..., -1, -1]
        precision = gram + self.prior_precision * torch.eye(width, dtype=gram.dtype, device=gram.device)
        factor, failed = torch.linalg.cholesky_ex(precision)
        state.precision = torch.where(failed[..., None, None] > 0, float("nan"), factor)  # a replica fails for itself
        state.location = torch.cholesky_solve(cross.unsqueeze(3), state.precision).squeeze(3)
        explained = (state.location * cross).sum(2)
        state.shape = self.noise_shape + moments[..., -2, -2] / 2
        state.rate = self.noise_rate + (square - explained).clamp(min=0) / 2

    def draw(self, state: LinearState, draws: int) -> Functions:
        """Draws the noise variance, then the weights given it."""
        _, outputs, width = state.location.shape
        uniform = state.uniforms.uniform(draws, outputs)  # [R, S, K]
        shape = state.shape.unsqueeze(1).expand_as(uniform)
        gamma = torch.from_numpy(gammaincinv(shape.cpu().numpy(), uniform.cpu().numpy())).to(uniform)
        variance = state.rate.unsqueeze(1) / gamma.clamp(min=torch.finfo(gamma.dtype).tiny)
        normal = state.normals.normal(draws, outputs, width).permute(0, 2, 3, 1)  # [R, K, W, S]
        deviation = torch.linalg.solve_triangular(state.precision.mT, normal, upper=True).permute(0, 3, 1, 2)
        weights = state.location.unsqueeze(1) + variance.sqrt().unsqueeze(3) * deviation  # [R, S, K, W]
        return lambda x: torch.einsum("rnw,rskw->rsnk", self._inputs(x), weights)

    def mean(self, state: LinearState) -> Functions:
        """Returns the exact posterior mean."""
        return lambda x: torch.einsum("rnw,rkw->rnk", self._inputs(x), state.location).unsqueeze(1)

    def predict(self, state: LinearState, x: Tensor, output: Tensor, noise: Tensor) -> StudentT:
        """Returns the exact marginals, Student's t with 2 shape degrees of freedom; `noise` is not used."""
        lane = torch.arange(len(x), device=x.device).unsqueeze(1)
        inputs, location, factor = self._inputs(x), state.location[lane, output], state.precision[lane, output]
        whitened = torch.linalg.solve_triangular(factor, inputs.unsqueeze(3), upper=False).squeeze(3)
        shape, rate = state.shape[lane, output], state.rate[lane, output]
        scale = (rate / shape * (1 + whitened.square().sum(2))).sqrt()
        return StudentT(2 * shape, (inputs * location).sum(2), scale)

    def _inputs(self, x: Tensor) -> Tensor:
        return with_constant(x.double(), self.intercept)


def _add(state: LinearState, data: Data) -> None:
    x, y = data.x[:, state.seen :].double(), data.y[:, state.seen :].double()
    output = data.output[:, state.seen :]
    replicas, rows, _ = x.shape
    if state.seen == 0 and rows:
        state.origin = torch.cat([x[:, 0], y[:, :1]], 1)
    x, y = x - state.origin[:, None, :-1], y - state.origin[:, -1:]
    z = torch.cat([x, torch.ones_like(x[:, :, :1]), y.unsqueeze(2)], 2)
    for row in range(rows):  # a row at a time: the sum does not depend on how the rows were batched
        lane = torch.arange(replicas, device=x.device)
        state.moments[lane, output[:, row]] += z[:, row, :, None] * z[:, row, None, :]
    state.seen += rows


def _standardised(state: LinearState, scaling: Scaling) -> Tensor:
    """Returns the moments of ((x - shift) / scale, 1, (y - shift) / scale)."""
    moments, one = state.moments, torch.ones_like(scaling.y_scale)
    x_shift = scaling.x_shift[:, 0] - state.origin[:, :-1]
    shift = torch.cat([x_shift, 0 * one, scaling.y_shift - state.origin[:, -1:]], 1)[:, None, :]  # [R, 1, D + 2]
    scale = torch.cat([scaling.x_scale[:, 0], one, scaling.y_scale], 1)[:, None, :]
    sums = moments[..., -2]  # [R, K, D + 2]
    count = moments[..., -2, -2, None, None]
    cross = sums.unsqueeze(3) * shift.unsqueeze(2)
    centred = moments - cross - cross.mT + count * shift.unsqueeze(3) * shift.unsqueeze(2)
    return centred / (scale.unsqueeze(3) * scale.unsqueeze(2))
