"""The report of an experiment, whatever its benchmark: what all reports say, and the files that are written."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vbandits.experiment.benchmark import benchmark
from vbandits.experiment.results import StoredResults
from vbandits.experiment.store import write_text
from vbandits.registry import load
from vbandits.report import figures, markdown, page, statistics, tables, texts
from vbandits.report.formats import DASH, TIMES, count, decimals, percent_decimals
from vbandits.report.page import Drawing, Facts, Failure, Item, Report, Section
from vbandits.report.palette import Style
from vbandits.report.ranking import NOTHING, Ranking
from vbandits.report.statistics import Interval
from vbandits.report.tables import Column, Entry, Head, Places, Table

if TYPE_CHECKING:
    from vbandits.report.terminal import Tables

TUNING = "vbandits.tuning.report:report"
"""Reports settings that were tried, whatever the benchmark."""
WHOLE = ("memory_mb", "microseconds")
"""Columns of the cost without decimals."""


def report_of(results: StoredResults) -> Report:
    """Returns the report that the benchmark of these results makes of them, or of a tuning that of its settings."""
    return load(TUNING if "tuning" in results.experiment else benchmark(results.benchmark).report)(results)


def write(results: StoredResults, folder: Path) -> Path:
    """Writes index.html, report.md and summary.csv into `folder`, each at once or not at all.

    The same results give the same bytes.

    Returns:
        The page's path.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report = report_of(results)
    html = page.render(report)
    write_text(folder / "summary.csv", results.summary().to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    write_text(folder / "report.md", markdown.render(report))
    write_text(folder / "index.html", html)
    return folder / "index.html"


def terminal(results: StoredResults) -> "Tables":
    """Returns what a rich console prints: a table per problem, the best method first."""
    from vbandits.report.terminal import Tables

    layout = load(benchmark(results.benchmark).layout)
    return Tables(results.summary(), results.axes, layout, single=len(results.experiment["seeds"]) < 2)


def assemble(
    results: StoredResults,
    *,
    sections: Sequence[Section],
    definitions: Facts,
    styles: Mapping[str, Style],
    opening: Sequence[Section] = (),
    steps: str = "",
    facts: Mapping[str, str | None] | None = None,
    lacking: str = "",
    diverging: str = "",
) -> Report:
    """Returns a report with what is the same for all benchmarks: failures and warnings, facts, settings.

    Args:
        results: to report.
        sections: of the problems, and of the cost.
        definitions: what the numbers are.
        styles: how methods are drawn, by label.
        opening: sections before the warnings.
        steps: what the experiment's steps are called, if it has a number of them.
        facts: what else it was made with, by name; None for what it does not tell.
        lacking: ends the warning that jobs failed.
        diverging: ends the warning that runs diverged.
    """
    experiment, failures = results.experiment, failures_of(results)
    problem, method = results.axes
    quantities = [count(len(results.labels(axis)), axis) for axis in results.axes]
    quantities += [count(len(experiment["seeds"]), "seed")]
    quantities += [count(experiment["steps"], steps)] if steps else []
    return Report(
        name=str(experiment["name"]),
        lead=f" {TIMES} ".join(quantities),
        opening=opening,
        warnings=warnings_of(results, failures, lacking, diverging),
        failures=failures,
        sections=sections,
        definitions=definitions,
        facts=facts_of(experiment, facts or {}),
        settings=[
            (f"{axis.capitalize()}s", [(entry["label"], settings(entry)) for entry in experiment[f"{axis}s"]])
            for axis in (method, problem)
        ],
        styles=styles,
    )


def anchors(results: StoredResults) -> dict[str, str]:
    """Returns the anchor of every problem's section."""
    return {label: f"{results.axes[0]}-{place}" for place, label in enumerate(results.labels(results.axes[0]), 1)}


def problem_sections(results: StoredResults, items: Callable[[str, str], Sequence[Item]]) -> list[Section]:
    """Returns a section for every problem, which says so if there are no results.

    Args:
        results: to report.
        items: what a section holds, of the problem's label and its anchor.
    """
    known = {problem for problem, _ in results.parts}
    return [
        Section(label, anchor, [*([] if label in known else [texts.NO_RESULTS]), *items(label, anchor)])
        for label, anchor in anchors(results).items()
    ]


def comparison(results: StoredResults) -> str:
    """Returns what bold numbers say, or why there are none."""
    return texts.comparison(results.axes[1], len(results.experiment["seeds"]))


def leaders(results: StoredResults, problem: str, column: str) -> frozenset[str]:
    """Returns the best methods of a problem by a column of the summary."""
    own = results.of(problem)
    return statistics.leaders({method: results.loss(problem, method, column) for method in own})


def estimates_of(results: StoredResults, problem: str, column: str, scale: float = 1.0) -> dict[str, Interval]:
    """Returns a column of the summary with its interval, by method."""
    rows = results.rows(problem)
    values = scale * rows[[column, f"{column}_low", f"{column}_high"]].to_numpy(dtype=float)
    return {
        method: (row[0], row[1], row[2]) for method, row in zip(rows[results.axes[1]], values.tolist(), strict=True)
    }


class ProblemTable:
    """A table of one problem with a row for every method, in the order of the summary, made column by column."""

    def __init__(self, results: StoredResults, problem: str) -> None:
        self.rows = results.rows(problem)
        """Of the summary."""
        self.columns: list[Column] = []
        self._results, self._problem = results, problem
        self._methods = [str(method) for method in self.rows[results.axes[1]]]

    def add(
        self,
        column: str,
        head: str,
        detail: str = "",
        *,
        scale: float = 1.0,
        places: Places = decimals,
        bold: bool = True,
        shaded: bool = False,
        given: Mapping[str, Interval] | None = None,
    ) -> None:
        """Adds a column of the summary, with its interval where there is one, unless it exists for no method.

        Args:
            column: its name.
            head: of the column.
            detail: second line of the head.
            scale: by which numbers are multiplied: 100 shows fractions in percent.
            places: decimals, or how they follow from the numbers.
            bold: whether the best are in bold.
            shaded: colours percentages of a reference.
            given: estimates by method that are shown instead.
        """
        ends = [end for end in ("", "_low", "_high") if f"{column}{end}" in self.rows]
        values = scale * self.rows[[f"{column}{end}" for end in ends]].to_numpy(dtype=float)
        if given is not None:
            values = np.array([given[method] for method in self._methods])
        if not np.isfinite(values[:, 0]).any():
            return
        best = leaders(self._results, self._problem, column) if bold else frozenset()
        strong = [method in best for method in self._methods]
        self.columns.append((Head(head, detail), tables.numbers(values, places, strong, shaded)))

    def ended(self) -> None:
        """Adds how many seeds failed, and where any are missing how many there are."""
        wanted = len(self._results.experiment["seeds"])
        self.columns.append(tables.failures(self.rows["failures"]))
        if int(self.rows["seeds"].to_numpy().min()) < wanted:
            done = [Entry(str(seeds), alarm=seeds < wanted) for seeds in self.rows["seeds"]]
            self.columns.append((Head("Seeds", f"of {wanted}"), done))

    def table(self, title: str = "") -> Table:
        """Returns the table."""
        return tables.table(self._methods, self.columns, self._results.axes[1].capitalize(), title)


def ranking_table(results: StoredResults, ranking: Ranking, title: str = "") -> Table:
    """Returns methods by problems: what each is compared by with its interval, and the mean where there is one."""
    methods, links = ranking.methods, anchors(results)
    columns: list[Column] = []
    if len(ranking.comparable) > 1:
        strong = [method in ranking.leaders for method in methods]
        means = tables.numbers([ranking.means[method] for method in methods], percent_decimals, strong, True)
        columns.append((Head("Mean", ranking.comparable[0].unit), means))
        behind = [ranking.behind.get(method, NOTHING) for method in methods]
        columns.append((Head("Behind the best", "paired by seed"), tables.numbers(behind, percent_decimals)))
        if ranking.middle:
            middle = [ranking.middle.get(method, NOTHING) for method in methods]
            columns.append((Head("IQM", "middle half of runs"), tables.numbers(middle, percent_decimals)))
    for problem in ranking.problems:
        values = [problem.estimates[method] for method in methods]
        places = percent_decimals if problem.relative else decimals
        strong = [method in problem.leaders for method in methods]
        head = Head(problem.label, "no results" if problem.empty else problem.unit, links[problem.label])
        columns.append((head, tables.numbers(values, places, strong, problem.relative)))
    by_method: Any = results.summary().groupby(results.axes[1])
    ended = by_method[["failures", "seeds"]].sum().loc[list(methods)]
    columns.append(tables.failures(ended["failures"]))
    wanted = len(links) * len(results.experiment["seeds"])
    if int(ended["seeds"].to_numpy().min()) < wanted:
        done = [Entry(f"{runs} of {wanted}", alarm=runs < wanted) for runs in ended["seeds"]]
        columns.append((Head("Runs", "done of wanted"), done))
    ranks = [str(ranking.ranks[method] or DASH) for method in methods]
    return tables.table(methods, columns, results.axes[1].capitalize(), title, ranks)


def cost_section(
    results: StoredResults,
    totals: pd.DataFrame,
    columns: Sequence[tuple[str, str, str]],
    parts: Mapping[str, str | None],
    heading: str,
    styles: Mapping[str, Style],
) -> Section:
    """Returns the section of the cost: seconds over all problems, and memory.

    Args:
        results: to report.
        totals: a row for each method.
        columns: of `totals` in the table: name, head, and its second line.
        parts: columns of `totals` that bars are made of, and their colours; None is the method's own.
        heading: of the figure: says which colour is which.
        styles: how methods are drawn, by label.
    """
    problem, method = results.axes
    shown = []
    for name, head, detail in columns:
        values = totals[name].to_numpy(dtype=float)
        places = 0 if name in WHOLE else min(decimals(values), 2)
        shown.append((Head(head, detail), tables.numbers(values, places)))
    table = tables.table([str(label) for label in totals.index], shown, method.capitalize())
    what = f"Seconds over all {problem}s, {columns[0][1].lower()}"
    draw = partial(figures.cost, totals, styles, parts, heading, what)
    caption = f"Seconds of wall time over all {problem}s and seeds."
    timed = statistics.exists(totals, next(iter(parts)))
    return Section("Cost", "cost", [*([lambda: [Drawing(draw(), caption)]] if timed else []), table])


def warnings_of(results: StoredResults, failures: list[Failure], lacking: str, diverging: str) -> list[str]:
    """Returns what is missing, in words."""
    jobs = results.jobs
    wanted = len(results.labels(results.axes[0])) * len(results.labels(results.axes[1]))
    wanted *= len(results.experiment["seeds"])
    failed = sum(len(job["seeds"]) for job in jobs if job["status"] == "failed")
    diverged = sum(job["failures"] for job in jobs if job["status"] == "done")
    missing = wanted - sum(len(job["seeds"]) for job in jobs)
    warnings = []
    if failures:
        broken = sum(len(failure.jobs) for failure in failures)
        warnings.append(
            f"{count(broken, 'job')} failed, and with {'it' if broken == 1 else 'them'} {failed:,} of "
            f"{count(wanted, 'run')}: these have no results{lacking}."
        )
    if diverged:
        warnings.append(f"{count(diverged, 'run')} diverged{diverging}; they count in every mean.")
    if missing > 0:
        warnings.append(f"{missing:,} of {count(wanted, 'run')} have not been made yet: this report is of a part.")
    return warnings


def failures_of(results: StoredResults) -> list[Failure]:
    """Returns the failed jobs by reason, in the order of problems and methods."""
    place = {axis: {label: i for i, label in enumerate(results.labels(axis))} for axis in results.axes}
    failed = [job for job in results.jobs if job["status"] == "failed"]
    found: dict[str, list[tuple[str, str, str]]] = {}
    for job in sorted(failed, key=lambda job: [place[axis].get(job[axis], -1) for axis in place]):
        reason = re.sub(r"\s+", " ", str(job.get("reason") or "no reason given")).strip()
        found.setdefault(reason, []).append((*(job[axis] for axis in results.axes), _seeds(job["seeds"])))
    return [Failure(reason, jobs) for reason, jobs in found.items()]


def _seeds(seeds: Sequence[int]) -> str:
    """Returns "0–15" for consecutive seeds, and a list for others."""
    consecutive = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}{DASH}{seeds[-1]}" if consecutive else ", ".join(map(str, seeds))


def facts_of(experiment: Mapping[str, Any], more: Mapping[str, str | None]) -> Facts:
    """Returns how an experiment was made, with `more` of its benchmark; what it does not tell is left out."""
    known = {
        "Command": experiment.get("command"),
        "Seeds": _seeds(experiment["seeds"]),
        **more,
        "Lockstep": f"blocks of at most {count(experiment['block'], 'seed')}" if experiment.get("block") else None,
        "Device": experiment.get("device"),
        "Machine": _pairs(experiment.get("machine")),
        "Versions": _pairs(experiment.get("versions")),
        "Fingerprint": experiment.get("fingerprint"),
    }
    return [(name, str(value)) for name, value in known.items() if value]


def settings(entry: Mapping[str, Any]) -> Facts:
    """Returns the configuration of a problem or a method: a line per section, every field of it."""
    return [(str(name), _pairs(value) or "none") for name, value in entry.items() if name != "label"]


def _pairs(value: Any) -> str:
    """Returns "name value · name value" for a mapping, and anything else as it is."""
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    return "" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items()) + ")"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(entry) for entry in value) + "]"
    return str(value)
