"""The results as tables in a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vbandits.report.formats import decimals, interval, number, percent_decimals
from vbandits.report.statistics import exists

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from vbandits.experiment.results import StoredResults


@dataclass(frozen=True)
class Layout:
    """What the tables of a kind of experiment show.

    Attributes:
        axes: columns of the summary that name the table and its rows.
        heads: columns and their heads, the most wanted first: a narrow terminal shows the first that it has room for.
        order: in which they stand.
        percent: columns that are fractions, shown in percent with these decimals.
        relative: columns of percentages, which share a number of decimals with their intervals.
        note: what the heads mean, where there are several seeds.
    """

    axes: tuple[str, str]
    heads: Mapping[str, str]
    order: tuple[str, ...]
    percent: Mapping[str, int]
    relative: tuple[str, ...]
    note: str
    splits: str
    """Tables that lack this column of the summary have columns of their own."""


AGENTS = Layout(
    ("environment", "agent"),
    {
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
    },
    (
        "relative_regret",
        "relative_regret_interval",
        "cumulative_regret",
        "cumulative_regret_interval",
        "simple_regret",
        "reward",
        "nll",
        "coverage_90",
        "seconds",
        "failures",
    ),
    {"coverage_90": 1},
    ("relative_regret", "relative_regret_interval"),
    "regret %: of the uniform agent's; 95%: interval of the mean over seeds",
    "cumulative_regret",
)
METHODS = Layout(
    ("dataset", "method"),
    {
        "error": "error %",
        "failures": "failed",
        "nll": "NLL",
        "corrupted_error": "corrupted %",
        "corrupted_nll": "NLL",
        "error_interval": "95%",
        "ece": "ECE %",
        "corrupted_ece": "ECE %",
        "seconds": "seconds",
        "nll_interval": "95%",
    },
    (
        "error",
        "error_interval",
        "nll",
        "nll_interval",
        "ece",
        "corrupted_error",
        "corrupted_nll",
        "corrupted_ece",
        "seconds",
        "failures",
    ),
    {"error": 2, "error_interval": 2, "corrupted_error": 1, "ece": 2, "corrupted_ece": 1},
    (),
    "corrupted: mean over corruptions and severities, as NLL and ECE after it; 95%: interval of the mean over seeds",
    "error",
)
LEARNERS = Layout(
    ("problem", "learner"),
    {
        "accuracy": "accuracy %",
        "rmse": "RMSE",
        "failures": "failed",
        "area": "area",
        "regret_best": "regret %",
        "speed_up": "speed-up",
        "area_interval": "95%",
        "nll": "NLL",
        "ece_debiased": "ECE %",
        "pool_ece_debiased": "pool ECE %",
        "coverage_90": "90% covers",
        "pool_coverage_90": "on pool",
        "bought": "bought",
        "seconds": "seconds",
        "labels_90": "to 90%",
        "labels_95": "to 95%",
        "regret_best_interval": "95%",
    },
    (
        "accuracy",
        "rmse",
        "area",
        "area_interval",
        "regret_best",
        "regret_best_interval",
        "speed_up",
        "labels_90",
        "labels_95",
        "nll",
        "ece_debiased",
        "pool_ece_debiased",
        "coverage_90",
        "pool_coverage_90",
        "bought",
        "seconds",
        "failures",
    ),
    {
        "accuracy": 1,
        "regret_best": 1,
        "regret_best_interval": 1,
        "ece_debiased": 1,
        "pool_ece_debiased": 1,
        "coverage_90": 1,
        "pool_coverage_90": 1,
    },
    (),
    "area: mean accuracy or RMSE over labels; regret %: of learning nothing; 95%: interval of the mean over seeds",
    "accuracy",
)
LAYOUTS = {layout.axes: layout for layout in (AGENTS, METHODS, LEARNERS)}
LONGEST = 28
"""Most letters of a label."""
GAP = 2


def table(results: "StoredResults") -> "Tables":
    """Returns what a rich console prints: a table per environment or dataset, the best agent or method first."""
    return Tables(results)


class Tables:
    """A table per environment or dataset, with the columns that the console has room for; numbers never wrap."""

    def __init__(self, results: "StoredResults") -> None:
        self._summary = results.summary()
        self._layout = LAYOUTS[results.axes]
        self._lonely = len(results.experiment["seeds"]) < 2

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        layout = self._layout
        tables = {name: rows.reset_index(drop=True) for name, rows in self._summary.groupby(layout.axes[0], sort=False)}
        full = {name: exists(rows, layout.splits) for name, rows in tables.items()}
        names = {
            kind: chosen([tables[name] for name in tables if full[name] == kind], options.max_width, layout)
            for kind in set(full.values())
        }
        for place, (problem, rows) in enumerate(tables.items()):
            if place:
                yield ""
            yield problem_table(str(problem), rows, names[full[problem]], layout)
        if not self._lonely:
            yield f"[dim]{layout.note}[/dim]"


def chosen(tables: Sequence[pd.DataFrame], width: int, layout: Layout) -> list[str]:
    """Returns the columns for which there is room in every table, in the order in which they stand."""
    texts = [columns(table, layout) for table in tables]
    used = GAP + max(len(label) for table in tables for label in labels(table, layout))
    names = set()
    for name, head in layout.heads.items():
        found = [len(text) for table in texts for text in table.get(name, [])]
        if found and used + GAP + max(len(head), *found) <= width:
            names.add(name)
            used += GAP + max(len(head), *found)
    return [name for name in layout.order if name in names]


def problem_table(problem: str, summary: pd.DataFrame, names: Sequence[str], layout: Layout) -> "Table":
    """Returns the table of one environment or dataset.

    Args:
        problem: its label.
        summary: its rows.
        names: columns to show, of those that exist here.
        layout: of its kind.
    """
    from rich.table import Table
    from rich.text import Text

    texts = columns(summary, layout)
    names = [name for name in names if name in texts]
    title = Text(problem, overflow="ellipsis", no_wrap=True)
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, GAP, 0, 0), header_style="dim"
    )
    table.add_column(layout.axes[1], no_wrap=True)
    for name in names:
        table.add_column(layout.heads[name], justify="right", no_wrap=True)
    for i, label in enumerate(labels(summary, layout)):
        broken = int(summary["failures"].iloc[i]) > 0
        cells = [Text(texts[name][i], style="bold red" if broken and name == "failures" else "") for name in names]
        table.add_row(Text(label, style="red" if broken else ""), *cells)
    return table


def labels(summary: pd.DataFrame, layout: Layout) -> list[str]:
    """Returns the agents or methods, their labels cut to what fits."""
    return [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in map(str, summary[layout.axes[1]])]


def columns(summary: pd.DataFrame, layout: Layout) -> dict[str, list[str]]:
    """Returns the columns of one table as texts; those that exist for no row are left out."""
    texts = {}
    for name in layout.heads:
        values = summary[name.removesuffix("_interval")].to_numpy(dtype=float) * (100 if name in layout.percent else 1)
        free = percent_decimals if name in layout.relative else decimals
        places = {**layout.percent, "failures": 0}.get(name, free(values))
        if name.endswith("_interval"):
            bounds = summary[[f"{name.removesuffix('_interval')}_{end}" for end in ("low", "high")]].to_numpy(
                dtype=float
            )
            bounds = bounds * (100 if name in layout.percent else 1)
            shown = ["" if low == high else interval(low, high, places) for low, high in bounds]
        else:
            shown = [number(value, places) for value in values] if np.isfinite(values).any() else []
        if any(shown):
            texts[name] = shown
    return texts
