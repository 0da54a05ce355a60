"""A learner: a model of the labels that it has bought, and an acquisition that says which to buy next."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition.base import AT_ONCE, Acquisition, Rows, View
from vbandits.agents.model import Model
from vbandits.agents.replay import NoiseVariance
from vbandits.data.precision import SMALLEST
from vbandits.envs.active.spaces import rows_of
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP
from vbandits.networks.images import with_image
from vbandits.posteriors.common import PREDICTIVE_DRAWS
from vbandits.serialize import described, instantiate
from vbandits.streams import Stream
from vbandits.types import Optimizer, Posterior, Schedule, Task


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
        posterior: of the function from rows to targets, an instance or a class.
        acquisition: which labels to buy, an instance or a class.
        network: builds the network of network posteriors; a function of D features and K outputs that returns an
            `nn.Module` will do.
        training: when and how long it trains.
        optimizer: how weights move. Where it is not given, an experiment takes that of the preset whose posterior is of
            the same kind, and says so; a learner that is made by itself, or that has no such preset, takes the default.
        candidates: rows of the pool, drawn anew for every purchase, that the acquisition looks at; by default all.
        method: how reports call everything but the acquisition.
        acquisition_name: how they call the acquisition.
    """

    label: str
    posterior: Posterior
    acquisition: Acquisition
    network: Any = field(default_factory=MLP)
    training: Training = field(default_factory=Training)
    optimizer: Optimizer | None = None
    candidates: Annotated[int, Field(ge=1)] | None = None
    method: str = ""
    acquisition_name: str = ""

    def __post_init__(self) -> None:
        """Makes instances of what is given as a class."""
        instantiate(self, ("posterior", "acquisition", "network"))

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON: every section with all its fields, the defaults too."""
        sections = ("posterior", "acquisition", "network", "training", "optimizer", "candidates")
        names = {"label": self.label, "method": self.method, "acquisition_label": self.acquisition_name}
        return names | described(self, sections)


@dataclass(frozen=True)
class Inputs:
    """What a learner knows of a problem before any label, standardised by the pool: its rows, and those of the test.

    Attributes:
        pool: [N, D].
        test: [M, D].
        classes: K; 0 for a regression.
        image: channels, height and width, where a row is an image.
    """

    pool: Float[Tensor, "N D"]
    test: Float[Tensor, "M D"]
    classes: int
    image: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, environment: Any, dtype: torch.dtype = torch.float32) -> "Inputs":
        """Returns the rows of an environment."""
        standard = standardiser(environment.features, environment.image, dtype)
        pool, test = standard(environment.features), standard(environment.test_features)
        return cls(pool, test, environment.classes, environment.image)


def standardiser(features: Float[Tensor, "N D"], image: object, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Returns what shifts and scales rows by mean and standard deviation of `features`; of images by those of all their
    pixels. What does not vary among them has no scale: another number is 1 above or below theirs, whatever its unit.

    Rows that come as float64, as they need its digits, keep them until they are shifted.
    """
    rows, axes = features.cpu().numpy(), None if image else 0
    mean, std = (np.asarray(part(rows, axis=axes, dtype=np.float64)) for part in (np.mean, np.std))
    low, high = rows.min(axes), rows.max(axes)
    constant = high - low <= SMALLEST
    mean, std = np.where(constant, low, mean), np.where(constant, 1.0, std)
    kind = torch.promote_types(features.dtype, dtype) if features.is_floating_point() else dtype
    shift, scale = (torch.as_tensor(part, dtype=kind, device=features.device) for part in (mean, std))
    still = torch.as_tensor(constant, device=features.device) if constant.any() else None

    def standardised(x: Tensor) -> Tensor:
        found = (x.to(kind) - shift) / scale
        return (found if still is None else torch.where(still, found.sign(), found)).to(dtype)

    return standardised


