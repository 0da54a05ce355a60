"""An experiment: environments x agents x seeds, ready to run."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from vbandits.agents.agent import AgentSpec
from vbandits.envs.spec import EnvironmentSpec, fingerprint
from vbandits.provenance import plain, reference, source_hash
from vbandits.registry import NETWORKS, POSTERIORS, RULES, load
from vbandits.runner import Cell

KINDS = {"posterior": POSTERIORS, "rule": RULES, "network": NETWORKS}
"""Sections of an agent that are chosen by kind."""


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


def describe(spec: AgentSpec) -> dict[str, Any]:
    """Returns an agent as JSON: every section with all its fields, the defaults too."""
    return {
        "label": spec.label,
        **{section: _section(getattr(spec, section), kinds) for section, kinds in KINDS.items()},
        "schedule": asdict(spec.schedule),
        "optimizer": asdict(spec.optimizer),
        "standardize": spec.standardize,
    }


def key(cell: Cell) -> str:
    """Returns the name of a cell's files: readable, and different wherever the results could be."""
    content = [fingerprint(cell.environment), describe(cell.agent), cell.seeds, cell.steps, cell.recorded, cell.device]
    names = (cell.environment.label, cell.agent.label, f"{cell.seeds[0]}-{cell.seeds[-1]}")
    return "--".join([*(_slug(name) for name in names), digest(content)[:10]])


def digest(content: Any) -> str:
    """Returns a hash of JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _section(value: Any, kinds: Mapping[str, str]) -> dict[str, Any] | None:
    if value is None:
        return None
    cls = type(value)
    place = f"{cls.__module__}:{cls.__qualname__}"
    registered = next((name for name, known in kinds.items() if known == place), None)
    content = (
        {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else vars(value)
    )
    described: dict[str, Any] = {"kind": registered or place}
    described |= {name: plain(entry) for name, entry in content.items()}
    # the user's own files that it comes from, so that edited code is not taken for the code that ran
    named = [load(entry) if isinstance(entry, str) else entry for entry in content.values()
             if callable(entry) or (isinstance(entry, str) and ":" in entry)]  # fmt: skip
    code = {reference(origin): found for origin in [cls, *named] if (found := source_hash(origin)) is not None}
    return described | ({"code": code} if code else {})


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in name)[:60]
