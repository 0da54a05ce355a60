"""A pool of rows whose labels can be bought, and a test set on which learners are evaluated."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vbandits.data.precision import fault


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to choose from, and rows to be evaluated on. The arrays are shared by all who load them: do not write to
    them.

    Attributes:
        name: of the dataset, of the synthetic problem, or the user's file.
        features: [N, D], float32, or uint8 where all are small whole numbers, or float64 where its digits are needed.
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

    def require_valid(self) -> None:
        """Raises a ValueError that says all that is wrong with a pool of a user's own."""
        found = []
        if self.classes < 0 or self.classes == 1:
            found.append(f"classes: expected 0 for a regression, or at least 2, got {self.classes}")
        if self.image is not None and math.prod(self.image) != self.features.shape[-1]:
            found.append(
                f"image: expected a shape of {self.features.shape[-1]} pixels, as features have, got {self.image}"
            )
        kind = np.dtype(np.int64 if self.classes else np.float64)
        for which, x, y in (("", self.features, self.targets), ("test_", self.test_features, self.test_targets)):
            if not (x.ndim == 2 and len(x) and x.dtype in (np.float32, np.float64, np.uint8)):
                found.append(f"{which}features: expected float32, float64 or uint8 [N, D], got {x.dtype} {x.shape}")
            elif unfit := fault(x):
                found.append(f"{which}features: expected {unfit}")
            if y.shape != x.shape[:1] or y.dtype != kind:
                found.append(f"{which}targets: expected {kind} [{len(x)}], got {y.dtype} {y.shape}")
            elif self.classes and not (y.min() >= 0 and y.max() < self.classes):
                found.append(f"{which}targets: expected classes in 0..{self.classes - 1}, got {y.min()}..{y.max()}")
            elif unfit := fault(y):
                found.append(f"{which}targets: expected {unfit}")
        if self.features.shape[1:] != self.test_features.shape[1:]:
            found.append(f"test_features: expected as many features as in the pool, got {self.test_features.shape}")
        if found:
            raise ValueError("pool: " + "; ".join(found))
