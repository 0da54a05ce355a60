"""What the network posteriors share: the values that a loss looks at, learned noise, draws as functions."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeGuard

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.likelihoods import at_output
from vbandits.training import Parameters, TrainedState
from vbandits.types import Batch, Data, Functions, HeadedNetwork, Network, Task, Weights

PREDICTIVE_DRAWS = 64
"""Draws in the predictive mixture, the same for every posterior that is sampled."""


def network_of(task: Task) -> Network:
    """Returns the task's network.

    Raises:
        ValueError: if it has none.
    """
    if task.network is None:
        raise ValueError("expected a network in the task, got none: give the agent `network = { hidden = [50, 50] }`")
    return task.network


def headed(network: Network) -> TypeGuard[HeadedNetwork]:
    """Says whether the network's last layer is linear in features that it gives."""
    return hasattr(network, "head")  # an isinstance of a protocol is slow, and this stands in the innermost loop


def solvable(task: Task) -> HeadedNetwork:
    """Returns the task's network, whose last layer is a linear regression once the others are given.

    Raises:
        ValueError: for a network whose output is not that of a linear layer, or another loss than the squared error.
    """
    network = network_of(task)
    if not headed(network):
        raise ValueError(
            "expected a network whose output is that of a linear layer, got one whose output is not: end it with "
            "nn.Linear, or name that layer with `output`"
        )
    if not task.likelihood.squared_loss:
        raise ValueError(
            "expected the squared error with a given noise for a last layer in closed form, got "
            f"{task.likelihood}: use ibvi"
        )
    return network


def evaluate(
    network: Network, weights: Weights, x: Float[Tensor, "R s N D"], output_index: Int64[Tensor, "R N"] | None
) -> Float[Tensor, "R S N *K"]:
    """Returns the network at the one output selected in each row [R, S, N], by the shortest way, or at all."""
    if output_index is None:
        return network.apply(weights, x)
    if headed(network):
        return network.head(weights, network.features(weights, x), output_index)
    return at_output(network.apply(weights, x), output_index)


def parameters(
    task: Task, blocks: Mapping[str, Tensor], rates: Mapping[str, Tensor], drawn_factors: Collection[str] = ()
) -> Parameters:
    """Returns what is trained: the blocks [L, ...], and the log of the noise variance [L, 1] where it is learned."""
    if task.likelihood.learned_noise:
        first = next(iter(blocks.values()))
        level = torch.zeros(len(first), 1, dtype=first.dtype, device=first.device)
        blocks, rates = {**blocks, "noise": level}, {**rates, "noise": torch.ones_like(level[0])}
    return Parameters(blocks, rates, drawn_factors)


def with_noise(leaves: Mapping[str, Tensor], loss: Float[Tensor, " L"]) -> Float[Tensor, " L"]:
    """Adds the loss of the noise variance where it is learned, which is least at the mean squared error.

    The error is held there: one variance for all rows does not move the weights' minimum, and dividing their gradient
    by it would only change their learning rate.
    """
    if "noise" not in leaves:
        return loss
    level = leaves["noise"][:, 0]
    return loss + loss.detach() * (-level).exp() + level


def with_constant(inputs: Float[Tensor, "R N I"], constant: bool) -> Float[Tensor, "R N W"]:
    """Returns the inputs of a linear model, with a 1 behind them where it has a constant."""
    return torch.cat([inputs, torch.ones_like(inputs[:, :, :1])], 2) if constant else inputs


def rows_after(seen: int, data: Data) -> Iterator[Batch]:
    """Yields the rows after the first `seen`, standardised, one of every replica at a time."""
    for row in range(seen, data.x.shape[1]):
        yield data.between(row, row + 1)


def noise_of(trained: Parameters, given: Float[Tensor, " R"]) -> Float[Tensor, " R"]:
    """Returns the noise variance: the learned one, averaged over a replica's models, or else the one given."""
    if "noise" not in trained.detached:
        return given
    return trained.detached["noise"].exp().view(len(given), -1).mean(1)


def functions(network: Network, weights: Weights, draws: int) -> Functions:
    """Returns the network at fixed weights as S functions."""

    def call(x: Tensor) -> Tensor:
        values = network.apply(weights, x.unsqueeze(1))
        return values.expand(-1, draws, -1, -1)  # draws that share every weight are evaluated once

    return call


def embedding(
    network: Network, weights: Weights, x: Float[Tensor, "R N D"], scale: float = 1.0
) -> Float[Tensor, "R N H"]:
    """Returns the inputs of the network's last layer at given weights, side by side where there are several; the rows
    themselves if the last layer is not linear."""
    if not headed(network):
        return x
    return scale * network.features(weights, x.unsqueeze(1)).movedim(1, 2).flatten(2)


def predictive(state: TrainedState, draws: Functions, x: Tensor, output: Tensor, noise: Tensor) -> Any:
    """Returns the equal mixture over draws of the targets of rows `x` [R, N, D] at `output` [R, N].

    The noise variance is the one that the state has learned, or else the one given [R].
    """
    return state.task.likelihood.predictive(draws(x), output, noise_of(state.parameters, noise))
