"""A single network, a point in weight space: what every uncertainty has to beat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vbandits.networks.weights import initial, rates, unflatten
from vbandits.posteriors.backward import Backward, Stored
from vbandits.posteriors.common import embedding, evaluate, functions, network_of, parameters, predictive, with_noise
from vbandits.streams import Stream
from vbandits.training import Gradient, Parameters, train
from vbandits.types import Batch, Data, Functions, Task, Weights


@dataclass
class DeterministicState:
    """Weights [R, P] and the stream of minibatches."""

    task: Task
    parameters: Parameters
    minibatches: Stream


@dataclass(frozen=True)
class Deterministic:
    """The network that minimises the loss; all its draws are the same function."""

    def init(self, task: Task) -> DeterministicState:
        """Draws the initial weights from the prior of the parametrisation."""
        network = network_of(task)
        trained = parameters(task, initial(network, task, "weights"), rates(network, task))
        return DeterministicState(task, trained, Stream(task.seeds, "minibatches", device=task.device))

    def update(self, state: DeterministicState, data: Data) -> None:
        """Trains on the loss."""
        minimise(state, data)

    def draw(self, state: DeterministicState, draws: int) -> Functions:
        """Returns the network, `draws` times."""
        return functions(network_of(state.task), weights(state.task, state.parameters.detached), draws)

    def mean(self, state: DeterministicState) -> Functions:
        """Returns the network."""
        return self.draw(state, 1)

    def mixture(self, state: DeterministicState) -> Functions:
        """Returns the network."""
        return self.draw(state, 1)

    def predict(self, state: DeterministicState, x: Tensor, output: Tensor, noise: Tensor) -> Any:
        """Returns the likelihood at the network's values."""
        return predictive(state, self.mixture(state), x, output, noise)

    def embed(self, state: DeterministicState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer."""
        return embedding(network_of(state.task), weights(state.task, state.parameters.detached), x)


def minimise(
    state: DeterministicState,
    data: Data,
    made: Callable[[Mapping[str, Tensor]], Weights] | None = None,
    penalty: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
    after_step: Callable[[], None] | None = None,
    masks: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
    random: Callable[[], tuple[Tensor, ...]] = tuple,
) -> None:
    """Trains on the loss of the weights, plus a penalty [R] on the leaves where there is one.

    Args:
        state: what is trained.
        data: all rows.
        made: makes weights from the leaves.
        penalty: added to the loss.
        after_step: called after every step.
        masks: makes masks of layers' inputs, which do the same as `made`, see `posteriors.backward`.
        random: gives the random numbers that masks are made of.
    """
    network, likelihood = network_of(state.task), state.task.likelihood
    by_hand = None
    if penalty is None and (made is None or masks is not None):
        by_hand = Backward.of(state.task, state.parameters, Stored())

    def loss(leaves: Mapping[str, Tensor], batch: Batch) -> Tensor:
        output_index = likelihood.output_index(batch.output)
        own = weights(state.task, leaves) if made is None else made(leaves)
        values = evaluate(network, own, batch.x.unsqueeze(1), output_index)
        error = likelihood.loss(values, None, batch.output, batch.y.unsqueeze(1)).mean((1, 2))
        total = with_noise(leaves, error)
        return total if penalty is None else total + penalty(leaves)

    def gradient(batch: Batch, *numbers: Tensor) -> Gradient:
        assert by_hand is not None
        return by_hand(batch, masks=None if masks is None else masks(*numbers))

    train(state, loss, data, after_step=after_step, gradient=by_hand and gradient, random=random)


def weights(task: Task, leaves: Mapping[str, Tensor]) -> Weights:
    """Returns the network's weights (S = 1) from its leaves."""
    return unflatten(network_of(task), {name: block.unsqueeze(1) for name, block in leaves.items() if name != "noise"})
