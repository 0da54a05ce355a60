"""Variational inference with an explicit prior: the evidence lower bound (Graves, 2011; Blundell et al., 2015)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import prior_std
from vbandits.posteriors import variational
from vbandits.posteriors.common import network_of
from vbandits.posteriors.gaussian import Gaussian, Layers
from vbandits.posteriors.variational import VariationalState
from vbandits.predictive import Mixture
from vbandits.types import Data, Functions, Task


@dataclass(frozen=True)
class ELBO:
    """A Gaussian over the weights trained on the expected squared error plus its divergence to the prior.

        minimise:  E[(y - f_w(x))^2] + kl_weight * 2 noise / N * KL(N(mean, F F^T + diag(spread^2)) || N(0, s^2))

    which is the negative evidence lower bound of a Gaussian likelihood, times 2 noise / N: without the last term it is
    the loss of `IBVI`. The prior's s is that of the standard parametrisation, whatever the network's: that of muP has
    an output of 1 / fan_in, whose prior functions vanish with the width and, as an explicit prior, hold the data off.

    Attributes:
        family: "mean_field" has a diagonal covariance; "low_rank" adds a factor to it.
        rank: columns of the factor, for "low_rank".
        layers: which layers are stochastic; the others are points without a prior.
        prior_scale: multiplies the prior's standard deviation s = 1 / sqrt(fan_in), 1 for biases.
        kl_weight: 1 is the bound; less is a cold posterior.
        initial_spread: initial standard deviation, relative to that of the initial weights.
        samples: draws of the weights per minibatch, for all but the last layer, whose expectation is in closed form.
    """

    family: Literal["mean_field", "low_rank"] = "mean_field"
    rank: Annotated[int, Field(ge=1)] = 5
    layers: Layers = "all"
    prior_scale: Annotated[float, Field(gt=0)] = 1.0
    kl_weight: Annotated[float, Field(ge=0)] = 1.0
    initial_spread: Annotated[float, Field(gt=0)] = 0.1
    samples: Annotated[int, Field(ge=1)] = 1

    def init(self, task: Task) -> VariationalState:
        """Starts at the deterministic network's initial weights, with a small covariance."""
        low_rank = self.family == "low_rank"
        family = Gaussian.over(task, self.layers, self.rank if low_rank else 0, diagonal=True)
        return variational.state(task, family, self.initial_spread if low_rank else 0.0, self.initial_spread)

    def update(self, state: VariationalState, data: Data) -> None:
        """Trains on the negative evidence lower bound."""
        prior = prior_std(network_of(state.task), state.task, "sp")
        prior = {name: std * self.prior_scale for name, std in prior.items()}
        weight = self.kl_weight * 2 * data.noise / data.x.shape[1]  # [R]
        variational.minimise(state, data, self.samples, lambda leaves: weight * state.family.divergence(leaves, prior))

    def draw(self, state: VariationalState, draws: int) -> Functions:
        """Returns the network at fresh draws of its weights."""
        return variational.draw(state, draws)

    def mean(self, state: VariationalState) -> Functions:
        """Returns the network at its mean weights."""
        return variational.mean(state)

    def predict(self, state: VariationalState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns the equal mixture over 64 draws of N(f_s, noise)."""
        return variational.predict(state, x, output, noise)
