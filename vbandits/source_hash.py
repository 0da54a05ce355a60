"""Where an object or an error came from: its name, a hash of a user's own source file, and the line of it."""

import functools
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

LENGTH = 16
"""Hexadecimal digits of a hash that are kept."""


def reference(source: Any) -> str:
    """Returns "module:name" of a class or function, of the class of an instance, or a string as it is.

    What a `functools.partial` has bound is part of its name: two partials of one function are different sources.
    """
    if isinstance(source, str):
        return source
    if isinstance(source, ModuleType):
        return source.__name__
    if isinstance(source, functools.partial):
        bound = [repr(plain(value)) for value in source.args]
        bound += [f"{name}={plain(value)!r}" for name, value in sorted(source.keywords.items())]
        return f"{reference(source.func)}({', '.join(bound)})"
    named = _named(source)
    return f"{named.__module__}:{named.__qualname__}"


def source_hash(source: Any) -> str | None:
    """Returns a short SHA-256 of the file that holds a class, a function, an instance's class, or a module.

    None where the code is not the user's own: in vbandits, the standard library or site-packages, where a version says
    what it is. Code typed into a notebook has no file: its own text is hashed.
    """
    named = source if isinstance(source, ModuleType) else _named(source)
    module = source if isinstance(source, ModuleType) else sys.modules.get(named.__module__)
    name = module.__name__ if module is not None else named.__module__
    if name.partition(".")[0] in ("vbandits", "builtins"):
        return None
    file = getattr(module, "__file__", None)
    if file is not None and _installed(Path(file)):
        return None
    content = _content(file, named)
    return None if content is None else hashlib.sha256(content).hexdigest()[:LENGTH]


def place(error: BaseException) -> str:
    """Returns where in a user's own code an error comes from, "(file.py:12, in name)", or nothing."""
    root = error.__cause__ or error
    for frame, line in reversed(list(traceback.walk_tb(root.__traceback__))):  # from the innermost
        file, module = Path(frame.f_code.co_filename), str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] != "vbandits" and file.is_file() and not _installed(file):
            return f"({file.name}:{line}, in {frame.f_code.co_qualname})"
    return ""


def told(error: BaseException, text: str) -> str:
    """Returns what is said of an error with the place in a user's own code that it comes from, once."""
    where = place(error)
    return text if not where or where in text else f"{text} {where}"


def defined(function: Any) -> str:
    """Returns where a user has written a function, method or class, or the class of an instance, " (file.py:12)", to go
    behind its name; or nothing, of what is not the user's own."""
    written = inspect.unwrap(getattr(_named(function), "__func__", _named(function)))
    try:
        if source_hash(written) is None:
            return ""
        file, code = inspect.getsourcefile(written), getattr(written, "__code__", None)
        line = code.co_firstlineno if code is not None else inspect.getsourcelines(written)[1]
    except (OSError, TypeError):  # typed into an interpreter that keeps no text
        return ""
    return f" ({Path(file or '').name}:{line})"


def plain(value: Any) -> Any:
    """Returns a value as JSON can hold it, the same in every process: no addresses, sets in order. An object, such as a
    trained model, is its text and a hash of what it holds, which its text often does not show."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if hasattr(value, "tolist"):  # NumPy's and torch's arrays and numbers
        return plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, functools.partial):
        return reference(value)
    text = re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))
    return f"{text} {_held(value)}" if _is_opaque(value) else text


def _is_opaque(value: Any) -> bool:
    """Says whether an object may hold what its text does not show; that of a dataclass shows its fields."""
    if is_dataclass(value):
        return any(_is_opaque(getattr(value, field.name, None)) for field in fields(value))
    return bool(getattr(value, "__dict__", None)) and not isinstance(value, Enum | ModuleType | type)


def _held(value: Any) -> str:
    """Returns a short SHA-256 of all that an object holds."""
    found, seen = hashlib.sha256(), set[int]()

    def add(one: Any) -> None:
        if isinstance(one, Mapping):
            for name, own in one.items():
                found.update(f"{name}:".encode())
                add(own)
        elif isinstance(one, list | tuple):
            found.update(f"{len(one)}:".encode())
            for own in one:
                add(own)
        elif not isinstance(one, type) and hasattr(one, "to_numpy"):  # a data frame
            add([str(getattr(one, "columns", "")), one.to_numpy()])
        elif hasattr(one, "tolist") or not _is_opaque(one) or inspect.isroutine(one) or inspect.isclass(one):
            found.update(f"{plain(one)!r};".encode())
        elif id(one) in seen:  # objects may hold each other
            found.update(b"again;")
        else:
            seen.add(id(one))
            found.update(f"{reference(one)}:".encode())
            add(vars(one))

    add(value)
    return found.hexdigest()[:LENGTH]


def unbound(source: Any) -> Any:
    """Returns what a `functools.partial` binds arguments of; anything else as it is."""
    while isinstance(source, functools.partial):
        source = source.func
    return source


def _named(source: Any) -> Any:
    source = unbound(source)
    return source if hasattr(source, "__qualname__") else type(source)


def _installed(file: Path) -> bool:
    standard = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    packages = {"site-packages", "dist-packages"} & set(file.parts)
    return bool(packages) or any(file.is_relative_to(folder) for folder in standard)


def _content(file: str | None, named: Any) -> bytes | None:
    try:
        return Path(file).read_bytes() if file is not None else inspect.getsource(named).encode()
    except (OSError, TypeError):  # an archive, or text that nobody kept
        return None
