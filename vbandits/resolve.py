"""From what a user wrote to an experiment: all of it is checked before anything runs, and all faults told at once."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.rehearsal import rehearse
from vbandits.agents.rules import Uniform
from vbandits.envs.spec import EnvironmentSpec, parameters
from vbandits.experiment import KINDS, Experiment
from vbandits.networks import MLP
from vbandits.registry import PRESETS, find, load, unknown
from vbandits.results import YARDSTICK
from vbandits.types import Optimizer, Schedule

SECTIONS = (*KINDS, "schedule", "optimizer")
Count = Annotated[int, Field(ge=1, strict=True)]


class Refused(Exception):
    """Bad input, found before any work; `faults` holds one message per fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class EnvironmentEntry(BaseModel):
    """`[[environments]]` of an experiment file."""

    model_config = ConfigDict(extra="forbid")
    id: Any
    kwargs: dict[str, Any] = {}
    label: str | None = None


class AgentEntry(BaseModel):
    """`[[agents]]` of an experiment file."""

    model_config = ConfigDict(extra="forbid")
    id: str | None = None
    label: str | None = None
    posterior: dict[str, Any] | None = None
    rule: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    standardize: bool | None = None


class ExperimentFile(BaseModel):
    """The whole of an experiment file."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[\w][\w .-]*$")]
    seeds: Any = 8
    steps: Count = 1000
    environments: Annotated[list[Any], Field(min_length=1)]
    agents: list[Any] = []
    block: Count = 32
    recorded: Count = 500
    device: Literal["auto", "cpu", "cuda"] = "auto"


def read(path: Path) -> dict[str, Any]:
    """Returns the content of an experiment file.

    Raises:
        Refused: if it is missing or not TOML.
    """
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        message = unknown("experiment file", str(path), near) if near else f"no experiment file {str(path)!r}"
        raise Refused([message])
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused([f"{path}: expected TOML, got: {error}"]) from None


def resolve(document: Mapping[str, Any], settings: Iterable[str] = ()) -> Experiment:
    """Returns the experiment that a document (the content of a file) and `settings` ("section.field=value") describe.

    Raises:
        Refused: with all faults of the document.
    """
    faults: list[str] = []
    file = _validate(ExperimentFile, dict(document), "", faults)
    overrides = _Settings(settings, faults)
    # also where the document as a whole is faulty, to tell all faults at once
    environments = [_environment(entry, i, overrides, faults) for i, entry in _numbered(document, "environments")]
    agents = [_agent(entry, i, overrides, faults) for i, entry in _numbered(document, "agents")]
    known_agents = [spec for spec in agents if spec is not None]
    if YARDSTICK not in [spec.label for spec in known_agents]:
        known_agents.append(_preset(YARDSTICK))
    overrides.check(faults)
    seeds = _seeds(document.get("seeds", 8), faults)
    device = _device(file, faults) if file else "cpu"
    known_environments = [spec for spec in environments if spec is not None]
    _labels("environments", known_environments, faults)
    _labels("agents", known_agents, faults)
    sizes = _try(known_environments, known_agents, faults)
    if faults or file is None:
        raise Refused(faults)
    return Experiment(file.name, seeds, file.steps, tuple(known_environments), tuple(known_agents), file.block,
                      file.recorded, device, _notes(sizes, known_agents, file.steps))  # fmt: skip


def _environment(entry: Any, index: int, settings: "_Settings", faults: list[str]) -> EnvironmentSpec | None:
    where = f"environments[{index}]"
    if isinstance(entry, EnvironmentSpec):
        return entry
    if isinstance(entry, str) or callable(entry):
        entry = {"id": entry}
    parsed = _validate(EnvironmentEntry, entry, where, faults)
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


def _agent(entry: Any, index: int, settings: "_Settings", faults: list[str]) -> AgentSpec | None:
    where = f"agents[{index}]"
    if isinstance(entry, AgentSpec):
        return entry
    entry = {"id": entry} if isinstance(entry, str) else entry
    if isinstance(entry, Mapping):
        entry = {**entry, **dict(settings.of("", {"standardize"}))}
        for name in sorted(
            entry.keys() - AgentEntry.model_fields.keys()
        ):  # told here, so that the rest is looked at too
            faults.append(f"{where}: {unknown('key', str(name), AgentEntry.model_fields)}")
            del entry[name]
    parsed = _validate(AgentEntry, entry, where, faults)
    if parsed is None:
        return None
    if parsed.id is None and (parsed.posterior is None or parsed.rule is None):
        faults.append(f"{where}: expected an id (one of {', '.join(sorted(PRESETS))}), or a posterior and a rule")
        return None
    where = f"{where} ({parsed.label or parsed.id})" if parsed.label or parsed.id else where
    try:
        base = _base(parsed.id) if parsed.id else AgentSpec("", None, load("vbandits.agents.rules:Thompson")())
        before = len(faults)
        parts = {name: _section(name, getattr(base, name), getattr(parsed, name), settings, where, faults)
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
        spec = _agent({"label": name.partition(":")[2], **made}, 0, _Settings((), faults), faults)
        if spec is None:
            raise ValueError("; ".join(faults))
        return spec
    if not isinstance(made, AgentSpec):
        raise ValueError(f"expected {name!r} to be or return an AgentSpec or a dict of sections, got {made!r}")
    return made


def _preset(name: str) -> AgentSpec:
    parts: dict[str, Any] = {"network": MLP(), "schedule": Schedule(), "optimizer": Optimizer()}
    classes = {"schedule": Schedule, "optimizer": Optimizer}
    for section, content in PRESETS[name].items():
        content = dict(content) if isinstance(content, Mapping) else content
        if content is not None:
            cls = classes.get(section) or find(section, content.pop("kind"), KINDS[section])
            content = TypeAdapter(cls).validate_python(content)
        parts[section] = content
    return AgentSpec(name, **parts)


def _section(name: str, base: Any, given: Any, settings: "_Settings", where: str, faults: list[str]) -> Any:
    """Returns a section of an agent: the base's, with the fields given, and those of the settings that it has."""
    given = dict(given) if given is not None else {}
    kind = given.pop("kind", None) if name in KINDS else None
    try:
        cls = find(f"kind of {name}", kind, KINDS[name]) if kind is not None else type(base)
    except ValueError as error:
        faults.append(f"{where}.{name}: {error}")
        return base
    if cls is type(None):
        if given:
            faults.append(f"{where}.{name}: expected a kind (one of {', '.join(KINDS[name])}), got {given}")
        return None
    if not is_dataclass(cls):
        if given:
            faults.append(f"{where}.{name}: expected no fields, since {cls.__name__} is not a dataclass, got {given}")
        return base if kind is None else cls()
    known = [field.name for field in fields(cls) if field.init]
    given |= dict(settings.of(name, known))
    if kind is None and not given:
        return base
    for field in sorted(given.keys() - set(known)):
        faults.append(f"{where}.{name}: {unknown('field', field, known)}")
    kept = {field.name: getattr(base, field.name) for field in fields(cls)} if cls is type(base) else {}
    content = kept | {field: value for field, value in given.items() if field in known}
    return _validate(cls, content, f"{where}.{name}", faults)


