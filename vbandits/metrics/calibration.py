"""Calibration of predictive distributions, from their probability integral transforms (PIT)."""

import numpy as np

LEVELS = (0.5, 0.9, 0.95)


def coverage(pit: np.ndarray, level: float) -> float:
    """Returns the part of targets inside the central interval of a level; `pit` is any array, NaN where there is none.

    A target lies between the quantiles (1 - level) / 2 and (1 + level) / 2 exactly where its PIT does.
    """
    known = pit[~np.isnan(pit)]
    return float((np.abs(known - 0.5) <= level / 2).mean()) if known.size else float("nan")
