"""What all kinds of experiments check in the same way. Every function appends to `faults`, so that all are told."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from vbandits.agents.learner import Training
from vbandits.registry import find, unknown
from vbandits.serialize import CHOICES
from vbandits.types import Optimizer, Schedule

Count = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[\w][\w .-]*$")]
CLASSES = {"schedule": Schedule, "optimizer": Optimizer, "training": Training}
"""Sections that have no kind."""


class Entry(BaseModel):
    """A part of an experiment file; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid")


def entry(model: type[Entry], given: Any, where: str, faults: list[str]) -> Any:
    """Returns an entry of a list as its model; unknown keys are told here, so that the rest is looked at too."""
    if isinstance(given, Mapping):
        known = model.model_fields
        faults.extend(f"{where}: {unknown('key', str(name), known)}" for name in sorted(given.keys() - known.keys()))
        given = {name: value for name, value in given.items() if name in known}
    return validate(model, given, where, faults)


def preset(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sections of a preset as objects; one that is None stays None."""
    parts = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            fields_given = dict(value)
            cls = CLASSES.get(name) or find(name, fields_given.pop("kind"), CHOICES[name])
            value = TypeAdapter(cls).validate_python(fields_given)
        parts[name] = value
    return parts


def section(name: str, base: Any, given: Any, settings: "Settings", where: str, faults: list[str]) -> Any:
    """Returns a section of an agent: the base's, with the fields given, and those of the settings that it has."""
    given = dict(given) if given is not None else {}
    kind = given.pop("kind", None) if name in CHOICES else None
    try:
        cls = find(f"kind of {name}", kind, CHOICES[name]) if kind is not None else type(base)
    except ValueError as error:
        faults.append(f"{where}.{name}: {error}")
        return base
    if cls is type(None):
        if given:
            faults.append(f"{where}.{name}: expected a kind (one of {', '.join(CHOICES[name])}), got {given}")
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
    return validate(cls, content, f"{where}.{name}", faults)


def validate(cls: Any, value: Any, where: str, faults: list[str]) -> Any:
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
    if fault["type"] == "value_error":  # told by our own code, whole
        return f"{place}: {fault['msg'].removeprefix('Value error, ')}"
    message = fault["msg"].removeprefix("Input should be ")
    return f"{place}: {'' if message.startswith('expected') else 'expected '}{message}, got {fault['input']!r}"


def numbered(document: Mapping[str, Any], name: str) -> Iterable[tuple[int, Any]]:
    """Yields the entries of a list in a document, if it is one."""
    value = document.get(name)
    return enumerate(value if is_list(value) else [])


def seeds_of(seeds: Any, faults: list[str]) -> tuple[int, ...]:
    """Returns the seeds that a count or a list stands for."""
    plain = seeds.tolist() if hasattr(seeds, "tolist") else seeds  # NumPy's numbers and arrays
    if type(plain) is int and plain >= 1:
        return tuple(range(plain))
    plain = [seed.tolist() if hasattr(seed, "tolist") else seed for seed in (plain if is_list(plain) else ())]
    if plain and all(type(seed) is int and seed >= 0 for seed in plain):
        if len(set(plain)) < len(plain):
            faults.append(f"seeds: expected each seed once, got {plain}")
        return tuple(plain)
    faults.append(f"seeds: expected a count of at least 1, or a list of seeds of at least 0, got {seeds!r}")
    return ()


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Says whether a value is a list, or as good as one."""
    return isinstance(value, list | tuple | range)


def short(source: Any) -> str:
    """Returns what an environment is called in a label: its id without ours in front, or the name of its class."""
    name = source if isinstance(source, str) else getattr(source, "__name__", type(source).__name__)
    return name.removeprefix("vbandits/")


def folder_of(data_dir: str | Path | None) -> str | None:
    """Returns a data directory as every worker finds it, wherever it stands."""
    return None if data_dir is None else str(Path(data_dir).expanduser().resolve())


def device_of(wanted: str, faults: list[str]) -> str:
    """Returns the device that "auto", "cpu" or "cuda" stands for."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        faults.append("device: expected a CUDA device for 'cuda', got none: use --device cpu or auto")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def check_labels(what: str, specs: Iterable[Any], faults: list[str]) -> None:
    """Appends a fault for each label that stands for two."""
    labels = [spec.label for spec in specs]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        faults.append(f"{what}: expected labels that differ, got {label!r} {labels.count(label)} times: set `label`")


def words(error: Exception) -> str:
    """Returns an error as a person should see it."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


class Settings:
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
