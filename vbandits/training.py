"""The only SGD loop: replicas train in lockstep, each as if it were alone."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.networks.weights import prior_std
from vbandits.streams import Stream
from vbandits.types import Batch, Data, Optimizer, Task

Loss = Callable[[Mapping[str, Tensor], Batch], Float[Tensor, " L"]]
"""Loss per model of the trained blocks, given their leaves and a minibatch."""
SECOND, SMALL = 0.999, 1e-8
"""Decay of Adam's second moment, and what keeps its denominator from zero (Kingma and Ba, 2015)."""


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
        start: a copy of `values` before the first step, for those that are pulled there; else None.
        steps: taken so far.
    """

    start: Tensor | None

    def __init__(
        self, blocks: Mapping[str, Tensor], rates: Mapping[str, Tensor], drawn_factors: Collection[str] = ()
    ) -> None:
        """Takes initial values [L, *shape], learning-rate factors (broadcast to shape), and the names of factors."""
        order = sorted(blocks, key=lambda name: name in drawn_factors)  # factors last
        self.values = torch.cat([blocks[name].flatten(1) for name in order], 1)
        self.rates = torch.cat([rates[name].expand(blocks[name].shape[1:]).flatten() for name in order])
        self.start, self.steps = None, 0
        self._velocity = torch.zeros_like(self.values)
        self._squares: Tensor | None = None
        shapes = {name: blocks[name].shape for name in order}
        self.detached, self._velocities = _views(self.values, shapes), _views(self._velocity, shapes)
        self.leaves = Leaves(self.detached, drawn_factors)
        self._plain = sum(blocks[name][0].numel() for name in order if name not in drawn_factors)

    def gather(self, blocks: Mapping[str, Tensor]) -> Float[Tensor, "L P"]:
        """Returns values for every leaf [L, *shape], or what broadcasts to it, as one matrix like `values`."""
        return torch.cat([blocks[name].expand(leaf.shape).flatten(1) for name, leaf in self.detached.items()], 1)

    def descend(self, losses: Tensor, optimizer: Optimizer, pull: Tensor | None = None) -> None:
        """Takes one step of SGD with momentum, or of Adam, on losses [L]; each model's gradient is clipped by its norm.

        Losses are summed: a mean would divide every model's step by L. A model whose loss is not finite turns to NaN
        for good and touches no other. A pull [L, P] adds pull / 2 * (values - start)^2 to the loss, by an implicit step
        of SGD, which is stable however strong the pull.
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
        if pull is not None:
            assert self.start is not None, "a pull needs the start to be kept, see `keep_start`"
            # momentum takes every gradient 1 / (1 - momentum) times
            strength = pull * self.rates * (rate / (1 - optimizer.momentum))
            self.values.lerp_(self.start, strength / (1 + strength))

    def keep_start(self) -> None:
        """Keeps the values as the start, unless a step was taken."""
        if self.start is None:
            assert self.steps == 0, "the start is gone after the first step"
            self.start = self.values.clone()

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
        assert self._squares is not None
        self._squares.mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
        first, second = (1 - decay**self.steps for decay in (optimizer.momentum, SECOND))
        size = (self._squares / second).sqrt_().add_(SMALL)
        self.values.addcdiv_(self._velocity * self.rates, size, value=-rate / first)


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
    pull: Float[Tensor, "L P"] | None = None,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Runs as many steps as the schedule says, on minibatches drawn with replacement from the rows of `data`.

    Args:
        state: what is trained, and how.
        loss: of a minibatch.
        data: the rows.
        pull: of parameters towards their start, beside the optimiser's own; see `Parameters.descend`.
        after_step: called after every step, when the parameters hold its result.
    """
    schedule, optimizer, parameters = state.task.schedule, state.task.optimizer, state.parameters
    if optimizer.anchor or optimizer.weight_decay:
        own = _anchor(state, data)
        pull = own if pull is None else pull + own
    if pull is not None:
        parameters.keep_start()
    for _ in range(schedule.gradient_steps):
        batch = data.sample(state.minibatches, schedule.batch_size)
        parameters.descend(loss(parameters.leaves, batch), optimizer, pull)
        if after_step is not None:
            after_step()


def _anchor(state: TrainedState, data: Data) -> Float[Tensor, "L P"]:
    """Returns the pull of an optimiser that holds the means of weights at their start."""
    task, parameters = state.task, state.parameters
    assert task.network is not None
    prior = prior_std(task.network, task, "sp")
    blocks = {}
    for name, leaf in parameters.detached.items():
        kind, _, layer = name.rpartition("/")
        held = layer in prior and kind in ("", "mean")
        precision = prior[layer].pow(-2) if held else torch.zeros(())
        blocks[name] = precision.where(precision.isfinite(), 0).to(leaf)  # norm layers have no prior
    precision = parameters.gather(blocks)
    return prior_pull(state, data, precision, task.optimizer.anchor) + task.optimizer.weight_decay * (precision > 0)


def prior_pull(
    state: TrainedState, data: Data, precision: Float[Tensor, "L P"], weight: float = 1.0
) -> Float[Tensor, "L P"]:
    """Returns the pull of a Gaussian prior around the start, given its precision, beside the mean loss of N rows."""
    parameters = state.parameters
    noise = data.noise.repeat_interleave(len(parameters.values) // len(data.noise))
    if "noise" in parameters.detached:
        noise = parameters.detached["noise"][:, 0].exp()
    strength = weight * state.task.likelihood.nll_scale(noise) / data.count
    return strength.to(precision).unsqueeze(1) * precision
