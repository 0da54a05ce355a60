"""The tables of an active-learning report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.active.results import LEVELS, POOL, SCORES, SIGN, ActiveResults
from vbandits.experiment.report import ProblemTable, estimates_of, leaders
from vbandits.report import statistics, tables
from vbandits.report.formats import decimals, interval, number, percent_decimals
from vbandits.report.statistics import NOTHING, Interval
from vbandits.report.tables import Entry, Head, Places, Table

LEARNING, PREDICTIONS = "What labels were worth", "Predictions at the end"
MAPS = {
    "accuracy": "Mean accuracy over labels, %, by method and acquisition",
    "rmse": "Mean RMSE over labels, by method and acquisition",
}
OVERALL_MAP = "Learned on average over labels and problems, %, by method and acquisition"
HEADS = {
    "accuracy": ("Accuracy", "%"),
    "rmse": ("RMSE", ""),
    "nll": ("NLL", ""),
    "nll_median": ("NLL", "median"),
    "brier": ("Brier score", ""),
    "ece": ("ECE", "%"),
    "ece_null": ("ECE if perfect", "%"),
    "ece_debiased": ("ECE debiased", "%"),
    "crps": ("CRPS", ""),
    "coverage_90": ("90% covers", "%"),
}
PERCENT = tuple(name for name, (_, unit) in HEADS.items() if unit == "%")
RANKED = ("nll", "brier", "crps", "accuracy", "rmse")
"""Scores by which a best one is in bold: one of calibration alone is no measure of how good a prediction is."""


def learned(results: ActiveResults, problems: Sequence[str]) -> dict[str, pd.Series]:
    """Returns what each learner learned, in percent, the mean over problems by seed; of those that have all."""
    found = {}
    for learner in results.labels("learner"):
        own = [results.learned(label, learner) for label in problems if (label, learner) in results.traces]
        if problems and len(own) == len(problems) and all(len(values) for values in own):
            both: Any = pd.concat(own, axis=1, join="inner")
            found[learner] = 100 * both.mean(axis=1)
    return found


def heat_map(
    results: ActiveResults,
    title: str,
    values: Mapping[str, Interval],
    best: frozenset[str],
    places: int,
    sign: float,
) -> list[Table]:
    """Returns methods by acquisitions, coloured by value, the best in bold; nothing where there is one of either.

    Args:
        results: of the experiment.
        title: of the table.
        values: of the learners.
        best: the best ones.
        places: decimals.
        sign: 1 where higher is better, -1 where lower is.
    """
    methods, acquisitions = (list(dict.fromkeys(pair[axis] for pair in results.grid)) for axis in (0, 1))
    if min(len(methods), len(acquisitions)) < 2:
        return []
    known = [sign * value for value, _, _ in values.values() if np.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)

    def entry(method: str, acquisition: str) -> Entry:
        learner = results.grid.get((method, acquisition))
        if learner is None:
            return Entry("")
        value, lower, upper = values[learner]
        shade = (sign * value - low) / (high - low) if high > low and np.isfinite(value) else 0.0
        shown = "" if lower == upper else interval(lower, upper, places)
        return Entry(number(value, places), shown, learner in best, shade)

    columns = [(Head(acquisition), [entry(method, acquisition) for method in methods]) for acquisition in acquisitions]
    return [tables.table(methods, columns, "Method", title, heat=True)]


def area_map(results: ActiveResults, problem: str) -> list[Table]:
    """Returns the heat map of the area under the curve of accuracy, in percent, or of RMSE."""
    measure = results.measure(problem)
    scale, places = shown_as(measure)
    values, best = estimates_of(results, problem, "area", scale), leaders(results, problem, "area")
    middles = [value for value, _, _ in values.values()]
    return heat_map(results, MAPS[measure], values, best, places(middles), SIGN[measure])


def overall_map(results: ActiveResults) -> list[Table]:
    """Returns the heat map of the mean over problems of what was learned, in percent: of levels, not of gains."""
    by_seed = learned(results, results.comparison.problems)
    values = dict.fromkeys(results.labels("learner"), NOTHING)
    values |= {learner: statistics.mean_interval(own) for learner, own in by_seed.items()}
    best = statistics.leaders({learner: -own for learner, own in by_seed.items()})
    return heat_map(results, OVERALL_MAP, values, best, percent_decimals(v for v, _, _ in values.values()), 1.0)


def learning_table(results: ActiveResults, problem: str) -> Table:
    """Returns what labels were worth to every learner; a column that exists for none is left out."""
    made, measure = ProblemTable(results, problem), results.measure(problem)
    rows, (text, unit), percent = made.rows, HEADS[measure], measure in PERCENT
    scale, places = shown_as(measure)
    made.add(measure, text, f"{unit} at the end".strip(), scale=scale, places=places)
    mean = f"Mean {text if text.isupper() else text.lower()}"
    made.add("area", mean, f"{unit} over labels".strip(), scale=scale, places=places)
    simple: Places = 1 if percent else decimals
    made.add("gain", "Gain", "points over random" if percent else "over random", scale=scale, places=simple)
    made.add("labels_saved", "Labels saved", "over random", places=1)
    made.add("learned", "Learned", "% over labels", scale=100, places=percent_decimals, bold=False)
    made.add("simple_regret", "Simple regret", "points" if percent else "", scale=scale, places=simple, bold=False)
    for name, level in LEVELS.items():
        made.add(name, f"Labels to {100 * level:.0f}%", "median", places=0, bold=False)
    if len(set(rows["bought"].dropna())) > 1 or statistics.exists(rows, "seen"):  # not the same for all
        made.add("bought", "Bought", "labels", places=0, bold=False)
    if (rows["cost"].dropna() != rows["bought"].dropna()).to_numpy().any():  # not 1 a label
        made.add("cost", "Cost", "of labels", bold=False)
    made.add("reward", "Reward", "in all")
    made.ended()
    return made.table(LEARNING)


TRUST = (
    ("ece", "ECE", "% test", 100.0),
    ("ece_null", "ECE if perfect", "% test", 100.0),
    ("ece_debiased", "ECE debiased", "% test", 100.0),
    ("pool_ece_debiased", "ECE debiased", "% pool", 100.0),
    ("coverage_90", "90%", "covered, test", 100.0),
    ("pool_coverage_90", "90%", "covered, pool", 100.0),
    ("nll", "NLL", "mean, test", 1.0),
    ("nll_median", "NLL", "median, test", 1.0),
)
"""Whether learners can be trusted: columns of the summary, their heads, and by what they are multiplied."""


def prediction_table(results: ActiveResults, problem: str) -> list[Table]:
    """Returns the scores at the end, on the test set and on the rest of the pool; nothing without any."""
    made, measure = ProblemTable(results, problem), results.measure(problem)
    for name in (*SCORES, measure):
        (text, unit), (scale, places) = HEADS[name], shown_as(name)
        if name == "ece_debiased":  # between them, what a perfect model has of the plain one
            made.add("ece_null", HEADS["ece_null"][0], "% test", scale=100, places=percent_decimals, bold=False)
        for column, where in ((name, "test"), (f"{POOL}{name}", "pool")):
            if column != measure:
                detail = f"{unit} {where}".strip()
                made.add(column, text, detail, scale=scale, places=places, bold=name in RANKED)
    return [made.table(PREDICTIONS)] if made.columns else []


def shown_as(column: str):
    """Returns by what a column of the records is multiplied, and its decimals: a fraction is shown in percent."""
    return (100.0, percent_decimals) if column.removeprefix(POOL) in PERCENT else (1.0, decimals)


def cost(results: ActiveResults) -> pd.DataFrame:
    """Returns per learner: seconds by purpose over all problems, milliseconds of querying per label bought, and the
    most memory.
    """
    purposes = ("training", "querying", "environment", "evaluation")
    totals = results.costs(*(f"{purpose}_seconds" for purpose in purposes))
    summary = results.summary()
    bought: Any = (summary["bought"] * summary["seeds"]).groupby(summary["learner"]).sum()
    training = totals["training_seconds"] + totals["querying_seconds"]
    return totals.assign(
        rate=training / bought.where(bought > 0),
        rest_seconds=totals["evaluation_seconds"] + totals["environment_seconds"],
        milliseconds=1e3 * totals["querying_seconds"] / bought.where(bought > 0),
    )
