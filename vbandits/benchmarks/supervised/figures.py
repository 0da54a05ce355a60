"""The figures of a supervised experiment's report."""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from vbandits.benchmarks.supervised.results import COVERAGES, SupervisedResults, by_severity, risks
from vbandits.benchmarks.supervised.results import reliability as bins_of
from vbandits.benchmarks.supervised.tables import HEADS
from vbandits.metrics import class_calibration
from vbandits.report import statistics
from vbandits.report.canvas import LEFT, Canvas, shorten
from vbandits.report.figures import BOTTOM, EDGE, TOP, Curve, Frame, curves
from vbandits.report.formats import count, number
from vbandits.report.page import Drawing, Panels
from vbandits.report.palette import MUTED, Style
from vbandits.report.paper import Named

FEWEST = 0.005
"""Least share of all predictions in a bin that is drawn: the mean of fewer is mostly noise."""
SEVERITY = {
    "error": "Error",
    "nll": "Negative log-likelihood",
    "ece": "Expected calibration error",
}
"""Measures that are drawn against severity, in the words of their captions."""

Parts = Mapping[str, pd.DataFrame]
"""A dataset's records by method, the best first; without methods all of whose seeds diverged."""
WIDTH, HEIGHT = 264.0, 230.0
"""Of a panel, in points."""
ABREAST, FEWEST_ABREAST = 4, 3
"""Most panels in a row, and for how many there is room at least."""


def severities(results: SupervisedResults, dataset: str, styles: Mapping[str, Style], salt: str) -> list[Drawing]:
    """Returns what corruption does to every method, where there is any.

    Args:
        results: of the experiment.
        dataset: its label.
        styles: by method.
        salt: makes ids unique.
    """
    own = _sound(results, dataset)
    if not _corrupted(own):
        return []
    return [severity(own, styles, name, HEADS[name], dataset, f"{salt}-{name}") for name in SEVERITY]


def reliabilities(results: SupervisedResults, dataset: str, styles: Mapping[str, Style], salt: str) -> list[Panels]:
    """Returns reliability diagrams in distribution, and under corruption where there is any."""
    own = _sound(results, dataset)
    kinds = [False, *([True] if _corrupted(own) else [])]
    return [reliability(own, styles, dataset, kind, f"{salt}-reliability-{place}") for place, kind in enumerate(kinds)]


def risk_coverages(results: SupervisedResults, dataset: str, styles: Mapping[str, Style], salt: str) -> list[Drawing]:
    """Returns risk-coverage curves in distribution, and under corruption where there is any."""
    own = _sound(results, dataset)
    kinds = [False, *([True] if _corrupted(own) else [])]
    found = [risk_coverage(own, styles, dataset, kind, f"{salt}-risk-{place}") for place, kind in enumerate(kinds)]
    return [drawing for drawing in found if drawing is not None]


ALL = (severities, reliabilities, risk_coverages)
"""The figures of a dataset, in their order."""


def named(results: SupervisedResults, styles: Mapping[str, Style]) -> dict[str, Named]:
    """Returns the figures that can be asked for by their names."""

    def severity_of(column: str, dataset: str) -> Drawing | None:
        own = _sound(results, dataset)
        return severity(own, styles, column, HEADS[column], dataset, "paper") if _corrupted(own) else None

    def reliability_of(corrupted: bool, dataset: str) -> Panels | None:
        own = _sound(results, dataset)
        return reliability(own, styles, dataset, corrupted, "paper") if _corrupted(own) or not corrupted else None

    def risk_of(corrupted: bool, dataset: str) -> Drawing | None:
        own = _sound(results, dataset)
        return risk_coverage(own, styles, dataset, corrupted, "paper") if _corrupted(own) or not corrupted else None

    found = {f"{name} by severity": Named(partial(severity_of, name), "corrupted images") for name in SEVERITY}
    for corrupted, before in ((False, ""), (True, "corrupted ")):
        needs = "corrupted images" if corrupted else "results"
        found[f"{before}reliability"] = Named(partial(reliability_of, corrupted), needs)
        found[f"{before}risk coverage"] = Named(partial(risk_of, corrupted), f"{needs} with recorded risks")
    return found


def _sound(results: SupervisedResults, dataset: str) -> Parts:
    return {method: part for method, part in results.of(dataset).items() if part["error"].notna().to_numpy().any()}


def _corrupted(parts: Parts) -> bool:
    return any(bool((part["severity"] > 0).any()) for part in parts.values())


