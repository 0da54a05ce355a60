"""The only SGD loop: replicas train in lockstep, each as if it were alone."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.blocks import times
from vbandits.graphs import Replayed
from vbandits.networks.weights import prior_std
from vbandits.streams import Stream
from vbandits.types import Batch, Data, Optimizer, Task

Loss = Callable[[Mapping[str, Tensor], Batch], Float[Tensor, " L"]]
"""Loss per model of the trained blocks, given their leaves and a minibatch."""
GATHERED = 2**16
"""Numbers of contexts in minibatches that are gathered at once, for each replica: of more, the memory would be had from
the system anew each time, and given back, which takes longer than to fill it."""
SECOND, SMALL = 0.999, 1e-8
"""Decay of Adam's second moment, and what keeps its denominator from zero (Kingma and Ba, 2015)."""


class FactorDraw(NamedTuple):
    """A draw [L, S, P] = mean + noise [L, S, C] factor^T: its gradient is all that the factor's needs."""

    name: str
    draw: Tensor
    noise: Tensor


class OuterProduct(NamedTuple):
    """A factor's gradient: sum_s g_s z_s^T of draws' gradients [L, S, P] and their noise [L, S, C]."""

    name: str
    gradient: Tensor
    noise: Tensor


class Gradient(NamedTuple):
    """The gradient of every model's loss: as a matrix [L, P] like `Parameters.values` but for factors that draws are
    made from, and as outer products for those."""

    plain: Tensor
    outer: list[OuterProduct]


