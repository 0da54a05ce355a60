"""Agents as files: what they hold, and the declaration that a new one is made from. Neither is code."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.encoding import Encoding
from vbandits.agents.rules import Thompson
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.errors import ConfigError
from vbandits.files import checksum, versions, write_text
from vbandits.forgetting import Forgetting
from vbandits.networks import MLP
from vbandits.posteriors.gaussian import GaussianFamily
from vbandits.predictive import Mixture, StudentT
from vbandits.serialize import digest, objects
from vbandits.state import Known, State, put, take
from vbandits.state.files import read, write
from vbandits.types import Data, Layer, Optimizer, Scaling, Schedule, Task

KNOWN = Known(
    declared=(AgentSpec, Encoding, GaussianFamily, Layer, ObservationSpec, Task),
    records=(Data, Forgetting, Mixture, Observation, Scaling, StudentT),
)
SCHEMA, KIND = 1, "vbandits agent"
SECTIONS = ("posterior", "rule", "network", "schedule", "optimizer", "standardize", "encoding")


@dataclass(frozen=True)
class Kept:
    """An agent as data.

    Attributes:
        about: as JSON: `agent`, its declaration; `observation`, the sizes of what it observes; `replicas`, the seeds
            that it has in lockstep; `seeds`, those of them that are its own, and not there for company; `step`, its
            decisions so far; `device`; `versions`; and whatever else is told of it.
        state: of the agent, and of its network.
    """

    about: dict[str, Any]
    state: State


def keep(agent: Agent, seeds: Sequence[int] | None = None, **about: Any) -> Kept:
    """Returns an agent as data.

    Args:
        agent: as it stands; it is not changed.
        seeds: of its replicas, those that count; by default all.
        about: what else is to be told of it.

    Raises:
        ConfigError: if an agent cannot be made again from these data.
    """
    found = {
        "schema": SCHEMA,
        "kind": KIND,
        **about,
        "agent": agent.spec.describe(),
        "observation": asdict(agent.encoding.form),
        "replicas": list(agent.task.seeds),
        "seeds": list(agent.task.seeds if seeds is None else seeds),
        "step": agent.decisions,
        "device": agent.task.device.type,
        "versions": versions(),
    }
    kept = Kept(found, take(_parts(agent), KNOWN))
    if main := [name for name in _texts(found["agent"]) if name.startswith("__main__:")]:
        raise ConfigError(
            f"agent {agent.spec.label!r}: expected classes and functions in a module of their own, which another "
            f"program can import, got {main[0]}: write it into a file"
        )
    restore(kept, agent.task.device)  # what cannot be made again is told now, when it can still be mended
    return kept


def keep_in_trial(player: Agent) -> None:
    """Raises a ValueError unless an agent can be kept."""
    try:
        keep(player)
    except ConfigError as error:
        raise ValueError(f"save: {error}") from error


def restore(kept: Kept, device: torch.device | str = "cpu") -> Agent:
    """Returns the agent that was kept, exactly as it was. Modules that its declaration names are imported.

    Raises:
        ConfigError: if the data do not describe one.
    """
    about = kept.about
    try:
        form = ObservationSpec(**about["observation"])
        seeds = tuple(int(seed) for seed in about["replicas"])
        agent = Agent(declared(about["agent"]), seeds, form, 1, device)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # also pydantic's
        raise ConfigError(f"expected the declaration of an agent, got one that makes none: {error}") from error
    put(_parts(agent), kept.state, KNOWN, device)
    return agent


def declared(content: Mapping[str, Any]) -> AgentSpec:
    """Returns the agent of a declaration, as `AgentSpec.describe` gives it.

    Raises:
        ValueError: if it is of none, or of one that has other fields now.
    """
    sections = {name: _without_code(content[name]) for name in SECTIONS}
    base = {"posterior": None, "rule": Thompson(), "network": MLP(), "schedule": Schedule(), "optimizer": Optimizer()}
    spec = AgentSpec(content["label"], **objects(sections, base))
    found = spec.describe()
    for name in SECTIONS:
        if _without_code(found[name]) != sections[name]:
            raise ValueError(f"{name}: expected {sections[name]}, got {_without_code(found[name])} of it")
        now, then = (part.get("code", {}) if isinstance(part, Mapping) else {} for part in (found[name], content[name]))
        if now != then:
            warnings.warn(
                f"{content['label']}: the code of its {name} has changed since ({', '.join(now)}): it may go on in "
                "another way than it would have",
                stacklevel=2,
            )
    return spec


def write_agent(path: Path, kept: Kept) -> None:
    """Writes PATH.safetensors and PATH.json, the one with what the agent holds, the other with what it is."""
    arrays, about = _files(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(arrays, kept.state, {})
    except OSError as error:
        raise ConfigError(f"{path}: expected a place to write an agent to, got: {error.strerror}") from None
    content = {**kept.about, "sha256": checksum(arrays)}
    write_text(about, json.dumps({**content, "digest": digest(content)}, indent=2))


def read_agent(path: Path) -> Kept:
    """Returns what was written.

    Raises:
        ConfigError: if there is none, or it is not what was written.
    """
    arrays, described = _files(path)
    about = read_about(described)
    if not arrays.exists() or checksum(arrays) != about["sha256"]:
        got = "other bytes" if arrays.exists() else "none"
        raise ConfigError(f"{arrays}: expected the file that {described.name} was written with, got {got}")
    state, _ = read(arrays)
    return Kept(about, state)


def read_about(path: Path) -> dict[str, Any]:
    """Returns the JSON of an agent.

    Raises:
        ConfigError: if there is none, or it is not what was written.
    """
    if not path.exists():
        raise ConfigError(f"{path}: expected a results folder with agents, or the file of one, got neither")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["kind"] != KIND:
            raise ValueError(f"kind {about['kind']!r}")
        if about["schema"] != SCHEMA:
            raise ConfigError(f"{path}: expected schema {SCHEMA}, got {about['schema']}: use the version that wrote it")
        if digest({name: own for name, own in about.items() if name != "digest"}) != about["digest"]:
            raise ConfigError(f"{path}: expected what was written, got something else: take a copy that is whole")
        return about
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: expected an agent as vbandits writes it, got: {error!r}") from None


def _files(path: Path) -> tuple[Path, Path]:
    """Returns the two files of an agent, given one of them, or their common name."""
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    return stem.with_name(f"{stem.name}.safetensors"), stem.with_name(f"{stem.name}.json")


def _parts(agent: Agent) -> dict[str, Any]:
    """Returns what an agent holds: itself, and what is fixed in modules of its network."""
    network = agent.task.network
    modules = {name: own for name, own in vars(network).items() if isinstance(own, nn.Module)} if network else {}
    return {"agent": agent, "network": modules}


def _without_code(part: Any) -> Any:
    plain = json.loads(json.dumps(part))  # tuples are lists
    return {name: own for name, own in plain.items() if name != "code"} if isinstance(plain, dict) else plain


def _texts(content: Any) -> list[str]:
    """Returns all texts of a description."""
    if isinstance(content, Mapping):
        return [text for part in content.values() for text in _texts(part)]
    if isinstance(content, list | tuple):
        return [text for part in content for text in _texts(part)]
    return [content] if isinstance(content, str) else []
