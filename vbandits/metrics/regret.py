"""Regret, as pure functions of arrays [R, T] in float64."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

RELATIVE = 1e-5
"""Of the size of two means: what rounding to float32 can make of their difference where they are sums of many terms."""
ROUNDINGS = 8
"""The same in roundings of the numbers' own type, where it is coarser than float32."""
LAST = 500
LATE = 0.2
"""Part of a run, at its end, over which late regret is a mean."""


def from_info(info: Mapping[str, Any]) -> Any:
    """Returns the regret of a step [R]: what `info` says, else optimal minus expected reward of the arms taken."""
    return info["regret"] if "regret" in info else info["optimal_expected_reward"] - info["expected_reward"]


def rounding(*values: Any) -> float:
    """Returns how far apart rounding can put two equal numbers of the size and type of these, each a single one.

    Python's own numbers and float64 may come from float32, so no type is taken for a finer one.
    """
    coarsest = max((_precision(value) for value in values), default=0.0)
    sizes = [abs(value.item() if hasattr(value, "item") else value) for value in values]
    return max(RELATIVE, ROUNDINGS * coarsest) * max(sizes, default=0.0)


def _precision(value: Any) -> float:
    kind = getattr(value, "dtype", None)
    if isinstance(kind, torch.dtype):
        return torch.finfo(kind).eps if kind.is_floating_point else 0.0
    return float(np.finfo(kind).eps) if isinstance(kind, np.dtype) and kind.kind == "f" else 0.0


def check(regret: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """Returns `regret`, optimal minus expected reward of the arms taken, with rounding below 0 cut off.

    Args:
        regret: of all seeds and steps [R, T].
        rewards: that were paid [R, T]; a seed's largest says how large the means are that are compared.

    Raises:
        ValueError: if an arm was better than the best by more than rounding: the environment's optimum is wrong.
    """
    size = np.fmax(np.abs(rewards), np.abs(regret)).max(1, keepdims=True, initial=0)
    wrong = regret < -RELATIVE * size
    if wrong.any():
        seed, step = (int(place) for place in np.argwhere(wrong)[0])
        raise ValueError(
            f"in step {step} (counted from 0) of seed number {seed} (from 0, of those that ran together): expected a "
            f"regret of at least 0, got {regret[seed, step]:.6g}: it is what the action fell short of the best one, in "
            "expectation, so optimal_expected_reward must not be less than any expected_reward"
        )
    return np.where(regret < 0, 0.0, regret)


def late_regret(cumulative: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Returns the mean regret per decision of about the last fifth of a run [...], exploration included.

    Args:
        cumulative: regret summed up to each recorded step [..., G].
        steps: the recorded steps, counted from 0 [G], the last one of the run among them.
    """
    start = np.searchsorted(steps, (1 - LATE) * steps[-1], side="right") - 1
    if start < 0 or start == len(steps) - 1:  # nothing is recorded before it
        return cumulative[..., -1] / (steps[-1] + 1)
    return (cumulative[..., -1] - cumulative[..., start]) / (steps[-1] - steps[start])
