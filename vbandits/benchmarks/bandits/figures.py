"""The figures of one environment: regret as it grows, and what agents say of their own uncertainty."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vbandits.benchmarks.bandits.digest import Digest
from vbandits.benchmarks.bandits.results import BASELINE
from vbandits.report import paper, statistics, texts
from vbandits.report.figures import Curve, Frame, curves
from vbandits.report.multiples import multiples
from vbandits.report.page import Drawing, Panels
from vbandits.report.palette import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 1.15
"""Height of the frame over the worst learning agent's mean."""
MOST = 6
"""Most agents that are drawn in colour in one frame: the best ones."""
REGRET = f"Cumulative regret of each agent, with the others in grey: {texts.BAND} Flatter is better."
REWARD = f"Mean reward per decision so far, of each agent, with the others in grey: {texts.BAND} Higher is better."
CLIPPED = " The uniform agent leaves the frame, so that the others can be told apart."

Digests = Mapping[str, Digest]
"""What is known of the agents in an environment, the best first."""


def panels(digests: Digests, styles: Mapping[str, Style], rewarded: bool, leader: str, salt: str) -> Panels:
    """Returns cumulative regret, or the mean reward so far where there is no regret, a panel for each agent."""
    shown = [_curve(agent, own, rewarded) for agent, own in digests.items()]
    bottom, top, clipped = frame(shown, rewarded)
    last = 1 + max(int(curve.x[-1]) for curve in shown)
    heading = "Mean reward per decision so far" if rewarded else "Cumulative regret"
    caption = REWARD if rewarded else REGRET
    return multiples(
        shown,
        styles,
        Frame((0, last), (bottom, top), "Step", heading),
        caption + (CLIPPED if clipped else ""),
        f"{salt}-panels",
        leader=leader if leader in digests else "",
        baseline=BASELINE,
    )


def together(digests: Digests, styles: Mapping[str, Style], rewarded: bool, environment: str) -> Drawing | None:
    """Returns the curves of `panels` in one frame, with a legend; None where they are not known."""
    shown = [_curve(agent, own, rewarded) for agent, own in digests.items()]
    shown = [curve for curve in shown if np.isfinite(curve.mean).all()]
    if not shown:
        return None
    bottom, top, clipped = frame(shown, rewarded)
    heading = "Mean reward per decision so far" if rewarded else "Cumulative regret"

    def finish(axes: "Axes") -> None:
        drawn = [(curve.label, styles[curve.label]) for curve in shown]
        paper.legend(axes, drawn, loc="upper left", bbox_to_anchor=(1.015, 1.0))

    svg = curves(
        shown,
        styles,
        Frame((0, 1 + max(int(curve.x[-1]) for curve in shown)), (bottom, top), "Step", heading),
        f"{heading} against step in {environment}",
        "together",
        finish=finish,
        named=(),
    )
    way = "Higher" if rewarded else "Flatter"
    caption = f"{heading} in {environment}: {texts.BAND} {way} is better.{CLIPPED if clipped else ''}"
    return Drawing(svg, caption)


def growth(digests: Digests, styles: Mapping[str, Style], environment: str, salt: str) -> list[Drawing]:
    """Returns cumulative regret in logarithms, and regret per step; nothing where there is no regret."""
    drawn = [draw(digests, styles, environment, salt) for draw in (logarithmic, rates)]
    return [drawing for drawing in drawn if drawing is not None]


def _learning(digests: Digests) -> tuple[Digests, str]:
    """Returns the agents whose regret is drawn in one frame, the uniform one last, and what is said of the others."""
    known = {agent: own for agent, own in digests.items() if np.isfinite(own.regret).all() and own.regret[:, -1].any()}
    learning = [agent for agent in known if agent != BASELINE]
    if not learning:
        return {}, ""
    drawn = [*learning[:MOST], *([BASELINE] if BASELINE in known else [])]
    rest = f" Drawn are the best {MOST} of {len(learning)}." if len(learning) > MOST else ""
    return {agent: known[agent] for agent in drawn}, rest


def logarithmic(digests: Digests, styles: Mapping[str, Style], environment: str, salt: str) -> Drawing | None:
    """Returns cumulative regret in logarithms; None where there is no regret."""
    drawn, rest = _learning(digests)
    logs = [curve for curve in (_logarithmic(agent, own) for agent, own in drawn.items()) if len(curve.x) > 1]
    if not logs:
        return None
    least = min(float(curve.mean.min()) for curve in logs)
    most = max(float(curve.mean.max()) for curve in logs)
    return _plain(
        logs,
        styles,
        Frame((1, max(float(c.x[-1]) for c in logs)), (0.8 * least, 1.3 * most), "Step", "Cumulative regret"),
        f"Cumulative regret against step in {environment}, both in logarithms",
        "The same in logarithms: straight lines are powers of the number of steps; a slope of 1 is learning "
        f"nothing, one of 1/2 is what the square root of steps would be.{rest}",
        f"{salt}-log",
        log=True,
    )


