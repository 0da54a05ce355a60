"""Tables as text in rows and columns: the page and the Markdown file show the same ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vbandits.report.formats import decimals, interval, number

Places = int | Callable[[Sequence[float]], int]
"""Decimals of a column, or how they follow from its values."""


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Attributes:
        text: the number.
        interval: its interval, or nothing.
        strong: whether it is among the best.
        shade: from 0, plain, to 1, the best.
        alarm: whether it counts something that went wrong.
        words: whether it is a text, of which lines may break.
        numbers: the number in full, with the two ends of its interval if there is one; rows are sorted by it.
        difference: what is shown instead where a reader asks for differences.
    """

    text: str
    interval: str = ""
    strong: bool = False
    shade: float = 0.0
    alarm: bool = False
    words: bool = False
    numbers: tuple[float, ...] = ()
    difference: str = ""


@dataclass(frozen=True)
class Head:
    """The head of a column: its name, a second line, the section that it links to, and whether a phone shows it."""

    text: str
    detail: str = ""
    anchor: str = ""
    first: bool = False


Column = tuple[Head, Sequence[Entry]]


@dataclass(frozen=True)
class Row:
    """A label, its rank if the table ranks, and its cells."""

    label: str
    entries: tuple[Entry, ...]
    rank: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a row per method; `what` says what a row is. A heat map shows values by the strength of colour."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    what: str
    title: str = ""
    ranked: bool = False
    heat: bool = False

    @property
    def intervals(self) -> bool:
        """Whether any cell has an interval."""
        return any(entry.interval for row in self.rows for entry in row.entries)

    @property
    def differences(self) -> bool:
        """Whether any cell has a difference to show instead."""
        return any(entry.difference for row in self.rows for entry in row.entries)

    @property
    def wide(self) -> bool:
        """Whether its letters are smaller in print."""
        return len(self.heads) > 9


def table(
    labels: Sequence[str],
    columns: Sequence[Column],
    what: str,
    title: str = "",
    ranks: Sequence[str] = (),
    heat: bool = False,
) -> Table:
    """Returns the table with a row for each label and these columns."""
    rows = tuple(
        Row(label, tuple(entries[i] for _, entries in columns), ranks[i] if ranks else "")
        for i, label in enumerate(labels)
    )
    return Table(tuple(head for head, _ in columns), rows, what, title, bool(ranks), heat)


def numbers(
    values: ArrayLike, places: Places = decimals, strong: Sequence[bool] = (), shaded: bool = False
) -> list[Entry]:
    """Returns a column of numbers, with their intervals if those are given.

    Args:
        values: a number for each row [M], or with the two ends of its interval [M, 3].
        places: decimals of the column.
        strong: which rows are among the best.
        shaded: colours percentages of a reference, the stronger the further they are below 100.
    """
    given = np.asarray(values, dtype=float)
    middle, *ends = given.reshape(len(given), -1).T
    shown = places if isinstance(places, int) else places(middle.tolist())
    intervals = [("" if low == high else interval(low, high, shown)) for low, high in zip(*ends, strict=True)]
    return [
        Entry(
            number(value, shown),
            intervals[i] if intervals else "",
            bool(strong[i]) if len(strong) else False,
            max(0.0, 1 - value / 100) if shaded and np.isfinite(value) else 0.0,
            numbers=tuple(row),
        )
        for i, (value, row) in enumerate(zip(middle, given.reshape(len(given), -1).tolist(), strict=True))
    ]


def failures(counts: Iterable[int]) -> Column:
    """Returns how many seeds failed, which alarms."""
    return Head("Failures", "seeds"), [
        Entry(str(count), alarm=count > 0, numbers=(float(count),)) for count in map(int, counts)
    ]
