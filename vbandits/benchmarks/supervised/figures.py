"""The figures of a supervised experiment's report."""

from collections.abc import Mapping

import numpy as np

from vbandits.benchmarks.supervised.results import by_severity
from vbandits.benchmarks.supervised.results import reliability as bins_of
from vbandits.report import statistics
from vbandits.report.canvas import LEFT, Canvas
from vbandits.report.figures import BOTTOM, TOP, Curve, Figure, Parts, draw, height, label_ends
from vbandits.report.formats import decimals, number
from vbandits.report.palette import MUTED, Look

FEWEST = 0.005
"""Least share of all predictions in a bin that is drawn: the mean of fewer is mostly noise."""


def severity(
    parts: Parts, looks: Mapping[str, Look], column: str, heading: str, scale: float, dataset: str, salt: str
) -> Figure:
    """Returns the curves of a measure against severity, 0 for the clean test set."""
    shown = []
    for method, part in parts.items():
        steps, values = by_severity(part, column)
        shown.append(Curve(method, steps, *statistics.mean_band(scale * values)))
    with Canvas(height(len(parts)), salt) as canvas:
        axes = canvas.axes(LEFT, TOP, canvas.label_width([*parts]) + 22, BOTTOM)
        draw(axes, shown, looks)
        ends = np.concatenate([np.fmax(curve.mean, np.nan_to_num(curve.high, nan=0.0)) for curve in shown])
        last = max(int(curve.steps[-1]) for curve in shown)
        axes.set(
            xlim=(0, last),
            ylim=(0, _top(ends, shown)),
            xlabel="Severity",
            ylabel="",
            xticks=[float(step) for step in range(last + 1)],
        )
        canvas.heading(axes, heading)
        label_ends(canvas, axes, shown, looks)
        places = decimals([float(curve.mean[-1]) for curve in shown])
        most = ", ".join(f"{curve.agent} {number(float(curve.mean[-1]), places)}" for curve in shown)
        svg = canvas.svg(f"{heading} against severity in {dataset}. Means over seeds at the worst severity: {most}.")
        return Figure(svg, f"severity_{column}")


def reliability(parts: Parts, looks: Mapping[str, Look], dataset: str, corrupted: bool, salt: str) -> Figure:
    """Returns accuracy against confidence, under all corruptions where there are any."""
    shown, gaps = [], []
    for method, part in parts.items():
        confidence, accuracy, share = bins_of(part, corrupted)
        kept = share >= FEWEST
        shown.append(Curve(method, confidence[kept], accuracy[kept], accuracy[kept], accuracy[kept]))
        gaps.append(float(np.nansum(share * (confidence - accuracy))))
    with Canvas(height(len(parts)), salt) as canvas:
        axes = canvas.axes(LEFT, TOP, canvas.label_width([*parts]) + 22, BOTTOM)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (3, 3)), zorder=1)
        for curve in shown:
            look = looks[curve.agent]
            axes.plot(
                curve.steps,
                curve.mean,
                color=look.color,
                linestyle=look.linestyle,
                linewidth=1.6,
                marker="o",
                markersize=3,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence", ylabel="")
        canvas.heading(axes, "Accuracy")
        label_ends(canvas, axes, [curve for curve in shown if len(curve.mean)], looks)
        means = ", ".join(f"{method} {number(100 * gap, 1)}" for method, gap in zip(parts, gaps, strict=True))
        where = f"{dataset} under corruption" if corrupted else dataset
        svg = canvas.svg(f"Accuracy against confidence in {where}. Mean confidence minus accuracy, in points: {means}.")
        return Figure(svg, "reliability_corrupted" if corrupted else "reliability")


def _top(ends: np.ndarray, shown: list[Curve]) -> float:
    """Returns the top of the frame: above every band, but no more than half above the worst mean."""
    worst = max(float(curve.mean.max()) for curve in shown)
    return min(1.05 * float(ends.max()), 1.5 * worst) or 1.0
