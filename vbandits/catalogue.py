"""What `vbandits list` shows."""

import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Benchmark, benchmarks
from vbandits.experiment.sweeps import hints_of, plain, text
from vbandits.registry import ACQUISITIONS, ENVIRONMENTS, NETWORKS, POSTERIORS, RULES, load, unknown
from vbandits.serialize import CHOICES, flattened

Rows = list[dict[str, str]]
KINDS = {"posteriors": POSTERIORS, "rules": RULES, "networks": NETWORKS, "acquisitions": ACQUISITIONS}
SECTIONS = ("Attributes:", "Args:")
"""Of a docstring, which say what fields and parameters mean."""
NOT_OURS = ("self", "num_envs", "device")
"""Parameters of environments that nobody gives."""
REQUIRED = "required"
NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "none"}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def choices() -> Rows:
    """Returns what can be listed."""
    methods = [one.sections[1] for one in benchmarks() if one.presets]
    told = {
        **{name: f"presets, for [[{name}]] of an experiment file" for name in methods},
        **{name: f"kinds of {name}, with their fields" for name in KINDS},
        "environments": "problems of ours, with what they can be made with",
        "datasets": "what is measured on, and where it is found here",
    }
    return [{"vbandits list": name, "what it shows": about} for name, about in told.items()]


def rows(what: str, names: Sequence[str] = ()) -> Rows:
    """Returns what there is of environments, kinds of posteriors, rules, networks or acquisitions, or the methods of a
    benchmark ("agents"); only those that are named, where any are.

    Raises:
        ConfigError: for anything else.
    """
    methods = {one.sections[1]: one for one in benchmarks()}
    if what in methods:
        found = _methods(methods[what])
    elif what == "environments":
        found = [row for name, place in ENVIRONMENTS.items() for row in _environment(name, load(place))]
    elif what in KINDS:
        found = [row for name, place in KINDS[what].items() for row in _kind(what[:-1], name, load(place))]
    else:
        raise ConfigError(unknown("list", what, [*methods, *KINDS, "environments", "datasets"]))
    known = list(dict.fromkeys(next(iter(row.values())) for row in found))
    if wrong := [name for name in names if name not in known]:
        raise ConfigError(*[unknown(what[:-1], name, known) for name in wrong])
    return [row for row in found if not names or next(iter(row.values())) in names]


def _methods(benchmark: Benchmark) -> Rows:
    """Returns the presets: name, the kinds of their parts, what else they set, and what the first of the parts is; of
    presets with a posterior in common, in what the later ones differ from the first."""
    presets, found, first = load(benchmark.presets), [], {}
    parts = [part for part in CHOICES if any(part in preset for preset in presets.values())]
    for name, preset in presets.items():
        kinds = {part: preset[part]["kind"] for part in parts if "kind" in preset.get(part, {})}
        flat = dict(flattened(preset))
        settings = text({key: value for key, value in flat.items() if key.rpartition(".")[2] != "kind"})
        about = next((_summary(load(CHOICES[part][kind])) for part, kind in kinds.items()), "")
        if (posterior := kinds.get("posterior")) in first:
            about = f"{first[posterior]} with {_difference(dict(flattened(presets[first[posterior]])), flat)}"
        elif posterior is not None:
            first[posterior] = name
        row = {benchmark.axes[1]: name} | {part: kinds.get(part, "none") for part in parts}
        found.append(row | {"settings": settings, "about": about})
    return found


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Returns in what settings differ, as the later ones have it; "-" for one that they leave as it is by default."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return text({name.removesuffix(".kind"): after.get(name, "-") for name in names})


def _kind(what: str, name: str, cls: Any) -> Iterator[dict[str, str]]:
    """Yields a row about a kind, and one for each of its fields."""
    tasks = {"for": " and ".join(sorted(cls.tasks))} if hasattr(cls, "tasks") else {}
    yield {what: name, "field": "", "default": "", "values": "", **tasks, "about": _summary(cls)}
    told, hints = meanings(cls), hints_of(cls)
    for field in fields(cls):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        shown = REQUIRED if default is MISSING else value(default)
        row = {what: name, "field": field.name, "default": shown, "values": allowed(hints.get(field.name, Any))}
        yield {**row, **dict.fromkeys(tasks, ""), "about": told.get(field.name, "")}


def _environment(name: str, cls: Any) -> Iterator[dict[str, str]]:
    """Yields a row about an environment, and one for each of its parameters."""
    yield {"environment": name, "kwarg": "", "default": "", "values": "", "about": _summary(cls)}
    told, hints = meanings(cls), hints_of(cls)
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.name not in NOT_OURS:
            default = REQUIRED if parameter.default is parameter.empty else value(parameter.default)
            row = {"environment": name, "kwarg": parameter.name, "default": default}
            values = allowed(hints.get(parameter.name, Any))
            yield {**row, "values": values, "about": told.get(parameter.name, "")}


def value(default: Any) -> str:
    """Returns a default as a file has it."""
    return "none" if default is None else plain(default)


def allowed(hint: Any) -> str:
    """Returns in words what a type and its bounds allow; nothing where anything will do."""
    origin, inner = get_origin(hint), get_args(hint)
    if hasattr(hint, "__value__"):
        return allowed(hint.__value__)
    if origin is Annotated:
        bounds = [
            f"{sign} {getattr(own, name)}"
            for extra in inner[1:]
            for own in getattr(extra, "metadata", [extra])
            for name, sign in BOUNDS.items()
            if hasattr(own, name)
        ]
        return " ".join([allowed(inner[0]), " and ".join(bounds)]).strip()
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(filter(None, map(allowed, inner))))
    if origin is Literal:
        return " or ".join(map(plain, inner))
    if hint in NAMES:
        return NAMES[hint]
    if origin is Callable or getattr(origin, "__name__", "") == "Callable":
        return "function"
    if inspect.isclass(origin) and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        return f"list of: {' or '.join(dict.fromkeys(allowed(part) for part in inner if part is not ...))}"
    if inspect.isclass(hint) and is_dataclass(hint):
        return f"table of {', '.join(field.name for field in fields(hint))}"
    return getattr(hint, "__name__", "").lower() if inspect.isclass(hint) and hint not in (object, Any) else ""


def meanings(cls: Any) -> dict[str, str]:
    """Returns what the fields and parameters of a class mean, by name, as its docstrings and those of its bases say."""
    found: dict[str, str] = {}
    for one in cls.__mro__:
        for source in (one, vars(one).get("__init__")):
            for name, meaning in _told(inspect.cleandoc(getattr(source, "__doc__", None) or "")):
                found.setdefault(name, meaning)
    return found


def _told(doc: str) -> Iterator[tuple[str, str]]:
    """Yields names and what is said of them, of the sections of a docstring that do."""
    within, name, lines = False, "", []
    for line in [*doc.splitlines(), "end"]:
        starts = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if name and (starts or (line and not line.startswith("        "))):
            yield from ((one, " ".join(lines)) for one in name.split(", "))
            name = ""
        if line in SECTIONS or (line and not line.startswith(" ")):
            within = line in SECTIONS
        elif within and starts:
            name, lines = starts[1], [starts[2]]
        elif name and line:
            lines.append(line.strip())


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
