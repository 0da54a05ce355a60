"""Logs for tests: Hillstrom's where it lies, and one that is made."""

import os
from pathlib import Path

import numpy as np
import pytest

from vbandits.data.folder import VARIABLE
from vbandits.data.logs import Log, load_log

DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")


def hillstrom(reward: str = "visit") -> Log:
    """Returns Hillstrom's log, or skips the test where it is not there."""
    if not (DATA / "hillstrom").is_dir():
        pytest.skip(f"needs {DATA}/hillstrom")
    return load_log("hillstrom", reward=reward, data_dir=DATA)


def open_bandit(policy="random") -> Log:
    """Returns the sample of the Open Bandit Dataset, or skips the test where it is not there."""
    if not (DATA / "obd").is_dir():
        pytest.skip(f"needs {DATA}/obd")
    return load_log("obd", policy=policy, data_dir=DATA)


def made(rows: int = 900, uniform: bool = True, seed: int = 0) -> Log:
    """Returns a log of three arms: the first pays in contexts above 0, the second below, the third 0.3 always."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 2))
    probabilities = np.full((rows, 3), 1 / 3) if uniform else random.dirichlet(np.full(3, 3.0), rows)
    action = (probabilities.cumsum(1) > random.random((rows, 1))).argmax(1)
    chance = np.column_stack([0.1 + 0.8 * (x[:, 0] > 0), 0.1 + 0.8 * (x[:, 0] < 0), np.full(rows, 0.3)])
    reward = (random.random(rows) < chance[np.arange(rows), action]).astype(float)
    return load_log((x, action, reward, probabilities[np.arange(rows), action]))
