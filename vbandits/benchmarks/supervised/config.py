"""A supervised experiment: `[[datasets]]` and `[[methods]]`."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.benchmarks.supervised import BENCHMARK
from vbandits.data.splits import DatasetSpec, Options, Split
from vbandits.experiment.config import Config, Count, Entry, ExperimentFile, validate, words
from vbandits.networks import LeNet5
from vbandits.presets import METHODS
from vbandits.registry import unknown
from vbandits.serialize import described
from vbandits.types import Optimizer, Posterior

Temperature = float | Literal["fit"]


@dataclass(frozen=True)
class MethodSpec:
    """The declaration of a method.

    Attributes:
        label: how reports call it.
        posterior: what it learns.
        network: its architecture, built for each dataset.
        optimizer: how weights move.
        temperature: that logits are divided by; "fit" chooses it on validation rows.
    """

    label: str
    posterior: Posterior
    network: Any
    optimizer: Optimizer = field(default_factory=Optimizer)
    temperature: Temperature = 1.0

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON: every section with all its fields, the defaults too."""
        return described(self, ("posterior", "network", "optimizer", "temperature"))


class DatasetEntry(Entry):
    """`[[datasets]]` of an experiment file."""

    id: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None


class MethodEntry(Entry):
    """`[[methods]]` of an experiment file."""

    id: str | None = None
    label: str | None = None
    posterior: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    temperature: Annotated[float, Field(gt=0)] | Literal["fit"] | None = None


class SupervisedFile(ExperimentFile):
    """The whole of an experiment file."""

    seeds: Any = 3
    steps: Count = 1000
    batch_size: Count = 128
    datasets: Annotated[list[Any], Field(min_length=1)]
    methods: Annotated[list[Any], Field(min_length=1)]


class SupervisedConfig(Config):
    """From the content of a file to a supervised experiment."""

    benchmark = BENCHMARK
    file = SupervisedFile
    options = ("steps", "batch_size")

    def problems(self, entry: Any, where: str) -> Iterator[DatasetSpec]:
        """Yields a dataset, unless it is faulty."""
        if isinstance(entry, DatasetSpec):
            yield replace(entry, data_dir=entry.data_dir or self.data_dir)
            return
        parsed = self.entry(DatasetEntry, entry, where)
        if parsed is None:
            return
        known = [field.name for field in fields(Options)]
        kwargs = parsed.kwargs | dict(self.settings.of("kwargs", known))
        wrong = [unknown("key", name, known) for name in sorted(kwargs.keys() - set(known))]
        self.errors.extend(f"{where}.kwargs: {error}" for error in wrong)
        given = {name: kwargs[name] for name in known if name in kwargs}
        options = validate(Options, given, f"{where}.kwargs", self.errors)
        if options is not None and not wrong:
            yield DatasetSpec(parsed.label or parsed.id, parsed.id, options, self.data_dir)

    def methods(self, entry: Any, where: str) -> Iterator[MethodSpec]:
        """Yields a method, unless it is faulty. Its learning rate falls to zero over all steps, where `decay_steps`
        does not say otherwise."""
        if isinstance(entry, MethodSpec):
            yield entry
            return
        parsed = self.entry(MethodEntry, entry, where, ("temperature",))
        if parsed is None:
            return
        if parsed.id is None and parsed.posterior is None:
            self.errors.append(f"{where}: expected an id (one of {', '.join(sorted(METHODS))}), or a posterior")
            return
        if parsed.id is not None and parsed.id not in METHODS:
            self.errors.append(f"{where}: {unknown('method', parsed.id, METHODS)}")
            return
        where = f"{where} ({parsed.label or parsed.id})" if parsed.label or parsed.id else where
        preset = dict(METHODS[parsed.id]) if parsed.id else {}
        temperature = parsed.temperature or preset.pop("temperature", 1.0)
        steps = self.parsed.steps if self.parsed else 1
        preset["optimizer"] = {"decay_steps": steps} | preset.get("optimizer", {})
        parts = self.parts({"posterior": None, "network": LeNet5(), "optimizer": Optimizer()}, preset, parsed, where)
        if parts is not None:
            label = parsed.label or parsed.id or str((parsed.posterior or {}).get("kind"))
            yield MethodSpec(label, **parts, temperature=temperature)

    def check(self, problems: list[DatasetSpec], methods: list[MethodSpec]) -> tuple[list[DatasetSpec], list[str]]:
        """Loads every dataset, makes every method for every shape of images, and lets it predict a few rows."""
        from vbandits.benchmarks.supervised.run import Learner

        splits: dict[Any, Split] = {}
        for spec in problems:
            try:
                split = spec.load()
                next(split.settings())
                splits.setdefault((split.shape, split.classes), split)
            except Exception as error:
                self.errors.append(f"dataset {spec.label!r}: {words(error)}")
        for (shape, classes), split in splits.items():
            for method in methods:
                try:
                    Learner(method, split, (0,), 1, 1, "cpu").predict(split.test[0][:2])
                except Exception as error:
                    size = " x ".join(map(str, shape))
                    self.errors.append(
                        f"method {method.label!r} with images of {size} and {classes} classes: {words(error)}"
                    )
        return problems, []
