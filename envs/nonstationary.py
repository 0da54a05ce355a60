"""Linear problems that change while they are played: all at once, or a little with every step."""

from collections.abc import Callable, Iterator
from itertools import islice, repeat

import numpy as np

from vbandits.envs.synthetic import Noise, Regression, on_sphere
from vbandits.errors import require


class Moving(Regression):
    """At step t arm a pays N(w_a(t) . x, noise_a^2). Regret is measured against the best arm of each step.

    The best arm changes with the weights, whatever is played. Subclasses say how weights move.
    """

    def weights(self, problem: np.random.Generator) -> Iterator[np.ndarray]:
        """Yields the arms' weights [D, A] of one step after another."""
        raise NotImplementedError

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Returns what goes on from step to step: each call takes the contexts of the next.

        Where contexts are held out, it stands still as it is at the last step that was played.
        """
        weights = self.weights(problem)
        if self.aside is not None:
            now = next(islice(weights, max(self.aside.played - 1, 0), None))
            return lambda x: x @ now
        return lambda x: np.einsum("td,tda->ta", x, np.stack([next(weights) for _ in x]))


class AbruptBandit(Moving):
    """A linear bandit whose weights, uniform on the unit sphere, are all drawn anew every `period` steps.

    Arm a pays N(w_a . x, noise_a^2), with contexts x ~ N(0, I). Steps count from 0 and a seed's reset: the first change
    is before step `period`. What was learned before a change is worth nothing after it.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 5,
        noise: Noise = 0.5,
        period: int = 500,
    ) -> None:
        """Takes the sizes, the noise, and the steps from one change to the next."""
        require(period >= 1, "period", "at least 1 step", period)
        super().__init__(num_envs, device, features, arms, noise)
        self.period = period

    def weights(self, problem: np.random.Generator) -> Iterator[np.ndarray]:
        """Yields the weights of each regime for as long as it lasts."""
        while True:
            yield from repeat(on_sphere(problem, self.features, self.arms), self.period)


class DriftingBandit(Moving):
    """A linear bandit whose weights drift: two that are k steps apart have the correlation exp(-rate k).

    Arm a pays N(w_a(t) . x, noise_a^2), with contexts x ~ N(0, I). Weights are a stationary Ornstein-Uhlenbeck process,
    seen once a step: w(t + 1) = c w(t) + sqrt(1 - c^2) e with c = exp(-rate) and e ~ N(0, I / D), as w(0) is. At every
    step the square of their length is 1 on average, and expected rewards have variance 1. A rate of 0 stands still.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 5,
        noise: Noise = 0.5,
        rate: float = 0.001,
    ) -> None:
        """Takes the sizes, the noise, and the rate per step at which what was known goes out of date."""
        require(0 <= rate < np.inf, "rate", "a finite number of at least 0", rate)
        super().__init__(num_envs, device, features, arms, noise)
        self.rate = rate

    def weights(self, problem: np.random.Generator) -> Iterator[np.ndarray]:
        """Yields the weights of each step."""
        keep, fresh = np.exp(-self.rate), np.sqrt(-np.expm1(-2 * self.rate))
        shape, scale = (self.features, self.arms), np.sqrt(1 / self.features)
        weights = scale * problem.standard_normal(shape)
        while True:
            yield weights
            weights = keep * weights + fresh * scale * problem.standard_normal(shape)
