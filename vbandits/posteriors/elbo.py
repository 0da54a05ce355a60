"""Variational inference with an explicit prior: the evidence lower bound (Graves, 2011; Blundell et al., 2015)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from vbandits.networks.weights import prior_std
from vbandits.posteriors import variational
from vbandits.posteriors.common import network_of, noise_of
from vbandits.posteriors.covariances import Family, covariance
from vbandits.posteriors.gaussian import GaussianFamily, Layers
from vbandits.posteriors.layers import Divergence
from vbandits.posteriors.variational import Variational, VariationalState
from vbandits.types import Data, Task


@dataclass(frozen=True)
class ELBO(Variational):
    """A Gaussian over the weights trained on the expected loss plus its divergence to the prior.

        minimise:  E[loss(f_w(x), y)] + kl_weight * u / N * KL(q || N(0, s^2)),

    which is the negative evidence lower bound times u / N, where u is 2 noise for the squared error of a Gaussian
    likelihood, and 1 for the cross-entropy. Without the last term it is `IBVI`: with `kl_weight = 0`,
    `spread = "signed"` and the `prior_scale` of the latter as `initial_spread` it is so bit for bit. The prior's s is
    that of the standard parametrisation, whatever the network's: that of muP has an output of 1 / fan_in, whose prior
    functions vanish with the width and, as an explicit prior, hold the data off.

    Attributes:
        family: "mean_field", "low_rank_plus_diagonal", "kronecker" or "full" (small layers); "low_rank" alone has an
            infinite divergence, and is for a `kl_weight` of 0.
        rank: columns of the factor.
        layers: which layers are stochastic, by place or by name; the others are points without a prior.
        prior_scale: multiplies the prior's standard deviation s = 1 / sqrt(fan_in), 1 for biases.
        kl_weight: 1 is the bound; less is a cold posterior.
        initial_spread: initial standard deviation, relative to that of the initial weights.
        spread: whether standard deviations of entries are kept "positive" by a softplus, or "signed" as in `IBVI`.
        samples: draws of the weights per minibatch, for all but the last layer, see `IBVI`.
    """

    family: Family = "mean_field"
    rank: Annotated[int, Field(ge=1)] = 5
    layers: Layers = "all"
    prior_scale: Annotated[float, Field(gt=0)] = 1.0
    kl_weight: Annotated[float, Field(ge=0)] = 1.0
    initial_spread: Annotated[float, Field(gt=0)] = 0.1
    spread: Literal["positive", "signed"] = "positive"
    samples: Annotated[int, Field(ge=1)] = 1

    def __post_init__(self) -> None:
        if self.family == "low_rank" and self.kl_weight:
            raise ValueError(
                "expected a family of full rank, got low_rank, whose divergence to the prior is infinite: use "
                "low_rank_plus_diagonal, mean_field, kronecker or full"
            )

    def init(self, task: Task) -> VariationalState:
        """Starts at the deterministic network's initial weights, with a small covariance."""
        family = GaussianFamily.over(task, self.layers, covariance(self.family, self.rank, self.spread == "positive"))
        return variational.state(task, family, self.initial_spread, penalised=self.kl_weight > 0)

    def update(self, state: VariationalState, data: Data) -> None:
        """Trains on the negative evidence lower bound."""
        if not self.kl_weight:
            return variational.minimise(state, data, self.samples)
        prior = prior_std(network_of(state.task), state.task, "sp")
        noise = noise_of(state.parameters, data.noise)
        weight = self.kl_weight * state.task.likelihood.nll_scale(noise) / data.count  # [R]
        scale = {name: own * self.prior_scale for name, own in prior.items()}
        return variational.minimise(state, data, self.samples, divergence=Divergence(weight.unsqueeze(1), scale))
