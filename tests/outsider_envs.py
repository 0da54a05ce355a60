"""Environments as someone writes them who has never heard of this library: gymnasium and NumPy, nothing else."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Ads(gymnasium.Env):
    """One-step episodes: which of three ads for a visitor? Click rates are known to the environment."""

    def __init__(self, discount=0.0):
        self.observation_space = spaces.Box(0.0, 1.0, (4,), np.float32)
        self.action_space = spaces.Discrete(3)
        self._discount = discount

    def _rates(self):
        return np.array([self._visitor[0], self._visitor[1], 0.5]) * (1 - self._discount)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._visitor = self.np_random.random(4).astype(np.float32)
        # an info of a reset that looks like a step's must be taken for nothing
        return self._visitor.copy(), {"expected_reward": -7.0, "optimal_expected_reward": 7.0, "regret": 99.0}

    def step(self, action):
        rates = self._rates()
        reward = float(self.np_random.random() < rates[action])
        info = {"expected_reward": float(rates[action]), "optimal_expected_reward": float(rates.max())}
        return self._visitor.copy(), reward, True, False, info


class Walk(gymnasium.Env):
    """Many-step episodes whose length differs from one to the next; each step's regret is the arm times 0.25."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length = int(self.np_random.integers(2, 9))
        self.age = 0
        return self._context(), {}

    def _context(self):
        return np.array([self.age, self.length], dtype=np.float64)

    def step(self, action):
        self.age += 1
        done = self.age == self.length
        # the last step of an episode is told apart, so that a lost one shows
        return self._context(), 1.0, False, done, {"regret": 0.25 * action + (10.0 if done else 0.0)}


class MixedTypes(gymnasium.Env):
    """What `info` holds depends on the lane: integers in even ones, fractions in odd ones; and words everywhere."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.lane = seed
        return np.ones(1, np.float32), {"note": "a new visitor"}

    def step(self, action) -> tuple:
        info = {"note": f"action {action}", "ragged": list(range(self.lane + 1)), "nothing": None}
        if self.lane % 2 == 0:
            info |= {"expected_reward": 1, "optimal_expected_reward": 2}
        else:
            info |= {"expected_reward": np.float32(0.25), "optimal_expected_reward": np.array([0.75])}
        return np.ones(1, np.float32), 1, True, False, info


class MixedTypesOf(MixedTypes):
    """Tells the regret that it is made with."""

    def __init__(self, regret):
        self.regret = regret

    def step(self, action):
        context, reward, terminated, truncated, info = super().step(action)
        info.clear()
        info["regret"] = self.regret
        return context, reward, terminated, truncated, info


class Forgetful(gymnasium.Env):
    """The lane of seed 1 never tells the optimum; that of seed 2 does so in every second step only."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.lane, self.steps = seed, 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        info = {"expected_reward": 0.5}
        if self.lane == 0 or (self.lane == 2 and self.steps % 2):
            info["optimal_expected_reward"] = 0.9
        return np.ones(1, np.float32), 0.0, False, False, info


class FromOne(gymnasium.Env):
    """Actions are 1, 2, 3; action a pays a and falls short of the best by 3 - a."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(3, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not an action"
        return np.ones(1, np.float32), float(action), False, False, {"regret": 3.0 - action}


class Images(gymnasium.Env):
    """Contexts are images of 2 x 3 pixels of 2 colours; no regret is told. The same buffer is returned each time."""

    observation_space = spaces.Box(0, 255, (2, 3, 2), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.image = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
        return self.image, {}

    def step(self, action):
        self.image += 1
        return self.image, 0.5, False, False, {}


class Faulty(gymnasium.Env):
    """Goes wrong at its step 57, counted from 0, in the way that it is asked to."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, fault="raises"):
        self.fault = fault
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action) -> tuple:
        wrong = self.steps == 57
        self.steps += 1
        observation, reward, info = np.zeros(3, np.float32), 0.0, {"regret": 0.5}
        if wrong and self.fault == "raises":
            raise KeyError("user 4711")
        if wrong and self.fault == "shape":
            observation = np.zeros(4, np.float32)
        if wrong and self.fault == "hole":
            observation[1] = np.nan
        if wrong and self.fault in ("nan", "inf"):
            reward = float(self.fault)
        if wrong and self.fault == "word":
            info = {"regret": "0.5"}
        if wrong and self.fault == "negative":
            info = {"expected_reward": 0.9, "optimal_expected_reward": 0.4}
        if wrong and self.fault == "four":
            return observation, reward, False, info
        return observation, reward, False, False, info


class Throttle(gymnasium.Env):
    """Continuous actions: not a bandit."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)


class Lone(gymnasium.Env):
    """One action, and words for observations: nothing is right."""

    observation_space = spaces.Text(5)
    action_space = spaces.Discrete(1)


class TellTale(gymnasium.Env):
    """The answer is in every info, and nowhere else: who can see it always wins.

    `answers` switches the answer off and leaves all else as it is.
    """

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(4)

    def __init__(self, answers=True):
        self.answers = answers

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.best = int(self.np_random.integers(4))
        context = self.np_random.normal(size=2).clip(-10, 10).astype(np.float32)
        return context, {"answer": self.best, "best_action": self.best} if self.answers else {}

    def step(self, action):
        reward = float(action == self.best)
        info = {"expected_reward": reward, "optimal_expected_reward": 1.0}
        if self.answers:
            info |= {"answer": self.best, "best_action": self.best, "optimal_action": self.best}
        else:
            info = {}
        return np.zeros(2, np.float32), reward, True, False, info


class Careless(gymnasium.Env):
    """Draws from NumPy's global generator, so that no seed means anything; tells half of what regret needs."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.random.rand(1).astype(np.float32), {}  # noqa: NPY002 (the fault that is meant)

    def step(self, action):
        return np.random.rand(1).astype(np.float32), 0.0, False, False, {"expected_reward": 0.5}  # noqa: NPY002


class Shared(gymnasium.Env):
    """Keeps its random numbers in the class, so that lanes disturb each other."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    random = np.random.default_rng(0)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            Shared.random = np.random.default_rng(seed)
        return Shared.random.random(1).astype(np.float32), {}

    def step(self, action):
        return Shared.random.random(1).astype(np.float32), 0.0, False, False, {"regret": 0.0}


class Deaf(gymnasium.Env):
    """Ignores the seed: every seed is the same problem."""

    observation_space = spaces.Box(0, 100, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(1, self.steps % 100, np.float32), float(action), False, False, {"regret": 1.0 - action}


_only = Walk()


def same_again():
    """A function that always returns the one environment."""
    return _only


def make_ads(discount=0.5):
    """A function that makes an environment."""
    return Ads(discount=discount)


gymnasium.register("acme/Ads-v0", entry_point="outsider_envs:Ads")
gymnasium.register("acme/Walk-v0", entry_point="outsider_envs:Walk")
gymnasium.register("acme/Images-v0", entry_point="outsider_envs:Images")
gymnasium.register("acme/Discounted-v0", entry_point="outsider_envs:Ads", kwargs={"discount": 0.5})
