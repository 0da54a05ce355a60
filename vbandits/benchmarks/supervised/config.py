"""A supervised experiment: `[[datasets]]` and `[[methods]]`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, InstanceOf

from vbandits.benchmarks.supervised import BENCHMARK
from vbandits.data import own_images
from vbandits.data.images import Images
from vbandits.data.splits import DatasetSpec, Options, Split
from vbandits.experiment.config import Config, Count, Entry, ExperimentFile, words
from vbandits.experiment.sections import changed, validate
from vbandits.experiment.sweeps import Setting, hints_of, labelled, plain, swept
from vbandits.networks import LeNet5
from vbandits.presets import METHODS
from vbandits.registry import unknown
from vbandits.serialize import described, instantiate
from vbandits.types import Optimizer, Posterior

Temperature = float | Literal["fit"]


@dataclass(frozen=True)
class MethodSpec:
    """The declaration of a method.

    Attributes:
        label: how reports call it.
        posterior: what it learns, an instance or a class.
        network: its architecture, built for each dataset; a function of D features and K outputs that returns an
            `nn.Module` will do.
        optimizer: how weights move. Where it is not given, an experiment takes that of the preset whose posterior is of
            the same kind, and says so; a method that has no such preset takes the default.
        temperature: that logits are divided by; "fit" chooses it on validation rows.
    """

    label: str
    posterior: Posterior
    network: Any = field(default_factory=LeNet5)
    optimizer: Optimizer | None = None
    temperature: Temperature = 1.0

    def __post_init__(self) -> None:
        """Makes instances of what is given as a class."""
        instantiate(self, ("posterior", "network"))

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON: every section with all its fields, the defaults too."""
        return described(self, ("posterior", "network", "optimizer", "temperature"))


class DatasetEntry(Entry):
    """`[[datasets]]` of an experiment file; in Python its id may be the images, or what makes them."""

    id: str | InstanceOf[Images] | Callable[[], Any]
    kwargs: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None


