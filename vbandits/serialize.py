"""What results depend on, as JSON: configurations with all their fields, and a user's own code."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from inspect import isclass, isroutine
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from vbandits.registry import ACQUISITIONS, NETWORKS, POSTERIORS, RULES, find, load
from vbandits.source_hash import plain, reference, source_hash

CHOICES = {"posterior": POSTERIORS, "rule": RULES, "network": NETWORKS, "acquisition": ACQUISITIONS}
"""Sections of an agent, method or learner that are chosen by kind."""


LONGEST = 80
"""Most bytes of a name in a file's name."""


def section(value: Any, choices: Mapping[str, str]) -> dict[str, Any] | None:
    """Returns a posterior, rule or network as JSON: its kind and every field, the defaults too."""
    if value is None:
        return None
    cls = type(value)
    content = (
        {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else vars(value)
    )
    described: dict[str, Any] = {"kind": kind_of(cls, choices)}
    described |= {name: plain(entry) for name, entry in content.items()}
    # the user's own files that it comes from, so that edited code is not taken for the code that ran
    named = [
        load(entry) if isinstance(entry, str) else entry
        for entry in content.values()
        if callable(entry) or (isinstance(entry, str) and ":" in entry)
    ]
    code = {reference(origin): found for origin in [cls, *named] if (found := source_hash(origin)) is not None}
    return described | ({"code": code} if code else {})


def has_code(described: Any) -> bool:
    """Says whether a description in JSON names code of a user's, see `section`."""
    if isinstance(described, Mapping):
        return bool(described.get("code")) or any(map(has_code, described.values()))
    return isinstance(described, list | tuple) and any(map(has_code, described))


def kind_of(cls: Any, choices: Mapping[str, str]) -> str:
    """Returns the name under which a class is registered, or else its place, "module:name"."""
    place = f"{getattr(cls, '__module__', '')}:{getattr(cls, '__qualname__', '')}"
    return next((name for name, known in choices.items() if known == place), place)


def described(spec: Any, names: Iterable[str]) -> dict[str, Any]:
    """Returns a method of an experiment as JSON: its label, and what is named with all fields, the defaults too."""
    content: dict[str, Any] = {"label": spec.label}
    for name in names:
        value = getattr(spec, name)
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        content[name] = section(value, CHOICES[name]) if name in CHOICES else plain
    return content


def objects(preset: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sections of a preset as objects, those without a kind of the same class as in `base`, and what else
    it has."""
    made = {}
    for name, value in preset.items():
        if not isinstance(value, Mapping):
            made[name] = value
            continue
        content = dict(value)
        kind = content.pop("kind", None) if name in CHOICES else None
        cls = type(base[name]) if kind is None else find(name, kind, CHOICES[name])
        made[name] = _made(cls, content)
    return made


def _made(cls: Any, content: dict[str, Any]) -> Any:
    """Returns an object of a class from its fields."""
    try:
        return TypeAdapter(cls).validate_python(content) if hasattr(cls, "__dataclass_fields__") else cls()
    except PydanticUserError:  # a user's class with fields of types that pydantic does not know
        return cls(**content)


def instantiate(spec: Any, names: Iterable[str]) -> None:
    """Makes an instance, in a declaration, of each section that is given as a class; and the network of a function."""
    for name in names:
        part = getattr(spec, name)
        if name == "network" and not hasattr(part, "build") and (isclass(part) or isroutine(part)):
            object.__setattr__(spec, name, load(NETWORKS["module"])(part))
        elif isclass(part):
            object.__setattr__(spec, name, part())


def digest(content: Any) -> str:
    """Returns a hash of JSON content."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def canonical(content: Any) -> str:
    """Returns JSON content as one text, the same before it is written to a file and after it was read from there."""
    return json.dumps(json.loads(json.dumps(content)), sort_keys=True)


def slug(name: str) -> str:
    """Returns a name as it can stand in a file's name, which has at most 255 bytes: of it two stand there."""
    letters = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in name)
    return letters[:60].encode()[:LONGEST].decode(errors="ignore")


def flattened(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values of nested mappings by path: {"schedule": {"every": 5}} as "schedule.every", 5."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
