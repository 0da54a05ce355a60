"""The methods that have a name: a file for each benchmark, in the language of experiment files.

Apart from the registry, which every start of vbandits imports.
"""

import tomllib
from pathlib import Path
from typing import Any

Presets = dict[str, dict[str, Any]]
"""Methods by name, as the sections of an experiment file."""


HERE = Path(__file__).parent


def read(section: str, *files: Path) -> Presets:
    """Returns the presets of a section, such as [agents.NAME], in files.

    Raises:
        ValueError: if a name is in two.
    """
    found = {}
    for file in files:
        own = tomllib.loads(file.read_text(encoding="utf-8"))[section]
        if twice := found.keys() & own.keys():
            raise ValueError(f"expected each preset in one file, got {', '.join(sorted(twice))} again in {file}")
        found |= own
    return found


PRESETS = read("agents", HERE / "agents.toml", HERE / "forgetting.toml")
METHODS, LEARNERS = read("methods", HERE / "methods.toml"), read("learners", HERE / "learners.toml")
