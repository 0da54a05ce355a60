"""The methods that have a name: a file for each benchmark, in the language of experiment files.

Apart from the registry, which every start of vbandits imports.
"""

import tomllib
from pathlib import Path
from typing import Any

Presets = dict[str, dict[str, Any]]
"""Methods by name, as the sections of an experiment file."""


def read(path: Path) -> Presets:
    """Returns the presets of a file: agents.toml has [agents.NAME], methods.toml [methods.NAME], and so on.

    Raises:
        KeyError: if it has no such section.
    """
    return tomllib.loads(path.read_text(encoding="utf-8"))[path.stem]


PRESETS, METHODS, LEARNERS = (
    read(Path(__file__).parent / f"{section}.toml") for section in ("agents", "methods", "learners")
)
