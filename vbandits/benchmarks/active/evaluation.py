"""How good a learner is, evaluated out of band: on the test set, and on the rows of the pool that it has not bought."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vbandits.agents.acquisition.base import Rows
from vbandits.agents.learner import Learner
from vbandits.agents.model import Model
from vbandits.benchmarks.active.results import POOL
from vbandits.metrics import calibration, class_calibration, classification, scores
from vbandits.streams import Stream

REMAINING = 500
"""Most rows of the remaining pool that a learner is evaluated on, by chance."""
LEVEL = 0.9
"""Of the predictive intervals whose coverage is measured."""
Scores = tuple[dict[str, np.ndarray], np.ndarray]
"""What is measured by name, each [R], and which replicas have diverged [R]."""


class Evaluator:
    """Knows the answers that learners do not. It looks on: nothing that it does changes a learner.

    Attributes:
        diverged: replicas that have diverged, or whose predictions were once not finite [R]: all of theirs is NaN.
    """

    not_saved: ClassVar = ("_test", "_pool", "_order")

    def __init__(self, learner: Learner, test: Tensor | np.ndarray, pool: Tensor | np.ndarray | None = None) -> None:
        """Takes the targets of the test set [M], and those of the pool [N] to evaluate on what remains of it."""
        self._learner, self._classes = learner, learner.inputs.classes
        self._test, self._pool = _array(test), None if pool is None else _array(pool)
        self.diverged = np.zeros(len(learner.known), dtype=bool)
        if self._pool is not None:
            chance = Stream(learner.model.task.seeds, "remaining", device=learner.inputs.pool.device)
            self._order = chance.uniform(len(self._pool)).argsort(dim=1, stable=True)  # [R, N]

    def measure(self, last: bool = False) -> dict[str, np.ndarray]:
        """Returns what is measured of the learner as it is now, by name, each [R]; at last ECE's null band too."""
        self.diverged |= self._learner.model.diverged.cpu().numpy()
        found, diverged = self._scores(self._learner.model, self._test_rows(), self._test, self.diverged, last)
        self.diverged |= diverged
        if self._pool is not None and len(remaining := self._remaining()):
            targets = self._pool[remaining.index.cpu().numpy()]
            own, diverged = self._scores(self._learner.model, remaining, targets, self.diverged)
            self.diverged |= diverged
            found |= {f"{POOL}{name}": values for name, values in own.items()}
        return found

    def full(self, model: Model) -> dict[str, np.ndarray]:
        """Returns the quality of another model on the test set, each [R]."""
        name = "accuracy" if self._classes else "rmse"
        found, _ = self._scores(model, self._test_rows(), self._test, model.diverged.cpu().numpy())
        return {f"full_{name}": found[name]}

    def _test_rows(self) -> Rows:
        test = self._learner.inputs.test
        return Rows(test, torch.arange(len(test), device=test.device).expand(len(self.diverged), -1))

    def _remaining(self) -> Rows:
        """Returns the first rows, in an order of chance, whose label is not known."""
        bought = torch.zeros(self._order.shape, dtype=torch.bool, device=self._order.device)
        bought = bought.scatter(1, self._learner.known, torch.ones_like(self._learner.known, dtype=torch.bool))
        left = ~bought.gather(1, self._order)
        rows = self._order[left].view(len(left), -1)[:, :REMAINING]
        return Rows(self._learner.inputs.pool, rows)

    def _scores(
        self, model: Model, rows: Rows, targets: np.ndarray, diverged: np.ndarray, last: bool = False
    ) -> Scores:
        blocks = model.predictions(rows.blocks)
        if self._classes:
            return _of_classes(blocks, targets, diverged, last)
        return _of_numbers(blocks, targets, diverged)


def _of_classes(blocks: Iterator[Any], targets: np.ndarray, diverged: np.ndarray, last: bool) -> Scores:
    """Returns scores [R] of predictions of classes; NaN of one that has diverged."""
    parts = [predictive.log_probabilities().double().exp().cpu().numpy() for predictive in blocks]
    probabilities = np.concatenate(parts, 1)
    diverged = diverged | np.logical_not(np.isfinite(probabilities).all((1, 2)))
    probabilities[diverged] = np.nan
    scored = {
        "accuracy": classification.accuracy(probabilities, targets),
        "nll": classification.negative_log_likelihood(probabilities, targets),
        "nll_median": classification.median_negative_log_likelihood(probabilities, targets),
        "brier": classification.brier(probabilities, targets),
        "ece": class_calibration.expected_calibration_error(probabilities, targets),
        "ece_debiased": class_calibration.debiased_calibration_error(probabilities, targets),
    }
    if last:
        scored |= class_calibration.null_band(probabilities).columns("ece")
    return scored, diverged


def _of_numbers(blocks: Iterator[Any], targets: np.ndarray, diverged: np.ndarray) -> Scores:
    """Returns scores [R] of predictions of numbers; NaN of one that has diverged."""
    y = np.broadcast_to(targets, (len(diverged), targets.shape[-1])).astype(float)
    parts, start = [], 0
    for predictive in blocks:
        size = predictive.mean().shape[1]
        parts.append(scores.of_predictive(predictive, y[:, start : start + size]))
        start += size
    found = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}
    diverged = diverged | np.any([np.logical_not(np.isfinite(values).all(1)) for values in found.values()], axis=0)
    found = {name: np.where(diverged[:, None], np.nan, values) for name, values in found.items()}
    scored = {
        "rmse": np.sqrt(np.square(found["mean"] - y).mean(1)),
        "nll": found["nll"].mean(1),
        "nll_median": np.median(found["nll"], 1),
        "crps": found["crps"].mean(1),
        "coverage_90": calibration.coverage(found["pit"], LEVEL),
    }
    return scored, diverged


def _array(targets: Tensor | np.ndarray) -> np.ndarray:
    return targets.cpu().numpy() if isinstance(targets, Tensor) else np.asarray(targets)
