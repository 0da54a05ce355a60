"""From what a user wrote to an experiment: what every benchmark checks in the same way, all errors told at once."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from vbandits.errors import ConfigError, expanded, printable
from vbandits.experiment import sweeps
from vbandits.experiment.benchmark import APART, CHECKPOINT, FULL, MADE, Benchmark, Experiment
from vbandits.experiment.callbacks import callbacks_of
from vbandits.experiment.devices import AT_ONCE, device_of, precision_of
from vbandits.experiment.isolation import isolated
from vbandits.experiment.sections import section, validate
from vbandits.experiment.settings import Settings
from vbandits.experiment.sweeps import Setting, few, hints_of, is_list, plain, swept, text
from vbandits.presets import Presets, nearest
from vbandits.registry import unknown
from vbandits.serialize import objects
from vbandits.source_hash import told

LONGEST_TIMEOUT = 1e6
"""Seconds that a job may be given, eleven days."""
MOST_SEEDS = 100_000
"""In a run that are counted: more is a seed that was meant, not a count."""
MOST = 10**12
"""Of anything that is counted: more is a slip."""
Count = Annotated[int, Field(ge=1, le=MOST, strict=True)]
Name = Annotated[str, Field(pattern=r"^[\w][\w .-]*$")]


class Entry(BaseModel):
    """A part of an experiment file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class ExperimentFile(Entry):
    """The whole of an experiment file, but for the sections and options of its benchmark."""

    name: Name
    seeds: Any = 50
    block: Count | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["highest", "high", "medium"] = FULL
    callbacks: Any = ()
    log: Path | None = None
    save: Annotated[bool, Field(strict=True)] = False
    checkpoint: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    timeout: Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT)] | None = None

    @property
    def at_once(self) -> int:
        """The most seeds of a job."""
        return self.block or AT_ONCE[device_of(self.device, [])]


@dataclass(frozen=True)
class Part:
    """Of what an entry of a file makes, that which is called so."""

    entry: Any
    name: str

    def holds(self, spec: Any) -> bool:
        """Says whether a problem or a method is called so."""
        return self.name in (spec.label, getattr(spec, "method", None))


