"""A supervised experiment: datasets x methods x seeds, ready to run."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vbandits.data.splits import DatasetSpec
from vbandits.experiment.benchmark import SUPERVISED, Outcome, Progress
from vbandits.serialize import CHOICES, section
from vbandits.types import Optimizer, Posterior

Temperature = float | Literal["fit"]


@dataclass(frozen=True)
class MethodSpec:
    """The declaration of a method.

    Attributes:
        label: how reports call it.
        posterior: what it learns.
        network: its architecture, built for each dataset.
        optimizer: how weights move.
        temperature: that logits are divided by; "fit" chooses it on validation rows.
    """

    label: str
    posterior: Posterior
    network: Any
    optimizer: Optimizer = field(default_factory=Optimizer)
    temperature: Temperature = 1.0

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON: every section with all its fields, the defaults too."""
        parts = {name: section(getattr(self, name), CHOICES[name]) for name in ("posterior", "network")}
        return {"label": self.label, **parts, "optimizer": asdict(self.optimizer), "temperature": self.temperature}


@dataclass(frozen=True)
class SupervisedCell:
    """One dataset, one method, a block of seeds. All seeds train on the same rows; `steps` are gradient steps."""

    dataset: DatasetSpec
    method: MethodSpec
    seeds: tuple[int, ...]
    steps: int
    batch_size: int
    device: str = "cpu"

    @property
    def names(self) -> dict[str, str]:
        """The labels of the dataset and of the method."""
        return {"dataset": self.dataset.label, "method": self.method.label}

    def content(self) -> list[Any]:
        """Returns everything that the results depend on, as JSON."""
        return [
            self.dataset.describe(),
            self.method.describe(),
            list(self.seeds),
            self.steps,
            self.batch_size,
            self.device,
        ]

    def run(self, progress: Progress = lambda step: None) -> Outcome:
        """Trains and evaluates."""
        from vbandits.benchmarks.supervised.run import run_cell

        return run_cell(self, progress)


@dataclass(frozen=True)
class SupervisedExperiment:
    """What is run, validated.

    Attributes:
        steps: of SGD.
        batch_size: rows in a minibatch.
        block: most seeds in one cell.
        device: "cpu" or "cuda".
        notes: what a person should know before it runs.
    """

    name: str
    seeds: tuple[int, ...]
    steps: int
    batch_size: int
    datasets: tuple[DatasetSpec, ...]
    methods: tuple[MethodSpec, ...]
    block: int = 32
    device: str = "cpu"
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Returns the experiment as JSON, with everything that its results depend on."""
        return {
            "kind": SUPERVISED,
            "name": self.name,
            "seeds": list(self.seeds),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "datasets": [spec.describe() for spec in self.datasets],
            "methods": [spec.describe() for spec in self.methods],
            "block": self.block,
            "device": self.device,
        }

    def cells(self) -> Iterator[SupervisedCell]:
        """Yields the cells, dataset by dataset."""
        for dataset in self.datasets:
            for method in self.methods:
                for start in range(0, len(self.seeds), self.block):
                    seeds = self.seeds[start : start + self.block]
                    yield SupervisedCell(dataset, method, seeds, self.steps, self.batch_size, self.device)
