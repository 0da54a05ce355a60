"""Active learning on a pool: which rows should be labelled next?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbandits.data.pool import Pool
from vbandits.data.pools import PoolSource, Task, load_pool
from vbandits.envs.active.base import ActiveLearning
from vbandits.envs.active.spaces import pool_spaces
from vbandits.errors import require

MESSAGES = 3
"""Faults that are told at once."""


class PoolActiveLearning(ActiveLearning):
    """Sells labels of the rows of a pool, `batch` at a time, until a budget is spent.

    Observations are `labels` [R, N], int64 with -1 or, of a regression, float64 with NaN where they are not known;
    `queried`, the rows of the last action [R, b], -1 before the first; and `budget_left`, labels still to be bought
    [R]. An action is a row [R], or `batch` different ones [R, b]. It pays -`cost` per label, float64 [R]. `info` has
    `action_mask`, int8 [R, N]: 1 where the label is not known. All sub-environments end at once, when the budget is
    spent.

    A sub-environment's seed decides which labels are known from the start and what the label noise is, which answers
    once and for all. A reset without a seed starts another episode. For the attributes see `ActiveLearning`; `batch`
    is one more.
    """

    shown = (*ActiveLearning.shown, "batch")
    family = "pool"
    purpose = "initial labels"

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        pool: PoolSource = "digits",
        budget: int = 100,
        batch: int = 1,
        initial: int | Sequence[int] = 1,
        cost: float = 1.0,
        label_noise: float = 0.0,
        rows: int | None = None,
        test_rows: int | None = None,
        test_part: float | None = None,
        pool_seed: int = 0,
        task: Task | None = None,
        target: str | int | None = None,
        drop: Sequence[str | int] | None = None,
        copies: int | None = None,
        noise: float | None = None,
        data_dir: str | None = None,
    ) -> None:
        """Takes a pool and how its labels are sold.

        Args:
            pool: a name, a file, arrays or a `Pool`, with the options from `rows` on: see `load_pool`.
            budget: labels that can be bought, those that are known from the start not among them.
            batch: b, labels that are bought at a time.
            initial: rows of every class, or of a regression in all, whose labels are known from the start, chosen by
                the sub-environment's seed; or which rows, the same in all sub-environments.
            cost: of a label.
            label_noise: probability that an answer is another class, each as likely; or of a regression the standard
                deviation of normal noise. Labels that are known from the start have it too.

        Raises:
            ValueError: for what `load_pool` refuses; numbers out of range; a budget that the pool has not, or that is
                no multiple of `batch`; initial labels that a class has not, or that leave one out.
        """
        found = load_pool(
            pool,
            rows=rows,
            test_rows=test_rows,
            test_part=test_part,
            pool_seed=pool_seed,
            task=task,
            target=target,
            drop=drop,
            copies=copies,
            noise=noise,
            data_dir=data_dir,
        )
        self._initial = initial if isinstance(initial, int) else self._chosen(initial, found)
        known = self._known(found)
        _require_budget(budget, batch, len(found.features) - known)
        spaces = pool_spaces(len(found.features), found.classes, batch, budget)
        super().__init__(num_envs, device, *spaces, pool=found, budget=budget, cost=cost, label_noise=label_noise)
        self.batch = batch

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Starts the episodes of the given seeds, one per sub-environment (an int counts up), or without seeds the
        next ones."""
        self._begin(seed)
        initial = torch.from_numpy(np.stack([self._drawn(random) for random, _ in self._randoms])).to(self.device)
        self._labels = torch.full_like(self._answers, self._unknown, memory_format=torch.contiguous_format)
        self._open = torch.ones(self._labels.shape, dtype=torch.int8, device=self.device)
        self._reveal(initial)
        self._queried = torch.full((self.num_envs, self.batch), -1, device=self.device)
        self._left = self.budget
        return self._observation(), {"action_mask": self._open.clone()}

    def step(self, actions: Any) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Buys the labels of rows [R], or [R, b] where `batch` is more than 1.

        Raises:
            ValueError: for a row that is not there, is labelled already or is asked for twice; after the end.
        """
        self._require_running()
        shape = (self.num_envs,) if self.batch == 1 else (self.num_envs, self.batch)
        rows = self._whole(actions, shape).reshape(self.num_envs, self.batch)
        self._require_open(rows)
        self._reveal(rows)
        self._queried, self._left = rows.clone(), self._left - self.batch
        self._over = self._left == 0
        reward = torch.full((self.num_envs,), -self.cost * self.batch, dtype=torch.float64, device=self.device)
        ended = torch.full((self.num_envs,), self._over, device=self.device)
        return self._observation(), reward, ended, torch.zeros_like(ended), {"action_mask": self._open.clone()}

    def answers(self) -> Tensor:
        """Returns what would be answered about each row in this episode [R, N], for evaluation from outside."""
        return self._answers

    def _observation(self) -> dict[str, Tensor]:
        left = torch.full((self.num_envs,), self._left, device=self.device)
        return {"labels": self._labels.clone(), "queried": self._queried.clone(), "budget_left": left}

    def _reveal(self, rows: Tensor) -> None:
        """Makes the labels of rows [R, n] known."""
        self._labels.scatter_(1, rows, self._answers.gather(1, rows))
        self._open.scatter_(1, rows, 0)

    def _require_open(self, rows: Tensor) -> None:
        """Raises a ValueError that names sub-environments and rows [R, b] which cannot be bought, if there are any."""
        outside = (rows < 0) | (rows >= self.num_rows)
        labelled = self._open.gather(1, rows.clamp(0, self.num_rows - 1)) == 0
        order = rows.sort(1).values
        twice = order[:, 1:] == order[:, :-1]
        if not (outside | labelled).any() and not twice.any():
            return
        found = []
        for index, chosen in enumerate(rows.tolist()):
            for place, row in enumerate(chosen):
                if outside[index, place]:
                    found.append(f"sub-environment {index}: expected a row in 0..{self.num_rows - 1}, got {row}")
                elif labelled[index, place]:
                    found.append(
                        f"sub-environment {index}: expected a row without a label, as info['action_mask'] tells, "
                        f"got {row}"
                    )
                elif row in chosen[:place]:
                    found.append(f"sub-environment {index}: expected {self.batch} different rows, got {row} twice")
        raise ValueError("; ".join(found[:MESSAGES]) + (" ..." if len(found) > MESSAGES else ""))

    def _chosen(self, initial: Sequence[int], pool: Pool) -> np.ndarray:
        """Returns the rows [n] whose labels are known from the start, where they were named."""
        rows, size = np.array(initial), len(pool.features)
        require(
            rows.ndim == 1 and rows.size > 0 and rows.dtype.kind in "iu",
            "initial",
            "a number or a list of rows",
            initial,
        )
        found = []
        if outside := [int(row) for row in rows if not 0 <= row < size]:
            found.append(f"rows in 0..{size - 1}, got {', '.join(map(str, outside[:MESSAGES]))}")
        if twice := sorted({int(row) for row in rows if (rows == row).sum() > 1}):
            found.append(f"every row once, got more of {', '.join(map(str, twice[:MESSAGES]))}")
        if pool.classes and not outside:
            counts = np.bincount(pool.targets[rows], minlength=pool.classes)
            if (counts == 0).any():
                found.append(f"a row of every class, got none of {_listed(np.flatnonzero(counts == 0))}")
        if found:
            raise ValueError("initial: expected " + "; and ".join(found))
        return rows.astype(np.int64)

    def _known(self, pool: Pool) -> int:
        """Returns how many labels are known from the start."""
        if isinstance(self._initial, np.ndarray):
            return len(self._initial)
        require(self._initial >= 1, "initial", "at least 1", self._initial)
        if not pool.classes:
            require(
                self._initial <= len(pool.features),
                "initial",
                f"at most all {len(pool.features):,} rows",
                self._initial,
            )
            return self._initial
        counts = np.bincount(pool.targets, minlength=pool.classes)
        if (few := np.flatnonzero(counts < self._initial)).size:
            raise ValueError(
                f"initial: expected at most as many rows as every class has in the pool, got "
                f"{self._initial}, but there are {_listed(counts[few])} of class {_listed(few)}: ask for "
                "fewer, name the rows, or take more of the pool"
            )
        return self._initial * pool.classes

    def _drawn(self, random: np.random.Generator) -> np.ndarray:
        """Returns the rows [n] whose labels a sub-environment knows from the start."""
        if isinstance(self._initial, np.ndarray):
            return self._initial
        if not self.classes:
            return random.permutation(self.num_rows)[: self._initial]
        groups = (np.flatnonzero(self.pool.targets == label) for label in range(self.classes))
        return np.concatenate([random.permutation(group)[: self._initial] for group in groups])


def _require_budget(budget: int, batch: int, left: int) -> None:
    """Raises a ValueError unless the budget can be spent, `batch` labels at a time, on so many rows."""
    require(batch >= 1, "batch", "at least 1", batch)
    require(budget >= 1, "budget", "at least 1", budget)
    require(batch <= left, "batch", f"at most the {left:,} labels that can be bought", batch)
    require(budget <= left, "budget", f"at most the {left:,} labels that can be bought", budget)
    nearest = max(budget // batch, 1) * batch
    require(budget % batch == 0, "budget", f"a multiple of batch ({batch}), such as {nearest}", budget)


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(map(str, values[:MESSAGES].tolist()))
    return shown + (", ..." if len(values) > MESSAGES else "")
