"""The figures of an active-learning report: learning curves and calibration, a small panel per method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vbandits.active.results import POOL, SIGN, ActiveResults
from vbandits.report import statistics
from vbandits.report.canvas import LEFT, Canvas, shorten
from vbandits.report.figures import BOTTOM, EDGE, TOP, Curve, Figure, draw, height, label_ends
from vbandits.report.formats import decimals, number
from vbandits.report.palette import INK, Look, looks

MOST = 8
"""Most lines of a panel: more are not told apart."""
WIDTH, HEIGHT = 264.0, 200.0
"""Of a panel, in points."""
ABREAST = 4
"""Most panels in a row."""
DOTTED = (0.0, (1.0, 2.0))
PERCENT = ("accuracy", "ece_debiased", "coverage_90")
TEXTS = {"accuracy": "Accuracy, %", "rmse": "RMSE", "ece_debiased": "Calibration error (debiased), %",
         "coverage_90": "Covered by 90% intervals, %", "reward": "Reward so far"}  # fmt: skip
CALIBRATION = {"accuracy": "ece_debiased", "rmse": "coverage_90"}
"""What shows whether a learner can be trusted, by what it is judged by."""
IDEAL = {"ece_debiased": 0.0, "coverage_90": 90.0}

Grid = dict[str, dict[str, str]]
"""The learners by panel and line."""


@dataclass(frozen=True)
class Panels:
    """Panels with one legend and one caption.

    Attributes:
        title: what the vertical axes show.
        figures: the panels.
        legend: names of the lines and how they look.
        caption: key of the caption.
        columns: panels in a row.
        omitted: lines that are not drawn.
    """

    title: str
    figures: list[Figure]
    legend: list[tuple[str, Look]]
    caption: str
    columns: int
    omitted: int = 0


@dataclass(frozen=True)
class Lines:
    """How an experiment is drawn: a panel per method with a line per acquisition, or one panel where there is one of
    either.

    Attributes:
        grid: the learners by panel and line.
        looks: of the lines.
        chance: the line that buys labels at random, if there is one.
    """

    grid: Grid
    looks: dict[str, Look]
    chance: str = ""

    @property
    def single(self) -> bool:
        """Whether there is but one panel."""
        return len(self.grid) == 1

    def learner_looks(self) -> dict[str, Look]:
        """Returns the look of every learner: that of its line."""
        return {learner: self.looks[line] for panel in self.grid.values() for line, learner in panel.items()}


def lines(results: ActiveResults) -> Lines:
    """Returns how an experiment is drawn."""
    methods = list(dict.fromkeys(method for method, _ in results.grid))
    acquisitions = list(dict.fromkeys(acquisition for _, acquisition in results.grid))
    chance = next((acquisition for (_, acquisition), learner in results.grid.items()
                   if results.random_of(learner) == learner), "")  # fmt: skip
    if len(acquisitions) == 1:
        return Lines({"": {method: learner for (method, _), learner in results.grid.items()}}, looks(methods))
    grid = {method: {acquisition: learner for (own, acquisition), learner in results.grid.items() if own == method}
            for method in methods}  # fmt: skip
    return Lines(grid if len(methods) > 1 else {"": grid[methods[0]]}, looks(acquisitions, chance), chance)


def curves_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> Panels | None:
    """Returns the learning curves: accuracy or RMSE against labels; None without results."""
    measure = results.measure(problem)
    full = {learner: float(trace.last(f"full_{measure}").mean())
            for (place, learner), trace in results.traces.items() if place == problem}  # fmt: skip
    sign = SIGN[measure]
    marks = {}
    for panel, own in how.grid.items():
        fits = [full[learner] for learner in own.values() if np.isfinite(full.get(learner, np.nan))]
        marks[panel] = sign * max((sign * fit for fit in fits), default=np.nan)
    return _panels(results, problem, how, measure, f"curves_{measure}", f"{salt}-curves", marks)


def calibration_of(results: ActiveResults, problem: str, how: Lines, pool: bool, salt: str) -> Panels | None:
    """Returns calibration against labels, on the test set or on the rest of the pool; None without results."""
    score = CALIBRATION[results.measure(problem)]
    column, where = (f"{POOL}{score}", "pool") if pool else (score, "test")
    marks = dict.fromkeys(how.grid, IDEAL[score] / (100 if score in PERCENT else 1))
    return _panels(results, problem, how, column, f"{score}_{where}", f"{salt}-{where}", marks)


def reward_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> Panels | None:
    """Returns the reward so far against the rows of a stream that came by; None where there is no reward."""
    return _panels(results, problem, how, "reward", "rewards", f"{salt}-reward", {}, "seen")


def _panels(
    results: ActiveResults,
    problem: str,
    how: Lines,
    column: str,
    caption: str,
    salt: str,
    marks: Mapping[str, float],
    against: str = "labels",
) -> Panels | None:
    """Returns a panel for each method that has a curve, all on the same axes.

    Args:
        results: of the experiment.
        problem: its label.
        how: it is drawn.
        column: of the records, on the vertical axes.
        caption: its key.
        salt: makes ids unique.
        marks: value of a dotted line by panel.
        against: the column on the horizontal axes.
    """
    kept, name = chosen(results, problem, how), column.removeprefix(POOL)
    scale = 100.0 if name in PERCENT else 1.0
    shown = {}
    for panel, own in how.grid.items():
        found = [_curve(results, problem, own[line], line, column, against, scale) for line in kept if line in own]
        if any(curve is not None for curve in found):
            shown[panel] = [curve for curve in found if curve is not None]
    if not shown:
        return None
    marks = {panel: scale * marks.get(panel, np.nan) for panel in shown}
    frame = _frame([curve for own in shown.values() for curve in own], [*marks.values()])
    title = f"{TEXTS[name]}{' on the rest of the pool' if column != name else ''}"
    axis = "Labels" if against == "labels" else "Rows seen"
    figures = [
        _panel(own, how.looks, (panel, title, axis, problem), marks[panel], frame, how.single, f"{salt}-{place}")
        for place, (panel, own) in enumerate(shown.items())
    ]
    legend = [] if how.single else [(line, how.looks[line]) for line in kept]
    rows = math.ceil(len(figures) / ABREAST)
    omitted = len({line for own in how.grid.values() for line in own}) - len(kept)
    return Panels(title, figures, legend, caption, math.ceil(len(figures) / rows), omitted)


def chosen(results: ActiveResults, problem: str, how: Lines) -> list[str]:
    """Returns the lines that are drawn, in their order: all, or the best ones by their mean place and that of chance.

    The place is by area, among a panel's lines.
    """
    every = list(dict.fromkeys(line for own in how.grid.values() for line in own))
    if len(every) <= MOST:
        return every
    order = results.summary().query("problem == @problem and area.notna()")["learner"].tolist()
    places: dict[str, list[int]] = {line: [] for line in every}
    for own in how.grid.values():
        ranked = sorted((order.index(learner), line) for line, learner in own.items() if learner in order)
        for place, (_, line) in enumerate(ranked):
            places[line].append(place)
    means = {line: float(np.mean(found)) if found else np.inf for line, found in places.items()}
    best = sorted(every, key=lambda line: (line != how.chance, means[line]))[:MOST]
    return [line for line in every if line in best]


def _curve(
    results: ActiveResults, problem: str, learner: str, line: str, column: str, against: str, scale: float
) -> Curve | None:
    """Returns mean and band of a learner where they are known, thinned evenly; None if nowhere."""
    trace = results.traces.get((problem, learner))
    if trace is None:
        return None
    x, values = trace.curves(column, against)
    mean, low, high = statistics.mean_band(scale * values)
    known = np.flatnonzero(np.isfinite(mean) & np.isfinite(x))
    if not known.size:
        return None
    kept = known[statistics.thinned(len(known))]
    return Curve(line, x[kept], mean[kept], low[kept], high[kept])


def _frame(shown: Sequence[Curve], marks: Sequence[float]) -> tuple[float, float, float, float]:
    """Returns left, right, bottom and top: room for all means and marks, and for bands where they have settled."""
    settled = [np.concatenate([c.mean, *(end[len(end) // 20 :] for end in (c.low, c.high))]) for c in shown]
    values = np.concatenate([*settled, np.asarray(marks, float)])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    left, right = min(float(c.steps[0]) for c in shown), max(float(c.steps[-1]) for c in shown)
    return left, right if right > left else left + 1, low - margin, high + margin


def _panel(
    shown: Sequence[Curve],
    look: Mapping[str, Look],
    texts: tuple[str, str, str, str],
    mark: float,
    frame: tuple[float, float, float, float],
    single: bool,
    salt: str,
) -> Figure:
    """Returns a panel; one that stands alone is larger, and has its names at the ends of the curves."""
    panel, title, axis, problem = texts
    left, right, bottom, top = frame
    size = {"height": height(len(shown))} if single else {"height": HEIGHT, "width": WIDTH}
    with Canvas(salt=salt, **size) as canvas:
        names = [curve.agent for curve in shown]
        axes = canvas.axes(LEFT, TOP, canvas.label_width(names) + 22 if single else EDGE, BOTTOM)
        if np.isfinite(mark):
            axes.axhline(mark, color=INK, linewidth=1.0, linestyle=DOTTED, zorder=1)
        draw(axes, shown, look)
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel=axis, ylabel="")
        canvas.heading(axes, title if single else shorten(panel))
        if single:
            label_ends(canvas, axes, shown, look)
        places = decimals([float(curve.mean[-1]) for curve in shown])
        ends = ", ".join(f"{curve.agent} {number(float(curve.mean[-1]), places)}" for curve in shown)
        where = f"on {problem} with {panel}" if panel else f"on {problem}"
        return Figure(canvas.svg(f"{title} against {axis.lower()} {where}. Means over seeds at the end: {ends}."), "")
