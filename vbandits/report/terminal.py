"""Results as tables in a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vbandits.report import tables
from vbandits.report.formats import decimals, interval, number, shortened
from vbandits.report.statistics import exists
from vbandits.report.tables import Places

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

LONGEST = 28
"""Most letters of a label."""
GAP = 2
ENDS = "_interval"
"""Ends the name of a column that shows the interval of another."""


@dataclass(frozen=True)
class Column:
    """A column of the summary, or with `_interval` after its name the interval of one.

    Attributes:
        name: of the column.
        head: above it.
        wanted: 1 for the most wanted: a narrow terminal shows the first that it has room for.
        places: decimals, or how they follow from the values; by default from those of the column.
        scale: by which numbers are multiplied: 100 shows fractions in percent.
    """

    name: str
    head: str
    wanted: int
    places: Places = decimals
    scale: float = 1.0

    def texts(self, summary: pd.DataFrame) -> list[str]:
        """Returns the column of a table; nothing if no row has it."""
        name = self.name.removesuffix(ENDS)
        values = self.scale * summary[name].to_numpy(dtype=float)
        places = self.places if isinstance(self.places, int) else self.places(values.tolist())
        if name == self.name:
            return [number(value, places) for value in values] if np.isfinite(values).any() else []
        bounds = self.scale * summary[[f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
        shown = ["" if low == high else interval(low, high, places) for low, high in bounds]
        return shown if any(shown) else []


SEEDS = Column("seeds", "seeds", 0, places=0)


@dataclass(frozen=True)
class Layout:
    """What the tables of a benchmark show.

    Attributes:
        columns: in the order in which they stand.
        note: what their heads mean, where there are several seeds.
        splits: tables that lack this column of the summary have columns of their own.
    """

    columns: tuple[Column, ...]
    note: str
    splits: str


@dataclass(frozen=True)
class Tables:
    """What a rich console prints: a table per problem, with the columns that there is room for; numbers never wrap.

    Attributes:
        summary: a row per problem and method, the best method first.
        axes: columns of the summary that name the table and its rows.
        layout: of the benchmark.
        single: whether there is but one seed.
    """

    summary: pd.DataFrame
    axes: tuple[str, str]
    layout: Layout
    single: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns; with seeds, where methods of a problem have not as many as each other."""
        uneven = any(rows["seeds"].nunique() > 1 for _, rows in self.summary.groupby(self.axes[0]))
        return (SEEDS, *self.layout.columns) if uneven else self.layout.columns

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        tables = {name: rows.reset_index(drop=True) for name, rows in self.summary.groupby(self.axes[0], sort=False)}
        full = {name: exists(rows, self.layout.splits) for name, rows in tables.items()}
        chosen = {
            alike: self._chosen([tables[name] for name in tables if full[name] == alike], options.max_width)
            for alike in set(full.values())
        }
        for place, (problem, rows) in enumerate(tables.items()):
            if place:
                yield ""
            yield self._table(str(problem), rows, chosen[full[problem]])
        if not self.single:
            yield f"[dim]{self.layout.note}[/dim]"

    def _chosen(self, tables: Sequence[pd.DataFrame], width: int) -> list[Column]:
        """Returns the columns for which there is room in every table, in the order in which they stand."""
        used = GAP + max(len(label) for table in tables for label in self._labels(table))
        names = set()
        for column in sorted(self.columns, key=lambda column: column.wanted):
            found = [len(text) for table in tables for text in column.texts(table)]
            if found and used + GAP + max(len(column.head), *found) <= width:
                names.add(column.name)
                used += GAP + max(len(column.head), *found)
        return [column for column in self.columns if column.name in names]

    def _table(self, problem: str, summary: pd.DataFrame, columns: Sequence[Column]) -> "Table":
        """Returns the table of one problem, with those of the columns that exist here."""
        from rich.table import Table
        from rich.text import Text

        texts = {column: column.texts(summary) for column in columns}
        table = Table(
            title=Text(problem, overflow="ellipsis", no_wrap=True),
            title_justify="left",
            title_style="bold",
            box=None,
            padding=(0, GAP, 0, 0),
            header_style="dim",
        )
        table.add_column(self.axes[1], no_wrap=True)
        shown = [column for column, own in texts.items() if own]
        for column in shown:
            table.add_column(column.head, justify="right", no_wrap=True)
        for i, label in enumerate(self._labels(summary)):
            broken = int(summary["failures"].iloc[i]) > 0
            cells = [
                Text(texts[column][i], style="bold red" if broken and column.name == "failures" else "")
                for column in shown
            ]
            table.add_row(Text(label, style="red" if broken else ""), *cells)
        return table

    def _labels(self, summary: pd.DataFrame) -> list[str]:
        """Returns the methods, their labels cut to what fits."""
        return [shortened(str(label), LONGEST) for label in summary[self.axes[1]]]


def shown(given: tables.Table, title: str) -> "Table":
    """Returns a table of a report as rich prints it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, GAP, 0, 0))
    table.add_column(given.what.lower(), no_wrap=True, header_style="dim")
    for head in given.heads:
        words = any(entry.words for row in given.rows for entry in (row.entries[given.heads.index(head)],))
        table.add_column(Text(head.text), justify="left" if words else "right", overflow="fold", header_style="dim")
    for row in given.rows:
        cells = [
            Text(f"{entry.text} {entry.interval}".strip(), style="bold" if entry.strong else "")
            for entry in row.entries
        ]
        table.add_row(Text(shortened(row.label, LONGEST)), *cells)
    return table
