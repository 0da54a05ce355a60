"""Whether agents know what they do not know: calibration over environments, each figure beside a perfect model's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.digest import BINS
from vbandits.benchmarks.bandits.results import BASELINE, Results
from vbandits.metrics import calibration
from vbandits.metrics.calibration import LEVELS
from vbandits.report import statistics, tables
from vbandits.report.canvas import Canvas
from vbandits.report.figures import BOTTOM, EDGE, TOP, Curve, Frame, dot, height, rows
from vbandits.report.formats import DASH, MINUS, count, decimals, interval, number
from vbandits.report.multiples import multiples
from vbandits.report.page import Drawing, Item, Panels
from vbandits.report.palette import GRID, INK, Style
from vbandits.report.statistics import NAN, Interval
from vbandits.report.tables import Column, Entry, Head, Table

MARKERS = dict(zip(LEVELS, "os^", strict=True))
OUTLYING = ("NLL", "NLL, trimmed", "Joint")
"""Columns of which one environment can outweigh all others: their median over environments is shown."""
NULL = "a perfect model"
"""Row of the table that says what chance alone would show."""

Statistic = Callable[[str, str], float]
"""Of an environment and an agent; NaN where it is not known."""


def items(results: Results, agents: Sequence[str], styles: Mapping[str, Style]) -> list[Item]:
    """Returns the section's table and figures; nothing where no agent predicts anything.

    Args:
        results: of the experiment.
        agents: in the order of rows.
        styles: by agent.
    """
    known = [agent for agent in agents if agent != BASELINE and _scored(results, agent)]
    if not known:
        return []
    return [
        *filter(None, [_finding(results, known[0])]),
        table(results, known),
        "Each number is the mean (of log-losses the median) over the environments in which it is known. Prequential "
        "scores are of the arms taken, before their outcomes were learned from; scores on all arms are of inputs held "
        "out of the run, at its end: the gap between the two is what the agent's own choice of arms hides. The last "
        "row is what a perfect model would show with as many scored decisions, in 95% of experiments.",
        partial(_figures, results, known, styles),
    ]


def _finding(results: Results, agent: str) -> str:
    """Returns what the section finds of an agent, in words."""
    labels = results.labels("environment")

    def mean(statistic: Statistic) -> float:
        return _mean([statistic(label, agent) for label in labels])

    found = (
        (
            mean(partial(_covered, results, "90")),
            "its 90% intervals cover {:.0f}% of outcomes of the arms that it took",
        ),
        (mean(partial(_held_out, results, "all_90", 100.0)), "{:.0f}% on all arms of inputs held out of the run"),
        (
            mean(partial(_held_out, results, "noiseless_90", 100.0)),
            "{:.0f}% of true means lie in the 90% intervals that it has for them",
        ),
        (mean(partial(_thompson_gap, results)), "its probabilities to be the best arm are off by {:+.0f} points"),
    )
    parts = [text.format(value).replace("-", MINUS) for value, text in found if np.isfinite(value)]
    return f"Of {agent}, the first in the ranking: {'; '.join(parts)}." if parts else ""


def table(results: Results, agents: Sequence[str]) -> Table:
    """Returns a row for every agent, and one for a perfect model."""
    columns: list[Column] = []
    for level in ("50", "90", "95"):
        _add(
            columns,
            results,
            agents,
            Head(f"{level}%", "of outcomes covered", first=level == "90"),
            partial(_covered, results, level),
        )
    _add(columns, results, agents, Head("90%", "on all arms"), partial(_held_out, results, "all_90", 100.0))
    _add(columns, results, agents, Head("90%", "of true means"), partial(_held_out, results, "noiseless_90", 100.0))
    _add(columns, results, agents, Head("Optimism", "greedy arm, % of SD"), partial(_optimism, results))
    _add(columns, results, agents, Head("Thompson", f"{MINUS} hit rate, %"), partial(_thompson_gap, results))
    _add(
        columns,
        results,
        agents,
        Head("NLL, trimmed", "to the best, median"),
        _over_best(results, agents, partial(_score, results, "nll_trimmed")),
    )
    _add(
        columns,
        results,
        agents,
        Head("NLL", "to the best, median"),
        _over_best(results, agents, partial(_score, results, "nll")),
    )
    _add(
        columns,
        results,
        agents,
        Head("Joint", "log-loss, to the best, median"),
        _over_best(results, agents, partial(_held_out, results, "joint_nll", 1.0)),
    )
    _add(
        columns,
        results,
        agents,
        Head("Brier", "to the best"),
        _over_best(results, agents, partial(_score, results, "brier")),
    )
    return tables.table([*agents, NULL], columns, "Agent", "Calibration over all environments")


def _add(columns: list[Column], results: Results, agents: Sequence[str], head: Head, statistic: Statistic) -> None:
    """Adds a column, unless it is known of no agent; a coverage has a perfect model's range in the last row."""
    labels = results.labels("environment")
    found = [[statistic(label, agent) for label in labels] for agent in agents]
    middle = np.nanmedian if head.text in OUTLYING else np.nanmean
    values = [float(middle(own)) if np.isfinite(own).any() else NAN for own in found]
    if not np.isfinite(values).any():
        return
    covers = head.text.endswith("%")
    entries = tables.numbers(values, 1 if covers else decimals(values))
    known = max(sum(np.isfinite(own)) for own in found)
    if known < len(labels):
        head = replace(head, detail=f"{head.detail}, {known} of {count(len(labels), 'environment')}")
    columns.append((head, [*entries, _perfect(results, agents, head)]))


