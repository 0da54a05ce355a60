"""From what a user wrote to an experiment: all of it is checked before anything runs, and all faults told at once."""

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import KINDS, Experiment
from vbandits.experiment.config import parse
from vbandits.registry import load, unknown

__all__ = ["ConfigError", "parse", "read", "resolve"]


def read(path: Path) -> dict[str, Any]:
    """Returns the content of an experiment file.

    Raises:
        ConfigError: if it is missing or not TOML.
    """
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        message = unknown("experiment file", str(path), near) if near else f"no experiment file {str(path)!r}"
        raise ConfigError([message])
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: expected TOML, got: {error}"]) from None


def resolve(
    document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
) -> Experiment:
    """Returns the experiment that a document (the content of a file) and `settings` ("section.field=value") describe.

    Args:
        document: with the sections of one kind of experiment, such as `environments` and `agents`.
        settings: fields that are changed wherever they are.
        data_dir: where data sets lie; without it, the environment variable VBANDITS_DATA says so.

    Raises:
        ConfigError: with all faults of the document.
    """
    settings = tuple(settings)
    named = [kind for kind in KINDS.values() if any(section in document for section in kind.sections)]
    if len(named) == 1:
        return load(named[0].resolve)(document, settings, data_dir)
    wanted = " or ".join(" and ".join(f"[[{section}]]" for section in kind.sections) for kind in KINDS.values())
    given = [f"[[{section}]]" for kind in named for section in kind.sections if section in document]
    faults = [f"experiment: expected either {wanted}, got {' and '.join(given) or 'none of them'}"]
    known = [section for kind in KINDS.values() for section in kind.sections]
    faults += [
        f"experiment: {unknown('key', key, known)}"
        for key in document
        if key not in known and get_close_matches(key, known, cutoff=0.8)
    ]
    raise ConfigError(faults)
