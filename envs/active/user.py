"""A user's own active learning, on a pool or a stream, with everything that it returns checked."""

import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode

from vbandits.data.pool import Pool
from vbandits.data.precision import both, unmasked
from vbandits.envs.active.spaces import pool_spaces, stream_spaces
from vbandits.envs.spaces import POOL, STREAM
from vbandits.envs.sub_environment import SubEnvironment, finite, parts_of, shown, wrong

ROWS = ("features", "test_features", "test_targets")
"""What has to be on the environment itself, `env.unwrapped`."""
PARTS = {POOL: {"labels", "queried", "budget_left"}, STREAM: {"context", "label", "budget_left"}}
"""The parts of an observation."""
MASK = "action_mask"


class ActiveEnvironment(SubEnvironment):
    """Labels for sale: observations, masks and ends are checked against the last ones. `info` is the `action_mask`."""

    autoreset: ClassVar[AutoresetMode] = AutoresetMode.DISABLED
    alike = "rows, classes, actions and budget"
    shared = (*ROWS, "targets")
    label: ClassVar[str]
    """The part of an observation that holds labels."""
    actions: ClassVar[str]
    """What the actions are, in words."""

    def __init__(self, environment: gymnasium.Env) -> None:
        super().__init__(environment)
        self._owner: Any = environment.unwrapped
        self.classes = _classes(environment, self.label)
        self.observation_space, self.action_space = self.spaces(environment)
        self.sizes = f"{self.observation_space} and {self.action_space}"
        if isinstance(self.action_space, MultiDiscrete):
            self._choices, self._batch = int(self.action_space.nvec[0]), len(self.action_space.nvec)
        else:
            self._choices, self._batch = int(self.action_space.n), 1
        self._left = _budget(environment)

    @classmethod
    def spaces(cls, environment: Any) -> tuple[Any, Any]:
        """Returns what should be seen and done, as of the native problems, by the environment's rows and sizes."""
        raise NotImplementedError

    @classmethod
    def problems(cls, environment: Any) -> list[str]:
        """Returns what keeps an environment from being played as active learning, in plain words; empty if nothing."""
        seen: Any = environment.observation_space
        wanted, found = sorted(PARTS[cls.family]), []
        if missing := [name for name in wanted if name not in seen.spaces]:
            return [f"expected observations with {', '.join(wanted)}, got none of {', '.join(missing)}"]
        if not isinstance(seen[cls.label], Box):
            found.append(
                f"expected {cls.label} to be a Box, of integers for classes or of numbers, got {seen[cls.label]}"
            )
        if not np.isfinite(_budget(environment)):
            found.append(
                "expected a space of budget_left that is one number and ends at the budget, such as "
                f"Discrete(budget + 1), got {seen['budget_left']}"
            )
        if absent := [name for name in ROWS if not hasattr(environment.unwrapped, name)]:
            found.append(
                f"expected the attributes {', '.join(ROWS)} on the environment, got no {', '.join(absent)}: "
                "learners look at the one, and are evaluated on the others"
            )
        if not isinstance(told := getattr(environment.unwrapped, "classes", None) or 0, int | np.integer):
            found.append(f"expected classes to be a number, how many there are, got {told!r}")
        if found:
            return found
        spaces, actions = cls.spaces(environment)
        for name in wanted:
            if seen[name].shape != spaces[name].shape and not (spaces[name].shape == () and _single(seen[name])):
                shape = f"{spaces[name].shape}, as features and actions say"
                found.append(f"expected {name} of shape {shape}, got {seen[name].shape}")
        if not _same_actions(environment.action_space, actions):
            found.append(f"expected the action space {actions}, {cls.actions}, got {environment.action_space}")
        return found

    def offers(self) -> dict[str, Any]:
        """Returns the rows and sizes that the native problems have; `targets` is None where there are none."""
        own = self._owner
        known = getattr(own, "targets", None) is not None
        x, test_x = both(unmasked(own.features), unmasked(own.test_features))
        kind = np.int64 if self.classes else np.float64
        y = _numbers(own.targets if known else np.zeros(len(x), kind), kind)
        image, notes = getattr(own, "image", None), tuple(getattr(own, "notes", ()))
        pool = Pool("own", x, y, test_x, _numbers(own.test_targets, kind), self.classes, image, notes)
        pool.require_valid()
        return {
            "features": pool.features,
            "targets": pool.targets if known else None,
            "test_features": pool.test_features,
            "test_targets": pool.test_targets,
            "classes": pool.classes,
            "num_rows": len(pool.features),
            "image": image,
            "notes": notes,
            "pool": None,
            "budget": self._left,
        }

    def first(self, observation: Any, info: Any, call: str) -> Any:
        """Returns the first observation of an episode."""
        seen = self._observation(observation, call)
        self._left = int(seen["budget_left"])
        if self._left < 1:
            raise wrong(call, f"a budget_left of at least 1, got {self._left}")
        self.counts = {"budget": self._left}
        self._take_mask(info, call, closed=self.family == POOL and self._known(seen[self.label]))
        return seen

    def _following(self, observation: Any, bought: int, ended: bool, call: str) -> dict[str, np.ndarray]:
        """Returns the observation after so many labels were bought."""
        self._left -= bought
        seen = self._observation(observation, call, ended)
        if seen["budget_left"] != self._left:
            raise wrong(call, f"a budget_left of {self._left}, {bought} less than before, got {seen['budget_left']}")
        return seen

    def _known(self, labels: np.ndarray) -> np.ndarray:
        return np.asarray(labels >= 0 if self.classes else ~np.isnan(labels))

    def _observation(self, observation: Any, call: str, ended: bool = False) -> dict[str, np.ndarray]:
        """Returns the parts of an observation, each checked by itself. Of the row that comes with the end of a stream
        nothing is asked: it need not be anything."""
        given = parts_of(observation, sorted(PARTS[self.family]), call, exactly=False)
        if ended and "context" in self.observation_space.spaces:
            given = {**given, "context": np.zeros(self.observation_space["context"].shape or ())}
        return {name: _part(given[name], name, space, call) for name, space in self.observation_space.items()}

    def _take_mask(self, info: Any, call: str, *, closed: Any = False, ended: bool = False) -> None:
        """Keeps the mask [A] in the info, once it is seen to be one that leaves out the rows that are closed."""
        if not (isinstance(info, dict) and MASK in info):
            raise wrong(call, f"info[{MASK!r}], 1 for every action that may be taken, got none")
        mask = np.array(info[MASK])
        if mask.shape != (self._choices,) or not np.isin(mask, (0, 1)).all():
            raise wrong(call, f"info[{MASK!r}] of 0 and 1 of shape ({self._choices},), got {shown(mask)}")
        if (again := np.flatnonzero(mask * closed)).size:
            raise wrong(call, f"info[{MASK!r}] of 0 where the label is known, got 1 for row {again[0]}")
        if not ended and mask.sum() < self._batch:
            raise wrong(call, f"at least {self._batch} actions that may be taken, got {mask.sum()} in info[{MASK!r}]")
        self.info = {MASK: mask.astype(np.int8)}