def _perfect(results: Results, agents: Sequence[str], head: Head) -> Entry:
    """Returns what a perfect model would show in a column: of coverage along the path also its range.

    On held-out inputs all errors of a seed are those of one posterior, so that there is no such range.
    """
    if not head.text.endswith("%"):
        return Entry("0" if head.text in ("Optimism", "Thompson") else DASH)
    level = float(head.text[:-1]) / 100
    sizes = [_predictions(results, agent) for agent in agents]
    if not head.detail.startswith("of outcomes") or not any(sizes):
        return Entry(f"{100 * level:.0f}")
    low, high = calibration.coverage_band(min(size for size in sizes if size), level)
    return Entry(f"{100 * level:.0f}", interval(100 * low, 100 * high, 1), numbers=(100 * level,))


def _predictions(results: Results, agent: str) -> int:
    """Returns how many predictions of an agent were scored, with a place in a distribution, in all environments."""
    digests = [results.digest(label, agent) for label in results.labels("environment")]
    return sum(own.scored for own in digests if own is not None)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else NAN


def _scored(results: Results, agent: str) -> bool:
    return any(np.isfinite(_score(results, "nll", label, agent)) for label in results.labels("environment"))


def _score(results: Results, name: str, environment: str, agent: str) -> float:
    own = results.digest(environment, agent)
    return NAN if own is None else _mean(own.scores[name].tolist())


def _covered(results: Results, level: str, environment: str, agent: str) -> float:
    return 100 * _score(results, f"coverage_{level}", environment, agent)


def _held_out(results: Results, column: str, scale: float, environment: str, agent: str) -> float:
    """Returns a column of what was found on held-out inputs, at the end of the runs."""
    return scale * results.held_out_end(environment, agent, column)


def _optimism(results: Results, environment: str, agent: str) -> float:
    """Returns the greedy arm's predicted minus true value, in percent of a reward's standard deviation."""
    uniform = results.digest(environment, BASELINE)
    if uniform is None or not uniform.deviation > 0:
        return NAN
    return _held_out(results, "greedy_optimism", 100.0, environment, agent) / uniform.deviation


def _thompson_gap(results: Results, environment: str, agent: str) -> float:
    """Returns how far the probability to be the best arm is from how often it was, in points; weighted by
    probability, so that the many arms that are hopeless do not hide it."""
    own = results.digest(environment, agent)
    if own is None or not own.thompson[0].sum():
        return NAN
    counts, probability, hits = own.thompson.sum(1)
    with np.errstate(invalid="ignore"):
        gaps = np.where(counts > 0, (probability - hits) / counts, 0)
    return 100 * float((gaps * probability).sum() / probability.sum())


def _over_best(results: Results, agents: Sequence[str], statistic: Statistic) -> Statistic:
    """Returns a score less that of the best agent in the environment, so that environments can be averaged."""
    best: dict[str, float] = {}
    for label in results.labels("environment"):
        known = [value for agent in agents if np.isfinite(value := statistic(label, agent))]
        best[label] = min(known, default=NAN)
    return lambda environment, agent: statistic(environment, agent) - best[environment]


def _figures(results: Results, agents: Sequence[str], styles: Mapping[str, Style]) -> list[Drawing | Panels]:
    drawn = [coverage(results, agents, styles), _histograms(results, agents, styles)]
    drawn.append(_reliability(results, agents, styles))
    return [one for one in drawn if one is not None]