def _validate(cls: Any, value: Any, where: str, faults: list[str]) -> Any:
    """Returns `value` as an instance of a model or dataclass; appends its faults and returns None if it cannot be."""
    try:
        return TypeAdapter(cls).validate_python(value)
    except PydanticUserError:  # a user's class with fields of types that pydantic does not know
        return cls(**value)
    except ValidationError as error:
        known = list(cls.model_fields) if issubclass(cls, BaseModel) else []
        seen = set()
        for fault in error.errors():
            place = [part for part in fault["loc"] if isinstance(part, int) or str(part).isidentifier()]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
            full = f"{where}.{path}".strip(".") if path else where or "experiment"
            seen.add(_told(fault, full, known))
        faults.extend(sorted(seen))
        return None


def _told(fault: Any, place: str, known: list[str]) -> str:
    if fault["type"] == "extra_forbidden":
        parent = place.rpartition(".")[0] or "experiment"
        return f"{parent}: {unknown('key', str(fault['loc'][-1]), known)}"
    if fault["type"] == "missing":
        return f"{place}: expected a value, got none"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{place}: {'' if message.startswith('expected') else 'expected '}{message}, got {fault['input']!r}"


def _numbered(document: Mapping[str, Any], name: str) -> Iterable[tuple[int, Any]]:
    value = document.get(name)
    return enumerate(value if _is_list(value) else [])


