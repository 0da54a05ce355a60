"""Classification datasets by name: features [N, D] and labels [N]."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from vbandits.registry import unknown


class Dataset(NamedTuple):
    """A classification problem: float32 features [N, D], labels [N] in 0..K-1, and K."""

    features: np.ndarray
    labels: np.ndarray
    classes: int


def _bundled(name: str) -> Dataset:
    from sklearn import datasets

    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Dataset(features.astype(np.float32), labels.astype(np.int64), int(labels.max()) + 1)


DATASETS: dict[str, tuple[str, Callable[[str], Dataset]]] = {
    "digits": ("1,797 handwritten digits of 8 x 8 pixels, 10 classes (scikit-learn)", _bundled),
    "breast_cancer": ("569 tumours, 30 measurements, 2 classes (scikit-learn)", _bundled),
    "wine": ("178 wines, 13 measurements, 3 classes (scikit-learn)", _bundled),
}
"""Name: what it is, and how it is read."""


@cache
def load(name: str) -> Dataset:
    """Returns a dataset by name; it is read once per process.

    Raises:
        ValueError: for a name that is not in `DATASETS`.
    """
    if name not in DATASETS:
        raise ValueError(unknown("dataset", name, DATASETS))
    return DATASETS[name][1](name)