def coverage(results: Results, agents: Sequence[str], styles: Mapping[str, Style]) -> Drawing | None:
    """Returns how much more or less often outcomes fall into intervals than they should."""
    gaps = {agent: {level: _gap(results, agent, level) for level in LEVELS} for agent in agents}
    gaps = {agent: own for agent, own in gaps.items() if np.isfinite(own[LEVELS[0]][0])}
    if not gaps:
        return None
    with Canvas(height(len(gaps)), "trust-coverage") as canvas:
        axes = canvas.axes(canvas.label_width([*gaps]) + 8, TOP, EDGE, BOTTOM)
        rows(axes, [*gaps])
        ends = [-8.0, 8.0]
        for row, (agent, by_level) in enumerate(gaps.items()):
            for place, (level, estimate) in enumerate(by_level.items()):
                dot(axes, row + 0.24 * (place - 1), estimate, styles[agent], MARKERS[level])
                ends += [value for value in estimate if np.isfinite(value)]
        margin = 0.04 * (max(ends) - min(ends))
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.axvspan(-1, 1, color=GRID, zorder=0, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1.0, zorder=1)
        axes.set_xlabel("← too narrow · points · too wide →")
        canvas.legend(
            axes, f"Observed {MINUS} nominal coverage", [(MARKERS[level], f"{100 * level:.0f}%") for level in LEVELS]
        )
        values = ", ".join(f"{agent} {number(own[0.9][0], 0)}" for agent, own in gaps.items())
        svg = canvas.svg(f"Observed minus nominal coverage. Points off for 90% intervals: {values}.")
    return Drawing(
        svg,
        "How much more or less often outcomes fall into central predictive intervals than they should: mean over "
        "environments with continuous or few-valued rewards, and its 95% interval over seeds. Left of zero an agent is "
        "surer than it should be. All three levels on one side are a matter of width; levels on both sides are a "
        "matter of shape: tails heavier or lighter than the truth. Grey: within one point.",
    )


def _gap(results: Results, agent: str, level: float) -> Interval:
    """Returns observed minus nominal coverage in points: the mean over environments, by seed."""
    found = []
    for label in results.labels("environment"):
        own = results.digest(label, agent)
        if own is not None and own.scored:
            found.append(pd.Series(100 * (own.scores[f"coverage_{100 * level:.0f}"] - level), own.seeds))
    if not found:
        return NAN, NAN, NAN
    by_seed: Any = pd.concat(found, axis=1).mean(axis=1)  # of a seed that diverged early, of what is there
    return statistics.mean_interval(by_seed.dropna().to_numpy())


def _histograms(results: Results, agents: Sequence[str], styles: Mapping[str, Style]) -> Panels | None:
    """Returns histograms of the randomised probability integral transform, over all environments."""
    shown, sizes = [], []
    for agent in agents:
        known = [own for label in results.labels("environment") if (own := results.digest(label, agent)) and own.scored]
        if not known:
            continue
        shares = np.mean([own.pit.sum(0) / own.scored for own in known], 0) * BINS
        x, y = np.repeat(np.linspace(0, 1, BINS + 1), 2)[1:-1], np.repeat(shares, 2)
        shown.append(Curve(agent, x, y, y, y))
        sizes.append(sum(own.scored for own in known))
    if not shown:
        return None
    top = min(max(2.0, 1.1 * max(float(curve.mean.max()) for curve in shown)), 6.0)
    low, high = (BINS * end for end in calibration.histogram_band(min(sizes), BINS))

    def finish(axes) -> None:
        axes.axhspan(low, high, color=GRID, linewidth=0, zorder=0)
        axes.axhline(1, color=INK, linewidth=0.8, zorder=0.5)

    caption = (
        "Probability integral transform of outcomes (randomised where rewards take few values), relative to a "
        "calibrated agent's, at the line: a hill is too cautious, a valley too sure, a slope a bias. The band is where "
        "all bars of a perfect model lie in 95% of experiments."
    )
    frame = Frame((0, 1), (0, top), "Predictive quantile", "Outcomes by predictive quantile")
    return multiples(shown, styles, frame, caption, "trust-pit", finish=finish)


def _reliability(results: Results, agents: Sequence[str], styles: Mapping[str, Style]) -> Panels | None:
    """Returns how often arms were the best, against the probability that agents gave them."""
    shown = []
    for agent in agents:
        counts = np.zeros((3, 10))
        for label in results.labels("environment"):
            own = results.digest(label, agent)
            if own is not None:
                counts += own.thompson.sum(1)
        size, probability, hits = counts
        kept = size >= 30
        if not kept.any():
            continue
        share, x = hits[kept] / size[kept], probability[kept] / size[kept]
        low, high = calibration.hits_band(calibration.Bins(x, share, size[kept]))
        shown.append(Curve(agent, x, share, low, high))
    if not shown:
        return None

    def finish(axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, zorder=0.5)

    caption = (
        "Thompson probabilities: how often an arm was the best one, against the posterior's probability that it is, "
        "over all arms of scored decisions in which the best is known. A curve flatter than the diagonal is an agent "
        "that is surer than it should be. Bands around the diagonal are where a perfect model would lie, pointwise 95%."
    )
    frame = Frame((0, 1), (0, 1), "Probability to be the best arm", "Was the best arm, by probability")
    return multiples(shown, styles, frame, caption, "trust-thompson", finish=finish)
