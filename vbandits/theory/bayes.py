"""What the limit has to do with Bayes' rule, in noise-free and in noisy linear models."""

import torch
from torch import Tensor

from vbandits.posteriors.ibvi import IBVI
from vbandits.streams import generator
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import (
    DTYPE,
    Linear,
    ends,
    largest,
    linear_problem,
    normal,
    on_every_row,
    sgd,
    start,
    task,
    times,
    trained,
    with_rates,
)

FEATURES, STEPS = 12, 3000
Gaussian = tuple[Tensor, Tensor]
"""Mean [R, P] and covariance [R, P, P]."""


def conditioned(problem: Linear, mean: Tensor, covariance: Tensor) -> Gaussian:
    """Returns the prior N(mean, covariance) given that X w = y, by Bayes' rule without noise."""
    gain = problem.kriging(covariance)
    return mean + times(gain, problem.y - times(problem.x, mean)), covariance - gain @ problem.x @ covariance


def posterior(problem: Linear, mean: Tensor, scale: float, noise: float) -> Gaussian:
    """Returns the prior N(mean, scale^2 I) given y = X w + N(0, noise), by Bayes' rule."""
    identity = torch.eye(problem.x.shape[2], dtype=DTYPE)
    covariance = torch.linalg.inv(problem.x.mT @ problem.x / noise + identity / scale**2)
    return mean + times(covariance @ problem.x.mT, problem.y - times(problem.x, mean)) / noise, covariance


def limit(problem: Linear, rates: Tensor | None = None, **prior: Tensor) -> tuple[Tensor, Gaussian]:
    """Trains IBVI with a full covariance on a linear network; returns the initial mean and where it ends.

    Args:
        problem: rows and targets.
        rates: learning-rate factors of the weights [P].
        prior: initial blocks, such as `factor`, to replace the isotropic ones.
    """
    features = problem.x.shape[2]
    state = start(IBVI(family="full").init(task(features, optimizer=sgd(0.1), steps=STEPS)), **prior)
    if rates is not None:
        state = with_rates(state, {"mean/0": rates, "factor/0": rates.unsqueeze(1)})
    initial, _ = ends(state)
    IBVI(family="full").update(state, problem.data)
    mean, factor = ends(state)
    return initial, (mean, factor @ factor.mT)


def off(first: Gaussian, second: Gaussian) -> float:
    """Returns the largest difference of means and covariances."""
    return max(largest(one - other) for one, other in zip(first, second, strict=True))


def isotropic() -> Finding:
    """Compares the limit from an isotropic prior with the prior conditioned on the data."""
    problem = linear_problem()
    mean, reached = limit(problem)
    scale = FEATURES**-0.5  # of the standard parametrisation
    bayes = conditioned(problem, mean, scale**2 * torch.eye(FEATURES, dtype=DTYPE).unsqueeze(0))
    closed = (mean + times(torch.linalg.pinv(problem.x), problem.y - times(problem.x, mean)), scale**2 * problem.null)
    return Finding(
        (
            Measure("distance to Bayes without noise", off(reached, bayes), high=1e-9),
            Measure("distance of that to N(X⁺y + P₀·mean₀, s²P₀)", off(bayes, closed), high=1e-9),
        )
    )


def anisotropic() -> Finding:
    """Compares the limit from an anisotropic prior with Bayes' rule, and their difference with its formula."""
    problem = linear_problem()
    root = normal(generator(3, "theory"), 1, FEATURES, FEATURES) / FEATURES**0.5 + torch.eye(FEATURES, dtype=DTYPE)
    prior = root @ root.mT
    mean, reached = limit(problem, factor=root)
    bayes = conditioned(problem, mean, prior)
    basis = torch.linalg.svd(problem.x).Vh.mT  # columns: of the span, then of what is beside it
    span, beside = basis[:, :, :5], basis[:, :, 5:]
    inside = span.mT @ prior @ span
    leak = beside @ (beside.mT @ prior @ span) @ torch.linalg.inv(inside)  # regression of one on the other
    step = times(torch.linalg.pinv(problem.x), problem.y - times(problem.x, mean))
    predicted = (-times(leak @ span.mT, step), leak @ inside @ leak.mT)
    difference = (reached[0] - bayes[0], reached[1] - bayes[1])
    return Finding(
        (
            Measure("difference to Bayes, less the predicted one", off(difference, predicted), high=1e-9),
            Measure("difference of the means", largest(difference[0]), low=1e-2),
            Measure(
                "least eigenvalue of the covariances' difference",
                float(torch.linalg.eigvalsh(difference[1]).min()),
                low=-1e-9,
            ),
            Measure("largest one", float(torch.linalg.eigvalsh(difference[1]).max()), low=1e-2),
        )
    )


