"""An environment of active learning to copy: patients whose diagnosis can be bought, one at a time.

    vbandits check custom_pool:Patients        (in this folder)

Any `gymnasium.Env` works that has these spaces, tells in `info["action_mask"]` which rows may be asked for, refuses the
others, and has the rows as attributes: `features` [N, D] and `test_features` [M, D], the same for every seed, with
`test_targets` [M] and, if they may be judged on, `targets` [N]. Of a regression labels are float64, NaN where unknown.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

ROWS, TEST, BUDGET = 300, 200, 40


class Patients(gymnasium.Env):
    """Sells the diagnoses of 300 patients; one of each class is known from the start."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)  # the pool is the same for all seeds
        x = random.normal(size=(ROWS + TEST, 5)).astype(np.float32)
        y = (x[:, 0] * x[:, 1] + 0.5 * x[:, 2] > 0).astype(np.int64)
        self.features, self.test_features = x[:ROWS], x[ROWS:]
        self.targets, self.test_targets = y[:ROWS], y[ROWS:]
        self.observation_space = Dict(
            labels=Box(-1, 1, (ROWS,), np.int64),  # -1 where it is not known
            queried=Box(-1, ROWS - 1, (1,), np.int64),  # the last purchase
            budget_left=Discrete(BUDGET + 1),
        )
        self.action_space = Discrete(ROWS)  # MultiDiscrete([N] * b) where b labels are bought at a time

    def reset(self, *, seed=None, options=None):
        """Starts with one known diagnosis of each class, chosen by the seed."""
        super().reset(seed=seed)
        self.labels, self.left = np.full(ROWS, -1, np.int64), BUDGET
        for label in (0, 1):
            self.labels[self.np_random.choice(np.flatnonzero(self.targets == label))] = label
        return self._seen(-1)

    def step(self, row):
        """Sells one diagnosis, for 1."""
        if self.labels[row] >= 0:
            raise ValueError(f"expected a patient without a diagnosis, got {row}")
        self.labels[row] = self.targets[row]
        self.left -= 1
        observation, info = self._seen(row)
        return observation, -1.0, self.left == 0, False, info

    def _seen(self, row):
        observation = {"labels": self.labels.copy(), "queried": np.array([row], np.int64), "budget_left": self.left}
        return observation, {"action_mask": (self.labels < 0).astype(np.int8)}
