"""The overview of a comparison: means with intervals, ranks, and what a method costs against what it gains."""

from collections.abc import Mapping

import numpy as np

from vbandits.report.canvas import FONT, Canvas, shorten
from vbandits.report.comparison import Comparison
from vbandits.report.figures import BOTTOM, EDGE, LEFT, TOP, dot, height, rows
from vbandits.report.formats import DASH, number
from vbandits.report.page import Drawing
from vbandits.report.palette import INK, MUTED, Style
from vbandits.report.ranking import places_of

RANK = 62.0
"""Room for ranks, in points."""


def estimates(found: Comparison, styles: Mapping[str, Style], what: str) -> Drawing:
    """Returns the mean of every method with its interval, its interquartile mean, and the ranks that seeds leave it."""
    labels = list(found.ranked)
    several = found.size > len(found.seeds)
    ranked = bool(found.rank_intervals)
    with Canvas(height(len(labels)), "overview-means") as canvas:
        axes = canvas.axes(canvas.label_width(labels) + 8, TOP, RANK if ranked else EDGE, BOTTOM)
        rows(axes, labels)
        for row, label in enumerate(labels):
            shift = 0.16 if several else 0.0
            dot(axes, row - shift, found.means[label], styles[label])
            if several:
                dot(axes, row + shift, found.middles[label], styles[label], "D")
            ends = found.rank_intervals.get(label)
            if ends:
                text = str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}{DASH}{ends[1]}"
                axes.text(1.04, row, text, transform=axes.get_yaxis_transform(), va="center_baseline", color=MUTED)
        if found.measure.chance is not None and found.baseline not in labels:
            axes.axvline(found.measure.chance, color=MUTED, linewidth=1.0, linestyle=(0, (1.0, 2.0)))
        axes.set_xlabel(found.measure.unit)
        if several:
            canvas.legend(axes, found.measure.name[:1].upper() + found.measure.name[1:], [("o", "mean"), ("D", "IQM")])
        else:
            canvas.heading(axes, found.measure.name[:1].upper() + found.measure.name[1:], inset=True)
        if ranked:
            axes.text(1.04, -0.02, "rank", transform=axes.transAxes, va="top", color=MUTED)
        middles = [found.means[label] for label in labels]
        places = places_of(middles, found.measure)
        values = ", ".join(f"{label} {number(own[0], places)}" for label, own in zip(labels, middles, strict=True))
        svg = canvas.svg(f"{found.measure.name}, {found.measure.unit}: {values}.")
    ranks = " At the right, the ranks that these seeds leave, for all at once with 95% confidence." if ranked else ""
    ends = "with 95% intervals" if len(found.seeds) > 1 else "of a single seed"
    middle = ", and their interquartile mean (the mean of the middle half of all runs)" if several else ""
    caption = f"Mean over {what}{middle}, {ends}; {found.measure.better} is better.{ranks}"
    return Drawing(svg, caption)


def pareto(
    found: Comparison, styles: Mapping[str, Style], seconds: Mapping[str, float], per: str, what: str
) -> Drawing | None:
    """Returns the mean of every method against its time, with those that no other beats in both; None without times.

    Args:
        found: the comparison.
        styles: by method.
        seconds: of every method, per decision or whatever `per` says.
        per: what time is measured per, as in "decision".
        what: is timed.
    """
    labels = [label for label in found.contenders if np.isfinite(seconds.get(label, np.nan)) and seconds[label] > 0]
    if len(labels) < 2:
        return None
    times = np.array([seconds[label] for label in labels])
    losses = np.array([found.of(label).mean() for label in labels])
    values = found.measure.sign * losses
    efficient = [not np.any((times < t) & (losses <= own)) for t, own in zip(times, losses, strict=True)]
    with Canvas(height(len(labels)), "overview-cost") as canvas:
        axes = canvas.axes(LEFT, TOP, canvas.label_width(labels) + 6, BOTTOM)
        order = np.argsort(times)
        front = [i for i in order if efficient[i]]
        axes.plot(times[front], values[front], color=MUTED, linewidth=1.0, drawstyle="steps-post", zorder=1)
        axes.set_xscale("log")
        span = max((times.max() / times.min()) ** 0.08, 1.1)
        axes.set_xlim(times.min() / span, times.max() * span)
        low, high = values.min(), values.max()
        room = 0.1 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
        for label, time, value, inside in zip(labels, times, values, efficient, strict=True):
            axes.plot([time], [value], "o", color=styles[label].color, markersize=7 if inside else 5, zorder=3)
        _names(canvas, axes, labels, times, values)
        ticks = _decades(times.min() / span, times.max() * span)
        axes.set_xticks(ticks, [_duration(t) for t in ticks])
        axes.minorticks_off()
        axes.set_xlabel(f"Time per {per}")
        canvas.heading(axes, f"{found.measure.name[:1].upper()}{found.measure.name[1:]}, {found.measure.unit}")
        named = ", ".join(label for label, inside in zip(labels, efficient, strict=True) if inside)
        svg = canvas.svg(f"{found.measure.name} against time per {per}. No other is better and faster than: {named}.")
    caption = f"What it takes: {what}. Joined by the line are those that no other beats in both: {named}."
    return Drawing(svg, caption)


def _names(canvas: Canvas, axes, labels: list[str], times: np.ndarray, values: np.ndarray) -> None:
    """Writes names beside their points, moved apart where they would overlap, with a thin line to the point."""
    from vbandits.report import statistics

    bottom, top = axes.get_ylim()
    places = (values - bottom) / (top - bottom)
    gap = (FONT + 2.0) / canvas.axes_height(axes)
    moved = statistics.spread(places, gap, 0.0, 1.0)
    for label, time, value, place in zip(labels, times, values, moved, strict=True):
        axes.annotate(
            shorten(label),
            (time, value),
            xytext=(1.03, place),
            textcoords=axes.transAxes,
            va="center",
            color=INK,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 3},
            annotation_clip=False,
        )


def _decades(low: float, high: float) -> list[float]:
    steps = [base * 10.0**power for power in range(-9, 7) for base in (1, 2, 5)]
    inside = [step for step in steps if low <= step <= high]
    if len(inside) < 2:  # times that are close to each other
        return [low, high]
    return inside if len(inside) <= 5 else inside[:: -(-len(inside) // 5)]


def _duration(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
