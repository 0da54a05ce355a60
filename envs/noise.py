"""Linear problems with other noise than Gaussian of one size: clicks, and noise of the arm and context."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, ndtr

from vbandits.envs.synthetic import Regression
from vbandits.errors import require


class LogisticBandit(Regression):
    """Arm a pays 1 with probability 1 / (1 + exp(-(scale w_a . x + bias))), else 0; w_a is uniform on the sphere.

    Contexts are N(0, I), so that log-odds are N(bias, scale^2). A bias below 0 makes rewards rare, as clicks are.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 5,
        scale: float = 3.0,
        bias: float = 0.0,
    ) -> None:
        """Takes the sizes, and standard deviation and mean of the log-odds."""
        require(0 < scale < np.inf, "scale", "a finite number above 0", scale)
        require(bool(np.isfinite(bias)), "bias", "a finite number", bias)
        super().__init__(num_envs, device, features, arms)
        self.scale, self.bias = scale, bias

    def function(self, problem: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the arms' weights; what is expected is the probability of a 1."""
        linear = super().function(problem)
        return lambda x: expit(self.scale * linear(x) + self.bias)

    def outcomes(self, random: np.random.Generator, expected: np.ndarray) -> np.ndarray:
        """Draws zeros and ones."""
        return (random.random(expected.shape) < expected).astype(np.float64)


class HeteroscedasticBandit(Regression):
    """Arm a pays N(w_a . x, s^2) with w_a uniform on the unit sphere: the less it is expected to pay, the noisier.

    s = quiet + (loud - quiet) Phi(-w_a . x), with Phi the standard normal distribution function: of contexts N(0, I),
    the noise of each arm is uniform from `quiet` to `loud`, and `quiet` where the arm pays most. Noise cannot be
    learned away. An agent that takes it for its own ignorance goes on exploring where it is loud, which is where arms
    are poor, and its regret grows for ever; one that tells the two apart is soon left with the quiet ones.
    """

    def __init__(
        self,
        num_envs: int = 1,
        device: str = "cpu",
        *,
        features: int = 10,
        arms: int = 5,
        quiet: float = 0.1,
        loud: float = 2.0,
    ) -> None:
        """Takes the sizes, and the least and the greatest standard deviation."""
        require(0 <= quiet <= loud < np.inf, "quiet, loud", "0 <= quiet <= loud", (quiet, loud))
        super().__init__(num_envs, device, features, arms)
        self.quiet, self.loud = quiet, loud

    def outcomes(self, random: np.random.Generator, expected: np.ndarray) -> np.ndarray:
        """Draws rewards with the noise that goes with their expectation."""
        spread = self.quiet + (self.loud - self.quiet) * ndtr(-expected)
        return expected + spread * random.standard_normal(expected.shape)
