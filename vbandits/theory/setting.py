"""What the checks share: overparametrised linear problems, networks without a closed form, steps on all rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.networks import MLP
from vbandits.posteriors.variational import VariationalState
from vbandits.streams import Stream, generator
from vbandits.training import Parameters
from vbandits.types import Data, Network, Optimizer, Schedule, Task, Weights

DTYPE = torch.float64
UNCLIPPED = 1e12
State = TypeVar("State", bound=VariationalState)


@dataclass(frozen=True)
class Linear:
    """Rows X [R, N, P] and targets y [R, N] with more features than rows, and what follows from them."""

    x: Float[Tensor, "R N P"]
    y: Float[Tensor, "R N"]

    @property
    def data(self) -> Data:
        """As posteriors take it, with a noise variance of 1."""
        return self.noisy(1.0)

    def noisy(self, noise: float) -> Data:
        """Returns the rows with this noise variance."""
        return Data.of(self.x, torch.zeros(self.y.shape, dtype=torch.long), self.y, noise)

    @property
    def null(self) -> Float[Tensor, "R P P"]:
        """P0 = I - X^+ X."""
        return torch.eye(self.x.shape[2], dtype=DTYPE) - torch.linalg.pinv(self.x) @ self.x

    def kriging(self, metric: Float[Tensor, "#R P P"]) -> Float[Tensor, "R P N"]:
        """Returns S X^T (X S X^T)^-1: X^+ where S is a multiple of the identity."""
        cross = metric @ self.x.mT
        return cross @ torch.linalg.inv(self.x @ cross)

    def projected(
        self, metric: Float[Tensor, "#R P P"], mean: Float[Tensor, "R P"], factor: Float[Tensor, "R P C"]
    ) -> tuple[Float[Tensor, "R P"], Float[Tensor, "R P C"]]:
        """Returns the interpolating mean and the factor without variance at the rows that are closest in S^-1."""
        gain = self.kriging(metric)
        moved = mean + times(gain, self.y - times(self.x, mean))
        return moved, factor - gain @ self.x @ factor


def linear_problem(features: int = 12, count: int = 5, replicas: int = 2, seed: int = 1) -> Linear:
    """Returns rows with singular values from 1 to 2 and random directions: SGD is done soon.

    Raises:
        ValueError: with as many rows as features, where nothing is left to the implicit bias.
    """
    if count >= features:
        raise ValueError(f"expected more features than rows, got {features} and {count}")
    random = generator(seed, "theory")
    left = torch.linalg.qr(normal(random, replicas, count, count)).Q
    right = torch.linalg.qr(normal(random, replicas, features, count)).Q
    x = left * torch.linspace(1, 2, count, dtype=DTYPE) @ right.mT
    return Linear(x, normal(random, replicas, count))


def normal(random: np.random.Generator, *shape: int) -> Tensor:
    """Returns standard normal numbers."""
    return torch.from_numpy(random.standard_normal(shape))


def times(matrix: Float[Tensor, "*R N P"], vector: Float[Tensor, "*#R P"]) -> Float[Tensor, "*R N"]:
    """Returns matrix-vector products."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


class Headless:
    """A network that does not say that its last layer is linear: gradients of all layers are sampled."""

    def __init__(self, network: Network) -> None:
        self.layers, self.parametrization = network.layers, network.parametrization
        self._network = network

    def apply(self, weights: Weights, x: Tensor) -> Tensor:
        """Evaluates the network."""
        return self._network.apply(weights, x)


class EveryRow(Stream):
    """A stream of minibatches that are all rows in their order: gradient descent instead of SGD."""

    def integers(self, high: Tensor | int, *shape: int) -> Tensor:
        """Returns 0 to `high` - 1 for each replica."""
        return torch.arange(int(high)).expand(self.replicas, *shape[:-1], -1)


def task(
    features: int,
    hidden: Sequence[int] = (),
    *,
    outputs: int = 1,
    bias: bool = False,
    parametrization: str = "sp",
    sampled: bool = False,
    seeds: Sequence[int] = (0, 1),
    optimizer: Optimizer | None = None,
    steps: int = 1,
    batch: int = 2,
    **options: Any,
) -> Task:
    """Returns a task with an MLP in float64; `sampled` hides that its last layer is linear."""
    config: Any = {"hidden": tuple(hidden), "bias": bias, "parametrization": parametrization}
    network = MLP(**config).build(features, outputs)
    return Task(
        tuple(seeds),
        features,
        outputs,
        Headless(network) if sampled else network,
        schedule=Schedule(gradient_steps=steps, batch_size=batch),
        optimizer=optimizer or Optimizer(clip=UNCLIPPED),
        **{"dtype": DTYPE, **options},
    )


def sgd(rate: float, momentum: float = 0.0, **options: Any) -> Optimizer:
    """Returns SGD without clipping; momentum makes a step 1 / (1 - momentum) times as long, which is undone."""
    return Optimizer(rate * (1 - momentum), momentum, clip=UNCLIPPED, **options)


def on_every_row(state: State) -> State:
    """Makes every step see all rows."""
    state.minibatches = EveryRow(state.task.seeds, "minibatches")
    return state


def start(state: State, **blocks: Tensor) -> State:
    """Sets blocks of the first layer, by kind, to other initial values [*R, ...]."""
    for kind, value in blocks.items():
        for place in filter(None, (state.parameters.detached, state.start)):  # only methods that are held keep a start
            place[f"{kind}/0"].copy_(value)
    return state


def trained(method: Any, single: Task, data: Data, *, every_row: bool = False, **blocks: Tensor) -> Any:
    """Returns the state of a method that was trained, on all rows in every step, or from other blocks (see `start`)."""
    state = method.init(single)
    if blocks:
        start(state, **blocks)
    if every_row:
        on_every_row(state)
    method.update(state, data)
    return state


def ends(state: VariationalState) -> tuple[Tensor, Tensor]:
    """Returns mean [R, P] and factor [R, P, C] of the first layer as they are."""
    return state.parameters.detached["mean/0"].clone(), state.parameters.detached["factor/0"].clone()


def with_rates(state: State, factors: Mapping[str, Tensor]) -> State:
    """Multiplies the learning-rate factors of blocks by name, each with what broadcasts to its shape."""
    old = state.parameters
    shapes = {name: block.shape[1:] for name, block in old.detached.items()}
    parts = zip(shapes, old.rates.split([shape.numel() for shape in shapes.values()]), strict=True)
    one = torch.ones(1, dtype=DTYPE)
    rates = {name: rate.view(shapes[name]) * factors.get(name, one).to(rate) for name, rate in parts}
    return replace(state, parameters=Parameters(old.detached, rates, old.leaves.drawn_factors))


def largest(difference: Tensor) -> float:
    """Returns the largest absolute value."""
    return float(difference.detach().abs().max())


def slope(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """Returns the slope of log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