class Config:
    """From the content of a file to an experiment. A benchmark has a subclass that says what differs.

    Attributes:
        benchmark: whose experiment it is.
        file: the model of the whole file.
        options: fields of the file that results depend on, beside its sections, in the order that keys of jobs have.
        apart: fields of a method that no preset sets.
        untuned: what a method without an id has where nothing is said, and `told` does not look for it in presets.
        names: keys of an entry that it can be chosen by.
        no_steps: where experiments have no steps, what says how long they are.
        keeps: whether what is trained can be kept.
        errors: what is wrong with the document, in words.
        notes: what a person should know before it runs, of single entries.
        settings: fields that are changed wherever they are, or in one entry.
        data_dir: where files of datasets lie, as every worker finds it; None if nothing is said.
        parsed: the file, or None if it is faulty as a whole.
    """

    benchmark: ClassVar[Benchmark]
    file: ClassVar[type[ExperimentFile]]
    options: ClassVar[tuple[str, ...]] = ()
    apart: ClassVar[tuple[str, ...]] = ()
    untuned: ClassVar[Mapping[str, Any]] = {}
    names: ClassVar[tuple[str, ...]] = ("label", "id")
    no_steps: ClassVar[str] = ""
    keeps: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """Refuses options by whose names something else is kept in a folder."""
        if taken := [name for name in cls.options if name in (*ExperimentFile.model_fields, *MADE, *APART)]:
            raise TypeError(f"{cls.__name__}.options: expected names that every file does not have, got {taken}")

    def __init__(
        self, document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
    ) -> None:
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.settings = Settings(settings, self.errors, self.benchmark.sections)
        fields = {*ExperimentFile.model_fields, *self.options}
        self.document = {**document, **dict(self.settings.of("", fields))}
        if "steps" in self.document and "steps" not in self.file.model_fields:
            has = " and ".join(f"[[{section}]]" for section in self.benchmark.sections)
            instead = f": {self.no_steps}" if self.no_steps else ""
            got = self.document.pop("steps")
            self.errors.append(f"steps: expected none in an experiment with {has}, got {got!r}{instead}")
        self.data_dir = None if data_dir is None else str(expanded(data_dir).resolve())
        self.parsed: Any = validate(self.file, self.document, "", self.errors)

    def experiment(self) -> Experiment:
        """Returns the experiment.

        Raises:
            ConfigError: with all errors of the document.
        """
        sections = self.benchmark.sections
        # also where the document as a whole is faulty, to tell all errors at once
        problems = self._read(sections[0])
        methods = self._read(sections[1])
        methods += self.default_methods(methods)
        self.settings.check(self.errors)
        self._check_keeps()
        seeds = seeds_of(self.document.get("seeds", self.file.model_fields["seeds"].default), self.errors)
        device = device_of(self.parsed.device, self.errors) if self.parsed else "cpu"
        precision = precision_of(self.parsed.precision, device, self.notes) if self.parsed else FULL
        for what, specs in zip(sections, (problems, methods), strict=True):
            check_labels(what, specs, self.errors)
        log = self.parsed.log if self.parsed else None
        callbacks = callbacks_of(self.document.get("callbacks", ()), log, self.errors)
        with isolated(imports=True):
            problems, notes = self.check(problems, methods)
        if self.errors or self.parsed is None:
            raise ConfigError(*dict.fromkeys(self.errors))
        options = {name: getattr(self.parsed, name) for name in self.options}
        return Experiment(
            self.benchmark,
            self.parsed.name,
            seeds,
            tuple(problems),
            tuple(methods),
            options,
            self.parsed.at_once,
            device,
            tuple(dict.fromkeys([*self.notes, *notes])),
            callbacks=callbacks,
            save=self.parsed.save,
            checkpoint=CHECKPOINT if self.parsed.checkpoint is None else self.parsed.checkpoint,
            timeout=self.parsed.timeout,
            precision=precision,
        )

    def _check_keeps(self) -> None:
        got = f"got one with {' and '.join(f'[[{section}]]' for section in self.benchmark.sections)}"
        if self.parsed and self.parsed.save and not self.keeps:
            self.errors.append(
                "save: expected an experiment with [[environments]] and [[agents]], whose agents can be kept, "
                f"{got}: leave save out"
            )
        if self.parsed and self.parsed.checkpoint is not None and not self.benchmark.resumes:
            self.errors.append(
                f"checkpoint: expected an experiment whose jobs go on from checkpoints, {got}: leave checkpoint out"
            )

    def _read(self, section: str) -> list[Any]:
        value, found = self.document.get(section), []
        for index, entry in enumerate(value if is_list(value) and few(len(value), section, self.errors) else []):
            if self.settings.aims(section):
                self.settings.aim(section, self._names(section, entry))
            found += self.specs(section, entry, f"{section}[{index}]")
        return found

    def specs(self, section: str, entry: Any, where: str = "") -> list[Any]:
        """Returns the problems or methods that an entry of a section stands for; none if it is faulty."""
        if isinstance(entry, Part):
            return [spec for spec in self.specs(section, entry.entry, where) if entry.holds(spec)]
        return [*(self.problems if section == self.benchmark.sections[0] else self.methods)(entry, where)]

    def _names(self, section: str, entry: Any) -> set[str]:
        """Returns all that an entry can be called: its label and id, and the label of what it makes, if that is one."""
        entry = entry.entry if isinstance(entry, Part) else entry
        given = entry if isinstance(entry, Mapping) else {"id": entry}
        ids = given.get("id")
        names = {name for name in (given.get("label"), *(ids if is_list(ids) else [ids])) if isinstance(name, str)}
        quiet = copy.copy(self)
        quiet.errors, quiet.notes, quiet.settings = [], [], Settings((), [])
        made = quiet.specs(section, entry)
        for attribute in ("label", "method"):
            called = {getattr(spec, attribute, "") for spec in made}
            names |= called if len(called) == 1 else set()
        return names

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

    def filter_entries(self, section: str, entries: list[Any], names: list[str]) -> list[Any]:
        """Returns the entries of a section with a label or id among names, or the part of one that makes what has such
        a label, settings included; a name that is in none stands for itself.

        Raises:
            ConfigError: for a name that can be nothing.
        """
        kept = []
        for name in names:
            found = [e for e in entries if isinstance(e, Mapping) and name in map(e.get, self.names)]
            found = found or self.parts_of(section, entries, name)
            kept += [entry for entry in found or [{"id": name}] if entry not in kept]
        return kept

    def parts_of(self, section: str, entries: Iterable[Any], name: str) -> list[Part]:
        """Returns those entries of a section, without the faulty ones, that make something of a name, as that part."""
        quiet, found = copy.copy(self), []
        quiet.errors, quiet.notes = [], []
        for entry in islice(entries, sweeps.MOST):
            if self.settings.aims(section):
                self.settings.aim(section, self._names(section, entry))
            part = Part(entry, name)
            found += [part] if quiet.specs(section, part) else []
        return found

    def entries(
        self, model: type[Entry], given: Any, where: str, settable: Iterable[str] = ()
    ) -> Iterator[tuple[Setting, Any]]:
        """Yields an entry of a list once for each combination of the values of its sweeps, as `entry` returns it."""
        given = self._content(model, given, where, settable)
        if not isinstance(given, Mapping):
            if (made := validate(model, given, where, self.errors)) is not None:
                yield {}, made
            return
        hints = {name: hint for name, hint in hints_of(model).items() if name != "label"}
        for setting, content in swept(given, hints, where, self.errors):
            if (made := validate(model, content, where, self.errors)) is not None:
                yield setting, made

    def entry(self, model: type[Entry], given: Any, where: str, settable: Iterable[str] = ()) -> Any:
        """Returns an entry of a list as its model; a text is its id, as is what no file holds. None if it is faulty.

        Unknown keys are told here, so that the rest is looked at too; `settable` ones may be changed by settings.
        """
        return validate(model, self._content(model, given, where, settable), where, self.errors)

    def _content(self, model: type[Entry], given: Any, where: str, settable: Iterable[str]) -> Any:
        if isinstance(given, str) or callable(given) or type(given).__module__ != "builtins":
            given = given if isinstance(given, Mapping | model) else {"id": given}
        if isinstance(given, Mapping):
            known = model.model_fields
            keys = sorted(given.keys() - known.keys())
            self.errors.extend(f"{where}: {unknown('key', str(name), known)}" for name in keys)
            given = {name: value for name, value in given.items() if name in known}
            given |= dict(self.settings.of("", settable))
        return given

    def parts(
        self, base: Mapping[str, Any], preset: Mapping[str, Any], given: Any, where: str
    ) -> list[tuple[Setting, dict[str, Any]]]:
        """Returns the sections of a method as objects, once for each combination of the values of their sweeps, each
        with the values that it has; nothing if any of them is faulty.

        Args:
            base: what a section is where nothing is said.
            preset: sections of a preset.
            given: those of the file, as attributes.
            where: the method stands, for messages.
        """
        before = len(self.errors)
        try:
            start = {**base, **objects(preset, base)}
            made = [
                section(name, start[name], getattr(given, name), self.settings, where, self.errors) for name in base
            ]
        except ValueError as error:
            self.errors.append(f"{where}: {error}")
            return []
        if len(self.errors) > before:
            return []
        every = []
        for one in product(*made) if few(prod(map(len, made)), where, self.errors) else ():
            setting = {name: value for own, _ in one for name, value in own.items()}
            every.append((setting, {name: part for name, (_, part) in zip(base, one, strict=True)}))
        return every

    def told(
        self, label: str, presets: Presets, untold: Mapping[str, Any], posterior: Any, rule: Any = None
    ) -> dict[str, Any]:
        """Returns what a method has where nothing is said, and notes it: what the preset says with a posterior of the
        same kind, which was tuned, or else the defaults.

        Args:
            label: of the method.
            presets: among which it is looked for.
            untold: what the method does not say, as it is by default.
            posterior: of the method.
            rule: likewise, if it has one.
        """
        if posterior is None or not untold:
            return dict(untold)
        name = nearest(presets, posterior, rule)
        if name is None:
            if "optimizer" in untold:
                self.notes.append(
                    f"{label}: its optimizer is neither given nor tuned, since no preset has a posterior of this kind: "
                    f"it is the default, learning_rate={plain(untold['optimizer'].learning_rate)}"
                )
            return dict(untold)
        found, other = dict(untold), {}
        for part, value in presets[name].items():
            if isinstance(value, Mapping) and part in untold:
                found[part] = replace(untold[part], **value)
                other |= {f"{part}.{key}": one for key, one in value.items() if one != getattr(untold[part], key)}
            elif part in untold:
                found[part] = value
                other |= {part: value} if value != untold[part] else {}
        if other:
            self.notes.append(f"{label}: not given, and therefore as in the preset {name!r}: {text(other)}")
        return found


