"""A user's own bandit, with everything that it returns checked, and what it tells of its regret kept."""

import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Discrete
from gymnasium.vector import AutoresetMode

from vbandits.data.precision import fault
from vbandits.envs import spaces
from vbandits.envs.spaces import ObservationSpec
from vbandits.envs.sub_environment import SubEnvironment, blamed, finite, number, parts_of, shown, wrong
from vbandits.metrics.regret import rounding

CONTRACT = ("regret", "expected_reward", "optimal_expected_reward")
"""The keys of `info` that regret is computed from, all three optional."""


class Bandit(SubEnvironment):
    """A bandit whose actions count from 0, whatever its action space starts at; episodes follow one another.

    Contexts of any shape are flat [D]; features of arms are [A, F] and a mask is int8 [A], where the observation is a
    dict. They are float64, so that time stamps keep their digits, but float32 where the space has nothing but small
    whole numbers, as of images. `info` is the `regret`, NaN where the environment does not tell it.

    Agents are evaluated on contexts that they are never shown if the environment has a method
    `held_out(contexts, rewards)`, which returns three things: a list of as many observations as `contexts` says [N],
    like those of `step`; what each arm is expected to pay in them, without noise [N, A]; and `rewards` independent
    rewards of each [M, N, A]. They belong to the problem as it stands, and are the same at every call as long as it
    does. The method must not touch `self.np_random`: what is played would be another then.

    Attributes:
        told: how often each key of the contract was in the user's info.
    """

    family = "bandit"
    autoreset: ClassVar[AutoresetMode] = AutoresetMode.SAME_STEP
    alike = "number of actions, first action and observations"

    def __init__(self, environment: gymnasium.Env) -> None:
        super().__init__(environment)
        assert isinstance(environment.action_space, Discrete)
        self._start = int(environment.action_space.start)
        self._given, space = environment.observation_space, spaces.flattened(environment.observation_space)
        self._shapes = {name: part.shape for name, part in space.spaces.items()} if isinstance(space, Dict) else None
        self._shape = space.shape or ()
        self._form = ObservationSpec.from_spaces(space, environment.action_space)
        parts = space.spaces if isinstance(space, Dict) else {"context": space}
        self._action_type = environment.action_space.dtype.type
        small = all(part.dtype.kind in "iub" and part.dtype.itemsize <= 2 for part in parts.values())
        self._kind = np.float32 if small else np.float64
        self.action_space = Discrete(self._form.arms)
        self.observation_space = self._form.space(self._kind)
        self.sizes = f"{self._form}, the first called {self._start}"
        self._image = parts["context"].shape if "context" in parts else ()
        self._unseen = self._nothing()
        self.told: dict[str, int] = dict.fromkeys(CONTRACT, 0)
        self._largest = 0.0  # regret so far

    @classmethod
    def problems(cls, environment: Any) -> list[str]:
        """Returns what keeps an environment from being played as a bandit, in plain words; empty if nothing does."""
        found = []
        actions, contexts = (getattr(environment, name, None) for name in ("action_space", "observation_space"))
        if not isinstance(actions, Discrete):
            found.append(
                f"expected a Discrete action space, got {actions}: offer a finite number of actions, for instance "
                "through a gymnasium.ActionWrapper that picks one of several"
            )
        elif actions.n < 2:
            found.append(f"expected at least 2 actions, got {actions}: there is nothing to decide")
        return found + spaces.space_errors(contexts, int(actions.n) if isinstance(actions, Discrete) else None)

    def translated(self, action: Any) -> Any:
        """Returns an action, counted from 0, as the user's environment counts it."""
        return self._action_type(self._start + int(action))

    def offers(self) -> dict[str, Any]:
        """Returns what was done to observations."""
        notes = []
        if spaces.flattened(self._given) != self._given:
            notes.append(f"observations were flattened, indicators in the place of numbers of things: {self._given}")
        if spaces.channels_last(self._image):
            height, width, channels = self._image
            image = [channels, height, width]
            notes.append(f"images {list(self._image)} are shown channel first, {image}: a network's image is {image}")
        return {"notes": tuple(notes)}

    def first(self, observation: Any, info: Any, call: str) -> Any:
        """Returns the first context of an episode. The info of a reset is not read: no action has been taken."""
        return self._context(observation, call)

    def next(self, action: Any, observation: Any, info: Any, ended: bool, call: str) -> Any:
        """Returns the next context, and keeps the regret of the action. What comes with the end of an episode nobody
        sees, the next episode's first context takes its place: it need not be anything."""
        self.info = {"regret": self._regret(info, call)}
        return self._unseen if ended else self._context(observation, call)

    def _nothing(self) -> np.ndarray | dict[str, np.ndarray]:
        space = self.observation_space
        if not isinstance(space, Dict):
            return np.zeros(space.shape or (), space.dtype)
        return {name: np.ones(part.shape or (), part.dtype) for name, part in space.spaces.items()}

    def held_out(self, contexts: int, rewards: int) -> tuple[list[Any], np.ndarray, np.ndarray] | None:
        """Returns what the environment holds out, checked; None if it holds out nothing.

        Args:
            contexts: how many are asked for, N.
            rewards: how many of every arm in each of them, M.
        """
        method = getattr(self.environment.unwrapped, "held_out", None)
        if method is None:
            return None
        call = f"held_out({contexts}, {rewards})"
        with blamed(call):
            found = method(contexts, rewards)
        if not (isinstance(found, tuple) and len(found) == 3 and len(found[0]) == contexts):
            raise wrong(call, f"{contexts} observations, expected rewards and rewards, got {shown(found)}")
        seen = [self._context(one, call) for one in found[0]]
        shape = (contexts, self._form.arms)
        return seen, _numbers(found[1], shape, call), _numbers(found[2], (rewards, *shape), call)

    def _context(self, observation: Any, call: str) -> np.ndarray | dict[str, np.ndarray]:
        try:
            observation = spaces.flat(self._given, observation)
        except Exception as error:
            raise wrong(call, f"an observation in {self._given}, got {shown(observation)}") from error
        if self._shapes is None:
            whole = finite(observation, self._shape, "an observation", "the observation", call, self._kind)
            return self._channel_first(whole).ravel()
        given = parts_of(observation, self._shapes, call, exactly=True)
        parts = {
            name: finite(given[name], shape, f"an observation's {name}", f"the {name}", call, self._kind)
            for name, shape in self._shapes.items()
        }
        if "mask" in parts:
            parts["mask"] = _mask(parts["mask"], call)
        if self._form.features:
            parts["context"] = self._channel_first(parts["context"]).ravel()
        # a mask alone, of arms without features, goes beside the context; without a mask or arms it is a plain context
        return parts if self._form.nested else parts["context"]

    def _channel_first(self, context: np.ndarray) -> np.ndarray:
        return np.moveaxis(context, 2, 0) if spaces.channels_last(context.shape) else context

    def _regret(self, info: dict[str, Any], call: str) -> float:
        told = {key: number(info[key], f"info[{key!r}]", call) for key in CONTRACT if key in info}
        for key, value in told.items():
            self.told[key] += 1
            if math.isinf(value):
                raise wrong(call, f"a finite info[{key!r}], got {value}: NaN says that it is unknown")
            if not math.isnan(value) and (unfit := fault(value)):
                raise wrong(call, f"info[{key!r}] to be among {unfit}")
        if "regret" in told:
            return self._told_regret(told["regret"], call)
        if len(told) < 2:
            return math.nan
        regret = told["optimal_expected_reward"] - told["expected_reward"]
        if regret < -rounding(*(info[key] for key in told)):
            raise wrong(
                call,
                f"a regret of at least 0, got {regret:.6g}: info['optimal_expected_reward'] is less than "
                "info['expected_reward'] of the action taken",
            )
        return max(regret, 0.0)

    def _told_regret(self, regret: float, call: str) -> float:
        """Returns a regret that came without the means that it is a difference of. What is rounding below 0, all
        rewards of a run will say; what is far more is refused at once."""
        if regret < -self._largest / 100 < 0:
            raise wrong(call, f"a regret of at least 0, got {regret:.6g}: it is what the best action pays more")
        self._largest = max(self._largest, regret)
        return regret


def _numbers(values: Any, shape: tuple[int, ...], call: str) -> np.ndarray:
    """Returns finite numbers of a shape in float64."""
    given = np.asarray(values, dtype=np.float64)
    if given.shape != shape or fault(given):
        raise wrong(call, f"finite numbers of shape {shape}, got {shown(values)}")
    return given


def _mask(values: np.ndarray, call: str) -> np.ndarray:
    """Returns a mask as int8, once it is seen to be one."""
    if not np.isin(values, (0, 1)).all():
        raise wrong(call, f"a mask of 0 and 1, got {values[~np.isin(values, (0, 1))][0]}")
    if not values.any():
        raise wrong(call, "at least one available action in the mask, got none")
    return values.astype(np.int8)
