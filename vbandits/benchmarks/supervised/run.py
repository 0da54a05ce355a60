"""One cell of a supervised experiment: a method is trained on a dataset and judged, a block of seeds in lockstep."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import optimize
from torch import Tensor

from vbandits.benchmarks.supervised.experiment import MethodSpec, SupervisedCell
from vbandits.benchmarks.supervised.results import AUROC, bin_column
from vbandits.data.splits import Split
from vbandits.experiment.benchmark import Outcome, Progress
from vbandits.experiment.clock import Clock
from vbandits.likelihoods import Categorical
from vbandits.metrics import classification
from vbandits.networks.images import with_image
from vbandits.predictive import Classes
from vbandits.types import Data, Schedule, Task

CHUNK = 50
"""Most gradient steps between two reports of progress."""
PIXELS = 80_000
"""Pixels that are predicted at a time. Their number must not depend on the number of seeds (law 1)."""
COLDEST, HOTTEST = math.log(0.02), math.log(50.0)
"""Range of the logarithm of a fitted temperature."""


def run_cell(cell: SupervisedCell, progress: Progress = lambda step: None) -> Outcome:
    """Trains on the training rows, fits the temperature on validation rows, and predicts every setting once."""
    clock = Clock("training", "prediction")
    split = cell.dataset.load()
    with clock.of("training"):
        learner = Learner(cell.method, split, cell.seeds, cell.steps, cell.batch_size, cell.device)
        learner.train(split, progress)
    with clock.of("prediction"):
        if cell.method.temperature == "fit":
            learner.fit_temperature(split)
        records = _records(learner, split, lambda: progress(cell.steps))
    return Outcome(records, int(learner.failed.sum()), clock.seconds)


class Learner:
    """A method on a dataset, R seeds at once.

    Attributes:
        temperature: that the logits of every draw are divided by [R].
        failed: whether a seed has predicted anything that is not finite [R]; from then on it predicts all classes
            alike, as it counts as a failure and stays in the average.
    """

    def __init__(
        self, method: MethodSpec, split: Split, seeds: tuple[int, ...], steps: int, batch_size: int, device: str
    ) -> None:
        features = math.prod(split.shape)
        network = with_image(method.network, split.shape)
        chunk = next(size for size in range(min(CHUNK, steps), 0, -1) if steps % size == 0)
        self.task = Task(
            seeds=seeds,
            features=features,
            outputs=split.classes,
            network=network.build(features, split.classes),
            likelihood=Categorical(),
            schedule=Schedule(every=1, gradient_steps=chunk, batch_size=batch_size),
            optimizer=method.optimizer,
            device=torch.device(device),
        )
        self._posterior = method.posterior
        self._split, self._steps = split, steps
        self._rows = max(1, PIXELS // features)
        self._state = self._posterior.init(self.task)
        given = 1.0 if method.temperature == "fit" else method.temperature
        self.temperature = np.full(len(seeds), given)
        self.failed = np.zeros(len(seeds), dtype=bool)

    def train(self, split: Split, progress: Progress) -> None:
        """Takes all gradient steps."""
        x, labels = split.train
        output = torch.as_tensor(labels, device=self.task.device).expand(len(self.task.seeds), -1)  # [R, N], one copy
        data = Data.of(self._inputs(x), output, torch.zeros(1, device=self.task.device).expand(output.shape))
        done = 0
        while done < self._steps:
            self._posterior.update(self._state, data)
            done += self.task.schedule.gradient_steps
            progress(done)
        if self.task.device.type == "cuda":
            torch.cuda.synchronize()  # so that its seconds are counted as training

    def fit_temperature(self, split: Split) -> None:
        """Chooses each seed's temperature: the one of least NLL of the whole mixture on the validation rows."""
        x, labels = split.validation
        logits = torch.cat([predictive.logits.cpu() for predictive in self._predictives(x)], 2)  # [R, S, n, K]
        for lane in range(len(logits)):
            if torch.isfinite(logits[lane]).all():
                self.temperature[lane] = fitted_temperature(logits[lane], torch.as_tensor(labels))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns the log probability of each class for pixels `x` [N, D]: [R, N, K], float64."""
        temperature = torch.as_tensor(self.temperature, dtype=self.task.dtype, device=self.task.device)
        parts = [
            replace(predictive, temperature=temperature).log_probabilities().double().cpu().numpy()
            for predictive in self._predictives(x)
        ]
        found = np.concatenate(parts, 1)
        self.failed |= ~np.isfinite(found).all((1, 2))
        found[self.failed] = -math.log(found.shape[2])
        return found

    def _predictives(self, x: np.ndarray) -> Iterator[Classes]:
        """Yields the predictive distribution of a number of rows at a time, so that memory stays bounded."""
        noise = torch.ones(len(self.task.seeds), dtype=self.task.dtype, device=self.task.device)
        for start in range(0, len(x), self._rows):
            part = self._inputs(x[start : start + self._rows])
            output = torch.zeros(part.shape[:2], dtype=torch.long, device=self.task.device)
            with torch.no_grad():
                predictive: Any = self._posterior.predict(self._state, part, output, noise)
            if not isinstance(predictive, Classes):
                raise ValueError(
                    f"expected {type(self._posterior).__name__}.predict to return vbandits.predictive.Classes for a "
                    f"task with classes, got {type(predictive).__name__}: it cannot learn to classify"
                )
            yield predictive

    def _inputs(self, x: np.ndarray) -> Tensor:
        """Returns standardised pixels [R, N, D], in memory once for all seeds."""
        values = torch.as_tensor(self._split.standardised(x), dtype=self.task.dtype, device=self.task.device)
        return values.expand(len(self.task.seeds), -1, -1)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """Returns the temperature of least NLL of a mixture with logits [S, N, K] at labels [N]."""

    def loss(log_temperature: float) -> float:
        log_probabilities = Classes(logits[None], math.exp(log_temperature)).log_probabilities()[0]
        return -float(log_probabilities.gather(1, labels[:, None]).double().mean())

    found = optimize.minimize_scalar(loss, bounds=(COLDEST, HOTTEST), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))  # pyright: ignore[reportAttributeAccessIssue]: scipy's types do not know it


def _records(learner: Learner, split: Split, progress: Callable[[], None]) -> pd.DataFrame:
    """Returns one row per seed and setting."""
    foreign = {name: np.exp(learner.predict(x)) for name, x in split.foreign.items()}
    frames = []
    for corruption, severity, x, y in split.settings():
        names = {"seed": learner.task.seeds, "corruption": corruption, "severity": severity}
        frames.append(pd.DataFrame(names | _scores(np.exp(learner.predict(x)), y, foreign)))
        progress()
    return pd.concat(frames, ignore_index=True).assign(temperature=np.tile(learner.temperature, len(frames)))


def _scores(probabilities: np.ndarray, y: np.ndarray, foreign: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what is measured by seed, each [R]."""
    scores = {
        "error": classification.error(probabilities, y),
        "nll": classification.negative_log_likelihood(probabilities, y),
        "ece": classification.expected_calibration_error(probabilities, y),
        "brier": classification.brier(probabilities, y),
    }
    for name, outside in foreign.items():
        scores[f"{AUROC}{name}"] = classification.out_of_distribution_auroc(probabilities, outside)
    for name, values in classification.reliability(probabilities, y)._asdict().items():  # [R, B]
        scores |= {bin_column(name, bin): column for bin, column in enumerate(values.T, 1)}
    return scores
