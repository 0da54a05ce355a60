"""Active learning as someone writes it who has never heard of this library: gymnasium and NumPy, nothing else."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ROWS, TEST = 40, 15


def rows(seed, count):
    """Returns two clouds [N, 2] and which of them a row is of."""
    random = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return random.normal(size=(count, 2)).astype(np.float32) + 4 * y[:, None].astype(np.float32), y


class Labs(gymnasium.Env):
    """Samples of which a laboratory tells the kind, `batch` at a time; `fault` makes it return something wrong."""

    def __init__(self, budget=6, batch=2, fault="", targets=True):
        self.features, truth = rows(0, ROWS)
        self._truth = truth
        if targets:
            self.targets = truth
        self.test_features, self.test_targets = rows(1, TEST)
        self.budget, self.batch, self.fault = budget, batch, fault
        self.observation_space = spaces.Dict(
            labels=spaces.Box(-1, 1, (ROWS,), np.int64),
            queried=spaces.Box(-1, ROWS - 1, (batch,), np.int64),
            budget_left=spaces.Discrete(budget + 1),
        )
        self.action_space = spaces.Discrete(ROWS) if batch == 1 else spaces.MultiDiscrete([ROWS] * batch)

    def _seen(self, queried):
        info = {"action_mask": (self.labels < 0).astype(np.int8)}
        if self.fault == "no mask" and self.left < self.budget:
            info = {}
        if self.fault == "wrong mask" and self.left < self.budget:
            info["action_mask"][:] = 1
        return {"labels": self.labels.copy(), "queried": np.array(queried), "budget_left": self.left}, info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.budget
        self.labels = np.full(ROWS, -1)
        first = self.np_random.permutation(ROWS // 2)[:2] * 2
        for row in (first[0], first[1] + 1):
            self.labels[row] = self._truth[row]
        if self.fault == "none known":
            self.labels[:] = -1
        return self._seen([-1] * self.batch)

    def step(self, action):
        chosen = np.atleast_1d(action)
        if self.fault != "accepts" and ((self.labels[chosen] >= 0).any() or len(set(chosen.tolist())) < len(chosen)):
            raise ValueError("no")
        self.labels[chosen] = self._truth[chosen] + 5 * (self.fault == "class")
        if self.fault == "silent":
            self.labels[chosen] = -1
        if self.fault == "more":
            self.labels[:] = self._truth
        self.left -= self.batch * (self.fault != "free")
        ended = self.left == 0 and self.fault != "endless"
        seen, info = self._seen(chosen if self.fault != "others" else chosen * 0)
        return seen, float("nan") if self.fault == "nan" else -1.0, ended, False, info


class Doses(gymnasium.Env):
    """A regression whose rows arrive one at a time."""

    def __init__(self, budget=3, fault=""):
        random = np.random.default_rng(0)
        self.features = random.normal(size=(20, 3)).astype(np.float32)
        self.targets = self.features.sum(1).astype(np.float64)
        self.test_features, self.test_targets = self.features[:5].copy(), self.targets[:5].copy()
        self.steps, self.budget, self.fault = 8, budget, fault
        self.observation_space = spaces.Dict(
            context=spaces.Box(-np.inf, np.inf, (3,), np.float32),
            label=spaces.Box(-np.inf, np.inf, (), np.float64),
            budget_left=spaces.Box(0, budget, (), np.int64),
        )
        self.action_space = spaces.Discrete(2)

    def _seen(self, label):
        row = self.order[min(self.step_number, self.steps - 1)]
        mask = np.array([1, int(self.left > 0)], np.int8)
        return {"context": self.features[row].copy(), "label": np.array(label), "budget_left": np.array(self.left)}, {
            "action_mask": mask
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.order = self.np_random.permutation(20)
        self.left, self.step_number = self.budget, 0
        return self._seen(np.nan)

    def step(self, action):
        label = self.targets[self.order[self.step_number]] if action or self.fault == "gift" else np.nan
        self.left -= int(action)
        self.step_number += 1
        seen, info = self._seen(label)
        return seen, -float(action), self.step_number == self.steps, False, info


class Moving(Labs):
    """Has other rows every time."""

    made = 0

    def __init__(self):
        super().__init__()
        Moving.made += 1
        self.features = self.features + Moving.made


class Uneven(Labs):
    """Ends by chance of the seed."""

    def step(self, action) -> Any:
        seen, reward, terminated, _, info = super().step(action)
        return seen, reward, terminated, bool(self.np_random.random() < 0.5), info


class Forgetful(Labs):
    """Has no test set."""

    def __init__(self):
        super().__init__()
        del self.test_targets


class Half(Labs):
    """Does not say what was asked."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Dict({k: v for k, v in self.observation_space.items() if k != "queried"})


class Narrow(Labs):
    """Lets half of the rows be asked for."""

    def __init__(self):
        super().__init__(batch=1)
        self.action_space = spaces.Discrete(ROWS // 2)