def severity(
    parts: Parts, styles: Mapping[str, Style], column: str, head: tuple[str, str], dataset: str, salt: str
) -> Drawing:
    """Returns the curves of a measure against severity, 0 for the clean test set."""
    scale, shown = 100.0 if head[1] == "%" else 1.0, []
    for method, part in parts.items():
        steps, values = by_severity(part, column)
        shown.append(
            Curve(method, steps, *statistics.mean_band(scale * values, low=0.0, high=100.0 if scale > 1 else np.inf))
        )
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
    return Drawing(svg, f"{caption}and its 95% band over seeds, at all severities at once. Lower is better.")


def reliability(parts: Parts, styles: Mapping[str, Style], dataset: str, corrupted: bool, salt: str) -> Panels:
    """Returns accuracy against confidence, a panel for each method, with what a perfect model would show."""
    svgs = []
    for place, (method, part) in enumerate(parts.items()):
        confidence, accuracy, rows = bins_of(part, corrupted)
        kept = rows >= FEWEST * rows.sum()
        low, high = class_calibration.consistency_band(confidence[kept], rows[kept])
        gap = float(np.nansum(rows * (confidence - accuracy)) / rows.sum())
        with Canvas(HEIGHT, f"{salt}-{place}", WIDTH) as canvas:
            axes = canvas.axes(LEFT, TOP, EDGE, BOTTOM)
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (3, 3)), zorder=1)
            axes.vlines(confidence[kept], low, high, color=(MUTED, 0.35), linewidth=7, zorder=1.5)
            style = styles[method]
            axes.plot(
                confidence[kept],
                accuracy[kept],
                color=style.color,
                linestyle=style.linestyle,
                linewidth=1.6,
                marker="o",
                markersize=4,
            )
            axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence", ylabel="")
            canvas.heading(axes, shorten(method))
            outside = int(((accuracy[kept] < low) | (accuracy[kept] > high)).sum())
            where = f"{dataset} under corruption" if corrupted else dataset
            svgs.append(
                canvas.svg(
                    f"Accuracy against confidence in {where} with {method}. Mean confidence minus accuracy: "
                    f"{number(100 * gap, 1)} points; {outside} of {count(int(kept.sum()), 'bin')} outside the band."
                )
            )
    over = "over all corruptions and severities" if corrupted else "on the clean test set"
    columns = max(math.ceil(len(svgs) / math.ceil(len(svgs) / ABREAST)), FEWEST_ABREAST) if svgs else 1
    return Panels(
        f"Accuracy {'under corruption' if corrupted else 'in distribution'}",
        svgs,
        [(method, styles[method]) for method in parts],
        f"Reliability {over}: how often predictions of a confidence are right, the mean over seeds. Below the dashed "
        "line a method is surer than it should be. Grey: where 95% of perfect models lie with as many images as one "
        "seed is evaluated on in one setting, bin by bin: of twenty bins of a perfect model one lies outside. Bins "
        "with fewer than 0.5% of predictions are left out.",
        columns,
    )


def risk_coverage(
    parts: Parts, styles: Mapping[str, Style], dataset: str, corrupted: bool, salt: str
) -> Drawing | None:
    """Returns the error among the most confident images against how many they are; None where it is not recorded."""
    x, shown = np.array(COVERAGES, dtype=float), []
    for method, part in parts.items():
        if len(values := 100 * risks(part, corrupted)):
            shown.append(Curve(method, x, *statistics.mean_band(values, low=0.0, high=100.0)))
    if not shown:
        return None
    top = _top(np.concatenate([np.fmax(curve.mean, np.nan_to_num(curve.high, nan=0.0)) for curve in shown]), shown)
    where = f"{dataset} under corruption" if corrupted else dataset
    svg = curves(
        shown,
        styles,
        Frame((0, 100), (0, top), "Coverage, %", "Error, %"),
        f"Error against coverage in {where}",
        salt,
    )
    over = "under all corruptions and severities" if corrupted else "on the clean test set"
    return Drawing(
        svg,
        f"Risk and coverage {over}: the error among the images of the highest confidence, against how many they are. "
        "Whoever passes the others on has this error: mean over seeds and 95% band, at all points at once. Lower is "
        "better; at the right end is the error on all.",
    )


def _top(ends: np.ndarray, shown: list[Curve]) -> float:
    """Returns the top of the frame: above every band, but no more than half above the worst mean."""
    worst = max(float(curve.mean.max()) for curve in shown)
    return min(1.05 * float(ends.max()), 1.5 * worst) or 1.0
