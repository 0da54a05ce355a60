"""What the report of an offline experiment says, log by log."""

from collections.abc import Mapping

import numpy as np

from vbandits.benchmarks.offline.evaluation import NAMES
from vbandits.benchmarks.offline.results import MAIN, OfflineResults
from vbandits.experiment.report import Costs, ProblemTable, assemble, estimates_of, problem_sections
from vbandits.report import palette, texts
from vbandits.report.canvas import Canvas
from vbandits.report.figures import BOTTOM, EDGE, ROW, TOP, dot, rows
from vbandits.report.formats import count, decimals, number
from vbandits.report.page import Drawing, Item, Report
from vbandits.report.palette import MUTED, Style
from vbandits.report.paper import Named
from vbandits.report.statistics import exists
from vbandits.report.tables import Table
from vbandits.report.terminal import Column, Layout

SHOWN = ("dr", "snips", "ips", "replay")
"""Estimators in the figure."""
MARKERS = dict(zip(SHOWN, ("o", "s", "^", "D"), strict=True))
HEADS = {
    "dr": ("DR", "doubly robust"),
    "snips": ("SNIPS", "self-normalised"),
    "ips": ("IPS", "inverse propensity"),
    "replay": ("Replay", "where they agree"),
    "dm": ("Direct", "model alone"),
}
FEW = 100
"""Effective rows of a fold below which an interval is a guess."""
BRACKETS = (
    "Bold: policies that are not excluded as best, as in the ranking, by tests over seeds. Brackets are 95% intervals "
    "over the held-out rows of all seeds together."
)
UNEVEN = 0.1
"""By how much the mean of weights may miss 1 before a reader is warned."""

DEFINITIONS = [
    (
        "Value",
        "The mean reward per decision that a policy would have earned in the decisions of the log. A policy learns "
        "from some rows of the log and is then evaluated on others, without learning any more.",
    ),
    (
        "Weight",
        "How likely the policy is to play the arm that was logged, divided by how likely that arm was to be logged "
        "(the propensity). Its mean is 1 but for chance; if it is not, the propensities are wrong, or the policy plays "
        "arms that the log never tried.",
    ),
    (
        "IPS, SNIPS",
        "Inverse propensity scoring (Horvitz and Thompson, 1952): the mean of weight times reward. Self-normalised "
        "(Swaminathan and Joachims, 2015): divided by the mean of the weights.",
    ),
    (
        "Doubly robust",
        "What a model of rewards says of the policy, corrected by the weighted errors of the model (Dudik, Langford "
        "and Li, 2011). The model is linear in the context, fitted on the rows that policies may learn from, and the "
        "same for all policies. The direct method is the model alone: its interval knows nothing of the model's bias.",
    ),
    (
        "Replay",
        "The mean reward where the policy would have played the logged arm (Li et al., 2011). It is right only where "
        "all arms were equally likely to be logged.",
    ),
    (
        "Intervals",
        "Of a value: 95%, over the held-out rows of all seeds together, corrected for skewness (Hall, 1992). Where "
        "policies are compared with each other, intervals and tests are over seeds, which hold out different rows. "
        "Rows count as independent: where several belong together (decisions for one person, the positions of one "
        "impression of the Open Bandit Dataset), intervals are too narrow by what these have in common.",
    ),
    (
        "Effective rows",
        "As many rows of equal weight would tell as much: (sum of weights) squared over the sum of their squares.",
    ),
    (
        "Rows to tell it from the best",
        "Held-out rows with which a two-sample test at 5% would find a difference of the size that is seen with a "
        "power of 80%. Estimates of two policies on the same rows often go together, so that fewer may do.",
    ),
    (
        "Thompson probabilities",
        "How likely an agent is to play each arm: the share of draws of its posterior in which the arm is the best.",
    ),
    texts.failures("from then on they play any arm", "They count with the value of that."),
    *texts.COMPARISON,
    texts.cost("learning from the log and all probabilities"),
]

LAYOUT = Layout(
    columns=(
        Column("dr", "DR", 1),
        Column("dr_interval", "95%", 2),
        Column("snips", "SNIPS", 4),
        Column("ips", "IPS", 5),
        Column("replay", "replay", 6),
        Column("truth", "truth", 7),
        Column("effective", "effective rows", 8, places=0),
        Column("largest_weight", "largest weight", 9, places=1),
        Column("seconds", "seconds", 10),
        Column("failures", "failed", 3, places=0),
    ),
    note="value per decision by doubly robust estimation, self-normalised and plain inverse propensity scoring, and "
    "replay; 95%: interval over held-out rows; truth: the plain mean of an arm, where it is known",
    splits="dr",
)


def report(results: OfflineResults) -> Report:
    """Returns the report of an experiment."""
    styles = palette.styles(results.labels("policy"), results.baseline)

    def items(label: str, anchor: str) -> list[Item]:
        drawn: list[Item] = [] if not results.present(label) else [lambda: [estimators(results, label, styles, anchor)]]
        return [values(results, label), BRACKETS, *drawn, *told(results, label)]

    costs = Costs.per_run(
        results,
        "estimation_seconds",
        ("Policy", "Estimation"),
        "The policy (its colour), estimation (light grey)",
        "time of learning from the log and of all probabilities per run, seeds in lockstep",
    )
    return assemble(
        results,
        problems=problem_sections(results, items),
        trust=[],
        costs=costs,
        definitions=DEFINITIONS,
        styles=styles,
        facts=_facts(results),
        diverging=" (they play any arm from then on)",
        warnings=warnings(results),
        named={"estimators": Named(lambda log: estimators(results, log, styles, "paper"), "results")},
    )


