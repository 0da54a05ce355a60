"""An active-learning experiment: problems x learners x seeds, ready to run."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from vbandits.agents.learner import LearnerSpec
from vbandits.envs.active.spaces import STREAM
from vbandits.envs.spec import EnvironmentSpec, fingerprint
from vbandits.experiment.benchmark import ACTIVE, Outcome, Progress
from vbandits.serialize import CHOICES, section


@dataclass(frozen=True)
class Problem:
    """An environment of active learning, and what it says of itself.

    Attributes:
        environment: its declaration.
        family: "pool" or "stream".
        classes: K; 0 for a regression.
        rounds: steps of an episode at most: purchases from a pool, rows of a stream.
        budget: labels that can be bought; None without a limit.
        initial: labels that are known from the start.
    """

    environment: EnvironmentSpec
    family: str
    classes: int
    rounds: int
    budget: int | None
    initial: int

    @property
    def label(self) -> str:
        """How reports call it."""
        return self.environment.label

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        return dict(self._described)

    @cached_property
    def _described(self) -> dict[str, Any]:
        found = fingerprint(self.environment)  # opens the environment: once, not for every cell
        shown = {name: value for name, value in found.items() if name not in ("delay", "batch")}
        task = "classes" if self.classes else "regression"
        return {
            **shown,
            "task": task,
            "classes": self.classes,
            "family": self.family,
            "rounds": self.rounds,
            "budget": self.budget,
            "initial": self.initial,
        }


def describe(spec: LearnerSpec) -> dict[str, Any]:
    """Returns a learner as JSON: every section with all its fields, the defaults too."""
    return {
        "label": spec.label,
        "method": spec.method,
        "acquisition_label": spec.acquired,
        **{name: section(getattr(spec, name), CHOICES[name]) for name in ("posterior", "acquisition", "network")},
        "training": asdict(spec.training),
        "optimizer": asdict(spec.optimizer),
        "candidates": spec.candidates,
    }


@dataclass(frozen=True)
class ActiveCell:
    """One problem, one learner, a block of seeds.

    Attributes:
        evaluations: most times that a learner is judged on the way, beside the start.
    """

    problem: Problem
    learner: LearnerSpec
    seeds: tuple[int, ...]
    evaluations: int
    device: str = "cpu"

    @property
    def names(self) -> dict[str, str]:
        """The labels of the problem and of the learner."""
        return {"problem": self.problem.label, "learner": self.learner.label}

    @property
    def steps(self) -> int:
        """Steps of its episodes: of a stream's seeds one after another, of a pool's in lockstep."""
        return self.problem.rounds * (len(self.seeds) if self.problem.family == STREAM else 1)

    def content(self) -> list[Any]:
        """Returns everything that the results depend on, as JSON."""
        return [self.problem.describe(), describe(self.learner), list(self.seeds), self.evaluations, self.device]

    def run(self, progress: Progress = lambda step: None) -> Outcome:
        """Plays it from the first purchase to the last."""
        from vbandits.benchmarks.active.run import run_cell

        return run_cell(self, progress)


@dataclass(frozen=True)
class ActiveExperiment:
    """What is run, validated.

    Attributes:
        block: most seeds in one cell.
        evaluations: most times that a learner is judged on the way, beside the start.
        device: "cpu" or "cuda".
        notes: what a person should know before it runs.
    """

    name: str
    seeds: tuple[int, ...]
    problems: tuple[Problem, ...]
    learners: tuple[LearnerSpec, ...]
    evaluations: int = 100
    block: int = 32
    device: str = "cpu"
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Returns the experiment as JSON, with everything that its results depend on."""
        return {
            "kind": ACTIVE,
            "name": self.name,
            "seeds": list(self.seeds),
            "problems": [problem.describe() for problem in self.problems],
            "learners": [describe(spec) for spec in self.learners],
            "evaluations": self.evaluations,
            "block": self.block,
            "device": self.device,
        }

    def cells(self) -> Iterator[ActiveCell]:
        """Yields the cells, problem by problem."""
        for problem in self.problems:
            for learner in self.learners:
                for start in range(0, len(self.seeds), self.block):
                    seeds = self.seeds[start : start + self.block]
                    yield ActiveCell(problem, learner, seeds, self.evaluations, self.device)
