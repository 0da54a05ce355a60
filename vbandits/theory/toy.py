"""One-dimensional regression with a gap, to look at."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ibvi import IBVI
from vbandits.streams import generator
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import DTYPE, task, trained
from vbandits.types import Data, Functions, Optimizer

STEPS, DRAWS, NOISE = 6000, 400, 0.1


@dataclass(frozen=True)
class Band:
    """Mean and standard deviation of functions on a grid.

    Attributes:
        draws: some of the functions [S, N].
        gap: mean standard deviation in the gap.
        at_data: and at the data.
    """

    name: str
    caption: str
    x: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    draws: np.ndarray
    gap: float
    at_data: float


def regression() -> tuple[np.ndarray, np.ndarray]:
    """Returns 30 rows beside a gap from -0.7 to 0.7."""
    random = generator(12, "theory")
    x = np.sort(np.concatenate([random.uniform(-2, -0.7, 15), random.uniform(0.7, 2, 15)]))
    return x, np.sin(2 * x) + 0.3 * x + NOISE * random.standard_normal(30)


def gap() -> Finding:
    """Trains IBVI, its noise-aware form and the ELBO, and compares their standard deviations in and beside the gap."""
    from vbandits.theory.figures import bands

    x, y = regression()
    data = Data.of(
        torch.from_numpy(x).view(1, -1, 1),
        torch.zeros(1, 30, dtype=torch.long),
        torch.from_numpy(y).unsqueeze(0),
        NOISE**2,
    )
    optimizer = Optimizer(0.1, 0.9, clip=10.0, decay_steps=STEPS)
    single = task(1, (50, 50), bias=True, parametrization="ntp", seeds=(0,), optimizer=optimizer, steps=STEPS, batch=30)
    plain = IBVI(rank=10)
    methods = {
        "IBVI": (plain, "Trained from that prior on the expected loss alone: little variance is left at the data."),
        "IBVI, noise-aware": (
            IBVI(rank=10, noise_rank=30),
            "Trained on perturbed targets and held at the prior: some of it is left.",
        ),
        "ELBO, mean-field": (ELBO(layers="first_last"), "The same layers, with the divergence to their prior."),
    }
    prior = plain.init(single)
    found = [
        band(
            "Prior of IBVI",
            "Two hidden layers of 50, NTP, first and last layer stochastic. Bands are two standard deviations.",
            plain.draw(prior, DRAWS),
            x,
        )
    ]
    for name, (method, caption) in methods.items():
        found.append(band(name, caption, method.draw(trained(method, single, data), DRAWS), x))
    measures = [Measure(f"{each.name}: std in the gap", each.gap) for each in found]
    measures += [Measure(f"{each.name}: at the data", each.at_data) for each in found[1:]]
    measures += [
        Measure("IBVI: std in the gap over that at the data", found[1].gap / found[1].at_data, low=3),
        Measure("prior: the same", found[0].gap / found[0].at_data, 0.5, 1.5),
        Measure("IBVI: std at the data over the prior's", found[1].at_data / found[0].at_data, high=0.1),
    ]
    return Finding(tuple(measures), partial(bands, found, x, y))


def band(name: str, caption: str, functions: Functions, rows: np.ndarray) -> Band:
    """Evaluates functions on a grid."""
    grid = np.linspace(-2.5, 2.5, 201)
    where = torch.from_numpy(np.concatenate([grid, rows])).to(DTYPE).view(1, -1, 1)
    values = functions(where)[0, :, :, 0].detach().numpy()
    std = values.std(0)
    inside = np.abs(grid) < 0.35
    return Band(
        name,
        caption,
        grid,
        values[:, :201].mean(0),
        std[:201],
        values[:6, :201],
        float(std[:201][inside].mean()),
        float(std[201:].mean()),
    )


CHECKS = (
    Check(
        "gap",
        "Bayes and other methods",
        "In an MLP too, training removes variance at the data and keeps it where there are none.",
        "Not a theorem: one problem, to look at. All methods have the same network, steps and learning rate.",
        gap,
        slow=True,
    ),
)
