"""One lane of a user's own active learning, with everything that it returns checked."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from vbandits.envs.active.spaces import PARTS, POOL, family
from vbandits.envs.lanes import blamed, finite, number, shown

ROWS = ("features", "test_features", "test_targets")
"""What has to be on the environment itself, `env.unwrapped`."""
MASK = "action_mask"


def problems(environment: Any) -> list[str]:
    """Returns what keeps an environment from being played as active learning, in plain words; empty if nothing does."""
    if not isinstance(environment, gymnasium.Env):
        return [f"expected a gymnasium.Env, got a {type(environment).__name__}: make one environment, not a batch"]
    seen: Any = environment.observation_space
    kind = family(environment)
    if missing := sorted(PARTS[kind] - set(seen.spaces)):
        return [f"expected observations with {', '.join(sorted(PARTS[kind]))}, got none of {', '.join(missing)}"]
    found = []
    told = "labels" if kind == POOL else "label"
    if not isinstance(seen[told], Box):
        found.append(f"expected {told} to be a Box, of integers for classes or of numbers, got {seen[told]}")
    if not (isinstance(seen["budget_left"], Discrete) or math.prod(seen["budget_left"].shape or ()) == 1):
        found.append(f"expected budget_left to be one whole number, got {seen['budget_left']}")
    absent = [name for name in ROWS if not hasattr(environment.unwrapped, name)]
    if absent:
        found.append(
            f"expected the attributes {', '.join(ROWS)} on the environment, got no {', '.join(absent)}: "
            "learners look at the one, and are judged on the others"
        )
    if not found:
        found = _pool_problems(environment) if kind == POOL else _stream_problems(environment)
    return found


def _pool_problems(environment: Any) -> list[str]:
    seen, actions = environment.observation_space, environment.action_space
    rows, batch = seen["labels"].shape, seen["queried"].shape or ()
    size = len(environment.unwrapped.features)
    found = []
    if rows != (size,):
        found.append(f"expected labels of shape ({size},), one for each of features, got {rows}")
    if len(batch) != 1 or batch[0] < 1:
        found.append(f"expected queried of shape (b,), the rows of the last action, got {batch}")
        return found
    wanted = f"Discrete({size})" if batch[0] == 1 else f"MultiDiscrete([{size}] * {batch[0]})"
    good = (isinstance(actions, Discrete) and batch[0] == 1 and actions.n == size and actions.start == 0) or (
        isinstance(actions, MultiDiscrete)
        and batch[0] > 1
        and actions.nvec.tolist() == [size] * batch[0]
        and not actions.start.any()
    )
    if not good:
        found.append(f"expected the action space {wanted}, as features and queried say, got {actions}")
    return found


def _stream_problems(environment: Any) -> list[str]:
    seen, actions = environment.observation_space, environment.action_space
    size = np.shape(environment.unwrapped.features)[1:]
    found = []
    if seen["context"].shape != size:
        found.append(f"expected context of shape {size}, as features say, got {seen['context'].shape}")
    if math.prod(seen["label"].shape) != 1:
        found.append(f"expected label to be one number, got {seen['label']}")
    if not (isinstance(actions, Discrete) and actions.start == 0 and actions.n >= 2):
        found.append(f"expected Discrete(2), skip and query, or Discrete(K + 1), K classes and query, got {actions}")
    return found


def classes_of(environment: Any) -> int:
    """Returns K of an environment without `problems`, or 0 for a regression."""
    seen = environment.observation_space
    space = seen["labels"] if family(environment) == POOL else seen["label"]
    if np.issubdtype(space.dtype, np.floating):
        return 0
    told = getattr(environment.unwrapped, "classes", None)
    if told is not None and not isinstance(told, int | np.integer):
        raise ValueError(f"expected classes to be a number, how many there are, got {told!r}")
    return int(told or space.high.max() + 1)


def _wrong(call: str, what: str) -> ValueError:
    """Returns the error of what was expected of a call, and what came."""
    return ValueError(f"in {call}: expected {what}")


class Lane:
    """One environment, whose observations, masks and ends are checked against the last ones.

    Attributes:
        environment: the user's own.
        kind: "pool" or "stream".
        classes: K.
        labels: of a pool, those that are known [N].
    """

    def __init__(self, environment: Any) -> None:
        self.environment, self.kind, self.classes = environment, family(environment), classes_of(environment)
        self._seed: int | None = None
        self._steps = self._left = 0
        seen: Any = environment.observation_space
        self._rows = seen["labels"].shape if self.kind == POOL else ()
        self._batch = math.prod(seen["queried"].shape or ()) if self.kind == POOL else 1
        self._context = seen["context"].shape if self.kind != POOL else ()
        actions: Any = environment.action_space
        self._choices = len(environment.unwrapped.features) if self.kind == POOL else int(actions.n)
        self.labels = np.empty(0)

    def reset(self, seed: int | None) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns the first observation of an episode and the mask of its actions."""
        self._seed, self._steps = (self._seed if seed is None else seed), 0
        call = f"reset(seed={self._seed})" if seed is not None else f"reset() after reset(seed={self._seed})"
        with blamed(call):
            result = self.environment.reset(seed=seed) if seed is not None else self.environment.reset()
        if not (isinstance(result, tuple) and len(result) == 2):
            raise _wrong(call, f"an observation and an info dict, got {shown(result)}")
        seen = self._observation(result[0], call)
        self._left = int(seen["budget_left"])
        if self._left < 1:
            raise _wrong(call, f"a budget_left of at least 1, got {self._left}")
        if self.kind == POOL and not self.known(seen["labels"]).any():
            raise _wrong(call, "at least one label that is known from the start, got none")
        return seen, self._mask(result[1], seen, call)

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, float, bool, bool]:
        """Plays an action, a number or rows [b]; returns observation, mask, reward, terminated and truncated."""
        call = f"step {self._steps} (counted from 0, seed {self._seed})"
        before, left = self.labels, self._left
        with blamed(call):
            result = self.environment.step(np.int64(action) if np.ndim(action) == 0 else action.copy())
        if not (isinstance(result, tuple) and len(result) == 5):
            raise _wrong(call, f"an observation, a reward, terminated, truncated and an info dict, got {shown(result)}")
        paid = number(result[1], "reward", call)
        if not math.isfinite(paid):
            raise _wrong(call, f"a finite reward, got {paid}: mend the environment's reward")
        seen = self._observation(result[0], call)
        self._left, ended = int(seen["budget_left"]), bool(result[2] or result[3])
        bought = self._batch if self.kind == POOL else int(action == self._choices - 1)
        if self._left != left - bought:
            raise _wrong(call, f"a budget_left of {left - bought}, {bought} less than before, got {self._left}")
        if self.kind == POOL:
            self._require_answered(seen, before, np.atleast_1d(action), call)
            if self._left < self._batch and not ended:
                raise _wrong(
                    call,
                    f"the episode to end, as {self._left} labels are left to be bought "
                    f"and an action buys {self._batch}, got terminated=False",
                )
        elif bool(bought) != bool(self.known(seen["label"])):
            wanted = "the label of the row that was queried" if bought else "no label, as no row was queried"
            raise _wrong(call, f"{wanted}, got {seen['label']}")
        self._steps += 1
        return seen, self._mask(result[4], seen, call, ended=ended), paid, bool(result[2]), bool(result[3])

    def known(self, labels: np.ndarray) -> np.ndarray:
        """Returns which labels are known."""
        return np.asarray(labels >= 0 if self.classes else ~np.isnan(labels))

    def _observation(self, given: Any, call: str) -> dict[str, np.ndarray]:
        wanted = sorted(PARTS[self.kind])
        if not (isinstance(given, dict) and set(wanted) <= given.keys()):
            got = f"a dict with {', '.join(map(str, given))}" if isinstance(given, dict) else shown(given)
            raise _wrong(call, f"an observation with {', '.join(wanted)}, got {got}")
        left = number(given["budget_left"], "budget_left", call)
        if left < 0 or left % 1:
            raise _wrong(call, f"a budget_left that is a whole number of at least 0, got {left}")
        seen: dict[str, np.ndarray] = {"budget_left": np.array(int(left))}
        if self.kind == POOL:
            self.labels = seen["labels"] = self._labels(given["labels"], "labels", self._rows, call)
            seen["queried"] = self._whole(given["queried"], "queried", (self._batch,), call)
        else:
            seen["context"] = finite(given["context"], self._context, "a context", "the context", call)
            label = np.asarray(given["label"])
            seen["label"] = self._labels(label.reshape(()) if label.size == 1 else label, "label", (), call)
        return seen

    def _labels(self, given: Any, name: str, shape: tuple[int, ...], call: str) -> np.ndarray:
        """Returns a copy of labels, int64 in -1..K-1 or float64, once they are seen to be such."""
        if self.classes:
            labels = self._whole(given, name, shape, call)
            if ((labels < -1) | (labels >= self.classes)).any():
                wrong = labels[(labels < -1) | (labels >= self.classes)][0]
                raise _wrong(call, f"{name} in 0..{self.classes - 1}, or -1 where they are not known, got {wrong}")
            return labels
        labels = np.array(given)
        if labels.shape != shape or labels.dtype.kind not in "fiu" or np.isinf(labels).any():
            got = f"{labels.dtype} {labels.shape}" if labels.shape != shape or labels.dtype.kind not in "fiu" else "inf"
            raise _wrong(call, f"{name} of shape {shape}, finite, or NaN where they are not known, got {got}")
        return labels.astype(np.float64)

    def _whole(self, given: Any, name: str, shape: tuple[int, ...], call: str) -> np.ndarray:
        values = np.array(given)
        if values.shape != shape or values.dtype.kind not in "iu":
            raise _wrong(call, f"{name} to be integers of shape {shape}, got {values.dtype} of shape {values.shape}")
        return values.astype(np.int64)

    def _mask(self, info: Any, seen: dict[str, np.ndarray], call: str, *, ended: bool = False) -> np.ndarray:
        """Returns the mask [A] in the info, once it is seen to be one."""
        if not (isinstance(info, dict) and MASK in info):
            raise _wrong(call, f"info[{MASK!r}], 1 for every action that may be taken, got none")
        mask = np.array(info[MASK])
        if mask.shape != (self._choices,) or not np.isin(mask, (0, 1)).all():
            raise _wrong(call, f"info[{MASK!r}] of 0 and 1 of shape ({self._choices},), got {shown(mask)}")
        mask = mask.astype(np.int8)
        if self.kind == POOL and (again := np.flatnonzero(mask & self.known(seen["labels"]))).size:
            raise ValueError(
                f"in {call}: expected info[{MASK!r}] of 0 where the label is known, got 1 for row {again[0]}"
            )
        if not ended and mask.sum() < self._batch:
            raise _wrong(call, f"at least {self._batch} actions that may be taken, got {mask.sum()} in info[{MASK!r}]")
        return mask

    def _require_answered(self, seen: dict[str, np.ndarray], before: np.ndarray, rows: np.ndarray, call: str) -> None:
        """Raises a ValueError unless the labels of the rows that were bought, and no others, have become known."""
        if sorted(seen["queried"].tolist()) != sorted(rows.tolist()):
            raise _wrong(call, f"queried to be the rows of the action, {rows.tolist()}, got {seen['queried'].tolist()}")
        if not self.known(seen["labels"])[rows].all():
            raise _wrong(
                call, f"the labels of the rows that were queried, {rows.tolist()}, got {seen['labels'][rows].tolist()}"
            )
        others = np.ones(len(before), bool)
        others[rows] = False
        if not np.array_equal(seen["labels"][others], before[others], equal_nan=not self.classes):
            raise _wrong(call, f"no labels to change but those of rows {rows.tolist()}, got others")