def _facts(results: OfflineResults) -> Mapping[str, str]:
    experiment = results.experiment
    return {
        "Folds": f"{experiment['folds']}: a seed evaluates on one, and learns from the others",
        "Training": f"at most {experiment['training_rows']:,} rows for an agent; all of them for the model of rewards",
        "Draws": f"{experiment['draws']:,} of an agent's posterior, for how likely it is to play an arm",
    }


def values(results: OfflineResults, log: str) -> Table:
    """Returns the value of every policy by every estimator, and the truth where it is known."""
    made = ProblemTable(results, log)
    for name, (head, detail) in HEADS.items():
        made.add(name, head, detail, bold=name == MAIN, first=name == MAIN)
    made.add("truth", "Truth", "plain mean", bold=False)
    made.ended()
    return made.table("Value per decision")


def told(results: OfflineResults, log: str) -> list[Item]:
    """Returns what a log can tell: how many rows count, how uneven weights are, and how many rows would be needed."""
    made = ProblemTable(results, log)
    if not exists(made.rows, MAIN):
        return []
    half = (made.rows[f"{MAIN}_high"] - made.rows[f"{MAIN}_low"]) / 2
    made.rows = made.rows.assign(half=half, share=100 * made.rows["effective"] / made.rows["rows"])
    made.add(
        "effective",
        "Effective rows",
        f"of {int(made.rows['rows'].to_numpy().max()):,}",
        places=0,
        bold=False,
        first=True,
    )
    made.add("share", "Effective rows", "%", places=1, bold=False)
    made.add("half", "Interval", "half its width", bold=False)
    made.add("mean_weight", "Weight", "mean", places=3, bold=False)
    made.add("largest_weight", "Weight", "largest", places=1, bold=False)
    made.add("needed", "Rows to tell it", f"from {results.best(log)}", places=0, bold=False)
    return [made.table("What this log can tell"), *_apart(results, log)]


def _apart(results: OfflineResults, log: str) -> list[Item]:
    """Returns whether the log can tell the best two policies apart, in a sentence."""
    rows = results.rows(log)
    learned = [label for label in results.present(log) if label not in results.added]
    if len(learned) < 2:
        return []
    first, second = learned[:2]
    by_label = rows.set_index("policy")
    difference = float(by_label.loc[first, MAIN]) - float(by_label.loc[second, MAIN])
    needed, there = float(by_label.loc[second, "needed"]), int(by_label.loc[first, "rows"])
    places = decimals([difference])
    if not np.isfinite(needed):
        return [f"{first} and {second} have the same value here: no log would tell them apart."]
    enough = "which are there" if needed <= there else f"and this log has {there:,}"
    return [
        f"The best two, {first} and {second}, differ by {number(difference, places)} per decision. To tell a "
        f"difference of that size would take about {float(f'{needed:.2g}'):,.0f} held-out rows, {enough}."
    ]


def warnings(results: OfflineResults) -> list[str]:
    """Returns where estimates rest on few rows, or weights have another mean than 1."""
    found = []
    for log in results.labels("log"):
        rows = results.rows(log)
        few = rows[rows["effective"] < FEW * rows["seeds"].clip(1, results.folds)]
        if len(few):
            labels = ", ".join(map(str, few["policy"]))
            found.append(f"In {log}, less than {FEW} effective rows per seed tell of {labels}: intervals are guesses.")
        uneven = rows[(rows["mean_weight"] - 1).abs() > UNEVEN]
        if len(uneven):
            labels = ", ".join(map(str, uneven["policy"]))
            found.append(
                f"In {log}, weights of {labels} have another mean than 1: the propensities may be wrong, or the log "
                "never tried what they play."
            )
    return found


def estimators(results: OfflineResults, log: str, styles: Mapping[str, Style], salt: str) -> Drawing:
    """Returns the estimates of every policy beside each other, with intervals, and the truth where it is known."""
    labels = results.present(log)
    found = {name: estimates_of(results, log, name) for name in SHOWN}
    truth = dict(zip(results.rows(log)["policy"], results.rows(log)["truth"], strict=True))
    with Canvas(TOP + BOTTOM + 2.2 * ROW * len(labels), f"{salt}-estimators") as canvas:
        axes = canvas.axes(canvas.label_width(labels) + 8, TOP, EDGE, BOTTOM)
        for row, label in enumerate(labels):
            for place, name in enumerate(SHOWN):
                height = row + 0.2 * (place - (len(SHOWN) - 1) / 2)
                dot(axes, height, found[name][label], styles[label], MARKERS[name])
            if np.isfinite(truth[label]):
                axes.plot([truth[label]] * 2, [row - 0.42, row + 0.42], color=MUTED, linewidth=1.2, zorder=1)
        rows(axes, labels)
        axes.set_xlabel("Value per decision")
        canvas.legend(axes, "", [(MARKERS[name], HEADS[name][0]) for name in SHOWN])
        best = labels[0]
        svg = canvas.svg(
            f"Values of {count(len(labels), 'policy')} in {log} by {', '.join(HEADS[name][0] for name in SHOWN)}. "
            f"The highest by {NAMES[MAIN]} estimation: {best}, {number(found[MAIN][best][0], 4)}."
        )
    known = (
        " Grey lines: the plain mean of what the log shows, where that is the truth."
        if np.isfinite([*truth.values()]).any()
        else ""
    )
    return Drawing(svg, f"Estimates of the value with their 95% intervals over held-out rows.{known}")
