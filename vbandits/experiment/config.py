"""From what a user wrote to an experiment: what every benchmark checks in the same way, all errors told at once."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from vbandits.errors import ConfigError, expanded
from vbandits.experiment.benchmark import Benchmark, Experiment
from vbandits.registry import find, unknown
from vbandits.serialize import CHOICES, objects

MOST_SEEDS = 100_000
"""In a run that are counted: more is a seed that was meant, not a count."""
Count = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[\w][\w .-]*$")]


class Entry(BaseModel):
    """A part of an experiment file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class ExperimentFile(Entry):
    """The whole of an experiment file, but for the sections and options of its benchmark."""

    name: Name
    seeds: Any = 8
    block: Count = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Config:
    """From the content of a file to an experiment. A benchmark has a subclass that says what differs.

    Attributes:
        benchmark: whose experiment it is.
        file: the model of the whole file.
        options: fields of the file that results depend on, beside its sections, in the order that keys of jobs have.
        apart: fields of a method that no preset sets.
        errors: what is wrong with the document, in words.
        settings: fields that are changed wherever they are.
        data_dir: where files of datasets lie, as every worker finds it; None if nothing is said.
        parsed: the file, or None if it is faulty as a whole.
    """

    benchmark: ClassVar[Benchmark]
    file: ClassVar[type[ExperimentFile]]
    options: ClassVar[tuple[str, ...]] = ()
    apart: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
    ) -> None:
        self.errors: list[str] = []
        self.document = document
        self.settings = Settings(settings, self.errors)
        self.data_dir = None if data_dir is None else str(expanded(data_dir).resolve())
        self.parsed: Any = validate(self.file, dict(document), "", self.errors)

    def experiment(self) -> Experiment:
        """Returns the experiment.

        Raises:
            ConfigError: with all errors of the document.
        """
        sections = self.benchmark.sections
        # also where the document as a whole is faulty, to tell all errors at once
        problems = self._read(sections[0], self.problems)
        methods = self._read(sections[1], self.methods)
        methods += self.default_methods(methods)
        self.settings.check(self.errors)
        seeds = seeds_of(self.document.get("seeds", self.file.model_fields["seeds"].default), self.errors)
        device = device_of(self.parsed.device, self.errors) if self.parsed else "cpu"
        for section, specs in zip(sections, (problems, methods), strict=True):
            check_labels(section, specs, self.errors)
        problems, notes = self.check(problems, methods)
        if self.errors or self.parsed is None:
            raise ConfigError(*self.errors)
        options = {name: getattr(self.parsed, name) for name in self.options}
        return Experiment(
            self.benchmark,
            self.parsed.name,
            seeds,
            tuple(problems),
            tuple(methods),
            options,
            self.parsed.block,
            device,
            tuple(notes),
        )

    def _read(self, section: str, read: Callable[[Any, str], Iterable[Any]]) -> list[Any]:
        value = self.document.get(section)
        entries = value if is_list(value) else []
        return [spec for index, entry in enumerate(entries) for spec in read(entry, f"{section}[{index}]")]

    def problems(self, entry: Any, where: str) -> Iterable[Any]:
        """Returns the problems that an entry of their section stands for; none if it is faulty."""
        raise NotImplementedError

    def methods(self, entry: Any, where: str) -> Iterable[Any]:
        """Returns the methods that an entry of their section stands for; none if it is faulty."""
        raise NotImplementedError

    def default_methods(self, methods: Sequence[Any]) -> list[Any]:
        """Returns methods that run whether a file names them or not."""
        return []

    def check(self, problems: list[Any], methods: list[Any]) -> tuple[list[Any], list[str]]:
        """Opens every problem and tries every method on it. Returns the problems as they are run, and notes."""
        raise NotImplementedError

    @classmethod
    def filter_entries(cls, section: str, entries: list[Any], names: list[str]) -> list[Any]:
        """Returns the entries of a section with a label or id among names; a name that is in none stands for itself.

        Raises:
            ConfigError: for a name that can be nothing.
        """
        kept = []
        for name in names:
            found = [e for e in entries if isinstance(e, Mapping) and name in (e.get("label"), e.get("id"))]
            kept += [entry for entry in found or [{"id": name}] if entry not in kept]
        return kept

    def entry(self, model: type[Entry], given: Any, where: str, settable: Iterable[str] = ()) -> Any:
        """Returns an entry of a list as its model; a text is its id, as is what no file holds. None if it is faulty.

        Unknown keys are told here, so that the rest is looked at too; `settable` ones may be changed by settings.
        """
        if isinstance(given, str) or callable(given) or type(given).__module__ != "builtins":
            given = given if isinstance(given, Mapping | model) else {"id": given}
        if isinstance(given, Mapping):
            known = model.model_fields
            keys = sorted(given.keys() - known.keys())
            self.errors.extend(f"{where}: {unknown('key', str(name), known)}" for name in keys)
            given = {name: value for name, value in given.items() if name in known}
            given |= dict(self.settings.of("", settable))
        return validate(model, given, where, self.errors)

    def parts(
        self, base: Mapping[str, Any], preset: Mapping[str, Any], given: Any, where: str
    ) -> dict[str, Any] | None:
        """Returns the sections of a method as objects; None if any of them is faulty.

        Args:
            base: what a section is where nothing is said.
            preset: sections of a preset.
            given: those of the file, as attributes.
            where: the method stands, for messages.
        """
        before = len(self.errors)
        try:
            start = {**base, **objects(preset, base)}
            made = {
                name: section(name, start[name], getattr(given, name), self.settings, where, self.errors)
                for name in base
            }
        except ValueError as error:
            self.errors.append(f"{where}: {error}")
            return None
        return None if len(self.errors) > before else made


