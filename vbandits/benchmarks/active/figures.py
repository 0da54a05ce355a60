"""The figures of an active-learning report: learning curves and calibration, a small panel per method."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vbandits.benchmarks.active.results import POOL, SIGN, ActiveResults
from vbandits.benchmarks.active.tables import shown_as
from vbandits.report import figures, statistics, texts
from vbandits.report.canvas import shorten
from vbandits.report.figures import Curve, Frame
from vbandits.report.page import Drawing, Panels
from vbandits.report.palette import INK, Style, styles
from vbandits.report.paper import Named

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
WHERE = {"test": "on the test set", "pool": "on the rest of the pool"}
CALIBRATION = {"accuracy": "ece_debiased", "rmse": "coverage_90"}
"""What shows whether a learner can be trusted, by what it is evaluated by."""
POSSIBLE = {"accuracy": (0.0, 1.0), "coverage_90": (0.0, 1.0), "rmse": (0.0, np.inf)}
"""The least and the most that scores can be, where that is known."""
IDEAL = {"ece_debiased": 0.0, "coverage_90": 90.0}

_LABELS = (
    f" against labels known: {texts.BAND.removesuffix('.')}. Dotted: the fit to all labels of the pool (of several "
    "methods, the best)."
)
CAPTIONS = {
    "accuracy": f"Accuracy on the test set{_LABELS} Higher is better.",
    "rmse": f"Root mean squared error on the test set{_LABELS} Lower is better.",
    "reward": f"Reward so far against the rows of the stream that came by: {texts.BAND} Higher is better.",
    "ece_debiased": (
        "How far confidence is from accuracy, without what chance makes of few rows, so that it may fall below 0, "
        "against labels known. Dotted: calibrated. Mean over seeds and 95% band, at all points at once. Lower is "
        "better."
    ),
    "coverage_90": (
        "How often targets fall into central 90% intervals, against labels known. Dotted: as often as they should; "
        "below it a learner is surer than it should be. Mean over seeds and 95% band, at all points at once."
    ),
}
REST = " These are the rows that a learner had not bought: what it left, and no sample of the problem."

Grid = dict[str, dict[str, str]]
"""The learners by panel and line."""


@dataclass(frozen=True)
class Texts:
    """What panels say: the score on their vertical axes, the problem, the other axes, which rows, and the caption."""

    score: str
    problem: str
    axis: str = "Labels"
    where: str = ""

    @property
    def title(self) -> str:
        """What the vertical axes show."""
        text, unit = SCORE_TEXTS[self.score]
        return f"{text}{' ' if self.where else ''}{self.where}{', ' if unit else ''}{unit}"

    @property
    def caption(self) -> str:
        """How to read them."""
        where = f"{self.where[:1].upper()}{self.where[1:]}. " if self.where else ""
        return f"{where}{CAPTIONS[self.score]}{REST if self.where == WHERE['pool'] else ''}"


@dataclass(frozen=True)
class Lines:
    """How an experiment is drawn: a panel per method with a line per acquisition, or one panel where there is one of
    either.

    Attributes:
        grid: the learners by panel and line.
        styles: of the lines.
        chance: the line that buys labels at random, if there is one.
    """

    grid: Grid
    styles: dict[str, Style]
    chance: str = ""

    @property
    def single(self) -> bool:
        """Whether there is but one panel."""
        return len(self.grid) == 1

    @property
    def every(self) -> list[str]:
        """All lines, in their order."""
        return list(dict.fromkeys(line for own in self.grid.values() for line in own))

    def learner_styles(self) -> dict[str, Style]:
        """Returns the style of every learner: that of its line."""
        return {learner: self.styles[line] for panel in self.grid.values() for line, learner in panel.items()}


def lines(results: ActiveResults) -> Lines:
    """Returns how an experiment is drawn."""
    methods = list(dict.fromkeys(method for method, _ in results.grid))
    acquisitions = list(dict.fromkeys(acquisition for _, acquisition in results.grid))
    chance = next(
        (acquisition for (_, acquisition), learner in results.grid.items() if results.random_of(learner) == learner), ""
    )
    if len(acquisitions) == 1:
        return Lines({"": {method: learner for (method, _), learner in results.grid.items()}}, styles(methods))
    grid = {
        method: {acquisition: learner for (own, acquisition), learner in results.grid.items() if own == method}
        for method in methods
    }
    return Lines(grid if len(methods) > 1 else {"": grid[methods[0]]}, styles(acquisitions, chance), chance)


def curves_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> list[Drawing | Panels]:
    """Returns the curves of accuracy or RMSE against labels, and of the reward of a stream; none without results."""
    return [*learning_of(results, problem, how, salt), *rewards_of(results, problem, how, salt)]


def learning_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> list[Drawing | Panels]:
    """Returns the curves of accuracy or RMSE against labels."""
    measure = results.measure(problem)
    scale, marks = shown_as(measure)[0] * SIGN[measure], {}
    for panel, own in how.grid.items():
        fits = [results.fit(problem, learner) for learner in own.values()]
        marks[panel] = scale * max((fit for fit in fits if np.isfinite(fit)), default=np.nan)
    learned = _curves(results, problem, how, measure)
    return _drawn(how, learned, Texts(measure, problem), marks, f"{salt}-curves")


def rewards_of(results: ActiveResults, problem: str, how: Lines, salt: str) -> list[Drawing | Panels]:
    """Returns the curves of the reward of a stream."""
    rewarded = _curves(results, problem, how, "reward", "seen")
    return _drawn(how, rewarded, Texts("reward", problem, "Rows seen"), {}, f"{salt}-reward")


def calibration_of(
    results: ActiveResults, problem: str, how: Lines, salt: str, wanted: Sequence[str] = tuple(WHERE)
) -> list[Drawing | Panels]:
    """Returns calibration against labels on the test set and on the rest of the pool, or one of them, on the same axes.

    Args:
        results: of the experiment.
        problem: its label.
        how: the experiment is drawn.
        salt: makes ids unique.
        wanted: "test", "pool" or both.
    """
    score = CALIBRATION[results.measure(problem)]
    places = {"test": score, "pool": f"{POOL}{score}"}
    shown = {place: _curves(results, problem, how, column) for place, column in places.items()}
    marks, every = dict.fromkeys(how.grid, IDEAL[score]), [curve for own in shown.values() for curve in _all(own)]
    return [
        drawing
        for place, own in shown.items()
        if place in wanted
        for drawing in _drawn(how, own, Texts(score, problem, where=WHERE[place]), marks, f"{salt}-{place}", every)
    ]


def named(results: ActiveResults, how: Lines) -> dict[str, Named]:
    """Returns the figures that can be asked for by their names."""

    def only(draw: Callable[..., list[Drawing | Panels]], problem: str) -> Drawing | Panels | None:
        return next(iter(draw(results, problem, how, "paper")), None)

    return {
        "learning curves": Named(partial(only, learning_of)),
        "reward curves": Named(partial(only, rewards_of), "a stream with a reward"),
        "calibration": Named(partial(only, partial(calibration_of, wanted=("test",)))),
        "pool calibration": Named(partial(only, partial(calibration_of, wanted=("pool",)))),
    }


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


def _drawn(
    how: Lines, shown: Shown, says: Texts, marks: Mapping[str, float], salt: str, framed: Sequence[Curve] = ()
) -> list[Drawing | Panels]:
    """Returns a panel for each method, all on the same axes, or one large figure; nothing without curves.

    Args:
        how: the experiment is drawn.
        shown: the curves.
        says: what the panels say.
        marks: a value for which there is a dotted line, by panel.
        salt: makes ids unique.
        framed: curves that the axes have room for, if not those shown.
    """
    if not shown:
        return []
    marks = {panel: marks.get(panel, np.nan) for panel in shown}
    x, y = _limits(framed or _all(shown), [*marks.values()])
    svgs = [
        _panel(own, how, panel, says, marks[panel], (x, y), f"{salt}-{place}")
        for place, (panel, own) in enumerate(shown.items())
    ]
    omitted = max(len(how.every) - MOST, 0)
    more = f" Not drawn, of all lines: the {omitted} that did worst; they are in the tables." if omitted else ""
    caption = f"{says.caption}{more}"
    if how.single:
        return [Drawing(svgs[0], caption)]
    drawn = {curve.label for curve in _all(shown)}
    legend = [(line, style) for line, style in how.styles.items() if line in drawn]
    rows = math.ceil(len(svgs) / ABREAST)
    return [Panels(says.title, svgs, legend, caption, max(math.ceil(len(svgs) / rows), FEWEST))]


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
    scale, (least, most) = shown_as(column)[0], POSSIBLE.get(column.removeprefix(POOL), (-np.inf, np.inf))
    mean, low, high = statistics.mean_band(scale * values, low=scale * least, high=scale * most)
    known = np.flatnonzero(np.isfinite(mean) & np.isfinite(x))
    if not known.size:
        return None
    kept = known[statistics.thinned(len(known))]
    return Curve(line, x[kept], mean[kept], low[kept], high[kept])


Limits = tuple[tuple[float, float], tuple[float, float]]
"""Of the horizontal and of the vertical axis."""


def _limits(shown: Sequence[Curve], marks: Sequence[float]) -> Limits:
    """Returns room for all means and marks, and for bands where they have settled, as far as that does not flatten the
    means: bands of a few seeds can be wider than anything that was measured."""
    settled = [np.concatenate([c.mean, *(end[len(end) // 20 :] for end in (c.low, c.high))]) for c in shown]
    values = np.concatenate([*settled, np.asarray(marks, float)])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    means = np.concatenate([*(c.mean for c in shown), np.asarray(marks, float)])
    least, most = float(np.nanmin(means)), float(np.nanmax(means))
    room = most - least or abs(most) or 1.0
    low, high = max(low, least - room), min(high, most + room)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    left, right = min(float(c.x[0]) for c in shown), max(float(c.x[-1]) for c in shown)
    return (left, right if right > left else left + 1), (low - margin, high + margin)


def _panel(shown: Sequence[Curve], how: Lines, panel: str, says: Texts, mark: float, limits: Limits, salt: str) -> str:
    """Returns a panel; one that stands alone is larger, and has its names at the ends of the curves."""
    where = f"{says.problem} with {panel}" if panel else says.problem

    def finish(axes) -> None:
        if np.isfinite(mark):
            axes.axhline(mark, color=INK, linewidth=1.0, linestyle=DOTTED, zorder=0.9)

    return figures.curves(
        shown,
        how.styles,
        Frame(*limits, says.axis, says.title if how.single else shorten(panel)),
        f"{says.title} against {says.axis.lower()} in {where}",
        salt,
        finish=finish,
        panel=None if how.single else (WIDTH, HEIGHT),
    )
