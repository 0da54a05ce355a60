"""Exact Bayesian linear regression on the contexts, conjugate normal-inverse-gamma, in float64."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vbandits.blocks import at_once
from vbandits.posteriors.common import rows_after, with_constant
from vbandits.posteriors.conjugate import Conjugate, Regression
from vbandits.posteriors.regression import LARGE
from vbandits.types import Data, Scaling, Task

AT_ONCE = {"cpu": 2**20, "cuda": 2**26}
"""Numbers in the moments that are solved for together: few enough for a core's cache, or to fill a GPU. An image's are
600,000 for each replica and output."""
SMALL = 1e-100
"""The weight below which the moments are multiplied by it, long before it is too small for a float."""


@dataclass
class LinearState(Regression):
    """The posterior, and the sufficient statistics that give it, for every replica and output.

    Attributes:
        origin: the first row (x, y) [R, D + 1], which sums are taken from so that no digits are lost; of rows of
            blocks, what is in its block, in every block.
        moments: sums of z z^T with z = (x, 1, y) in raw units less the origin [R, K, D + 2, D + 2], so that a new
            scaling is exact.
        seen: rows in the moments.
        weight: that the moments are to be multiplied by: that of a row as old as the first, where rows lose theirs.
        scaling: of the rows in the posterior; None before there are any.
    """

    origin: Tensor
    moments: Tensor
    seen: int = 0
    weight: float = 1.0
    scaling: Scaling | None = None


@dataclass(frozen=True)
class Linear(Conjugate):
    """y = w . (x, 1) + e with normal e of unknown variance: exact conjugate regression on the contexts.

    The equations are those of `Conjugate`, with h = (x, 1).

    Attributes:
        intercept: whether the model has a constant; the others are those of `Conjugate`.
    """

    intercept: bool = True

    def init(self, task: Task) -> LinearState:
        """Returns the prior.

        Raises:
            ValueError: for another loss than the squared error.
        """
        if not (task.likelihood.squared_loss or task.likelihood.learned_noise):
            raise ValueError(f"expected the squared error for a linear regression, got {task.likelihood}: use ibvi")
        prior = self._prior(task, task.features + self.intercept)
        replicas, outputs, _ = prior.location.shape
        origin = prior.location.new_zeros(replicas, task.features + 1)
        moments = origin.new_zeros(replicas, outputs, task.features + 2, task.features + 2)
        return LinearState(**vars(prior), origin=origin, moments=moments)

    def update(self, state: LinearState, data: Data) -> None:
        """Brings the posterior up to date: solves for it anew where rows are scaled in another way than before."""
        if state.scaling is data.scaling:
            return self.condition_on(state, data)
        _count(state, data)
        state.scaling = data.scaling
        for block in _blocks(state.moments):
            self._solve(state, _standardised(state, data.scaling, *block), block)

    def condition_on(self, state: LinearState, data: Data) -> None:
        """Learns from the rows that are new since the last call."""
        for batch in rows_after(state.seen, data):
            self._add(state, batch)
        _count(state, data)

    def _inputs(self, state: LinearState, x: Tensor) -> Tensor:
        return with_constant(x.double(), self.intercept)


def _blocks(moments: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yields some replicas, or one of them, and some of its outputs, until all were there."""
    replicas, outputs = moments.shape[:2]
    size = max(1, at_once(AT_ONCE, moments.device) // moments[0, 0].numel())
    whole = max(1, size // outputs)
    for first in range(0, replicas, whole):
        for output in range(0, outputs, size):
            yield slice(first, first + whole), slice(output, output + size)


def _count(state: LinearState, data: Data) -> None:
    """Adds the rows not seen yet to the moments, in which older ones lose their weight."""
    if state.seen == 0 and data.x.shape[1]:
        first, anchor = data.x[:, 0].double(), data.scaling.x_anchor
        if anchor is not None:  # one of the blocks is not zero, and its constant is not shifted
            blocks = first.unflatten(1, (len(anchor.unique()), -1))
            own = blocks.sum(1, keepdim=True)
            own[..., -1] = 0
            first = own.expand_as(blocks).flatten(1)
        state.origin = torch.cat([first, data.y[:, :1].double()], 1)
    forgetting = data.forgetting
    for row in range(state.seen, data.x.shape[1]):  # a row at a time: the sum does not depend on how rows were batched
        if forgetting is not None:
            state.weight *= forgetting.decay
            if state.weight < SMALL:
                state.moments *= state.weight
                state.weight = 1.0
            if forgetting.window is not None and row >= forgetting.window:
                _add_row(state, data, row - forgetting.window, -1.0)
        _add_row(state, data, row, 1 / state.weight)
    state.seen = data.x.shape[1]


def _add_row(state: LinearState, data: Data, row: int, weight: float) -> None:
    x, anchor = data.x[:, row].double(), data.scaling.x_anchor
    origin = state.origin[:, :-1] if anchor is None else state.origin[:, :-1] * x[:, anchor]
    y = data.y[:, row, None].double() - state.origin[:, -1:]
    z = torch.cat([x - origin, torch.ones_like(y), y], 1)
    output = data.output[:, row]
    if z.shape[1] > LARGE:
        for r, k in enumerate(output.tolist()):
            state.moments[r, k].addr_(weight * z[r], z[r])
    else:
        replica = torch.arange(len(z), device=z.device)
        state.moments[replica, output] += weight * z.unsqueeze(2) * z.unsqueeze(1)


def _standardised(state: LinearState, scaling: Scaling, block: slice, outputs: slice) -> Tensor:
    """Returns the moments of ((x - shift) / scale, 1, (y - shift) / scale) of some outputs of some replicas."""
    moments, origin = state.moments[block, outputs], state.origin[block]
    one = torch.ones_like(scaling.y_scale[block])
    moments = moments if state.weight == 1 else state.weight * moments
    x_shift = scaling.x_shift[block, 0] - origin[:, :-1]
    shift = torch.cat([x_shift, 0 * one, scaling.y_shift[block] - origin[:, -1:]], 1)[:, None, :]  # [R, 1, D + 2]
    scale = torch.cat([scaling.x_scale[block, 0], one, scaling.y_scale[block]], 1)[:, None, :]
    if scaling.x_anchor is None:
        sums, count = moments[..., -2, None], moments[..., -2, -2, None, None]  # [R, K, D + 2, 1], [R, K, 1, 1]
    else:  # what a value is shifted by is as often there as the constant of its block
        size = moments.shape[-1]
        places = torch.cat([scaling.x_anchor, scaling.x_anchor.new_full((2,), size - 2)])
        sums = moments[..., places]
        count = sums[..., places, :]
    cross = sums * shift.unsqueeze(2)
    centred = (moments - cross).sub_(cross.mT).add_(count * shift.unsqueeze(3) * shift.unsqueeze(2))
    return centred.div_(scale.unsqueeze(3) * scale.unsqueeze(2))
