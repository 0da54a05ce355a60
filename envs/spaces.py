"""What can be observed before a decision: which family of problems it tells, and of a bandit its context, features of
each arm, and which arms are available."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple, flatten, flatten_space
from jaxtyping import Bool, Float, Int64
from torch import Tensor

KEYS = ("context", "arms", "mask")
"""Of a nested observation, all optional: `Dict(context=Box(D), arms=Box(A, F), mask=MultiBinary(A))`."""
POOL, STREAM, BANDIT = "pool", "stream", "bandit"
FAMILIES = {
    BANDIT: "a bandit, whose actions pay rewards",
    POOL: "active learning on a pool, whose actions buy labels of rows",
    STREAM: "active learning on a stream, whose actions buy the label of the row that has arrived, or do not",
}
MARKS = {POOL: {"labels", "queried"}, STREAM: {"label", "budget_left"}}
"""The parts of an observation that nothing else has, of which one tells the family even where another is forgotten."""
CHANNELS = {1, 3, 4}
INDICATORS = 100_000
"""Most values of a number of a thing that become indicators."""
DICT = "Dict(context=Box(D), arms=Box(A, F), mask=MultiBinary(A))"


def family(environment: Any) -> str:
    """Returns the kind of problem: "pool" or "stream" of active learning, or "bandit". It is told by what is observed.

    Args:
        environment: a single sub-environment or a batch of them, ours or a user's own.
    """
    seen = getattr(environment, "single_observation_space", None) or getattr(environment, "observation_space", None)
    parts = set(seen.spaces) if isinstance(seen, Dict) else set()
    return next((kind for kind, wanted in MARKS.items() if wanted & parts), BANDIT)


@dataclass(frozen=True)
class ObservationSpec:
    """The sizes of an observation.

    Attributes:
        features: D, of the context that all arms share; 0 if there is none.
        arms: A.
        arm_features: F, of each arm; 0 if arms have none, and are told apart by their place alone.
        masked: whether a mask says which arms are available.
    """

    features: int
    arms: int
    arm_features: int = 0
    masked: bool = False

    @classmethod
    def of(cls, environment: Any) -> "ObservationSpec":
        """Returns the form of a vector environment's observations."""
        return cls.from_spaces(environment.single_observation_space, environment.single_action_space)

    @classmethod
    def from_spaces(cls, observations: Any, actions: Any) -> "ObservationSpec":
        """Returns the form of one sub-environment's observations; contexts of any shape or kind are flat."""
        observations = flattened(observations)
        parts = observations.spaces if isinstance(observations, Dict) else {"context": observations}
        features = math.prod(parts["context"].shape) if "context" in parts else 0
        arm_features = parts["arms"].shape[1] if "arms" in parts else 0
        return cls(features, int(actions.n), arm_features, "mask" in parts)

    def __str__(self) -> str:
        parts = [f"{self.features} features"] if self.features else []
        parts += [f"{self.arms} arms" + (f" of {self.arm_features} features" if self.arm_features else "")]
        return " and ".join(parts) + (", not all available" if self.masked else "")

    @property
    def nested(self) -> bool:
        """Whether an observation is a dict."""
        return bool(self.arm_features) or self.masked

    def space(self, kind: Any = np.float32) -> gymnasium.Space:
        """Returns the observation space of one sub-environment, with numbers of a type."""
        parts: dict[str, gymnasium.Space] = {}
        if self.features:
            parts["context"] = Box(-np.inf, np.inf, (self.features,), kind)
        if self.arm_features:
            parts["arms"] = Box(-np.inf, np.inf, (self.arms, self.arm_features), kind)
        if self.masked:
            parts["mask"] = MultiBinary(self.arms)
        return Dict(parts) if self.nested else parts["context"]


class Observation(NamedTuple):
    """An observation of all replicas, taken apart; what there is not is None."""

    context: Float[Tensor, "R D"] | None
    arms: Float[Tensor, "R A F"] | None = None
    mask: Bool[Tensor, "R A"] | None = None

    @classmethod
    def of(cls, observation: Tensor | Mapping[str, Tensor]) -> "Observation":
        """Takes apart what `reset` or `step` of a vector environment returned."""
        if isinstance(observation, Tensor):
            return cls(observation)
        mask = observation.get("mask")
        return cls(observation.get("context"), observation.get("arms"), None if mask is None else mask.bool())


