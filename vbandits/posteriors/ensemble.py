"""Deep ensembles (Lakshminarayanan et al., 2017), optionally with randomised prior functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from vbandits.networks.weights import initial, rates, unflatten
from vbandits.posteriors.backward import Backward, Stored
from vbandits.posteriors.common import embedding, evaluate, network_of, parameters, predictive, with_noise
from vbandits.streams import Stream
from vbandits.training import Gradient, Parameters, train
from vbandits.types import Batch, Data, Functions, Task, Weights


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
        return EnsembleState(
            task,
            parameters(task, initial(network, task, "weights", self.members), rates(network, task)),
            initial(network, task, "prior functions", self.members) if self.prior_scale else {},
            Stream(task.seeds, "minibatches", device=task.device),
            Stream(task.seeds, "draws", device=task.device),
        )

    def update(self, state: EnsembleState, data: Data) -> None:
        """Trains every member on the loss of the same minibatches."""
        network, likelihood = network_of(state.task), state.task.likelihood

        def loss(leaves: Mapping[str, Tensor], batch: Batch) -> Tensor:
            x, output_index = batch.x.unsqueeze(1), likelihood.output_index(batch.output)
            values = self._sum(state, leaves, lambda weights: evaluate(network, weights, x, output_index))
            error = likelihood.loss(values, None, batch.output, batch.y.unsqueeze(1)).mean(2)
            return with_noise(leaves, error.flatten())

        by_hand = Backward.of(state.task, state.parameters, Stored(members=self.members))
        held = self._weights(state, state.prior, None) if self.prior_scale else None

        def gradient(batch: Batch) -> Gradient:
            assert by_hand is not None
            prior = None if held is None else self.prior_scale * network.apply(held, batch.x.unsqueeze(1))
            return by_hand(batch, offset=prior)

        train(state, loss, data, gradient=by_hand and gradient)

    def draw(self, state: EnsembleState, draws: int) -> Functions:
        """Draws members, with replacement."""
        return self._functions(state, state.choices.integers(self.members, draws))

    def mean(self, state: EnsembleState) -> Functions:
        """Returns the mean of the members."""
        return lambda x: self._functions(state)(x).mean(1, keepdim=True)

    def mixture(self, state: EnsembleState) -> Functions:
        """Returns the members."""
        return self._functions(state)

    def predict(self, state: EnsembleState, x: Tensor, output: Tensor, noise: Tensor) -> Any:
        """Returns the equal mixture over members."""
        return predictive(state, self.mixture(state), x, output, noise)

    def embed(self, state: EnsembleState, x: Tensor) -> Tensor:
        """Returns the inputs of the members' last layers, side by side."""
        members = self._weights(state, state.parameters.detached, None)
        return embedding(network_of(state.task), members, x, self.members**-0.5)

    def _functions(self, state: EnsembleState, chosen: Tensor | None = None) -> Functions:
        """Returns all members, or the chosen ones [R, S], as functions."""
        network = network_of(state.task)
        if chosen is not None and chosen.shape[1] > self.members:  # some are chosen twice: each is evaluated once
            replica = torch.arange(len(chosen), device=chosen.device).unsqueeze(1)
            every = self._functions(state)
            return lambda x: every(x)[replica, chosen]
        return lambda x: self._sum(
            state, state.parameters.detached, lambda weights: network.apply(weights, x.unsqueeze(1)), chosen
        )

    def _sum(
        self,
        state: EnsembleState,
        leaves: Mapping[str, Tensor],
        evaluate: Callable[[Weights], Tensor],
        chosen: Tensor | None = None,
    ) -> Tensor:
        """Evaluates the members and adds their prior functions."""
        values = evaluate(self._weights(state, leaves, chosen))
        if self.prior_scale:
            values = values + self.prior_scale * evaluate(self._weights(state, state.prior, chosen))
        return values

    def _weights(self, state: EnsembleState, leaves: Mapping[str, Tensor], chosen: Tensor | None) -> Weights:
        names = [layer.name for layer in network_of(state.task).layers]
        blocks = {name: leaves[name].unflatten(0, (-1, self.members)) for name in names}  # [R, M, P]
        if chosen is not None:
            replica = torch.arange(len(chosen), device=chosen.device).unsqueeze(1)
            blocks = {name: block[replica, chosen] for name, block in blocks.items()}
        return unflatten(network_of(state.task), blocks)
