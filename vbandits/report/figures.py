"""The report's figures. They are drawn here, and computed in `statistics`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.results import YARDSTICK
from vbandits.metrics.calibration import LEVELS
from vbandits.report import statistics
from vbandits.report.canvas import FONT, LEFT, WIDTH, Canvas, shorten
from vbandits.report.formats import MINUS, compact, decimals, number
from vbandits.report.palette import GRID, INK, MUTED, Look
from vbandits.report.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 300.0
TOP, BOTTOM, EDGE, GUTTER = 26.0, 40.0, 14.0, 22.0
"""Margins of axes, in points: above, below, at the right edge, and between two."""
ROW = 17.0
"""Least height of an agent's row, in points."""
ROOM = 1.15
"""Height of the frame over the worst learning agent's mean."""
MARKERS = dict(zip(LEVELS, "os^", strict=True))

BANDIT_OTHERS = {"environment_seconds": MUTED, "scoring_seconds": GRID}
"""What an experiment's time goes to besides the agents, and its colour."""

Parts = Mapping[str, pd.DataFrame]
"""An environment's records by agent, the best first."""


@dataclass(frozen=True)
class Figure:
    """A drawn figure: SVG, the key of its caption, and whether the uniform agent leaves the frame."""

    svg: str
    caption: str
    clipped: bool = False


@dataclass(frozen=True)
class Curve:
    """Mean and band of an agent over steps, each [G]."""

    agent: str
    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def regret(parts: Parts, looks: Mapping[str, Look], measure: str, environment: str, salt: str) -> Figure:
    """Returns the curves of cumulative regret, or of the mean reward so far where there is no regret."""
    rewarded = measure == "reward"
    shown = [_curve(agent, part, rewarded) for agent, part in parts.items()]
    bottom, top, clipped = frame(shown, rewarded)
    with Canvas(height(len(parts)), salt) as canvas:
        margin = canvas.label_width([*parts]) + 22
        axes = canvas.axes(LEFT, TOP, margin, BOTTOM)
        draw(axes, shown, looks)
        last = 1 + max(int(curve.steps[-1]) for curve in shown)
        axes.set(xlim=(0, last), ylim=(bottom, top), xlabel="Step", ylabel="")
        canvas.heading(axes, "Mean reward per decision so far" if rewarded else "Cumulative regret")
        if rewarded:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("-", MINUS))
        inside = [curve for curve in shown if not (clipped and curve.agent == YARDSTICK)]
        label_ends(canvas, axes, inside, looks)
        if clipped:
            _leaving(axes, next(curve for curve in shown if curve.agent == YARDSTICK), top)
        places = decimals([float(curve.mean[-1]) for curve in shown])
        ends = ", ".join(f"{curve.agent} {number(float(curve.mean[-1]), places)}" for curve in shown)
        what = "Mean reward per decision" if rewarded else "Cumulative regret"
        svg = canvas.svg(f"{what} against step in {environment}. Means over seeds at the last step: {ends}.")
        return Figure(svg, "reward" if rewarded else "cumulative_regret", clipped)


def calibration(parts: Parts, looks: Mapping[str, Look], environment: str, salt: str) -> Figure | None:
    """Returns how coverage departs from nominal, or the Brier score for rewards in {0, 1}; None without predictions."""
    covered = {agent: part for agent, part in parts.items() if statistics.exists(part, "pit")}
    if covered:
        return _coverage(covered, looks, environment, salt)
    scored = {agent: part for agent, part in parts.items() if statistics.exists(part, "brier")}
    return _probability(scored, looks, environment, salt) if scored else None


def cost(
    totals: pd.DataFrame,
    looks: Mapping[str, Look],
    salt: str,
    others: Mapping[str, str] = BANDIT_OTHERS,
    heading: str = "Agent (its colour), environment (dark grey), scoring (light grey)",
    what: str = "the agents over all environments",
) -> Figure:
    """Returns stacked bars of seconds: an agent's or method's own in its colour, `others` in the colours given."""
    known: Any = totals[totals["seconds"].notna()]
    agents = [str(agent) for agent in known.index]
    with Canvas(max(120.0, 66.0 + 20.0 * len(agents)), salt) as canvas:
        axes = canvas.axes(canvas.label_width(agents) + 8, TOP, 30.0, BOTTOM)
        rows, start = np.arange(len(agents)), np.zeros(len(agents))
        for name, color in (("seconds", None), *others.items()):
            width = known[name].to_numpy(dtype=float)
            colors = [color or looks[agent].color for agent in agents]
            axes.barh(rows, width, left=start, color=colors, height=0.62, edgecolor=MUTED, linewidth=0.4)
            start = start + width
        _rows(axes, agents)
        axes.grid(visible=True, axis="x")
        axes.set(xlim=(0, 1.02 * max(float(start.max(initial=0.0)), 1e-3)), xlabel="Seconds")
        canvas.heading(axes, heading, inset=True)
        values = ", ".join(f"{agent} {value:,.3g}" for agent, value in zip(agents, known["seconds"], strict=True))
        return Figure(canvas.svg(f"Seconds of {what}: {values}."), "cost")


