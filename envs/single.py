"""Native problems as plain `gymnasium.Env`s: `vbandits.envs.single:Wheel` is the entry point of one `Wheel`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from vbandits.envs.base import Native, Tensors
from vbandits.registry import ENVIRONMENTS, load


def __getattr__(name: str) -> Any:
    """Returns what makes a native problem of one seed, by the name of its class."""
    for place in ENVIRONMENTS.values():
        if place.partition(":")[2] == name:
            return partial(SingleEnvironment, load(place))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class SingleEnvironment(gymnasium.Env):
    """A native problem of one seed as a plain `gymnasium.Env`, with NumPy arrays and Python numbers."""

    def __init__(self, vector: Callable[..., Native], **kwargs: Any) -> None:
        self._vector = vector(num_envs=1, device="cpu", **kwargs)
        self.metadata = {key: value for key, value in self._vector.metadata.items() if key != "autoreset_mode"}
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space
        for name in self._vector.shown:
            value = getattr(self._vector, name)
            setattr(self, name, value.numpy() if isinstance(value, Tensor) else value)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray | dict[str, np.ndarray], dict[str, Any]]:
        """Starts the problem of `seed`; without one, goes on."""
        super().reset(seed=seed)
        observation, info = self._vector.reset(seed=seed)
        return _first(observation), _told(info)

    def step(self, action: Any) -> tuple[np.ndarray | dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Plays one action."""
        chosen = torch.from_numpy(np.array(action)[None])
        observation, reward, terminated, truncated, info = self._vector.step(chosen)
        return _first(observation), reward.item(), bool(terminated[0]), bool(truncated[0]), _told(info)


def _first(observation: Tensors) -> np.ndarray | dict[str, np.ndarray]:
    """Returns the observation of the first sub-environment as arrays."""
    if isinstance(observation, Tensor):
        return observation[0].numpy()
    return {name: part[0, ...].numpy() for name, part in observation.items()}


def _told(info: dict[str, Tensor]) -> dict[str, Any]:
    """Returns the info of the first sub-environment as arrays and numbers."""
    return {key: value[0].numpy() if value.ndim > 1 else value[0].item() for key, value in info.items()}
