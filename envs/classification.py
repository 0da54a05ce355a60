"""Classification as a bandit: a context is a row, an arm a class."""

from collections.abc import Iterator, Sequence

import numpy as np

from vbandits.data import load
from vbandits.envs.base import BLOCK, Block
from vbandits.envs.epochs import DatasetBandit, shuffled_epochs
from vbandits.errors import require


class Classification(DatasetBandit):
    """Pays `reward_right` for the row's class and `reward_wrong` for any other."""

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        dataset: str = "digits",
        target: str | int | None = None,
        drop: Sequence[str | int] | None = None,
        data_dir: str | None = None,
        reward_right: float = 1.0,
        reward_wrong: float = 0.0,
    ) -> None:
        """Takes a dataset by name, or a CSV or Parquet file with the column that is the target: see `data.load`."""
        found = load(dataset, data_dir, target, drop)
        if found.labels is None:
            raise ValueError(
                f"dataset: expected classes, which {dataset} has not: it is for vbandits/{dataset.capitalize()}-v0"
            )
        super().__init__(num_envs, device, found, arms=len(found.class_names))
        self._labels = found.labels
        self._rewards_of = (reward_wrong, reward_right)
        require(
            bool(np.isfinite(self._rewards_of).all()), "reward_wrong, reward_right", "finite rewards", self._rewards_of
        )

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        wrong, right = self._rewards_of
        for rows in shuffled_epochs(seed, len(self._labels)):
            expected = np.full((BLOCK, self.arms), wrong, np.float64)
            expected[np.arange(BLOCK), self._labels[rows]] = right
            yield Block(rows, expected, expected)
