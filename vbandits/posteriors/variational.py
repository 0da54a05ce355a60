"""What variational posteriors share: their state, their draws and their predictive. Only the loss is a method's own."""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from vbandits.posteriors.common import PREDICTIVE_DRAWS, functions, mixture, network_of
from vbandits.posteriors.gaussian import Gaussian
from vbandits.predictive import Mixture
from vbandits.streams import Stream
from vbandits.training import Parameters, train
from vbandits.types import Data, Functions, Task


@dataclass
class VariationalState:
    """Parameters of the Gaussian and the streams; `fixed` is the noise [R, 64, Z] of every predictive distribution."""

    task: Task
    family: Gaussian
    parameters: Parameters
    minibatches: Stream
    noise: Stream
    draws: Stream
    fixed: Tensor


def state(task: Task, family: Gaussian, factor_scale: float, spread_scale: float) -> VariationalState:
    """Returns the state at initialisation; the scales are those of `Gaussian.initial`."""
    normal = partial(Stream, task.seeds, device=task.device, dtype=task.dtype)
    return VariationalState(
        task,
        family,
        Parameters(*family.initial(factor_scale, spread_scale)),
        Stream(task.seeds, "minibatches", device=task.device),
        normal("training noise"),
        normal("draws"),
        normal("predictive").normal(PREDICTIVE_DRAWS, family.noise_size),
    )


def minimise(state: VariationalState, data: Data, samples: int, penalty=None) -> None:
    """Trains on the expected squared error plus `penalty(leaves)` [R], where there is one."""

    def loss(leaves, batch):
        noise = state.noise.normal(samples, state.family.noise_size)
        expected = state.family.expected_squared_error(leaves, batch, noise)
        return expected if penalty is None else expected + penalty(leaves)

    train(state.parameters, loss, data, state.task.schedule, state.task.optimizer, state.minibatches)


def draw(state: VariationalState, draws: int) -> Functions:
    """Returns the network at fresh draws of its weights."""
    noise = state.draws.normal(draws, state.family.noise_size)
    return functions(network_of(state.task), state.family.sample(state.parameters.detached, noise), draws)


def mean(state: VariationalState) -> Functions:
    """Returns the network at its mean weights."""
    return functions(network_of(state.task), state.family.mean(state.parameters.detached), 1)


def predict(state: VariationalState, x: Tensor, output: Tensor, noise: Tensor) -> Mixture:
    """Returns the equal mixture over 64 draws, the same noise at every call, of N(f_s, noise)."""
    weights = state.family.sample(state.parameters.detached, state.fixed)
    return mixture(functions(network_of(state.task), weights, PREDICTIVE_DRAWS), x, output, noise)
