"""Environments whose sub-environments are stepped in processes of their own; gymnasium and NumPy, nothing else."""

import os
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Slow(gymnasium.Env):
    """Says where it runs: contexts hold the process; a call can do what a slow or faulty environment does."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self, does="nothing", seed=None, shown=False, left=None):
        self.does, self.only, self.shown, self.left = does, seed, shown, left

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.lane = self.lane if seed is None else seed
        self.age = 0
        return self._context(), {}

    def step(self, action):
        self.age += 1
        if self.age == 2 and self.only in (None, self.lane):
            getattr(self, self.does)()
        pay = float(self.np_random.random()) + 0.25 * action
        return self._context(), pay, False, self.age == 3 + self.lane % 2, {"regret": 0.25 * (1 - action)}

    def close(self):
        if self.left is not None:
            with open(self.left, "a", encoding="utf-8") as file:
                file.write(f"{self.lane}\n")

    def _context(self):
        return np.array([self.age, os.getpid() if self.shown else 0, self.np_random.random()])

    def nothing(self):
        """Goes on."""

    def fail(self):
        """Raises an error that cannot be copied as it is."""
        raise Particular(self, 1)

    def leave(self):
        """Ends the process."""
        os._exit(3)

    def prints(self):
        """Prints, which must not come between what processes tell each other."""
        print("a step", flush=True)

    def hang(self):
        """Is as slow as can be."""
        time.sleep(600)


class Particular(Exception):
    """Is made of what no copy is made of."""

    def __init__(self, environment, number):
        super().__init__(f"number {number}")
