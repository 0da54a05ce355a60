"""The methods that have a name: a file for each benchmark, in the language of experiment files.

Apart from the registry, which every start of vbandits imports.
"""

import tomllib
from pathlib import Path
from typing import Any

from vbandits.registry import POSTERIORS, RULES
from vbandits.serialize import kind_of

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


def nearest(presets: Presets, posterior: Any, rule: Any = None) -> str | None:
    """Returns the preset with a posterior of the same kind; None if there is none.

    Of several it is the one with the fewest settings of the posterior that differ, then the one with the rule, then the
    first.
    """
    kind, rule_kind = kind_of(type(posterior), POSTERIORS), kind_of(type(rule), RULES)

    def distance(name: str) -> tuple[int, bool]:
        settings = {key: value for key, value in presets[name]["posterior"].items() if key != "kind"}
        differ = sum(getattr(posterior, key) != value for key, value in settings.items())
        return differ, presets[name].get("rule", {}).get("kind") != rule_kind

    same = [name for name, content in presets.items() if content.get("posterior", {}).get("kind") == kind]
    return min(same, key=distance, default=None)


PRESETS = read("agents", HERE / "agents.toml", HERE / "forgetting.toml")
METHODS, LEARNERS = read("methods", HERE / "methods.toml"), read("learners", HERE / "learners.toml")
