"""One job of a supervised experiment: a method is trained on a dataset and evaluated, a block of seeds in lockstep."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import optimize
from torch import Tensor

from vbandits.agents import saving
from vbandits.agents.model import Model
from vbandits.benchmarks.supervised.config import MethodSpec
from vbandits.benchmarks.supervised.results import AUROC, COVERAGES, bin_column, risk_column
from vbandits.data.splits import Split
from vbandits.experiment.benchmark import UNHEARD, Job, Outcome, Progress
from vbandits.experiment.checkpoints import Checkpoints
from vbandits.experiment.clock import Clock
from vbandits.likelihoods import Categorical
from vbandits.metrics import class_calibration, classification
from vbandits.networks.images import with_image
from vbandits.predictive import Classes
from vbandits.state import put
from vbandits.types import Optimizer, Schedule, Task

CHUNK = 50
"""Most gradient steps between two reports of progress."""
PIXELS = 80_000
"""Pixels that are predicted at a time. Their number must not depend on the number of seeds (law 1)."""
COLDEST, HOTTEST = math.log(0.02), math.log(50.0)
"""Range of the logarithm of a fitted temperature."""

METRICS = {
    "error": classification.error,
    "nll": classification.negative_log_likelihood,
    "nll_median": classification.median_negative_log_likelihood,
    "nll_trimmed": classification.trimmed_negative_log_likelihood,
    "brier": classification.brier,
    "ece": class_calibration.expected_calibration_error,
    "ece_debiased": class_calibration.debiased_calibration_error,
    "smooth_ece": class_calibration.smooth_calibration_error,
    "aurc": classification.area_under_risk_coverage,
    "excess_aurc": classification.excess_area_under_risk_coverage,
}
"""Columns of the records that are one number of probabilities and labels."""


def run_job(job: Job, progress: Progress = UNHEARD, checkpoint: Path | None = None) -> Outcome:
    """Trains on the training rows, fits the temperature on validation rows, and predicts every setting once.

    Args:
        job: to run.
        progress: is told how many steps are taken.
        checkpoint: file that the training goes on from, if it is there, and is written now and then.
    """
    split, checkpoints = job.problem.load(), Checkpoints(job, checkpoint, saving.KNOWN)

    def made() -> Learner:
        return Learner(job.method, split, job.seeds, job.steps, job.options["batch_size"], job.device)

    learner = checkpoints.resumed(lambda state: put(made(), state, saving.KNOWN, job.device)) or made()
    learner.train(split, progress, checkpoints)
    with learner.clock.of("prediction"):
        if job.method.temperature == "fit":
            learner.fit_temperature(split)
        records = _records(learner, split, job.method.temperature == "fit", progress)
    diverged = compress(job.seeds, learner.model.diverged.tolist())
    return Outcome(records, tuple(diverged), learner.clock.seconds, notes=tuple(checkpoints.notes))


class Learner:
    """A method on a dataset, R seeds at once.

    Attributes:
        model: of the classes. What a seed predicts is NaN from where it has once predicted anything that is not finite.
        temperature: that the logits of every draw are divided by [R].
        step: gradient steps so far.
        clock: of where time goes.
    """

    not_saved: ClassVar = ("_split",)

    def __init__(
        self, method: MethodSpec, split: Split, seeds: tuple[int, ...], steps: int, batch_size: int, device: str
    ) -> None:
        self.step, self.clock = 0, Clock("training", "prediction")
        features = math.prod(split.shape)
        network = with_image(method.network, split.shape)
        chunk = next(size for size in range(min(CHUNK, steps), 0, -1) if steps % size == 0)
        task = Task(
            seeds=seeds,
            features=features,
            outputs=split.classes,
            network=network.build(features, split.classes),
            likelihood=Categorical(),
            schedule=Schedule(every=1, gradient_steps=chunk, batch_size=batch_size),
            optimizer=method.optimizer or Optimizer(),
            device=torch.device(device),
        )
        self.model = Model(method.posterior, task, limit=math.inf, rows_at_once=max(1, PIXELS // features))
        self._split, self._steps = split, steps
        given = 1.0 if method.temperature == "fit" else method.temperature
        self.temperature = np.full(len(seeds), given)

    def train(self, split: Split, progress: Progress, checkpoints: Checkpoints) -> None:
        """Takes the gradient steps that are left, and offers itself as a checkpoint now and then."""
        task, x = self.model.task, self._inputs(split.train[0])
        labels = torch.as_tensor(split.train[1], device=task.device).expand(len(task.seeds), -1)  # [R, N], one copy
        while self.step < self._steps:
            taken = self.step + task.schedule.gradient_steps
            with self.clock.of("training"):
                with progress.update(taken, lambda: self.model.diverged):
                    self.model.fit(x, labels)
                if task.device.type == "cuda":
                    torch.cuda.synchronize()  # so that its seconds are counted as training
            self.step = taken
            progress(taken)
            checkpoints.offer(self)

    def fit_temperature(self, split: Split) -> None:
        """Chooses each seed's temperature: the one of least NLL of the whole mixture on the validation rows."""
        x, labels = split.validation
        predictions = self.model.predictions(self._blocks(x))
        logits = torch.cat([predictive.logits.cpu() for predictive in predictions], 2)  # [R, S, n, K]
        for replica in range(len(logits)):
            if torch.isfinite(logits[replica]).all():
                self.temperature[replica] = fitted_temperature(logits[replica], torch.as_tensor(labels))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns the log probability of each class for pixels `x` [N, D]: [R, N, K], float64."""
        return self.predict_at(x, [self.temperature])[0]

    def predict_at(self, x: np.ndarray, temperatures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the log probabilities of the same draws at several temperatures, each [R]."""
        task, parts = self.model.task, []
        given = [torch.as_tensor(own, dtype=task.dtype, device=task.device) for own in temperatures]
        for predictive in self.model.predictions(self._blocks(x)):
            found = [replace(predictive, temperature=own).log_probabilities().double() for own in given]
            self.model.guard(*found)
            parts.append([own.cpu().numpy() for own in found])
        whole = [np.concatenate(own, 1) for own in zip(*parts, strict=True)]
        for own in whole:
            own[self.model.diverged.cpu().numpy()] = np.nan
        return whole

    def _blocks(self, x: np.ndarray) -> Callable[[int], Iterator[Tensor]]:
        """Returns what gives pixels [N, D] as inputs, so many rows at a time."""
        return lambda rows: (self._inputs(x[start : start + rows]) for start in range(0, len(x), rows))

    def _inputs(self, x: np.ndarray) -> Tensor:
        """Returns standardised pixels [R, N, D], in memory once for all seeds."""
        task = self.model.task
        values = torch.as_tensor(self._split.standardised(x), dtype=task.dtype, device=task.device)
        return values.expand(len(task.seeds), -1, -1)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """Returns the temperature of least NLL of a mixture with logits [S, N, K] at labels [N]."""

    def loss(log_temperature: float) -> float:
        log_probabilities = Classes(logits[None], math.exp(log_temperature)).log_probabilities()[0]
        return -float(log_probabilities.gather(1, labels[:, None]).double().mean())

    found = optimize.minimize_scalar(loss, bounds=(COLDEST, HOTTEST), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))  # pyright: ignore[reportAttributeAccessIssue]: scipy's types do not know it


