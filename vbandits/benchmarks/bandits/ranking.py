"""Which agent leads: over all environments, and in each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.results import YARDSTICK, Results, final, mean_reward
from vbandits.report import statistics
from vbandits.report.statistics import NAN, Interval

MEASURES = ("relative_regret", "cumulative_regret", "reward")
"""What an environment is reported by: the first that exists."""
NOTHING: Interval = (NAN, NAN, NAN)


@dataclass(frozen=True)
class Column:
    """One environment of the ranking.

    Attributes:
        environment: its label.
        measure: one of `MEASURES`.
        estimates: mean over seeds with its interval, by agent; NaN for an agent without results.
        leaders: the best agent, and those not told apart from it; empty with a single seed.
    """

    environment: str
    measure: str
    estimates: dict[str, Interval]
    leaders: frozenset[str]

    @property
    def empty(self) -> bool:
        """Whether there are no results of any agent: what the environment tells is not known then."""
        return not any(np.isfinite(value) for value, _, _ in self.estimates.values())


@dataclass(frozen=True)
class Ranking:
    """Agents over all environments.

    Attributes:
        agents: labels, the best first; those without results in every environment come last.
        ranks: counted from 1; None for an agent without results in every environment.
        means: mean relative regret over the environments that have it and in which the agent has results.
        leaders: the best agent by this mean, and those not told apart from it.
        columns: one per environment.
        failures: seeds that diverged or whose cell failed, by agent.
        seeds: seeds with results and seeds wanted, summed over environments, by agent.
    """

    agents: tuple[str, ...]
    ranks: dict[str, int | None]
    means: dict[str, Interval]
    leaders: frozenset[str]
    columns: tuple[Column, ...]
    failures: dict[str, int]
    seeds: dict[str, tuple[int, int]]

    @property
    def comparable(self) -> tuple[Column, ...]:
        """The environments with a relative regret, over which means are taken."""
        return tuple(column for column in self.columns if column.measure == "relative_regret")

    def column(self, environment: str) -> Column:
        """Returns the column of an environment."""
        return next(column for column in self.columns if column.environment == environment)


def rank(results: Results) -> Ranking:
    """Ranks the agents by their mean relative regret, or where there is none by their mean place."""
    summary, parts = results.summary(), results.parts
    agents = [entry["label"] for entry in results.experiment["agents"]]
    environments = [entry["label"] for entry in results.experiment["environments"]]
    columns = tuple(_column(environment, summary, parts) for environment in environments)
    comparable = [column for column in columns if column.measure == "relative_regret"]
    by_seed = {agent: _by_seed(agent, comparable, parts) for agent in agents}
    means = {agent: _mean(agent, comparable, values) for agent, values in by_seed.items()}
    complete = {agent: all(np.isfinite(c.estimates[agent][0]) for c in comparable or columns) for agent in agents}
    score = {agent: means[agent][0] if comparable else _place(agent, columns) for agent in agents}
    score = {agent: np.inf if np.isnan(value) else value for agent, value in score.items()}
    ordered = sorted(agents, key=lambda agent: (not complete[agent], score[agent]))
    by_agent = summary.groupby("agent")[["failures", "seeds"]].sum()
    wanted = len(environments) * len(results.experiment["seeds"])
    return Ranking(
        agents=tuple(ordered),
        ranks={agent: place if complete[agent] else None for place, agent in enumerate(ordered, 1)},
        means=means,
        leaders=statistics.leaders({agent: by_seed[agent] for agent in agents if complete[agent]}),
        columns=columns,
        failures={agent: int(by_agent.loc[agent, "failures"]) for agent in agents},  # type: ignore[arg-type]
        seeds={agent: (int(by_agent.loc[agent, "seeds"]), wanted) for agent in agents},  # type: ignore[arg-type]
    )


def _column(environment: str, summary: pd.DataFrame, parts: dict[tuple[str, str], pd.DataFrame]) -> Column:
    rows = summary[summary["environment"] == environment].set_index("agent")
    measure = next((name for name in MEASURES if statistics.exists(rows, name)), "reward")
    own = {agent: part for (place, agent), part in parts.items() if place == environment}
    if measure == "reward":
        rewards = {agent: mean_reward(part) for agent, part in own.items()}
        estimates = {agent: statistics.mean_interval(reward) for agent, reward in rewards.items()}
        losses = {agent: -reward for agent, reward in rewards.items()}
    else:
        names = [measure, f"{measure}_low", f"{measure}_high"]
        values = {str(agent): row for agent, row in zip(rows.index, rows[names].to_numpy(dtype=float), strict=True)}
        estimates = {agent: (float(row[0]), float(row[1]), float(row[2])) for agent, row in values.items()}
        losses = {agent: final(part, "cumulative_regret") for agent, part in own.items()}
    full = {str(agent): estimates.get(str(agent), NOTHING) for agent in rows.index}
    return Column(environment, measure, full, statistics.leaders(losses))


def _mean(agent: str, comparable: list[Column], by_seed: pd.Series) -> Interval:
    """Returns the mean relative regret in percent; over one environment it is that environment's."""
    known = [column.estimates[agent] for column in comparable if np.isfinite(column.estimates[agent][0])]
    if len(known) < 2:
        return known[0] if known else NOTHING
    _, low, high = statistics.mean_interval(by_seed)
    return float(np.mean([value for value, _, _ in known])), low, high


def _by_seed(agent: str, comparable: list[Column], parts: dict[tuple[str, str], pd.DataFrame]) -> pd.Series:
    """Returns the mean relative regret in percent as each seed has it."""
    known = [column.environment for column in comparable if np.isfinite(column.estimates[agent][0])]
    pairs = [(_regret(parts[place, agent]), _regret(parts[place, YARDSTICK])) for place in known]
    return 100 * statistics.mean_ratio(pairs) if pairs else pd.Series(dtype=float)


def _regret(part: pd.DataFrame) -> pd.Series:
    return final(part, "cumulative_regret")


def _place(agent: str, columns: Sequence[Column]) -> float:
    """Returns an agent's mean place over environments that are reported by regret or by reward."""
    places = []
    for column in columns:
        sign = -1 if column.measure == "reward" else 1
        own = sign * column.estimates[agent][0]
        if np.isfinite(own):
            places.append(1 + sum(sign * value[0] < own for value in column.estimates.values()))
    return float(np.mean(places)) if places else NAN
