"""The order in which a sub-environment goes through the rows of a dataset."""

from collections.abc import Iterator

import numpy as np

from vbandits.envs.base import BLOCK
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
