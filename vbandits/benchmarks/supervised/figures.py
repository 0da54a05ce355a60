"""The figures of a supervised experiment's report."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from vbandits.benchmarks.supervised.results import SupervisedResults, by_severity
from vbandits.benchmarks.supervised.results import reliability as bins_of
from vbandits.report import statistics
from vbandits.report.canvas import LEFT, Canvas
from vbandits.report.figures import BOTTOM, TOP, Curve, Frame, curves, height, label_ends
from vbandits.report.formats import number
from vbandits.report.page import Drawing
from vbandits.report.palette import MUTED, Style

FEWEST = 0.005
"""Least share of all predictions in a bin that is drawn: the mean of fewer is mostly noise."""
SEVERITY = {
    "error": "Error",
    "nll": "Negative log-likelihood",
    "ece": "Expected calibration error",
}
"""Measures that are drawn against severity, in the words of their captions."""

Parts = Mapping[str, pd.DataFrame]
"""A dataset's records by method, the best first."""


def drawings(
    results: SupervisedResults,
    dataset: str,
    heads: Mapping[str, tuple[str, str]],
    styles: Mapping[str, Style],
    salt: str,
) -> list[Drawing]:
    """Returns what corruption does to every method, where there is any, and how far confidence can be trusted.

    Args:
        results: of the experiment.
        dataset: its label.
        heads: what measures are called, and their units: fractions are drawn in percent.
        styles: by method.
        salt: makes ids unique.
    """
    own = results.of(dataset)
    corrupted = any(bool((part["severity"] > 0).any()) for part in own.values())
    shown = [severity(own, styles, name, heads[name], dataset, f"{salt}-{name}") for name in SEVERITY if corrupted]
    return [*shown, reliability(own, styles, dataset, corrupted, f"{salt}-reliability")]


def severity(
    parts: Parts, styles: Mapping[str, Style], column: str, head: tuple[str, str], dataset: str, salt: str
) -> Drawing:
    """Returns the curves of a measure against severity, 0 for the clean test set."""
    scale, shown = 100.0 if head[1] == "%" else 1.0, []
    for method, part in parts.items():
        steps, values = by_severity(part, column)
        shown.append(Curve(method, steps, *statistics.mean_band(scale * values)))
    ends = np.concatenate([np.fmax(curve.mean, np.nan_to_num(curve.high, nan=0.0)) for curve in shown])
    last = max(int(curve.x[-1]) for curve in shown)
    heading = ", ".join(word for word in head if word)
    svg = curves(
        shown,
        styles,
        Frame((0, last), (0, _top(ends, shown)), "Severity", heading),
        f"{heading} against severity in {dataset}",
        salt,
        finish=lambda axes: axes.set(xticks=[float(step) for step in range(last + 1)]),
    )
    caption = f"{SEVERITY[column]} against severity, 0 being the clean test set: the mean over corruptions and seeds, "
    return Drawing(svg, f"{caption}and its 95% band over seeds, pointwise. Lower is better.")


def reliability(parts: Parts, styles: Mapping[str, Style], dataset: str, corrupted: bool, salt: str) -> Drawing:
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
            style = styles[curve.label]
            axes.plot(
                curve.x,
                curve.mean,
                color=style.color,
                linestyle=style.linestyle,
                linewidth=1.6,
                marker="o",
                markersize=3,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence", ylabel="")
        canvas.heading(axes, "Accuracy")
        label_ends(canvas, axes, [curve for curve in shown if len(curve.mean)], styles)
        means = ", ".join(f"{method} {number(100 * gap, 1)}" for method, gap in zip(parts, gaps, strict=True))
        where = f"{dataset} under corruption" if corrupted else dataset
        svg = canvas.svg(f"Accuracy against confidence in {where}. Mean confidence minus accuracy, in points: {means}.")
        over = "over all corruptions and severities" if corrupted else "on the clean test set"
        return Drawing(
            svg,
            f"Reliability {over}: how often predictions of a confidence are right, over all seeds. Below the dashed "
            "line a method is surer than it should be. Bins with fewer than 0.5% of predictions are left out.",
        )


def _top(ends: np.ndarray, shown: list[Curve]) -> float:
    """Returns the top of the frame: above every band, but no more than half above the worst mean."""
    worst = max(float(curve.mean.max()) for curve in shown)
    return min(1.05 * float(ends.max()), 1.5 * worst) or 1.0
