"""The report's tables, as text in rows and columns: the page and the Markdown file show the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.ranking import Column, Ranking
from vbandits.report.formats import DASH, decimals, interval, number, percent_decimals
from vbandits.report.statistics import Interval, exists

UNITS = {"relative_regret": "% of uniform", "cumulative_regret": "regret", "reward": "mean reward"}


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Attributes:
        text: the number.
        interval: its interval, or nothing.
        strong: whether it is among the best.
        shade: from 0, plain, to 1, the best.
        alarm: whether it counts something that went wrong.
    """

    text: str
    interval: str = ""
    strong: bool = False
    shade: float = 0.0
    alarm: bool = False


@dataclass(frozen=True)
class Head:
    """The head of a column: its name, a second line, and the section that it links to."""

    text: str
    detail: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Row:
    """An agent or method, its rank if the table ranks, and its cells."""

    agent: str
    entries: tuple[Entry, ...]
    rank: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a row per agent or method; `what` says which. A heat map shows values by the strength of colour."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    ranked: bool = False
    what: str = "Agent"
    heat: bool = False

    @property
    def intervals(self) -> bool:
        """Whether any cell has an interval."""
        return any(entry.interval for row in self.rows for entry in row.entries)


Side = tuple[Head, list[Entry]]


def ranking_table(ranking: Ranking, anchors: dict[str, str]) -> Table:
    """Returns agents by environments: relative regret with its interval, or what an environment has instead."""
    sides: list[Side] = []
    if len(ranking.comparable) > 1:
        means = [ranking.means[agent] for agent in ranking.agents]
        strong = [agent in ranking.leaders for agent in ranking.agents]
        sides.append((Head("Mean", UNITS["relative_regret"]), _estimates(means, "relative_regret", strong)))
    for column in ranking.columns:
        values = [column.estimates[agent] for agent in ranking.agents]
        strong = [agent in column.leaders for agent in ranking.agents]
        unit = "no results" if column.empty else UNITS[column.measure]
        head = Head(column.environment, unit, anchors[column.environment])
        sides.append((head, _estimates(values, column.measure, strong)))
    sides.append((Head("Failures", "seeds"), [failed(ranking.failures[agent]) for agent in ranking.agents]))
    if any(done < wanted for done, wanted in ranking.seeds.values()):
        shown = [ranking.seeds[agent] for agent in ranking.agents]
        sides.append((Head("Runs", "done of wanted"), [Entry(f"{d} of {w}", alarm=d < w) for d, w in shown]))
    ranks = [str(ranking.ranks[agent] or DASH) for agent in ranking.agents]
    return table(ranking.agents, sides, ranks)