class MethodEntry(Entry):
    """`[[methods]]` of an experiment file."""

    id: str | None = None
    label: str | None = None
    posterior: Any = None
    network: Any = None
    optimizer: Any = None
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
    untuned = MappingProxyType({"optimizer": {}})

    def problems(self, entry: Any, where: str) -> Iterator[DatasetSpec]:
        """Yields datasets, unless the entry is faulty; one that is declared already is taken as it is."""
        if isinstance(entry, DatasetSpec):
            yield replace(entry, data_dir=entry.data_dir or self.data_dir)
            return
        if (entry := self._with_images(entry, where)) is None:
            return
        known = [field.name for field in fields(Options)]
        for setting, parsed in self.entries(DatasetEntry, entry, where):
            kwargs = parsed.kwargs | dict(self.settings.of("kwargs", known))
            wrong = [unknown("key", name, known) for name in sorted(kwargs.keys() - set(known))]
            self.errors.extend(f"{where}.kwargs: {error}" for error in wrong)
            given = {name: kwargs[name] for name in known if name in kwargs}
            for chosen, content in swept(given, hints_of(Options), f"{where}.kwargs", self.errors):
                options = validate(Options, content, f"{where}.kwargs", self.errors)
                if options is not None and not wrong:
                    own = {key: one for key, one in setting.items() if key != "id" or parsed.label}
                    label = labelled(parsed.label or own_images.called(parsed.id), own | chosen)
                    yield DatasetSpec(label, parsed.id, options, self.data_dir)

    def _with_images(self, entry: Any, where: str) -> Any:
        """Returns an entry with images in the place of arrays, which would be a sweep of ids; None if it is faulty."""
        given = entry.get("id") if isinstance(entry, Mapping) else entry
        if not own_images.are_arrays(given):
            return entry
        try:
            found = own_images.made(tuple(given))
        except ValueError as error:
            self.errors.append(f"{where}: {error}")
            return None
        return {**entry, "id": found} if isinstance(entry, Mapping) else {"id": found}

    def methods(self, entry: Any, where: str) -> Iterator[MethodSpec]:
        """Yields methods, unless the entry is faulty; one that is made already takes settings. The learning rate of the
        others falls to zero over all steps, where `decay_steps` does not say otherwise."""
        ready = entry if isinstance(entry, MethodSpec) else None
        content = {"label": ready.label} if ready is not None else entry
        for setting, parsed in self.entries(MethodEntry, content, where, ("temperature",)):
            yield from self._methods(ready, parsed, setting, where)

    def _methods(
        self, ready: MethodSpec | None, parsed: MethodEntry, setting: Setting, where: str
    ) -> Iterator[MethodSpec]:
        """Yields a method for each combination of the values of the sweeps of its sections."""
        if ready is None and parsed.id is None and parsed.posterior is None:
            self.errors.append(f"{where}: expected an id (one of {', '.join(sorted(METHODS))}), or a posterior")
            return
        if parsed.id is not None and parsed.id not in METHODS:
            self.errors.append(f"{where}: {unknown('method', parsed.id, METHODS, 'methods')}")
            return
        name = parsed.label or parsed.id
        where = f"{where} ({name})" if name else where
        falling = Optimizer(decay_steps=self.parsed.steps if self.parsed else 1)
        base, preset = {"posterior": None, "network": LeNet5(), "optimizer": falling}, {}
        temperature: Any = 1.0
        if ready is not None:
            base = {"posterior": ready.posterior, "network": ready.network, "optimizer": ready.optimizer or falling}
            temperature = ready.temperature
        elif parsed.id:
            preset = dict(METHODS[parsed.id])
            temperature = preset.pop("temperature", temperature)
            preset["optimizer"] = {"decay_steps": falling.decay_steps} | preset.get("optimizer", {})
        for chosen, parts in self.parts(base, preset, parsed, where):
            shown = {"id": parsed.label, "posterior": name, "posterior.kind": name}  # what else the label has already
            own = {key: one for key, one in (setting | chosen).items() if shown.get(key, True)}
            label = labelled(name or plain(type(parts["posterior"])), own)
            if parts["optimizer"] is falling and parsed.optimizer is None:
                parts |= self.told(label, METHODS, {"optimizer": falling}, parts["posterior"])
            content = {"label": label, **parts, "temperature": parsed.temperature or temperature}
            yield MethodSpec(**content) if ready is None else changed(ready, content)

    def check(self, problems: list[DatasetSpec], methods: list[MethodSpec]) -> tuple[list[DatasetSpec], list[str]]:
        """Loads every dataset, makes every method for every shape of images, and lets it predict a few rows."""
        from vbandits.benchmarks.supervised.run import Learner

        own: dict[Any, tuple[str, str]] = {}  # digest and description, by source
        splits: dict[Any, Split] = {}
        checked = [self._checked(spec, own, splits) for spec in problems]
        for (shape, classes), split in splits.items():
            for method in methods:
                try:
                    Learner(method, split, (0,), 1, 1, "cpu").predict(split.test[0][:2])
                except Exception as error:
                    size = " x ".join(map(str, shape))
                    self.errors.append(
                        f"method {method.label!r} with images of {size} and {classes} classes: {words(error)}"
                    )
        steps = self.parsed.steps if self.parsed else 1
        notes = [
            f"{method.label}: its learning rate falls to zero over {decay} steps, and the run has {steps}"
            for method in methods
            if (decay := method.optimizer.decay_steps if method.optimizer else 0) not in (0, steps)
        ]
        return checked, notes

    def _checked(self, spec: DatasetSpec, own: dict[Any, tuple[str, str]], splits: dict[Any, Split]) -> DatasetSpec:
        """Returns a dataset, a user's own with its digest, and keeps its rows if they are the first of their shape."""
        try:
            if spec.own:
                source = spec.id if isinstance(spec.id, str) else id(spec.id)
                if source not in own:
                    images = own_images.anew(spec.id)
                    own[source] = images.digest(), own_images.described(images)
                data, description = own[source]
                self.notes.append(f"{spec.label}: {description}")
                spec = replace(spec, data=data)
            split = spec.load()
            next(split.settings())
            splits.setdefault((split.shape, split.classes), split)
        except (Exception, SystemExit) as error:
            self.errors.append(f"dataset {spec.label!r}: {words(error)}")
        return spec
