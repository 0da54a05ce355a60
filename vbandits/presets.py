"""The methods that have a name, from presets.toml: apart from the registry, which every start of vbandits imports."""

import tomllib
from pathlib import Path
from typing import Any

Presets = dict[str, dict[str, Any]]
"""Methods by name, as the sections of an experiment file."""
_read: dict[str, Presets] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PRESETS, METHODS, LEARNERS = (_read[section] for section in ("agents", "methods", "learners"))
