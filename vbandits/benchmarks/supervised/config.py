"""A supervised experiment: `[[datasets]]` and `[[methods]]`."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.benchmarks.supervised.experiment import MethodSpec, SupervisedExperiment
from vbandits.data.splits import DatasetSpec, Options, Split
from vbandits.errors import ConfigError
from vbandits.experiment import config as common
from vbandits.experiment.config import Count, Entry, Name, Settings, check_labels, numbered, section, validate, words
from vbandits.registry import METHODS, NETWORKS, load, unknown
from vbandits.types import Optimizer

SECTIONS = ("posterior", "network", "optimizer")


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


class SupervisedFile(Entry):
    """The whole of an experiment file."""

    name: Name
    seeds: Any = 3
    steps: Count = 1000
    batch_size: Count = 128
    datasets: Annotated[list[Any], Field(min_length=1)]
    methods: Annotated[list[Any], Field(min_length=1)]
    block: Count = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"


def resolve(
    document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
) -> SupervisedExperiment:
    """Returns the supervised experiment that a document (the content of a file) and `settings` describe.

    Raises:
        ConfigError: with all faults of the document.
    """
    faults: list[str] = []
    file = validate(SupervisedFile, dict(document), "", faults)
    overrides = Settings(settings, faults)
    folder = common.folder_of(data_dir)
    steps = file.steps if file else 1
    # also where the document as a whole is faulty, to tell all faults at once
    datasets = [_dataset(entry, i, folder, overrides, faults) for i, entry in numbered(document, "datasets")]
    methods = [_method(entry, i, steps, overrides, faults) for i, entry in numbered(document, "methods")]
    overrides.check(faults)
    seeds = common.seeds_of(document.get("seeds", 3), faults)
    device = common.device_of(file.device, faults) if file else "cpu"
    known_datasets = [spec for spec in datasets if spec is not None]
    known_methods = [spec for spec in methods if spec is not None]
    check_labels("datasets", known_datasets, faults)
    check_labels("methods", known_methods, faults)
    _try(known_datasets, known_methods, faults)
    if faults or file is None:
        raise ConfigError(faults)
    return SupervisedExperiment(
        file.name, seeds, file.steps, file.batch_size, tuple(known_datasets), tuple(known_methods), file.block, device
    )


def _dataset(entry: Any, index: int, data_dir: str | None, settings: Settings, faults: list[str]) -> DatasetSpec | None:
    where = f"datasets[{index}]"
    if isinstance(entry, DatasetSpec):
        return replace(entry, data_dir=entry.data_dir or data_dir)
    parsed = common.entry(DatasetEntry, {"id": entry} if isinstance(entry, str) else entry, where, faults)
    if parsed is None:
        return None
    known = [field.name for field in fields(Options)]
    kwargs = parsed.kwargs | dict(settings.of("kwargs", known))
    unknown_keys = [unknown("key", name, known) for name in sorted(kwargs.keys() - set(known))]
    faults.extend(f"{where}.kwargs: {fault}" for fault in unknown_keys)
    options = validate(Options, {name: kwargs[name] for name in known if name in kwargs}, f"{where}.kwargs", faults)
    return (
        None
        if options is None or unknown_keys
        else DatasetSpec(parsed.label or parsed.id, parsed.id, options, data_dir)
    )


def _method(entry: Any, index: int, steps: int, settings: Settings, faults: list[str]) -> MethodSpec | None:
    """Returns a method; its learning rate falls to zero over all steps, where `decay_steps` does not say otherwise."""
    where = f"methods[{index}]"
    if isinstance(entry, MethodSpec):
        return entry
    entry = {"id": entry} if isinstance(entry, str) else entry
    if isinstance(entry, Mapping):
        entry = {**entry, **dict(settings.of("", {"temperature"}))}
    parsed = common.entry(MethodEntry, entry, where, faults)
    if parsed is None:
        return None
    if parsed.id is None and parsed.posterior is None:
        faults.append(f"{where}: expected an id (one of {', '.join(sorted(METHODS))}), or a posterior")
        return None
    if parsed.id is not None and parsed.id not in METHODS:
        faults.append(f"{where}: {unknown('method', parsed.id, METHODS)}")
        return None
    where = f"{where} ({parsed.label or parsed.id})" if parsed.label or parsed.id else where
    preset = dict(METHODS[parsed.id]) if parsed.id else {}
    temperature = parsed.temperature or preset.pop("temperature", 1.0)
    preset["optimizer"] = {"decay_steps": steps} | dict(preset.get("optimizer", {}))
    before = len(faults)
    try:
        base = {"posterior": None, "network": load(NETWORKS["lenet5"])()} | common.preset(preset)
        parts = {name: section(name, base[name], getattr(parsed, name), settings, where, faults) for name in SECTIONS}
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None
    if len(faults) > before or not isinstance(parts["optimizer"], Optimizer):
        return None
    label = parsed.label or parsed.id or str((parsed.posterior or {}).get("kind"))
    return MethodSpec(label, parts["posterior"], parts["network"], parts["optimizer"], temperature)


def _try(datasets: list[DatasetSpec], methods: list[MethodSpec], faults: list[str]) -> None:
    """Loads every dataset, makes every method for every shape of images, and lets it predict a few rows."""
    from vbandits.benchmarks.supervised.run import Learner

    splits: dict[Any, Split] = {}
    for spec in datasets:
        try:
            split = spec.load()
            next(split.settings())
            splits.setdefault((split.shape, split.classes), split)
        except Exception as error:
            faults.append(f"dataset {spec.label!r}: {words(error)}")
    for (shape, classes), split in splits.items():
        for spec in methods:
            try:
                Learner(spec, split, (0,), 1, 1, "cpu").predict(split.test[0][:2])
            except Exception as error:
                size = " x ".join(map(str, shape))
                faults.append(f"method {spec.label!r} with images of {size} and {classes} classes: {words(error)}")