def rates(digests: Digests, styles: Mapping[str, Style], environment: str, salt: str) -> Drawing | None:
    """Returns regret per step; None where there is no regret."""
    drawn, rest = _learning(digests)
    if not drawn:
        return None
    shown = [_rate(agent, own) for agent, own in drawn.items()]
    top = 1.05 * max(float(curve.mean.max()) for curve in shown) or 1.0
    return _plain(
        shown,
        styles,
        Frame((0, 1 + max(float(curve.x[-1]) for curve in shown)), (0, top), "Step", "Regret per step"),
        f"Regret per step against step in {environment}",
        f"Regret per step, the mean over seeds and over a part of the run: what is still lost, by then.{rest}",
        f"{salt}-rate",
    )


def learned(digests: Digests, styles: Mapping[str, Style], environment: str, steps: int, salt: str) -> Drawing | None:
    """Returns how epistemic uncertainty shrinks; None where it was not recorded."""
    shown = []
    for agent, own in digests.items():
        values = own.epistemic.mean(0)
        kept = np.isfinite(values)
        if kept.sum() > 1:
            x = steps * (np.arange(len(values)) + 0.5) / len(values)
            shown.append(Curve(agent, x[kept], values[kept], values[kept], values[kept]))
    shown = shown[:MOST]
    if not shown:
        return None
    top = 1.05 * max(float(np.quantile(curve.mean, 0.95)) for curve in shown) or 1.0
    return _plain(
        shown,
        styles,
        Frame((0, steps), (0, top), "Step", "Epistemic standard deviation"),
        f"Epistemic standard deviation of the arm taken against step in {environment}",
        "What agents say that they do not know yet of the value of the arm taken, in units of reward, as they learn. "
        "How far it can be trusted is shown under “Can it be trusted?”.",
        f"{salt}-learned",
    )


def _plain(
    shown: Sequence[Curve],
    styles: Mapping[str, Style],
    frame: Frame,
    what: str,
    caption: str,
    salt: str,
    log: bool = False,
) -> Drawing:
    def finish(axes: "Axes") -> None:
        if log:
            from matplotlib.ticker import LogLocator, NullLocator

            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(numticks=6))
                axis.set_minor_locator(NullLocator())
                axis.set_major_formatter(lambda value, _: f"{value:,g}")

    return Drawing(curves(shown, styles, frame, what, salt, finish=finish, banded=()), caption)


def frame(shown: Sequence[Curve], rewarded: bool) -> tuple[float, float, bool]:
    """Returns bottom and top of the vertical axis, and whether the uniform agent leaves it.

    The uniform agent's regret may dwarf all others': it is cut off where it would take most of the frame. The mean of
    the first rewards is noise: the frame is made for what comes after a twentieth of the run.
    """
    if rewarded:
        settled = [curve.mean[curve.x >= curve.x[-1] / 20] for curve in shown]
        low, high = min(float(values.min()) for values in settled), max(float(values.max()) for values in settled)
        margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
        return low - margin, high + margin, False
    tops = {curve.label: float(curve.mean.max()) for curve in shown}
    everything = 1.05 * max(tops.values()) or 1.0
    learning = max((top for agent, top in tops.items() if agent != BASELINE), default=0.0)
    clipped = BASELINE in tops and 0 < 1.5 * ROOM * learning < tops[BASELINE]
    return 0.0, ROOM * learning if clipped else everything, clipped


def _curve(agent: str, own: Digest, rewarded: bool) -> Curve:
    if rewarded:
        return Curve(agent, own.steps, *statistics.mean_band(own.reward / (own.steps + 1)))
    mean, low, high = statistics.mean_band(own.regret, low=-np.inf if own.signed else 0.0)
    if not own.signed:  # as regret never falls, nor can its mean: what a band says of one step holds for later ones
        low, high = np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]
    return Curve(agent, own.steps, mean, low, high)


def _logarithmic(agent: str, own: Digest) -> Curve:
    """Returns mean cumulative regret from where it is above 0."""
    mean = own.regret.mean(0)
    kept = np.maximum.accumulate(mean > 0) & (mean > 0)
    return Curve(agent, own.steps[kept] + 1, mean[kept], mean[kept], mean[kept])


def _rate(agent: str, own: Digest) -> Curve:
    """Returns mean regret per step, over about 24 parts of a run."""
    last = own.steps[-1]
    edges = np.unique(np.searchsorted(own.steps, np.linspace(0, last, 25)).clip(max=len(own.steps) - 1))
    mean = own.regret.mean(0)[edges]
    x: Any = own.steps[edges]
    if len(edges) < 2:
        return Curve(agent, x, mean, mean, mean)
    rate = np.maximum(np.diff(mean) / np.diff(x), 0)
    return Curve(agent, (x[1:] + x[:-1]) / 2, rate, rate, rate)
