"""A bandit experiment: `[[environments]]` and `[[agents]]`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.rehearsal import rehearse
from vbandits.agents.rules import Uniform
from vbandits.describe import CHOICES
from vbandits.envs.spec import EnvironmentSpec, parameters
from vbandits.experiment import Experiment
from vbandits.networks import MLP
from vbandits.refused import Refused
from vbandits.registry import PRESETS, load, unknown
from vbandits.resolve import common
from vbandits.resolve.common import Count, Entry, Name, Settings, check_labels, numbered, section, validate, words
from vbandits.results import YARDSTICK
from vbandits.types import Optimizer, Schedule

SECTIONS = (*CHOICES, "schedule", "optimizer")


class EnvironmentEntry(Entry):
    """`[[environments]]` of an experiment file."""

    id: Any
    kwargs: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None


class AgentEntry(Entry):
    """`[[agents]]` of an experiment file."""

    id: str | None = None
    label: str | None = None
    posterior: dict[str, Any] | None = None
    rule: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    standardize: bool | None = None


class ExperimentFile(Entry):
    """The whole of an experiment file."""

    name: Name
    seeds: Any = 8
    steps: Count = 1000
    environments: Annotated[list[Any], Field(min_length=1)]
    agents: list[Any] = Field(default_factory=list)
    block: Count = 32
    recorded: Count = 500
    device: Literal["auto", "cpu", "cuda"] = "auto"


def resolve(
    document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
) -> Experiment:
    """Returns the bandit experiment that a document (the content of a file) and `settings` describe.

    Raises:
        Refused: with all faults of the document.
    """
    faults: list[str] = []
    file = validate(ExperimentFile, dict(document), "", faults)
    overrides = Settings(settings, faults)
    if data_dir is not None:
        faults.append("--data-dir: expected an experiment with [[datasets]], got one with [[environments]]: set the "
                      "environment variable VBANDITS_DATA instead")  # fmt: skip
    # also where the document as a whole is faulty, to tell all faults at once
    environments = [_environment(entry, i, overrides, faults) for i, entry in numbered(document, "environments")]
    agents = [_agent(entry, i, overrides, faults) for i, entry in numbered(document, "agents")]
    known_agents = [spec for spec in agents if spec is not None]
    if YARDSTICK not in [spec.label for spec in known_agents]:
        known_agents.append(_preset(YARDSTICK))
    overrides.check(faults)
    seeds = common.seeds_of(document.get("seeds", 8), faults)
    device = common.device_of(file.device, faults) if file else "cpu"
    known_environments = [spec for spec in environments if spec is not None]
    check_labels("environments", known_environments, faults)
    check_labels("agents", known_agents, faults)
    if any(spec.label == YARDSTICK and spec.posterior is not None for spec in known_agents):
        faults.append(f"agents: expected the label {YARDSTICK!r} on the uniform agent alone, the yardstick of regret")
    sizes = _try(known_environments, known_agents, faults)
    if faults or file is None:
        raise Refused(faults)
    return Experiment(file.name, seeds, file.steps, tuple(known_environments), tuple(known_agents), file.block,
                      file.recorded, device, _notes(sizes, known_agents, file.steps))  # fmt: skip


def _environment(entry: Any, index: int, settings: "Settings", faults: list[str]) -> EnvironmentSpec | None:
    where = f"environments[{index}]"
    if isinstance(entry, EnvironmentSpec):
        return entry
    if isinstance(entry, str) or callable(entry):
        entry = {"id": entry}
    parsed = validate(EnvironmentEntry, entry, where, faults)
    if parsed is None:
        return None
    if not (isinstance(parsed.id, str) or callable(parsed.id)):
        faults.append(f"{where}.id: expected an id such as 'vbandits/Wheel-v0', got {parsed.id!r}")
        return None
    kwargs = dict(parsed.kwargs)
    for name, value in settings.of("kwargs", {*kwargs, *parameters(parsed.id)}):
        kwargs[name] = value
    name = parsed.id if isinstance(parsed.id, str) else getattr(parsed.id, "__name__", type(parsed.id).__name__)
    shown = " ".join(f"{key}={value}" for key, value in kwargs.items())
    label = parsed.label or f"{name.removeprefix('vbandits/')} {shown}".strip()
    return EnvironmentSpec(label, parsed.id, kwargs)


def _agent(entry: Any, index: int, settings: "Settings", faults: list[str]) -> AgentSpec | None:
    where = f"agents[{index}]"
    if isinstance(entry, AgentSpec):
        return entry
    entry = {"id": entry} if isinstance(entry, str) else entry
    if isinstance(entry, Mapping):
        entry = {**entry, **dict(settings.of("", {"standardize"}))}
    parsed = common.entry(AgentEntry, entry, where, faults)
    if parsed is None:
        return None
    if parsed.id is None and (parsed.posterior is None or parsed.rule is None):
        faults.append(f"{where}: expected an id (one of {', '.join(sorted(PRESETS))}), or a posterior and a rule")
        return None
    where = f"{where} ({parsed.label or parsed.id})" if parsed.label or parsed.id else where
    try:
        base = _base(parsed.id) if parsed.id else AgentSpec("", None, load("vbandits.agents.rules:Thompson")())
        before = len(faults)
        parts = {name: section(name, getattr(base, name), getattr(parsed, name), settings, where, faults)
                 for name in SECTIONS}  # fmt: skip
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None
    standardize = base.standardize if parsed.standardize is None else parsed.standardize
    if len(faults) == before and parts["posterior"] is None and not isinstance(parts["rule"], Uniform):
        faults.append(
            f"{where}: expected a posterior, which the rule {type(parts['rule']).__name__} looks at, got none"
        )
    if len(faults) > before:
        return None
    label = parsed.label or base.label or f"{(parsed.posterior or {}).get('kind')} {(parsed.rule or {}).get('kind')}"
    return AgentSpec(label, standardize=standardize, **parts)


def _base(name: str) -> AgentSpec:
    """Returns a preset, or the user's own agent at "module:name"."""
    if name in PRESETS:
        return _preset(name)
    if ":" not in name:
        raise ValueError(unknown("agent", name, PRESETS))
    made = load(name)
    made = made() if callable(made) else made
    if isinstance(made, Mapping):
        faults: list[str] = []
        spec = _agent({"label": name.partition(":")[2], **made}, 0, Settings((), faults), faults)
        if spec is None:
            raise ValueError("; ".join(faults))
        return spec
    if not isinstance(made, AgentSpec):
        raise ValueError(f"expected {name!r} to be or return an AgentSpec or a dict of sections, got {made!r}")
    return made


