"""What every kind of experiment offers, so that one engine, one store and one command line serve them all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from vbandits.serialize import digest, slug

Progress = Callable[[int], None]
"""Is told the step that a cell has reached."""


@dataclass
class Outcome:
    """What a cell leaves.

    Attributes:
        records: a table with a column `seed`.
        failures: seeds whose posterior diverged.
        seconds: wall time by purpose.
    """

    records: pd.DataFrame
    failures: int
    seconds: dict[str, float]


@runtime_checkable
class Cell(Protocol):
    """The unit of parallelism and of resumption: one problem, one contender, a block of seeds. It can be pickled."""

    @property
    def names(self) -> Mapping[str, str]:
        """Labels of the problem and of the contender by axis: {"environment": "wheel", "agent": "ibvi"}."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """The block of seeds, run in lockstep."""
        ...

    @property
    def steps(self) -> int:
        """Steps that it reports to `progress`."""
        ...

    @property
    def device(self) -> str:
        """Either "cpu" or "cuda"."""
        ...

    def content(self) -> Any:
        """Returns everything that its results depend on, as JSON."""
        ...

    def run(self, progress: Progress) -> Outcome:
        """Runs it from its first step to its last."""
        ...


@runtime_checkable
class Experiment(Protocol):
    """What is run, validated."""

    @property
    def name(self) -> str:
        """Names the results folder."""
        ...

    @property
    def device(self) -> str:
        """Either "cpu" or "cuda"."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before it runs."""
        ...

    def document(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that its results depend on; `kind` says which (none: bandits)."""
        ...

    def cells(self) -> Iterable[Cell]:
        """Yields the cells."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of experiment.

    Attributes:
        axes: what its problems and its contenders are called; an experiment file lists them as `[[axis + "s"]]`.
        resolve: "module:function" from a file's content to an `Experiment`.
        results: "module:class" of what is read back.
    """

    axes: tuple[str, str]
    resolve: str
    results: str

    @property
    def sections(self) -> tuple[str, str]:
        """The sections of an experiment file by which the kind is known."""
        return f"{self.axes[0]}s", f"{self.axes[1]}s"


BANDITS, SUPERVISED, ACTIVE = "bandits", "supervised", "active"
KINDS = {
    BANDITS: Kind(
        ("environment", "agent"),
        "vbandits.benchmarks.bandits.config:resolve",
        "vbandits.benchmarks.bandits.results:Results",
    ),
    SUPERVISED: Kind(
        ("dataset", "method"),
        "vbandits.benchmarks.supervised.config:resolve",
        "vbandits.benchmarks.supervised.results:SupervisedResults",
    ),
    ACTIVE: Kind(
        ("problem", "learner"),
        "vbandits.benchmarks.active.config:resolve",
        "vbandits.benchmarks.active.results:ActiveResults",
    ),
}


def place(marker: Mapping[str, Any]) -> str:
    """Returns where a cell belongs, in words: "wheel · ibvi"."""
    axes = next(kind.axes for kind in KINDS.values() if set(kind.axes) <= marker.keys())
    return " · ".join(str(marker[axis]) for axis in axes)


def key(cell: Cell) -> str:
    """Returns the name of a cell's files: readable, and different wherever the results could be."""
    names = (*cell.names.values(), f"{cell.seeds[0]}-{cell.seeds[-1]}")
    return "--".join([*(slug(name) for name in names), digest(cell.content())[:10]])
