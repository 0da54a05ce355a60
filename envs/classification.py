"""Classification as a bandit: a context is a row, an arm a class."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from vbandits.envs.base import BLOCK, Block, NativeBandit, SingleLane, require
from vbandits.envs.datasets import load
from vbandits.streams import generator


class Classification(NativeBandit):
    """Pays `reward_right` for the row's class and `reward_wrong` for any other.

    Each lane goes through all rows in an order of its own, without replacement, then reshuffles.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        dataset: str = "digits",
        reward_right: float = 1.0,
        reward_wrong: float = 0.0,
    ) -> None:
        self.dataset = load(dataset)
        features = self.dataset.features
        super().__init__(num_envs, device, features=features.shape[1], arms=self.dataset.classes, pool=features)
        self._rewards_of = (reward_wrong, reward_right)
        require(
            bool(np.isfinite(self._rewards_of).all()), "reward_wrong, reward_right", "finite rewards", self._rewards_of
        )

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one lane's steps."""
        order = self._rows(generator(seed, "environment contexts"))
        wrong, right = self._rewards_of
        while True:
            rows = np.fromiter(order, np.int64, BLOCK)
            expected = np.full((BLOCK, self.dataset.classes), wrong, np.float64)
            expected[np.arange(BLOCK), self.dataset.labels[rows]] = right
            yield Block(rows, expected, expected)

    def _rows(self, random: np.random.Generator) -> Iterator[int]:
        while True:
            yield from random.permutation(len(self.dataset.labels))


single = partial(SingleLane, Classification)
