"""Several of a user's environments in one process, stepped one after another."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from vbandits.envs.active.user import PoolEnvironment, StreamEnvironment
from vbandits.envs.bandit import Bandit
from vbandits.envs.base import CONTEXTS, REWARDS
from vbandits.envs.spaces import family
from vbandits.envs.sub_environment import SubEnvironment

CLASSES: dict[str, type[SubEnvironment]] = {kind.family: kind for kind in (Bandit, PoolEnvironment, StreamEnvironment)}


def problems(environment: Any) -> list[str]:
    """Returns what keeps a plain environment from being played, in plain words; empty if nothing does."""
    if not isinstance(environment, gymnasium.Env):
        kind = f"{type(environment).__module__}.{type(environment).__qualname__}"
        hint = "make one environment, not a batch, or" if isinstance(environment, VectorEnv) else "derive it, or"
        return [f"expected a gymnasium.Env, got a {kind}: {hint} subclass vbandits.envs.NativeBandit"]
    return CLASSES[family(environment)].problems(environment)


class Together:
    """Sub-environments of this process, each with its checks.

    Attributes:
        sub_environments: in the order of seeds.
        single_spaces: what is observed and done in each.
    """

    def __init__(self, environments: Sequence[Any], start: int = 0) -> None:
        """Takes one environment for each seed; the first is number `start` of all that are played.

        Raises:
            ValueError: if one of them cannot be played, is not like the first, or is there twice.
        """
        found = list(dict.fromkeys(problem for environment in environments for problem in problems(environment)))
        if found:
            raise ValueError("; ".join(found))
        if len({id(environment.unwrapped) for environment in environments}) < len(environments):
            raise ValueError(
                "expected a new environment for each seed, got the same object twice: create it inside the function "
                "that makes it"
            )
        kinds = [CLASSES[family(environment)] for environment in environments]
        self.sub_environments = [kind(environment) for kind, environment in zip(kinds, environments, strict=True)]
        require_alike(self.sub_environments, start)
        self._batch = SyncVectorEnv(
            [lambda one=one: one for one in self.sub_environments], autoreset_mode=self.sub_environments[0].autoreset
        )
        self.single_spaces = (self._batch.single_observation_space, self._batch.single_action_space)

    def reset(self, seeds: Sequence[int] | None) -> Any:
        """Starts every sub-environment, with its seed if there are any, and returns their observations [R, ...]."""
        return self._batch.reset(seed=None if seeds is None else list(seeds))[0]

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Returns observations, rewards, terminated and truncated, all [R, ...]."""
        return self._batch.step(actions)[:4]

    def held_out(self) -> list[Any]:
        """Returns what each bandit holds out, see `Bandit.held_out`."""
        return [one.held_out(CONTEXTS, REWARDS) for one in self.sub_environments if isinstance(one, Bandit)]

    def close(self) -> None:
        """Closes the environments."""
        self._batch.close()


def require_alike(found: Sequence[Any], start: int = 0) -> None:
    """Raises a ValueError unless sub-environments can be played as one batch; the first is number `start` of all."""
    first = found[0]
    if different := [one.sizes for one in found if one.sizes != first.sizes]:
        raise ValueError(
            f"expected the same {first.alike} in every sub-environment, got {first.sizes} and {different[0]}: all "
            "seeds are played as one batch"
        )
    common = [one.common() for one in found]
    for name, one in common[0].items():
        for place, own in enumerate(common):
            if one is not own[name] and not np.array_equal(np.asarray(one), np.asarray(own[name])):
                raise ValueError(
                    f"expected the same {name} in all sub-environments, got others in number {start + place}: make "
                    "them without random numbers of an episode, so that seeds share a pool"
                )
