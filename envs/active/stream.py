"""Active learning on a stream: is the label of this row worth its price?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbandits.data.pools import PoolSource, Task, load_pool
from vbandits.envs.active.base import ActiveLearning
from vbandits.envs.active.spaces import stream_spaces
from vbandits.errors import require

SKIP, QUERY = 0, 1


class StreamActiveLearning(ActiveLearning):
    """Shows the rows of a pool one at a time, whose label can be bought now or never.

    Observations are `context`, the row that has arrived, [R, D] of float32 or, where rows are, float64; `label` of the
    row before it, where that was bought [R], int64 with -1 or, of a regression, float64 with NaN otherwise; and
    `budget_left`, labels still to be bought [R]. Actions [R] are 0 to skip and 1 to query, which pays -`cost`, float64
    [R]. With `predict`, action k < K says that the row's class is k and pays 0 where it truly is and -`mistake` where
    not; action K asks. `info` has `action_mask`, int8 [R, A], in which the query is 0 once the budget is spent. All
    sub-environments end after `steps` rows; the context that is observed then is the last row's again.

    A sub-environment's seed decides the order of the rows, each at most once, and the label noise. A reset without a
    seed starts another episode. For the attributes see `ActiveLearning`; `steps`, `predict`, `mistake` and `query`,
    the action that buys, are four more.
    """

    shown = (*ActiveLearning.shown, "steps", "predict", "mistake", "query")
    family = "stream"
    purpose = "order of a stream"

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        pool: PoolSource = "digits",
        steps: int | None = None,
        budget: int | None = 100,
        predict: bool = False,
        cost: float = 1.0,
        mistake: float = 1.0,
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
            steps: rows that arrive; by default all of the pool.
            budget: labels that can be bought; None sets no limit, which is one of as many as there are steps.
            predict: whether every row that is not asked for has to be classified.
            cost: of a label.
            mistake: cost of a wrong class.
            label_noise: probability that an answer is another class, each as likely; or of a regression the standard
                deviation of normal noise.

        Raises:
            ValueError: for what `load_pool` refuses; numbers out of range; more steps than rows, or a budget of more
                than the steps; `predict` of a regression.
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
        size, features = found.features.shape
        length = size if steps is None else steps
        labels = length if budget is None else budget
        require(1 <= length <= size, "steps", f"from 1 to the {size:,} rows of the pool", steps)
        require(1 <= labels <= length, "budget", f"from 1 to the {length:,} steps, or none for no limit", budget)
        require(not predict or found.classes > 0, "predict", f"classes to predict, which {found.name} has not", predict)
        require(0 <= mistake < np.inf, "mistake", "a finite number of at least 0", mistake)
        self.steps, self.predict, self.mistake = length, predict, mistake
        self.query = found.classes if predict else QUERY
        kind = np.float64 if found.features.dtype == np.float64 else np.float32
        spaces = stream_spaces(features, found.classes, self.query + 1, labels, kind)
        super().__init__(num_envs, device, *spaces, pool=found, budget=labels, cost=cost, label_noise=label_noise)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Starts the episodes of the given seeds, one per sub-environment (an int counts up), or without seeds the
        next ones."""
        self._begin(seed)
        orders = [random.permutation(self.num_rows)[: self.steps] for random, _ in self._randoms]
        self._order = torch.from_numpy(np.stack(orders)).to(self.device)  # [R, T]
        self._step = 0
        self._left = torch.full((self.num_envs,), self.budget, device=self.device)
        self._label = torch.full_like(self._answers[:, 0], self._unknown)
        return self._observation(), {"action_mask": self._mask()}

    def step(self, actions: Any) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Skips, classifies or buys the label of the row that has arrived, by `actions` [R].

        Raises:
            ValueError: for an action that there is not; a query once the budget is spent; after the end.
        """
        self._require_running()
        actions = self._whole(actions, (self.num_envs,))
        self._require_possible(actions)
        rows, asked = self._order[:, self._step], actions == self.query
        self._label = self._answers[self._every, rows].where(asked, self._unknown)
        self._left = self._left - asked.long()
        reward = -self.cost * asked.double()
        if self.predict:
            reward = reward.where(asked | (actions == self.targets[rows]), -self.mistake)
        self._step += 1
        self._over = self._step == self.steps
        ended = torch.full((self.num_envs,), self._over, device=self.device)
        return self._observation(), reward, ended, torch.zeros_like(ended), {"action_mask": self._mask()}

    def _observation(self) -> dict[str, Tensor]:
        rows = self._order[:, min(self._step, self.steps - 1)]
        context = self.features[rows]
        context = context if context.dtype == torch.float64 else context.to(torch.float32)
        return {"context": context, "label": self._label.clone(), "budget_left": self._left.clone()}

    def _mask(self) -> Tensor:
        mask = torch.ones(self.num_envs, self.query + 1, dtype=torch.int8, device=self.device)
        mask[:, self.query] = (self._left > 0).to(torch.int8)
        return mask

    def _require_possible(self, actions: Tensor) -> None:
        """Raises a ValueError that names sub-environments and actions [R] which cannot be taken, if there are any."""
        outside = (actions < 0) | (actions > self.query)
        spent = (actions == self.query) & (self._left == 0)
        if (outside | spent).any():
            found = [
                f"sub-environment {index}: "
                + (
                    f"expected an action in 0..{self.query}, got {action}"
                    if outside[index]
                    else f"expected no query ({action}), as the budget of {self.budget} is spent"
                )
                for index, action in enumerate(actions.tolist())
                if outside[index] or spent[index]
            ]
            raise ValueError("; ".join(found))
