"""What exact regressions of the last layer share: features that are held while rows are added to the regression."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from vbandits.posteriors.common import embedding, network_of, rows_after, solvable, with_constant
from vbandits.posteriors.deterministic import Deterministic, DeterministicState, weights
from vbandits.types import Batch, Data, Scaling, Task, Weights


@dataclass
class HeldFeatures:
    """The network, and the features that the regression has: those at its weights when all rows were last summed.

    Attributes:
        network: the network and its training; its own last layer is used for nothing but to train the features.
        weights: that features are made with.
        constant: whether the last layer has a bias.
        scaling: of the rows in the regression; None before there are any.
        seen: rows in the regression.
        summed: of these, the rows when all were last summed.
    """

    network: DeterministicState
    weights: Weights
    constant: bool
    scaling: Scaling | None = None
    seen: int = 0
    summed: int = 0
    _last: tuple[Tensor, int, Tensor] | None = None
    not_saved: ClassVar = ("_last",)

    @classmethod
    def of(cls, task: Task) -> "HeldFeatures":
        """Returns the features at the initial weights.

        Raises:
            ValueError: for classes, or a network whose output is not that of a linear layer.
        """
        constant = bool(solvable(task).layers[-1].biases)
        network = Deterministic().init(task)
        return cls(network, _copy(network), constant)

    @property
    def width(self) -> int:
        """Inputs of the regression, W."""
        return network_of(self.network.task).layers[-1].fan_in + self.constant

    def inputs(self, x: Float[Tensor, "R N D"]) -> Float[Tensor, "R N W"]:
        """Returns the features, and a 1 for the bias, in float64; draws and mean are asked at the same rows."""
        last = self._last
        if last is None or last[0] is not x or last[1] != x._version:
            last = self._last = x, x._version, with_constant(self.features(x).double(), self.constant)
        return last[2]

    def features(self, x: Float[Tensor, "R N D"]) -> Float[Tensor, "R N H"]:
        """Returns the inputs of the last layer."""
        return embedding(network_of(self.network.task), self.weights, x)


def learn(
    held: HeldFeatures, data: Data, solve: Callable[[Data], Any], add: Callable[[Batch], Any], trained_on: Data
) -> None:
    """Trains the network, and brings the regression up to date.

    Where the scaling is another than the last time, the features become those of the network as it is now, and all rows
    are summed anew, as well as when it is trained once more on the same rows; else the rows that are new are added.

    Args:
        held: the features.
        data: all rows.
        solve: sums and solves for all rows.
        add: adds a row of every replica to what is solved.
        trained_on: the rows as the network is trained on them.
    """
    Deterministic().update(held.network, trained_on)
    rows = data.x.shape[1]
    if held.scaling is data.scaling and rows > held.summed:
        return condition_on(held, data, add)
    held.scaling, held.seen, held.summed = data.scaling, rows, rows
    held.weights, held._last = _copy(held.network), None
    solve(data)


def condition_on(held: HeldFeatures, data: Data, add: Callable[[Batch], Any]) -> None:
    """Adds the rows that are new since the last call, with the features as they are."""
    for batch in rows_after(held.seen, data):
        add(batch)
    held.seen = data.x.shape[1]


def _copy(network: DeterministicState) -> Weights:
    blocks = {name: block.clone() for name, block in network.parameters.detached.items()}
    return weights(network.task, blocks)
