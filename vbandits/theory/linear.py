"""Where SGD on the expected loss ends in the overparametrised linear model, and what it takes."""

from itertools import product

import torch

from vbandits.posteriors.ibvi import IBVI, IBVIState
from vbandits.streams import generator
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import DTYPE, Linear, ends, largest, linear_problem, sgd, task, times, with_rates
from vbandits.types import Optimizer

RANK, ROWS = 4, 2
FORMS = {"closed form": False, "sampled": True}


def prepared(problem: Linear, sampled: bool, optimizer: Optimizer, steps: int) -> IBVIState:
    """Returns IBVI's state on a linear network, before any data."""
    single = task(problem.x.shape[2], sampled=sampled, optimizer=optimizer, steps=steps, batch=ROWS)
    state = IBVI(rank=RANK).init(single)
    assert state.family.closed_form_head is not sampled
    return state


def limit(momenta: tuple[float, ...] = (0.0, 0.9)) -> Finding:
    """Trains with minibatches and compares with the projection of the prior, in closed form and sampled."""
    problem = linear_problem()
    identity = torch.eye(12, dtype=DTYPE).unsqueeze(0)
    measures, moved = [], 0.0
    for (name, sampled), momentum in product(FORMS.items(), momenta):
        state = prepared(problem, sampled, sgd(0.1, momentum), 5000 if sampled else 2000)
        mean, factor = problem.projected(identity, *ends(state))
        moved = largest(factor - ends(state)[1])
        IBVI(rank=RANK).update(state, problem.data)
        reached = ends(state)
        off = max(largest(reached[0] - mean), largest(reached[1] - factor))
        measures.append(Measure(f"distance to the projection, {name}, momentum {momentum:g}", off, high=1e-9))
    return Finding((*measures, Measure("how far the factor moved", moved, low=0.01)))


def null_space() -> Finding:
    """Watches the components that the rows do not span at every step."""
    problem, measures = linear_problem(), []
    for name, sampled in FORMS.items():
        state = prepared(problem, sampled, sgd(0.1, 0.9), 1)
        before = now = ends(state)
        drift = 0.0
        for _ in range(200):
            IBVI(rank=RANK).update(state, problem.data)
            now = ends(state)
            drift = max(
                drift, largest(times(problem.null, now[0] - before[0])), largest(problem.null @ (now[1] - before[1]))
            )
        measures += [
            Measure(f"largest change outside the span in 200 steps, {name}", drift, high=1e-12),
            Measure(f"change inside it, {name}", largest(now[1] - before[1]), low=0.01),
        ]
    return Finding(tuple(measures))


def adam() -> Finding:
    """Trains with Adam until the data are met, and says how far from the projection that is."""
    problem = linear_problem()
    steps = 4000
    optimizer = Optimizer(0.02, 0.9, kind="adam", decay_steps=steps, clip=1e12)
    state = prepared(problem, False, optimizer, steps)
    mean, factor = problem.projected(torch.eye(12, dtype=DTYPE).unsqueeze(0), *ends(state))
    IBVI(rank=RANK).update(state, problem.data)
    reached = ends(state)
    return Finding(
        (
            Measure("distance of the mean", largest(reached[0] - mean), low=1e-2),
            Measure("distance of the factor", largest(reached[1] - factor), low=1e-2),
            Measure("error at the rows", largest(times(problem.x, reached[0]) - problem.y), high=1e-6),
            Measure("standard deviation at the rows", largest(problem.x @ reached[1]), high=1e-6),
        )
    )


def metric() -> Finding:
    """Gives every weight its own learning rate, and compares with the projection in that metric."""
    problem, measures = linear_problem(), []
    rates = torch.from_numpy(generator(2, "theory").uniform(0.2, 1.0, 12))
    for name, sampled in FORMS.items():
        state = prepared(problem, sampled, sgd(0.1), 10_000 if sampled else 3000)
        state = with_rates(state, {"mean/0": rates, "factor/0": rates.unsqueeze(1)})
        targets = [
            problem.projected(inner.unsqueeze(0), *ends(state))
            for inner in (torch.diag(rates), torch.eye(12, dtype=DTYPE))
        ]
        IBVI(rank=RANK).update(state, problem.data)
        own, euclidean = (
            max(map(largest, (now - wanted for now, wanted in zip(ends(state), target, strict=True))))
            for target in targets
        )
        measures += [
            Measure(f"distance to the projection in the rates' metric, {name}", own, high=1e-9),
            Measure(f"distance to the Euclidean one, {name}", euclidean, low=1e-2),
        ]
    return Finding(tuple(measures))


CHECKS = (
    Check(
        "limit",
        "Linear models",
        "Trained on the expected loss alone, the mean ends at X⁺y + P₀·mean₀ and the factor at P₀F₀, P₀ = I − X⁺X.",
        "Every gradient is a combination of rows, so mean and factor move only within their span, where the loss is "
        "least at Xm = y and XF = 0. It is the minimiser of the loss that is closest to the prior in 2-Wasserstein "
        "distance. Minibatches and one draw per step change nothing: their noise vanishes at the limit.",
        limit,
        slow=True,
    ),
    Check(
        "null-space",
        "Linear models",
        "What the data do not span never moves, at no step.",
        "More features than rows: P₀ applied to any gradient is 0.",
        null_space,
    ),
    Check(
        "adam",
        "Linear models",
        "Adam meets the data as well, and ends elsewhere.",
        "It divides each coordinate by its own gradient's size, which leaves the span of the rows.",
        adam,
    ),
    Check(
        "metric",
        "Linear models",
        "With a learning rate per weight, D, it ends at the projection in the metric of D: "
        "mean₀ + DXᵀ(XDXᵀ)⁻¹(y − X·mean₀) and (I − DXᵀ(XDXᵀ)⁻¹X)F₀.",
        "Steps lie in the span of D·rows. So the parametrisation of a network (muP, NTP) is part of its prior.",
        metric,
        slow=True,
    ),
)