def section(name: str, base: Any, given: Any, settings: "Settings", where: str, errors: list[str]) -> Any:
    """Returns a section of a method: the base's, with the fields given, and those of the settings that it has."""
    given = dict(given) if given is not None else {}
    kind = given.pop("kind", None) if name in CHOICES else None
    try:
        cls = find(f"kind of {name}", kind, CHOICES[name]) if kind is not None else type(base)
    except ValueError as error:
        errors.append(f"{where}.{name}: {error}")
        return base
    if cls is type(None):
        if given:
            errors.append(f"{where}.{name}: expected a kind (one of {', '.join(CHOICES[name])}), got {given}")
        return None
    if not is_dataclass(cls):
        if given:
            errors.append(f"{where}.{name}: expected no fields, since {cls.__name__} is not a dataclass, got {given}")
        return base if kind is None else cls()
    known = [field.name for field in fields(cls) if field.init]
    given |= dict(settings.of(name, known))
    if kind is None and not given:
        return base
    for field in sorted(given.keys() - set(known)):
        errors.append(f"{where}.{name}: {unknown('field', field, known)}")
    kept = {field.name: getattr(base, field.name) for field in fields(cls)} if cls is type(base) else {}
    content = kept | {field: value for field, value in given.items() if field in known}
    return validate(cls, content, f"{where}.{name}", errors)


def validate(cls: Any, value: Any, where: str, errors: list[str]) -> Any:
    """Returns `value` as an instance of a model or dataclass; appends its errors and returns None if it cannot be."""
    try:
        return TypeAdapter(cls).validate_python(value)
    except PydanticUserError:  # a user's class with fields of types that pydantic does not know
        return cls(**value)
    except ValidationError as error:
        known = list(cls.model_fields) if issubclass(cls, BaseModel) else []
        seen = set()
        for detail in error.errors():
            place = [part for part in detail["loc"] if isinstance(part, int) or str(part).isidentifier()]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
            full = f"{where}.{path}".strip(".") if path else where or "experiment"
            seen.add(_message(detail, full, known))
        errors.extend(sorted(seen))
        return None


def _message(detail: Any, place: str, known: list[str]) -> str:
    if detail["type"] == "extra_forbidden":
        parent = place.rpartition(".")[0] or "experiment"
        return f"{parent}: {unknown('key', str(detail['loc'][-1]), known)}"
    if detail["type"] == "unexpected_keyword_argument":
        return f"{place}: unknown field {str(detail['loc'][-1])!r}"
    if detail["type"] == "missing":
        return f"{place}: expected a value, got none"
    if detail["type"] == "value_error":  # told by our own code, whole
        return f"{place}: {detail['msg'].removeprefix('Value error, ')}"
    message = detail["msg"].removeprefix("Input should be ")
    return f"{place}: {'' if message.startswith('expected') else 'expected '}{message}, got {detail['input']!r}"


def seeds_of(seeds: Any, errors: list[str]) -> tuple[int, ...]:
    """Returns the seeds that a count or a list stands for."""
    plain = seeds.tolist() if hasattr(seeds, "tolist") else seeds  # NumPy's numbers and arrays
    if type(plain) is int and plain >= 1:
        if plain > MOST_SEEDS:
            errors.append(f"seeds: expected at most {MOST_SEEDS:,}, got {plain:,}: for one seed write [{plain}]")
            return ()
        return tuple(range(plain))
    plain = [seed.tolist() if hasattr(seed, "tolist") else seed for seed in (plain if is_list(plain) else ())]
    if plain and all(type(seed) is int and seed >= 0 for seed in plain):
        if len(set(plain)) < len(plain):
            errors.append(f"seeds: expected each seed once, got {plain}")
        errors.extend(
            f"seeds: expected at most 2**63 - 1, which tables of results can hold, got {seed}: take the remainder of "
            "a division by 2**63"
            for seed in plain
            if seed >= 2**63
        )
        return tuple(plain)
    errors.append(f"seeds: expected a count of at least 1, or a list of seeds of at least 0, got {seeds!r}")
    return ()


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Says whether a value is a list, or as good as one."""
    return isinstance(value, list | tuple | range)


def device_of(wanted: str, errors: list[str]) -> str:
    """Returns the device that "auto", "cpu" or "cuda" stands for."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        errors.append("device: expected a CUDA device for 'cuda', got none: use --device cpu or auto")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def check_labels(what: str, specs: Iterable[Any], errors: list[str]) -> None:
    """Appends an error for each label that stands for two."""
    labels = [spec.label for spec in specs]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        errors.append(f"{what}: expected labels that differ, got {label!r} {labels.count(label)} times: set `label`")


def words(error: Exception) -> str:
    """Returns an error as a person should see it."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


class Settings:
    """`--set section.field=value`, each of which must apply somewhere."""

    def __init__(self, texts: Iterable[str], errors: list[str]) -> None:
        self._values: dict[tuple[str, str], Any] = {}
        self._used: set[tuple[str, str]] = set()
        self._known: set[str] = set()
        for text in texts:
            path, equals, value = text.partition("=")
            if not equals or not path.strip():
                errors.append(f"--set: expected section.field=value, got {text!r}")
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

    def check(self, errors: list[str]) -> None:
        """Appends an error for each setting that nothing has."""
        for section, field in self._values.keys() - self._used:
            errors.append(f"--set: {unknown('field', f'{section}.{field}'.lstrip('.'), self._known)}")


def parse(text: str) -> Any:
    """Returns what a text stands for in TOML: a number, a boolean, a list; anything else is a string."""
    text = {"True": "true", "False": "false"}.get(text.strip(), text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
