"""Synthetic bandits whose expected rewards are known: linear, neural, and without context."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from vbandits.envs.base import BLOCK, Block, NativeBandit, SingleLane, require
from vbandits.streams import generator


class _Regression(NativeBandit):
    """Contexts x ~ N(0, I) [D]; arm a pays N(f_a(x), noise^2), where f is drawn once per seed."""

    def __init__(self, num_envs: int, device: str, features: int, arms: int, noise: float) -> None:
        require(features >= 1, "features", "at least 1", features)
        require(arms >= 2, "arms", "at least 2", arms)
        require(noise >= 0, "noise", "a standard deviation of at least 0", noise)
        super().__init__(num_envs, device, features=features, arms=arms)
        self.noise = noise

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws f, from contexts [N, D] to expected rewards [N, A]."""
        raise NotImplementedError

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one lane's steps."""
        contexts, rewards = generator(seed, "environment contexts"), generator(seed, "environment rewards")
        function = self.function(generator(seed, "environment problem"))
        while True:
            x = self.contexts(contexts)
            expected = function(x)
            yield Block(x, expected, expected + self.noise * rewards.standard_normal(expected.shape))

    def contexts(self, random: np.random.Generator) -> np.ndarray:
        """Draws the next contexts [BLOCK, D]."""
        return random.standard_normal((BLOCK, self.features))


class LinearBandit(_Regression):
    """Arm a pays N(w_a . x, noise^2) with w_a uniform on the unit sphere, so that expected rewards have variance 1."""

    def __init__(
        self, num_envs: int = 1, device: str = "cpu", *, features: int = 10, arms: int = 5, noise: float = 0.5
    ) -> None:
        super().__init__(num_envs, device, features, arms, noise)

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the arms' weights."""
        weights = problem.standard_normal((self.features, self.arms))
        weights /= np.linalg.norm(weights, axis=0)
        return lambda x: x @ weights


class NeuralBandit(_Regression):
    """Arm a pays N(f_a(x), noise^2), with f a random network of two layers, shared but for the last weights.

    f(x) = relu(x V + b) W / c with V ~ N(0, 1 / D), b ~ N(0, 1) and W ~ N(0, 1 / hidden), centred; c makes the variance
    of expected rewards 1 over contexts and arms.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 5,
        hidden: int = 50,
        noise: float = 0.5,
    ) -> None:
        require(hidden >= 1, "hidden", "at least 1", hidden)
        super().__init__(num_envs, device, features, arms, noise)
        self.hidden = hidden

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the network."""
        first = problem.standard_normal((self.features, self.hidden)) / np.sqrt(self.features)
        bias = problem.standard_normal(self.hidden)
        last = problem.standard_normal((self.hidden, self.arms)) / np.sqrt(self.hidden)

        def raw(x: np.ndarray) -> np.ndarray:
            return np.maximum(x @ first + bias, 0) @ last

        probe = raw(problem.standard_normal((4096, self.features)))
        centre, scale = probe.mean(0), np.sqrt(probe.var(0).mean())
        return lambda x: (raw(x) - centre) / scale


class GaussianBandit(_Regression):
    """The classic bandit without context: arm a pays N(m_a, noise^2), with m_a ~ N(0, 1) once per seed.

    The context is the constant 1.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        arms: int | None = None,
        noise: float = 1.0,
        means: Sequence[float] | None = None,
    ) -> None:
        """Takes the number of arms (5 by default), or their means where they should not be drawn."""
        require(arms is None or means is None, "arms, means", "one of the two", (arms, means))
        require(means is None or bool(np.isfinite(means).all()), "means", "finite means", means)
        arms = 5 if arms is None else arms
        super().__init__(num_envs, device, 1, arms if means is None else len(means), noise)
        self.means = means

    def contexts(self, random: np.random.Generator) -> np.ndarray:
        """Returns ones."""
        return np.ones((BLOCK, 1))

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the arms' means, unless they are given."""
        means = problem.standard_normal(self.arms) if self.means is None else self.means
        return lambda x: np.tile(np.asarray(means, float), (len(x), 1))


linear_single = partial(SingleLane, LinearBandit)
neural_single = partial(SingleLane, NeuralBandit)
gaussian_single = partial(SingleLane, GaussianBandit)