class PoolEnvironment(ActiveEnvironment):
    """A user's pool, whose actions are rows."""

    family, label = POOL, "labels"
    actions = "as features and queried say"

    @classmethod
    def spaces(cls, environment: Any) -> tuple[Any, Any]:
        """Returns what should be seen and done, by the rows and the size of `queried`."""
        batch = math.prod(environment.observation_space["queried"].shape or ())
        rows, classes = len(environment.unwrapped.features), _classes(environment, cls.label)
        return pool_spaces(rows, classes, batch, _budget(environment))

    def offers(self) -> dict[str, Any]:
        """Returns also how many labels an action buys."""
        return super().offers() | {"batch": self._batch}

    def first(self, observation: Any, info: Any, call: str) -> Any:
        """Returns the first observation of an episode, in which some labels are known."""
        seen = super().first(observation, info, call)
        self._labels_before = seen["labels"]
        self.counts["initial"] = int(self._known(seen["labels"]).sum())
        if not self.counts["initial"]:
            raise wrong(call, "at least one label that is known from the start, got none")
        return seen

    def next(self, action: Any, observation: Any, info: Any, ended: bool, call: str) -> Any:
        """Returns the observation after rows were asked for: with their labels, and no others that are new."""
        seen, rows = self._following(observation, self._batch, ended, call), np.atleast_1d(action)
        labels, asked, others = seen["labels"], rows.tolist(), np.ones(len(seen["labels"]), bool)
        if sorted(seen["queried"].tolist()) != sorted(asked):
            raise wrong(call, f"queried to be the rows of the action, {asked}, got {seen['queried'].tolist()}")
        if not self._known(labels)[rows].all():
            raise wrong(call, f"the labels of the rows that were queried, {asked}, got {labels[rows].tolist()}")
        others[rows] = False
        if not np.array_equal(labels[others], self._labels_before[others], equal_nan=not self.classes):
            raise wrong(call, f"no labels to change but those of rows {asked}, got others")
        if self._left < self._batch and not ended:
            left = f"{self._left} labels are left to be bought and an action buys {self._batch}"
            raise wrong(call, f"the episode to end, as {left}, got terminated=False")
        self._labels_before = labels
        self._take_mask(info, call, closed=self._known(labels), ended=ended)
        return seen