def _preset(name: str) -> AgentSpec:
    return AgentSpec(name, **{"network": MLP(), "schedule": Schedule(), "optimizer": Optimizer()}
                     | common.preset(PRESETS[name]))  # fmt: skip


def _try(environments: list[EnvironmentSpec], agents: list[AgentSpec], faults: list[str]) -> set[tuple[int, int]]:
    """Opens every environment with one lane, makes every agent for it, and returns the sizes: features and arms."""
    sizes = set()
    for spec in environments:
        try:
            environment = spec.open(1)
            sizes.add((environment.single_observation_space.shape[0], int(environment.single_action_space.n)))
            environment.close()
        except Exception as error:
            faults.append(f"environment {spec.label!r}: {words(error)}")
    for features, arms in sorted(sizes):
        for spec in agents:
            try:
                rehearse(Agent(spec, (0,), features, arms, 1))
            except Exception as error:
                faults.append(f"agent {spec.label!r} with {features} features and {arms} arms: {words(error)}")
    return sizes


def _notes(sizes: set[tuple[int, int]], agents: list[AgentSpec], steps: int) -> tuple[str, ...]:
    """Says where agents never come to decide, because they are still pulling each arm in turn when the run ends."""
    notes = []
    for arms in sorted({arms for _, arms in sizes}):
        pulls = {spec.label: arms * spec.schedule.initial_pulls for spec in agents if spec.posterior is not None}
        late = [label for label, pulled in pulls.items() if pulled >= steps]
        if late:
            notes.append(
                f"with {arms} arms, {', '.join(late)} pull each arm in turn for all {steps} steps and never learn: "
                "raise steps or lower schedule.initial_pulls"
            )
    return tuple(notes)
