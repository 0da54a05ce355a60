"""A rule of your own: play the arm with the highest quantile of its draws, a bound without a formula for the spread.

A rule gets draws of the values of all arms [R, S, A], one row of replicas for each seed. Run it: python own_rule.py
"""

from dataclasses import dataclass
from typing import ClassVar

import vbandits
from vbandits.posteriors.ibvi_limit import IBVILimit


@dataclass(frozen=True)
class HighestQuantile:
    """Plays the arm whose `quantile` over 20 draws is the largest; an absent arm's draws are all -inf."""

    quantile: float = 0.9
    draws: ClassVar[int] = 20

    def choose(self, values, random):
        """Returns an arm [R]; `random` has two uniform numbers of each seed, for rules that need them."""
        ordered = values.sort(dim=1).values
        return ordered[:, round(self.quantile * (self.draws - 1))].argmax(1)


if __name__ == "__main__":
    agents = [
        vbandits.AgentSpec(f"quantile {quantile}", IBVILimit(), HighestQuantile(quantile))
        for quantile in (0.5, 0.9, 1.0)
    ]
    results = vbandits.run(environments=["vbandits/Wheel-v0"], agents=agents, seeds=4, steps=300, workers=1)
    print(results.summary()[["agent", "relative_regret", "late_regret"]])