def frame(shown: Sequence[Curve], rewarded: bool) -> tuple[float, float, bool]:
    """Returns bottom and top of the vertical axis, and whether the uniform agent leaves it.

    The uniform agent's regret may dwarf all others': it is cut off where it would take most of the frame. The mean of
    the first rewards is noise: the frame is made for what comes after a twentieth of the run.
    """
    if rewarded:
        settled = [np.concatenate([_known(c.mean, c.low)[_late(c)], _known(c.mean, c.high)[_late(c)]]) for c in shown]
        low, high = min(float(values.min()) for values in settled), max(float(values.max()) for values in settled)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return low - margin, high + margin, False
    tops = {curve.agent: float(max(curve.mean.max(), _known(curve.mean, curve.high)[-1])) for curve in shown}
    everything = 1.05 * max(tops.values()) or 1.0
    learning = max((top for agent, top in tops.items() if agent != YARDSTICK), default=0.0)
    clipped = YARDSTICK in tops and 0 < 1.5 * ROOM * learning < tops[YARDSTICK]
    return 0.0, ROOM * learning if clipped else everything, clipped


def _late(curve: Curve) -> slice:
    return slice(len(curve.steps) // 20, None)


def _known(mean: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the end of a band, or the mean where there is no band."""
    return np.where(np.isnan(end), mean, end)


def _curve(agent: str, part: pd.DataFrame, rewarded: bool) -> Curve:
    steps, values = statistics.curves(part, "cumulative_reward" if rewarded else "cumulative_regret")
    return Curve(agent, steps, *statistics.mean_band(values / (steps + 1) if rewarded else values))


def draw(axes: "Axes", shown: Sequence[Curve], looks: Mapping[str, Look]) -> None:
    """Draws curves and their bands."""
    import seaborn

    for curve in shown:
        look = looks[curve.agent]
        axes.fill_between(
            curve.steps,
            curve.low,
            curve.high,
            facecolor=(look.color, 0.12),
            edgecolor=(look.color, 0.45),
            linewidth=0.5,
        )
        seaborn.lineplot(
            x=curve.steps,
            y=curve.mean,
            ax=axes,
            color=look.color,
            linestyle=look.linestyle,
            linewidth=1.8,
            estimator=None,
            errorbar=None,
            legend=False,
        )


def label_ends(canvas: Canvas, axes: "Axes", shown: Sequence[Curve], looks: Mapping[str, Look]) -> None:
    """Writes each name beside the end of its curve, moved as little as keeps the names apart."""
    bottom, top = axes.get_ylim()
    ends = np.array([(curve.mean[-1] - bottom) / (top - bottom) for curve in shown])
    gap = (FONT + 2.5) / canvas.axes_height(axes)
    for curve, end, place in zip(shown, ends, statistics.spread(np.clip(ends, 0, 1), gap, 0.0, 1.0), strict=True):
        look = looks[curve.agent]
        axes.plot(
            [1.0, 1.035, 1.075],
            [end, place, place],
            color=look.color,
            linestyle=look.linestyle,
            linewidth=1.5,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(1.09, place, shorten(curve.agent), transform=axes.transAxes, va="center_baseline", color=INK)


def _leaving(axes: "Axes", uniform: Curve, top: float) -> None:
    """Notes where the uniform agent leaves the frame, and where it ends."""
    x = float(np.interp(top, uniform.mean, uniform.steps))
    text = f"↑ {YARDSTICK}, to {compact(float(f'{uniform.mean[-1]:.3g}'))}"
    left, right = axes.get_xlim()
    inset = 0.015 * (right - left)
    near = x < 0.6 * right
    axes.text(
        x + inset if near else x - inset, 0.985 * top, text, va="top", ha="left" if near else "right", color=MUTED
    )


def _coverage(parts: Parts, looks: Mapping[str, Look], environment: str, salt: str) -> Figure:
    with Canvas(height(len(parts)), salt) as canvas:
        axes = canvas.axes(canvas.label_width([*parts]) + 8, TOP, EDGE, BOTTOM)
        _rows(axes, [*parts])
        shift = {level: 0.24 * (i - 1) for i, level in enumerate(LEVELS)}
        ends = [-8.0, 8.0]
        gaps = {
            agent: {level: statistics.coverage_gap(part, level) for level in LEVELS} for agent, part in parts.items()
        }
        for row, (agent, by_level) in enumerate(gaps.items()):
            for level, estimate in by_level.items():
                _dot(axes, row + shift[level], estimate, looks[agent], MARKERS[level])
                ends += [value for value in estimate if np.isfinite(value)]
        margin = 0.04 * (max(ends) - min(ends))
        axes.set(xlim=(min(ends) - margin, max(ends) + margin))
        axes.axvline(0, color=INK, linewidth=1.0, zorder=1)
        axes.set_xlabel("← overconfident · points · too cautious →")
        canvas.legend(
            axes, f"Observed {MINUS} nominal coverage", [(MARKERS[level], f"{100 * level:.0f}%") for level in LEVELS]
        )
        places = ", ".join(
            f"{agent} {number(by_level[0.9][0], 0)}"
            for agent, by_level in gaps.items()
            if np.isfinite(by_level[0.9][0])
        )
        label = f"Observed minus nominal coverage in {environment}. Points off for 90% intervals: {places}."
        return Figure(canvas.svg(label), "coverage")


def _probability(parts: Parts, looks: Mapping[str, Look], environment: str, salt: str) -> Figure:
    with Canvas(height(len(parts)), salt) as canvas:
        names = canvas.label_width([*parts]) + 8
        width = (WIDTH - names - EDGE - GUTTER) / 2
        brier = _dots(canvas.axes(names, TOP, EDGE + GUTTER + width, BOTTOM), parts, looks, statistics.brier_score)
        gap = _dots(canvas.axes(names + width + GUTTER, TOP, EDGE, BOTTOM), parts, looks, statistics.probability_gap)
        brier.set_xlim(left=0)
        brier.set_xlabel("lower is better")
        low, high = gap.get_xlim()
        gap.set_xlim(min(low, -2.0), max(high, 2.0))
        gap.axvline(0, color=INK, linewidth=1.0, zorder=1)
        gap.set_yticklabels([])
        gap.set_xlabel("points too low | high")
        canvas.heading(brier, "Brier score")
        canvas.heading(gap, f"Predicted {MINUS} observed")
        scores = ", ".join(f"{agent} {number(statistics.brier_score(part)[0], 3)}" for agent, part in parts.items())
        return Figure(canvas.svg(f"Brier scores in {environment}: {scores}."), "probability")


def _dots(
    axes: "Axes", parts: Parts, looks: Mapping[str, Look], statistic: Callable[[pd.DataFrame], Interval]
) -> "Axes":
    _rows(axes, [*parts])
    for row, (agent, part) in enumerate(parts.items()):
        _dot(axes, float(row), statistic(part), looks[agent], "o")
    return axes


def _dot(axes: "Axes", row: float, estimate: Interval, look: Look, marker: str) -> None:
    value, low, high = estimate
    if np.isfinite(low):
        axes.plot([low, high], [row, row], color=look.color, linewidth=1.5, solid_capstyle="butt", zorder=2)
    axes.plot([value], [row], marker=marker, color=look.color, markersize=5, linestyle="none", zorder=3)


def _rows(axes: "Axes", agents: Sequence[str]) -> None:
    """Gives every agent a row, the first on top."""
    axes.set_ylim(len(agents) - 0.4, -0.6)
    axes.set_yticks(range(len(agents)), [shorten(agent) for agent in agents])
    axes.grid(visible=False, axis="y")
    for row in range(1, len(agents)):
        axes.axhline(row - 0.5, color=GRID, linewidth=0.6, zorder=0)


def height(agents: int) -> float:
    """Returns the height of a figure with a row or a label for each agent."""
    return max(HEIGHT, 66.0 + ROW * agents)
