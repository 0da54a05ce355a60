"""Arms that are told apart by their features, which are others at every step."""

from collections.abc import Callable, Iterator

import numpy as np

from vbandits.envs.base import BLOCK, Block, NativeBandit
from vbandits.errors import require

FUNCTIONS = ("linear", "quadratic", "matrix", "cosine")
BLOCK_SIZE = 2**19
"""Numbers in the features of a block, at most (2 MiB): many arms make for shorter blocks."""


class ArmFeaturesBandit(NativeBandit):
    """An arm with the features x pays N(h(x), noise^2); at every step all arms have new ones, on the unit sphere.

    h(x) is `linear`: a . x, `quadratic`: 10 (a . x)^2, `matrix`: |A x|^2, or `cosine`: cos(3 a . x), with a uniform on
    the unit sphere and A_ij ~ N(0, 1), drawn once per seed. The last three are the synthetic problems of Zhou, Li and
    Gu, "Neural Contextual Bandits with UCB-based Exploration", ICML 2020, with their 4 arms of 20 features.

    With `context_features`, there is also a context c ~ N(0, I) [C] that all arms share, and x^T B c is added to what
    an arm is expected to pay, with B_ij ~ N(0, 1 / C) so that its variance is 1. With `available` below 1, each arm is
    available with this probability at each step, independently; where fewer than two would be, chance picks two.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 20,
        arms: int = 4,
        function: str = "quadratic",
        noise: float = 1.0,
        context_features: int = 0,
        available: float = 1.0,
    ) -> None:
        """Takes the sizes, the reward function and the noise.

        Args:
            features: of each arm, F.
            arms: A.
            function: "linear", "quadratic", "matrix" or "cosine".
            noise: standard deviation of rewards.
            context_features: of the context that arms share, C; 0 if there is none.
            available: probability that an arm is available; 1 if all always are, and no mask is observed.
        """
        require(features >= 1, "features", "at least 1", features)
        require(arms >= 2, "arms", "at least 2", arms)
        require(function in FUNCTIONS, "function", f"one of {', '.join(FUNCTIONS)}", function)
        require(0 <= noise < np.inf, "noise", "a standard deviation, finite and at least 0", noise)
        require(context_features >= 0, "context_features", "at least 0", context_features)
        require(0 <= available <= 1, "available", "a probability", available)
        super().__init__(
            num_envs, device, features=context_features, arms=arms, arm_features=features, masked=available < 1
        )
        self.function, self.noise, self.available = function, noise, available
        self.block = max(1, min(BLOCK, BLOCK_SIZE // (arms * features)))

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        contexts, rewards = self.random(seed, "contexts"), self.random(seed, "rewards")
        features, availability = self.random(seed, "arms"), self.random(seed, "availability")
        problem = self.random(seed, "problem")
        size, shared = self.form.arm_features, self.form.features
        function = self._reward_function(problem, size)
        mixing = problem.standard_normal((size, shared)) / np.sqrt(max(shared, 1))  # B
        while True:
            x = features.standard_normal((self.block, self.arms, size), np.float32)
            x /= np.linalg.norm(x, axis=2, keepdims=True)
            context = contexts.standard_normal((self.block, shared))
            expected = function(x)
            if shared:
                expected = expected + np.einsum("taf,tf->ta", x, context @ mixing.T)
            paid = expected + self.noise * rewards.standard_normal(expected.shape)
            yield Block(context, expected, paid, x, self._mask_of(availability) if self.form.masked else None)

    def _reward_function(self, problem: np.random.Generator, size: int) -> Callable[[np.ndarray], np.ndarray]:
        """Draws h, from features [T, A, F] to [T, A]."""
        if self.function == "matrix":
            matrix = problem.standard_normal((size, size))
            return lambda x: np.square(x @ matrix.T).sum(2)
        direction = problem.standard_normal(size)
        direction /= np.linalg.norm(direction)
        shape = {"linear": lambda z: z, "quadratic": lambda z: 10 * z**2, "cosine": lambda z: np.cos(3 * z)}
        return lambda x: shape[self.function](x @ direction)

    def _mask_of(self, random: np.random.Generator) -> np.ndarray:
        """Draws which arms are available [T, A]."""
        chance = random.random((self.block, self.arms))
        second = np.partition(chance, 1, axis=1)[:, 1:2]
        return (chance < self.available) | (chance <= second)
