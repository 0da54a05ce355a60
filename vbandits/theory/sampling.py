"""How expectations are computed, and the learning rates that they allow."""

from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vbandits.likelihoods import Categorical
from vbandits.networks.weights import Factored
from vbandits.posteriors.common import network_of
from vbandits.posteriors.ibvi import IBVI, IBVIState
from vbandits.streams import generator
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import DTYPE, Linear, largest, linear_problem, normal, sgd, slope, task, times, with_rates
from vbandits.types import Batch, Data, HeadedNetwork

RANKS = (1, 2, 4, 8, 16, 32, 64)
MANY = 20_000


def factored() -> Finding:
    """Evaluates an MLP at draws that are kept as factors, and at the same draws multiplied out."""
    state = IBVI(rank=5, layers="all", prior_scale=2.0).init(task(7, (50, 40), outputs=3, bias=True))
    noise = normal(generator(1, "theory"), 2, 64, state.family.noise_size)
    network, leaves = network_of(state.task), state.parameters.detached
    kept, whole = (state.family.sample(leaves, noise, factored=kept) for kept in (True, False))
    if not all(isinstance(weight, Factored) for weight in kept.values()):
        raise TypeError("expected every weight of the first sample to be kept as factors")
    x = normal(generator(2, "theory"), 2, 1, 30, 7)
    values = network.apply(kept, x)
    return Finding(
        (
            Measure("largest difference of values", largest(values - network.apply(whole, x)), high=1e-10),
            Measure("their standard deviation over draws", float(values.std(1).mean()), low=0.1),
        )
    )


def closed_form() -> Finding:
    """Compares the expected squared error with its mean over draws of the last layer, in rows of several outputs."""
    z, spread = [], []
    for family in ("low_rank", "mean_field", "low_rank_plus_diagonal", "kronecker", "full"):
        state = IBVI(family=family, rank=3, prior_scale=2.0).init(task(3, (8,), outputs=3, bias=True))
        batch = classes(state, 12)
        exact, errors = both(state, batch, MANY)
        z.append(largest((errors.mean(1) - exact) / (errors.std(1) / MANY**0.5)))
        spread.append(float((errors.std(1) / exact).min()))
    return Finding(
        (
            Measure("largest z over families and replicas", max(z), high=4),
            Measure("relative standard deviation of one draw", min(spread), low=0.1),
        )
    )


def both(state: IBVIState, batch: Batch, draws: int) -> tuple[Tensor, Tensor]:
    """Returns the loss as the suite computes it [R], and at draws of the last layer given the others [R, S]."""
    family, likelihood = state.family, state.task.likelihood
    leaves, last = state.parameters.detached, state.family.covariance.normals(state.family.stochastic[-1])
    noise = normal(generator(3, "theory"), 2, 1, family.noise_size)
    many = noise.expand(-1, draws, -1).clone()
    many[:, :, -last:] = normal(generator(4, "theory"), 2, draws, last)
    network = cast(HeadedNetwork, network_of(state.task))
    weights = family.sample(leaves, many)
    values = network.head(
        weights, network.features(weights, batch.x.unsqueeze(1)), likelihood.output_index(batch.output)
    )
    losses = likelihood.loss(values, None, batch.output, batch.y.unsqueeze(1)).mean(2)
    return family.expected_loss(leaves, batch, noise), losses


def classes(state: IBVIState, count: int) -> Batch:
    """Returns rows with outputs and targets at random."""
    random = generator(5, "theory")
    x, y = normal(random, 2, count, state.task.features), normal(random, 2, count)
    output = torch.from_numpy(random.integers(state.task.outputs, size=(2, count)))
    return next(Data.of(x, output, y).batches(count))


def cross_entropy() -> Finding:
    """Compares the bound on the expected cross-entropy with quadrature for two classes, and with draws for five."""
    measures = []
    for scale in (4.0, 1.0, 0.1):
        state = IBVI(family="mean_field", prior_scale=scale).init(
            task(3, outputs=2, bias=True, likelihood=Categorical())
        )
        batch = classes(state, 12)
        gap = bound(state, batch) - quadrature(state, batch)
        measures.append(gap)
    state = IBVI(rank=3, prior_scale=2.0).init(task(3, (8,), outputs=5, bias=True, likelihood=Categorical()))
    exact, losses = both(state, classes(state, 12), MANY)
    excess = (exact - losses.mean(1)) / (losses.std(1) / MANY**0.5)
    return Finding(
        (
            Measure("least bound less expectation over rows, two classes", float(torch.cat(measures).min()), low=0),
            Measure("mean of it at a prior scale of 4", float(measures[0].mean()), low=0.01),
            Measure("at a scale of 0.1, over its square", float(measures[2].mean() / 0.1**2), 0, 1),
            Measure(
                "five classes: least excess over the mean of draws, in standard errors", float(excess.min()), low=4
            ),
        )
    )