class StreamEnvironment(ActiveEnvironment):
    """A user's stream, whose last action buys the label of the row that has arrived."""

    family, label = STREAM, "label"
    actions = "skip and query, or Discrete(K + 1), K classes and query"

    @classmethod
    def spaces(cls, environment: Any) -> tuple[Any, Any]:
        """Returns what should be seen and done, by the columns of the rows and the number of actions."""
        classes, columns = _classes(environment, cls.label), np.shape(environment.unwrapped.features)[-1]
        predict = _same_actions(environment.action_space, Discrete(classes + 1))
        own = environment.unwrapped
        rows = both(unmasked(own.features), unmasked(own.test_features))[0]
        kind = np.float64 if rows.dtype == np.float64 else np.float32
        return stream_spaces(columns, classes, classes + 1 if predict else 2, _budget(environment), kind)

    def offers(self) -> dict[str, Any]:
        """Returns also the action that buys, the length of an episode, and whether rows have to be classified."""
        steps = int(getattr(self._owner, "steps", len(self._owner.features)))
        return super().offers() | {"query": self._choices - 1, "steps": steps, "predict": self._choices > 2}

    def next(self, action: Any, observation: Any, info: Any, ended: bool, call: str) -> Any:
        """Returns the observation after a row was or was not asked for: with its label, or without."""
        asked = int(action) == self._choices - 1
        seen = self._following(observation, int(asked), ended, call)
        if asked != bool(self._known(seen["label"])):
            wanted = "the label of the row that was queried" if asked else "no label, as no row was queried"
            raise wrong(call, f"{wanted}, got {seen['label']}")
        self._take_mask(info, call, ended=ended)
        return seen


def _numbers(values: Any, kind: Any) -> np.ndarray:
    """Returns numbers as a type, whole ones where it is int64; what cannot be that as it is, to be refused."""
    given = unmasked(values)
    return given if given.dtype.kind not in ("iu" if kind == np.int64 else "fiub") else given.astype(kind)


def _part(given: Any, name: str, space: Box, call: str) -> np.ndarray:
    """Returns a copy of a part of an observation, once it is seen to be in its space; labels may be NaN."""
    if name == "context":
        return finite(given, space.shape, "a context", "the context", call, space.dtype)
    values, whole = np.array(unmasked(given)), space.dtype == np.int64
    values = values.reshape(()) if space.shape == () and values.size == 1 else values
    fit = values.shape == space.shape and values.dtype.kind in "fiu"
    if not fit or (whole and (np.trunc(values) != values).any()):
        wanted = f"{name} to be {'integers' if whole else 'numbers'} of shape {space.shape}"
        raise wrong(call, f"{wanted}, got {values.dtype} of shape {values.shape}")
    if (outside := values[(values < space.low) | (values > space.high) | np.isinf(values)]).size:
        low, high = space.low.min(), space.high.max()
        known = f"in 0..{high}, or -1 where they are not known" if low < 0 else f"in 0..{high}"
        raise wrong(call, f"{name} {known if whole else 'to be finite, or NaN where not known'}, got {outside[0]}")
    return values.astype(space.dtype)


def _same_actions(one: Any, other: Any) -> bool:
    """Returns whether two spaces hold the same actions, of any type of integer."""
    sizes = [[getattr(space, name, 0) for name in ("n", "nvec", "start")] for space in (one, other)]
    return type(one) is type(other) and all(map(np.array_equal, *sizes))


def _single(space: Any) -> bool:
    return math.prod(space.shape or ()) == 1


def _budget(environment: Any) -> float:
    """Returns the labels that can be bought at most; infinity where the observation space does not say."""
    left = environment.observation_space["budget_left"]
    if isinstance(left, Discrete):
        return int(left.n) - 1
    most = np.max(left.high) if isinstance(left, Box) and _single(left) else np.inf
    return int(most) if np.isfinite(most) else np.inf


def _classes(environment: Any, label: str) -> int:
    """Returns K, or 0 for a regression."""
    space = environment.observation_space[label]
    told = getattr(environment.unwrapped, "classes", None)
    return 0 if space.dtype.kind == "f" else int(told or space.high.max() + 1)
