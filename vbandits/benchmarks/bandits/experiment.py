"""A bandit experiment: environments x agents x seeds, ready to run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vbandits.agents.agent import AgentSpec
from vbandits.benchmarks.bandits.run import Cell, describe
from vbandits.envs.spec import EnvironmentSpec, fingerprint


@dataclass(frozen=True)
class Experiment:
    """What is run, validated.

    Attributes:
        block: most seeds in one cell.
        recorded: most decisions of a run that are recorded and scored.
        device: "cpu" or "cuda".
        notes: what a person should know before it runs.
    """

    name: str
    seeds: tuple[int, ...]
    steps: int
    environments: tuple[EnvironmentSpec, ...]
    agents: tuple[AgentSpec, ...]
    block: int = 32
    recorded: int = 500
    device: str = "cpu"
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Returns the experiment as JSON, with everything that its results depend on."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "steps": self.steps,
            "environments": [fingerprint(spec) for spec in self.environments],
            "agents": [describe(spec) for spec in self.agents],
            "block": self.block,
            "recorded": self.recorded,
            "device": self.device,
        }

    def cells(self) -> Iterator[Cell]:
        """Yields the cells, environment by environment."""
        for environment in self.environments:
            for agent in self.agents:
                for start in range(0, len(self.seeds), self.block):
                    seeds = self.seeds[start : start + self.block]
                    yield Cell(environment, agent, seeds, self.steps, self.recorded, self.device)
