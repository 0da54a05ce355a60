"""A pool of rows whose labels can be bought, and a test set on which learners are judged."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to choose from, and rows to be judged on. The arrays are shared by all who load them: do not write to them.

    Attributes:
        name: of the dataset, of the synthetic problem, or the user's file.
        features: [N, D], float32, or uint8 where all are small whole numbers.
        targets: classes, int64 in 0..K-1 [N], or numbers, float64 [N].
        test_features: [M, D].
        test_targets: [M].
        classes: K; 0 for a regression.
        image: channels, height and width, where a row is an image: its pixels are standardised together.
        notes: what was done to the rows.
    """

    name: str
    features: np.ndarray
    targets: np.ndarray
    test_features: np.ndarray
    test_targets: np.ndarray
    classes: int
    image: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """Returns the SHA-256 of all four arrays, with types and shapes, and of what a row and a target are."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        found = hashlib.sha256(f"{self.classes} {self.image}".encode())
        for part in (self.features, self.targets, self.test_features, self.test_targets):
            found.update(f"{part.dtype} {part.shape}".encode())
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()
