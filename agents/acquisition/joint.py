"""Information of the labels of a whole batch about the function."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.agents.acquisition import base
from vbandits.agents.acquisition.base import CLASSES, Rows, View, joined
from vbandits.agents.acquisition.batches import BatchAcquisition, one_by_one, settled
from vbandits.agents.acquisition.scores import entropy, surprise
from vbandits.types import Functions

KEPT = 2**30
"""Bytes of draws' probabilities that are kept from label to label; more of them are evaluated anew for each, with the
same result."""

Blocks = Iterable[Tensor]
"""Probabilities of the classes under each draw [R, S, n, K], a number of candidates at a time, fewer in the last."""


@dataclass(frozen=True)
class BatchBALD(BatchAcquisition):
    """The batch whose labels together give the most information about the function, label by label (Kirsch, van
    Amersfoort & Gal, 2019, "BatchBALD", algorithm 1).

    By the chain rule the next label adds what it tells beyond the labels of the batch so far,
    I[y; f | y_1..j] = sum over outcomes of P(y_1..j) H[y | y_1..j] - mean over draws of H[y | f].
    The sum runs over all outcomes while they are few, then over outcomes that are drawn from the draws' joint
    predictive distribution, the same ones for all candidates: up to a constant the paper's estimator (its section 3.3).

    Attributes:
        draws: functions of the posterior.
        exact: the most joint outcomes of the labels chosen so far that are all enumerated.
        samples: joint outcomes that are drawn where there are more.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({CLASSES})
    draws: Annotated[int, Field(ge=1)] = 100
    exact: Annotated[int, Field(ge=1)] = 1000
    samples: Annotated[int, Field(ge=1)] = 500

    def _places(self, view: View, count: int) -> Int64[Tensor, "R b"]:
        functions = view.draw(self.draws)
        blocks = _probabilities(view, functions, self.draws)
        outcomes = Outcomes.none(len(view.candidates.index), self.draws, view.candidates.index.device)
        certain = joined((entropy(p).mean(1) for p in blocks()), 1)  # H[y | f]
        chosen: list[Tensor] = []

        def gain(last: Tensor | None) -> Tensor:
            nonlocal outcomes
            if last is not None:
                row = Rows(view.candidates.pool, view.candidates.index.gather(1, last.unsqueeze(1)))
                chosen.append(joined(view.values(functions, row, self.draws)).exp().squeeze(2).double())
                outcomes = self._after(outcomes, chosen, view)
            return settled(expected_entropy(blocks(), outcomes) - certain)

        return one_by_one(view, count, gain)

    def _after(self, outcomes: "Outcomes", chosen: list[Tensor], view: View) -> "Outcomes":
        """Returns outcomes with the label that was chosen last."""
        if view.classes ** len(chosen) <= self.exact:
            return outcomes.enumerated(chosen[-1])
        fresh = chosen[-1:]
        if outcomes.origin is None:
            outcomes, fresh = Outcomes.sampled(self.samples, self.draws, view.uniform(1)), chosen
        for p in fresh:
            outcomes = outcomes.drawn(p, view.uniform(self.samples))
        return outcomes


@dataclass(frozen=True)
class Outcomes:
    """Joint outcomes of the labels chosen so far.

    Attributes:
        log_p: log probability of each under each draw [R, J, S].
        weight: share of each, in all of them 1 [R, J].
        origin: where outcomes are sampled, the draw from which each comes [R, J].
    """

    log_p: Float[Tensor, "R J S"]
    weight: Float[Tensor, "R J"]
    origin: Int64[Tensor, "R J"] | None = None

    @classmethod
    def none(cls, replicas: int, draws: int, device: torch.device | str = "cpu") -> "Outcomes":
        """Returns the one outcome of no labels."""
        log_p = torch.zeros(replicas, 1, draws, dtype=torch.float64, device=device)
        return cls(log_p, torch.ones_like(log_p[:, :, 0]))

    @classmethod
    def sampled(cls, samples: int, draws: int, uniform: Float[Tensor, "R 1"]) -> "Outcomes":
        """Returns so many outcomes of no labels, whose labels will be those of draws that are spread evenly."""
        place = (torch.arange(samples, device=uniform.device) + uniform) * draws / samples
        origin = place.long().clamp_max(draws - 1)
        log_p = uniform.new_zeros(len(uniform), samples, draws)
        return cls(log_p, torch.full_like(log_p[:, :, 0], 1 / samples), origin)

    def enumerated(self, p: Float[Tensor, "R S K"]) -> "Outcomes":
        """Returns every outcome with each class of one more label."""
        log_p = (self.log_p.unsqueeze(2) + p.mT.log().unsqueeze(1)).flatten(1, 2)  # [R, J K, S]
        return Outcomes(log_p, log_p.exp().mean(2))

    def drawn(self, p: Float[Tensor, "R S K"], uniform: Float[Tensor, "R J"]) -> "Outcomes":
        """Returns every outcome with one more label, drawn from the probabilities under its origin."""
        assert self.origin is not None
        own = p.gather(1, self.origin.unsqueeze(2).expand(-1, -1, p.shape[2]))  # [R, J, K]
        label = (own.cumsum(2) <= uniform.unsqueeze(2)).sum(2).clamp_max(p.shape[2] - 1)
        log_p = p.log().gather(2, label.unsqueeze(1).expand(-1, p.shape[1], -1)).mT  # [R, J, S]
        return Outcomes(self.log_p + log_p, self.weight, self.origin)

    def posterior(self) -> Float[Tensor, "R J S"]:
        """Returns how probable each draw is after each outcome."""
        return (self.log_p - self.log_p.amax(2, keepdim=True).clamp_min(-1e300)).softmax(2).nan_to_num(nan=0.0)


def expected_entropy(blocks: Blocks, outcomes: Outcomes) -> Float[Tensor, "R C"]:
    """Returns the entropy of each row's label given the labels chosen, mean over their outcomes, in nats."""
    posterior = outcomes.posterior()
    found = []
    for p in blocks:
        flat, total = p.flatten(2), None  # [R, S, n K]
        size = max(1, base.VALUES // flat.shape[2])
        for part, weight in zip(posterior.to(p).split(size, 1), outcomes.weight.to(p).split(size, 1), strict=True):
            expected = weight.unsqueeze(1) @ surprise(part @ flat)  # [R, 1, n K]
            total = expected if total is None else total + expected
        assert total is not None
        found.append(total.unflatten(2, p.shape[2:]).sum(3).squeeze(1))
    return torch.cat(found, 1)


def _probabilities(view: View, functions: Functions, draws: int) -> Callable[[], Blocks]:
    """Returns what gives the probabilities under the same draws, a block of candidates at a time, again and again."""
    size = 4 * view.candidates.index.numel() * draws * view.classes

    def evaluated() -> Blocks:
        return (log_p.exp() for log_p in view.values(functions, view.candidates, draws))

    if size > KEPT:
        return evaluated
    kept = list(evaluated())
    return lambda: kept
