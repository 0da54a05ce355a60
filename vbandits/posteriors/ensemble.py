"""Deep ensembles (Lakshminarayanan et al., 2017), optionally with randomised prior functions."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import initial, rates, unflatten
from vbandits.posteriors.common import at_output, functions, mixture, network_of, squared_error
from vbandits.predictive import Mixture
from vbandits.streams import Stream
from vbandits.training import Parameters, train
from vbandits.types import Data, Functions, Task, Weights


@dataclass
class EnsembleState:
    """Weights of all members [R * M, P], of their prior functions, and the streams."""

    task: Task
    parameters: Parameters
    prior: dict[str, Tensor]
    minibatches: Stream
    choices: Stream


@dataclass(frozen=True)
class Ensemble:
    """Networks that differ by their initial weights; a draw is a member.

    With a prior function, member m is f_m + prior_scale * p_m, where p_m is a second network of the same kind whose
    weights stay at their initial values (Osband, Aslanides and Cassirer, "Randomized Prior Functions for Deep
    Reinforcement Learning", 2018).

    Attributes:
        members: M.
        prior_scale: weight of the prior functions; 0 has none.
    """

    members: Annotated[int, Field(ge=1)] = 5
    prior_scale: Annotated[float, Field(ge=0)] = 0.0

    def init(self, task: Task) -> EnsembleState:
        """Draws every member's initial weights; the first member starts where the deterministic network does."""
        network = network_of(task)
        parameters = Parameters(initial(network, task, "weights", self.members), rates(network, task))
        return EnsembleState(
            task,
            parameters,
            initial(network, task, "prior functions", self.members) if self.prior_scale else {},
            Stream(task.seeds, "minibatches", device=task.device),
            Stream(task.seeds, "draws", device=task.device),
        )

    def update(self, state: EnsembleState, data: Data) -> None:
        """Trains every member on the squared error of the same minibatches."""
        members = self._members(state)

        def loss(leaves, batch):
            x, output, y = batch
            values = members(x, leaves)
            return squared_error(at_output(values, output), y).flatten()

        train(state.parameters, loss, data, state.task.schedule, state.task.optimizer, state.minibatches)

    def draw(self, state: EnsembleState, draws: int) -> Functions:
        """Draws members, with replacement."""
        chosen = state.choices.integers(self.members, draws)
        return lambda x: self._members(state, chosen)(x, state.parameters.detached)

    def mean(self, state: EnsembleState) -> Functions:
        """Returns the mean of the members."""
        return lambda x: self._members(state)(x, state.parameters.detached).mean(1, keepdim=True)

    def predict(self, state: EnsembleState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns the equal mixture over members of N(f_m, noise)."""
        return mixture(lambda x: self._members(state)(x, state.parameters.detached), x, output, noise)

    def _members(self, state: EnsembleState, chosen: Tensor | None = None):
        """Returns the function from rows [R, N, D] and leaves to the values [R, M, N, K] of all, or chosen, members."""
        network = network_of(state.task)

        def evaluate(x: Tensor, leaves: dict[str, Tensor]) -> Tensor:
            values = functions(network, self._weights(state, leaves, chosen), -1)(x)
            if self.prior_scale:
                values = values + self.prior_scale * functions(network, self._weights(state, state.prior, chosen), -1)(
                    x
                )
            return values

        return evaluate

    def _weights(self, state: EnsembleState, leaves: dict[str, Tensor], chosen: Tensor | None) -> Weights:
        blocks = {name: block.unflatten(0, (-1, self.members)) for name, block in leaves.items()}  # [R, M, P]
        if chosen is not None:
            lane = torch.arange(len(chosen), device=chosen.device).unsqueeze(1)
            blocks = {name: block[lane, chosen] for name, block in blocks.items()}
        return unflatten(network_of(state.task), blocks)
