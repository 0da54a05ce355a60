"""A single network, a point in weight space: what every uncertainty has to beat."""

from dataclasses import dataclass

from torch import Tensor

from vbandits.networks.weights import initial, rates, unflatten
from vbandits.posteriors.common import functions, mixture, network_of, squared_error, taken
from vbandits.predictive import Mixture
from vbandits.streams import Stream
from vbandits.training import Parameters, train
from vbandits.types import Data, Functions, Task, Weights


@dataclass
class DeterministicState:
    """Weights [R, P] and the stream of minibatches."""

    task: Task
    parameters: Parameters
    minibatches: Stream


@dataclass(frozen=True)
class Deterministic:
    """The network that minimises the squared error; all its draws are the same function."""

    def init(self, task: Task) -> DeterministicState:
        """Draws the initial weights from the prior of the parametrisation."""
        network = network_of(task)
        parameters = Parameters(initial(network, task, "weights"), rates(network, task))
        return DeterministicState(task, parameters, Stream(task.seeds, "minibatches", device=task.device))

    def update(self, state: DeterministicState, data: Data) -> None:
        """Trains on the squared error."""
        network = network_of(state.task)

        def loss(leaves, batch):
            x, output, y = batch
            values = taken(network, _weights(state.task, leaves), x.unsqueeze(1), output)
            return squared_error(values, y).sum(1)

        train(state.parameters, loss, data, state.task.schedule, state.task.optimizer, state.minibatches)

    def draw(self, state: DeterministicState, draws: int) -> Functions:
        """Returns the network, `draws` times."""
        return functions(network_of(state.task), _weights(state.task, state.parameters.detached), draws)

    def mean(self, state: DeterministicState) -> Functions:
        """Returns the network."""
        return self.draw(state, 1)

    def predict(self, state: DeterministicState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns N(f, noise)."""
        return mixture(self.draw(state, 1), x, output, noise)


def _weights(task: Task, leaves: dict[str, Tensor]) -> Weights:
    return unflatten(network_of(task), {name: block.unsqueeze(1) for name, block in leaves.items()})