def next_available(arm: int, mask: Bool[Tensor, "R A"]) -> Int64[Tensor, " R"]:
    """Returns an arm in every replica, or the next one that is available, from the last on to the first."""
    return (arm + mask.roll(-arm, 1).int().argmax(1)) % mask.shape[1]


def flattened(space: Any) -> Any:
    """Returns the space of what is seen once contexts are arrays: Discrete and MultiDiscrete become indicators of their
    values, and a Tuple, or a Dict with none of the parts of a bandit's, one array of all that is in it."""
    if isinstance(space, Dict) and set(space.spaces) & {*KEYS, "action_mask"}:
        return Dict({name: flattened(part) if name == "context" else part for name, part in space.spaces.items()})
    return space if isinstance(space, Box) or not _can_be_flattened(space) else flatten_space(space)


def flat(space: Any, observation: Any) -> Any:
    """Returns an observation of a space as one of its flattened space.

    Raises:
        Exception: of many kinds, if it is not in the space.
    """
    if isinstance(space, Box):
        return observation
    if isinstance(space, Dict) and set(space.spaces) & {*KEYS, "action_mask"}:
        kinds = space.spaces
        return {name: flat(kinds[name], part) if name == "context" else part for name, part in observation.items()}
    return flatten(space, observation)


def channels_last(shape: tuple[int, ...]) -> bool:
    """Says whether arrays of a shape are images [height, width, channels], as cameras and games give them; networks
    take [channels, height, width]."""
    return len(shape) == 3 and shape[2] in CHANNELS and not {shape[0], shape[1]} & CHANNELS


def _can_be_flattened(space: Any) -> bool:
    """Says whether a space is made of numbers, as many in every observation."""
    if isinstance(space, Dict | Tuple):
        parts = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return len(parts) > 0 and all(map(_can_be_flattened, parts))
    if isinstance(space, Discrete | MultiDiscrete):
        return int(space.n if isinstance(space, Discrete) else space.nvec.sum()) <= INDICATORS
    return isinstance(space, Box | MultiBinary)


def space_errors(space: Any, arms: int | None) -> list[str]:
    """Returns what keeps an observation space from being a bandit's, in plain words; empty if nothing does.

    Args:
        space: of one sub-environment.
        arms: the number of actions; None if it is not known.
    """
    if isinstance(space, Box):
        if math.prod(space.shape) == 0:
            return [f"expected an observation of at least one number, got {space}: return a constant 1"]
        return []
    space = flattened(space)
    if isinstance(space, Box):
        return []
    if not isinstance(space, Dict) or not set(space.spaces) & {*KEYS, "action_mask"}:
        return [
            f"expected a Box observation space, or {DICT}, got {space}: turn it into numbers, as many in every "
            "observation, in a gymnasium.ObservationWrapper"
        ]
    parts, found = space.spaces, []
    unknown = set(parts) - set(KEYS)
    if "action_mask" in unknown and "mask" not in parts:
        unknown.remove("action_mask")
        found.append(
            "expected the mask of available actions to be called mask, got action_mask: rename it, in the "
            "observation space and in what reset and step return"
        )
    if unknown:
        found.append(
            f"expected a Dict observation space with the keys {', '.join(KEYS)} alone, got "
            f"{', '.join(sorted(unknown))} too: put what describes the situation into context, what describes an arm "
            "into arms"
        )
    if not ("context" in parts or "arms" in parts):
        found.append(f"expected a context or arms in {DICT}, got neither: return a constant 1 as the context")
    context, features, mask = (parts.get(key) for key in KEYS)
    count = "A" if arms is None else str(arms)
    if context is not None and not (isinstance(context, Box) and math.prod(context.shape) > 0):
        found.append(f"expected the context to be a Box of at least one number, got {context}")
    if features is not None and not (
        isinstance(features, Box)
        and len(features.shape) == 2
        and features.shape[1] > 0
        and features.shape[0] == (arms or features.shape[0])
    ):
        found.append(f"expected the arms to be a Box of shape ({count}, F), a row for each action, got {features}")
    if mask is not None and not (isinstance(mask, MultiBinary) and mask.shape == (arms or mask.shape[0],)):
        found.append(f"expected the mask to be MultiBinary({count}), 1 for each available action, got {mask}")
    return found