class Leaves(dict[str, Tensor]):
    """Blocks as autograd sees them, and the draws that were made from factors without it."""

    def __init__(self, blocks: Mapping[str, Tensor], drawn_factors: Collection[str]) -> None:
        super().__init__(
            {name: block.detach().requires_grad_(name not in drawn_factors) for name, block in blocks.items()}
        )
        self.drawn_factors = drawn_factors
        self.factor_draws: list[FactorDraw] = []


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
    not_saved: ClassVar = ("_replayed",)

    def __init__(
        self, blocks: Mapping[str, Tensor], rates: Mapping[str, Tensor], drawn_factors: Collection[str] = ()
    ) -> None:
        """Takes initial values [L, *shape], learning-rate factors (broadcast to shape), and the names of factors."""
        order = sorted(blocks, key=lambda name: name in drawn_factors)  # factors last
        self.values = torch.cat([blocks[name].flatten(1) for name in order], 1)
        self.rates = torch.cat([rates[name].expand(blocks[name].shape[1:]).flatten() for name in order])
        self.start, self.steps = None, 0
        self._replayed: Replayed | None = None
        self._velocity = torch.zeros_like(self.values)
        self._squares: Tensor | None = None
        shapes = {name: blocks[name].shape for name in order}
        self.detached, self._velocities = _views(self.values, shapes), _views(self._velocity, shapes)
        self.leaves = Leaves(self.detached, drawn_factors)
        self._plain = sum(blocks[name][0].numel() for name in order if name not in drawn_factors)

    def gather(self, blocks: Mapping[str, Tensor]) -> Float[Tensor, "L P"]:
        """Returns values for every leaf [L, *shape], or what broadcasts to it, as one matrix like `values`."""
        return torch.cat([blocks[name].expand(leaf.shape).flatten(1) for name, leaf in self.detached.items()], 1)

    def gradient(self, losses: Float[Tensor, " L"]) -> Gradient:
        """Returns the gradient of losses that were made from `leaves`.

        They are summed: a mean would divide every model's step by L.
        """
        factor_draws, self.leaves.factor_draws = self.leaves.factor_draws, []
        inputs = [leaf for name, leaf in self.leaves.items() if name not in self.leaves.drawn_factors]
        found = torch.autograd.grad(losses.sum(), [*inputs, *(made.draw for made in factor_draws)])
        plain = torch.cat([block.flatten(1) for block in found[: len(inputs)]], 1)
        drawn = zip(factor_draws, found[len(inputs) :], strict=True)
        return Gradient(plain, [OuterProduct(made.name, own, made.noise) for made, own in drawn])

    def step(
        self, gradient: Callable[..., Gradient], optimizer: Optimizer, batch: Batch, *more: Tensor, pull: Tensor | None
    ) -> None:
        """Takes a step by a gradient that is known without autograd, on a GPU by the kernels of the first such steps.

        Args:
            gradient: of a batch, and what more it takes: all that differs from one call to another is among these.
            optimizer: how.
            batch: of rows.
            more: what the gradient takes besides.
            pull: see `descend`.
        """
        varies = optimizer.kind != "sgd" or optimizer.decay_steps  # from step to step, which cannot be replayed
        if varies or batch.weight is not None or not self.values.is_cuda:
            return self.descend(gradient(batch, *more), optimizer, pull)
        how = optimizer, pull is None
        if self._replayed is None or self._replayed.how != how:

            def move(pull: Tensor | None, x: Tensor, output: Tensor, y: Tensor, rows: Tensor, *more: Tensor) -> None:
                self._move(gradient(Batch(x, output, y, rows), *more), optimizer, optimizer.learning_rate, pull)

            self._replayed = Replayed(move if pull is not None else partial(move, None), how)
        self.steps += 1
        self._replayed(*(() if pull is None else (pull,)), batch.x, batch.output, batch.y, batch.rows, *more)

    def forget(self) -> None:
        """Gives back what steps are replayed from, before the parameters are thrown away."""
        self._replayed = None

    def descend(self, gradient: Gradient, optimizer: Optimizer, pull: Tensor | None = None) -> None:
        """Takes one step of SGD with momentum, or of Adam; each model's gradient is clipped by its norm.

        A model whose loss is not finite turns to NaN for good and touches no other. A pull [L, P] adds
        pull / 2 * (values - start)^2 to the loss, by an implicit step of SGD, which is stable however strong the pull.
        """
        rate = optimizer.rate(self.steps)
        self.steps += 1
        self._move(gradient, optimizer, rate, pull)

    def _move(self, gradient: Gradient, optimizer: Optimizer, rate: float, pull: Tensor | None) -> None:
        squared = torch.linalg.vector_norm(gradient.plain, dim=1).square()
        for _, own, noise in gradient.outer:  # |sum_s g_s z_s^T|^2 = sum_st (g_s . g_t) (z_s . z_t)
            squared = squared + (times(own, own.mT) * times(noise, noise.mT)).sum((1, 2))
        scale = (optimizer.clip / squared.sqrt().clamp(min=optimizer.clip)).unsqueeze(1)
        (self._sgd if optimizer.kind == "sgd" else self._adam)(gradient, scale, optimizer, rate)
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

    def _sgd(self, gradient: Gradient, scale: Tensor, optimizer: Optimizer, rate: float) -> None:
        self._velocity.mul_(optimizer.momentum)
        self._velocity[:, : self._plain].addcmul_(gradient.plain, scale)
        for name, own, noise in gradient.outer:
            scaled = own * scale.unsqueeze(2)
            for draw in range(noise.shape[1]):  # in place: the product is as large as the factor
                self._velocities[name].addcmul_(scaled[:, draw, :, None], noise[:, draw, None])
        self.values.addcmul_(self._velocity, self.rates, value=-rate)

    def _adam(self, gradient: Gradient, scale: Tensor, optimizer: Optimizer, rate: float) -> None:
        products = {name: times(own.mT, noise).flatten(1) for name, own, noise in gradient.outer}
        whole = torch.cat([gradient.plain, *(products[name] for name in self.detached if name in products)], 1) * scale
        if self.steps == 1:
            self._squares = torch.zeros_like(self.values)
        assert self._squares is not None
        self._velocity.lerp_(whole, 1 - optimizer.momentum)
        self._squares.mul_(SECOND).addcmul_(whole, whole, value=1 - SECOND)
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
    gradient: Callable[..., Gradient] | None = None,
    random: Callable[[], tuple[Tensor, ...]] = tuple,
) -> None:
    """Runs as many steps as the schedule says, on minibatches drawn with replacement from the rows of `data`.

    Args:
        state: what is trained, and how.
        loss: of a minibatch, whose gradient autograd finds.
        data: the rows.
        pull: of parameters towards their start, beside the optimiser's own; see `Parameters.descend`.
        after_step: called after every step, when the parameters hold its result.
        gradient: of the same loss, where it is known without autograd, given a minibatch and random numbers. On a GPU
            that of the first call is used for good: it may hold on to nothing that differs from one update to another.
        random: gives a step's random numbers to `gradient`, and whatever else differs from one update to another.
    """
    schedule, optimizer, parameters = state.task.schedule, state.task.optimizer, state.parameters
    if optimizer.anchor or optimizer.weight_decay:
        own = _anchor(state, data)
        pull = own if pull is None else pull + own
    if pull is not None:
        parameters.keep_start()
    for batch in minibatches(data, state.minibatches, schedule.batch_size, schedule.gradient_steps):
        if gradient is None:
            parameters.descend(parameters.gradient(loss(parameters.leaves, batch)), optimizer, pull)
        else:
            parameters.step(gradient, optimizer, batch, *random(), pull=pull)
        if after_step is not None:
            after_step()


def minibatches(data: Data, stream: Stream, size: int, count: int) -> Iterator[Batch]:
    """Yields minibatches of rows drawn with replacement, in proportion to their weights; many are gathered at once."""
    rows, most = data.x.shape[1], max(1, GATHERED // (size * data.x.shape[2]))
    for start in range(0, count, most):
        shape = (min(most, count - start), size)
        if data.forgetting is None:
            index = stream.integers(rows, *shape)
        else:
            index = rows - 1 - data.forgetting.ages(stream.uniform(*shape), rows)
        found = data.rows(index.transpose(0, 1))
        yield from map(Batch, found.x, found.output, found.y, found.rows)


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
