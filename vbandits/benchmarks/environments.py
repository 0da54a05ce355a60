"""What the benchmarks share whose problems are environments: an entry of a file, and the problem that it becomes."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from vbandits.envs.spec import EnvironmentSpec, instead, parameters
from vbandits.experiment.config import Config, Count, Entry


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
    """

    environment: EnvironmentSpec
    fingerprint: dict[str, Any] = field(repr=False)

    @property
    def label(self) -> str:
        """How reports call it."""
        return self.environment.label

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        return self.fingerprint


def arguments(config: Config, entry: EnvironmentEntry, where: str, example: str) -> dict[str, Any] | None:
    """Returns what an environment is made with, settings included; None if its id can be none."""
    if not (isinstance(entry.id, str) or callable(entry.id)):
        config.errors.append(f"{where}.id: expected an id such as {example!r}, got {entry.id!r}: {instead(entry.id)}")
        return None
    return entry.kwargs | dict(config.settings.of("kwargs", {*entry.kwargs, *parameters(entry.id)}))


def short(source: Any) -> str:
    """Returns what an environment is called in a label: its id without ours in front, or the name of its class."""
    name = source if isinstance(source, str) else getattr(source, "__name__", type(source).__name__)
    return name.removeprefix("vbandits/")
