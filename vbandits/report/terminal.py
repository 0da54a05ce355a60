"""The results as tables in a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vbandits.report.formats import decimals, interval, number, percent_decimals
from vbandits.report.statistics import exists

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from vbandits.results import Results

COLUMNS = {
    "relative_regret": "regret %",
    "failures": "failed",
    "relative_regret_interval": "95%",
    "cumulative_regret": "regret",
    "reward": "reward",
    "nll": "NLL",
    "coverage_90": "90% covers",
    "seconds": "seconds",
    "simple_regret": "simple",
    "cumulative_regret_interval": "95%",
}
"""Columns and their heads, the most wanted first: a narrow terminal shows the first that it has room for."""
ORDER = ("relative_regret", "relative_regret_interval", "cumulative_regret", "cumulative_regret_interval",
         "simple_regret", "reward", "nll", "coverage_90", "seconds", "failures")  # fmt: skip
LONGEST = 20
"""Most letters of an agent's label."""
GAP = 2


def table(results: "Results") -> "Tables":
    """Returns what a rich console prints: a table per environment, the best agent first."""
    return Tables(results)


class Tables:
    """A table per environment, with the columns that the console has room for; numbers never wrap."""

    def __init__(self, results: "Results") -> None:
        self._summary = results.summary()
        self._lonely = len(results.experiment["seeds"]) < 2

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        tables = {name: rows.reset_index(drop=True) for name, rows in self._summary.groupby("environment", sort=False)}
        regretful = {name: exists(rows, "cumulative_regret") for name, rows in tables.items()}
        names = {
            kind: chosen([tables[name] for name in tables if regretful[name] == kind], options.max_width)
            for kind in set(regretful.values())
        }
        for place, (environment, rows) in enumerate(tables.items()):
            if place:
                yield ""
            yield environment_table(str(environment), rows, names[regretful[environment]])
        if not self._lonely:
            yield "[dim]regret %: of the uniform agent's; 95%: interval of the mean over seeds[/dim]"


def chosen(tables: Sequence[pd.DataFrame], width: int) -> list[str]:
    """Returns the columns for which there is room in every table, in the order in which they stand."""
    texts = [columns(table) for table in tables]
    used = GAP + max(len(agent) for table in tables for agent in labels(table))
    names = set()
    for name, head in COLUMNS.items():
        found = [len(text) for table in texts for text in table.get(name, [])]
        if found and used + GAP + max(len(head), *found) <= width:
            names.add(name)
            used += GAP + max(len(head), *found)
    return [name for name in ORDER if name in names]


def environment_table(environment: str, summary: pd.DataFrame, names: Sequence[str]) -> "Table":
    """Returns the table of one environment.

    Args:
        environment: its label.
        summary: its rows.
        names: columns to show, of those that exist here.
    """
    from rich.table import Table
    from rich.text import Text

    texts = columns(summary)
    names = [name for name in names if name in texts]
    title = Text(environment, overflow="ellipsis", no_wrap=True)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, GAP, 0, 0),
                  header_style="dim")  # fmt: skip
    table.add_column("agent", no_wrap=True)
    for name in names:
        table.add_column(COLUMNS[name], justify="right", no_wrap=True)
    for i, agent in enumerate(labels(summary)):
        broken = int(summary["failures"].iloc[i]) > 0
        cells = [Text(texts[name][i], style="bold red" if broken and name == "failures" else "") for name in names]
        table.add_row(Text(agent, style="red" if broken else ""), *cells)
    return table


def labels(summary: pd.DataFrame) -> list[str]:
    """Returns the agents, their labels cut to what fits."""
    return [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in map(str, summary["agent"])]


def columns(summary: pd.DataFrame) -> dict[str, list[str]]:
    """Returns the columns of one environment as texts; those that exist for no agent are left out."""
    texts = {}
    for name in COLUMNS:
        values = summary[name.removesuffix("_interval")].to_numpy(dtype=float) * (100 if name == "coverage_90" else 1)
        relative = name.startswith("relative_regret")
        places = {"coverage_90": 1, "failures": 0}.get(name, (percent_decimals if relative else decimals)(values))
        if name.endswith("_interval"):
            bounds = summary[[f"{name.removesuffix('_interval')}_{end}" for end in ("low", "high")]].to_numpy(
                dtype=float
            )
            shown = ["" if low == high else interval(low, high, places) for low, high in bounds]
        else:
            shown = [number(value, places) for value in values] if np.isfinite(values).any() else []
        if any(shown):
            texts[name] = shown
    return texts
