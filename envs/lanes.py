"""A user's own `gymnasium.Env` as the runner needs it: several lanes in lockstep, tensors on the device."""

import math
import numbers
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Dict, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from vbandits.envs import spaces
from vbandits.envs.spaces import Form
from vbandits.metrics.regret import TOLERANCE

CONTRACT = ("regret", "expected_reward", "optimal_expected_reward")
"""The keys of `info` that regret is computed from, all three optional."""


def problems(environment: Any) -> list[str]:
    """Returns what keeps an environment from being played as a bandit, in plain words; empty if nothing does."""
    if not isinstance(environment, gymnasium.Env):
        kind = f"{type(environment).__module__}.{type(environment).__qualname__}"
        hint = "make one environment, not a batch, or" if isinstance(environment, VectorEnv) else "derive it, or"
        return [f"expected a gymnasium.Env, got a {kind}: {hint} subclass vbandits.envs.NativeBandit"]
    found = []
    actions, contexts = (getattr(environment, name, None) for name in ("action_space", "observation_space"))
    if not isinstance(actions, Discrete):
        found.append(
            f"expected a Discrete action space, got {actions}: offer a finite number of actions, for instance "
            "through a gymnasium.ActionWrapper that picks one of several"
        )
    elif actions.n < 2:
        found.append(f"expected at least 2 actions, got {actions}: there is nothing to decide")
    return found + spaces.faults(contexts, int(actions.n) if isinstance(actions, Discrete) else None)


