"""`--set`: fields that the command line changes, wherever they are or of one method or problem."""

import re
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError
from vbandits.registry import unknown

QUOTED = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')\s*\.""")
LEVELS = 50
"""How deep tables and lists may lie in each other: Python cannot walk through many times as many."""
Field = tuple[str, str]
"""A section and a field of it; the section is empty where the field is in none."""


class Settings:
    """`--set section.field=value`, each of which must apply somewhere.

    `--set agents.NAME.section.field=value` changes it in what is called so alone, and goes before what is said of all.
    A name may have points and spaces, and may stand in quotation marks.
    """

    def __init__(self, texts: Iterable[str], errors: list[str], lists: Iterable[str] = ()) -> None:
        """Takes settings as they were typed, and the names of the lists of an experiment file, such as "agents"."""
        self._values: dict[Field, Any] = {}
        self._used: set[Field] = set()
        self._known: set[str] = set()
        self._aimed: list[_Aimed] = []
        self._hits: list[tuple[_Aimed, Field, Any]] = []  # those that aim at what is being read
        self._names: dict[str, set[str]] = {}
        for text in texts:
            path, equals, value = text.partition("=")
            head, point, rest = text.partition(".")
            if not equals or not path.strip():
                errors.append(f"--set: expected section.field=value, got {text!r}")
            elif point and head.strip() in lists:
                self._aimed.append(_Aimed(head.strip(), _unquoted(rest)))
            else:
                section, _, field = path.strip().rpartition(".")
                self._values[section, field] = parse(value, f"--set {path.strip()}")

    def aims(self, what: str) -> bool:
        """Returns whether any setting is for one entry of a list of the file."""
        return any(one.what == what for one in self._aimed)

    def aim(self, what: str, names: Iterable[str]) -> None:
        """Says what is read from now on: an entry of a list of the file, by all that it can be called."""
        names = {name for name in names if name}
        self._names.setdefault(what, set()).update(names)
        self._hits = []
        for one in self._aimed:
            # of two names the longer one, where one begins with the other
            for name in sorted(names, key=len, reverse=True) if one.what == what else ():
                if one.rest.startswith(f"{name}."):
                    path, _, value = one.rest.removeprefix(f"{name}.").partition("=")
                    section, _, field = path.strip().rpartition(".")
                    one.found = True
                    self._hits.append((one, (section, field), parse(value, f"--set {path.strip()}")))
                    break

    def of(self, section: str, known: Iterable[str]) -> list[tuple[str, Any]]:
        """Returns the fields and values for a section that has the fields `known`."""
        known = set(known)
        told = {f"{section}.{field}".lstrip(".") for field in known}
        self._known |= told
        found = {key: value for key, value in self._values.items() if key[0] == section and key[1] in known}
        self._used |= found.keys()
        for one, key, value in self._hits:
            one.known |= told
            if key[0] == section and key[1] in known:
                one.used = True
                found[key] = value
        return [(field, value) for (_, field), value in found.items()]

    def check(self, errors: list[str]) -> None:
        """Appends an error for each setting that nothing has."""
        for section, field in self._values.keys() - self._used:
            errors.append(f"--set: {unknown('field', f'{section}.{field}'.lstrip('.'), self._known)}")
        for one in self._aimed:
            path = one.rest.partition("=")[0].strip()
            if one.used:
                continue
            if not one.found:
                name = path.rpartition(".")[0].rpartition(".")[0] or path.partition(".")[0]
                errors.append(f"--set: {unknown(one.what[:-1], name, self._names.get(one.what, ()))}")
            else:
                name = max((name for name in self._names[one.what] if one.rest.startswith(f"{name}.")), key=len)
                field = path.removeprefix(f"{name}.")
                errors.append(f"--set: {unknown(f'field of {one.what[:-1]} {name!r}', field, one.known)}")


class _Aimed:
    """A setting for one entry of a list: the list, the rest of the text, and what became of it."""

    def __init__(self, what: str, rest: str) -> None:
        self.what, self.rest = what, rest
        self.found = self.used = False
        self.known: set[str] = set()


def _unquoted(text: str) -> str:
    """Returns NAME.field=value for the same with quotation marks around the name."""
    quoted = QUOTED.match(text)
    if quoted is None:
        return text.strip()
    name = quoted["double"] if quoted["double"] is not None else quoted["single"]
    return f"{name}.{text[quoted.end() :].strip()}"


def parse(text: str, name: str) -> Any:
    """Returns what a text stands for in TOML: a number, a boolean, a list; anything else is a string.

    Args:
        text: the text.
        name: how an error calls it.

    Raises:
        ConfigError: if its lists are too deep.
    """
    text = {"True": "true", "False": "false"}.get(text.strip(), text)
    try:
        return toml(f"value = {text}", name)["value"]
    except ValueError:  # also a number with more digits than Python reads
        return text.strip()


def toml(text: str, name: str | Path) -> dict[str, Any]:
    """Returns the content of a text in TOML.

    Args:
        text: the text.
        name: how an error calls it.

    Raises:
        ValueError: if it is not TOML.
        ConfigError: if its tables and lists are too deep.
    """
    with suppress(RecursionError):
        content = tomllib.loads(text)
        level: list[Any] = [content]
        for _ in range(1 + LEVELS):  # the whole is no level
            inner = (own for outer in level for own in (outer.values() if isinstance(outer, dict) else outer))
            if not (level := [own for own in inner if isinstance(own, dict | list)]):
                return content
    raise ConfigError(f"{name}: expected tables and lists at most {LEVELS} levels deep, got more")
