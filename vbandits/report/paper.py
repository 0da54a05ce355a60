"""Figures for a paper: what the page draws, drawn by the same code, as figures of matplotlib."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbandits.report.canvas import FONT, SHEET, Sheet, shorten
from vbandits.report.page import Drawing, Panels
from vbandits.report.palette import INK, Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE, LEGEND = 26.0, 26.0
"""Room above panels for what they show, and below for their lines, in points."""


@dataclass(frozen=True)
class Named:
    """A figure that can be asked for by its name.

    Attributes:
        draw: draws it, of a problem's label where it is of one; None where there is nothing to draw.
        needs: what there is to be so that it can be drawn.
        of_problem: whether it is of one problem.
    """

    draw: Callable[..., Drawing | Panels | None]
    needs: str = "results"
    of_problem: bool = True


def figure(draw: Callable[[], Drawing | Panels | None]) -> "Figure | None":
    """Returns a drawing, or all its panels side by side, as a figure whose label is the caption; None if there is none.

    Panels are drawn twice: how many there are is known when they have been drawn.
    """
    sheet = Sheet()
    drawn = _onto(sheet, draw)
    if drawn is None or not sheet.figures:
        return None
    whole = sheet.figures[0]
    if isinstance(drawn, Panels) and len(sheet.figures) > 1:
        whole, parts = _divided(drawn, sheet.figures)
        _onto(Sheet(parts), draw)
    whole.set_facecolor("white")
    whole.set_label(drawn.caption)
    return whole


def legend(axes: Any, styles: Sequence[tuple[str, Style]], **where: Any) -> None:
    """Writes which line is which, on axes or a figure."""
    from matplotlib.lines import Line2D

    drawn: list[dict[str, Any]] = [{"color": style.color, "linestyle": style.linestyle} for _, style in styles]
    lines = [Line2D([], [], linewidth=1.8, **own) for own in drawn]
    labels = [shorten(label) for label, _ in styles]
    how: dict[str, Any] = {"frameon": False, "handlelength": 1.8, "handletextpad": 0.4, "borderaxespad": 0.0}
    axes.legend(lines, labels, fontsize=FONT - 1.5, labelcolor=INK, **how, **where)


def _onto(sheet: Sheet, draw: Callable[[], Drawing | Panels | None]) -> Drawing | Panels | None:
    token = SHEET.set(sheet)
    try:
        return draw()
    finally:
        SHEET.reset(token)


def _divided(panels: Panels, drawn: Sequence["Figure"]) -> tuple["Figure", list[Any]]:
    """Returns a figure with a title, a legend, and an empty part for each panel."""
    from matplotlib.figure import Figure

    width, height = (72 * size for size in drawn[0].get_size_inches())
    rows = math.ceil(len(drawn) / panels.columns)
    heights = [TITLE, rows * height, LEGEND if panels.legend else 1.0]
    whole = Figure(figsize=(panels.columns * width / 72, sum(heights) / 72))
    strips: Any = whole.subfigures(3, 1, height_ratios=heights, hspace=0)
    above, middle, below = strips
    above.text(4 / (panels.columns * width), 0.4, panels.title, color=INK, fontsize=FONT)
    if panels.legend:
        legend(below, panels.legend, loc="center", ncols=len(panels.legend))
    parts = middle.subfigures(rows, panels.columns, squeeze=False, wspace=0, hspace=0)
    return whole, list(parts.ravel())
