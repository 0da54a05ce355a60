"""Classification by the exponential loss: the max-margin direction, and how fast the variance vanishes."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor

from vbandits.posteriors.ibvi import IBVI, IBVIState
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import DTYPE, on_every_row, sgd, slope, task
from vbandits.types import Data

STEP, STEPS = 0.02, 3000
"""A step moves log margins by at most `STEP`: a short step of gradient flow, whose time grows by a factor each."""
TURN = np.linalg.qr(np.array([[0.5, 1.0, -0.2], [0.3, -0.4, 1.0], [0.8, 0.1, 0.3]]))[0]
SUPPORT = np.array([[1.0, 0.8, 0.1], [1.0, -0.5, 0.9], [1.0, -0.3, -0.8]]) @ TURN
"""Support vectors that span all features; the max-margin vector is the first row of `TURN`."""
BEYOND = np.array([[2.0, 0.3, 0.4], [1.6, -0.6, 0.9]]) @ TURN
"""Rows of larger margin."""
ALONE = np.array([2.0, 0.1, 0.2]) @ TURN
"""A row of larger margin, which gets a feature of its own."""
SIGNS = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Exponential:
    """loss = exp(-y f), whose expectation over normal f is exp(-y mean + variance / 2)."""

    standardised = squared_loss = learned_noise = False
    predictive_type = object

    def targets(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns output 0 and the labels, -1 or 1."""
        return torch.zeros_like(labels, dtype=torch.long), labels

    def output_index(self, output: Tensor) -> Tensor | None:
        """Returns `output`."""
        return output

    def loss(self, values: Tensor, variance: Tensor | None, output: Tensor, y: Tensor) -> Tensor:
        """Returns exp(-y values), or its expectation."""
        exponent = -y * values
        return (exponent if variance is None else exponent + variance / 2).exp()

    def nll_scale(self, noise: Tensor) -> Tensor:
        """Returns 1."""
        return torch.ones_like(noise)

    def curvature(self, values: Tensor, output: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Raises an error: nothing here asks for it."""
        raise NotImplementedError

    def predictive(self, values: Tensor, output: Tensor, noise: Tensor) -> object:
        """Raises an error: no target follows from this loss."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flow:
    """A trained Gaussian over time.

    Attributes:
        time: sum of step sizes so far [T].
        mean: direction of the mean at the end [P].
        deviation: standard deviation of the weights in each of the directions given [T, C].
    """

    time: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def margin(x: Float[Tensor, "N P"]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the hard-margin vector w, least |w| with x_i . w >= 1 for rows times signs, and its duals [N].

    The duals are, up to scale, where |sum_i a_i x_i|^2 + (sum_i a_i - 1)^2 is least over a >= 0: the point of the
    convex hull that is closest to 0.
    """
    rows = x.numpy()
    duals = nnls(np.vstack([rows.T, np.ones(len(rows))]), np.append(np.zeros(rows.shape[1]), 1.0))[0]
    vector = duals @ rows
    least = (rows @ vector).min()
    return vector / least, duals / least


def flow(x: np.ndarray, directions: np.ndarray, optimizer: str = "sgd") -> Flow:
    """Trains IBVI with a full covariance on all rows, with steps that follow the gradient flow of the summed loss."""
    features = x.shape[1]
    single = replace(task(features, seeds=(0,), optimizer=sgd(STEP)), likelihood=Exponential())
    method = IBVI(family="full")
    state: IBVIState = on_every_row(method.init(single))
    y = torch.from_numpy(SIGNS[: len(x)]).unsqueeze(0)
    rows = torch.from_numpy(x * SIGNS[: len(x), None]).unsqueeze(0)
    data = Data.of(rows, torch.zeros(y.shape, dtype=torch.long), y)
    noise = torch.zeros(1, 1, state.family.noise_size, dtype=DTYPE)
    onto = torch.from_numpy(directions)
    time, deviations, passed = [], [], 0.0
    for _ in range(STEPS):
        loss = float(state.family.expected_loss(state.parameters.detached, next(data.batches()), noise))
        state.task = replace(single, optimizer=replace(single.optimizer, learning_rate=STEP / loss, kind=optimizer))
        method.update(state, data)
        passed += STEP / loss / len(x)  # of the sum over rows: the suite's loss is their mean
        time.append(passed)
        deviations.append(torch.linalg.vector_norm(onto @ state.parameters.detached["factor/0"][0], dim=1))
    mean = state.parameters.detached["mean/0"][0]
    return Flow(np.array(time), (mean / mean.norm()).numpy(), torch.stack(deviations).numpy())


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the cosine of the angle between two vectors."""
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def logistic() -> Finding:
    """Measures direction and rate where the support vectors span the data, and where they do not."""
    from vbandits.theory.figures import decay

    spanned = np.vstack([SUPPORT, BEYOND])
    vector, duals = margin(torch.from_numpy(spanned))
    support = duals > 1e-6
    curvature = (duals[:, None] * spanned).T @ spanned
    eigenvalues, eigenvectors = np.linalg.eigh(curvature)
    found = flow(spanned, eigenvectors.T)
    total = np.linalg.norm(found.deviation, axis=1)
    exponent = -slope(found.time[STEPS // 2 :], total[STEPS // 2 :])
    early = (found.time > 1e6) & (found.time < 1e12)
    fastest = -slope(found.time[early], found.deviation[early, 2])
    wide = np.zeros((len(spanned) + 1, 4))
    wide[:-1, :3], wide[-1] = spanned, np.append(ALONE, 1.0)
    stalled = flow(wide, np.eye(4)[3:])
    wide_vector, wide_duals = margin(torch.from_numpy(wide))
    return Finding(
        (
            Measure("support vectors that span 3 features", int(support.sum()), 3, 3),
            Measure("rows that are none", int((~support).sum()), 1),
            Measure("cosine of mean and max-margin vector", cosine(found.mean, vector), 0.999, 1 + 1e-9),
            Measure("log₁₀ of the time reached", float(np.log10(found.time[-1])), 6),
            Measure("λ_min", float(eigenvalues[0])),
            Measure("fitted exponent over λ_min", exponent / eigenvalues[0], 0.97, 1.03),
            Measure("exponent of the direction of λ_max = 1, over 2 λ_min", fastest / (2 * eigenvalues[0]), 0.95, 1.05),
            Measure("dual of the row that alone spans a feature", float(wide_duals[-1]), high=1e-6),
            Measure(
                "standard deviation in that feature, end over middle",
                float(stalled.deviation[-1, 0] / stalled.deviation[STEPS // 2, 0]),
                0.99,
                1,
            ),
            Measure("its value at the end, the prior's being 0.5", float(stalled.deviation[-1, 0]), 0.05, 0.5),
            Measure("cosine there", cosine(stalled.mean, wide_vector), 0.99, 1 + 1e-9),
        ),
        partial(decay, found, stalled, float(eigenvalues[0])),
    )


CHECKS = (
    Check(
        "logistic",
        "Classification",
        "With separable classes and the exponential loss the mean turns to the L2 max-margin vector; where the support "
        "vectors span the data, the standard deviation falls as t^−λ, λ the least eigenvalue of Σ αᵢxᵢxᵢᵀ, α the dual "
        "variables of ŵ = Σ αᵢyᵢxᵢ. A row that is no support vector and spans a direction alone leaves it a variance.",
        "The mean grows as ŵ log t, so row i has weight αᵢ/t in all gradients and dF/dt = −MF/t, M = Σ αᵢxᵢxᵢᵀ. "
        "Mŵ = ŵ, so λ is at most 1. Other eigenvalues are not the rates of their directions: what is left of the "
        "mean's approach, t^−λ, couples them to the slowest, so none falls faster than t^−2λ. A row of margin m > 1 "
        "has weight t^−m, whose integral is finite: in the direction that it alone spans, the variance stops falling, "
        "at a row that was trained on.",
        logistic,
        slow=True,
    ),
)