def _seeds(seeds: Any, faults: list[str]) -> tuple[int, ...]:
    """Returns the seeds that a count or a list stands for."""
    plain = seeds.tolist() if hasattr(seeds, "tolist") else seeds  # NumPy's numbers and arrays
    if type(plain) is int and plain >= 1:
        return tuple(range(plain))
    plain = [seed.tolist() if hasattr(seed, "tolist") else seed for seed in (plain if _is_list(plain) else ())]
    if plain and all(type(seed) is int and seed >= 0 for seed in plain):
        if len(set(plain)) < len(plain):
            faults.append(f"seeds: expected each seed once, got {plain}")
        return tuple(plain)
    faults.append(f"seeds: expected a count of at least 1, or a list of seeds of at least 0, got {seeds!r}")
    return ()


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple | range)


def _device(file: ExperimentFile, faults: list[str]) -> str:
    import torch

    if file.device == "cuda" and not torch.cuda.is_available():
        faults.append("device: expected a CUDA device for 'cuda', got none: use --device cpu or auto")
    return "cuda" if file.device != "cpu" and torch.cuda.is_available() else "cpu"


def _labels(what: str, specs: list[Any], faults: list[str]) -> None:
    labels = [spec.label for spec in specs]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        faults.append(f"{what}: expected labels that differ, got {label!r} {labels.count(label)} times: set `label`")
    if what == "agents" and any(spec.label == YARDSTICK and spec.posterior is not None for spec in specs):
        faults.append(f"agents: expected the label {YARDSTICK!r} on the uniform agent alone, the yardstick of regret")


def _try(environments: list[EnvironmentSpec], agents: list[AgentSpec], faults: list[str]) -> set[tuple[int, int]]:
    """Opens every environment with one lane, makes every agent for it, and returns the sizes: features and arms."""
    sizes = set()
    for spec in environments:
        try:
            environment = spec.open(1)
            sizes.add((environment.single_observation_space.shape[0], int(environment.single_action_space.n)))
            environment.close()
        except Exception as error:
            faults.append(f"environment {spec.label!r}: {_words(error)}")
    for features, arms in sorted(sizes):
        for spec in agents:
            try:
                rehearse(Agent(spec, (0,), features, arms, 1))
            except Exception as error:
                faults.append(f"agent {spec.label!r} with {features} features and {arms} arms: {_words(error)}")
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


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


class _Settings:
    """`--set section.field=value`, each of which must apply somewhere."""

    def __init__(self, texts: Iterable[str], faults: list[str]) -> None:
        self._values: dict[tuple[str, str], Any] = {}
        self._used: set[tuple[str, str]] = set()
        self._known: set[str] = set()
        for text in texts:
            path, equals, value = text.partition("=")
            if not equals or not path.strip():
                faults.append(f"--set: expected section.field=value, got {text!r}")
                continue
            section, _, field = path.strip().rpartition(".")
            self._values[section, field] = parse(value)

    def of(self, section: str, known: Iterable[str]) -> list[tuple[str, Any]]:
        """Returns the fields and values for a section that has the fields `known`."""
        known = set(known)
        self._known |= {f"{section}.{field}".lstrip(".") for field in known}
        found = [
            (field, value) for (where, field), value in self._values.items() if where == section and field in known
        ]
        self._used |= {(section, field) for field, _ in found}
        return found

    def check(self, faults: list[str]) -> None:
        """Appends a fault for each setting that no agent or environment has."""
        for section, field in self._values.keys() - self._used:
            faults.append(f"--set: {unknown('field', f'{section}.{field}'.lstrip('.'), self._known)}")


def parse(text: str) -> Any:
    """Returns what a text stands for in TOML: a number, a boolean, a list; anything else is a string."""
    text = {"True": "true", "False": "false"}.get(text.strip(), text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
