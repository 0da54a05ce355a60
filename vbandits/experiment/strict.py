"""What a file says is taken as it is written: texts and booleans are no numbers, and no number is infinite."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

NAMES = {bool: "true or false", str: "a text", int: "a whole number", float: "a number"}


def misread(given: Any, made: Any, where: str) -> Iterator[str]:
    """Yields where a value was taken for another than it is written as.

    Args:
        given: as it is written.
        made: as it was read.
        where: it stands, for messages.
    """
    if isinstance(given, Mapping) and (is_dataclass(made) or isinstance(made, Mapping)):
        for name, value in given.items():
            now = made.get(name) if isinstance(made, Mapping) else getattr(made, str(name), None)
            yield from misread(value, now, f"{where}.{name}")
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple) and len(given) == len(made):
        for place, (value, now) in enumerate(zip(given, made, strict=True)):
            yield from misread(value, now, f"{where}[{place}]")
    elif type(made) in NAMES and type(given) is not type(made) and type(given) in (bool, str):
        yield f"{where}: expected {NAMES[type(made)]}, got {given!r}"
    elif type(made) is float and not math.isfinite(made):
        yield f"{where}: expected a finite number, got {given!r}"
