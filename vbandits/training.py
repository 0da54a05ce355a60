"""The only SGD loop: replicas train in lockstep, each as if it were alone."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.streams import Stream
from vbandits.types import Batch, Data, Optimizer, Task

Loss = Callable[[Mapping[str, Tensor], Batch], Float[Tensor, " L"]]
"""Loss per model of the trained blocks, given their leaves and a minibatch."""
SECOND, SMALL = 0.999, 1e-8
"""Decay of Adam's second moment, and what keeps its denominator from zero (Kingma and Ba, 2015)."""


class Anchor(NamedTuple):
    """Adds weight / 2 * (values - target)^2 to the loss, by an implicit step: it is stable at any weight."""

    target: Float[Tensor, "L P"]
    weight: Float[Tensor, "L P"]


class FactorDraw(NamedTuple):
    """A draw [L, S, P] = mean + noise [L, S, C] factor^T: its gradient is all that the factor's needs."""

    name: str
    draw: Tensor
    noise: Tensor


class Leaves(dict[str, Tensor]):
    """Blocks as autograd sees them, and the draws that were made from factors without it."""

    def __init__(self, blocks: Mapping[str, Tensor], drawn_factors: Collection[str]) -> None:
        super().__init__(
            {name: block.detach().requires_grad_(name not in drawn_factors) for name, block in blocks.items()}
        )
        self.drawn_factors = drawn_factors
        self.factor_draws: list[FactorDraw] = []


Outer = list[tuple[FactorDraw, Tensor]]
"""Draws made from factors, and their gradients [L, S, P]."""


def factor_draw(leaves: Mapping[str, Tensor], name: str, draw: Tensor, noise: Tensor) -> None:
    """Notes a draw that was made from a factor, where the factor's own gradient is not asked for."""
    if isinstance(leaves, Leaves) and name in leaves.drawn_factors:
        leaves.factor_draws.append(FactorDraw(name, draw, noise))