class Learner:
    """Learns R replicas of a problem in lockstep. It sees rows, and the labels that it has bought, nothing else.

    Attributes:
        acquisition: its own.
        model: of the labels. Replicas that diverge query at random from then on.
        known: rows whose label is known, in the order in which they became so [R, n].
        labels: theirs [R, n], float64.
    """

    grows: ClassVar = ("known", "labels")

    def __init__(
        self,
        spec: LearnerSpec,
        seeds: tuple[int, ...],
        inputs: Inputs,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = torch.device(device)
        self.spec, self.inputs = spec, inputs
        self.acquisition = copy.deepcopy(spec.acquisition)  # whatever it remembers is of these replicas alone
        features, outputs = inputs.pool.shape[1], inputs.classes or 1
        task = Task(
            seeds=seeds,
            features=features,
            outputs=outputs,
            network=with_image(spec.network, inputs.image).build(features, outputs),
            likelihood=Categorical() if inputs.classes else Gaussian(),
            schedule=Schedule(1, spec.training.gradient_steps, spec.training.batch_size),
            optimizer=spec.optimizer or Optimizer(),
            device=device,
            dtype=dtype,
        )
        self.model = _model(spec, task)
        self.known = torch.empty(len(seeds), 0, dtype=torch.long, device=device)
        self.labels = torch.empty(len(seeds), 0, dtype=torch.float64, device=device)
        self._noise = NoiseVariance(len(seeds), device)
        self._purchases = 0  # since the last training
        self._streams = {
            purpose: Stream(seeds, purpose, device=device)
            for purpose in ("acquisition", "candidates", "targets", "at random")
        }

    def add_labels(self, rows: Int64[Tensor, "R b"], labels: Float[Tensor, "R b"] | Int64[Tensor, "R b"]) -> None:
        """Takes labels of rows; they are learned from at the next `fit`."""
        labels = labels.double()
        if self.model.trained and self.model.task.likelihood.standardised:
            values = self.model.draw(2)(self.inputs.pool[rows])[..., 0]  # [R, 2, b], made before the label is known
            scaling = self.model.scaling
            predicted = scaling.y_shift.unsqueeze(2) + scaling.y_scale.unsqueeze(2) * values
            of_no_use = self.model.diverged[:, None, None]
            if scaling.y_constant is not None:  # of one label, or of equal ones, there is no scale
                of_no_use = of_no_use | scaling.y_constant.unsqueeze(2)
            predicted = predicted.masked_fill(of_no_use, torch.nan)
            for place in range(rows.shape[1]):
                self._noise.add(labels[:, place], predicted[:, :, place])
        self.known = torch.cat([self.known, rows], 1)
        self.labels = torch.cat([self.labels, labels], 1)
        self._purchases += 1

    @property
    def waiting(self) -> bool:
        """Whether there are labels that are not learned from yet."""
        return self._purchases > 0

    @property
    def due(self) -> bool:
        """Whether the training schedule asks for an update."""
        return not self.model.trained or self._purchases >= self.spec.training.every

    def fit(self) -> None:
        """Trains on all labels that are known."""
        self._purchases = 0
        if self.spec.training.start == "scratch" and self.model.trained:
            self.model.restart()
        x = self.inputs.pool[self.known]
        self.model.fit(x, self.labels, self._noise.standardised)
        self.model.guard(self.model.draw(2)(x))

    def query(self, mask: Tensor, count: int) -> Int64[Tensor, "R b"]:
        """Chooses `count` rows of the pool for every replica.

        Args:
            mask: which rows may be queried [R, N].
            count: how many.
        """
        candidates = self._candidates(mask, count)
        view = self.view(Rows(self.inputs.pool, candidates))
        places = self.acquisition.select(view, count)
        instead = self._streams["at random"].uniform(candidates.shape[1]).argsort(dim=1, stable=True)[:, :count]
        places = instead.where(self.model.diverged.unsqueeze(1), places)
        return candidates.gather(1, places)

    def view(self, candidates: Rows) -> View:
        """Returns what an acquisition may look at; a replica that has diverged shows zeros."""

        def shown(functions: Any) -> Any:
            sound = ~self.model.diverged[:, None, None, None]
            return lambda x: functions(x).where(sound, 0)

        return View(
            candidates=candidates,
            labelled=Rows(self.inputs.pool, self.known),
            targets=self._targets,
            classes=self.inputs.classes,
            draw=lambda draws: shown(self.model.draw(draws)),
            embed=lambda x: self.model.embed(x).where(~self.model.diverged[:, None, None], 0),
            noise=self.model.noise.where(~self.model.diverged, 1),
            uniform=self._streams["acquisition"].uniform,
        )

    def _candidates(self, mask: Tensor, count: int) -> Int64[Tensor, "R C"]:
        """Returns the rows that the acquisition looks at, in their order."""
        rows = rows_of(mask, "rows that may be queried")
        wanted = self.spec.candidates
        if wanted is None or wanted >= rows.shape[1]:
            return rows
        keys = self._streams["candidates"].uniform(rows.shape[1])
        chosen = keys.argsort(dim=1, stable=True)[:, : max(wanted, count)].sort(1).values
        return rows.gather(1, chosen)

    def _targets(self, source: Literal["pool", "test"], count: int) -> Rows:
        pool = self.inputs.pool if source == "pool" else self.inputs.test
        return Rows(pool, self._streams["targets"].integers(len(pool), count))

    def reference(self, labels: Tensor) -> Model:
        """Returns a model of the same kind, trained from scratch on the labels [R, N] of the whole pool."""
        task, steps = self.model.task, self.spec.training.full_steps
        optimizer, usual = task.optimizer, max(task.schedule.gradient_steps, 1)
        if optimizer.decay_steps:  # falls as it does in a training of the usual length
            optimizer = replace(optimizer, decay_steps=max(optimizer.decay_steps * steps // usual, 1))
        schedule = replace(task.schedule, gradient_steps=steps)
        model = _model(self.spec, replace(task, schedule=schedule, optimizer=optimizer))
        model.fit(self.inputs.pool.expand(len(labels), -1, -1), labels.double(), self._noise.standardised)
        model.guard(model.draw(2)(self.inputs.pool[self.known]))
        return model


def _model(spec: LearnerSpec, task: Task) -> Model:
    return Model(spec.posterior, task, rows_at_once=AT_ONCE // PREDICTIVE_DRAWS)
