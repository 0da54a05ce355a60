"""A model of what arms pay, for doubly robust estimates: the same for every policy, so that it favours none."""

from dataclasses import dataclass

import numpy as np

PULLS = 10.0
"""Rows that an arm's own constant must outweigh before it departs from that of all arms by half."""


@dataclass(frozen=True)
class RewardModel:
    """Linear in the context: a ridge regression of all arms, and one of each arm on what that leaves.

    With few rows an arm keeps close to what all arms pay; any penalty leaves doubly robust estimates unbiased.

    Attributes:
        mean: of the contexts that it was fitted on [D].
        scale: their standard deviations, 1 where there is none [D].
        coefficients: of a constant and the scaled context, of every arm [1 + D, A].
        low: least reward that was seen; predictions are clipped to it.
        high: the largest.
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    low: float
    high: float

    @classmethod
    def fitted(cls, context: np.ndarray, action: np.ndarray, reward: np.ndarray, arms: int) -> "RewardModel":
        """Returns it for contexts [N, D], arms that were played [N] and their rewards [N]; N is at least 1."""
        context = context.astype(np.float64)
        mean, scale = context.mean(0), context.std(0)
        scale = np.where(scale > 1e-12 * (1 + np.abs(mean)), scale, 1.0)
        rows = np.column_stack([np.ones(len(context)), (context - mean) / scale])
        penalty = np.full(rows.shape[1], max(context.shape[1], PULLS))
        shared = _ridge(rows, reward, np.concatenate([[1e-9], penalty[1:]]))
        left, coefficients = reward - rows @ shared, np.tile(shared[:, None], arms)
        penalty[0] = PULLS
        for arm in range(arms):
            own = action == arm
            if own.any():
                coefficients[:, arm] += _ridge(rows[own], left[own], penalty)
        return cls(mean, scale, coefficients, float(reward.min()), float(reward.max()))

    def predict(self, context: np.ndarray) -> np.ndarray:
        """Returns what every arm is expected to pay in contexts [N, D]: [N, A]."""
        rows = (context.astype(np.float64) - self.mean) / self.scale
        return np.clip(self.coefficients[0] + rows @ self.coefficients[1:], self.low, self.high)


def cross_fitted(
    context: np.ndarray, action: np.ndarray, reward: np.ndarray, arms: int, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Returns what every arm is expected to pay [N, A], each row by a model that was fitted on other rows.

    V. Chernozhukov et al., "Double/debiased Machine Learning for Treatment and Structural Parameters", 2018.
    """
    fold = np.random.default_rng(seed).permutation(len(action)) % folds
    found = np.empty((len(action), arms))
    for number in range(min(folds, len(action))):
        held = fold == number
        if held.all():
            raise ValueError(f"expected at least 2 rows to fit a model of rewards on others, got {len(action)}")
        found[held] = RewardModel.fitted(context[~held], action[~held], reward[~held], arms).predict(context[held])
    return found


def _ridge(rows: np.ndarray, values: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    return np.linalg.solve(rows.T @ rows + np.diag(penalty), rows.T @ values)
