"""A user's own environments as runs need them: one for each seed, in lockstep, tensors on the device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from vbandits.envs.base import HeldOut
from vbandits.envs.processes import Processes
from vbandits.envs.spaces import Observation
from vbandits.envs.together import Together

COUNTED = {"initial": "labels that are known from the start", "budget": "labels to be bought"}
"""What is counted when an episode has begun, in words."""


class UserEnvironments(VectorEnv):
    """R of a user's environments, one for each seed, with the interface of the native ones of their family.

    Observations, actions and rewards (float64 [R]) are tensors. Of a bandit, an episode's end leads to the next context
    of the same sub-environment, and `info` is `{"regret": float64 [R]}`. In active learning all episodes end at once
    and none starts by itself; `info` is `{"action_mask": int8 [R, A]}`, and there are the attributes of the native
    problems, as far as the environment has them: `targets` is None where it has none.

    Attributes:
        family: "bandit", "pool" or "stream".
        sub_environments: each with its checks.
    """

    def __init__(self, played: Together | Processes, device: torch.device | str = "cpu") -> None:
        """Takes sub-environments, one for each seed."""
        self._played = played
        self.sub_environments = played.sub_environments
        first, self.device = self.sub_environments[0], torch.device(device)
        self.family = first.family
        self.metadata = {"autoreset_mode": first.autoreset, "render_modes": []}
        self.num_envs = len(self.sub_environments)
        self.single_observation_space, self.single_action_space = played.single_spaces
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        vars(self).update(self._tensor(first.offers()))
        self._over = first.autoreset == AutoresetMode.DISABLED

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts every sub-environment with its seed (an int counts up); without seeds, the next episode of each."""
        seen = self._played.reset(range(seed, seed + self.num_envs) if isinstance(seed, int) else seed)
        first = self.sub_environments[0]
        for name, count in first.counts.items():
            counts = [one.counts[name] for one in self.sub_environments]
            if set(counts) != {count}:
                raise ValueError(
                    f"expected as many {COUNTED[name]} in all sub-environments, got {', '.join(map(str, counts))}: all "
                    "seeds are played as one batch"
                )
        vars(self).update(first.counts)
        self._over = False
        return self._tensor(seen), self._info()

    def step(self, actions: Any) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Plays `actions`, counted from 0: [R], or [R, b] where b labels are bought at a time."""
        if self._over:
            raise ValueError(
                "expected an episode that is running, got a step before reset() or after the end: call reset()"
            )
        seen, reward, terminated, truncated = self._played.step(torch.as_tensor(actions).cpu().numpy())
        if self.sub_environments[0].autoreset == AutoresetMode.DISABLED:
            over = terminated | truncated
            if over.any() and not over.all():
                raise ValueError(
                    f"expected all sub-environments to end at once, got an end in number {over.argmax()} but not in "
                    f"number {over.argmin()}: let budgets and lengths not depend on the seed"
                )
            self._over = bool(over.any())
        return (*(self._tensor(part) for part in (seen, reward, terminated, truncated)), self._info())

    def held_out(self, seeds: Sequence[int], played: int) -> HeldOut | None:
        """Returns what all environments hold out of their problems as they stand; None unless all of them do."""
        found = self._played.held_out()
        if not found or any(own is None for own in found):
            return None
        kept = [own for own in found if own is not None]
        observed = [[Observation.of(self._tensor(one)) for one in seen] for seen, _, _ in kept]
        stacked = [Observation(*map(_stacked, zip(*own, strict=True))) for own in observed]
        expected, rewards = (np.stack([own[place] for own in kept]) for place in (1, 2))
        return HeldOut(Observation(*map(_stacked, zip(*stacked, strict=True))), expected, rewards)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments."""
        self._played.close()

    def _info(self) -> dict[str, Tensor]:
        names = self.sub_environments[0].info
        return {name: self._tensor(np.stack([one.info[name] for one in self.sub_environments])) for name in names}

    def _tensor(self, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: self._tensor(part) for name, part in values.items()}
        return torch.from_numpy(values).to(self.device) if isinstance(values, np.ndarray) else values


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Returns parts of observations as one; None if there are none."""
    given = [part for part in parts if part is not None]
    return torch.stack(given) if given else None
