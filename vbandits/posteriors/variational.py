"""What variational posteriors share: their state, their draws and their predictive. Only the loss is a method's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from vbandits.posteriors.common import (
    PREDICTIVE_DRAWS,
    embedding,
    functions,
    network_of,
    parameters,
    predictive,
    with_noise,
)
from vbandits.posteriors.covariances import Diagonal
from vbandits.posteriors.gaussian import GaussianFamily
from vbandits.posteriors.layers import Divergence
from vbandits.streams import Stream
from vbandits.training import Gradient, Parameters, train
from vbandits.types import Batch, Data, Functions, Task

Penalty = Callable[[Mapping[str, Tensor]], Tensor]
"""What is added to the expected loss, from the leaves to [R]."""


@dataclass
class VariationalState:
    """Parameters of the Gaussian and the streams; `fixed` is the noise [R, 64, Z] of every predictive distribution.

    `start` holds the leaves as they were before any data, for methods that are held there; for others it is empty.
    """

    task: Task
    family: GaussianFamily
    parameters: Parameters
    start: dict[str, Tensor]
    minibatches: Stream
    noise: Stream
    draws: Stream
    fixed: Tensor


def state(
    task: Task, family: GaussianFamily, scale: float, *, penalised: bool = False, held: bool = False
) -> VariationalState:
    """Returns the state at initialisation.

    Args:
        task: what is modelled.
        family: of the Gaussian.
        scale: of the prior, see `GaussianFamily.initial`.
        penalised: whether `minimise` will be given a penalty, which needs the gradients of all leaves.
        held: whether the leaves at the start are needed later.
    """
    normal = partial(Stream, task.seeds, device=task.device, dtype=task.dtype)
    trained = parameters(task, *family.initial(scale), () if penalised else family.drawn_factors)
    return VariationalState(
        task,
        family,
        trained,
        {name: block.clone() for name, block in trained.detached.items()} if held else {},
        Stream(task.seeds, "minibatches", device=task.device),
        normal("training noise"),
        normal("draws"),
        normal("predictive").normal(PREDICTIVE_DRAWS, family.noise_size),
    )


def minimise(
    state: VariationalState,
    data: Data,
    samples: int,
    penalty: Penalty | None = None,
    pull: Tensor | None = None,
    perturbation: Callable[[Batch], Tensor] | None = None,
    divergence: Divergence | None = None,
) -> None:
    """Trains on the expected loss, and on what is added to it.

    Args:
        state: what is trained.
        data: all rows.
        samples: draws of the weights per minibatch.
        penalty: added to the loss, which autograd then has to differentiate.
        pull: to the start.
        perturbation: of the targets.
        divergence: added to the loss as well.
    """

    def noise() -> Tensor:
        return state.noise.normal(samples, state.family.noise_size)

    def loss(leaves: Mapping[str, Tensor], batch: Batch) -> Tensor:
        moved = None if perturbation is None else perturbation(batch)
        expected = with_noise(leaves, state.family.expected_loss(leaves, batch, noise(), moved))
        if divergence is not None:
            expected = expected + divergence.weight[:, 0] * state.family.divergence(leaves, divergence.scale)
        return expected if penalty is None else expected + penalty(leaves)

    known = divergence is None or isinstance(state.family.covariance, Diagonal)
    by_hand = state.family.backward(state.parameters) if known and penalty is None and perturbation is None else None

    def gradient(batch: Batch, noise: Tensor, *weight: Tensor) -> Gradient:
        assert by_hand is not None
        added = Divergence(weight[0], divergence.scale) if divergence is not None else None
        return by_hand(batch, state.family.drawn(noise), divergence=added)

    more = () if divergence is None else (divergence.weight,)
    train(state, loss, data, pull, gradient=by_hand and gradient, random=lambda: (noise(), *more))


class Variational:
    """What every Gaussian over the weights answers with, however it was trained."""

    def draw(self, state: VariationalState, draws: int) -> Functions:
        """Returns the network at fresh draws of its weights."""
        return _functions(state, state.draws.normal(draws, state.family.noise_size))

    def mean(self, state: VariationalState) -> Functions:
        """Returns the network at its mean weights."""
        return functions(network_of(state.task), state.family.mean(state.parameters.detached), 1)

    def mixture(self, state: VariationalState) -> Functions:
        """Returns 64 draws, of the same noise at every call."""
        return _functions(state, state.fixed)

    def predict(self, state: VariationalState, x: Tensor, output: Tensor, noise: Tensor) -> Any:
        """Returns the equal mixture over 64 draws, the same noise at every call."""
        return predictive(state, self.mixture(state), x, output, noise)

    def embed(self, state: VariationalState, x: Tensor) -> Tensor:
        """Returns the inputs of the last layer at the mean weights."""
        return embedding(network_of(state.task), state.family.mean(state.parameters.detached), x)


def _functions(state: VariationalState, noise: Tensor) -> Functions:
    weights = state.family.sample(state.parameters.detached, noise, factored=True)
    return functions(network_of(state.task), weights, noise.shape[1])
