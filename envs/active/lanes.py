"""A user's own active learning as runs need it: several lanes in lockstep, with the interface of the native ones."""

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from vbandits.envs.active.lane import ROWS, Lane, problems
from vbandits.envs.active.spaces import POOL, pool_spaces, stream_spaces

Column = tuple[dict[str, np.ndarray], np.ndarray]
"""Observation and mask of one lane."""


class ActiveLanes(VectorEnv):
    """Lanes of a user's environment, one per seed, on the same rows; all end at once, and none starts by itself.

    Observations, actions, rewards and `info` are those of `PoolActiveLearning`, or of `StreamActiveLearning`, with the
    same attributes as far as the environment has them: `targets` is None where it has none.
    """

    def __init__(self, environments: Sequence[gymnasium.Env], device: torch.device | str = "cpu") -> None:
        """Takes one environment per lane.

        Raises:
            ValueError: if one of them cannot be played, is there twice, or has other rows than the first.
        """
        found = list(dict.fromkeys(problem for environment in environments for problem in problems(environment)))
        if found:
            raise ValueError("; ".join(found))
        if len({id(environment.unwrapped) for environment in environments}) < len(environments):
            raise ValueError(
                "expected a new environment for each lane, got the same object twice: create it inside "
                "the function that makes it"
            )
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": []}
        self.device, self.num_envs = torch.device(device), len(environments)
        self.lanes = [Lane(environment) for environment in environments]
        self.family, self.classes = self.lanes[0].kind, self.lanes[0].classes
        self._take_rows([environment.unwrapped for environment in environments])
        self._take_sizes(environments[0])
        self._over = True

    def _take_rows(self, owners: list[Any]) -> None:
        """Takes the rows of the first lane, once the others are seen to have the same."""
        first = owners[0]
        for name in (*ROWS, "targets"):
            for lane, other in enumerate(owners[1:], 1):
                one, two = (getattr(owner, name, None) for owner in (first, other))
                if one is not two and not np.array_equal(np.asarray(one), np.asarray(two)):
                    raise ValueError(
                        f"expected the same {name} in all lanes, got others in lane {lane}: make them "
                        "without random numbers of an episode, so that seeds share a pool"
                    )
        self.features, self.test_features = (self._inputs(first, name) for name in ("features", "test_features"))
        if self.features.shape[1] != self.test_features.shape[1]:
            raise ValueError(
                f"expected test_features of {self.features.shape[1]} columns, as features have, got "
                f"{self.test_features.shape[1]}"
            )
        self.test_targets = self._targets(first, "test_targets", len(self.test_features))
        known = getattr(first, "targets", None) is not None
        self.targets = self._targets(first, "targets", len(self.features)) if known else None
        self.image, self.notes = getattr(first, "image", None), tuple(getattr(first, "notes", ()))
        self.num_rows, self.pool = len(self.features), None

    def _take_sizes(self, environment: Any) -> None:
        seen, actions = environment.observation_space, environment.action_space
        left = seen["budget_left"]
        most = left.n - 1 if hasattr(left, "n") else np.max(left.high)
        if not np.isfinite(most):
            raise ValueError(
                f"expected a space of budget_left that ends at the budget, such as Discrete(budget + 1), got {left}"
            )
        self.budget = int(most)
        if self.family == POOL:
            self.batch = int(seen["queried"].shape[0])
            spaces = pool_spaces(self.num_rows, self.classes, self.batch, self.budget)
        else:
            self.query, self.steps = int(actions.n) - 1, int(getattr(environment.unwrapped, "steps", self.num_rows))
            self.predict = actions.n > 2
            spaces = stream_spaces(self.features.shape[1], self.classes, int(actions.n), self.budget)
        self.single_observation_space, self.single_action_space = spaces
        self.observation_space, self.action_space = (
            gymnasium.vector.utils.batch_space(space, self.num_envs) for space in spaces
        )

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Starts every lane with its seed (an int counts up); without seeds, the next episode of each lane."""
        seeds = [seed + lane for lane in range(self.num_envs)] if isinstance(seed, int) else seed
        seeds = [None] * self.num_envs if seeds is None else list(seeds)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected one seed for each of {self.num_envs} lanes, got {len(seeds)}")
        columns = [lane.reset(lane_seed) for lane, lane_seed in zip(self.lanes, seeds, strict=True)]
        for name in ("labels", "budget_left") if self.family == POOL else ("budget_left",):
            counts = [
                int(lane.known(seen[name]).sum()) if name == "labels" else int(seen[name])
                for lane, (seen, _) in zip(self.lanes, columns, strict=True)
            ]
            if len(set(counts)) > 1:
                what = "labels that are known from the start" if name == "labels" else "labels to be bought"
                raise ValueError(
                    f"expected as many {what} in all lanes, got {', '.join(map(str, counts))}: all seeds "
                    "are played as one batch"
                )
        self.budget, self._over = int(columns[0][0]["budget_left"]), False
        return self._stacked(columns)

    def step(self, actions: Any) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Plays `actions` [R], or [R, b] where more than one label is bought at a time."""
        if self._over:
            raise ValueError(
                "expected an episode that is running, got a step before reset() or after the end: call reset()"
            )
        chosen = torch.as_tensor(actions).cpu().numpy()
        played = [lane.step(np.asarray(action)) for lane, action in zip(self.lanes, chosen, strict=True)]
        seen, info = self._stacked([(observation, mask) for observation, mask, *_ in played])
        reward = torch.tensor([paid for *_, paid, _, _ in played], dtype=torch.float64, device=self.device)
        terminated, truncated = (torch.tensor([step[place] for step in played], device=self.device) for place in (3, 4))
        over = terminated | truncated
        if over.any() and not over.all():
            one, other = int(over.int().argmax()), int(over.int().argmin())
            raise ValueError(
                f"expected all lanes to end at once, got an end in lane {one} but not in lane {other}: "
                "let budgets and lengths not depend on the seed"
            )
        self._over = bool(over.any())
        return seen, reward, terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments. That one fails to close is no reason to lose what was played."""
        for lane in self.lanes:
            try:
                lane.environment.close()
            except Exception as error:
                warnings.warn(f"the environment raised {type(error).__name__} in close(): {error}", stacklevel=2)

    def _stacked(self, columns: Sequence[Column]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        names = ("labels", "queried", "budget_left") if self.family == POOL else ("context", "label", "budget_left")
        seen = {name: self._tensor(np.stack([observation[name] for observation, _ in columns])) for name in names}
        return seen, {"action_mask": self._tensor(np.stack([mask for _, mask in columns]))}

    def _inputs(self, owner: Any, name: str) -> Tensor:
        x = np.asarray(getattr(owner, name))
        if x.ndim != 2 or x.dtype.kind not in "fiub" or not len(x):
            raise ValueError(f"expected {name} to be numbers [N, D], got {x.dtype} of shape {x.shape}")
        with np.errstate(over="ignore"):
            x = x.astype(np.uint8 if x.dtype == np.uint8 else np.float32)
        if not np.isfinite(x).all():
            raise ValueError(f"expected {name} to be finite numbers in the range of float32, got others")
        return self._tensor(x)

    def _targets(self, owner: Any, name: str, rows: int) -> Tensor:
        y = np.asarray(getattr(owner, name))
        if y.shape != (rows,):
            raise ValueError(f"expected {name} of shape ({rows},), as there are features, got {y.shape}")
        if self.classes and not (y.dtype.kind in "iu" and y.min() >= 0 and y.max() < self.classes):
            raise ValueError(
                f"expected {name} to be integers in 0..{self.classes - 1}, got {y.dtype} in {y.min()}..{y.max()}"
            )
        if not self.classes and not (y.dtype.kind in "fiu" and np.isfinite(y).all()):
            raise ValueError(f"expected {name} to be finite numbers, got {y.dtype}, not all of them finite")
        return self._tensor(y.astype(np.int64 if self.classes else np.float64))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)
