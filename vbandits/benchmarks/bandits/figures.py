"""The figures of a bandit experiment: regret, and how far predictions can be trusted."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.results import BASELINE, Results
from vbandits.metrics import calibration
from vbandits.metrics.calibration import LEVELS
from vbandits.report import statistics, texts
from vbandits.report.canvas import WIDTH, Canvas
from vbandits.report.figures import BOTTOM, EDGE, GUTTER, TOP, Curve, Frame, curves, dot, height, rows
from vbandits.report.formats import MINUS, compact, number
from vbandits.report.page import Drawing
from vbandits.report.palette import INK, MUTED, Style
from vbandits.report.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 1.15
"""Height of the frame over the worst learning agent's mean."""
MARKERS = dict(zip(LEVELS, "os^", strict=True))
REGRET = f"Cumulative regret: {texts.BAND} Flatter is better."
REWARD = f"Mean reward per decision so far: {texts.BAND} Higher is better."
CLIPPED = "The uniform agent leaves the frame, so that the others can be told apart."
COVERAGE = (
    "Calibration: how much more often, or less often, outcomes fall into central predictive intervals than they "
    "should. Left of zero the agent is surer than it should be. Bars are 95% intervals of the mean over seeds."
)
PROBABILITY = (
    "Calibration of the probability of reward: Brier score (lower is better), and how far the mean predicted "
    "probability is from how often reward came. Bars are 95% intervals of the mean over seeds."
)
NO_CALIBRATION = "There are no predictions to evaluate in this environment."

Parts = Mapping[str, pd.DataFrame]
"""An environment's records by agent, the best first."""


def drawings(results: Results, environment: str, measure: str, styles: Mapping[str, Style], salt: str) -> list[Drawing]:
    """Returns the curves of an environment and the calibration of the agents' predictions."""
    own = results.of(environment)
    shown = regret(own, styles, measure == "reward", environment, f"{salt}-curves")
    calibration = calibrated(own, styles, environment, f"{salt}-calibration")
    return [shown, calibration or Drawing("", NO_CALIBRATION)]


def regret(parts: Parts, styles: Mapping[str, Style], rewarded: bool, environment: str, salt: str) -> Drawing:
    """Returns the curves of cumulative regret, or of the mean reward so far where there is no regret."""
    shown = [_curve(agent, part, rewarded) for agent, part in parts.items()]
    bottom, top, clipped = frame(shown, rewarded)
    uniform = next((curve for curve in shown if clipped and curve.label == BASELINE), None)

    def finish(axes: "Axes") -> None:
        if rewarded:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("-", MINUS))
        if uniform is not None:
            _leaving(axes, uniform, top)

    last = 1 + max(int(curve.x[-1]) for curve in shown)
    heading = "Mean reward per decision so far" if rewarded else "Cumulative regret"
    what = heading.removesuffix(" so far")
    svg = curves(
        shown,
        styles,
        Frame((0, last), (bottom, top), "Step", heading),
        f"{what} against step in {environment}",
        salt,
        finish=finish,
        named=[curve for curve in shown if curve is not uniform],
    )
    caption = REWARD if rewarded else REGRET
    return Drawing(svg, f"{caption} {CLIPPED}" if clipped else caption)


def calibrated(parts: Parts, styles: Mapping[str, Style], environment: str, salt: str) -> Drawing | None:
    """Returns how coverage departs from nominal, or the Brier score for rewards in {0, 1}; None without predictions."""
    covered = {agent: part for agent, part in parts.items() if statistics.exists(part, "pit")}
    if covered:
        return _coverage(covered, styles, environment, salt)
    scored = {agent: part for agent, part in parts.items() if statistics.exists(part, "brier")}
    return _probability(scored, styles, environment, salt) if scored else None


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
    tops = {curve.label: float(max(curve.mean.max(), _known(curve.mean, curve.high)[-1])) for curve in shown}
    everything = 1.05 * max(tops.values()) or 1.0
    learning = max((top for agent, top in tops.items() if agent != BASELINE), default=0.0)
    clipped = BASELINE in tops and 0 < 1.5 * ROOM * learning < tops[BASELINE]
    return 0.0, ROOM * learning if clipped else everything, clipped


