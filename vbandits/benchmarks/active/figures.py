"""The figures of an active-learning report: learning curves and calibration, a small panel per method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vbandits.benchmarks.active.results import POOL, SIGN, ActiveResults
from vbandits.benchmarks.active.tables import PERCENT
from vbandits.report import statistics
from vbandits.report.canvas import LEFT, Canvas, shorten
from vbandits.report.figures import BOTTOM, EDGE, TOP, Curve, Figure, draw, height, label_ends
from vbandits.report.formats import decimals, number
from vbandits.report.palette import INK, Look, looks

MOST = 8
"""Most lines of a panel: more are not told apart."""
WIDTH, HEIGHT = 264.0, 200.0
"""Of a panel, in points."""
ABREAST, FEWEST = 4, 3
"""Most panels in a row, and for how many there is room at least: wider ones would have larger letters."""
DOTTED = (0.0, (1.0, 2.0))
SCORE_TEXTS = {
    "accuracy": ("Accuracy", "%"),
    "rmse": ("RMSE", ""),
    "ece_debiased": ("ECE debiased", "%"),
    "coverage_90": ("90% intervals cover", "%"),
    "reward": ("Reward so far", ""),
}
WHERE = {"test": " on the test set", "pool": " on the rest of the pool"}
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
class Texts:
    """What panels say: the score on their vertical axes, the problem, the caption's key, the other axes, which rows."""

    score: str
    problem: str
    caption: str
    axis: str = "Labels"
    where: str = ""

    @property
    def title(self) -> str:
        """What the vertical axes show."""
        text, unit = SCORE_TEXTS[self.score]
        return f"{text}{self.where}{', ' if unit else ''}{unit}"


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

    @property
    def every(self) -> list[str]:
        """All lines, in their order."""
        return list(dict.fromkeys(line for own in self.grid.values() for line in own))

    def learner_looks(self) -> dict[str, Look]:
        """Returns the look of every learner: that of its line."""
        return {learner: self.looks[line] for panel in self.grid.values() for line, learner in panel.items()}


def lines(results: ActiveResults) -> Lines:
    """Returns how an experiment is drawn."""
    methods = list(dict.fromkeys(method for method, _ in results.grid))
    acquisitions = list(dict.fromkeys(acquisition for _, acquisition in results.grid))
    chance = next(
        (acquisition for (_, acquisition), learner in results.grid.items() if results.random_of(learner) == learner), ""
    )
    if len(acquisitions) == 1:
        return Lines({"": {method: learner for (method, _), learner in results.grid.items()}}, looks(methods))
    grid = {
        method: {acquisition: learner for (own, acquisition), learner in results.grid.items() if own == method}
        for method in methods
    }
    return Lines(grid if len(methods) > 1 else {"": grid[methods[0]]}, looks(acquisitions, chance), chance)


def curves_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> list[Panels]:
    """Returns the curves of accuracy or RMSE against labels, and of the reward of a stream; none without results."""
    measure = results.measure(problem)
    full = {
        learner: float(trace.last(f"full_{measure}").mean())
        for (place, learner), trace in results.traces.items()
        if place == problem
    }
    marks = {}
    for panel, own in how.grid.items():
        fits = [SIGN[measure] * full[learner] for learner in own.values() if np.isfinite(full.get(learner, np.nan))]
        marks[panel] = _scale(measure) * SIGN[measure] * max(fits, default=np.nan)
    learned = _curves(results, problem, how, measure)
    rewarded = _curves(results, problem, how, "reward", "seen")
    drawn = [_panels(how, learned, Texts(measure, problem, f"curves_{measure}"), marks, f"{salt}-curves")]
    drawn += [_panels(how, rewarded, Texts("reward", problem, "rewards", "Rows seen"), {}, f"{salt}-reward")]
    return [panels for panels in drawn if panels.figures]


def calibration_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> list[Panels]:
    """Returns calibration against labels on the test set and on the rest of the pool, on the same axes."""
    score = CALIBRATION[results.measure(problem)]
    places = {"test": score, "pool": f"{POOL}{score}"}
    shown = {where: _curves(results, problem, how, column) for where, column in places.items()}
    marks, every = dict.fromkeys(how.grid, IDEAL[score]), [curve for own in shown.values() for curve in _all(own)]
    drawn = [
        _panels(
            how, own, Texts(score, problem, f"{score}_{where}", where=WHERE[where]), marks, f"{salt}-{where}", every
        )
        for where, own in shown.items()
    ]
    return [panels for panels in drawn if panels.figures]


def _scale(column: str) -> float:
    """Returns what a column of the records is drawn in: a fraction in percent."""
    return 100.0 if column.removeprefix(POOL) in PERCENT else 1.0


Shown = dict[str, list[Curve]]
"""The curves by panel."""


def _all(shown: Shown) -> list[Curve]:
    return [curve for own in shown.values() for curve in own]


def _curves(results: ActiveResults, problem: str, how: Lines, column: str, against: str = "labels") -> Shown:
    """Returns the curves that exist of those that are drawn."""
    kept = chosen(results, problem, how)
    shown = {}
    for panel, own in how.grid.items():
        found = [_curve(results, problem, own[line], line, column, against) for line in kept if line in own]
        shown[panel] = [curve for curve in found if curve is not None]
    return {panel: own for panel, own in shown.items() if own}


