"""How far a comparison holds: shares of runs below a threshold, pairs of runs, every seed, ranks over problems."""

from collections.abc import Mapping

import numpy as np

from vbandits.metrics import comparison
from vbandits.report.canvas import Canvas
from vbandits.report.comparison import Comparison
from vbandits.report.figures import BOTTOM, EDGE, TOP, Curve, Frame, curves, dot, height, rows
from vbandits.report.formats import number
from vbandits.report.page import Drawing, Panels
from vbandits.report.palette import GRID, INK, MUTED, Style

POINTS = 60
NAMED, BANDED = 6, 2
"""Of a profile's curves, how many have names and colours, and how many of these bands."""
STRIP = 13.0
"""Height of a row of seeds, in points."""
STRIP_WIDTH = 300.0


def profiles(found: Comparison, styles: Mapping[str, Style]) -> Drawing:
    """Returns the share of runs that are better than a threshold, against the threshold."""
    runs = found.imputed_runs
    sign = found.measure.sign
    learned = runs[found.rows(found.contenders)]
    low, high = float(learned.min()), float(np.quantile(learned, 0.99))
    grid = np.linspace(low, high if high > low else low + max(1.0, 1e-6 * abs(low)), POINTS)
    shown = []
    named = {*found.contenders[:NAMED], found.baseline}
    for label in sorted(found.ranked, key=lambda label: (label in named, -found.ranked.index(label))):
        share, lower, upper = comparison.performance_profile(found.runs_of(label), grid)
        x = sign * grid
        order = np.argsort(x)
        shown.append(Curve(label, x[order], 100 * share[order], 100 * lower[order], 100 * upper[order]))
    ends = sorted((float(sign * grid[0]), float(sign * grid[-1])))
    better = "at most" if sign > 0 else "at least"
    svg = curves(
        shown,
        {label: style if label in named else Style(GRID, ()) for label, style in styles.items()},
        Frame((ends[0], ends[1]), (0.0, 102.0), f"{found.measure.name}, {found.measure.unit}", f"% of runs {better}"),
        f"Share of runs with a {found.measure.name} of {better} a threshold",
        "robustness-profiles",
        banded=found.contenders[:BANDED],
        named=[curve for curve in shown if curve.label in named],
    )
    return Drawing(
        svg,
        "Performance profiles: of all runs, seeds and problems together, the share that is as good as the horizontal "
        "axis says. Higher is better everywhere; where curves cross, the order depends on what is asked for. Named are "
        f"the first {NAMED}, grey the others; bands of the first {BANDED} are 95%, pointwise (Agarwal et al., 2021).",
    )


def improvement(found: Comparison, styles: Mapping[str, Style]) -> Drawing | None:
    """Returns how probably a run of the best method is better than one of each other; None where there is no other."""
    best, *others = found.contenders
    others += [found.baseline] if found.baseline in found.ranked else []
    if not others:
        return None
    own = found.runs_of(best)
    with Canvas(height(len(others)), "robustness-improvement") as canvas:
        axes = canvas.axes(canvas.label_width(others) + 8, TOP, EDGE, BOTTOM)
        rows(axes, others)
        told = []
        for row, label in enumerate(others):
            estimate = comparison.probability_of_improvement(own, found.runs_of(label))
            middle, low, high = (100 * part for part in estimate)
            dot(axes, row, (middle, low, high), styles[label])
            told.append(f"{label} {number(middle, 0)}")
        axes.axvline(50, color=INK, linewidth=1.0, zorder=1)
        axes.set_xlim(0, 102)
        axes.set_xlabel("% of pairs of runs")
        canvas.heading(axes, f"{best} better than", inset=True)
        svg = canvas.svg(f"Probability that a run of {best} is better, in percent: {', '.join(told)}.")
    return Drawing(
        svg,
        f"Probability of improvement: how often a run of {best} is better than a run of another in the same problem, "
        "with 95% intervals (stratified bootstrap; Agarwal et al., 2021). At 50, neither is.",
    )


