"""Sections of a method: what a file, or Python, says of a posterior, a rule, a network, ... becomes an object."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from vbandits.experiment.settings import Settings
from vbandits.experiment.strict import misread
from vbandits.experiment.sweeps import KIND, Setting, hints_of, is_list, swept, values_of
from vbandits.registry import find, load, unknown
from vbandits.serialize import CHOICES

NETWORK = "network"
"""The section whose kind, too, can be set for all methods: it is what they should have in common."""


def section(
    name: str, base: Any, given: Any, settings: Settings, where: str, errors: list[str]
) -> list[tuple[Setting, Any]]:
    """Returns a section of a method: the base's, with the fields given, and those of the settings that it has; once for
    each combination of the values of its sweeps, each with the values that it has.

    Args:
        name: of the section.
        base: what it is where nothing is said.
        given: a table of fields, with a `kind` where there are several; a kind by its name or place, a class, or an
            instance, which is taken as it is; a list of these; or None.
        settings: for all methods, or for this one.
        where: the method stands, for messages.
        errors: to which what is wrong is appended.
    """
    place, found = f"{where}.{name}", []
    if name == NETWORK and (kind := dict(settings.of(name, (KIND,)))):
        given = kind  # fields of another kind are not for it
    for one in values_of(given, place, errors) if is_list(given) else [given]:
        told = {name: one} if is_list(given) else {}
        kinds = one.get(KIND) if isinstance(one, Mapping) and name in CHOICES else None
        for kind in values_of(kinds, f"{place}.{KIND}", errors) if is_list(kinds) else [kinds]:
            chosen = {f"{name}.{KIND}": kind} if is_list(kinds) else {}
            content = one if kind is None else {**one, KIND: kind}
            found += [
                (told | chosen | own, made) for own, made in _single(name, base, content, settings, place, errors)
            ]
    return found


def _single(
    name: str, base: Any, given: Any, settings: Settings, where: str, errors: list[str]
) -> Iterator[tuple[Setting, Any]]:
    """Yields a section of one kind, once for each combination of the values of the sweeps of its fields."""
    try:
        cls, base, content = _start(name, base, given)
        if not (inspect.isclass(cls) and is_dataclass(cls)):
            yield {}, _without_fields(name, cls, base, content)
            return
    except (ValueError, TypeError) as error:
        errors.append(f"{where}: {error}")
        return
    known = [field.name for field in fields(cls) if field.init]
    content |= dict(settings.of(name, known))
    if base is not None and not content:
        yield {}, base
        return
    for field in sorted(content.keys() - set(known)):
        errors.append(f"{where}: {unknown('field', field, known)}")
    content = {field: value for field, value in content.items() if field in known}
    kept = {} if base is None else {field: getattr(base, field) for field in known}
    for own, values in swept(content, hints_of(cls), where, errors):
        made = validate(cls, kept | values, where, errors)
        if made is not None:
            errors.extend(misread(values, made, where))
            yield {f"{name}.{field}": value for field, value in own.items()}, made


def _without_fields(name: str, cls: Any, base: Any, content: Mapping[str, Any]) -> Any:
    """Returns a section whose class is no dataclass; None where it has no kind."""
    if cls is type(None):
        if content:
            raise ValueError(f"expected a kind (one of {', '.join(CHOICES[name])}), got {dict(content)}")
        return None
    if content:
        raise ValueError(f"expected no fields, since {cls.__name__} is not a dataclass, got {dict(content)}")
    return cls() if base is None else base


def _start(name: str, base: Any, given: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Returns the class of a section, what it is where nothing is said (None: the class tells), and the fields given.

    Raises:
        ValueError: if it can be none.
    """
    content = dict(given) if isinstance(given, Mapping) else {}
    kind = given if not isinstance(given, Mapping) else content.pop(KIND, None) if name in CHOICES else None
    if kind is None:
        return type(base), base, content
    text = kind
    if isinstance(kind, str) and name in CHOICES:
        kind = find(f"kind of {name}", kind, CHOICES[name])
    if isinstance(kind, str) or not (callable(kind) or is_dataclass(kind) or hasattr(kind, "__dict__")):
        kinds = f", a kind (one of {', '.join(CHOICES[name])}), a class or an instance" if name in CHOICES else ""
        raise ValueError(f"expected a table of fields{kinds}, got {kind!r}")
    if name == NETWORK and not hasattr(kind, "build"):  # a function that makes a module, or a class of modules
        if not callable(kind) or (hasattr(kind, "forward") and not inspect.isclass(kind)):
            raise ValueError(
                "expected a function of the numbers of features and outputs that makes a network, got a "
                f"{type(kind).__name__}: every problem has numbers of its own"
            )
        return load(CHOICES[name]["module"]), None, {"factory": text, **content}
    if inspect.isclass(kind) or inspect.isroutine(kind):
        return kind, base if type(base) is kind else None, content
    return type(kind), kind, content


def changed(spec: Any, content: Mapping[str, Any]) -> Any:
    """Returns a declaration with other values of its fields; the same one where none is another."""
    other = {name: value for name, value in content.items() if not _same(getattr(spec, name), value)}
    return replace(spec, **other) if other else spec


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str | bool) and type(one) is type(other) and one == other)


def validate(cls: Any, value: Any, where: str, errors: list[str]) -> Any:
    """Returns `value` as an instance of a model or dataclass; appends its errors and returns None if it cannot be."""
    try:
        return TypeAdapter(cls).validate_python(value)
    except PydanticUserError:  # a user's class with fields of types that pydantic does not know
        return cls(**value)
    except ValidationError as error:
        known = list(cls.model_fields) if issubclass(cls, BaseModel) else []
        seen = set()
        for detail in error.errors():
            place = [part for part in detail["loc"] if isinstance(part, int) or str(part).isidentifier()]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
            full = f"{where}.{path}".strip(".") if path else where or "experiment"
            seen.add(_message(detail, full, known))
        errors.extend(sorted(seen))
        return None


def _message(detail: Any, place: str, known: list[str]) -> str:
    if detail["type"] == "extra_forbidden":
        parent = place.rpartition(".")[0] or "experiment"
        return f"{parent}: {unknown('key', str(detail['loc'][-1]), known)}"
    if detail["type"] == "unexpected_keyword_argument":
        return f"{place}: unknown field {str(detail['loc'][-1])!r}"
    if detail["type"] == "missing":
        return f"{place}: expected a value, got none"
    if detail["type"] == "value_error":  # told by our own code, whole
        return f"{place}: {detail['msg'].removeprefix('Value error, ')}"
    if detail["type"] == "too_short":
        return f"{place}: expected at least {detail['ctx']['min_length']}, got {detail['input']!r}"
    message = detail["msg"].removeprefix("Input should be ")
    return f"{place}: {'' if message.startswith('expected') else 'expected '}{message}, got {detail['input']!r}"
