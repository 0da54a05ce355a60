"""What `vbandits list` shows."""

import inspect
from dataclasses import fields
from typing import Any

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Benchmark, benchmarks
from vbandits.registry import ACQUISITIONS, ENVIRONMENTS, POSTERIORS, load, unknown

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
    """Returns the presets: name, posterior, the other parts that are named, and what the posterior is."""
    found = []
    for name, preset in load(benchmark.presets).items():
        posterior = preset.get("posterior", {"kind": "none"})["kind"]
        rule = {"rule": preset["rule"]["kind"]} if "rule" in preset else {}
        about = _summary(load(POSTERIORS[posterior])) if posterior in POSTERIORS else "Learns nothing: the baseline."
        found.append({benchmark.axes[1]: name, "posterior": posterior, **rule, "about": about})
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