class Parameters:
    """Everything a posterior trains, in one matrix [L, P], so that a step of SGD is a handful of operations.

    A model is what is clipped as one: a replica, or a member of an ensemble (L = R * members of them).

    The gradient of a factor that draws are made from is an outer product of the draw's gradient and its noise. It is as
    large as the factor and never needed by itself: such a block is updated from the two, which saves most of what a
    factor costs.

    Attributes:
        values: the matrix; `leaves` are views of it.
        leaves: each block by name, [L, *shape], as autograd sees it.
        detached: the same without autograd.
        steps: taken so far.
    """

    def __init__(
        self, blocks: Mapping[str, Tensor], rates: Mapping[str, Tensor], drawn_factors: Collection[str] = ()
    ) -> None:
        """Takes initial values [L, *shape], learning-rate factors (broadcast to shape), and the names of factors."""
        order = sorted(blocks, key=lambda name: name in drawn_factors)  # factors last
        self.values = torch.cat([blocks[name].flatten(1) for name in order], 1)
        self.rates = torch.cat([rates[name].expand(blocks[name].shape[1:]).flatten() for name in order])
        self.steps = 0
        self._velocity = torch.zeros_like(self.values)
        self._squares = torch.empty(0)
        shapes = {name: blocks[name].shape for name in order}
        self.detached, self._velocities = _views(self.values, shapes), _views(self._velocity, shapes)
        self.leaves = Leaves(self.detached, drawn_factors)
        self._plain = sum(blocks[name][0].numel() for name in order if name not in drawn_factors)

    def gather(self, blocks: Mapping[str, Tensor]) -> Float[Tensor, "L P"]:
        """Returns values for every leaf [L, *shape], or what broadcasts to it, as one matrix like `values`."""
        return torch.cat([blocks[name].expand(leaf.shape).flatten(1) for name, leaf in self.detached.items()], 1)

    def descend(self, losses: Tensor, optimizer: Optimizer, anchor: Anchor | None = None) -> None:
        """Takes one step of SGD with momentum, or of Adam, on losses [L]; each model's gradient is clipped by its norm.

        Losses are summed: a mean would divide every model's step by L. A model whose loss is not finite turns to NaN
        for good and touches no other.

        Raises:
            ValueError: for an anchor with Adam, whose steps end elsewhere.
        """
        factor_draws, self.leaves.factor_draws = self.leaves.factor_draws, []
        inputs = [leaf for name, leaf in self.leaves.items() if name not in self.leaves.drawn_factors]
        gradients = torch.autograd.grad(losses.sum(), [*inputs, *(made.draw for made in factor_draws)])
        plain = torch.cat([block.flatten(1) for block in gradients[: len(inputs)]], 1)
        outer: Outer = list(zip(factor_draws, gradients[len(inputs) :], strict=True))
        squared = torch.linalg.vector_norm(plain, dim=1).square()
        for made, gradient in outer:  # |sum_s g_s z_s^T|^2 = sum_st (g_s . g_t) (z_s . z_t)
            squared = squared + (gradient @ gradient.mT * (made.noise @ made.noise.mT)).sum((1, 2))
        scale = (optimizer.clip / squared.sqrt().clamp(min=optimizer.clip)).unsqueeze(1)
        rate = optimizer.rate(self.steps)
        self.steps += 1
        (self._sgd if optimizer.kind == "sgd" else self._adam)(plain, outer, scale, optimizer, rate)
        if anchor is not None:
            self._pull(anchor, optimizer, rate)

    def _sgd(self, plain: Tensor, outer: Outer, scale: Tensor, optimizer: Optimizer, rate: float) -> None:
        self._velocity[:, : self._plain].mul_(optimizer.momentum).addcmul_(plain, scale)
        for made, gradient in outer:
            scaled = (gradient * scale.unsqueeze(2)).mT
            self._velocities[made.name].baddbmm_(scaled, made.noise, beta=optimizer.momentum)
        self.values.addcmul_(self._velocity, self.rates, value=-rate)

    def _adam(self, plain: Tensor, outer: Outer, scale: Tensor, optimizer: Optimizer, rate: float) -> None:
        products = {made.name: (gradient.mT @ made.noise).flatten(1) for made, gradient in outer}
        gradient = torch.cat([plain, *(products[name] for name in self.detached if name in products)], 1) * scale
        if self.steps == 1:
            self._squares = torch.zeros_like(self.values)
        self._velocity.lerp_(gradient, 1 - optimizer.momentum)
        self._squares.mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
        first, second = (1 - decay**self.steps for decay in (optimizer.momentum, SECOND))
        size = (self._squares / second).sqrt_().add_(SMALL)
        self.values.addcdiv_(self._velocity * self.rates, size, value=-rate / first)

    def _pull(self, anchor: Anchor, optimizer: Optimizer, rate: float) -> None:
        if optimizer.kind != "sgd":
            raise ValueError("expected the optimizer kind 'sgd' where weights are anchored at the prior, got 'adam'")
        # momentum takes every gradient 1 / (1 - momentum) times
        pull = anchor.weight * self.rates * (rate / (1 - optimizer.momentum))
        self.values.lerp_(anchor.target, pull / (1 + pull))


def _views(matrix: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Returns the blocks of a matrix [L, P] by name, in their shapes."""
    parts = matrix.split([shape[1:].numel() for shape in shapes.values()], 1)
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


@runtime_checkable
class TrainedState(Protocol):
    """What the states of all posteriors have that are trained by SGD.

    Attributes:
        task: whose schedule and optimizer say how.
        parameters: what is trained, in place.
        minibatches: which rows.
    """

    task: Task
    parameters: Parameters
    minibatches: Stream


def train(
    state: TrainedState,
    loss: Loss,
    data: Data,
    anchor: Anchor | None = None,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Runs as many steps as the schedule says, on minibatches drawn with replacement from all rows of `data`.

    Args:
        state: what is trained, and how.
        loss: of a minibatch.
        data: the rows.
        anchor: what parameters are pulled towards.
        after_step: called after every step, when the parameters hold its result.
    """
    schedule, parameters = state.task.schedule, state.parameters
    for _ in range(schedule.gradient_steps):
        index = state.minibatches.integers(data.x.shape[1], schedule.batch_size)
        parameters.descend(loss(parameters.leaves, data.rows(index)), state.task.optimizer, anchor)
        if after_step is not None:
            after_step()
