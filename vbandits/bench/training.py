"""What uncertainty costs in training: a step of every posterior over a step of the deterministic network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from vbandits.bench.measure import Row, best, memory_of
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP, LeNet5, ResNet18
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.registry import POSTERIORS, load
from vbandits.types import Data, Likelihood, Optimizer, Posterior, Schedule, Task

TRAINED = tuple(name for name in POSTERIORS if name not in ("linear", "ibvi_limit", "neural_linear"))
"""Those whose update is training, and no regression besides."""
BOTH: dict[str, Posterior] = {"deterministic": Deterministic(), "ibvi": IBVI(rank=10)}
ROWS = 512
SHARE = "share of a product's rate"


@dataclass(frozen=True)
class Work:
    """A network and the batches that it is trained on."""

    network: Any
    features: int
    outputs: int
    likelihood: Likelihood
    batch: int
    replicas: int = 32


SMALL = {
    "2-50-50-5, one of 5 outputs, batch 64": Work(MLP((50, 50)), 2, 5, Gaussian(), 64),
    "20-256-256-1, batch 256": Work(MLP((256, 256)), 20, 1, Gaussian(), 256),
}
"""Works of which every posterior is measured."""
WORKS = {
    "20-256-256-1, batch 256": SMALL["20-256-256-1, batch 256"],
    "LeNet-5, 10 classes, batch 128": Work(LeNet5(), 784, 10, Categorical(), 128),
    "20-256-256-5, one of 5 outputs, batch 256": Work(MLP((256, 256)), 20, 5, Gaussian(), 256),
    "20-256-256-10, 10 classes, batch 256": Work(MLP((256, 256)), 20, 10, Categorical(), 256),
    "784-256-256-1, batch 256": Work(MLP((256, 256)), 784, 1, Gaussian(), 256),
}
"""Works of which IBVI of rank 10 is measured."""
LARGE = Work(ResNet18(), 3072, 10, Categorical(), 16, replicas=2)


def posteriors(console: Console, device: str = "cpu", steps: int = 6) -> list[Row]:
    """Measures and prints the time of a training step of every posterior, and returns a row for each.

    The rate of arithmetic that the deterministic network's step has is compared with that of one batched product of the
    same sizes: rows times the widest layer.
    """
    made: dict[str, Posterior] = {name: load(POSTERIORS[name])() for name in TRAINED}
    made["ensemble"] = Ensemble(members=10)
    products = {f"product {name}": _product(work, device) for name, work in SMALL.items()}
    rows = _measured(console, SMALL, made, device, steps, products)
    for name in SMALL:
        own = [row for row in rows if row["network"] == name]
        title = f"A training step of {name}, 32 replicas, {'one thread' if device == 'cpu' else device}"
        table = Table("posterior", title=title, box=box.SIMPLE)
        for head in ("step", "over deterministic"):
            table.add_column(head, justify="right")
        for row in own:
            label = "ensemble of ten" if row["posterior"] == "ensemble" else row["posterior"]
            table.add_row(label, f"{1e3 * row['seconds']:.2f} ms", f"{row['ratio']:.2f}")
        console.print(table)
        console.print(f"The deterministic step has {own[0][SHARE]:.0%} of the rate of a batched product of its sizes.")
    return rows


def training(console: Console, device: str = "cpu", steps: int = 2) -> list[Row]:
    """Measures and prints the time of a training step of IBVI with rank 10 over the deterministic one, by task."""
    rows = _measured(console, WORKS, BOTH, device, steps, {})
    table = Table(
        "network",
        "deterministic",
        "ibvi",
        "ratio",
        title="A training step, 32 replicas, IBVI of rank 10 in the first and last layers, "
        + ("one thread" if device == "cpu" else device),
    )
    for plain, ours in zip(rows[::2], rows[1::2], strict=True):
        times = (f"{1e3 * row['seconds']:.1f} ms" for row in (plain, ours))
        table.add_row(ours["network"], *times, f"{ours['ratio']:.2f}")
    console.print(table)
    return rows


def _measured(
    console: Console,
    works: dict[str, Work],
    methods: dict[str, Posterior],
    device: str,
    steps: int,
    more: dict[str, Callable[[], object]],
) -> list[Row]:
    """Returns a row for each work and method, the deterministic one first."""
    measures = {
        f"{method} {name}": _step(work, posterior, device)
        for name, work in works.items()
        for method, posterior in methods.items()
    }
    seconds = best(console, measures | more, steps, device)
    rows = []
    for name, work in works.items():
        plain, product = seconds[f"deterministic {name}"], seconds.get(f"product {name}")
        for method in methods:
            own, part = seconds[f"{method} {name}"], None
            if method == "deterministic" and product is not None:
                part = (3 * _multiplications(work) / own) / (_multiplications(work, widest=True) / product)
            named = {"network": name, "posterior": method, "replicas": work.replicas}
            rows.append({**named, "seconds": own, "ratio": own / plain, SHARE: part})
    return rows


def _widths(work: Work) -> Sequence[int]:
    return (work.features, *work.network.hidden, work.outputs)


def _multiplications(work: Work, widest: bool = False) -> float:
    """Returns the multiplications of the network's outputs for a batch of all replicas, or of its widest layer's.

    Those of gradients are twice as many.
    """
    sizes = [one * other for one, other in pairwise(_widths(work))]
    return work.replicas * work.batch * (max(sizes) if widest else sum(sizes))


def _product(work: Work, device: str) -> Callable[[], object]:
    """Returns the batched product of the inputs and the weights of the widest layer."""
    fan_in, fan_out = max(pairwise(_widths(work)), key=lambda sizes: sizes[0] * sizes[1])
    x = torch.ones(work.replicas, work.batch, fan_in, device=device)
    weight = torch.ones(work.replicas, fan_in, fan_out, device=device)
    out = torch.empty(work.replicas, work.batch, fan_out, device=device)
    return lambda: torch.bmm(x, weight, out=out)


def memory(console: Console, device: str = "cpu") -> list[Row]:
    """Measures and prints the memory that training ResNet-18 takes on this machine; returns a row for each method."""

    def train(posterior: Posterior) -> None:
        step = _step(LARGE, posterior, device)
        for _ in range(2):
            step()

    with console.status("measuring the memory of ResNet-18"):
        taken = {method: memory_of(partial(train, posterior), device) for method, posterior in BOTH.items()}
    rows = [
        {"network": "ResNet-18", "posterior": method, "memory in MB": own, "ratio": own / taken["deterministic"]}
        for method, own in taken.items()
    ]
    shown = ", ".join(f"{row['posterior']} {row['memory in MB']:,.0f} MB" for row in rows)
    console.print(f"Memory of training ResNet-18 (2 replicas, batch 16): {shown}, ratio {rows[-1]['ratio']:.2f}")
    return rows


def _step(work: Work, posterior: Posterior, device: str) -> Callable[[], None]:
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
        device=torch.device(device),
    )
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(ROWS, work.features, generator=random), torch.randn(ROWS, generator=random)
    output = torch.randint(work.outputs, (ROWS,), generator=random)
    x, output, y = (part.to(device).expand(len(seeds), *part.shape) for part in (x, output, y))
    data = Data.of(x, output, y)
    state = posterior.init(task)
    return lambda: posterior.update(state, data)