def environment_table(summary: pd.DataFrame, column: Column, wanted: int) -> Table:
    """Returns everything measured in one environment; a column that exists for no agent is left out.

    Args:
        summary: the rows of the environment, in their order.
        column: its column of the ranking.
        wanted: seeds of the experiment.
    """
    agents = [str(agent) for agent in summary["agent"]]
    strong = [agent in column.leaders for agent in agents]
    sides: list[Side] = []
    if column.measure == "reward" and not column.empty:
        rewards = [column.estimates[agent] for agent in agents]
        sides.append((Head("Mean reward", "per decision"), _estimates(rewards, "reward", strong)))
    for name, text, detail in (
        ("cumulative_regret", "Cumulative regret", ""),
        ("relative_regret", "Relative regret", UNITS["relative_regret"]),
    ):
        if exists(summary, name):
            values = summary[[name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
            triples = [(row[0], row[1], row[2]) for row in values]
            sides.append((Head(text, detail), _estimates(triples, name, strong)))
    binary = exists(summary, "brier") and bool(np.allclose(summary["crps"], summary["brier"], equal_nan=True))
    for name, text, detail in (
        ("simple_regret", "Simple regret", ""),
        ("reward", "Reward", ""),
        ("nll", "NLL", ""),
        ("crps", "CRPS", ""),
        ("brier", "Brier score", ""),
    ):
        repeated = (name == "reward" and column.measure == "reward") or (name == "crps" and binary)
        if exists(summary, name) and not repeated:
            sides.append((Head(text, detail), numbers(summary[name].to_numpy(dtype=float))))
    for level in ("50", "90", "95"):
        if exists(summary, f"coverage_{level}"):
            values = 100 * summary[f"coverage_{level}"]
            sides.append((Head(f"{level}%", "covered, %"), [Entry(number(value, 1)) for value in values]))
    sides.append((Head("Failures", "seeds"), [failed(int(value)) for value in summary["failures"]]))
    if summary["seeds"].to_numpy().min() < wanted:
        sides.append((Head("Seeds", f"of {wanted}"), [Entry(str(n), alarm=n < wanted) for n in summary["seeds"]]))
    return table(agents, sides)


def cost_table(summary: pd.DataFrame, ranking: Ranking) -> Table:
    """Returns seconds and memory by agent, over all environments."""
    totals = cost(summary).loc[list(ranking.agents)]
    names = (
        ("seconds", "Agent", "seconds"),
        ("microseconds", "Agent", "µs per decision"),
        ("environment_seconds", "Environment", "seconds"),
        ("scoring_seconds", "Scoring", "seconds"),
        ("memory_mb", "Memory", "MB at most"),
    )
    sides = []
    for name, text, detail in names:
        values = totals[name].to_numpy(dtype=float)
        places = min(decimals(values), 2) if name.endswith("_seconds") or name == "seconds" else 0
        sides.append((Head(text, detail), [Entry(number(value, places)) for value in values]))
    return table(ranking.agents, sides)


def cost(summary: pd.DataFrame) -> pd.DataFrame:
    """Returns per agent: seconds by purpose over all environments, the most memory, microseconds per decision."""
    known = summary.assign(decisions=(summary["seeds"] * summary["steps"]).where(summary["seconds"].notna()))
    names = ["seconds", "environment_seconds", "scoring_seconds", "decisions"]
    by_agent: Any = known.groupby("agent")
    totals = by_agent[names].sum(min_count=1)
    per_decision = 1e6 * totals["seconds"] / totals["decisions"]
    return totals.assign(memory_mb=by_agent["memory_mb"].max(), microseconds=per_decision)


def costs(totals: pd.DataFrame, names: Sequence[tuple[str, str, str]], what: str) -> Table:
    """Returns seconds and memory by learner or method, the rows of `totals`.

    Args:
        totals: a column for each cost.
        names: column, head and its second line.
        what: a row is.
    """
    sides: list[Side] = []
    for name, text, detail in names:
        values = totals[name].to_numpy(dtype=float)
        places = 0 if name == "memory_mb" else min(decimals(values), 2)
        sides.append((Head(text, detail), [Entry(number(value, places)) for value in values]))
    return table([str(label) for label in totals.index], sides, what=what)


def table(
    agents: list[str] | tuple[str, ...], sides: list[Side], ranks: list[str] | None = None, what: str = "Agent"
) -> Table:
    """Returns the table with a row per agent or method and these columns."""
    rows = tuple(
        Row(agent, tuple(entries[i] for _, entries in sides), ranks[i] if ranks else "")
        for i, agent in enumerate(agents)
    )
    return Table(tuple(head for head, _ in sides), rows, ranks is not None, what)


def _estimates(values: list[Interval], measure: str, strong: list[bool]) -> list[Entry]:
    relative = measure == "relative_regret"
    places = (percent_decimals if relative else decimals)([value for value, _, _ in values])
    return [
        Entry(
            number(value, places),
            "" if low == high else interval(low, high, places),
            best,
            shade=max(0.0, 1 - value / 100) if relative and np.isfinite(value) else 0.0,
        )
        for (value, low, high), best in zip(values, strong, strict=True)
    ]


def numbers(values: np.ndarray) -> list[Entry]:
    """Returns a column of numbers."""
    places = decimals(values)
    return [Entry(number(value, places)) for value in values]


def failed(count: int) -> Entry:
    """Returns how many failed, which alarms."""
    return Entry(str(count), alarm=count > 0)
