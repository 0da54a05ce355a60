"""Synthetic bandits whose expected rewards are known: linear, sparse, neural, and without context."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vbandits.envs.base import BLOCK, Block, NativeBandit
from vbandits.errors import require

Noise = float | Sequence[float]
"""Standard deviation of rewards about what is expected: one number, or one for each arm."""


class Regression(NativeBandit):
    """Contexts x ~ N(0, I) [D]; arm a pays N(f_a(x), noise_a^2), where f is drawn once per seed.

    It is w_a . x with w_a uniform on the unit sphere; subclasses may draw others.
    """

    def __init__(
        self, num_envs: int, device: str, features: int, arms: int, noise: Noise = 0.0, *, noisy_optimum: bool = False
    ) -> None:
        require(features >= 1, "features", "at least 1", features)
        require(arms >= 2, "arms", "at least 2", arms)
        require(np.shape(noise) in ((), (arms,)), "noise", f"one number, or one for each of {arms} arms", noise)
        fit = np.greater_equal(noise, 0) & np.isfinite(noise)
        require(bool(fit.all()), "noise", "a standard deviation, finite and at least 0", noise)
        super().__init__(num_envs, device, features=features, arms=arms, noisy_optimum=noisy_optimum)
        self.noise = noise

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws f, from the contexts of the next N steps [N, D] to expected rewards [N, A]."""
        weights = on_sphere(problem, self.features, self.arms)
        return lambda x: x @ weights

    def outcomes(self, random: np.random.Generator, expected: np.ndarray) -> np.ndarray:
        """Draws rewards [N, A] with the given expectations [N, A]."""
        return expected + np.asarray(self.noise) * random.standard_normal(expected.shape)

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps."""
        contexts, rewards = self.random(seed, "contexts"), self.random(seed, "rewards")
        function = self.function(self.random(seed, "problem"))
        while True:
            x = self.contexts(contexts)
            expected = function(x)
            yield Block(x, expected, self.outcomes(rewards, expected))

    def contexts(self, random: np.random.Generator) -> np.ndarray:
        """Draws the next contexts [BLOCK, D]."""
        return random.standard_normal((BLOCK, self.features))


def on_sphere(random: np.random.Generator, features: int, arms: int) -> np.ndarray:
    """Draws a weight vector per arm, uniform on the unit sphere [D, A]."""
    weights = random.standard_normal((features, arms))
    return weights / np.linalg.norm(weights, axis=0)


class LinearBandit(Regression):
    """Arm a pays N(w_a . x, noise_a^2) with w_a uniform on the unit sphere, so that expected rewards have variance 1.

    The linear problem of Riquelme, Tucker and Snoek, "Deep Bayesian Bandits Showdown", ICLR 2018, is
    `{ arms = 8, weights = "cube", noise = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08] }`, and the regret that they
    report `noisy_optimum = true`: it is measured against what the best arm (by expectation) would have paid.

    An `offset` is added to what every arm pays. Regret stays as it is, but what tells arms apart is then a small part
    of a reward.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 5,
        noise: Noise = 0.5,
        weights: str = "sphere",
        noisy_optimum: bool = False,
        offset: float = 0.0,
    ) -> None:
        """Takes the sizes, the noise, how weights are drawn, and the offset.

        Args:
            features: of a context, D.
            arms: A.
            noise: standard deviation of rewards, one for all arms or one for each.
            weights: "sphere", or "cube": uniform in [-1, 1]^D, then divided by their norm, which favours the cube's
                corners a little.
            noisy_optimum: whether regret is what the best arm would have paid, less the reward; it may be negative.
            offset: added to every expected reward, in units of reward.
        """
        require(bool(np.isfinite(offset)), "offset", "a finite number", offset)
        require(weights in ("sphere", "cube"), "weights", "sphere or cube", weights)
        super().__init__(num_envs, device, features, arms, noise, noisy_optimum=noisy_optimum)
        self.weights, self.offset = weights, offset

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the arms' weights."""
        if self.weights == "sphere":
            weights = on_sphere(problem, self.features, self.arms)
        else:
            weights = problem.uniform(-1, 1, (self.features, self.arms))
            weights /= np.linalg.norm(weights, axis=0)
        return lambda x: x @ weights + self.offset


class SparseLinearBandit(Regression):
    """Arm a pays N(w_a . x, noise_a^2), where w_a has length 1, and only few of its coordinates are not zero.

    Which `nonzero` coordinates those are is drawn for each arm, without replacement; they are uniform in the cube
    [-1, 1], then divided by their norm. By default this is the sparse linear problem of Riquelme, Tucker and Snoek,
    "Deep Bayesian Bandits Showdown", ICLR 2018; the regret that they report is that of `noisy_optimum = true`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 7,
        nonzero: int = 3,
        noise: Noise | None = None,
        noisy_optimum: bool = False,
    ) -> None:
        """Takes the sizes and the noise: without one, arm a has the standard deviation 0.01 (a + 1)."""
        require(1 <= nonzero <= features, "nonzero", f"from 1 to all {features} features", nonzero)
        noise = [0.01 * (arm + 1) for arm in range(arms)] if noise is None else noise
        super().__init__(num_envs, device, features, arms, noise, noisy_optimum=noisy_optimum)
        self.nonzero = nonzero

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the arms' weights."""
        weights = np.zeros((self.features, self.arms))
        for arm in range(self.arms):
            chosen = problem.permutation(self.features)[: self.nonzero]
            weights[chosen, arm] = problem.uniform(-1, 1, self.nonzero)
        weights /= np.linalg.norm(weights, axis=0)
        return lambda x: x @ weights


class NeuralBandit(Regression):
    """Arm a pays N(f_a(x), noise_a^2), with f a random network of two layers, shared but for the last weights.

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
        noise: Noise = 0.5,
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


class GaussianBandit(Regression):
    """The classic bandit without context: arm a pays N(m_a, noise_a^2), with m_a ~ N(0, 1) once per seed.

    The context is the constant 1.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        arms: int | None = None,
        noise: Noise = 1.0,
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
