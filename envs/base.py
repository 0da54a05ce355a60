"""The native bandit: a gymnasium vector environment whose lanes run in lockstep, with tensors on the device."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

BLOCK = 256
"""Steps that a lane makes ahead. A lane's blocks have this length whatever the number of steps or of lanes."""


class Block(NamedTuple):
    """The next `BLOCK` steps of one lane: contexts [BLOCK, D]; expected and realised rewards of all arms [BLOCK, A]."""

    contexts: np.ndarray
    expected: np.ndarray
    rewards: np.ndarray


class NativeBandit(VectorEnv):
    """A bandit that never ends, one lane per seed. Subclasses write `blocks` and call `__init__` with the sizes.

    An episode has no end: `terminated` and `truncated` stay False, and the observation that `step` returns is the next
    context. `info` carries `expected_reward`, `optimal_expected_reward` and `optimal_action` of the action just taken,
    each [R]. Observations [R, D] are float32 and rewards [R] float64, on `device`.
    """

    def __init__(self, num_envs: int, device: torch.device | str, *, features: int, arms: int) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.num_envs = num_envs
        self.features, self.arms = features, arms
        self.device = torch.device(device)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (features,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(arms)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._lanes: list[Iterator[Block]] = []
        self._lane = torch.arange(num_envs, device=self.device)
        self._step = 0

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one lane's steps, block after block, for ever. `seed` decides everything."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Starts the problems of the given seeds, one per lane (an int counts up); without seeds, goes on to the next
        context of the problems that are there."""
        if seed is None and not self._lanes:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if seed is None:
            self._advance()
        else:
            seeds = [seed + lane for lane in range(self.num_envs)] if isinstance(seed, int) else list(seed)
            if len(seeds) != self.num_envs:
                raise ValueError(f"expected one seed for each of {self.num_envs} lanes, got {len(seeds)}")
            self._lanes = [self.blocks(lane_seed) for lane_seed in seeds]
            self._refill()
        return self._contexts[:, self._step], {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Plays `actions` [R] and goes on to the next contexts."""
        actions = torch.as_tensor(actions, device=self.device)
        reward = self._rewards[self._lane, self._step, actions]
        optimum = self._expected[:, self._step].max(1)
        info = {
            "expected_reward": self._expected[self._lane, self._step, actions],
            "optimal_expected_reward": optimum.values,
            "optimal_action": optimum.indices,
        }
        self._advance()
        never = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        return self._contexts[:, self._step], reward, never, never, info

    def _advance(self) -> None:
        self._step += 1
        if self._step == BLOCK:
            self._refill()

    def _refill(self) -> None:
        self._step = 0
        contexts, expected, rewards = zip(*(next(lane) for lane in self._lanes), strict=True)
        self._contexts = torch.from_numpy(np.stack(contexts).astype(np.float32, copy=False)).to(self.device)
        self._expected = torch.from_numpy(np.stack(expected).astype(np.float64, copy=False)).to(self.device)
        self._rewards = torch.from_numpy(np.stack(rewards).astype(np.float64, copy=False)).to(self.device)


class SingleLane(gymnasium.Env):
    """One lane of a native bandit as a plain `gymnasium.Env`, with NumPy arrays and Python numbers."""

    def __init__(self, vector: Callable[..., NativeBandit], **kwargs: Any) -> None:
        self._vector = vector(num_envs=1, device="cpu", **kwargs)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts the problem of `seed`; without one, goes on to the next context."""
        super().reset(seed=seed)
        observation, _ = self._vector.reset(seed=seed)
        return observation[0].numpy(), {}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Plays one action."""
        observation, reward, _, _, info = self._vector.step(torch.tensor([int(action)]))
        return observation[0].numpy(), reward.item(), False, False, {key: value.item() for key, value in info.items()}


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raises a ValueError that says what a parameter should have been, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {got!r}")
