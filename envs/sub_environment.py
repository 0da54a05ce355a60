"""One of a user's environments, with everything that it returns checked: what all families of problems share."""

import math
import numbers
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from vbandits.data.precision import fault, unmasked


class SubEnvironment(gymnasium.Env):
    """A user's `gymnasium.Env` as the adapter batches it. Subclasses say what their family of problems expects.

    What a user's `info` holds ends here. A batched info is a trap: the finished step's hides in `final_info` beneath
    the next reset's, a key takes the type of the first sub-environment that has it, and a missing key reads 0.

    Attributes:
        family: "bandit", "pool" or "stream".
        autoreset: whether the end of an episode leads to the next by itself, in the same step.
        alike: what `sizes` are, in words.
        shared: names of attributes of `environment.unwrapped` that have to be equal in all sub-environments.
        environment: the user's own.
        sizes: in words, equal for sub-environments that can be played as one batch.
        info: what is kept of the last call, a number or array by name, for the `info` of the batch.
        counts: of the episode that has begun, equal in sub-environments that are played as one batch, by name.
        steps: played since the last seed.
        episodes: that ended since the last seed.
    """

    family: ClassVar[str]
    autoreset: ClassVar[AutoresetMode]
    alike: ClassVar[str]
    shared: ClassVar[tuple[str, ...]] = ()

    def __init__(self, environment: gymnasium.Env) -> None:
        self.environment = environment
        self.sizes = ""
        self.info: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self.steps = self.episodes = 0
        self._seed: int | None = None

    @classmethod
    def problems(cls, environment: Any) -> list[str]:
        """Returns what keeps an environment from being played, in plain words; empty if nothing does."""
        raise NotImplementedError

    def offers(self) -> dict[str, Any]:
        """Returns the attributes that the batch has beside those of all families.

        Raises:
            ValueError: for attributes of the user's that are not as they should be.
        """
        return {}

    def common(self) -> dict[str, Any]:
        """Returns the attributes of the user's that have to be equal in all sub-environments, by name."""
        return {name: getattr(self.environment.unwrapped, name, None) for name in self.shared}

    def first(self, observation: Any, info: Any, call: str) -> Any:
        """Returns a checked observation that `reset` returned; `call` names the call in messages."""
        raise NotImplementedError

    def next(self, action: Any, observation: Any, info: Any, ended: bool, call: str) -> Any:
        """Returns a checked observation that `step` returned after an action."""
        raise NotImplementedError

    def translated(self, action: Any) -> Any:
        """Returns an action, counted from 0, as the user's environment takes it: an element of its action space."""
        chosen = np.array(action, self.environment.action_space.dtype)
        return chosen[()] if chosen.ndim == 0 else chosen

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; without a seed, the next one of the same problem."""
        if seed is None:
            call, given = f"reset() after {self.steps} steps (seed {self._seed})", {}
        else:
            call, given = f"reset(seed={seed})", {"seed": seed}
            self._seed, self.steps, self.episodes = seed, 0, 0
        with blamed(call):
            result = self.environment.reset(**given)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise wrong(call, f"an observation and an info dict, got {shown(result)}")
        return self.first(*result, call), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Plays one action, counted from 0."""
        call = f"step {self.steps} (counted from 0, seed {self._seed})"
        with blamed(call):
            result = self.environment.step(self.translated(action))
        if not (isinstance(result, tuple) and len(result) == 5):
            raise wrong(call, f"an observation, a reward, terminated, truncated and an info dict, got {shown(result)}")
        observation, reward, terminated, truncated, info = result
        paid = number(reward, "reward", call)
        if not math.isfinite(paid):
            raise wrong(call, f"a finite reward, got {paid}: mend the environment's reward")
        if unfit := fault(paid):
            raise wrong(call, f"the reward to be among {unfit}")
        if not isinstance(info, dict):
            raise wrong(call, f"info to be a dict, got {shown(info)}")
        terminated, truncated = truth(terminated, "terminated", call), truth(truncated, "truncated", call)
        ended = terminated or truncated
        seen = self.next(action, observation, info, ended, call)
        self.steps += 1
        self.episodes += ended
        return seen, paid, terminated, truncated, {}

    def close(self) -> None:
        """Closes the environment. That it fails to close is no reason to lose what was played."""
        try:
            self.environment.close()
        except Exception as error:
            warnings.warn(f"the environment raised {type(error).__name__} in close(): {error}", stacklevel=2)


@contextmanager
def blamed(call: str, whose: str = "the environment") -> Iterator[None]:
    """Says when the user's own code failed, and whose it is; the error itself stays the cause."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"{whose} raised {type(error).__name__} in {call}: {error}") from error


def wrong(call: str, what: str) -> ValueError:
    """Returns the error of what was expected of a call, and what came."""
    return ValueError(f"in {call}: expected {what}")


def truth(value: Any, name: str, call: str) -> bool:
    """Returns a truth value, also from a number, array or tensor that holds a single one. Text is none, nor is None."""
    bare = _single(value)
    if not (isinstance(bare, bool) or (isinstance(bare, int | float) and bare in (0, 1))):
        raise wrong(call, f"{name} to be True or False, got {shown(value)}")
    return bool(bare)


def number(value: Any, name: str, call: str) -> float:
    """Returns a number, also from an array or tensor that holds a single one. Text is not a number, nor is None."""
    bare = math.nan if np.ma.is_masked(value) else _single(value)
    if not isinstance(bare, numbers.Real):
        raise wrong(call, f"{name} to be a number, got {shown(value)}")
    return float(bare)


def _single(value: Any) -> Any:
    """Returns what an array or tensor with a single value holds; anything else as it is."""
    try:
        return value.item() if hasattr(value, "item") else value
    except (TypeError, ValueError, RuntimeError):  # more than one value
        return value


def finite(values: Any, shape: tuple[int, ...], what: str, whose: str, call: str, kind: Any = np.float64) -> np.ndarray:
    """Returns numbers of a shape as a type of floating-point numbers."""
    try:
        given = np.asarray(unmasked(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise wrong(call, f"{what} of numbers of shape {shape}, got {shown(values)}") from error
    if given.shape != shape:
        raise wrong(
            call, f"{what} of shape {shape}, as the observation space says, got {given.shape}: make the two agree"
        )
    with np.errstate(over="ignore"):
        found = given.astype(kind)
    if not np.isfinite(found).all():
        bad, limit = given[~np.isfinite(found)][0], "" if kind == np.float64 else " in the range of float32"
        raise wrong(call, f"finite observations{limit}, got {bad} in {whose}: fill in what is missing")
    if unfit := fault(found):
        raise wrong(call, f"{whose} to hold {unfit}")
    return found


def parts_of(observation: Any, names: Any, call: str, *, exactly: bool) -> dict[str, Any]:
    """Returns an observation that is a dict with the keys of the observation space, or at least with them."""
    if isinstance(observation, dict):
        if observation.keys() == set(names) or (not exactly and observation.keys() >= set(names)):
            return observation
        got = f"a dict with {', '.join(map(str, observation))}"
    else:
        got = shown(observation)
    raise wrong(call, f"an observation with the keys {', '.join(names)}, as the observation space says, got {got}")


def shown(value: Any) -> str:
    """Returns a short description of a value for an error message."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shape = getattr(value, "shape", ())
    text = repr(value) if not shape else f"shape {tuple(shape)}"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
