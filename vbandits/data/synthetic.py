"""Pools that are made rather than measured: small, of one or two inputs, each hard in a way that is known.

Every one is the same 1,000 rows to buy from and 1,000 to be evaluated on, whatever the seed of an experiment. U is
uniform, N normal, with its variance.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from vbandits.data.pool import Pool
from vbandits.streams import generator

ROWS = 1000
"""Rows to buy from, and as many to be evaluated on."""
Drawn = tuple[np.ndarray, np.ndarray]
"""Inputs [N, D] and targets [N]."""


def two_moons(random: np.random.Generator, rows: int) -> Drawn:
    """Draws two half circles that reach into each other: D = 2, K = 2.

    t ~ U(0, pi); class 0 is at (cos t, sin t), class 1 at (1 - cos t, 1/2 - sin t), both + N(0, 0.15^2 I).
    """
    y = random.integers(2, size=rows)
    t = random.uniform(0, np.pi, rows)
    first, second = np.column_stack([np.cos(t), np.sin(t)]), np.column_stack([1 - np.cos(t), 0.5 - np.sin(t)])
    return np.where(y[:, None] == 0, first, second) + 0.15 * random.standard_normal((rows, 2)), y


def three_clust(random: np.random.Generator, rows: int) -> Drawn:
    """Draws two clusters of one class each, and a third between them, of both: D = 2, K = 2.

    Centres (0, 6) for class 0, (0, 0) for class 1, and (4, 3), with half the rows, where a coin is the class; all
    + N(0, I). ThreeClust of Werner et al., "A Cross-Domain Benchmark for Active Learning", 2024, with the numbers of
    the authors' program. In the third a label tells nothing, and who asks where it is unsure asks there. No classifier
    is right more often than in 3 of 4 rows.
    """
    mixed, y = random.random(rows) < 0.5, random.integers(2, size=rows)
    centre = np.where(mixed[:, None], [4.0, 3.0], np.column_stack([np.zeros(rows), 6.0 * (1 - y)]))
    return centre + random.standard_normal((rows, 2)), y


def checkerboard(random: np.random.Generator, rows: int) -> Drawn:
    """Draws the squares of a board of four by four: D = 2, K = 2.

    x ~ U(0, 4)^2, and the class is whether floor(x_1) + floor(x_2) is odd. Every square has to be found.
    """
    x = random.uniform(0, 4, (rows, 2))
    return x, (np.floor(x).sum(1) % 2).astype(np.int64)


def banana(random: np.random.Generator, rows: int) -> Drawn:
    """Draws two bent clouds that hold each other: D = 2, K = 2.

    Class 0: t ~ U(pi/8, 11 pi/8), at (sin t, cos t). Class 1: t ~ U(-7 pi/8, 3 pi/8), at (sin t - 3/4, cos t - 3/4).
    Both + N(0, 0.2^2 I).
    """
    y = random.integers(2, size=rows)
    t = np.where(y == 0, np.pi / 8, -7 * np.pi / 8) + random.uniform(0, 1.25 * np.pi, rows)
    x = np.column_stack([np.sin(t), np.cos(t)]) - 0.75 * y[:, None]
    return x + 0.2 * random.standard_normal((rows, 2)), y


def diverging_sin(random: np.random.Generator, rows: int) -> Drawn:
    """Draws two classes along a sine, which it leaves in opposite directions: D = 2, K = 2.

    x_1 ~ U(0, 10), x_2 ~ N(sin(2 x_1) + x_1 / 2, 0.3^2) for class 1 and N(sin(2 x_1) - x_1 / 2, 0.3^2) for class 0.
    DivergingSin of Werner et al. (see `three_clust`), with the numbers of the authors' program, where x_1 is evenly
    spaced. On the left the classes overlap, on the right a wrong curve between them does no harm.
    """
    x, y = random.uniform(0, 10, rows), random.integers(2, size=rows)
    return np.column_stack([x, np.sin(2 * x) + (2 * y - 1) * x / 2 + 0.3 * random.standard_normal(rows)]), y


GAP = 2 / 3
"""Half the width of the gap, about 0."""


def gap(random: np.random.Generator, rows: int, *, whole: bool = False) -> Drawn:
    """Draws a curve of which the middle is not for sale: D = 1, a regression.

    y ~ N(sin(4 x) + x / 2, 0.1^2). To be bought: x ~ U over [-2, -2/3] and [2/3, 2]; to be evaluated on (`whole`):
    x ~ U(-2, 2). In the gap a learner has to know that it does not know.
    """
    inner = 0.0 if whole else GAP
    side = np.where(random.integers(2, size=rows) == 0, -1.0, 1.0)
    x = side * random.uniform(inner, 2, rows)
    return x[:, None], gap_mean(x) + 0.1 * random.standard_normal(rows)


def gap_mean(x: np.ndarray) -> np.ndarray:
    """Returns the curve of `gap` without noise."""
    return np.sin(4 * x) + x / 2


SYNTHETIC: dict[str, tuple[int, Callable[..., Drawn], Callable[..., Drawn]]] = {
    "two_moons": (2, two_moons, two_moons),
    "three_clust": (2, three_clust, three_clust),
    "checkerboard": (2, checkerboard, checkerboard),
    "banana": (2, banana, banana),
    "diverging_sin": (2, diverging_sin, diverging_sin),
    "gap": (0, gap, partial(gap, whole=True)),
}
"""By name: K (0 for a regression), what draws the pool, and what draws the test set."""


def make(name: str) -> Pool:
    """Returns a synthetic pool by its name in `SYNTHETIC`."""
    classes, train, test = SYNTHETIC[name]
    x, y = train(generator(0, f"synthetic pool {name}"), ROWS)
    test_x, test_y = test(generator(0, f"synthetic test {name}"), ROWS)
    kind = np.int64 if classes else np.float64
    arrays = (x.astype(np.float32), y.astype(kind), test_x.astype(np.float32), test_y.astype(kind))
    return Pool(name, *arrays, classes)