def strips(found: Comparison, styles: Mapping[str, Style]) -> Panels:
    """Returns every run as a stroke: a panel for each problem, a row for each method, the median as a dot."""
    labels = list(found.ranked)
    svgs = [_strip(found, styles, labels, place) for place in range(len(found.problems))]
    columns = min(3, len(svgs))
    return Panels(
        f"Every run: {found.measure.name}, {found.measure.unit}",
        svgs,
        [],
        "A stroke is a run, the dot their median; failed runs stand at the worst of their problem. Means hide what "
        "is seen here: a method that is good in most seeds and lost in some.",
        columns,
    )


def runs(found: Comparison, styles: Mapping[str, Style], problem: str) -> Drawing:
    """Returns every run in one problem as a stroke."""
    svg = _strip(found, styles, list(found.ranked), found.problems.index(problem))
    return Drawing(svg, f"Every run in {problem}: {found.measure.name}, {found.measure.unit}. The dot is the median.")


def _strip(found: Comparison, styles: Mapping[str, Style], labels: list[str], place: int) -> str:
    runs = found.measure.sign * found.imputed_runs[:, :, place]
    size = TOP + BOTTOM + STRIP * len(labels)
    with Canvas(size, f"strip-{place}", STRIP_WIDTH) as canvas:
        axes = canvas.axes(canvas.label_width(labels) + 6, TOP, EDGE, BOTTOM)
        rows(axes, labels)
        for row, label in enumerate(labels):
            own = np.sort(runs[found.labels.index(label)])
            x = np.column_stack([own, own, np.full(len(own), np.nan)]).ravel()
            y = np.tile([row - 0.32, row + 0.32, np.nan], len(own))
            axes.plot(x, y, color=styles[label].color, linewidth=1.0, alpha=0.75, solid_capstyle="butt")
            axes.plot([np.median(own)], [row], "o", color=styles[label].color, markersize=4.5, markeredgecolor=INK)
        canvas.heading(axes, found.problems[place], inset=True)
        worst = max(labels, key=lambda label: (found.measure.sign * runs[found.labels.index(label)]).max())
        return canvas.svg(f"Every run in {found.problems[place]}; the worst is of {worst}.")


def ranks(found: Comparison, styles: Mapping[str, Style]) -> Drawing | None:
    """Returns mean ranks over problems, with those joined that cannot be told apart; None with too few problems."""
    labels = list(found.contenders)
    if len(found.problems) < 5 or len(labels) < 3:
        return None
    told = comparison.critical_difference(found.counted[found.rows(labels)].mean(1))
    means = np.asarray(told.ranks)
    order = np.argsort(means)
    with Canvas(height(len(labels)), "robustness-ranks") as canvas:
        names = [labels[i] for i in order]
        axes = canvas.axes(canvas.label_width(names) + 8, TOP, EDGE, BOTTOM)
        rows(axes, names)
        position = {int(method): row for row, method in enumerate(order)}
        cliques = [sorted(position[int(m)] for m in clique) for clique in told.cliques if len(clique) > 1]
        for shift, clique in enumerate(cliques):
            x = means.max() + 0.4 + 0.25 * shift
            axes.plot([x, x], [clique[0] - 0.2, clique[-1] + 0.2], color=MUTED, linewidth=2.5, solid_capstyle="butt")
        for row, method in enumerate(order):
            axes.plot([1.0, float(means[method])], [row, row], color=GRID, linewidth=1.0, zorder=0)
            axes.plot([float(means[method])], [row], "o", color=styles[labels[method]].color, markersize=6)
        axes.set_xlim(1, means.max() + 0.6 + 0.25 * len(cliques))
        axes.set_xlabel("Mean rank over problems (1 is best)")
        canvas.heading(axes, "Ranks over problems", inset=True)
        values = ", ".join(f"{labels[i]} {number(float(means[i]), 1)}" for i in order)
        svg = canvas.svg(f"Mean ranks over problems: {values}.")
    return Drawing(
        svg,
        "Mean ranks over problems. Bars join methods that the problems do not tell apart (Friedman test, p = "
        f"{told.p:.2g}; Wilcoxon signed-rank tests with Holm's correction: Demšar, 2006; Benavoli et al., 2016).",
    )
