"""Do given values fit the type hints of a function? Told in words, before the function makes something odd of them."""

import inspect
import json
import os
from collections.abc import Mapping
from typing import Any, get_type_hints

WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "an object": "a table",
}
"""What pydantic expects of JSON, in plain words."""


def type_errors(function: Any, given: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with given values by the hints of a function's parameters: "NAME: expected ..., got ...".

    Values are held to what a file could hold: whole numbers will do for numbers, but not "2" or true for 2; a list will
    do for a tuple, a text for a path. Passed over is what cannot be told: a parameter without a hint, or with one of a
    type that pydantic does not know, and a value that no file could hold.
    """
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    found = []
    for name, hint in _hints(function).items():
        if name not in given:
            continue
        try:
            TypeAdapter(hint).validate_json(json.dumps(given[name], default=_plain), strict=True)
        except ValidationError as error:
            found.append(_told(name, error.errors()))
        except (PydanticUserError, TypeError, ValueError, NameError):
            continue
    return found


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(inspect.unwrap(function))
    except Exception:  # a name in a hint that is known to type checkers alone
        return {}


def _plain(value: Any) -> Any:
    """Returns NumPy's and torch's arrays and numbers, and paths, as JSON can hold them."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"expected a value that JSON can hold, got {value!r}")


def _told(name: str, errors: list[Any]) -> str:
    """Returns one message of the errors of a value: where a list has a wrong item, of the item."""
    places = [[part for part in error["loc"] if isinstance(part, int)] for error in errors]
    place = max(places, key=len)
    mine = [error for error, other in zip(errors, places, strict=True) if other == place]
    messages = dict.fromkeys(error["msg"].removeprefix("Input should be ") for error in mine)
    expected = " or ".join(WORDS.get(message, message) for message in messages)
    got = repr(mine[0]["input"])
    mend = f": write [{got}]" if expected == "a list" else ""
    return f"{name}{''.join(f'[{part}]' for part in place)}: expected {expected}, got {got}{mend}"
