"""What an agent remembers: raw rows, their standardisation, and how noisy rewards are."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from vbandits.data.precision import LARGEST, SMALLEST, require_scale
from vbandits.types import Data, Scaling, Task

FIRST = 1024
"""Most rows that there is room for at the beginning."""
GROWTH = 0.05
"""Share by which rows must have grown for a new scaling: exact regressions sum all rows anew with each, and what that
costs per row does not grow with their number if it comes once in a while."""


class Replay:
    """Rows [R, T, W], their outputs [R, T] and rewards [R, T], on the device; T doubles when it is reached."""

    grows: ClassVar = ("_x", "_outputs", "_rewards")

    def __init__(self, task: Task, steps: int, standardize: bool | Literal["arms"], blocks: int = 1) -> None:
        """Takes how many steps are foreseen, more may come, and of how many blocks a row is made, all of them zero but
        one."""
        replicas = len(task.seeds)
        self.rows = self.decisions = 0
        self._blocks = blocks
        self._task = task
        self._standardize = standardize
        self._x: Tensor | None = None  # of the type that contexts come in, if it has more digits than is learned in
        self._foreseen, first = steps, min(steps, FIRST)
        self._outputs = torch.zeros(replicas, first, dtype=torch.long, device=task.device)
        double = {"dtype": torch.float64, "device": task.device}
        self._rewards = torch.zeros(replicas, first, **double)
        self._summed = 0
        self._origin: Tensor | None = None
        self._sums = torch.zeros(2, replicas, task.features // blocks + 1, **double)
        self._arms = torch.zeros(3, replicas, task.outputs, **double)  # of each output: rewards, and their two sums
        self._scaling: Scaling | None = None
        self._renewed = 0  # rows of which the scaling is

    def decide(self, x: Tensor, outputs: Tensor) -> None:
        """Appends the row [R, W] and output [R] of a decision."""
        if self._x is None:
            dtype = torch.promote_types(x.dtype, self._task.dtype)
            self._x = x.new_zeros((*self._outputs.shape, x.shape[1]), dtype=dtype)
        if self.decisions == self._outputs.shape[1]:
            self._grow(self._x)
        self._x[:, self.decisions] = x
        self._outputs[:, self.decisions] = outputs
        self.decisions += 1

    def _grow(self, x: Tensor) -> None:
        """Makes room for as many rows again, but for no more than are foreseen."""
        before = self.decisions
        after = 2 * before if before >= self._foreseen else min(2 * before, self._foreseen)
        self._x, self._outputs, self._rewards = (
            torch.cat([part, part.new_zeros(len(part), after - before, *part.shape[2:])], 1)
            for part in (x, self._outputs, self._rewards)
        )

    @property
    def number_type(self) -> torch.dtype | None:
        """The type of the rows' numbers; None before the first."""
        return None if self._x is None else self._x.dtype

    def add(self, rewards: Tensor) -> None:
        """Appends the rewards [R] of the earliest decision that has none."""
        self._rewards[:, self.rows] = rewards
        self.rows += 1

    def last(self, decisions: int) -> tuple[Tensor, Tensor]:
        """Returns the rows [R, N, W] and outputs [R, N] of the last decisions."""
        kept = slice(self.decisions - decisions, self.decisions)
        return self._rows()[:, kept], self._outputs[:, kept]

    def _rows(self) -> Tensor:
        assert self._x is not None, "nothing was decided yet"
        return self._x

    def scaling(self) -> Scaling:
        """Returns mean and standard deviation of all rows and rewards; 1 for what has not varied, which it marks.

        It is renewed when rows have grown by a share, and the same object until then. Rows of blocks are shifted and
        scaled by what is in their blocks: zeros stay zeros.
        """
        forgetting = self._task.schedule.forgetting
        remembered = self._renewed if forgetting is None else min(self._renewed, forgetting.memory)
        if self._scaling is None or self.rows >= self._renewed + max(1, GROWTH * remembered):
            self._renewed, self._scaling = self.rows, self._renew()
        return self._scaling

    def _renew(self) -> Scaling:
        replicas, features = len(self._task.seeds), self._task.features
        if not (self._standardize and self.rows):
            return Scaling.identity(replicas, features, self._task.device, self._task.dtype)
        for row in range(self._summed, self.rows):  # a row at a time: no reduction whose order could depend on R
            self._sum(row)
        self._summed = self.rows
        if not self._sums.isfinite().all():
            raise ValueError(
                f"expected contexts and rewards of at most {LARGEST:g} in size, whose squares float64 can carry, got "
                "larger ones: use other units"
            )
        lowest, highest = self._rewards[:, : self.rows].aminmax(dim=1)
        require_scale("rewards", highest - lowest)
        total, square = self._sums
        mean, scale, constant = _moments(total, square, self.rows)
        assert self._origin is not None
        x_scale, x_shift, x_constant = scale[:, :-1], (mean + self._origin)[:, :-1], constant[:, :-1]
        anchor = None
        if self._blocks > 1:  # the last number of a block is its constant, and stays 1
            x_shift = torch.cat([x_shift[:, :-1], 0 * x_shift[:, -1:]], 1)
            x_scale, x_shift, x_constant = (part.repeat(1, self._blocks) for part in (x_scale, x_shift, x_constant))
            width = features // self._blocks
            place = torch.arange(features, device=self._task.device)
            anchor = place // width * width + width - 1
        y_mean, y_scale, y_constant = mean[:, -1:], scale[:, -1:], constant[:, -1:]
        if self._standardize == "arms":
            y_mean, y_scale, _ = self._balanced()
        x_shift, x_scale = (part.to(self._rows().dtype).unsqueeze(1) for part in (x_shift, x_scale))
        return Scaling(
            x_shift,
            x_scale,
            y_mean + self._origin[:, -1:],
            y_scale,
            x_constant.unsqueeze(1) if x_constant.any() else None,
            y_constant if y_constant.any() else None,
            anchor,
        )

    def _sum(self, row: int) -> None:
        own = self._rows()[:, row].double()
        if self._blocks > 1:  # all but one are zero
            own = own.unflatten(1, (self._blocks, -1)).sum(1)
        values = torch.cat([own, self._rewards[:, row, None]], 1)
        if self._origin is None:
            self._origin = values  # deviations from it: no digits are lost where the mean is far from 0
        values = values - self._origin
        self._sums.add_(torch.stack([values, values * values]))
        if self._standardize != "arms":
            return
        replica = torch.arange(len(values), device=values.device)
        output, reward = self._outputs[:, row], values[:, -1]
        self._arms[:, replica, output] += torch.stack([torch.ones_like(reward), reward, reward * reward])

    def _balanced(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns mean, standard deviation and constancy of rewards [R, 1], about the origin, of all arms in equal
        parts."""
        count, total, square = self._arms
        played = count > 0
        arms = played.sum(1, keepdim=True)
        mean, second = ((part / count).where(played, 0).sum(1, keepdim=True) / arms for part in (total, square))
        return _moments(mean, second, 1)

    def data(self, scaling: Scaling, noise: Tensor) -> Data:
        """Returns all rows so far; `noise` is the variance of rewards [R] in standardised units."""
        kept = slice(0, self.rows)
        forgetting = self._task.schedule.forgetting
        return Data(self._rows()[:, kept], self._outputs[:, kept], self._rewards[:, kept], scaling, noise, forgetting)


def _moments(total: Tensor, square: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns mean, standard deviation (1 for what has not varied), and what has not varied, from sums of values and
    of their squares. The values are deviations from the first of them: none varies if all squares are zero, or next to
    it, and the variance of n others is at least 1 / n of their square, far above rounding."""
    mean, square = total / count, square / count
    constant = square <= SMALLEST**2
    return mean, torch.where(constant, 1.0, square - mean * mean).sqrt(), constant


class NoiseVariance:
    """The variance of rewards about the true function, estimated from prequential residuals; one for all posteriors.

    Two independent draws f, g of the posterior, made before the reward y was seen, have mean m and an unbiased variance
    (f - g)^2 / 2. A calibrated posterior with variance v has squared residuals (y - m)^2 of noise + 3/2 v on average,
    so the difference of the two estimates the noise. Averages decay into the past, because early residuals speak of a
    network that is no more.
    """

    DECAY = 0.99
    FLOOR = 0.01
    """The least noise, as a part of the squared residual: a posterior may claim to explain 99% of it, not more."""

    def __init__(self, replicas: int, device: torch.device) -> None:
        # decaying sums [4, R] of weights, the prior's weight, squared residuals and variances, and what a reward adds
        self._sums = torch.zeros(4, replicas, dtype=torch.float64, device=device)
        self._new = torch.zeros_like(self._sums)
        self._sums[1] = self._new[0] = 1

    def add(self, rewards: Tensor, draws: Tensor) -> None:
        """Takes rewards [R] and two draws of their prediction [R, 2], all in units of the reward; draws that are not
        finite count for nothing: NaN says that the unit was not known yet in which they were made."""
        draws = draws.double()
        self._new[2] = (rewards - draws.mean(1)).square()
        self._new[3] = (draws[:, 0] - draws[:, 1]).square() / 2
        self._sums = torch.where(draws.isfinite().all(1), self._new.add(self._sums, alpha=self.DECAY), self._sums)

    def standardised(self, scale: Tensor) -> Tensor:
        """Returns the estimate [R] in units in which targets of the standard deviation `scale` [R] have variance 1.

        Their variance counts as one observation, the oldest.
        """
        prior = scale.double().square()
        weight, prior_weight, residual, variance = self._sums
        total = weight + prior_weight
        residual = (residual + prior_weight * prior) / total
        noise = (residual - 1.5 * variance / total).maximum(self.FLOOR * residual)
        return (noise / prior).clamp(min=1e-12)
