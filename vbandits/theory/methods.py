"""What other methods have to do with the limit: an explicit Wasserstein term, an ensemble, the ELBO's divergence."""

from functools import partial

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.variational import VariationalState
from vbandits.posteriors.wasserstein import WassersteinVI, distance
from vbandits.theory.bayes import posterior
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import DTYPE, Linear, ends, largest, linear_problem, sgd, slope, task, times, trained

FEATURES, RANK, MEMBERS, TEST_ROWS = 12, 4, 4000, 6
WEIGHTS = tuple(10.0 ** -np.arange(1, 4.5, 0.5))
DOUBT = 1e-3
"""The probability with which a Monte-Carlo comparison would fail by chance; its seed is fixed."""


def wasserstein() -> Finding:
    """Trains with the explicit term at falling weights, and measures how far that is from training without it."""
    from vbandits.theory.figures import rate

    problem = linear_problem()
    single = task(FEATURES, optimizer=sgd(0.1), steps=1500)
    bare = trained(IBVI(rank=RANK), single, problem.data, every_row=True)
    distances, off = [], 0.0
    for weight in WEIGHTS:
        state = trained(WassersteinVI(weight=weight, rank=RANK), single, problem.data, every_row=True)
        unit = {"0": torch.ones(FEATURES, dtype=DTYPE)}
        between = distance(state.family, state.parameters.detached, bare.parameters.detached, unit)
        distances.append(float(between.clamp(min=0).sqrt().max()))
        wanted = minimiser(problem, weight, state.start["mean/0"], state.start["factor/0"])
        off = max(off, *(largest(now - then) for now, then in zip(ends(state), wanted, strict=True)))
    measures = [
        Measure(f"distance at λ = {weight:g}", each)
        for weight, each in zip(WEIGHTS, distances, strict=True)
        if weight in (WEIGHTS[0], WEIGHTS[-1])
    ]
    measures += [
        Measure("slope of log distance against log λ, λ ≤ 0.01", slope(WEIGHTS[2:], distances[2:]), 0.97, 1.03),
        Measure("distance of the minimisers to their closed form", off, high=1e-9),
    ]
    return Finding(tuple(measures), partial(rate, WEIGHTS, distances))


