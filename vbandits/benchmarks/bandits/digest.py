"""What reports need of the records of one agent in one environment, read once: the records themselves may be large."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vbandits.metrics import calibration
from vbandits.metrics.regret import late_regret

EVEN, EARLY = 72, 36
"""Points of a curve, evenly spaced and evenly in the logarithm: more are not seen, and make the page heavy."""
PERIODS = 24
"""Parts of a run over which arms and uncertainty are averaged."""
BINS = 20
"""Of a histogram of the probability integral transform (PIT)."""
TRIM = 0.1
"""Part of the decisions that a trimmed mean leaves out at either end."""
SCORES = ("nll", "crps", "brier")


@dataclass(frozen=True)
class Digest:
    """What is known of an agent in an environment, by seed.

    Attributes:
        seeds: of the rows [R].
        steps: at which curves are known, counted from 0 [G].
        regret: cumulative regret there [R, G]; NaN where the environment tells none.
        reward: cumulative reward there [R, G].
        deviation: standard deviation of single rewards, over all seeds.
        late: mean regret per decision at the end of the run [R].
        scores: means over the scored decisions by name [R], with `nll_median`, `nll_trimmed` and `coverage_LEVEL`; NaN
            where there is none.
        pit: how many scored decisions fall into each part of the unit interval [R, BINS].
        gap: mean predicted probability of a reward of 1 less how often it came [R]; NaN for other rewards.
        epistemic: mean epistemic standard deviation by period [R, PERIODS].
        arms: how often each arm was played by period, over all seeds [PERIODS, A].
        best: how often each arm was the best one [A]; empty where it is not told.
        thompson: by tenth of the probability to be the best arm [3, R, 10]: arms, the sum of probabilities, and how
            many were the best.
    """

    seeds: np.ndarray
    steps: np.ndarray
    regret: np.ndarray
    reward: np.ndarray
    deviation: float
    late: np.ndarray
    scores: dict[str, np.ndarray]
    pit: np.ndarray
    gap: np.ndarray
    epistemic: np.ndarray
    arms: np.ndarray
    best: np.ndarray
    thompson: np.ndarray

    @property
    def signed(self) -> bool:
        """Whether regret falls somewhere, as it is measured with noise."""
        return bool((np.diff(self.regret, axis=1) < 0).any())

    @property
    def final_regret(self) -> pd.Series:
        """Cumulative regret at the end, by seed."""
        return pd.Series(self.regret[:, -1], self.seeds)

    @property
    def mean_reward(self) -> pd.Series:
        """Mean reward per decision, by seed."""
        return pd.Series(self.reward[:, -1] / (self.steps[-1] + 1), self.seeds)

    def reaches(self, regret: float) -> float:
        """Returns after how many decisions the mean regret per decision is below a number and stays there, to a
        fortieth of the run; infinity where it never does."""
        edges = np.unique(np.searchsorted(self.steps, np.linspace(0, self.steps[-1], 41)).clip(max=len(self.steps) - 1))
        mean, at = self.regret.mean(0)[edges], self.steps[edges]
        rates = np.diff(mean) / np.diff(at)
        above = np.flatnonzero(~(rates < regret))
        if not len(rates) or (len(above) and above[-1] == len(rates) - 1):
            return np.inf
        return float(at[above[-1] + 1] + 1) if len(above) else 1.0

    @property
    def scored(self) -> int:
        """Decisions that were scored, in all seeds."""
        return int(self.pit.sum())


def digest(records: pd.DataFrame) -> Digest:
    """Returns what reports need of an agent's records in one environment."""
    seeds = np.unique(records["seed"].to_numpy())
    table = records.sort_values(["seed", "step"], kind="stable")
    steps = table["step"].to_numpy().reshape(len(seeds), -1)[0]

    def column(name: str) -> np.ndarray:
        if name not in table:
            return np.full((len(seeds), len(steps)), np.nan)
        return table[name].to_numpy(dtype=float).reshape(len(seeds), -1)

    regret, nll, brier = column("cumulative_regret"), column("nll"), column("brier")
    kept, periods = _kept(len(steps)), np.array_split(np.arange(len(steps)), min(PERIODS, len(steps)))
    pit = column("pit")
    actions = column("action").astype(int)
    optimal = column("optimal")
    means = {name: _mean(column(name)) for name in SCORES}
    means |= {"nll_median": _quantile(nll, 0.5), "nll_trimmed": _trimmed(nll)}
    covered = {f"coverage_{100 * level:.0f}": calibration.coverage(pit, level) for level in calibration.LEVELS}
    probability = np.where(column("reward") > 0.5, 1 - np.sqrt(brier), np.sqrt(brier))
    return Digest(
        seeds,
        steps[kept],
        regret[:, kept],
        column("cumulative_reward")[:, kept],
        float(column("reward").std()),
        late_regret(regret, steps),
        means | covered,
        np.stack([np.histogram(own[~np.isnan(own)], BINS, (0, 1))[0] for own in pit]),
        _mean(probability - np.where(np.isnan(brier), np.nan, column("reward"))),
        _by_period(np.sqrt(column("epistemic")), periods),
        np.stack([_frequencies(actions[:, period], int(actions.max()) + 1) for period in periods]),
        _frequencies(optimal[optimal >= 0].astype(int), int(actions.max()) + 1)
        if (optimal >= 0).any()
        else np.zeros(0),
        _thompson(table, optimal),
    )


