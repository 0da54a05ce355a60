"""What the network posteriors share: the loss of the output taken, draws as functions, the predictive mixture."""

from typing import TypeGuard

from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.predictive import Mixture
from vbandits.types import Functions, HeadedNetwork, Network, Task, Weights

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


def at_output(values: Float[Tensor, "R S N K"], output: Int64[Tensor, "R N"]) -> Float[Tensor, "R S N"]:
    """Picks the output taken in each row."""
    index = output[:, None, :, None].expand(*values.shape[:3], 1)
    return values.gather(3, index).squeeze(3)


def taken(network: Network, weights: Weights, x: Float[Tensor, "R s N D"], output: Int64[Tensor, "R N"]) -> Tensor:
    """Returns the network at the output taken in each row [R, S, N], by the shortest way that it has."""
    if headed(network):
        return network.head(weights, network.features(weights, x), output)
    return at_output(network.apply(weights, x), output)


def squared_error(values: Float[Tensor, "R S N"], y: Float[Tensor, "R N"]) -> Float[Tensor, "R S"]:
    """Returns the squared error averaged over rows."""
    return (y.unsqueeze(1) - values).square().mean(2)


def functions(network: Network, weights: Weights, draws: int) -> Functions:
    """Returns the network at fixed weights as S functions."""

    def evaluate(x: Tensor) -> Tensor:
        values = network.apply(weights, x.unsqueeze(1))
        return values.expand(-1, draws, -1, -1)  # draws that share every weight are evaluated once

    return evaluate


def mixture(draws: Functions, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
    """Returns the equal mixture over draws of N(f_s, noise) for rows `x` [R, N, D] at `output` [R, N]."""
    return Mixture(at_output(draws(x), output), noise.unsqueeze(1).expand(output.shape))
