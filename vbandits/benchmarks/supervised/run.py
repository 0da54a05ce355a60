"""One job of a supervised experiment: a method is trained on a dataset and evaluated, a block of seeds in lockstep."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import compress

import numpy as np
import pandas as pd
import torch
from scipy import optimize
from torch import Tensor

from vbandits.agents.model import Model
from vbandits.benchmarks.supervised.config import MethodSpec
from vbandits.benchmarks.supervised.results import AUROC, bin_column
from vbandits.data.splits import Split
from vbandits.experiment.benchmark import Job, Outcome, Progress
from vbandits.experiment.clock import Clock
from vbandits.likelihoods import Categorical
from vbandits.metrics import class_calibration, classification
from vbandits.networks.images import with_image
from vbandits.predictive import Classes
from vbandits.types import Schedule, Task

CHUNK = 50
"""Most gradient steps between two reports of progress."""
PIXELS = 80_000
"""Pixels that are predicted at a time. Their number must not depend on the number of seeds (law 1)."""
COLDEST, HOTTEST = math.log(0.02), math.log(50.0)
"""Range of the logarithm of a fitted temperature."""


def run_job(job: Job, progress: Progress = lambda step: None) -> Outcome:
    """Trains on the training rows, fits the temperature on validation rows, and predicts every setting once."""
    clock = Clock("training", "prediction")
    split = job.problem.load()
    with clock.of("training"):
        learner = Learner(job.method, split, job.seeds, job.steps, job.options["batch_size"], job.device)
        learner.train(split, progress)
    with clock.of("prediction"):
        if job.method.temperature == "fit":
            learner.fit_temperature(split)
        records = _records(learner, split, lambda: progress(job.steps))
    diverged = compress(job.seeds, learner.model.diverged.tolist())
    return Outcome(records, tuple(diverged), clock.seconds)


class Learner:
    """A method on a dataset, R seeds at once.

    Attributes:
        model: of the classes. A seed that has once predicted anything that is not finite predicts all classes alike
            from then on: it counts as a failure and stays in the average.
        temperature: that the logits of every draw are divided by [R].
    """

    def __init__(
        self, method: MethodSpec, split: Split, seeds: tuple[int, ...], steps: int, batch_size: int, device: str
    ) -> None:
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
            optimizer=method.optimizer,
            device=torch.device(device),
        )
        self.model = Model(method.posterior, task, limit=math.inf, rows_at_once=max(1, PIXELS // features))
        self._split, self._steps = split, steps
        given = 1.0 if method.temperature == "fit" else method.temperature
        self.temperature = np.full(len(seeds), given)

    def train(self, split: Split, progress: Progress) -> None:
        """Takes all gradient steps."""
        task, x = self.model.task, self._inputs(split.train[0])
        labels = torch.as_tensor(split.train[1], device=task.device).expand(len(task.seeds), -1)  # [R, N], one copy
        for done in range(0, self._steps, task.schedule.gradient_steps):
            self.model.fit(x, labels)
            progress(done + task.schedule.gradient_steps)
        if task.device.type == "cuda":
            torch.cuda.synchronize()  # so that its seconds are counted as training

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
        task, parts = self.model.task, []
        temperature = torch.as_tensor(self.temperature, dtype=task.dtype, device=task.device)
        for predictive in self.model.predictions(self._blocks(x)):
            found = replace(predictive, temperature=temperature).log_probabilities().double()
            self.model.guard(found)
            parts.append(found.cpu().numpy())
        found = np.concatenate(parts, 1)
        found[self.model.diverged.cpu().numpy()] = -math.log(found.shape[2])
        return found

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


def _records(learner: Learner, split: Split, progress: Callable[[], None]) -> pd.DataFrame:
    """Returns one row per seed and setting."""
    out_of_distribution = {name: np.exp(learner.predict(x)) for name, x in split.out_of_distribution.items()}
    frames = []
    for corruption, severity, x, y in split.settings():
        names = {"seed": learner.model.task.seeds, "corruption": corruption, "severity": severity}
        frames.append(pd.DataFrame(names | _scores(np.exp(learner.predict(x)), y, out_of_distribution)))
        progress()
    return pd.concat(frames, ignore_index=True).assign(temperature=np.tile(learner.temperature, len(frames)))


def _scores(
    probabilities: np.ndarray, y: np.ndarray, out_of_distribution: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns what is measured by seed, each [R]."""
    scores = {
        "error": classification.error(probabilities, y),
        "nll": classification.negative_log_likelihood(probabilities, y),
        "ece": class_calibration.expected_calibration_error(probabilities, y),
        "brier": classification.brier(probabilities, y),
    }
    for name, outside in out_of_distribution.items():
        scores[f"{AUROC}{name}"] = classification.out_of_distribution_auroc(probabilities, outside)
    for name, values in class_calibration.reliability(probabilities, y)._asdict().items():  # [R, B]
        scores |= {bin_column(name, bin): column for bin, column in enumerate(values.T, 1)}
    return scores
