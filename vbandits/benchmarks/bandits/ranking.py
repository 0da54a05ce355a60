"""Which agent leads: over all environments, and in each of them."""

from functools import partial

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.results import BASELINE, Results
from vbandits.experiment.report import estimates_of, leaders
from vbandits.report import ranking, statistics
from vbandits.report.ranking import NOTHING, ProblemRanking, Ranking

UNITS = {"relative_regret": "% of uniform", "cumulative_regret": "regret", "reward": "mean reward"}
"""What an environment is reported by, the first that exists, and how that is measured."""


def rank(results: Results) -> Ranking:
    """Ranks the agents by their mean relative regret, or where there is none by their mean place."""
    agents = results.labels("agent")
    environments = [_environment(results, label) for label in results.labels("environment")]
    relative = [one for one in environments if one.relative]
    regret, by_seed, runs = partial(results.loss, column="cumulative_regret"), {}, {}
    for agent in agents:
        known = [one.label for one in relative if np.isfinite(one.estimates[agent][0])]
        pairs = [(regret(label, agent), regret(label, BASELINE)) for label in known]
        if pairs:
            by_seed[agent] = 100 * statistics.mean_ratio(pairs)
        if pairs and len(known) == len(relative):
            every = pd.concat([100 * own / uniform.mean() for own, uniform in pairs], axis=1)
            if len(every) > 1 and not every.isna().to_numpy().any():
                runs[agent] = every.to_numpy()
    return ranking.rank(agents, environments, by_seed, runs)


def _environment(results: Results, label: str) -> ProblemRanking:
    rows = results.rows(label)
    measure = next((name for name in UNITS if statistics.exists(rows, name)), "reward")
    if measure == "reward":
        own = results.of(label)
        rewards = {agent: statistics.mean_interval(-results.loss(label, agent, "reward")) for agent in own}
        estimates = dict.fromkeys(results.labels("agent"), NOTHING) | rewards
    else:
        estimates = estimates_of(results, label, measure)
    return ProblemRanking(
        label,
        estimates,
        leaders(results, label, measure),
        measure,
        UNITS[measure],
        relative=measure == "relative_regret",
        higher=measure == "reward",
    )
