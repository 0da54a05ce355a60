"""Exact Bayesian linear regression on features that SGD learns, conjugate normal-inverse-gamma, in float64."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vbandits.posteriors.conjugate import Conjugate, Regression
from vbandits.posteriors.last_layer import HeldFeatures, condition_on, learn
from vbandits.posteriors.regression import outer_sums
from vbandits.types import Data, Task


@dataclass
class NeuralLinearState(Regression):
    """The posterior, and the network with the features of its rows."""

    held: HeldFeatures


@dataclass(frozen=True)
class NeuralLinear(Conjugate):
    """y = w . (features, 1) + e with normal e of unknown variance: exact conjugate regression on learned features.

    The equations are those of `Conjugate`, with h = (features, 1), or features alone where the last layer has no bias.
    The features are the inputs of the last layer of the deterministic network, trained at each update, after which the
    regression is that on all rows (Snoek et al., "Scalable Bayesian Optimization Using Deep Neural Networks", 2015;
    NeuralLinear of Riquelme, Tucker and Snoek, "Deep Bayesian Bandits Showdown", 2018, section 4); between updates
    `condition_on` adds each row. Unlike that of `IBVILimit`, its prior N(0, v / prior_precision) goes with a noise
    variance v, of its own for every output.
    The noise is inferred from rows that the features were fitted to: with few rows for many features it comes out too
    small, and predictions too sure; a larger noise_shape and noise_rate (6 in Riquelme et al.'s own code) hold it up.
    The attributes are those of `Conjugate`.
    """

    def init(self, task: Task) -> NeuralLinearState:
        """Returns the prior, and the network at its initial weights.

        Raises:
            ValueError: for classes, or a network whose output is not that of a linear layer.
        """
        held = HeldFeatures.of(task)
        return NeuralLinearState(**vars(self._prior(task, held.width)), held=held)

    def update(self, state: NeuralLinearState, data: Data) -> None:
        """Trains the features, and brings the posterior up to date."""
        learn(state.held, data, partial(self._sum, state), partial(self._add, state), data)

    def condition_on(self, state: NeuralLinearState, data: Data) -> None:
        """Learns from the rows that are new since the last call, with the features as they are."""
        condition_on(state.held, data, partial(self._add, state))

    def embed(self, state: NeuralLinearState, x: Tensor) -> Tensor:
        """Returns the features that the regression has."""
        return state.held.features(x)

    def _sum(self, state: NeuralLinearState, data: Data) -> None:
        """Solves for the posterior on all rows."""
        outputs, width = state.location.shape[1:]
        moments = state.location.new_zeros(len(state.location), outputs, width + 2, width + 2)
        for batch in data.batches():
            inputs, y = state.held.inputs(batch.x), batch.y.double().unsqueeze(2)
            moments += outer_sums(torch.cat([inputs, torch.ones_like(y), y], 2), batch, outputs)
        self._solve(state, moments)

    def _inputs(self, state: NeuralLinearState, x: Tensor) -> Tensor:
        return state.held.inputs(x)