def bound(state: IBVIState, batch: Batch) -> Tensor:
    """Returns what the suite computes for each row by itself [R, N]."""
    noise = torch.zeros(2, 1, state.family.noise_size, dtype=DTYPE)
    rows = [Batch(*(part[:, i : i + 1] for part in batch[:4])) for i in range(batch.x.shape[1])]
    return torch.stack([state.family.expected_loss(state.parameters.detached, row, noise) for row in rows], 1)


def quadrature(state: IBVIState, batch: Batch) -> Tensor:
    """Returns E log(1 + exp(f_other - f_output)) of a linear network for each row [R, N], by Gauss-Hermite."""
    leaves, layer = state.parameters.detached, state.family.stochastic[0]
    mean, variance = state.family.covariance.head(leaves, layer, leaves["mean/0"], batch.x, None)
    sign = 1 - 2.0 * batch.output  # the other output less the row's
    center, deviation = sign * (mean[..., 1] - mean[..., 0]), variance.sum(2).sqrt()
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(100))
    values = torch.nn.functional.softplus(center.unsqueeze(2) + deviation.unsqueeze(2) * nodes)
    return (values * weights).sum(2) / weights.sum()


def ranks() -> Finding:
    """Finds the largest stable learning rate of a sampled linear model by bisection, at several ranks."""
    from vbandits.theory.figures import stability

    problem = linear_problem(20, 8, replicas=8)
    largest_rates = {divided: [edge(problem, rank, divided) for rank in RANKS] for divided in (True, False)}
    slopes = {divided: slope(RANKS, rates) for divided, rates in largest_rates.items()}
    plus = slope([1 + rank for rank in RANKS], largest_rates[False])
    tail = slope(RANKS[3:], largest_rates[False][3:])
    spread = max(largest_rates[True]) / min(largest_rates[True])
    return Finding(
        (
            Measure("slope of log largest rate against log rank, divided by it", slopes[True], -0.1, 0.1),
            Measure("largest of them over smallest", spread, high=1.5),
            Measure("slope where it is not divided, ranks 8 to 64", tail, -1.1, -0.85),
            Measure("slope there against log (1 + rank), all ranks", plus, -1.1, -0.9),
        ),
        partial(stability, RANKS, largest_rates),
    )


def edge(problem: Linear, rank: int, divided: bool) -> float:
    """Returns the largest learning rate at which most replicas come closer to the limit, to a factor of 2^(1/16)."""
    low, high = -10.0, 1.0
    while high - low > 1 / 8:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(problem, rank, divided, 2**middle) else (middle, high)
    return float(2 ** ((low + high) / 2))


def grows(problem: Linear, rank: int, divided: bool, rate: float, steps: int = 400) -> bool:
    """Says whether errors and deviations at the rows of most replicas are larger after training than before."""
    replicas, _, features = problem.x.shape
    single = task(features, sampled=True, seeds=range(replicas), optimizer=sgd(rate), steps=steps, batch=8)
    state: IBVIState = IBVI(rank=rank).init(single)
    if not divided:
        state = with_rates(state, {"factor/0": torch.full((1, 1), float(rank), dtype=DTYPE)})
    before = at_rows(problem, state)
    IBVI(rank=rank).update(state, problem.data)
    return float((~(at_rows(problem, state) < before)).double().mean()) > 0.5


def at_rows(problem: Linear, state: IBVIState) -> Tensor:
    """Returns the root of the expected squared error, summed over rows [R]."""
    leaves = state.parameters.detached
    error = times(problem.x, leaves["mean/0"]) - problem.y
    return (error.square().sum(1) + (problem.x @ leaves["factor/0"]).square().sum((1, 2))).sqrt()


CHECKS = (
    Check(
        "factored",
        "Sampling and steps",
        "Draws kept as mean and factor give the same values as draws multiplied out.",
        "x(M + Fz) = xM + (xF)z: with inputs that all draws share, the factor's columns are multiplied once.",
        factored,
    ),
    Check(
        "closed-form",
        "Sampling and steps",
        "The expectation over the last layer in closed form is the mean of samples, for the squared error and every "
        "family.",
        "E(y − f)² = (y − Ef)² + Var f, given the layers before.",
        closed_form,
        slow=True,
    ),
    Check(
        "cross-entropy",
        "Sampling and steps",
        "For the cross-entropy it is an upper bound, which becomes tight as the variance vanishes.",
        "Jensen: E log Σ exp fₖ ≤ log Σ exp(Efₖ + Var fₖ / 2). Quadrature is exact for two classes.",
        cross_entropy,
    ),
    Check(
        "ranks",
        "Sampling and steps",
        "With sampled gradients and the factor's rate divided by the rank r, the largest stable learning rate does "
        "not depend on r; without the division it falls with r.",
        "A step multiplies errors by I − 2η·xxᵀ(1 + |z|²ρ), with E|z|² = r and ρ = 1/r or 1. So it falls as "
        "1/(1 + r), which is 1/r only for large r.",
        ranks,
        slow=True,
    ),
)
