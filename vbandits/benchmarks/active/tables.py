"""The tables of an active-learning report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.active.results import LEVELS, POOL, SCORES, SIGN, ActiveResults
from vbandits.report import statistics
from vbandits.report.formats import DASH, decimals, interval, number, percent_decimals
from vbandits.report.statistics import Interval
from vbandits.report.tables import Entry, Head, Side, Table, costs, failed, numbers, table

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
PERCENT = ("accuracy", "ece", "ece_debiased", "coverage_90", "regret_own", "regret_best")
HIGHER = ("accuracy", "reward")
"""The higher the better; of other columns of the records, the lower."""
RANKED = ("nll", "brier", "crps", "accuracy", "rmse")
"""Scores by which a best one is in bold: one of calibration alone is no measure of how good a prediction is."""
UNIT = "% of learning nothing"
WHAT = "Learner"


@dataclass(frozen=True)
class Standing:
    """The learners over all problems, by normalised regret against the best fit to all labels, in percent.

    Attributes:
        learners: labels, the best mean first; those without it on every problem come last.
        problems: those that have such a regret, over which means are taken.
        means: over problems; NaN for a learner that lacks one.
        leaders: the best by this mean, and those not told apart from it.
    """

    learners: list[str]
    problems: list[str]
    means: dict[str, Interval]
    leaders: frozenset[str]


def standing(results: ActiveResults) -> Standing:
    """Returns how the learners stand over all problems."""
    summary, learners = results.summary(), results.labels("learner")
    regret = summary.pivot(index="learner", columns="problem", values="regret_best")
    problems = [problem for problem in results.labels("problem") if statistics.exists(regret, problem)]
    by_seed = {
        learner: 100 * statistics.mean_ratio([results.regret(problem, learner) for problem in problems])
        for learner in learners
        if problems and np.isfinite(regret.loc[learner, problems].to_numpy(dtype=float)).all()
    }
    nothing = (np.nan, np.nan, np.nan)
    means = {
        learner: statistics.mean_interval(by_seed[learner]) if learner in by_seed else nothing for learner in learners
    }
    if len(problems) == 1:
        rows = summary[summary["problem"] == problems[0]].set_index("learner")
        means = {learner: _triple(rows, learner, "regret_best", 100) for learner in learners}
    ordered = sorted(learners, key=lambda learner: np.nan_to_num(means[learner][0], nan=np.inf))
    return Standing(ordered, problems, means, statistics.leaders(by_seed))


def overall_table(results: ActiveResults, order: Standing, anchors: Mapping[str, str]) -> Table:
    """Returns learners by problems: normalised regret with its interval, and the mean over problems."""
    summary = results.summary()
    strong = [learner in order.leaders for learner in order.learners]
    sides = [(Head("Mean", UNIT), _regrets([order.means[learner] for learner in order.learners], strong))]
    for problem in order.problems:
        rows = summary[summary["problem"] == problem].set_index("learner")
        values = [_triple(rows, learner, "regret_best", 100) for learner in order.learners]
        best = statistics.leaders(_by_seed(results, problem, "regret_best"))
        entries = _regrets(values, [learner in best for learner in order.learners])
        sides.append((Head(problem, UNIT, anchors[problem]), entries))
    failures: Any = summary.groupby("learner")["failures"].sum()
    sides.append((Head("Failures", "seeds"), [failed(int(failures[learner])) for learner in order.learners]))
    ranks = [
        str(place) if np.isfinite(order.means[learner][0]) else DASH for place, learner in enumerate(order.learners, 1)
    ]
    return table(order.learners, sides, ranks, WHAT)


def heat_map(
    results: ActiveResults, values: Mapping[str, Interval], leaders: frozenset[str], places: int, sign: float
) -> Table | None:
    """Returns methods by acquisitions, coloured by value, the best in bold; None where there is one of either.

    Args:
        results: of the experiment.
        values: of the learners.
        leaders: the best ones.
        places: decimals.
        sign: 1 where higher is better, -1 where lower is.
    """
    methods, acquisitions = (list(dict.fromkeys(pair[axis] for pair in results.grid)) for axis in (0, 1))
    if min(len(methods), len(acquisitions)) < 2:
        return None
    known = [sign * value for value, _, _ in values.values() if np.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)

    def entry(method: str, acquisition: str) -> Entry:
        learner = results.grid.get((method, acquisition))
        if learner is None:
            return Entry("")
        value, lower, upper = values[learner]
        shade = (sign * value - low) / (high - low) if high > low and np.isfinite(value) else 0.0
        shown = "" if lower == upper else interval(lower, upper, places)
        return Entry(number(value, places), shown, learner in leaders, shade)

    sides = [(Head(acquisition), [entry(method, acquisition) for method in methods]) for acquisition in acquisitions]
    made = table(methods, sides, what="Method")
    return Table(made.heads, made.rows, what=made.what, heat=True)


def area_map(results: ActiveResults, problem: str) -> Table | None:
    """Returns the heat map of the area under the curve of accuracy, in percent, or of RMSE."""
    measure = results.measure(problem)
    scale = 100 if measure in PERCENT else 1
    summary = results.summary()
    rows = summary[summary["problem"] == problem].set_index("learner")
    values = {learner: _triple(rows, learner, "area", scale) for learner in results.labels("learner")}
    best = statistics.leaders(_by_seed(results, problem, "area"))
    middles = [value for value, _, _ in values.values()]
    places = percent_decimals(middles) if measure in PERCENT else decimals(middles)
    return heat_map(results, values, best, places, SIGN[measure])


def overall_map(results: ActiveResults, order: Standing) -> Table | None:
    """Returns the heat map of the mean over problems of normalised regret."""
    places = percent_decimals(value for value, _, _ in order.means.values())
    return heat_map(results, order.means, order.leaders, places, -1.0)


def learning_table(results: ActiveResults, problem: str) -> Table:
    """Returns what labels were worth to every learner; a column that exists for none is left out."""
    rows, measure = _rows(results, problem), results.measure(problem)
    text, unit = HEADS[measure]
    percent = measure in PERCENT
    sides = [
        _estimated(results, problem, rows, measure, Head(text, "% at the end" if percent else "at the end"), percent),
        _estimated(
            results,
            problem,
            rows,
            "area",
            Head(f"Mean {text if text.isupper() else text.lower()}", f"{unit} over labels".strip()),
            percent,
        ),
    ]
    for name, detail in (("regret_best", "%, to best fit"), ("regret_own", "%, to own fit")):
        if statistics.exists(rows, name):
            sides.append(_estimated(results, problem, rows, name, Head("Regret", detail), True))
    simple = rows["simple_regret"].to_numpy(dtype=float) * (100 if percent else 1)
    if np.isfinite(simple).any():
        places = 1 if percent else decimals(simple)
        sides.append((Head("Simple regret", "points" if percent else ""), _plain(simple, places)))
    for name, level in LEVELS.items():
        if np.isfinite(rows[name].to_numpy(dtype=float)).any():
            sides.append((Head(f"Labels to {100 * level:.0f}%", "median"), _plain(rows[name], 0)))
    if statistics.exists(rows, "speed_up"):
        sides.append((Head("Speed-up", "over random"), _plain(rows["speed_up"], 2)))
    return table(_names(rows), [*sides, *_spent(results, problem, rows), *_lost(results, rows)], what=WHAT)


def prediction_table(results: ActiveResults, problem: str) -> Table | None:
    """Returns the scores at the end, on the test set and on the rest of the pool; None without any."""
    rows, measure = _rows(results, problem), results.measure(problem)
    sides = []
    for name in (*SCORES, measure):
        for column, where in ((name, "test"), (f"{POOL}{name}", "pool")):
            if column != measure and statistics.exists(rows, column):
                text, unit = HEADS[name]
                values = rows[column].to_numpy(dtype=float) * (100 if name in PERCENT else 1)
                places = percent_decimals(values) if name in PERCENT else decimals(values)
                best = statistics.leaders(_by_seed(results, problem, column)) if name in RANKED else frozenset()
                entries = [
                    Entry(number(value, places), strong=learner in best)
                    for learner, value in zip(_names(rows), values, strict=True)
                ]
                sides.append((Head(text, f"{unit} {where}".strip()), entries))
    return table(_names(rows), sides, what=WHAT) if sides else None


def cost(results: ActiveResults) -> pd.DataFrame:
    """Returns per learner, in the experiment's order: seconds by purpose over all problems, milliseconds of querying
    per label bought, and the most memory.
    """
    summary = results.summary()
    known = summary.assign(queries=summary["bought"] * summary["seeds"])
    names = ["seconds", *(f"{name}_seconds" for name in ("training", "querying", "environment", "evaluation"))]
    by_learner: Any = known.groupby("learner")
    totals: Any = by_learner[[*names, "queries"]].sum(min_count=1)
    totals["rest_seconds"] = totals["evaluation_seconds"] + totals["environment_seconds"]
    per_query = 1e3 * totals["querying_seconds"] / totals["queries"].where(totals["queries"] > 0)
    return totals.assign(memory_mb=by_learner["memory_mb"].max(), milliseconds=per_query).loc[results.labels("learner")]


def cost_table(results: ActiveResults) -> Table:
    """Returns seconds and memory by learner, over all problems."""
    names = (
        ("training_seconds", "Training", "seconds"),
        ("querying_seconds", "Querying", "seconds"),
        ("milliseconds", "Querying", "ms per label"),
        ("rest_seconds", "Rest", "seconds"),
        ("memory_mb", "Memory", "MB at most"),
    )
    return costs(cost(results), names, WHAT)


def _by_seed(results: ActiveResults, problem: str, column: str) -> dict[str, pd.Series]:
    """Returns a column of the summary as a loss, as each seed has it, by learner."""
    measure = results.measure(problem)
    losses = {}
    for (place, learner), trace in results.traces.items():
        if place != problem:
            continue
        if column.startswith("regret"):
            regret, idle = results.regret(problem, learner, own=column == "regret_own")
            losses[learner] = statistics.mean_ratio([(regret, idle)]) if idle.mean() > 0 else pd.Series(dtype=float)
        elif column == "area":
            losses[learner] = -SIGN[measure] * results.area(problem, learner)
        else:
            losses[learner] = (-1.0 if column.removeprefix(POOL) in HIGHER else 1.0) * trace.last(column)
    return losses


def _estimated(
    results: ActiveResults, problem: str, rows: pd.DataFrame, column: str, head: Head, percent: bool
) -> Side:
    """Returns a column: its mean over seeds with its interval, the best in bold."""
    best = statistics.leaders(_by_seed(results, problem, column))
    scale = 100 if percent else 1
    values, low, high = (scale * rows[f"{column}{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    places = percent_decimals(values) if percent else decimals(values)
    return head, [
        Entry(number(value, places), "" if lower == upper else interval(lower, upper, places), strong=learner in best)
        for learner, value, lower, upper in zip(_names(rows), values, low, high, strict=True)
    ]


def _spent(results: ActiveResults, problem: str, rows: pd.DataFrame) -> list[Side]:
    """Returns what was bought, where it is not the same for all, its cost, where it is not 1 a label, and rewards."""
    sides: list[Side] = []
    if len(set(rows["bought"].dropna())) > 1 or statistics.exists(rows, "seen"):
        sides.append((Head("Bought", "labels"), _plain(rows["bought"], 0)))
    if (rows["cost"].dropna() != rows["bought"].dropna()).to_numpy().any():
        sides.append((Head("Cost", "of labels"), numbers(rows["cost"].to_numpy(dtype=float))))
    if statistics.exists(rows, "reward"):
        sides.append(_estimated(results, problem, rows, "reward", Head("Reward", "in all"), False))
    return sides


def _lost(results: ActiveResults, rows: pd.DataFrame) -> list[Side]:
    """Returns how many seeds failed, and where any are missing how many there are."""
    wanted = len(results.experiment["seeds"])
    sides = [(Head("Failures", "seeds"), [failed(int(value)) for value in rows["failures"]])]
    if int(rows["seeds"].to_numpy().min()) < wanted:
        sides.append((Head("Seeds", f"of {wanted}"), [Entry(str(n), alarm=n < wanted) for n in rows["seeds"]]))
    return sides


def _regrets(values: list[Interval], strong: list[bool]) -> list[Entry]:
    places = percent_decimals(value for value, _, _ in values)
    return [
        Entry(
            number(value, places),
            "" if low == high else interval(low, high, places),
            best,
            max(0.0, 1 - value / 100) if np.isfinite(value) else 0.0,
        )
        for (value, low, high), best in zip(values, strong, strict=True)
    ]


def _triple(rows: pd.DataFrame, learner: str, column: str, scale: float) -> Interval:
    value, low, high = (scale * float(rows.at[learner, f"{column}{end}"]) for end in ("", "_low", "_high"))
    return value, low, high


def _plain(values: Any, places: int) -> list[Entry]:
    return [Entry(number(float(value), places)) for value in values]


def _rows(results: ActiveResults, problem: str) -> pd.DataFrame:
    summary = results.summary()
    return summary.loc[summary["problem"] == problem, :]


def _names(rows: pd.DataFrame) -> list[str]:
    return [str(learner) for learner in rows["learner"]]