def _panels(
    how: Lines, shown: Shown, texts: Texts, marks: Mapping[str, float], salt: str, framed: Sequence[Curve] = ()
) -> Panels:
    """Returns a panel for each method, all on the same axes.

    Args:
        how: the experiment is drawn.
        shown: the curves.
        texts: what the panels say.
        marks: a value for which there is a dotted line, by panel.
        salt: makes ids unique.
        framed: curves that the axes have room for, if not those shown.
    """
    marks = {panel: marks.get(panel, np.nan) for panel in shown}
    frame = _frame(framed or _all(shown), [*marks.values()]) if shown else (0.0, 1.0, 0.0, 1.0)
    figures = [
        _panel(own, how, panel, texts, marks[panel], frame, f"{salt}-{place}")
        for place, (panel, own) in enumerate(shown.items())
    ]
    drawn = {curve.agent for curve in _all(shown)}
    legend = [] if how.single else [(line, look) for line, look in how.looks.items() if line in drawn]
    rows = max(math.ceil(len(figures) / ABREAST), 1)
    columns = max(math.ceil(len(figures) / rows), FEWEST)
    return Panels(texts.title, figures, legend, texts.caption, columns, max(len(how.every) - MOST, 0))


def chosen(results: ActiveResults, problem: str, how: Lines) -> list[str]:
    """Returns the lines that are drawn, in their order: all, or the best ones by their mean place and that of chance.

    The place is by area, among a panel's lines.
    """
    every = how.every
    if len(every) <= MOST:
        return every
    summary = results.summary()
    order = list(summary["learner"][(summary["problem"] == problem) & summary["area"].notna()])
    places: dict[str, list[int]] = {line: [] for line in every}
    for own in how.grid.values():
        ranked = sorted((order.index(learner), line) for line, learner in own.items() if learner in order)
        for place, (_, line) in enumerate(ranked):
            places[line].append(place)
    means = {line: float(np.mean(found)) if found else np.inf for line, found in places.items()}
    best = sorted(every, key=lambda line: (line != how.chance, means[line]))[:MOST]
    return [line for line in every if line in best]


def _curve(results: ActiveResults, problem: str, learner: str, line: str, column: str, against: str) -> Curve | None:
    """Returns mean and band of a learner where they are known, thinned evenly; None if nowhere."""
    trace = results.traces.get((problem, learner))
    if trace is None:
        return None
    x, values = trace.curves(column, against)
    mean, low, high = statistics.mean_band(_scale(column) * values)
    known = np.flatnonzero(np.isfinite(mean) & np.isfinite(x))
    if not known.size:
        return None
    kept = known[statistics.thinned(len(known))]
    return Curve(line, x[kept], mean[kept], low[kept], high[kept])


def _frame(shown: Sequence[Curve], marks: Sequence[float]) -> tuple[float, float, float, float]:
    """Returns left, right, bottom and top: room for all means and marks, and for bands where they have settled, as far
    as that does not flatten the means: bands of a few seeds can be wider than anything that was measured."""
    settled = [np.concatenate([c.mean, *(end[len(end) // 20 :] for end in (c.low, c.high))]) for c in shown]
    values = np.concatenate([*settled, np.asarray(marks, float)])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    means = np.concatenate([*(c.mean for c in shown), np.asarray(marks, float)])
    least, most = float(np.nanmin(means)), float(np.nanmax(means))
    room = most - least or abs(most) or 1.0
    low, high = max(low, least - room), min(high, most + room)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    left, right = min(float(c.steps[0]) for c in shown), max(float(c.steps[-1]) for c in shown)
    return left, right if right > left else left + 1, low - margin, high + margin


def _panel(
    shown: Sequence[Curve],
    how: Lines,
    panel: str,
    texts: Texts,
    mark: float,
    frame: tuple[float, float, float, float],
    salt: str,
) -> Figure:
    """Returns a panel; one that stands alone is larger, and has its names at the ends of the curves."""
    left, right, bottom, top = frame
    names = [curve.agent for curve in shown]
    canvas = Canvas(height(len(shown)), salt) if how.single else Canvas(HEIGHT, salt, WIDTH)
    with canvas:
        axes = canvas.axes(LEFT, TOP, canvas.label_width(names) + 22 if how.single else EDGE, BOTTOM)
        if np.isfinite(mark):
            axes.axhline(mark, color=INK, linewidth=1.0, linestyle=DOTTED, zorder=1)
        draw(axes, shown, how.looks)
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel=texts.axis, ylabel="")
        canvas.heading(axes, texts.title if how.single else shorten(panel))
        if how.single:
            label_ends(canvas, axes, shown, how.looks)
        places = decimals([float(curve.mean[-1]) for curve in shown])
        ends = ", ".join(f"{curve.agent} {number(float(curve.mean[-1]), places)}" for curve in shown)
        where = f"{texts.problem} with {panel}" if panel else texts.problem
        what = f"{texts.title} against {texts.axis.lower()} in {where}"
        return Figure(canvas.svg(f"{what}. Means over seeds at the end: {ends}."), texts.caption)