class GymnasiumLanes(VectorEnv):
    """Lanes of a user's environment, one per seed. An episode's end leads to the next context of the same lane.

    Contexts of any shape are flattened to float32 [R, D]; features of arms are float32 [R, A, F] and a mask is int8
    [R, A], where the observation is a dict. Actions count from 0 whatever the action space starts at, rewards are
    float64 [R], and `info` is `{"regret": float64 [R]}`, NaN where the environment does not tell it.
    """

    def __init__(self, environments: Sequence[gymnasium.Env], device: torch.device | str = "cpu") -> None:
        """Takes one environment per lane.

        Raises:
            ValueError: if one of them cannot be played, is not like the first, or is there twice.
        """
        found = list(dict.fromkeys(problem for environment in environments for problem in problems(environment)))
        if found:
            raise ValueError("; ".join(found))
        _require_alike(environments)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.device = torch.device(device)
        self.lanes = [Lane(environment) for environment in environments]
        self._batch = SyncVectorEnv(
            [lambda lane=lane: lane for lane in self.lanes], autoreset_mode=AutoresetMode.SAME_STEP
        )
        self.num_envs = len(self.lanes)
        self.single_observation_space = self._batch.single_observation_space
        self.single_action_space = self._batch.single_action_space
        self.observation_space = self._batch.observation_space
        self.action_space = self._batch.action_space

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts every lane with its seed; without seeds, goes on to the next episode of each lane."""
        contexts, _ = self._batch.reset(seed=seed if seed is None or isinstance(seed, int) else list(seed))
        return self._tensor(contexts), {}

    def step(self, actions: Any) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Plays `actions` [R], counted from 0."""
        contexts, rewards, terminated, truncated, _ = self._batch.step(torch.as_tensor(actions).cpu().numpy())
        regret = np.array([lane.regret for lane in self.lanes], dtype=np.float64)
        return (
            self._tensor(contexts),
            self._tensor(rewards),
            self._tensor(terminated),
            self._tensor(truncated),
            {"regret": self._tensor(regret)},
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments."""
        self._batch.close()

    def _tensor(self, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: self._tensor(part) for name, part in values.items()}
        return torch.from_numpy(values).to(self.device)


class Lane(gymnasium.Env):
    """One environment, with everything that it returns checked, and what it tells of its regret kept aside.

    `info` ends here. A batched info is a trap: the finished step's hides in `final_info` beneath the next reset's, a
    key takes the type of the first lane that has it, and a missing key reads 0.

    Attributes:
        regret: of the last step; NaN if the environment does not tell it.
        told: how often each key of the contract was there.
        steps: steps played since the last seed.
        episodes: episodes that ended since the last seed.
    """

    def __init__(self, environment: gymnasium.Env) -> None:
        assert isinstance(environment.action_space, Discrete)
        self._environment = environment
        self._seed: int | None = None
        self._first = int(environment.action_space.start)
        space = environment.observation_space
        self._shapes = {name: part.shape for name, part in space.spaces.items()} if isinstance(space, Dict) else None
        self._shape = space.shape or ()
        self.form = Form.from_spaces(space, environment.action_space)
        self.action_space = Discrete(self.form.arms)
        self.observation_space = self.form.space()
        self.regret = math.nan
        self.told: dict[str, int] = dict.fromkeys(CONTRACT, 0)
        self.steps = self.episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; without a seed, the next one of the same lane. The info of a reset is not read."""
        if seed is not None:
            self._seed, self.steps, self.episodes = seed, 0, 0
        call = f"reset(seed={seed})" if seed is not None else f"reset() after {self.steps} steps (seed {self._seed})"
        with blamed(call):
            result = self._environment.reset(seed=seed) if seed is not None else self._environment.reset()
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ValueError(f"in {call}: expected an observation and an info dict, got {shown(result)}")
        return self._observation(result[0], call), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Plays one action, counted from 0."""
        call = f"step {self.steps} (counted from 0, seed {self._seed})"
        with blamed(call):
            result = self._environment.step(np.int64(self._first + int(action)))
        if not (isinstance(result, tuple) and len(result) == 5):
            raise ValueError(
                f"in {call}: expected an observation, a reward, terminated, truncated and an info dict, got "
                f"{shown(result)}"
            )
        observation, reward, terminated, truncated, info = result
        paid = number(reward, "reward", call)
        if not math.isfinite(paid):
            raise ValueError(f"in {call}: expected a finite reward, got {paid}: mend the environment's reward")
        self.regret = self._regret(info, call)
        following = self._observation(observation, call)
        self.steps += 1
        self.episodes += bool(terminated or truncated)
        return following, paid, bool(terminated), bool(truncated), {}

    def close(self) -> None:
        """Closes the environment. That it fails to close is no reason to lose what was played."""
        try:
            self._environment.close()
        except Exception as error:
            warnings.warn(f"the environment raised {type(error).__name__} in close(): {error}", stacklevel=2)

    def _observation(self, observation: Any, call: str) -> np.ndarray | dict[str, np.ndarray]:
        if self._shapes is None:
            return finite(observation, self._shape, "an observation", "the observation", call).ravel()
        if not (isinstance(observation, dict) and observation.keys() == self._shapes.keys()):
            got = f"a dict with {', '.join(map(str, observation))}" if isinstance(observation, dict) else None
            raise ValueError(
                f"in {call}: expected an observation with the keys {', '.join(self._shapes)}, as the observation space "
                f"says, got {got or shown(observation)}"
            )
        parts = {
            name: finite(observation[name], shape, f"an observation's {name}", f"the {name}", call)
            for name, shape in self._shapes.items()
        }
        if "mask" in parts:
            parts["mask"] = _mask(parts["mask"], call)
        if self.form.features:
            parts["context"] = parts["context"].ravel()
        # a mask alone, of arms without features, goes beside the context; without a mask or arms it is a plain context
        return parts if self.form.nested else parts["context"]

    def _regret(self, info: Any, call: str) -> float:
        if not isinstance(info, dict):
            raise ValueError(f"in {call}: expected info to be a dict, got {shown(info)}")
        told = {key: number(info[key], f"info[{key!r}]", call) for key in CONTRACT if key in info}
        for key, value in told.items():
            self.told[key] += 1
            if math.isinf(value):
                raise ValueError(
                    f"in {call}: expected a finite info[{key!r}], got {value}: NaN says that it is unknown"
                )
        if "regret" in told:
            regret, cause = (
                told["regret"],
                "info['regret'] is what the action fell short of the best one, in expectation",
            )
        elif len(told) == 2:
            regret = told["optimal_expected_reward"] - told["expected_reward"]
            cause = "info['optimal_expected_reward'] is less than info['expected_reward'] of the action taken"
        else:
            return math.nan
        if regret < -TOLERANCE:
            raise ValueError(f"in {call}: expected a regret of at least 0, got {regret:.6g}: {cause}")
        return 0.0 if regret < 0 else regret


def finite(values: Any, shape: tuple[int, ...], what: str, whose: str, call: str) -> np.ndarray:
    """Returns numbers of a shape as float32."""
    try:
        numbers_given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"in {call}: expected {what} of numbers of shape {shape}, got {shown(values)}") from error
    if numbers_given.shape != shape:
        raise ValueError(
            f"in {call}: expected {what} of shape {shape}, as the observation space says, got {numbers_given.shape}: "
            "make the two agree"
        )
    with np.errstate(over="ignore"):
        single = numbers_given.astype(np.float32)
    if not np.isfinite(single).all():
        wrong = numbers_given[~np.isfinite(single)][0]
        raise ValueError(
            f"in {call}: expected finite observations in the range of float32, got {wrong} in {whose}: fill in what is "
            "missing"
        )
    return single


def _mask(values: np.ndarray, call: str) -> np.ndarray:
    """Returns a mask as int8, once it is seen to be one."""
    if not np.isin(values, (0, 1)).all():
        wrong = values[~np.isin(values, (0, 1))][0]
        raise ValueError(f"in {call}: expected a mask of 0 and 1, got {wrong}")
    if not values.any():
        raise ValueError(f"in {call}: expected at least one available action in the mask, got none")
    return values.astype(np.int8)


@contextmanager
def blamed(call: str) -> Iterator[None]:
    """Says when the user's own code failed; the error itself stays the cause."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"the environment raised {type(error).__name__} in {call}: {error}") from error


def number(value: Any, name: str, call: str) -> float:
    """Returns a number, also from an array or tensor that holds a single one. Text is not a number, nor is None."""
    try:
        bare = value.item() if hasattr(value, "item") else value
    except (TypeError, ValueError, RuntimeError):  # more than one value
        bare = value
    if not isinstance(bare, numbers.Real):
        raise ValueError(f"in {call}: expected {name} to be a number, got {shown(value)}")
    return float(bare)


def shown(value: Any) -> str:
    """Returns a short description of a value for an error message."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shape = getattr(value, "shape", ())
    text = repr(value) if not shape else f"shape {tuple(shape)}"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _require_alike(environments: Sequence[Any]) -> None:
    if len({id(environment.unwrapped) for environment in environments}) < len(environments):
        raise ValueError(
            "expected a new environment for each lane, got the same object twice: create it inside the function that "
            "makes it"
        )
    sizes = [
        (env.action_space.start, Form.from_spaces(env.observation_space, env.action_space)) for env in environments
    ]
    if different := [size for size in sizes if size != sizes[0]]:
        raise ValueError(
            "expected the same number of actions, first action and observations in every lane, got "
            f"{_size(*sizes[0])} and {_size(*different[0])}: all seeds are played as one batch"
        )


def _size(start: Any, form: Form) -> str:
    return f"{form}, the first called {start}"
