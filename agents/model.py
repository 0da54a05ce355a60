"""One trained model: a posterior of R replicas, how targets are scaled for it, and which replicas have diverged."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from vbandits.data.precision import require_scale
from vbandits.posteriors.common import PREDICTIVE_DRAWS
from vbandits.streams import aside, derived
from vbandits.training import TrainedState
from vbandits.types import Data, Functions, Scaling, Task

LIMIT = 1e6
"""Values beyond this, where targets have variance 1, are those of a replica that has diverged: clipping keeps them
finite."""


class Model:
    """What is believed of targets given the rows learned from: of an agent, a learner, or a supervised method.

    Attributes:
        posterior: of the functions from rows to targets.
        task: what it models.
        state: of the posterior.
        scaling: that predictions are turned back by.
        noise: variance of a target about the function [R], in standardised units.
        updates: times that it has learned.
        diverged: replicas whose values were once not within the limit [R].
    """

    not_saved: ClassVar = ("posterior", "_streams")

    def __init__(self, posterior: Any, task: Task, limit: float = LIMIT, rows_at_once: int = 1) -> None:
        """Starts before any data.

        Args:
            posterior: of the functions.
            task: what it models.
            limit: of the size of values that `guard` takes for sound.
            rows_at_once: rows that `predictions` makes at a time, so that memory stays bounded. It must not depend on
                the number of replicas (law 1).
        """
        self.posterior, self.task = posterior, task
        self.state = posterior.init(task)
        self.scaling = Scaling.identity(len(task.seeds), task.features, task.device, task.dtype)
        self.noise = torch.ones(len(task.seeds), dtype=task.dtype, device=task.device)
        self.updates = 0
        self.diverged = torch.zeros(len(task.seeds), dtype=torch.bool, device=task.device)
        self._limit, self._rows_at_once = limit, rows_at_once
        self._streams: dict[Any, Any] = {}  # of draws that nothing is decided by

    @property
    def trained(self) -> bool:
        """Whether it has learned from anything yet."""
        return self.updates > 0

    def update(self, data: Data, times: int = 1) -> None:
        """Learns from all rows so far, as often as is said."""
        self.scaling, self.noise = data.scaling, data.noise
        self.updates += times
        for _ in range(times):
            self.posterior.update(self.state, data)

    def fit(
        self,
        x: Float[Tensor, "R n D"],
        labels: Shaped[Tensor, "R n"],
        noise: Callable[[Float[Tensor, " R"]], Float[Tensor, " R"]] | None = None,
    ) -> None:
        """Learns from standardised rows and their labels, which are scaled here if the likelihood has them so.

        Args:
            x: all rows so far.
            labels: of the rows: classes, or numbers in their own units.
            noise: gives the noise variance in standardised units from the standard deviation of targets [R]; by default
                it stays as it is.
        """
        output, y = self.task.likelihood.targets(labels)
        scaling = self.scaling
        if self.task.likelihood.standardised:
            y = y.double()
            require_scale("targets", y.amax(1) - y.amin(1))
            mean, std, constant = _moments(y)
            scaling = replace(scaling, y_shift=mean, y_scale=std, y_constant=constant)
            if noise is not None:
                self.noise = noise(std[:, 0]).to(self.task.dtype)
        self.update(Data(x, output, y, scaling, self.noise, self.task.schedule.forgetting))

    def restart(self) -> None:
        """Goes back to fresh initial weights, other ones after every update."""
        if isinstance(self.state, TrainedState):
            self.state.parameters.forget()
        self.state = self.posterior.init(replace(self.task, seeds=derived(self.task.seeds, self.updates)))

    @property
    def can_condition(self) -> bool:
        """Whether `condition_on` can take single rows by now."""
        return self.trained and hasattr(self.posterior, "condition_on")

    def condition_on(self, data: Data) -> None:
        """Learns from the rows that are new, with scaling and noise as they are, see `types.Posterior`."""
        cast(Any, self.posterior).condition_on(self.state, data)

    def draw(self, draws: int) -> Functions:
        """Draws functions, see `types.Posterior.draw`."""
        return self.posterior.draw(self.state, draws)

    def mean(self) -> Functions:
        """Returns the mean function, see `types.Posterior.mean`."""
        return self.posterior.mean(self.state)

    def embed(self, x: Float[Tensor, "R n D"]) -> Float[Tensor, "R n H"]:
        """Returns features of rows: those that the outputs are linear in, or the rows where the posterior has none."""
        embed = getattr(self.posterior, "embed", None)
        return x if embed is None else embed(self.state, x)

    def look(self, draws: int = PREDICTIVE_DRAWS) -> Functions:
        """Returns functions that nothing is decided by: they move no random number that `draw` gives on.

        They are those that `predict` is the equal mixture of, if the posterior tells them; else so many draws, of the
        same random numbers at every call.
        """
        if self.mixes:
            return cast(Any, self.posterior).mixture(self.state)
        return self.posterior.draw(aside(self.state, self._streams), draws)

    @property
    def mixes(self) -> bool:
        """Whether the posterior tells the functions that its predictive distribution is the mixture of."""
        return hasattr(self.posterior, "mixture")

    def guard(self, *values: Float[Tensor, "R ..."]) -> None:
        """Notes the replicas that have diverged: one of their values is not within the limit, or not a number."""
        largest = reduce(torch.maximum, (part.abs().flatten(1).amax(1) for part in values))
        self.diverged |= ~(largest < self._limit)

    def predict(self, x: Float[Tensor, "R n D"], output: Int64[Tensor, "R n"] | None = None) -> Any:
        """Returns the predictive distribution of the targets of standardised rows, in their own units.

        Args:
            x: the rows.
            output: that each target belongs to, by default the first.

        Raises:
            ValueError: if the posterior cannot learn such targets.
        """
        if output is None:
            output = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        with torch.no_grad():
            found: Any = self.posterior.predict(self.state, x, output, self.noise)
        likelihood, name = self.task.likelihood, type(self.posterior).__name__
        if not isinstance(found, likelihood.predictive_type):
            raise ValueError(
                f"expected {name}.predict to return {likelihood.predictive_type.__name__} (see vbandits.predictive) "
                f"for targets that are {type(likelihood).__name__}, got {type(found).__name__}: use a posterior that "
                "can learn such targets"
            )
        return found.affine(self.scaling.y_shift, self.scaling.y_scale) if likelihood.standardised else found

    def noise_variance(self, x: Float[Tensor, "R n D"], output: Int64[Tensor, "R n"]) -> Float[Tensor, "R n"]:
        """Returns the variance of targets about the function, in their own units: the one given [R], or the posterior's
        own where it has one.

        Args:
            x: raw rows.
            output: that each target belongs to.
        """
        given = (self.noise.double().unsqueeze(1) * self.scaling.y_scale.square()).expand(output.shape)
        if self.mixes:
            return given
        found: Any = self.predict(self.scaling.x(x).to(self.task.dtype), output)
        own = getattr(found, "noise_variance", None)
        return given if own is None else own

    def predictions(self, blocks: Callable[[int], Iterator[Float[Tensor, "R n D"]]]) -> Iterator[Any]:
        """Yields the predictive distributions of a number of rows at a time.

        Args:
            blocks: gives the rows, so many at a time.
        """
        return map(self.predict, blocks(self._rows_at_once))


def _moments(y: Float[Tensor, "R n"]) -> tuple[Float[Tensor, "R 1"], Float[Tensor, "R 1"], Bool[Tensor, "R 1"]]:
    """Returns mean, standard deviation (1 for what does not vary), and what does not vary; a replica at a time: no
    sum's order could depend on R."""
    moments = torch.stack([torch.stack([own.mean(), own.std(correction=0)]) for own in y])
    mean, std = moments.unsqueeze(2).unbind(1)
    constant = y.amax(1, keepdim=True) == y.amin(1, keepdim=True)
    return mean, std.where(~constant, 1), constant