def matched() -> Finding:
    """Gives every weight a learning rate proportional to its prior variance."""
    problem = linear_problem()
    variances = torch.from_numpy(generator(4, "theory").uniform(0.2, 1.0, FEATURES))
    prior = torch.diag(variances).unsqueeze(0)
    measures = []
    for rates in (variances, None):
        mean, reached = limit(problem, rates, factor=prior.sqrt())
        distance = off(reached, conditioned(problem, mean, prior))
        measures.append(
            Measure("distance to Bayes without noise", distance, high=1e-9)
            if rates is not None
            else Measure("with one learning rate for all weights", distance, low=1e-2)
        )
    return Finding(tuple(measures))


def augmented() -> Finding:
    """Gives every row its own noise as one more weight, and compares with the exact posterior of the others.

    Rows outnumber features here; with their noise they do not.
    """
    features, count, noise, scale = 4, 10, 0.3, (4 + 10) ** -0.5
    random = generator(5, "theory")
    plain = Linear(normal(random, 2, count, features), normal(random, 2, count))
    own = (noise**0.5 / scale) * torch.eye(count, dtype=DTYPE).expand(2, -1, -1)
    wide = Linear(torch.cat([plain.x, own], 2), plain.y)
    first = torch.cat([normal(random, 2, features), torch.zeros(2, count, dtype=DTYPE)], 1)
    single = task(features + count, optimizer=sgd(0.15), steps=6000)
    state = trained(IBVI(family="full"), single, wide.data, every_row=True, mean=first)
    mean, factor = (part[:, :features] for part in ends(state))
    exact = posterior(plain, first[:, :features], scale, noise)
    return Finding(
        (
            Measure("distance to the exact posterior", off((mean, factor @ factor.mT), exact), high=1e-10),
            Measure("largest posterior variance", largest(exact[1]), low=1e-2),
        )
    )


def perturbed() -> Finding:
    """Trains the noise-aware form with orthogonal directions, above and below as many rows as features."""
    noise, measures = 0.3, []
    for features, count in ((4, 6), (8, 5)):
        random = generator(6, "theory")
        problem = Linear(normal(random, 2, count, features), normal(random, 2, count))
        method = IBVI(family="full", noise_rank=count)
        state = on_every_row(method.init(task(features, optimizer=sgd(0.1), steps=6000)))
        state.perturbations = torch.eye(count, dtype=DTYPE).expand(2, -1, -1)
        first = state.parameters.detached["mean/0"].clone()
        method.update(state, problem.noisy(noise))
        leaves = state.parameters.detached
        columns = torch.cat([leaves["factor/0"], leaves["noise_factor/0"]], 2)
        reached = (leaves["mean/0"], columns @ columns.mT)
        exact = posterior(problem, first, features**-0.5, noise)
        measures.append(
            Measure(
                f"distance to the exact posterior, {count} rows, {features} features", off(reached, exact), high=1e-10
            )
        )
        at_rows = problem.x @ exact[1] @ problem.x.mT
        measures.append(Measure("its variance at the rows", float(at_rows.diagonal(dim1=1, dim2=2).min()), low=1e-2))
    return Finding(tuple(measures))


CHECKS = (
    Check(
        "bayes-isotropic",
        "Bayes and other methods",
        "From an isotropic prior, the limit is the Bayesian posterior of a noise-free linear model, exactly.",
        "Conditioning N(m₀, s²I) on Xw = y projects it: N(X⁺y + P₀m₀, s²P₀).",
        isotropic,
    ),
    Check(
        "bayes-anisotropic",
        "Bayes and other methods",
        "From an anisotropic prior S, with one learning rate, it is not: Bayes also learns what lies beside the span.",
        "With U the span, V what is beside it and B = VᵀSU(UᵀSU)⁻¹: the mean is off by −VBUᵀX⁺(y − Xm₀), and the "
        "covariance P₀SP₀ exceeds Bayes' by VB(UᵀSU)BᵀVᵀ. The implicit bias never claims to know more than Bayes.",
        anisotropic,
    ),
    Check(
        "bayes-rates",
        "Bayes and other methods",
        "With learning rates proportional to the prior variances, it is Bayes again.",
        "The projection in the metric D = S of 'metric' is the conditioning of N(m₀, S).",
        matched,
    ),
    Check(
        "noise-weights",
        "Bayes and other methods",
        "With a weight of its own for each observation's noise, the limit is the exact posterior of a noisy model.",
        "The model [X, σ/s·I] is overparametrised whatever the number of rows: conditioning it without noise is "
        "conditioning X with noise.",
        augmented,
        slow=True,
    ),
    Check(
        "noise-aware",
        "Bayes and other methods",
        "The noise-aware form (noise_rank = N, orthogonal directions) is the exact posterior of a noisy model.",
        "With H = XᵀX + σ²/s²·I: F ends at σ²/s²·H⁻¹F₀ and G at σH⁻¹Xᵀ, so FFᵀ + GGᵀ = σ²H⁻¹. Perturbed targets "
        "alone, without the pull to the prior, do not do it.",
        perturbed,
        slow=True,
    ),
)