def seeds_of(seeds: Any, errors: list[str]) -> tuple[int, ...]:
    """Returns the seeds that a count or a list stands for."""
    plain = seeds.tolist() if hasattr(seeds, "tolist") else seeds  # NumPy's numbers and arrays
    plain = _typed(plain) if isinstance(plain, str) else plain  # as on the command line
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
    errors.append(
        "seeds: expected a count of at least 1, or a list of seeds of at least 0 (on the command line 1,2,3 or 0-31), "
        f"got {seeds!r}"
    )
    return ()


def _typed(text: str) -> Any:
    """Returns the count or the list of seeds that a text stands for, "8" or "1,2,3" or "0-31,100"; else None."""
    listed = text.strip().startswith("[") or "," in text or "-" in text
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.strip().strip("[]").split(","))):
        first, dash, last = part.partition("-")
        if not (first.strip().isdecimal() and (last.strip().isdecimal() or not dash)):
            return None
        low, high = int(first), int(last or first)
        if high - low > MOST_SEEDS:
            return None
        found += range(low, high + 1)
    return found if listed else found[0] if found else None


def check_labels(what: str, specs: Iterable[Any], errors: list[str]) -> None:
    """Appends an error for each label that stands for two."""
    labels = [spec.label for spec in specs]
    for label in labels:
        if printable(label) != label or "\n" in label or "\t" in label:
            errors.append(f"{what}: expected a label without control characters, got {label!r}: set `label`")
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        errors.append(f"{what}: expected labels that differ, got {label!r} {labels.count(label)} times: set `label`")


def words(error: BaseException) -> str:
    """Returns an error as a person should see it."""
    return told(error, str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
