"""A table of rewards as a bandit: what every arm would have paid is known in every row."""

from collections.abc import Iterator, Sequence
from typing import Any

from vbandits.data.reward_table import load_table
from vbandits.envs.base import Block
from vbandits.envs.epochs import DatasetBandit, rows_of


class RewardTable(DatasetBandit):
    """Pays what the table says: a row is a context and the rewards of all arms in it, which are no chance.

    The optimum is the best arm of each row. Each sub-environment goes through all rows in an order of its own, without
    replacement, then reshuffles.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        table: Any = "example",
        rewards: Sequence[str | int] | None = None,
        drop: Sequence[str | int] | None = None,
        noisy_optimum: bool = False,
    ) -> None:
        """Takes a CSV or Parquet file or a data frame with the columns that are the arms' `rewards`; or arrays
        (contexts [N, D], rewards [N, A]); see `data.reward_table.load_table`. And `NativeBandit`'s `noisy_optimum`."""
        found = load_table(table, rewards, drop)
        assert found.targets is not None
        super().__init__(num_envs, device, found, arms=found.targets.shape[1], noisy_optimum=noisy_optimum)
        self.arm_names, self._rewards_of = found.class_names, found.targets

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        for rows in rows_of(self, seed, len(self._rewards_of)):
            yield Block(rows, self._rewards_of[rows], self._rewards_of[rows])