def _records(learner: Learner, split: Split, fitted: bool, progress: Progress) -> pd.DataFrame:
    """Returns one row per seed and setting; what is told of them is the first, which is clean."""
    out_of_distribution = {name: np.exp(learner.predict(x)) for name, x in split.out_of_distribution.items()}
    temperatures = [learner.temperature, *([np.ones_like(learner.temperature)] if fitted else [])]
    frames = []
    for corruption, severity, x, y in split.settings():
        names = {"seed": learner.model.task.seeds, "corruption": corruption, "severity": severity}
        scaled, *unscaled = [np.exp(found) for found in learner.predict_at(x, temperatures)]
        before = classification.negative_log_likelihood(unscaled[0], y) if fitted else np.nan
        frames.append(pd.DataFrame(names | scores_of(scaled, y, out_of_distribution) | {"nll_unscaled": before}))
        progress.beat(partial(frames[0].to_dict, "list"))
    return pd.concat(frames, ignore_index=True).assign(temperature=np.tile(learner.temperature, len(frames)))


def scores_of(
    probabilities: np.ndarray, y: np.ndarray, out_of_distribution: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns what is measured of probabilities [R, N, K] at labels [N], by the name of its column, each [R]."""
    scores = {name: metric(probabilities, y) for name, metric in METRICS.items()}
    for name, parts in (
        ("nll", class_calibration.log_score_parts(probabilities, y)),
        ("brier", class_calibration.brier_parts(probabilities, y)),
    ):
        scores |= {f"{name}_{part}": values for part, values in parts._asdict().items()}
    scores |= class_calibration.null_band(probabilities).columns("ece")
    scores |= class_calibration.null_band(probabilities, smooth=True).columns("smooth_ece")
    for name, outside in out_of_distribution.items():
        scores[f"{AUROC}{name}"] = classification.out_of_distribution_auroc(probabilities, outside)
    for name, values in class_calibration.reliability(probabilities, y)._asdict().items():  # [R, B]
        scores |= {bin_column(name, bin): column for bin, column in enumerate(values.T, 1)}
    risk, rows = classification.risk_coverage(probabilities, y), probabilities.shape[1]
    for percent in COVERAGES:
        scores[risk_column(percent)] = risk[:, max(round(percent / 100 * rows), 1) - 1]
    return scores
