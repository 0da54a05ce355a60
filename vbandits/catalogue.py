"""What `vbandits list` shows."""

import inspect
from dataclasses import fields
from typing import Any

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Benchmark, benchmarks
from vbandits.registry import ACQUISITIONS, ENVIRONMENTS, load, unknown
from vbandits.serialize import CHOICES

Rows = list[dict[str, str]]


def rows(what: str) -> Rows:
    """Returns what there is of environments, acquisitions, or the methods of a benchmark ("agents").

    Raises:
        ConfigError: for anything else.
    """
    methods = {one.sections[1]: one for one in benchmarks()}
    if what in methods:
        return _methods(methods[what])
    if what == "environments":
        return [_environment(name, load(place)) for name, place in ENVIRONMENTS.items()]
    if what == "acquisitions":
        return [_acquisition(name, load(reference)) for name, reference in ACQUISITIONS.items()]
    raise ConfigError(unknown("list", what, [*methods, "environments", "acquisitions", "datasets"]))


def _methods(benchmark: Benchmark) -> Rows:
    """Returns the presets: name, the kinds of their parts, and what the first of these is; or all that is set."""
    presets, found = load(benchmark.presets), []
    parts = [part for part in CHOICES if any(part in preset for preset in presets.values())]
    for name, preset in presets.items():
        kinds = {part: preset[part]["kind"] for part in parts if "kind" in preset.get(part, {})}
        row = {benchmark.axes[1]: name} | {part: kinds.get(part, "none") for part in parts}
        about = next((_summary(load(CHOICES[part][kind])) for part, kind in kinds.items()), "")
        found.append(row | {"about": about or ", ".join(f"{key} = {value!r}" for key, value in preset.items())})
    return found


def _environment(name: str, cls: Any) -> dict[str, str]:
    parameters = [
        f"{parameter.name}={parameter.default!r}"
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.name not in ("num_envs", "device")
    ]
    return {"environment": name, "kwargs": ", ".join(parameters), "about": _summary(cls)}


def _acquisition(name: str, cls: Any) -> dict[str, str]:
    shown = ", ".join(f"{field.name}={field.default!r}" for field in fields(cls))
    return {"acquisition": name, "fields": shown, "for": " and ".join(sorted(cls.tasks)), "about": _summary(cls)}


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
