"""The report of a supervised experiment: what it says, and its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vbandits.benchmarks.supervised import figures as supervised_figures
from vbandits.benchmarks.supervised.results import AUROC, CORRUPTED, SupervisedResults, by_seed
from vbandits.report import figures, statistics, wording
from vbandits.report.common import Chapter, Report, Section, common_parts
from vbandits.report.formats import decimals, interval, number, percent_decimals
from vbandits.report.page import Drawing, drawing, fill
from vbandits.report.palette import GRID, Look, looks
from vbandits.report.tables import Entry, Head, Side, Table, costs, failed, numbers, table

HEADS = {"error": ("Error", "%"), "nll": ("NLL", "nats"), "ece": ("ECE", "%"), "brier": ("Brier score", "")}
PERCENT = ("error", "ece")
CLEAN_TITLE, CORRUPTED_TITLE = "In distribution", "Under corruption"


@dataclass(frozen=True)
class SupervisedReport(Report):
    """Everything that the report says, dataset by dataset."""

    sections: list[Section]

    @property
    def chapters(self) -> list[Chapter]:
        """The datasets."""
        return [section.chapter for section in self.sections]


def report(results: SupervisedResults) -> SupervisedReport:
    """Returns the report of an experiment."""
    seeds = len(results.experiment["seeds"])
    diverging = ", and predict all classes alike"
    return SupervisedReport(
        **common_parts(results, "", diverging, "gradient step"),
        cost=_cost_table(results),
        definitions=wording.SUPERVISED_DEFINITIONS,
        sections=[
            Section(label, f"dataset-{place}", _tables(results, label, seeds), _notes(seeds))
            for place, label in enumerate(results.labels("dataset"), 1)
        ],
    )


def _notes(seeds: int) -> list[str]:
    return [
        f"Ordered by NLL in distribution. {wording.BOLD_METHOD} {wording.TIED}"
        if seeds > 1
        else wording.ONE_SEED_METHODS
    ]


def _tables(results: SupervisedResults, dataset: str, wanted: int) -> list[tuple[str, Table]]:
    summary = results.summary()
    rows = summary.loc[summary["dataset"] == dataset, :]
    methods = [str(method) for method in rows["method"]]
    tables = []
    for title, prefix in ((CLEAN_TITLE, ""), (CORRUPTED_TITLE, CORRUPTED)):
        names = [f"{prefix}{name}" for name in results.measures() if statistics.exists(rows, f"{prefix}{name}")]
        sides = [_measured(results, dataset, rows, name) for name in names]
        if not prefix:
            if (rows["temperature"].dropna() != 1).any():
                sides.append((Head("Temperature"), numbers(rows["temperature"].to_numpy(dtype=float))))
            sides.append((Head("Failures", "seeds"), [failed(int(value)) for value in rows["failures"]]))
            if int(rows["seeds"].to_numpy().min()) < wanted:
                sides.append((Head("Seeds", f"of {wanted}"), [Entry(str(n), alarm=n < wanted) for n in rows["seeds"]]))
        if names or not prefix:
            tables.append((title, table(methods, sides, what="Method")))
    return tables


def _measured(results: SupervisedResults, dataset: str, rows: pd.DataFrame, column: str) -> Side:
    """Returns a column: its mean over seeds with its interval, the best in bold."""
    name = column.removeprefix(CORRUPTED)
    scale, auroc = (100 if name in PERCENT else 1), name.startswith(AUROC)
    values, low, high = (scale * rows[f"{column}{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    losses = {
        method: by_seed(results.parts.get((dataset, method)), column) * (-1 if auroc else 1)
        for method in map(str, rows["method"])
    }
    best = statistics.leaders(losses)
    places = percent_decimals(values) if name in PERCENT else 3 if auroc else decimals(values)
    entries = [
        Entry(number(value, places), "" if lower == upper else interval(lower, upper, places), strong=method in best)
        for method, value, lower, upper in zip(losses, values, low, high, strict=True)
    ]
    head = Head("AUROC", name.removeprefix(AUROC)) if auroc else Head(*HEADS[name])
    return head, entries


def _cost(results: SupervisedResults) -> pd.DataFrame:
    """Returns per method, in the experiment's order: seconds by purpose over all datasets, and the most memory."""
    by_method: Any = results.summary().groupby("method")
    totals = by_method[["seconds", "prediction_seconds"]].sum(min_count=1)
    return totals.assign(memory_mb=by_method["memory_mb"].max()).loc[results.labels("method")]


def _cost_table(results: SupervisedResults) -> Table:
    names = (
        ("seconds", "Training", "seconds"),
        ("prediction_seconds", "Prediction", "seconds"),
        ("memory_mb", "Memory", "MB at most"),
    )
    return costs(_cost(results), names, "Method")


def render(report: SupervisedReport, results: SupervisedResults) -> str:
    """Returns the page."""
    look, totals = looks(results.labels("method")), _cost(results)
    cost = None
    if statistics.exists(totals, "seconds"):
        heading = "Training (the method's colour), prediction (light grey)"
        bars = figures.cost(
            totals, look, "cost", {"prediction_seconds": GRID}, heading, "the methods over all datasets"
        )
        cost = Drawing(bars.svg, wording.CAPTIONS["cost_methods"])
    drawings = {section.label: _drawings(results, section, look) for section in report.sections}
    return fill("supervised.html.j2", report, look=look, drawings=drawings, cost=cost)


def _drawings(results: SupervisedResults, section: Section, look: Mapping[str, Look]) -> list[Drawing]:
    """Returns the figures of a dataset; none without results."""
    ordered = [row.agent for row in section.tables[0][1].rows]
    own = {
        method: results.parts[section.label, method] for method in ordered if (section.label, method) in results.parts
    }
    if not own:
        return []
    corrupted = any(bool((part["severity"] > 0).any()) for part in own.values())
    drawn = []
    for name in ("error", "nll", "ece") if corrupted else ():
        text, unit = HEADS[name]
        heading = f"{text}, {unit}" if unit else text
        scale = 100.0 if name in PERCENT else 1.0
        salt = f"{section.anchor}-{name}"
        drawn.append(supervised_figures.severity(own, look, name, heading, scale, section.label, salt))
    drawn.append(supervised_figures.reliability(own, look, section.label, corrupted, f"{section.anchor}-reliability"))
    return [drawing(figure) for figure in drawn]
