"""Implicit-bias variational inference: the expected loss alone, regularised by nothing but SGD.

Wenger, Coker, Marusic and Cunningham, "Variational Deep Learning via Implicit Regularization", ICLR 2026.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from vbandits.posteriors import variational
from vbandits.posteriors.gaussian import Gaussian, Layers
from vbandits.posteriors.variational import VariationalState
from vbandits.predictive import Mixture
from vbandits.types import Data, Functions, Task


@dataclass(frozen=True)
class IBVI:
    """A low-rank Gaussian over the weights, started at the prior and trained on the expected squared error.

        minimise over (mean, F):  E[(y - f_w(x))^2],  w ~ N(mean, F F^T) per layer,
        from  mean ~ N(0, s^2),  F ~ N(0, s^2 / rank).

    There is no divergence to a prior. In the overparametrised linear model, SGD ends at the minimiser that is closest
    to the prior in 2-Wasserstein distance: the mean at X^+ y + P0 mean0 and the factor at P0 F0, P0 = I - X^+ X.

    Attributes:
        rank: columns of the factor F; ranks of 2 to 20 made no difference on the tuning problems, and cost does grow.
        layers: which layers are stochastic; the others are points.
        prior_scale: multiplies the prior's standard deviation in F; 0 is the deterministic network.
        samples: draws of the weights per minibatch, for all but the last layer, whose expectation is in closed form.
    """

    rank: Annotated[int, Field(ge=1)] = 5
    layers: Layers = "first_last"
    prior_scale: Annotated[float, Field(ge=0)] = 1.0
    samples: Annotated[int, Field(ge=1)] = 1

    def init(self, task: Task) -> VariationalState:
        """Starts at the prior; the means are the deterministic network's initial weights."""
        family = Gaussian.over(task, self.layers if self.prior_scale else "none", self.rank, diagonal=False)
        return variational.state(task, family, self.prior_scale, 0.0)

    def update(self, state: VariationalState, data: Data) -> None:
        """Trains on the expected squared error."""
        variational.minimise(state, data, self.samples)

    def draw(self, state: VariationalState, draws: int) -> Functions:
        """Returns the network at fresh draws of its weights."""
        return variational.draw(state, draws)

    def mean(self, state: VariationalState) -> Functions:
        """Returns the network at its mean weights."""
        return variational.mean(state)

    def predict(self, state: VariationalState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns the equal mixture over 64 draws of N(f_s, noise)."""
        return variational.predict(state, x, output, noise)
