"""A posterior and its training: what a learner believes of targets, given the labels that it knows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition.base import AT_ONCE, Acquisition
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP
from vbandits.networks.images import with_image
from vbandits.posteriors.common import PREDICTIVE_DRAWS
from vbandits.predictive import Classes
from vbandits.streams import derived
from vbandits.types import Data, Functions, Optimizer, Posterior, Scaling, Schedule, Task

LIMIT = 1e6
"""Values beyond this, where targets have variance 1, are those of a posterior that has diverged."""


@dataclass(frozen=True)
class Training:
    """When and how long a learner trains.

    Attributes:
        every: purchases between two trainings.
        gradient_steps: steps of SGD in one training (exact posteriors ignore it).
        batch_size: rows in a minibatch.
        start: "scratch" trains from fresh initial weights each time, "warm" goes on from the last ones.
        full_steps: steps of the fit to all labels of the pool that a learner is compared with.
        first: rows of a stream whose label is asked for before the acquisition decides.
    """

    every: Annotated[int, Field(ge=1)] = 1
    gradient_steps: Annotated[int, Field(ge=0)] = 200
    batch_size: Annotated[int, Field(ge=1)] = 32
    start: Literal["scratch", "warm"] = "scratch"
    full_steps: Annotated[int, Field(ge=1)] = 2000
    first: Annotated[int, Field(ge=1)] = 10


@dataclass(frozen=True)
class LearnerSpec:
    """The declaration of a learner, as a file or a script gives it.

    Attributes:
        label: how reports call it.
        posterior: of the function from rows to targets.
        acquisition: which labels to buy.
        network: builds the network of network posteriors.
        training: when and how long it trains.
        optimizer: how weights move.
        candidates: rows of the pool, drawn anew for every purchase, that the acquisition looks at; by default all.
        method: how reports call everything but the acquisition.
        acquired: how they call the acquisition.
    """

    label: str
    posterior: Posterior
    acquisition: Acquisition
    network: Any = field(default_factory=MLP)
    training: Training = field(default_factory=Training)
    optimizer: Optimizer = field(default_factory=Optimizer)
    candidates: Annotated[int, Field(ge=1)] | None = None
    method: str = ""
    acquired: str = ""


class Model:
    """The posterior of R replicas.

    Attributes:
        scaling: of targets, float64; rows come standardised.
        noise: variance of a target about the function [R], in standardised units.
        trained: whether it has learned from anything yet.
    """

    def __init__(
        self,
        spec: LearnerSpec,
        seeds: tuple[int, ...],
        features: int,
        classes: int,
        image: tuple[int, int, int] | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        outputs, training = classes or 1, spec.training
        self.task = Task(
            seeds=seeds,
            features=features,
            outputs=outputs,
            network=with_image(spec.network, image).build(features, outputs),
            likelihood=Categorical() if classes else Gaussian(),
            schedule=Schedule(every=1, gradient_steps=training.gradient_steps, batch_size=training.batch_size),
            optimizer=spec.optimizer,
            device=device,
            dtype=dtype,
        )
        self._posterior: Any = spec.posterior
        self._plain = Scaling.identity(len(seeds), features, device, dtype)
        self._afresh = training.start == "scratch"
        self._trainings = 0
        self._state = self._posterior.init(self.task)
        self.scaling = Scaling.identity(len(seeds), features, device, torch.float64)
        self._origin = torch.zeros(len(seeds), 1, dtype=torch.float64, device=device)  # that the posterior counts from
        self.noise = torch.ones(len(seeds), dtype=dtype, device=device)

    @property
    def trained(self) -> bool:
        """Whether it has learned from anything yet."""
        return self._trainings > 0

    def train(
        self,
        x: Float[Tensor, "R n D"],
        labels: Float[Tensor, "R n"],
        noise: Callable[[Float[Tensor, " R"]], Float[Tensor, " R"]],
    ) -> None:
        """Learns from rows and their labels, classes or numbers.

        Args:
            x: standardised rows.
            labels: of the rows.
            noise: gives the noise variance in units of the target, given the variance of targets [R].
        """
        if self._afresh and self._trainings:
            self._state = self._posterior.init(replace(self.task, seeds=derived(self.task.seeds, self._trainings)))
        self._trainings += 1
        if isinstance(self.task.likelihood, Categorical):
            data = Data(x, labels.long(), torch.zeros_like(x[:, :, 0]), self._plain, self.noise)
        else:
            if self._trainings == 1:
                self._origin = labels[:, :1].double()
            self.scaling = self._scaled(labels)
            scale = self.scaling.y_scale[:, 0]
            self.noise = (noise(scale.square()) / scale.square()).to(self.task.dtype)
            shift, size = ((self.scaling.y_shift - self._origin), self.scaling.y_scale)
            inside = replace(self._plain, y_shift=shift.to(self.task.dtype), y_scale=size.to(self.task.dtype))
            y = (labels.double() - self._origin).to(self.task.dtype)  # no digits are lost where numbers are large
            data = Data(x, torch.zeros_like(labels).long(), y, inside, self.noise)
        self._posterior.update(self._state, data)

    def _scaled(self, labels: Float[Tensor, "R n"]) -> Scaling:
        """Returns the scaling of targets by their mean and standard deviation, a replica at a time: no sum's order
        could depend on R."""
        moments = torch.stack([torch.stack([lane.mean(), lane.std(correction=0)]) for lane in labels.double()])
        mean, std = moments.unsqueeze(2).unbind(1)
        return replace(self.scaling, y_shift=mean, y_scale=std.where(std > 1e-12 * (1 + mean.abs()), 1))

    def draw(self, draws: int) -> Functions:
        """Draws functions, see `types.Posterior.draw`."""
        return self._posterior.draw(self._state, draws)

    def embed(self, x: Float[Tensor, "R n D"]) -> Float[Tensor, "R n H"]:
        """Returns features of rows: those that the outputs are linear in, or the rows where the posterior has none."""
        return self._posterior.embed(self._state, x) if hasattr(self._posterior, "embed") else x

    def predict(self, blocks: Callable[[int], Iterator[Float[Tensor, "R n D"]]]) -> Iterator[Any]:
        """Yields the predictive distributions of a number of rows at a time, in units of the target.

        Args:
            blocks: gives the rows, so many at a time, as `Rows.blocks` does.
        """
        for x in blocks(AT_ONCE // PREDICTIVE_DRAWS):
            output = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
            with torch.no_grad():
                found = self._posterior.predict(self._state, x, output, self.noise)
            classes = isinstance(self.task.likelihood, Categorical)
            if classes and not isinstance(found, Classes):
                raise ValueError(
                    "expected a posterior that can learn classes, whose predict returns vbandits.predictive.Classes, "
                    f"got {type(self._posterior).__name__}, which is for regressions (it gave {type(found).__name__})"
                )
            yield found if classes else found.affine(self.scaling.y_shift, self.scaling.y_scale)
