"""What figures are made of: curves with bands, rows of estimates, and bars of cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vbandits.report import statistics
from vbandits.report.canvas import FONT, LEFT, Canvas, shorten
from vbandits.report.formats import decimals, number
from vbandits.report.palette import GRID, INK, MUTED, Style
from vbandits.report.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 300.0
TOP, BOTTOM, EDGE, GUTTER = 26.0, 40.0, 14.0, 22.0
"""Margins of axes, in points: above, below, at the right edge, and between two."""
ROW = 17.0
"""Least height of a method's row, in points."""


@dataclass(frozen=True)
class Curve:
    """Mean and band of a method, each [G]."""

    label: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Frame:
    """What the axes of curves show.

    Attributes:
        x: smallest and largest of the horizontal axis.
        y: of the vertical one.
        axis: what the horizontal axis is called.
        heading: what stands above, as a rule what the vertical axis shows.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    axis: str
    heading: str


def curves(
    shown: Sequence[Curve],
    styles: Mapping[str, Style],
    frame: Frame,
    what: str,
    salt: str,
    *,
    finish: Callable[["Axes"], Any] = lambda axes: None,
    named: Sequence[Curve] | None = None,
    banded: Sequence[str] | None = None,
    panel: tuple[float, float] | None = None,
) -> str:
    """Returns curves with their bands as SVG.

    Args:
        shown: the curves.
        styles: by label.
        frame: of the axes.
        what: is shown, in words for those who do not see it; the ends of the curves are added.
        salt: makes ids unique.
        finish: draws more.
        named: curves whose names stand beside their ends; by default all.
        banded: labels of the curves whose bands are drawn; by default all.
        panel: width and height in points of a figure without names at the curves; by default a large one with names.
    """
    canvas = Canvas(height(len(shown)), salt) if panel is None else Canvas(panel[1], salt, panel[0])
    with canvas:
        margin = canvas.label_width([curve.label for curve in shown]) + 22 if panel is None else EDGE
        axes = canvas.axes(LEFT, TOP, margin, BOTTOM)
        draw(axes, shown, styles, banded)
        axes.set(xlim=frame.x, ylim=frame.y, xlabel=frame.axis, ylabel="")
        canvas.heading(axes, frame.heading)
        finish(axes)
        if panel is None:
            label_ends(canvas, axes, shown if named is None else named, styles)
        ends = [float(curve.mean[-1]) for curve in shown]
        places = decimals(ends)
        texts = ", ".join(f"{curve.label} {number(end, places)}" for curve, end in zip(shown, ends, strict=True))
        return canvas.svg(f"{what}. Means over seeds at the end: {texts}.")


def draw(
    axes: "Axes", shown: Sequence[Curve], styles: Mapping[str, Style], banded: Sequence[str] | None = None
) -> None:
    """Draws curves and their bands."""
    import seaborn

    for curve in shown:
        style = styles[curve.label]
        if banded is None or curve.label in banded:
            axes.fill_between(
                curve.x,
                curve.low,
                curve.high,
                facecolor=(style.color, 0.12),
                edgecolor=(style.color, 0.45),
                linewidth=0.5,
            )
        seaborn.lineplot(
            x=curve.x,
            y=curve.mean,
            ax=axes,
            color=style.color,
            linestyle=style.linestyle,
            linewidth=1.8,
            estimator=None,
            errorbar=None,
            legend=False,
            sort=False,
        )


def label_ends(canvas: Canvas, axes: "Axes", shown: Sequence[Curve], styles: Mapping[str, Style]) -> None:
    """Writes each name beside the end of its curve, moved as little as keeps the names apart."""
    placed = axes.transData + axes.transAxes.inverted()  # whatever the scale
    ends = np.array([placed.transform((curve.x[-1], curve.mean[-1]))[1] for curve in shown])
    gap = (FONT + 2.5) / canvas.axes_height(axes)
    for curve, end, place in zip(shown, ends, statistics.spread(np.clip(ends, 0, 1), gap, 0.0, 1.0), strict=True):
        style = styles[curve.label]
        axes.plot(
            [1.0, 1.035, 1.075],
            [end, place, place],
            color=style.color,
            linestyle=style.linestyle,
            linewidth=1.5,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(1.09, place, shorten(curve.label), transform=axes.transAxes, va="center_baseline", color=INK)


def dot(axes: "Axes", row: float, estimate: Interval, style: Style, marker: str = "o") -> None:
    """Draws an estimate and its interval in a row."""
    value, low, high = estimate
    if np.isfinite(low):
        axes.plot([low, high], [row, row], color=style.color, linewidth=1.5, solid_capstyle="butt", zorder=2)
    axes.plot([value], [row], marker=marker, color=style.color, markersize=5, linestyle="none", zorder=3)


def rows(axes: "Axes", labels: Sequence[str]) -> None:
    """Gives every label a row, the first on top."""
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), [shorten(label) for label in labels])
    axes.grid(visible=False, axis="y")
    for row in range(1, len(labels)):
        axes.axhline(row - 0.5, color=GRID, linewidth=0.6, zorder=0)


def cost(
    totals: pd.DataFrame, styles: Mapping[str, Style], parts: Mapping[str, str | None], heading: str, what: str
) -> str:
    """Returns stacked bars of seconds as SVG.

    Args:
        totals: a row for each method.
        styles: by label.
        parts: the columns that bars are made of, and their colours; None is the method's own.
        heading: says which colour is which.
        what: the first part is, in words for those who do not see it.
    """
    own, *_ = parts
    known: Any = totals[totals[own].notna()]
    labels = [str(label) for label in known.index]
    with Canvas(max(120.0, 66.0 + 20.0 * len(labels)), "cost") as canvas:
        axes = canvas.axes(canvas.label_width(labels) + 8, TOP, 30.0, BOTTOM)
        places, start = np.arange(len(labels)), np.zeros(len(labels))
        for name, color in parts.items():
            width = known[name].to_numpy(dtype=float)
            colors = [color or styles[label].color for label in labels]
            axes.barh(places, width, left=start, color=colors, height=0.62, edgecolor=MUTED, linewidth=0.4)
            start = start + width
        rows(axes, labels)
        axes.grid(visible=True, axis="x")
        axes.set(xlim=(0, 1.02 * max(float(start.max(initial=0.0)), 1e-3)), xlabel="Seconds")
        canvas.heading(axes, heading, inset=True)
        values = ", ".join(f"{label} {value:,.3g}" for label, value in zip(labels, known[own], strict=True))
        return canvas.svg(f"{what}: {values}.")


def height(labels: int) -> float:
    """Returns the height of a figure with a row or a label for each method."""
    return max(HEIGHT, 66.0 + ROW * labels)
