"""Sweeps: a list, where a field takes one value, stands for a method or a problem with each of them."""

import functools
import inspect
import itertools
import math
import os
import types
from collections import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

from vbandits.serialize import CHOICES, kind_of

Setting = dict[str, Any]
"""The value of each field that was chosen from several, dotted where it lies in a section: "posterior.rank"."""
SINGLE: Any = (bool, int, float, complex, str, bytes, type(None), Mapping, os.PathLike, Enum)
"""Types of which no value is a list."""
LISTS = (abc.Sequence, abc.Set)
PLAIN = (bool, int, float, str)
"""Types of defaults that say what a parameter takes."""
KIND = "kind"
MOST = 10_000
"""Methods or problems that an entry of a file makes: lists multiply, and each of them is tried before a run."""


def hints_of(source: Any) -> dict[str, Any]:
    """Returns the types of the fields of a dataclass or model, or of the parameters of another class or of a function,
    by name; none where they cannot be known. A parameter without a type has that of its default, if it is a number or a
    text."""
    while isinstance(source, functools.partial):
        source = source.func
    if inspect.isclass(source) and not (is_dataclass(source) or hasattr(source, "model_fields")):
        source = source.__init__
    try:
        hints = get_type_hints(inspect.unwrap(source), include_extras=True)
        parameters = inspect.signature(source).parameters
    except Exception:  # a name in a hint that is known to type checkers alone, or a compiled module's class
        return {}
    return {name: type(one.default) for name, one in parameters.items() if type(one.default) in PLAIN} | hints


def depth(hint: Any) -> float:
    """Returns how deep lists may lie in each other in a value of a type: 0 if it takes none, infinite if anything."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return depth(inner[0])
    if origin in (Union, types.UnionType):
        return max(map(depth, inner))
    if origin is Literal or hint is None:
        return 0
    if hasattr(hint, "__value__"):  # what `type Name = ...` makes
        return depth(hint.__value__)
    cls = origin or hint
    if not inspect.isclass(cls) or cls is object:
        return math.inf
    if cls is abc.Callable or issubclass(cls, SINGLE) or is_dataclass(cls):
        return 0
    if issubclass(cls, LISTS) or cls in (abc.Iterable, abc.Collection):
        return 1 + max((depth(part) for part in inner if part is not ...), default=math.inf)
    return math.inf  # nothing is known of it


def nested(value: Any) -> int:
    """Returns how deep lists lie in each other in a value; 0 if it is none."""
    return 1 + max(map(nested, value), default=0) if is_list(value) else 0


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Says whether a value is a list, or as good as one."""
    return isinstance(value, list | tuple | range)


def swept(
    content: Mapping[str, Any], hints: Mapping[str, Any], where: str, errors: list[str]
) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Yields the content once for every combination of the values of its sweeps, each with the values that it has.

    Args:
        content: values by field; those of a field that is a dataclass itself may be a table with sweeps.
        hints: types by field: a list is a sweep where the type takes none, a list of lists where it takes lists, and
            so on; nothing is one where the type is not known.
        where: the fields lie, for messages.
        errors: to which a sweep without values is appended, and one with a value twice.
    """
    choices: list[list[tuple[Setting, Any]]] = []
    for name, value in content.items():
        choices.append([*_choices(name, value, hints.get(name, Any), f"{where}.{name}", errors)])
    if not few(math.prod(map(len, choices)), where, errors):
        return
    for chosen in itertools.product(*choices):
        setting: Setting = {}
        for own, _ in chosen:
            setting |= own
        yield setting, {name: value for name, (_, value) in zip(content, chosen, strict=True)}


def _choices(name: str, value: Any, hint: Any, where: str, errors: list[str]) -> Iterator[tuple[Setting, Any]]:
    known = depth(hint)
    if known == 0 and not is_list(value) and hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if is_list(value) and nested(value) > known:
        for one in values_of(value, where, errors):
            for own, made in _choices(name, one, hint, where, errors):
                yield {name: one} | own, made
    elif isinstance(value, Mapping) and (inner := _dataclass(hint)) is not None:
        for own, made in swept(value, hints_of(inner), where, errors):
            yield {f"{name}.{field}": one for field, one in own.items()}, made
    else:
        yield {}, value


def values_of(values: Sequence[Any], where: str, errors: list[str]) -> list[Any]:
    """Returns the values of a sweep, each once; appends an error if there is none, or one comes twice."""
    if not few(len(values), where, errors):
        return []
    every = list(values)
    distinct = [value for place, value in enumerate(every) if not any(_same(value, one) for one in every[:place])]
    if not every:
        errors.append(f"{where}: expected a value, or a list of values to try, got an empty list")
    elif len(distinct) < len(every):
        errors.append(f"{where}: expected each value once, got {every}")
    return distinct


def few(count: int, where: str, errors: list[str]) -> bool:
    """Says whether a sweep makes no more than can be told apart by anybody; appends an error if it makes more."""
    if count > MOST:
        errors.append(f"{where}: expected lists that make at most {MOST:,} together, got lists that make {count:,}")
    return count <= MOST


def _same(one: Any, other: Any) -> bool:
    if one is other or hasattr(one, "shape"):  # of arrays it is not one truth
        return one is other
    return type(one) is type(other) and bool(one == other)


def _dataclass(hint: Any) -> type | None:
    """Returns the dataclass that a value of a type may be."""
    if get_origin(hint) is Annotated:
        return _dataclass(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return next((found for part in get_args(hint) if (found := _dataclass(part)) is not None), None)
    return hint if inspect.isclass(hint) and is_dataclass(hint) else None


def labelled(label: str, setting: Mapping[str, Any]) -> str:
    """Returns the label of what a sweep makes: "ibvi rank=2"; a kind or an id stands for itself."""
    named = [name for name in setting if name in (*CHOICES, "id") or name.rpartition(".")[2] == KIND]
    told = [plain(setting[name]) for name in named]
    return " ".join(filter(None, [label, *told, text({k: v for k, v in setting.items() if k not in named})]))


def text(setting: Mapping[str, Any], marked: Sequence[str] = ()) -> str:
    """Returns a setting in few words: the last parts of its fields, unless they do not tell two apart.

    Args:
        setting: the value of each field.
        marked: fields with an asterisk behind their value.
    """
    last = [field.rpartition(".")[2] for field in setting]
    names = {field: name if last.count(name) == 1 else field for field, name in zip(setting, last, strict=True)}
    return " ".join(f"{names[field]}={plain(value)}{'*' * (field in marked)}" for field, value in setting.items())


def plain(value: Any) -> str:
    """Returns a value as a file has it, but for quotation marks; a class by its name."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "(" + " ".join(f"{name}={plain(inner)}" for name, inner in value.items()) + ")"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(plain, value)) + "]"
    if inspect.isclass(value) or inspect.isroutine(value):
        return _name(value)
    if is_dataclass(value):
        own = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        told = text({name: one for name, one in own.items() if not _is_default(value, name, one)})
        return f"{_name(type(value))} {told}".strip()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _name(value: Any) -> str:
    kind = next((found for choices in CHOICES.values() if (found := kind_of(value, choices)) in choices), None)
    return kind or getattr(value, "__name__", str(value))


def _is_default(value: Any, name: str, own: Any) -> bool:
    default = inspect.signature(type(value)).parameters[name].default
    return default is not inspect.Parameter.empty and _same(default, own)
