"""Regret, as pure functions of arrays [R, T] in float64."""

from collections.abc import Mapping
from typing import Any

import numpy as np

TOLERANCE = 1e-6
LAST = 500
"""Decisions at the end of a run over which simple regret is a mean."""


def from_info(info: Mapping[str, Any]) -> Any:
    """Returns the regret of a step [R]: what `info` says, else optimal minus expected reward of the arms taken."""
    return info["regret"] if "regret" in info else info["optimal_expected_reward"] - info["expected_reward"]


def check(regret: np.ndarray) -> np.ndarray:
    """Returns `regret`, optimal minus expected reward of the arms taken, with rounding below 0 cut off.

    Raises:
        ValueError: if an arm was better than the best by more than rounding: the environment's optimum is wrong.
    """
    if np.any(regret < -TOLERANCE):
        raise ValueError(
            f"expected a regret of at least 0, got {np.nanmin(regret):.6g}: the environment's optimal_expected_reward "
            "is less than the expected_reward of the action taken"
        )
    return np.where(regret < 0, 0.0, regret)


def simple_regret(cumulative: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Returns the mean regret of the last 500 decisions, or of all where there are fewer.

    Args:
        cumulative: regret summed up to each recorded step [..., G].
        steps: the recorded steps, counted from 0 [G]; the last, and the one 500 before it, must be among them.
    """
    last = steps[-1]
    if last < LAST:
        return cumulative[..., -1] / (last + 1)
    return (cumulative[..., -1] - cumulative[..., np.flatnonzero(steps == last - LAST)[0]]) / LAST