def _kept(size: int) -> np.ndarray:
    """Returns places of so many that curves are drawn at: evenly spaced ones, and as many of the first as a logarithmic
    axis shows."""
    even = np.linspace(0, size - 1, min(EVEN, size))
    early = np.geomspace(1, size, min(EARLY, size)) - 1
    return np.unique(np.concatenate([even, early]).round().astype(int))


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean of what is known in each row, NaN where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)


def _quantile(values: np.ndarray, level: float) -> np.ndarray:
    return np.array([np.quantile(own, level) if len(own := row[~np.isnan(row)]) else np.nan for row in values])


def _trimmed(values: np.ndarray) -> np.ndarray:
    found = []
    for row in values:
        own = np.sort(row[~np.isnan(row)])
        out = int(TRIM * len(own))
        found.append(own[out : len(own) - out].mean() if len(own) else np.nan)
    return np.array(found)


def _by_period(values: np.ndarray, periods: list[np.ndarray]) -> np.ndarray:
    return np.stack([_mean(values[:, period]) for period in periods], 1)


def _frequencies(actions: np.ndarray, arms: int) -> np.ndarray:
    return np.bincount(actions.ravel(), minlength=arms) / actions.size


def _thompson(table: pd.DataFrame, optimal: np.ndarray) -> np.ndarray:
    """Returns counts of the arms of scored decisions by tenth of their probability to be the best one."""
    found, bins = np.zeros((3, *optimal.shape[:1], 10)), 10
    if "thompson" not in table:
        return found
    column: Any = table["thompson"].to_numpy().reshape(optimal.shape)
    for replica, (own, best) in enumerate(zip(column, optimal, strict=True)):
        known = [i for i, given in enumerate(own) if given is not None and np.size(given) and best[i] >= 0]
        if not known:
            continue
        probabilities = np.stack([np.asarray(own[i], float) for i in known])
        known_rows = ~np.isnan(probabilities).any(1)
        probabilities, right = probabilities[known_rows], best[known][known_rows].astype(int)
        was_best = np.arange(probabilities.shape[1]) == right[:, None]
        place = np.minimum((bins * probabilities).astype(int), bins - 1).ravel()
        for i, weights in enumerate((None, probabilities.ravel(), was_best.ravel().astype(float))):
            found[i, replica] = np.bincount(place, weights, minlength=bins)
    return found
