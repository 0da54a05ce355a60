"""A learner of a stream: rows come one at a time, and it says of each whether its label is worth its cost."""

import math
from collections import deque
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vbandits.agents.acquisition import PosteriorSampling
from vbandits.agents.acquisition.base import Rows, Scored, View
from vbandits.agents.learner import Inputs, Learner, LearnerSpec, standardiser
from vbandits.posteriors.common import PREDICTIVE_DRAWS
from vbandits.streams import Stream

WINDOW = 100
"""Rows that came last, among whose scores a row's own is ranked."""
SKIP = 0


class StreamLearner:
    """Learns from one stream. It knows the rows that have come, and the labels that it has bought.

    A label is asked for where the row's score is among the largest of the last rows', of as many as the budget lasts
    for: a share of labels left / rows left, equals being told by chance. With posterior sampling and a cost of mistakes
    there is no such share: one function is drawn from the posterior, and what it finds cheapest is done, to predict the
    likeliest class or to ask (Thompson, 1933).

    Attributes:
        learner: of the rows that have come.
    """

    def __init__(self, spec: LearnerSpec, seed: int, environment: Any, device: str = "cpu") -> None:
        """Takes a stream with one sub-environment."""
        self._steps, self._predict, self._query = environment.steps, environment.predict, environment.query
        self._cost, self._mistake = (getattr(environment, name, 1.0) for name in ("cost", "mistake"))
        self._test: Tensor = environment.test_features
        image = environment.image
        kind = torch.float64 if self._test.dtype == torch.float64 else torch.float32
        self._rows = torch.empty(self._steps, self._test.shape[1], dtype=kind, device=device)
        self._ready = torch.empty_like(self._rows, dtype=torch.float32)  # the same, standardised
        self._seen = 0
        self._standard = standardiser(self._test, image, torch.float32)  # until rows have come
        self._inputs = Inputs(self._rows[:0], self._standard(self._test), environment.classes, image)
        self.learner = Learner(spec, (seed,), self._inputs, device)
        assert isinstance(self.learner.acquisition, Scored)
        self._acquisition = self.learner.acquisition
        self._scores: deque[float] = deque(maxlen=WINDOW)
        self._chance = Stream((seed,), "ask")

    def decide(self, row: Tensor, left: int) -> int:
        """Returns the action for the row [D] that has come, given how many labels can still be bought."""
        self._rows[self._seen], self._ready[self._seen] = row, self._standard(row)
        self._seen += 1
        self.learner.inputs = replace(self.learner.inputs, pool=self._ready[: self._seen])
        chance = float(self._chance.uniform(1))
        known = self.learner.known.shape[1]
        if left != 0 and (known < self.learner.spec.training.first or not self.learner.model.trained):
            return self._query
        if not self.learner.model.trained:
            return SKIP
        if self._predict and isinstance(self._acquisition, PosteriorSampling):
            return self._cheapest(left != 0)
        if left != 0 and self._wanted(chance, left):
            return self._query
        return int(self._probabilities(mean=True).argmax()) if self._predict else SKIP

    def add_label(self, label: float) -> None:
        """Takes the label of the last row; it is learned from at the next `fit`."""
        row = torch.tensor([[self._seen - 1]], device=self._rows.device)
        self.learner.add_labels(row, torch.tensor([[label]], dtype=torch.float64, device=self._rows.device))

    def fit(self) -> None:
        """Trains on all labels that are known, rows being standardised by all that have come."""
        seen = self._rows[: self._seen]
        self._standard = standardiser(seen, self._inputs.image, torch.float32)
        self._ready[: self._seen] = self._standard(seen)
        self.learner.inputs = replace(self._inputs, pool=self._ready[: self._seen], test=self._standard(self._test))
        self.learner.fit()

    def _view(self) -> View:
        here = torch.tensor([[self._seen - 1]], device=self._rows.device)
        return self.learner.view(Rows(self.learner.inputs.pool, here))

    def _wanted(self, chance: float, left: int) -> bool:
        """Says whether the row's score is among the largest of the last ones."""
        score = float(self._acquisition.score(self._view()))
        own = -math.inf if math.isnan(score) else score
        self._scores.append(own)
        larger = sum(score > own for score in self._scores)
        equal = sum(score == own for score in self._scores)
        rows = self._steps - self._seen + 1
        return (larger + chance * equal) / len(self._scores) < left / rows

    def _cheapest(self, may_ask: bool) -> int:
        """Returns what one draw finds cheapest: the likeliest class, or to ask."""
        probabilities = self._probabilities(mean=False)
        if may_ask and self._cost < self._mistake * (1 - float(probabilities.max())):
            return self._query
        return int(probabilities.argmax())

    def _probabilities(self, mean: bool) -> Tensor:
        """Returns the probabilities of the row's classes [K], of the mean of many draws or of one."""
        view = self._view()
        draws = PREDICTIVE_DRAWS if mean else 1
        values = next(view.values(view.draw(draws), view.candidates, draws))  # [1, S, 1, K]
        return values.exp().mean(1)[0, 0]
