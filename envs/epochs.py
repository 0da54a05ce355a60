"""Bandits whose contexts are the rows of a dataset, and the order in which a sub-environment goes through them."""

from collections.abc import Iterator

import numpy as np

from vbandits.data import Dataset
from vbandits.envs.base import BLOCK, CONTEXTS, NativeBandit
from vbandits.streams import generator


def shuffled_epochs(seed: int, rows: int) -> Iterator[np.ndarray]:
    """Yields the next `BLOCK` rows (int32), for ever: all of them in an order of the seed's, then again in another."""
    random = generator(seed, "environment contexts")
    # every sub-environment holds an order, of millions of rows perhaps: half the size matters
    every = np.arange(rows, dtype=np.int32)
    ahead = every[:0]
    while True:
        while len(ahead) < BLOCK:
            ahead = np.concatenate([ahead, random.permutation(every)])
        yield ahead[:BLOCK]
        ahead = ahead[BLOCK:]


def rows_of(environment: NativeBandit, seed: int, rows: int) -> Iterator[np.ndarray]:
    """Yields the next rows: those of `shuffled_epochs`; or, held out, those of its first epoch that come last."""
    if environment.aside is None:
        return shuffled_epochs(seed, rows)
    environment.aside.used = True
    order = generator(seed, "environment contexts").permutation(np.arange(rows, dtype=np.int32))
    left = order[max(environment.aside.played, rows - CONTEXTS) :]
    return iter([left] if len(left) else [])


class DatasetBandit(NativeBandit):
    """Contexts are rows of a dataset: each sub-environment goes through all of them in an order of its own, without
    replacement, then reshuffles.

    Attributes:
        dataset: its rows.
        feature_names: D of them, of the context.
        notes: what was done to them.
    """

    def __init__(self, num_envs: int, device: str, dataset: Dataset, *, arms: int, noisy_optimum: bool = False) -> None:
        self.dataset, self.notes, rows = dataset, dataset.notes, dataset.features
        self.feature_names = dataset.feature_names
        super().__init__(num_envs, device, features=rows.shape[1], arms=arms, pool=rows, noisy_optimum=noisy_optimum)
