"""What uncertainty costs in training: a step of IBVI over a step of the deterministic network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from vbandits.bench.measure import best, memory_of
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP, LeNet5, ResNet18
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ibvi import IBVI
from vbandits.types import Data, Likelihood, Optimizer, Posterior, Schedule, Task

METHODS: dict[str, Posterior] = {"deterministic": Deterministic(), "ibvi": IBVI(rank=10)}
ROWS = 512


@dataclass(frozen=True)
class Work:
    """A network and the batches that it is trained on."""

    network: Any
    features: int
    outputs: int
    likelihood: Likelihood
    batch: int
    replicas: int = 32


WORKS = {
    "LeNet-5, 10 classes, batch 128": Work(LeNet5(), 784, 10, Categorical(), 128),
    "20-256-256-1, batch 256": Work(MLP((256, 256)), 20, 1, Gaussian(), 256),
    "20-256-256-5, one of 5 outputs, batch 256": Work(MLP((256, 256)), 20, 5, Gaussian(), 256),
    "20-256-256-10, 10 classes, batch 256": Work(MLP((256, 256)), 20, 10, Categorical(), 256),
    "784-256-256-1, batch 256": Work(MLP((256, 256)), 784, 1, Gaussian(), 256),
}
LARGE = Work(ResNet18(), 3072, 10, Categorical(), 16, replicas=2)


def training(console: Console, steps: int = 2) -> dict[str, float]:
    """Measures and prints the CPU time of a training step, and returns IBVI's over the deterministic one's by task."""
    measures = {
        f"{name}/{method}": _step(work, posterior)
        for name, work in WORKS.items()
        for method, posterior in METHODS.items()
    }
    seconds = best(console, measures, steps)
    table = Table(
        "network",
        "deterministic",
        "ibvi",
        "ratio",
        title="A training step, 32 replicas, IBVI of rank 10 in the first and last layers, one thread",
    )
    ratios = {}
    for name in WORKS:
        plain, ours = (seconds[f"{name}/{method}"] for method in METHODS)
        ratios[name] = ours / plain
        table.add_row(name, f"{1e3 * plain:.1f} ms", f"{1e3 * ours:.1f} ms", f"{ratios[name]:.2f}")
    console.print(table)
    return ratios


def memory(console: Console) -> float:
    """Measures and prints the memory that training ResNet-18 takes on this machine, and returns the ratio."""

    def train(posterior: Posterior) -> None:
        step = _step(LARGE, posterior)
        for _ in range(2):
            step()

    with console.status("measuring the memory of ResNet-18"):
        taken = {method: memory_of(partial(train, posterior)) for method, posterior in METHODS.items()}
    ratio = taken["ibvi"] / taken["deterministic"]
    shown = ", ".join(f"{method} {megabytes:,.0f} MB" for method, megabytes in taken.items())
    console.print(f"Memory of training ResNet-18 (2 replicas, batch 16): {shown}, ratio {ratio:.2f}")
    return ratio


def _step(work: Work, posterior: Posterior) -> Callable[[], None]:
    """Returns a step of training on random rows that all replicas share."""
    seeds = tuple(range(work.replicas))
    schedule = Schedule(every=1, gradient_steps=1, batch_size=work.batch)
    task = Task(
        seeds,
        work.features,
        work.outputs,
        work.network.build(work.features, work.outputs),
        likelihood=work.likelihood,
        schedule=schedule,
        optimizer=Optimizer(learning_rate=1e-3),
    )
    random = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, work.features, generator=random).expand(len(seeds), -1, -1)
    output = torch.randint(work.outputs, (ROWS,), generator=random).expand(len(seeds), -1)
    data = Data.of(x, output, torch.randn(ROWS, generator=random).expand(len(seeds), -1))
    state = posterior.init(task)
    return lambda: posterior.update(state, data)