def minimiser(problem: Linear, weight: float, mean: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where expected loss plus weight * W2^2 is least, from a prior N(mean, factor factor^T)."""
    curvature = problem.x.mT @ problem.x / problem.x.shape[1]
    inverse = torch.linalg.inv(curvature + weight * torch.eye(curvature.shape[1], dtype=DTYPE))
    step = times(problem.x.mT, problem.y - times(problem.x, mean)) / problem.x.shape[1]
    return mean + times(inverse, step), weight * inverse @ factor


def ensemble() -> Finding:
    """Compares the predictions of many linear networks trained from the prior with those of the trained Gaussian."""
    problem = linear_problem(replicas=1)
    single = task(FEATURES, seeds=(0,), optimizer=sgd(0.1, 0.9), steps=1500)
    members = Ensemble(members=MEMBERS)
    crowd = trained(members, single, problem.data)
    state = trained(IBVI(family="full"), single, problem.data, mean=torch.zeros(1, FEATURES, dtype=DTYPE))

    x = torch.cat([linear_problem(replicas=1, seed=7).x, problem.x[:, :1]], 1)  # the last row was trained on
    none = torch.zeros(1, TEST_ROWS, dtype=torch.long)
    values = members.predict(crowd, x, none, torch.ones(1)).values[0]  # [M, N]
    weights, factor = ends(state)
    mean, root = times(x, weights)[0], (x @ factor)[0]
    at_row = max(float(values[:, -1].std()), float(root[-1].norm()))
    unknown = slice(0, TEST_ROWS - 1)
    whitening = torch.linalg.inv(torch.linalg.cholesky((root @ root.T)[unknown, unknown]))
    white = (values - mean)[:, unknown] @ whitening.T  # standard normal if the two agree
    average, square = white.mean(0), white.T.cov()
    of_mean = float(MEMBERS * average.square().sum())
    excess = square - torch.eye(len(square), dtype=DTYPE)
    of_covariance = float(MEMBERS * (excess.tril(-1).square().sum() + excess.diagonal().square().sum() / 2))
    count = len(square)
    return Finding(
        (
            Measure(f"χ² of {count} means", of_mean, *bounds(count)),
            Measure(f"χ² of {count * (count + 1) // 2} covariances", of_covariance, *bounds(count * (count + 1) // 2)),
            Measure("standard deviation at a row trained on, both", at_row, high=1e-9),
            Measure("mean standard deviation at new rows", float(values[:, unknown].std(0).mean()), low=0.05),
        )
    )


def bounds(degrees: int) -> tuple[float, float]:
    """Returns the interval that chi-square of so many degrees of freedom leaves with probability `DOUBT`."""
    return float(chi2.ppf(DOUBT / 2, degrees)), float(chi2.ppf(1 - DOUBT / 2, degrees))


def divergence() -> Finding:
    """Trains the same families with and without the divergence to the prior, from the prior, on all rows."""
    problem, measures = linear_problem(), []
    single = task(FEATURES, optimizer=sgd(0.1), steps=4000)
    zero = torch.zeros(2, FEATURES, dtype=DTYPE)
    exact = variance(problem.x, posterior(problem, zero, FEATURES**-0.5, 1.0)[1])
    for family in ("full", "mean_field"):
        reached, beside = {}, Tensor()
        for weight in (1.0, 0.0):
            method = ELBO(family=family, kl_weight=weight, initial_spread=1.0, spread="signed")
            state = trained(method, single, problem.data, every_row=True)
            reached[weight] = variance(problem.x, covariance(state))
            beside = variance(problem.null, covariance(state))
        name = family.replace("_", "-")
        if family == "full":
            measures.append(
                Measure(
                    "with it, full: largest error of the exact posterior's variances",
                    largest(reached[1.0] - exact),
                    high=1e-9,
                )
            )
        measures += [
            Measure(f"with it, {name}: mean variance at the rows", float(reached[1.0].mean()), low=0.02),
            Measure(f"without, {name}: largest", float(reached[0.0].max()), high=1e-12),
            Measure(
                f"without, {name}: mean variance beside the span",
                float(beside.mean()),
                **{"low": 0.02} if family == "full" else {"high": 1e-12},
            ),
        ]
    return Finding(tuple(measures))


def covariance(state: VariationalState) -> Tensor:
    """Returns the covariance of a linear network's weights [R, P, P], full or mean-field."""
    leaves = state.parameters.detached
    root = leaves["factor/0"] if "factor/0" in leaves else torch.diag_embed(leaves["spread/0"])
    return root @ root.mT


def variance(x: Tensor, covariance: Tensor) -> Tensor:
    """Returns the variance of the outputs at rows [R, N, P]."""
    return (x @ covariance @ x.mT).diagonal(dim1=1, dim2=2)


CHECKS = (
    Check(
        "wasserstein",
        "Bayes and other methods",
        "With an explicit weight λ on the squared 2-Wasserstein distance to the prior, the minimiser tends to the "
        "limit of IBVI as λ.",
        "With A = XᵀX/N: m₀ + (A + λI)⁻¹Xᵀ(y − Xm₀)/N and F = λ(A + λI)⁻¹F₀Q for any rotation Q, all with the same "
        "value: the distance is the least over rotations. Gradient descent on all rows stays at Q = I, as "
        "FᵀF₀ stays symmetric and positive.",
        wasserstein,
        slow=True,
    ),
    Check(
        "ensemble",
        "Bayes and other methods",
        f"The limit's law is that of {MEMBERS:,} deterministic networks, each trained from a draw of the prior.",
        "Each member ends at X⁺y + P₀w₀. An ensemble is a sample of what IBVI describes, in linear models.",
        ensemble,
    ),
    Check(
        "divergence",
        "Bayes and other methods",
        "A divergence to the prior (ELBO) leaves variance at the rows; without it the variance there tends to 0.",
        "With the term and a full family it is the posterior of a model with noise 1. Without it a full (or low-rank) "
        "family keeps its variance beside the span, and a mean-field one keeps none anywhere: a diagonal covariance "
        "that vanishes at a row vanishes at every weight that the row touches.",
        divergence,
        slow=True,
    ),
)
