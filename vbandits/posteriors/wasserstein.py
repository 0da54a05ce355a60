"""Variational inference with an explicit 2-Wasserstein distance to the prior: the bridge from IBVI to the ELBO."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import rates
from vbandits.posteriors import variational
from vbandits.posteriors.common import network_of
from vbandits.posteriors.covariances import Family, covariance
from vbandits.posteriors.gaussian import GaussianFamily, Layers
from vbandits.posteriors.variational import Variational, VariationalState
from vbandits.types import Data, Task


@dataclass(frozen=True)
class WassersteinVI(Variational):
    """A Gaussian over the weights trained on the expected loss plus its squared distance to the prior.

        minimise:  E[loss(f_w(x), y)] + weight * W2^2(q, q0),
        W2^2(N(m, F F^T), N(m0, F0 F0^T)) = |m - m0|^2 + min over orthogonal Q of |F - F0 Q|^2,

    where q0 is the Gaussian at initialisation. It is a generalised variational posterior (Knoblauch, Jewson and
    Damoulas, "An Optimization-centric View on Bayes' Rule", 2022) whose limit for a weight towards 0 is, in the
    overparametrised linear model, that of `IBVI`, which gets there without the term. Distances are in units of the
    learning rates of the network's parametrisation, the metric in which SGD is closest to its start.

    Attributes:
        weight: of the squared distance.
        family: as in `IBVI`; of "low_rank_plus_diagonal" the distance is an upper bound, each part moved by itself.
        rank: columns of the factor.
        layers: which layers are stochastic, by place or by name; the others are points, without the term.
        prior_scale: multiplies the prior's standard deviation.
        samples: draws of the weights per minibatch, for all but the last layer, see `IBVI`.
    """

    weight: Annotated[float, Field(ge=0)] = 1e-3
    family: Family = "low_rank"
    rank: Annotated[int, Field(ge=1)] = 5
    layers: Layers = "first_last"
    prior_scale: Annotated[float, Field(gt=0)] = 1.0
    samples: Annotated[int, Field(ge=1)] = 1

    def init(self, task: Task) -> VariationalState:
        """Starts at the prior, as `IBVI` does."""
        family = GaussianFamily.over(task, self.layers, covariance(self.family, self.rank))
        return variational.state(task, family, self.prior_scale, penalised=True, held=True)

    def update(self, state: VariationalState, data: Data) -> None:
        """Trains on the expected loss plus the distance."""
        rate = rates(network_of(state.task), state.task)

        def penalty(leaves: Mapping[str, Tensor]) -> Tensor:
            return self.weight * distance(state.family, leaves, state.start, rate)

        variational.minimise(state, data, self.samples, penalty)


def distance(
    family: GaussianFamily, leaves: Mapping[str, Tensor], start: Mapping[str, Tensor], rate: Mapping[str, Tensor]
) -> Tensor:
    """Returns the squared 2-Wasserstein distance [R] of stochastic layers to their start, in units of the rates [P]."""
    parts = []
    for layer in family.stochastic:
        name = f"mean/{layer.name}"
        moved = ((leaves[name] - start[name]).square() / rate[layer.name]).sum(1)
        parts.append(moved + family.covariance.transport(leaves, start, layer, rate[layer.name]))
    return family.summed(parts)
