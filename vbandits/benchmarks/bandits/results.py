"""What a bandit run left, read back: its records, and the summary that every report shows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.digest import SCORES, Digest, digest
from vbandits.experiment.results import Place, StoredResults, estimated
from vbandits.metrics import calibration
from vbandits.report.comparison import Measure
from vbandits.report.statistics import mean_ratio

BASELINE = "uniform"
"""Label of the agent that relative regret is a percentage of."""


@dataclass(frozen=True, repr=False)
class Results(StoredResults):
    """The results of a bandit experiment.

    Attributes:
        jobs: one marker per job, finished or failed: environment, agent, seeds, status, reason, failures, seconds.
        records: one row per seed and recorded step: environment, agent, seed, step, action, reward, regret,
            cumulative_reward, cumulative_regret, nll, crps, pit, brier; NaN where a value does not exist.
    """

    benchmark: ClassVar = "bandits"
    shown: ClassVar = ("environment", "agent", "seeds", "failures", "relative_regret", "reward", "nll")
    seconds: ClassVar = {"seconds": "agent", "environment_seconds": "environment", "scoring_seconds": "scoring"}
    losses: ClassVar = ("cumulative_regret", "-reward")  # by reward where there is no regret
    headline: ClassVar = "relative_regret"

    def summary(self) -> pd.DataFrame:
        """Returns one row per environment and agent, the environments in the experiment's order, the best agent first.

        Columns: environment, agent, seeds (with results), failures (seeds that diverged or whose job failed), steps;
        cumulative_regret and relative_regret (percent of the uniform agent's), each with `_low` and `_high`, the 95%
        interval of the mean over seeds; late_regret (mean regret per decision of the last fifth of a run),
        simple_regret (of the greedy arm on held-out inputs, at the end); reward (mean per decision); nll, nll_median,
        nll_trimmed, crps, brier, coverage_50, coverage_90, coverage_95 of the prequential predictions (brier is empty
        for rewards other than 0 and 1); seconds of the agent, environment_seconds, scoring_seconds, and memory_mb, the
        largest of the process.
        """
        return super().summary()

    def digest(self, problem: str, method: str) -> Digest | None:
        """Returns what reports need of the records of an agent in an environment, None where there are none."""
        place = (problem, method)
        if place in self.parts and place not in self._digests:
            self._digests[place] = digest(self.parts[place])
        return self._digests.get(place)

    @cached_property
    def _digests(self) -> dict[Place, Digest]:
        return {}

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns what agents are compared by, by seed: the cumulative regret, or the reward with its sign turned."""
        own = self.digest(problem, method)
        if own is None:
            return pd.Series(dtype=float)
        return -own.mean_reward if column == "reward" else own.final_regret

    @cached_property
    def regretful(self) -> bool:
        """Whether relative regret is known in any environment; elsewhere agents are compared by reward."""
        uniform = [self.loss(label, BASELINE, "cumulative_regret") for label in self.labels("environment")]
        return any(len(own) and own.mean() > 0 for own in uniform)

    @property
    def baseline(self) -> str:
        """The uniform agent."""
        return BASELINE

    @property
    def compared_by(self) -> Measure:
        """Relative regret, or where no environment tells regret the reward gained over the uniform agent's."""
        if self.regretful:
            signed = any(self._signed(label) for label in self.labels("environment"))
            bounds = (-np.inf if signed else 0.0, np.inf)
            return Measure("relative regret", "% of uniform", bounds=bounds, chance=100.0)
        return Measure("gain in reward", "standard deviations of uniform's", sign=-1.0, chance=0.0)

    def _signed(self, problem: str) -> bool:
        """Returns whether regret may fall in an environment, as it is measured with noise."""
        digests = (self.digest(problem, agent) for agent in self.labels("agent"))
        return any(own.signed for own in digests if own is not None)

    def headline_loss(self, problem: str, method: str) -> pd.Series:
        """Returns the relative regret, as each seed has its part in the ratio; without seeds where there is none."""
        if not self.regretful:
            return self._gain(problem, method)
        own, uniform = (self.loss(problem, name, "cumulative_regret") for name in (method, BASELINE))
        return 100 * mean_ratio([(own, uniform)]) if len(own) and uniform.mean() > 0 else pd.Series(dtype=float)

    def runs(self, problem: str, method: str) -> pd.Series:
        """Returns the regret of each run in percent of the uniform agent's mean over the same seeds, so that the mean
        over runs is the relative regret."""
        if not self.regretful:
            return self._gain(problem, method)
        own, uniform = (self.loss(problem, name, "cumulative_regret") for name in (method, BASELINE))
        return 100 * own / uniform[uniform.index.isin(own.index)].mean()

    def _gain(self, problem: str, method: str) -> pd.Series:
        """Returns what the uniform agent's mean reward is above a run's, in standard deviations of single rewards."""
        own, uniform = self.digest(problem, method), self.digest(problem, BASELINE)
        if own is None or uniform is None or not uniform.deviation > 0:
            return pd.Series(dtype=float)
        return (uniform.mean_reward.mean() - own.mean_reward) / uniform.deviation

    def unknown(self, problem: str) -> str:
        """Returns why agents are not compared in an environment."""
        known = any(place[0] == problem for place in self.parts)
        if known and (problem, BASELINE) not in self.parts:
            return "the uniform agent, by which regret is measured, has no results there"
        return "no regret is known there" if known and self.regretful else super().unknown(problem)

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns regret, reward and scores of predictions; NaN where they are not known."""
        row = _measures(self.digest(problem, method), self.digest(problem, BASELINE))
        return row | {"simple_regret": self.held_out_end(problem, method, "greedy_regret")}

    def held_out_end(self, problem: str, method: str, column: str) -> float:
        """Returns what was found on held-out inputs at the end of runs, the mean over seeds; NaN if it is unknown."""
        place = (problem, method)
        if place not in self._ends and place in self.held_out:
            found = self.held_out[place]
            last: Any = found[found["step"] == found["step"].max()]
            self._ends[place] = last.select_dtypes("number").mean().to_dict()
        return float(self._ends.get(place, {}).get(column, np.nan))

    @cached_property
    def _ends(self) -> dict[Place, dict[str, float]]:
        return {}


COVERAGES = tuple(f"coverage_{100 * level:.0f}" for level in calibration.LEVELS)


def _measures(own: Digest | None, uniform: Digest | None) -> dict[str, float]:
    nothing = np.array([])
    row = estimated("cumulative_regret", nothing) | estimated("relative_regret", nothing)
    row |= dict.fromkeys(("late_regret", "reward", "nll", "nll_median", "nll_trimmed", *SCORES[1:], *COVERAGES), np.nan)
    if own is None:
        return row
    least = -np.inf if own.signed else 0.0
    row |= estimated("cumulative_regret", own.final_regret.to_numpy(), low=least)
    if uniform is not None:
        both = pd.concat([own.final_regret, uniform.final_regret], axis=1, join="inner").to_numpy()
        if len(both) and np.isfinite(both).all() and both[:, 1].mean() > 0:
            row |= {name: 100 * value for name, value in estimated("relative_regret", *both.T, low=least).items()}
    row |= {"late_regret": own.late.mean(), "reward": own.mean_reward.to_numpy().mean()}
    return row | {name: _known_mean(values) for name, values in own.scores.items()}


def _known_mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan
