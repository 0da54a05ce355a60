"""Bandits made of data that was logged: mushrooms to eat, jokes to tell, stocks to hold.

As Riquelme, Tucker and Snoek, "Deep Bayesian Bandits Showdown" (ICLR 2018), appendix A, have them.
"""

from collections.abc import Iterator

import numpy as np

from vbandits.data import load
from vbandits.envs.base import Block, NativeBandit
from vbandits.envs.epochs import DatasetBandit, rows_of
from vbandits.errors import require

EAT = 1
"""The arm of `Mushroom`; 0 is to leave it."""
GOOD, BAD = 5.0, -35.0
RATED = 40
ARMS = 8


class Mushroom(DatasetBandit):
    """Eat a mushroom or leave it: an edible one pays 5, a poisonous one 5 or -35 with even odds, leaving it 0.

    The context is 117 indicators of 22 attributes. A poisonous mushroom is expected to pay -15, so the best is to eat
    the edible ones, 4,208 of 8,124, and to leave the 3,916 others. Playing at random loses 5 / 2 on an edible one (it
    is left half of the time) and 15 / 2 on a poisonous one: (4208 * 2.5 + 3916 * 7.5) / 8124 = 4.91 per step. In the
    dataset, label 0 is edible and 1 poisonous.
    """

    def __init__(
        self, num_envs: int = 1, device: str = "cpu", *, data_dir: str | None = None, noisy_optimum: bool = False
    ) -> None:
        """Takes where the files are (see `data.load`), and `NativeBandit`'s `noisy_optimum`."""
        super().__init__(num_envs, device, load("mushroom", data_dir), arms=2, noisy_optimum=noisy_optimum)
        assert self.dataset.labels is not None
        self.arm_names = ("leave", "eat")
        self._poisonous = self.dataset.labels == 1

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        luck = self.random(seed, "rewards")
        for rows in rows_of(self, seed, len(self._poisonous)):
            poisonous = self._poisonous[rows]
            unlucky = luck.random(len(rows)) < 0.5
            expected, rewards = np.zeros((2, len(rows), 2))
            expected[:, EAT] = np.where(poisonous, (GOOD + BAD) / 2, GOOD)
            rewards[:, EAT] = np.where(poisonous & unlucky, BAD, GOOD)
            yield Block(rows, expected, rewards)


class Jester(NativeBandit):
    """Tell a person one of 8 jokes, knowing how they rated 32 others; pays their rating of it, from -10 to 10.

    Which of the 40 jokes are the arms is drawn for each seed, and so is the order of the others. A rating is a fixed
    number: what an arm is expected to pay is what it pays, and the optimum is the person's best of the 8, with and
    without `noisy_optimum`, as in the paper. Each sub-environment goes through all people in an order of its own,
    without replacement, then reshuffles.

    Attributes:
        dataset: all ratings, [N, 40].
        notes: what was done to them.
    """

    def __init__(
        self, num_envs: int = 1, device: str = "cpu", *, data_dir: str | None = None, noisy_optimum: bool = False
    ) -> None:
        """Takes where the files are (see `data.load`), and `NativeBandit`'s `noisy_optimum`."""
        self.dataset = load("jester", data_dir)
        self.notes = self.dataset.notes
        super().__init__(num_envs, device, features=RATED - ARMS, arms=ARMS, noisy_optimum=noisy_optimum)

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        ratings = self.dataset.features
        jokes = self.random(seed, "problem").permutation(RATED)
        for people in rows_of(self, seed, len(ratings)):
            rated = ratings[people][
                :, jokes
            ]  # [T, 40]; each sub-environment has columns of its own, so there is no pool
            paid = rated[:, -ARMS:].astype(np.float64)
            yield Block(rated[:, :-ARMS], paid, paid)


class Financial(DatasetBandit):
    """Hold one of 8 portfolios of 21 stocks for a day; pays the day's return of the portfolio, with noise.

    The context is the day's 21 numbers, x. Portfolio a has weights drawn for each seed, uniform in [-1, 1] and then
    scaled to length 1; it is expected to pay their product with x, and its noise has a standard deviation of
    0.01 (a + 1), a = 0..7. The optimum is the best mean.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        noise: float = 0.01,
        data_dir: str | None = None,
        noisy_optimum: bool = False,
    ) -> None:
        """Takes the standard deviation of the first arm's noise (arm a has a + 1 times as much), where the files are
        (see `data.load`), and `NativeBandit`'s `noisy_optimum`."""
        require(noise >= 0 and bool(np.isfinite(noise)), "noise", "a standard deviation, at least 0", noise)
        super().__init__(num_envs, device, load("financial", data_dir), arms=ARMS, noisy_optimum=noisy_optimum)
        self._noise = noise * np.arange(1, ARMS + 1)

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        days = self.dataset.features
        weights = self.random(seed, "problem").uniform(-1, 1, (ARMS, days.shape[1]))
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        noise = self.random(seed, "rewards")
        for rows in rows_of(self, seed, len(days)):
            expected = days[rows].astype(np.float64) @ weights.T  # [T, A]
            yield Block(rows, expected, expected + self._noise * noise.standard_normal(expected.shape))
