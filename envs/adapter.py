"""A user's own environments as runs need them: one for each seed, in lockstep, tensors on the device."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from vbandits.envs.active.user import PoolEnvironment, StreamEnvironment
from vbandits.envs.bandit import Bandit
from vbandits.envs.base import CONTEXTS, REWARDS, HeldOut
from vbandits.envs.spaces import Observation, family
from vbandits.envs.sub_environment import SubEnvironment

CLASSES: dict[str, type[SubEnvironment]] = {kind.family: kind for kind in (Bandit, PoolEnvironment, StreamEnvironment)}
COUNTED = {"initial": "labels that are known from the start", "budget": "labels to be bought"}
"""What is counted when an episode has begun, in words."""


def problems(environment: Any) -> list[str]:
    """Returns what keeps a plain environment from being played, in plain words; empty if nothing does."""
    if not isinstance(environment, gymnasium.Env):
        kind = f"{type(environment).__module__}.{type(environment).__qualname__}"
        hint = "make one environment, not a batch, or" if isinstance(environment, VectorEnv) else "derive it, or"
        return [f"expected a gymnasium.Env, got a {kind}: {hint} subclass vbandits.envs.NativeBandit"]
    return CLASSES[family(environment)].problems(environment)


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

    def __init__(self, environments: Sequence[Any], device: torch.device | str = "cpu") -> None:
        """Takes one environment for each seed.

        Raises:
            ValueError: if one of them cannot be played, is not like the first, or is there twice.
        """
        found = list(dict.fromkeys(problem for environment in environments for problem in problems(environment)))
        if found:
            raise ValueError("; ".join(found))
        kinds = [CLASSES[family(environment)] for environment in environments]
        self.sub_environments = [kind(environment) for kind, environment in zip(kinds, environments, strict=True)]
        _require_alike(self.sub_environments)
        first, self.device = self.sub_environments[0], torch.device(device)
        self.family = first.family
        self._batch = SyncVectorEnv(
            [lambda one=one: one for one in self.sub_environments], autoreset_mode=first.autoreset
        )
        self.metadata = {"autoreset_mode": first.autoreset, "render_modes": []}
        self.num_envs = len(environments)
        self.single_observation_space = self._batch.single_observation_space
        self.single_action_space = self._batch.single_action_space
        self.observation_space = self._batch.observation_space
        self.action_space = self._batch.action_space
        vars(self).update(self._tensor(first.offers()))
        self._over = first.autoreset == AutoresetMode.DISABLED

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts every sub-environment with its seed (an int counts up); without seeds, the next episode of each."""
        seen, _ = self._batch.reset(seed=seed if seed is None or isinstance(seed, int) else list(seed))
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
        seen, reward, terminated, truncated, _ = self._batch.step(torch.as_tensor(actions).cpu().numpy())
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
        found = [own.held_out(CONTEXTS, REWARDS) for own in self.sub_environments if isinstance(own, Bandit)]
        if not found or any(own is None for own in found):
            return None
        kept = [own for own in found if own is not None]
        observed = [[Observation.of(self._tensor(one)) for one in seen] for seen, _, _ in kept]
        stacked = [Observation(*map(_stacked, zip(*own, strict=True))) for own in observed]
        expected, rewards = (np.stack([own[place] for own in kept]) for place in (1, 2))
        return HeldOut(Observation(*map(_stacked, zip(*stacked, strict=True))), expected, rewards)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments."""
        self._batch.close()

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


def _require_alike(found: Sequence[SubEnvironment]) -> None:
    """Raises a ValueError unless sub-environments are different objects that can be played as one batch."""
    first, owners = found[0], [one.environment.unwrapped for one in found]
    if len({id(owner) for owner in owners}) < len(owners):
        raise ValueError(
            "expected a new environment for each seed, got the same object twice: create it inside the function that "
            "makes it"
        )
    if different := [one.sizes for one in found if one.sizes != first.sizes]:
        raise ValueError(
            f"expected the same {first.alike} in every sub-environment, got {first.sizes} and {different[0]}: all "
            "seeds are played as one batch"
        )
    for name in first.shared:
        for place, owner in enumerate(owners):
            one, other = getattr(owners[0], name, None), getattr(owner, name, None)
            if one is not other and not np.array_equal(np.asarray(one), np.asarray(other)):
                raise ValueError(
                    f"expected the same {name} in all sub-environments, got others in number {place}: make them "
                    "without random numbers of an episode, so that seeds share a pool"
                )