def _late(curve: Curve) -> slice:
    return slice(len(curve.x) // 20, None)


def _known(mean: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the end of a band, or the mean where there is no band."""
    return np.where(np.isnan(end), mean, end)


def _curve(agent: str, part: pd.DataFrame, rewarded: bool) -> Curve:
    steps, values = by_step(part, "cumulative_reward" if rewarded else "cumulative_regret")
    return Curve(agent, steps, *statistics.mean_band(values / (steps + 1) if rewarded else values))


def _leaving(axes: "Axes", uniform: Curve, top: float) -> None:
    """Notes where the uniform agent leaves the frame, and where it ends."""
    x = float(np.interp(top, uniform.mean, uniform.x))
    text = f"↑ {BASELINE}, to {compact(float(f'{uniform.mean[-1]:.3g}'))}"
    left, right = axes.get_xlim()
    inset = 0.015 * (right - left)
    near = x < 0.6 * right
    axes.text(
        x + inset if near else x - inset, 0.985 * top, text, va="top", ha="left" if near else "right", color=MUTED
    )


def _coverage(parts: Parts, styles: Mapping[str, Style], environment: str, salt: str) -> Drawing:
    with Canvas(height(len(parts)), salt) as canvas:
        axes = canvas.axes(canvas.label_width([*parts]) + 8, TOP, EDGE, BOTTOM)
        rows(axes, [*parts])
        shift = {level: 0.24 * (i - 1) for i, level in enumerate(LEVELS)}
        ends = [-8.0, 8.0]
        gaps = {agent: {level: coverage_gap(part, level) for level in LEVELS} for agent, part in parts.items()}
        for row, (agent, by_level) in enumerate(gaps.items()):
            for level, estimate in by_level.items():
                dot(axes, row + shift[level], estimate, styles[agent], MARKERS[level])
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
        return Drawing(canvas.svg(label), COVERAGE)


def _probability(parts: Parts, styles: Mapping[str, Style], environment: str, salt: str) -> Drawing:
    with Canvas(height(len(parts)), salt) as canvas:
        names = canvas.label_width([*parts]) + 8
        width = (WIDTH - names - EDGE - GUTTER) / 2
        brier = _dots(canvas.axes(names, TOP, EDGE + GUTTER + width, BOTTOM), parts, styles, brier_score)
        gap = _dots(canvas.axes(names + width + GUTTER, TOP, EDGE, BOTTOM), parts, styles, probability_gap)
        brier.set_xlim(left=0)
        brier.set_xlabel("lower is better")
        low, high = gap.get_xlim()
        gap.set_xlim(min(low, -2.0), max(high, 2.0))
        gap.axvline(0, color=INK, linewidth=1.0, zorder=1)
        gap.set_yticklabels([])
        gap.set_xlabel("points too low | high")
        canvas.heading(brier, "Brier score")
        canvas.heading(gap, f"Predicted {MINUS} observed")
        scores = ", ".join(f"{agent} {number(brier_score(part)[0], 3)}" for agent, part in parts.items())
        return Drawing(canvas.svg(f"Brier scores in {environment}: {scores}."), PROBABILITY)


def _dots(
    axes: "Axes", parts: Parts, styles: Mapping[str, Style], statistic: Callable[[pd.DataFrame], Interval]
) -> "Axes":
    rows(axes, [*parts])
    for row, (agent, part) in enumerate(parts.items()):
        dot(axes, float(row), statistic(part), styles[agent])
    return axes


def coverage_gap(records: pd.DataFrame, level: float) -> Interval:
    """Returns observed minus nominal coverage of central intervals, in percentage points, over seeds."""
    pits: Any = records.groupby("seed")["pit"]
    by_seed = [calibration.coverage(pit.to_numpy(), level) for _, pit in pits]
    return statistics.student_interval(100 * (np.array(by_seed) - level))


def brier_score(records: pd.DataFrame) -> Interval:
    """Returns the mean Brier score over seeds."""
    briers: Any = records.groupby("seed")["brier"]
    return statistics.student_interval(briers.mean().to_numpy())


def probability_gap(records: pd.DataFrame) -> Interval:
    """Returns the mean predicted probability of reward minus how often it came, in percentage points, over seeds.

    The probability is read back from the Brier score (p - y)^2 of each decision.
    """
    scored: Any = records[records["brier"].notna()]
    gap: Any = np.sqrt(scored["brier"]) * np.where(scored["reward"] > 0.5, -1.0, 1.0)
    return statistics.student_interval(100 * gap.groupby(scored["seed"]).mean().to_numpy())


def by_step(records: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns steps [G] and one row per seed [R, G] of a column of an agent's records, thinned evenly."""
    table = records.pivot(index="seed", columns="step", values=column).sort_index(axis=0).sort_index(axis=1)
    kept = statistics.thinned(table.shape[1])
    return table.columns.to_numpy()[kept], table.to_numpy(dtype=float)[:, kept]
