"""What the benchmarks share whose problems are environments: an entry of a file, and the problem that it becomes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import Field

from vbandits.envs.spec import EnvironmentSpec, instead, made_by, parameters
from vbandits.experiment.config import Config, Count, Entry
from vbandits.experiment.sweeps import Setting, hints_of, swept


class EnvironmentEntry(Entry):
    """An environment in an experiment file."""

    id: Any
    kwargs: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None
    processes: Count = 1


@dataclass(frozen=True)
class Problem:
    """An environment, as it was when it was opened to be checked.

    Attributes:
        environment: its declaration.
        fingerprint: what results depend on, as JSON, see `envs.spec.fingerprint`.
        told: what reports say of it beside, in words, on which results do not depend.
    """

    environment: EnvironmentSpec
    fingerprint: dict[str, Any] = field(repr=False)
    told: str = field(default="", repr=False, kw_only=True)

    @property
    def label(self) -> str:
        """How reports call it."""
        return self.environment.label

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        return self.fingerprint


def arguments(
    config: Config, entry: EnvironmentEntry, where: str, example: str
) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Yields what an environment is made with, settings included, once for each combination of the values of its
    sweeps, each with the values that it has; nothing if its id can be none."""
    if not (isinstance(entry.id, str) or callable(entry.id)):
        config.errors.append(f"{where}.id: expected an id such as {example!r}, got {entry.id!r}: {instead(entry.id)}")
        return
    kwargs = entry.kwargs | dict(config.settings.of("kwargs", {*entry.kwargs, *parameters(entry.id)}))
    yield from swept(kwargs, hints_of(made_by(entry.id)), f"{where}.kwargs", config.errors)


def content_of(spec: EnvironmentSpec) -> dict[str, Any]:
    """Returns a declaration as an entry of a file has it."""
    return {"id": spec.source, "kwargs": dict(spec.kwargs), "label": spec.label}


def declared(ready: EnvironmentSpec | None, content: Mapping[str, Any], entry: EnvironmentEntry) -> EnvironmentSpec:
    """Returns the declaration of an environment that an entry describes, or one that was there already, changed."""
    return EnvironmentSpec(**content, processes=entry.processes) if ready is None else replace(ready, **content)


def short(source: Any) -> str:
    """Returns what an environment is called in a label: its id without ours in front, or the name of its class."""
    name = source if isinstance(source, str) else getattr(source, "__name__", type(source).__name__)
    return name.removeprefix("vbandits/")
