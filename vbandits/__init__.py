"""vbandits: which uncertainty-aware network should make my sequential decisions, and can I trust what it says?"""

import os
from typing import TYPE_CHECKING, Any

# Before anything is multiplied: MKL's products then do not depend on where in memory a matrix lies, so that a seed has
# the same result wherever it stands in a batch. It costs no time.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from vbandits.registry import register_environments

__version__ = "0.1.0"

register_environments()

__all__ = [
    "AgentSpec",
    "ConfigError",
    "EnvironmentSpec",
    "PolicySpec",
    "Results",
    "__version__",
    "check",
    "compare",
    "evaluate_policy",
    "load",
    "load_agent",
    "load_log",
    "merge",
    "preset",
    "run",
]
_LAZY = {
    "AgentSpec": "vbandits.agents.agent",
    "EnvironmentSpec": "vbandits.envs.spec",
    "ConfigError": "vbandits.errors",
    "PolicySpec": "vbandits.agents.policy",
    "Results": "vbandits.benchmarks.bandits.results",
    "check": "vbandits.envs.check",
    "compare": "vbandits.api",
    "evaluate_policy": "vbandits.benchmarks.offline.evaluation",
    "load": "vbandits.api",
    "load_agent": "vbandits.api",
    "merge": "vbandits.api",
    "preset": "vbandits.api",
    "load_log": "vbandits.data.logs",
    "run": "vbandits.api",
}

if TYPE_CHECKING:
    from vbandits.agents.agent import AgentSpec
    from vbandits.agents.policy import PolicySpec
    from vbandits.api import compare, load, load_agent, merge, preset, run
    from vbandits.benchmarks.bandits.results import Results
    from vbandits.benchmarks.offline.evaluation import evaluate_policy
    from vbandits.data.logs import load_log
    from vbandits.envs.check import check
    from vbandits.envs.spec import EnvironmentSpec
    from vbandits.errors import ConfigError


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # torch takes a second to import: `vbandits --help` does not wait for it
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    moved = ": it is ConfigError now" if name == "Refused" else ""
    raise AttributeError(f"module 'vbandits' has no attribute {name!r}{moved}")
