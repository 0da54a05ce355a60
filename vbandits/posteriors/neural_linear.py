"""Exact Bayesian linear regression on features that SGD learns, conjugate normal-inverse-gamma, in float64."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.posteriors.common import outer_sums, rows_after, solvable, with_constant
from vbandits.posteriors.conjugate import Conjugate, Regression
from vbandits.posteriors.deterministic import Deterministic, DeterministicState, features
from vbandits.types import Batch, Data, Task


@dataclass
class NeuralLinearState(Regression):
    """The posterior, and the network and the sums that give it, for every replica and output; H features.

    Attributes:
        network: the network and its training; its own last layer is used for nothing but to train the features.
        moments: sums of z z^T with z = (features, 1, y) [R, K, H + 2, H + 2].
        constant: whether the last layer has a bias.
        seen: rows in the moments.
    """

    network: DeterministicState
    moments: Tensor
    constant: bool
    seen: int


@dataclass(frozen=True)
class NeuralLinear(Conjugate):
    """y = w . (features, 1) + e with normal e of unknown variance: exact conjugate regression on learned features.

    The equations are those of `Conjugate`, with h = (features, 1), or features alone where the last layer has no bias.
    The features are the inputs of the last layer of the deterministic network, trained at each update, after which the
    regression is that on all rows (Snoek et al., "Scalable Bayesian Optimization Using Deep Neural Networks", 2015;
    NeuralLinear of Riquelme, Tucker and Snoek, "Deep Bayesian Bandits Showdown", 2018, section 4); between updates
    `condition_on` adds each row. Unlike `ClosedFormIBVI`, whose posterior it has for a known noise and a prior around
    the initial weights, its prior is N(0, v / prior_precision) with a noise variance v of its own for every output.
    The noise is inferred from rows that the features were fitted to: with few rows for many features it comes out too
    small, and predictions too sure; a larger noise_shape and noise_rate (6 in Riquelme et al.'s own code) hold it up.
    The attributes are those of `Conjugate`.
    """

    def init(self, task: Task) -> NeuralLinearState:
        """Returns the prior, and the network at its initial weights.

        Raises:
            ValueError: for classes, or a network whose output is not that of a linear layer.
        """
        layer = solvable(task).layers[-1]
        constant = bool(layer.biases)
        prior = self._prior(task, layer.fan_in + constant)
        replicas, outputs, _ = prior.location.shape
        moments = prior.location.new_zeros(replicas, outputs, layer.fan_in + 2, layer.fan_in + 2)
        network = Deterministic().init(task)
        return NeuralLinearState(**vars(prior), network=network, moments=moments, constant=constant, seen=0)

    def update(self, state: NeuralLinearState, data: Data) -> None:
        """Trains the features, and solves for the posterior on all rows."""
        Deterministic().update(state.network, data)
        state.moments.zero_()
        for batch in data.batches():
            state.moments += outer_sums(_joined(state, batch), batch.output, state.location.shape[1])
        state.seen = data.x.shape[1]
        self._solve(state, state.moments)

    def condition_on(self, state: NeuralLinearState, data: Data) -> None:
        """Learns from the rows that are new since the last call, with the features as they are."""
        replica = torch.arange(len(data.x), device=data.x.device)
        for batch in rows_after(state.seen, data):
            z, output = _joined(state, batch)[:, 0], batch.output[:, 0]
            state.moments[replica, output] += z.unsqueeze(2) * z.unsqueeze(1)
            self._solve(state, state.moments[replica, output], replica, output)
        state.seen = data.x.shape[1]

    def embed(self, state: NeuralLinearState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer."""
        return Deterministic().embed(state.network, x)

    def _inputs(self, state: NeuralLinearState, x: Tensor) -> Tensor:
        return with_constant(features(state.network, x), state.constant)


def _joined(state: NeuralLinearState, batch: Batch) -> Float[Tensor, "R N M"]:
    """Returns z = (features, 1, y)."""
    return torch.cat([with_constant(features(state.network, batch.x), True), batch.y.double().unsqueeze(2)], 2)
