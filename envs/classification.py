"""Classification as a bandit: a context is a row, an arm a class."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vbandits.data import Dataset, load
from vbandits.envs.base import Block
from vbandits.envs.epochs import DatasetBandit, rows_of
from vbandits.errors import require
from vbandits.streams import generator


class Classification(DatasetBandit):
    """Pays `reward_right` for the row's class and `reward_wrong` for any other.

    With `imbalance` above 1 the classes are long-tailed, as Cui, Jia, Lin, Song and Belongie make them, "Class-Balanced
    Loss Based on Effective Number of Samples", CVPR 2019: see `long_tailed`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        dataset: Any = "digits",
        target: str | int | None = None,
        drop: Sequence[str | int] | None = None,
        data_dir: str | None = None,
        reward_right: float = 1.0,
        reward_wrong: float = 0.0,
        imbalance: float = 1.0,
    ) -> None:
        """Takes a dataset by name; a CSV or Parquet file or a data frame, with the column that is the target; or arrays
        (x, y): see `data.load`."""
        require(1 <= imbalance < np.inf, "imbalance", "a finite ratio of at least 1", imbalance)
        found = load(dataset, data_dir, target, drop)
        if found.labels is None:
            instead = "a log of decisions, for [[logs]]" if found.logged else f"for vbandits/{dataset.capitalize()}-v0"
            raise ValueError(f"dataset: expected classes, which {dataset} has not: it is {instead}")
        played = found if imbalance == 1 else long_tailed(found, imbalance)
        super().__init__(num_envs, device, played, arms=len(found.class_names))
        assert played.labels is not None
        self.arm_names = played.class_names
        self._labels = played.labels
        self._rewards_of = (reward_wrong, reward_right)
        require(
            bool(np.isfinite(self._rewards_of).all()), "reward_wrong, reward_right", "finite rewards", self._rewards_of
        )

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        wrong, right = self._rewards_of
        for rows in rows_of(self, seed, len(self._labels)):
            expected = np.full((len(rows), self.arms), wrong, np.float64)
            expected[np.arange(len(rows)), self._labels[rows]] = right
            yield Block(rows, expected, expected)


def long_tailed(dataset: Dataset, imbalance: float) -> Dataset:
    """Returns a dataset without some rows of its rarer classes; which ones is the same for all seeds.

    Of K classes, the k-th most frequent (k from 0) keeps at most n imbalance^(-k / (K - 1)) rows, and at least one,
    where n is how many the most frequent has.
    """
    assert dataset.labels is not None
    sizes = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    limits = np.maximum(1, np.round(sizes.max() * imbalance ** -np.linspace(0, 1, len(sizes)))).astype(int)
    random, kept = generator(0, "environment imbalance"), []
    for label, limit in zip(np.argsort(-sizes, kind="stable"), limits, strict=True):
        kept.append(random.permutation(np.flatnonzero(dataset.labels == label))[:limit])
    rows = np.sort(np.concatenate(kept))
    note = f"{len(rows):,} of {len(dataset.labels):,} rows are kept, to make classes imbalanced: {imbalance:g} to 1"
    return replace(dataset, features=dataset.features[rows], labels=dataset.labels[rows], notes=(*dataset.notes, note))
