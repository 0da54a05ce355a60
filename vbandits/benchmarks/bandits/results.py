"""What a bandit run left, read back: its records, and the summary that every report shows."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vbandits.experiment.results import StoredResults, estimated
from vbandits.metrics import calibration
from vbandits.metrics.regret import simple_regret
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
        interval of the mean over seeds; simple_regret (mean regret of the last 500 decisions); reward (mean per
        decision); nll, crps, brier, coverage_50, coverage_90, coverage_95 of the prequential predictions (coverage is
        empty for rewards in {0, 1}, brier for all others); seconds of the agent, environment_seconds,
        scoring_seconds, and memory_mb, the largest of the process.
        """
        return super().summary()

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        """Returns what agents are compared by, by seed: the cumulative regret, or the reward with its sign turned."""
        part = self.parts[problem, method]
        return -mean_reward(part) if column == "reward" else final(part, "cumulative_regret")

    def headline_loss(self, problem: str, method: str) -> pd.Series:
        """Returns the relative regret, as each seed has its part in the ratio; without seeds where there is none."""
        if (problem, BASELINE) not in self.parts:
            return pd.Series(dtype=float)
        own, uniform = (final(self.parts[problem, name], "cumulative_regret") for name in (method, BASELINE))
        return 100 * mean_ratio([(own, uniform)]) if uniform.mean() > 0 else pd.Series(dtype=float)

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        """Returns regret, reward and scores of predictions; NaN where they are not known."""
        return _measures(self.parts.get((problem, method)), self.parts.get((problem, BASELINE)))


def final(records: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column at the last step, by seed."""
    last: Any = records[records["step"] == records["step"].max()]
    return pd.Series(last[column].to_numpy(), index=last["seed"].to_numpy()).sort_index()


def mean_reward(records: pd.DataFrame) -> pd.Series:
    """Returns the mean reward per decision, by seed."""
    return final(records, "cumulative_reward") / (records["step"].max() + 1)


def _measures(records: pd.DataFrame | None, uniform: pd.DataFrame | None) -> dict[str, float]:
    nan, nothing = float("nan"), np.array([])
    row = estimated("cumulative_regret", nothing) | estimated("relative_regret", nothing)
    row |= dict.fromkeys(("simple_regret", "reward", "nll", "crps", "brier"), nan)
    row |= {f"coverage_{100 * level:.0f}": nan for level in calibration.LEVELS}
    if records is None:
        return row
    regret = final(records, "cumulative_regret")
    row |= estimated("cumulative_regret", regret.to_numpy())
    if uniform is not None:
        both = pd.concat([regret, final(uniform, "cumulative_regret")], axis=1, join="inner", keys=["own", "uniform"])
        own, reference = both["own"].to_numpy(), both["uniform"].to_numpy()
        if np.isfinite(reference).all() and reference.mean() > 0:
            row |= {name: 100 * value for name, value in estimated("relative_regret", own, reference).items()}
    curves = records.pivot(index="seed", columns="step", values="cumulative_regret")
    row["simple_regret"] = simple_regret(curves.to_numpy(), curves.columns.to_numpy()).mean()
    row["reward"] = mean_reward(records).to_numpy().mean()
    for name in ("nll", "crps", "brier"):
        known = records[name].dropna().to_numpy()
        row[name] = known.mean() if known.size else nan
    for level in calibration.LEVELS:
        row[f"coverage_{100 * level:.0f}"] = calibration.coverage(records["pit"].to_numpy(), level)
    return row
