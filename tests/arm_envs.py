"""Environments whose arms have features, or are not always there, as a user writes them: gymnasium and NumPy alone."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Shop(gymnasium.Env):
    """Recommends one of six products, some of them sold out; what a product pays is linear in its features.

    A product that is sold out cannot be recommended: it is an error, so that an agent that ignores the mask fails.
    """

    products, size = 6, 3

    def __init__(self, with_context=True, with_mask=True, noise=0.1, padding=None):
        parts = {"arms": spaces.Box(-np.inf, np.inf, (self.products, self.size), np.float32)}
        if with_context:
            parts["context"] = spaces.Box(-1, 1, (2,), np.float32)
        if with_mask:
            parts["mask"] = spaces.MultiBinary(self.products)
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Discrete(self.products)
        self.noise, self.padding = noise, padding

    def _observation(self):
        self.arms = self.np_random.standard_normal((self.products, self.size)).astype(np.float32)
        self.mask = self.np_random.random(self.products) < 0.6
        self.mask[self.np_random.integers(self.products)] = True
        shown = self.arms if self.padding is None else np.where(self.mask[:, None], self.arms, self.padding)
        everything = {
            "arms": shown.astype(np.float32),
            "context": self.np_random.uniform(-1, 1, 2).astype(np.float32),
            "mask": self.mask.astype(np.int8),
        }
        return {name: everything[name] for name in self.observation_space.spaces}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action):
        if "mask" in self.observation_space.spaces and not self.mask[action]:
            raise RuntimeError(f"product {action} is sold out")
        expected = self.arms @ np.array([1.0, -0.5, 0.25])
        there = expected[self.mask] if "mask" in self.observation_space.spaces else expected
        info = {"expected_reward": float(expected[action]), "optimal_expected_reward": float(there.max())}
        reward = float(expected[action] + self.noise * self.np_random.standard_normal())
        return self._observation(), reward, True, False, info


class SoldOut(gymnasium.Env):
    """A plain context with a mask: arms are known by their place. `fault` makes it wrong from the third step on."""

    action_space = spaces.Discrete(4, start=1)
    observation_space = spaces.Dict(
        {"context": spaces.Box(0, 1, (1,), np.float32), "mask": spaces.MultiBinary(4)},
    )

    def __init__(self, fault=None):
        self.fault, self.steps = fault, 0

    def _observation(self):
        mask = np.array([1, self.steps % 2, 0, 1], np.int8)
        observation = {"context": np.ones(1, np.float32), "mask": mask}
        if self.steps > 2 and self.fault == "nothing":
            observation["mask"] = mask * 0
        if self.steps > 2 and self.fault == "two":
            observation["mask"] = mask * 2
        if self.steps > 2 and self.fault == "key":
            del observation["mask"]
        if self.steps > 2 and self.fault == "shape":
            observation["mask"] = mask[:3]
        return observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action):
        self.steps += 1
        return self._observation(), float(self.np_random.normal() + action), False, False, {"regret": 4.0 - action}
