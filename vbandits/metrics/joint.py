"""Joint predictions of several targets: what independent marginals cannot tell.

Osband, Wen, Asghari, Dwaracherla, Hao, Ibrahimi, Lawson, Lu, O'Donoghue and Van Roy, "Evaluating High-Order Predictive
Distributions in Deep Learning" (2022): decisions need the joint distribution, and with many inputs a batch of random
rows hardly tells it from the product of its marginals. In dyadic sampling all rows of a batch repeat two inputs.
"""

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

TAU, ANCHORS = 10, 2
"""Rows of a batch, and the inputs that they repeat."""


class Dyads(NamedTuple):
    """Batches of rows.

    Attributes:
        inputs: the two inputs of every batch [..., B, 2].
        rows: which of its inputs each row of a batch repeats [..., B, tau].
    """

    inputs: np.ndarray
    rows: np.ndarray

    def take(self, values: np.ndarray) -> np.ndarray:
        """Returns what belongs to each row [..., B, tau] from values of the inputs of each batch [..., B, 2]."""
        return np.take_along_axis(values, np.broadcast_to(self.rows, (*values.shape[:-1], self.rows.shape[-1])), -1)


def dyads(uniform: np.ndarray, inputs: np.ndarray | int) -> Dyads:
    """Returns batches from uniform numbers in [0, 1) [..., B, 2 + tau], and from how many inputs to choose [...]."""
    inputs = np.asarray(inputs)[..., None, None]
    anchors = np.minimum((uniform[..., :ANCHORS] * inputs).astype(int), inputs - 1)
    return Dyads(anchors, (uniform[..., ANCHORS:] * ANCHORS).astype(int))


def joint_nll(likelihood: Tensor) -> Tensor:
    """Returns -log of the mean over draws of the product of a batch's likelihoods, divided by its rows [...], in nats.

    Args:
        likelihood: log likelihood of each row under each draw [..., S, tau].
    """
    return -log_mean(likelihood.sum(-1), -1) / likelihood.shape[-1]


def marginal_nll(likelihood: Tensor) -> Tensor:
    """Returns the mean over rows of -log of the mean over draws of their likelihoods [...], arguments as above.

    It is what `joint_nll` would be if rows were independent.
    """
    return -log_mean(likelihood, -2).mean(-1)


def log_mean(logarithms: Tensor, axis: int) -> Tensor:
    """Returns the logarithm of the mean of what the logarithms are of, along an axis."""
    return logarithms.logsumexp(axis) - math.log(logarithms.shape[axis])


def gaussian_joint_nll(mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the exact value of `joint_nll` for a Gaussian process [...]: -log N(y; mean, covariance + diag(noise)).

    Args:
        mean: of the function at each row [..., tau].
        covariance: of the function's values at the rows [..., tau, tau].
        noise: variance of each row's noise [..., tau].
        y: targets [..., tau].
    """
    size = y.shape[-1]
    root = np.linalg.cholesky(covariance + noise[..., None] * np.eye(size))
    white = np.linalg.solve(root, (y - mean)[..., None])[..., 0]
    logarithm = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
    return (0.5 * np.square(white).sum(-1) + logarithm) / size + 0.5 * np.log(2 * np.pi)
