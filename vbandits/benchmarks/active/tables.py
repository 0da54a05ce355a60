"""The tables of an active-learning report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.active.results import LEVELS, POOL, SCORES, SIGN, ActiveResults
from vbandits.experiment.report import ProblemTable, estimates_of, leaders
from vbandits.report import ranking, statistics, tables
from vbandits.report.formats import decimals, interval, number, percent_decimals
from vbandits.report.ranking import ProblemRanking, Ranking
from vbandits.report.statistics import Interval
from vbandits.report.tables import Entry, Head, Places, Table

LEARNING, PREDICTIONS = "What labels were worth", "Predictions at the end"
MAPS = {
    "accuracy": "Mean accuracy over labels, %, by method and acquisition",
    "rmse": "Mean RMSE over labels, by method and acquisition",
}
OVERALL_MAP = "Mean regret over problems, % of learning nothing, by method and acquisition"
HEADS = {
    "accuracy": ("Accuracy", "%"),
    "rmse": ("RMSE", ""),
    "nll": ("NLL", ""),
    "brier": ("Brier score", ""),
    "ece": ("ECE", "%"),
    "ece_debiased": ("ECE debiased", "%"),
    "crps": ("CRPS", ""),
    "coverage_90": ("90% covers", "%"),
}
PERCENT = tuple(name for name, (_, unit) in HEADS.items() if unit == "%")
RANKED = ("nll", "brier", "crps", "accuracy", "rmse")
"""Scores by which a best one is in bold: one of calibration alone is no measure of how good a prediction is."""
UNIT = "% of learning nothing"


def rank(results: ActiveResults) -> Ranking:
    """Ranks learners by normalised regret against the best fit to all labels, in percent, over all problems.

    A learner that lacks one of the problems with such a regret has no mean.
    """
    learners, problems = results.labels("learner"), []
    for problem in results.labels("problem"):
        if statistics.exists(results.rows(problem), "regret_best"):
            estimates = estimates_of(results, problem, "regret_best", 100)
            best = leaders(results, problem, "regret_best")
            problems.append(ProblemRanking(problem, estimates, best, "regret_best", UNIT))
    by_seed = {
        learner: 100 * statistics.mean_ratio([results.regret(problem.label, learner) for problem in problems])
        for learner in learners
        if problems and all(np.isfinite(problem.estimates[learner][0]) for problem in problems)
    }
    return ranking.rank(learners, problems, by_seed)


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


def overall_map(results: ActiveResults, order: Ranking) -> list[Table]:
    """Returns the heat map of the mean over problems of normalised regret."""
    places = percent_decimals(value for value, _, _ in order.means.values())
    return heat_map(results, OVERALL_MAP, order.means, order.leaders, places, -1.0)


def learning_table(results: ActiveResults, problem: str) -> Table:
    """Returns what labels were worth to every learner; a column that exists for none is left out."""
    made, measure = ProblemTable(results, problem), results.measure(problem)
    rows, (text, unit), percent = made.rows, HEADS[measure], measure in PERCENT
    scale, places = shown_as(measure)
    made.add(measure, text, f"{unit} at the end".strip(), scale=scale, places=places)
    mean = f"Mean {text if text.isupper() else text.lower()}"
    made.add("area", mean, f"{unit} over labels".strip(), scale=scale, places=places)
    for name, detail in (("regret_best", "%, to best fit"), ("regret_own", "%, to own fit")):
        made.add(name, "Regret", detail, scale=100, places=percent_decimals)
    simple: Places = 1 if percent else decimals
    made.add("simple_regret", "Simple regret", "points" if percent else "", scale=scale, places=simple, bold=False)
    for name, level in LEVELS.items():
        made.add(name, f"Labels to {100 * level:.0f}%", "median", places=0, bold=False)
    made.add("speed_up", "Speed-up", "over random", places=2, bold=False)
    if len(set(rows["bought"].dropna())) > 1 or statistics.exists(rows, "seen"):  # not the same for all
        made.add("bought", "Bought", "labels", places=0, bold=False)
    if (rows["cost"].dropna() != rows["bought"].dropna()).to_numpy().any():  # not 1 a label
        made.add("cost", "Cost", "of labels", bold=False)
    made.add("reward", "Reward", "in all")
    made.ended()
    return made.table(LEARNING)


def prediction_table(results: ActiveResults, problem: str) -> list[Table]:
    """Returns the scores at the end, on the test set and on the rest of the pool; nothing without any."""
    made, measure = ProblemTable(results, problem), results.measure(problem)
    for name in (*SCORES, measure):
        (text, unit), (scale, places) = HEADS[name], shown_as(name)
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
    return totals.assign(
        rest_seconds=totals["evaluation_seconds"] + totals["environment_seconds"],
        milliseconds=1e3 * totals["querying_seconds"] / bought.where(bought > 0),
    )
