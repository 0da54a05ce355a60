"""A bandit experiment: `[[environments]]` and `[[agents]]`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.encoding import Encoding, Kind
from vbandits.agents.rehearsal import rehearse
from vbandits.agents.rules import Uniform
from vbandits.benchmarks.bandits.experiment import Experiment
from vbandits.benchmarks.bandits.results import YARDSTICK
from vbandits.envs.active.spaces import BANDIT, expect
from vbandits.envs.spaces import Form
from vbandits.envs.spec import EnvironmentSpec, parameters
from vbandits.errors import ConfigError
from vbandits.experiment import config as common
from vbandits.experiment.config import Count, Entry, Name, Settings, check_labels, numbered, section, validate, words
from vbandits.networks import MLP
from vbandits.registry import PRESETS, load, unknown
from vbandits.types import Optimizer, Schedule

FEEDBACK = {"delay": 0, "batch": 1}
"""What says when outcomes are known, and what it is where outcomes are known at once."""
SECTIONS = ("posterior", "rule", "network", "schedule", "optimizer")
Delay = Annotated[int, Field(ge=0, strict=True)]


class EnvironmentEntry(Entry):
    """`[[environments]]` of an experiment file."""

    id: Any
    kwargs: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None
    delay: Delay | None = None
    batch: Count | None = None


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
    encoding: Kind | None = None


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
    delay: Delay = 0
    batch: Count = 1


def resolve(
    document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
) -> Experiment:
    """Returns the bandit experiment that a document (the content of a file) and `settings` describe.

    Raises:
        ConfigError: with all faults of the document.
    """
    faults: list[str] = []
    file = validate(ExperimentFile, dict(document), "", faults)
    overrides = Settings(settings, faults)
    common_to_all: dict[str, Any] = {"data_dir": common.folder_of(data_dir)}
    common_to_all |= {name: getattr(file, name) for name in FEEDBACK} if file else {}
    # also where the document as a whole is faulty, to tell all faults at once
    environments = [
        _environment(entry, i, common_to_all, overrides, faults) for i, entry in numbered(document, "environments")
    ]
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
    forms, said = _try(known_environments, known_agents, faults)
    if faults or file is None:
        raise ConfigError(faults)
    return Experiment(
        file.name,
        seeds,
        file.steps,
        tuple(known_environments),
        tuple(known_agents),
        file.block,
        file.recorded,
        device,
        (*said, *_notes(forms, known_agents, file.steps)),
    )


def _environment(
    entry: Any, index: int, given: Mapping[str, Any], settings: "Settings", faults: list[str]
) -> EnvironmentSpec | None:
    """Returns an environment; delay, batch and data directory are those `given` where it has none of its own."""
    where = f"environments[{index}]"
    if isinstance(entry, EnvironmentSpec):
        return replace(entry, **{name: value for name, value in given.items() if getattr(entry, name) is None})
    if isinstance(entry, str) or callable(entry):
        entry = {"id": entry}
    if isinstance(entry, Mapping):
        entry = {**entry, **dict(settings.of("", FEEDBACK))}
    parsed = validate(EnvironmentEntry, entry, where, faults)
    if parsed is None:
        return None
    if not (isinstance(parsed.id, str) or callable(parsed.id)):
        faults.append(f"{where}.id: expected an id such as 'vbandits/Wheel-v0', got {parsed.id!r}")
        return None
    kwargs = dict(parsed.kwargs)
    for name, value in settings.of("kwargs", {*kwargs, *parameters(parsed.id)}):
        kwargs[name] = value
    feedback = {key: own if (own := getattr(parsed, key)) is not None else given.get(key) for key in FEEDBACK}
    told = {key: value for key, value in feedback.items() if value not in (None, FEEDBACK[key])}
    shown = " ".join(f"{key}={value}" for key, value in (kwargs | told).items())
    label = parsed.label or f"{common.short(parsed.id)} {shown}".strip()
    return EnvironmentSpec(label, parsed.id, kwargs, **{**given, **feedback})


def _agent(entry: Any, index: int, settings: "Settings", faults: list[str]) -> AgentSpec | None:
    where = f"agents[{index}]"
    if isinstance(entry, AgentSpec):
        return entry
    entry = {"id": entry} if isinstance(entry, str) else entry
    if isinstance(entry, Mapping):
        entry = {**entry, **dict(settings.of("", {"standardize", "encoding"}))}
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
        parts = {
            name: section(name, getattr(base, name), getattr(parsed, name), settings, where, faults)
            for name in SECTIONS
        }
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None
    standardize = base.standardize if parsed.standardize is None else parsed.standardize
    encoding = parsed.encoding or base.encoding
    if len(faults) == before and parts["posterior"] is None and not isinstance(parts["rule"], Uniform):
        faults.append(
            f"{where}: expected a posterior, which the rule {type(parts['rule']).__name__} looks at, got none"
        )
    if len(faults) > before:
        return None
    label = parsed.label or base.label or f"{(parsed.posterior or {}).get('kind')} {(parsed.rule or {}).get('kind')}"
    return AgentSpec(label, standardize=standardize, encoding=encoding, **parts)


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
    return AgentSpec(
        name, **{"network": MLP(), "schedule": Schedule(), "optimizer": Optimizer()} | common.preset(PRESETS[name])
    )


def _try(
    environments: list[EnvironmentSpec], agents: list[AgentSpec], faults: list[str]
) -> tuple[list[tuple[EnvironmentSpec, Form]], list[str]]:
    """Opens every environment with one lane, and makes every agent for each form of observations.

    Returns the environments with their forms, and what they say of themselves.
    """
    forms, said = [], []
    for spec in environments:
        try:
            environment = spec.open(1)
            expect(environment, BANDIT)
            forms.append((spec, Form.of(environment)))
            said += [f"{spec.label}: {note}" for note in getattr(environment, "notes", ())]
            environment.close()
        except Exception as error:
            faults.append(f"environment {spec.label!r}: {words(error)}")
    for form in dict.fromkeys(form for _, form in forms):
        for spec in agents:
            try:
                rehearse(Agent(spec, (0,), form, 1))
            except Exception as error:
                faults.append(f"agent {spec.label!r} with {form}: {words(error)}")
    return forms, said


def _notes(forms: list[tuple[EnvironmentSpec, Form]], agents: list[AgentSpec], steps: int) -> list[str]:
    """Says where agents never come to decide, because the run ends before they have learned from anything."""
    notes: dict[str, list[str]] = {}
    for spec, form in forms:
        for agent in agents:
            if agent.posterior is None:
                continue
            encoding = Encoding(form, agent.encoding)
            pulls = agent.schedule.initial_pulls * encoding.tried
            if pulls >= steps:
                pulled = "each arm in turn" if encoding.known_by_place else "any arm"
                reason = f"with {form.arms} arms, they pull {pulled} for all {steps} steps"
                mend = "raise steps or lower schedule.initial_pulls"
            elif spec.known(steps - 1) < (pulls or agent.schedule.every):
                late = f"a delay of {spec.delay or 0} and batches of {spec.batch or 1}"
                reason = f"with {late}, too few outcomes come in {steps} steps"
                mend = "raise steps or lower delay and batch"
            else:
                continue
            notes.setdefault(f"{reason}, and they never learn: {mend}", []).append(agent.label)
    return [f"{', '.join(dict.fromkeys(labels))}: {note}" for note, labels in notes.items()]
