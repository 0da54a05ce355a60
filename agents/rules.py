"""Decision rules: draws of the arms' values in, an arm out. They know nothing of networks."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from vbandits.types import Rule

UNAVAILABLE = float("-inf")
"""The value that a rule sees of an arm that is not available; there is at least one that is."""


@dataclass(frozen=True)
class Thompson:
    """Plays the best arm of one draw (Thompson, 1933).

    Attributes:
        temper: multiplies the draw's deviation from the mean function: less than 1 explores less than the posterior
            asks for (posterior reshaping: Chapelle and Li, "An Empirical Evaluation of Thompson Sampling", 2011).
    """

    temper: Annotated[float, Field(ge=0)] = 1.0
    draws: ClassVar[int] = 1

    @property
    def with_mean(self) -> bool:
        """Whether it looks at the mean function, too."""
        return self.temper != 1

    def choose(self, values: Float[Tensor, "R S A"], random: Float[Tensor, "R 2"]) -> Int64[Tensor, " R"]:
        """Returns the arm of the largest value."""
        draw = values[:, 0]
        if self.with_mean:
            mean = values[:, -1]
            draw = draw.where(draw == UNAVAILABLE, mean + self.temper * (draw - mean))
        return draw.argmax(1)


@dataclass(frozen=True)
class Greedy:
    """Plays the best arm of the mean function."""

    draws: ClassVar[int] = 0

    def choose(self, values: Float[Tensor, "R S A"], random: Float[Tensor, "R 2"]) -> Int64[Tensor, " R"]:
        """Returns the arm of the largest mean."""
        return values[:, 0].argmax(1)


@dataclass(frozen=True)
class EpsilonGreedy:
    """Plays a random arm with probability epsilon, else the best arm of the mean function.

    Attributes:
        epsilon: the probability.
    """

    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.01
    draws: ClassVar[int] = 0

    def probabilities(self, values: Float[Tensor, "R S A"]) -> Float[Tensor, "R A"]:
        """Returns how likely `choose` is to return each arm."""
        values = values[:, 0]
        there = (values != UNAVAILABLE).double()
        best = torch.nn.functional.one_hot(values.argmax(1), values.shape[1])
        return self.epsilon * there / there.sum(1, keepdim=True) + (1 - self.epsilon) * best

    def choose(self, values: Float[Tensor, "R S A"], random: Float[Tensor, "R 2"]) -> Int64[Tensor, " R"]:
        """Returns the arm of the largest mean, or any that is available."""
        values = values[:, 0]
        anything = pick(random[:, 1], values.shape[1], values != UNAVAILABLE)
        return torch.where(random[:, 0] < self.epsilon, anything, values.argmax(1))


@dataclass(frozen=True)
class Uniform:
    """Plays any arm: the baseline of every regret."""

    draws: ClassVar[int] = 0

    def probabilities(self, values: Float[Tensor, "R S A"]) -> Float[Tensor, "R A"]:
        """Returns how likely `choose` is to return each arm."""
        there = (values[:, 0] != UNAVAILABLE).double()
        return there / there.sum(1, keepdim=True)

    def choose(self, values: Float[Tensor, "R S A"], random: Float[Tensor, "R 2"]) -> Int64[Tensor, " R"]:
        """Returns any arm that is available."""
        return pick(random[:, 1], values.shape[2], values[:, 0] != UNAVAILABLE)


def asks_for_mean(rule: Rule) -> bool:
    """Whether a rule looks at the mean function, which is then the last of its S values; the others are draws."""
    return not rule.draws or getattr(rule, "with_mean", False)


def pick(random: Float[Tensor, " R"], arms: int, mask: Bool[Tensor, "R A"] | None = None) -> Int64[Tensor, " R"]:
    """Turns uniform numbers in [0, 1) into arms, all of them that a mask leaves equally likely."""
    if mask is None:
        return (random * arms).long().clamp_(max=arms - 1)
    count = mask.sum(1)
    place = (random * count).long().minimum(count - 1)  # among those available
    return (mask.cumsum(1) > place.unsqueeze(1)).int().argmax(1)
