"""The wheel bandit: how much exploration does an agent do when it rarely pays, but pays a lot?"""

from collections.abc import Iterator

import numpy as np

from vbandits.envs.base import BLOCK, Block, NativeBandit
from vbandits.errors import require


class Wheel(NativeBandit):
    """Riquelme, Tucker and Snoek, "Deep Bayesian Bandits Showdown", ICLR 2018, section 5.4.

    Contexts are uniform in the unit disc; there are 5 arms. Within radius delta, arm 0 pays N(mean_inner, std^2) and
    the others N(mean_base, std^2). Beyond it, the arm of the context's quadrant pays N(mean_outer, std_outer^2) and the
    rest as within. The quadrants of arms 1 to 4 are (+, +), (+, -), (-, +), (-, -) in the signs of the two coordinates.

    With `noisy_optimum` the regret is measured against what the best arm (by expectation) would have paid in the step,
    as the paper's authors report it: it has the same mean, and may be negative.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        delta: float = 0.5,
        mean_base: float = 1.0,
        mean_inner: float = 1.2,
        mean_outer: float = 50.0,
        std: float = 0.05,
        std_outer: float = 0.01,
        noisy_optimum: bool = False,
    ) -> None:
        require(0 < delta < 1, "delta", "a radius between 0 and 1", delta)
        stds = (std, std_outer)
        fit = all(0 <= each < np.inf for each in stds)
        require(fit, "std, std_outer", "finite standard deviations of at least 0", stds)
        means = (mean_base, mean_inner, mean_outer)
        require(bool(np.isfinite(means).all()), "mean_base, mean_inner, mean_outer", "finite means", means)
        super().__init__(num_envs, device, features=2, arms=5, noisy_optimum=noisy_optimum)
        self.delta = delta
        self._means = means
        self._stds = stds

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        contexts, rewards = self.random(seed, "contexts"), self.random(seed, "rewards")
        base, inner, outer = self._means
        steps = np.arange(BLOCK)
        while True:
            radius, turn = contexts.random((BLOCK, 2)).T
            radius, angle = np.sqrt(radius), 2 * np.pi * turn
            x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
            expected = np.full((BLOCK, 5), base, np.float64)
            expected[:, 0] = inner
            std = np.full((BLOCK, 5), self._stds[0], np.float64)
            beyond = radius > self.delta
            quadrant = 1 + 2 * (x[:, 0] < 0) + (x[:, 1] < 0)
            expected[steps[beyond], quadrant[beyond]] = outer
            std[steps[beyond], quadrant[beyond]] = self._stds[1]
            yield Block(x, expected, expected + std * rewards.standard_normal((BLOCK, 5)))
