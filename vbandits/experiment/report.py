"""The report of an experiment, whatever its benchmark: what all reports say, and the files that are written."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import benchmark
from vbandits.experiment.extend import runs
from vbandits.experiment.figures import common
from vbandits.experiment.made import differing, facts_of, remarks, seeds_text, settings
from vbandits.experiment.results import StoredResults
from vbandits.files import write_text
from vbandits.registry import load
from vbandits.report import figures, files, markdown, overview, page, ranking, robustness, statistics, tables, texts
from vbandits.report.formats import TIMES, count, decimals, plural
from vbandits.report.page import Drawing, Facts, Failure, Item, Report, Section
from vbandits.report.palette import GRID, Style
from vbandits.report.paper import Named
from vbandits.report.statistics import NOTHING, Interval
from vbandits.report.tables import Column, Entry, Head, Places, Table
from vbandits.report.verdict import verdict

if TYPE_CHECKING:
    from vbandits.report.terminal import Tables

TUNING = "vbandits.tuning.report:report"
"""Reports settings that were tried, whatever the benchmark."""
COMPARED = "vbandits.experiment.changes:report"
"""Reports folders that are set side by side."""
WHOLE = ("memory_mb", "microseconds", "needed")
"""Columns of the cost without decimals."""


def report_of(results: StoredResults) -> Report:
    """Returns the report that the benchmark of these results makes of them, of a tuning that of its settings, and of
    several folders that of their comparison."""
    special = {"tuning": TUNING, "compared": COMPARED}
    reports = [place for key, place in special.items() if key in results.experiment]
    return load(next(iter(reports), benchmark(results.benchmark).report))(results)


def place(folder: Path) -> Path:
    """Returns where the report of a results folder lies.

    Raises:
        ConfigError: if that is a link: a folder from elsewhere would choose where files are written.
    """
    found = folder / "report"
    if found.is_symlink():
        raise ConfigError(f"{found}: expected a folder to write the report to, got a link: remove it")
    return found


def write(results: StoredResults, folder: Path) -> Path:
    """Writes index.html, report.md, summary.csv, and every figure and table as files, into `folder`.

    The same results give the same bytes.

    Returns:
        The page's path.
    """
    folder = Path(folder)
    with threadpool_limits(1):  # arrays are small, and threads that wait for each other cost more than they do
        report, drawn = page.drawn(report_of(results))
    html = page.render(report)  # before anything is replaced
    for name, endings in (("figures", ("svg",)), ("tables", ("csv", "tex"))):
        if (folder / name).is_symlink():  # it may lead anywhere
            (folder / name).unlink()
        (folder / name).mkdir(parents=True, exist_ok=True)
        for left in (folder / name).iterdir():  # of an earlier report, and nothing else that may lie there
            if re.fullmatch(rf".+-{name[:-1]}-\d+\.({'|'.join(endings)})", left.name):
                left.unlink(missing_ok=True)  # another process may write the same report
    for name, text in files.contents(drawn):
        if (folder / name).is_symlink():
            (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    summary = results.summary()
    for axis in results.axes:
        summary[axis] = summary[axis].map(files.harmless)
    write_text(folder / "summary.csv", summary.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    write_text(folder / "report.md", markdown.render(report))
    write_text(folder / "index.html", html)
    return folder / "index.html"


def terminal(results: StoredResults) -> "Tables":
    """Returns what a rich console prints: a table per problem, the best method first."""
    from vbandits.report.terminal import Tables

    layout = load(benchmark(results.benchmark).layout)
    return Tables(results.summary(), results.axes, layout, single=len(results.experiment["seeds"]) < 2)


@dataclass(frozen=True)
class Costs:
    """What methods cost.

    Attributes:
        totals: a row for each method: seconds by purpose over all problems, and what else is shown.
        columns: of `totals` in the table: name, head, and its second line.
        parts: columns of `totals` that bars are made of, and their colours; None is the method's own.
        heading: of the figure: says which colour is which.
        rate: column of `totals` by which methods are compared in seconds, with `per` what, and `what` is timed.
    """

    totals: pd.DataFrame
    columns: Sequence[tuple[str, str, str]]
    parts: Mapping[str, str | None]
    heading: str
    rate: str
    per: str
    what: str

    @classmethod
    def per_run(cls, results: StoredResults, beside: str, heads: tuple[str, str], heading: str, what: str) -> "Costs":
        """Returns those of methods that are compared by `seconds` per run, another column beside them."""
        by_method: Any = results.summary().groupby(results.axes[1])["seeds"]
        totals = results.costs("seconds", beside)
        totals = totals.assign(rate=totals["seconds"] / by_method.sum().reindex(totals.index))
        shown = [("seconds", heads[0], "seconds"), (beside, heads[1], "seconds"), ("memory_mb", "Memory", "MB at most")]
        return cls(totals, shown, {"seconds": None, beside: GRID}, heading, "rate", "run", what)


def assemble(
    results: StoredResults,
    *,
    problems: Sequence[Section],
    trust: Sequence[Item],
    costs: Costs,
    definitions: Facts,
    styles: Mapping[str, Style],
    notes: Sequence[str] = (),
    ranked: Sequence[Item] = (),
    steps: str = "",
    facts: Mapping[str, str | None] | None = None,
    lacking: str = "",
    diverging: str = "",
    warnings: Sequence[str] = (),
    named: Mapping[str, Named] | None = None,
) -> Report:
    """Returns a report: verdict, overview, ranking, robustness, trust, the problems, cost, and how it was made.

    Args:
        results: to report.
        problems: sections of the problems.
        trust: whether methods know what they do not know; nothing where they predict nothing.
        costs: what methods cost.
        definitions: what the numbers are.
        styles: how methods are drawn, by label.
        notes: more to be said of the ranking.
        ranked: what stands before the ranking's table, such as a map of it.
        steps: what the experiment's steps are called, if it has a number of them.
        facts: what else it was made with, by name; None for what it does not tell.
        lacking: ends the warning that jobs failed.
        diverging: ends the warning that runs diverged.
        warnings: what else a reader is to be warned of.
        named: figures that can be asked for by their names, besides those of all benchmarks.
    """
    experiment, failures = results.experiment, failures_of(results)
    problem, method = results.axes
    quantities = [count(len(results.labels(axis)), axis) for axis in results.axes]
    quantities += [count(len(experiment["seeds"]), "seed")]
    quantities += [count(experiment["steps"], steps)] if steps else []
    told = [*warnings_of(results, failures, lacking, diverging), *remarks(results), *warnings]
    return Report(
        name=str(experiment["name"]),
        lead=f" {TIMES} ".join(quantities),
        opening=[Section("Verdict", "verdict", [verdict(results.comparison, method, problem, told)])],
        warnings=told,
        failures=failures,
        sections=[
            *_overall(results, costs, styles, notes, ranked),
            *([Section("Can it be trusted?", "trust", trust)] if trust else []),
            *problems,
            cost_section(results, costs, styles),
        ],
        definitions=[*definitions, texts.LIMITS],
        facts=facts_of(results, facts or {}),
        settings=[
            (
                plural(axis).capitalize(),
                [(entry["label"], settings(entry)) for entry in experiment[plural(axis)]],
            )
            for axis in (method, problem)
        ],
        styles=styles,
        made=differing(experiment[plural(method)], method),
        named=common(results, costs, styles) | dict(named or {}),
    )


def _overall(
    results: StoredResults, costs: Costs, styles: Mapping[str, Style], notes: Sequence[str], ranked: Sequence[Item]
) -> list[Section]:
    """Returns the sections over all problems; none where there is nothing to compare."""
    found = results.comparison
    problem, method = results.axes
    if not found.known or not found.contenders:
        return []
    over = f"{count(len(found.problems), problem)} and {count(len(found.seeds), 'seed')}"
    seconds = costs.totals[costs.rate].to_dict()

    def overviewed() -> list[Drawing]:
        drawn = [overview.estimates(found, styles, over)]
        cost = overview.pareto(found, styles, seconds, costs.per, f"{costs.what}, against {found.measure.name}")
        return drawn if cost is None else [*drawn, cost]

    def robust() -> list[Any]:
        drawn: list[Any] = [robustness.profiles(found, styles), robustness.improvement(found, styles)]
        drawn += [robustness.ranks(found, styles), robustness.strips(found, styles)]
        return [one for one in drawn if one is not None]

    what = method.capitalize()
    table = ranking.table(found, what, anchors(results), "All" if ranked else "")
    return [
        Section("Overview", "overview", [overviewed]),
        Section("Ranking", "ranking", [*ranked, table, *notes, comparison(results)]),
        Section("Robustness", "robustness", [robust]),
    ]


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
    found = results.comparison
    return texts.comparison(results.axes[1], len(found.seeds if found.known else results.experiment["seeds"]))


def leaders(results: StoredResults, problem: str, column: str) -> frozenset[str]:
    """Returns the best methods of a problem by a column of the summary."""
    own = results.present(problem)
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
        first: bool = False,
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
            first: whether a phone shows it.
        """
        if column not in self.rows:
            return
        ends = [end for end in ("", "_low", "_high") if f"{column}{end}" in self.rows]
        values = scale * self.rows[[f"{column}{end}" for end in ends]].to_numpy(dtype=float)
        if given is not None:
            values = np.array([given.get(method, NOTHING) for method in self._methods])
        if not np.isfinite(values[:, 0]).any():
            return
        best = leaders(self._results, self._problem, column) if bold else frozenset()
        strong = [method in best for method in self._methods]
        self.columns.append((Head(head, detail, first=first), tables.numbers(values, places, strong, shaded)))

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


def cost_section(results: StoredResults, costs: Costs, styles: Mapping[str, Style]) -> Section:
    """Returns the section of the cost: seconds over all problems, and memory."""
    problem, method = results.axes
    shown = []
    for name, head, detail in costs.columns:
        values = costs.totals[name].to_numpy(dtype=float)
        places = 0 if name in WHOLE else min(decimals(values), 2)
        shown.append((Head(head, detail), tables.numbers(values, places)))
    table = tables.table([str(label) for label in costs.totals.index], shown, method.capitalize())
    what = f"Seconds over all {plural(problem)}, {costs.columns[0][1].lower()}"
    draw = partial(figures.cost, costs.totals, styles, costs.parts, costs.heading, what)
    caption = f"Seconds of wall time over all {plural(problem)} and seeds."
    timed = statistics.exists(costs.totals, next(iter(costs.parts)))
    return Section("Cost", "cost", [*([lambda: [Drawing(draw(), caption)]] if timed else []), table])


def averages(results: StoredResults, columns: Sequence[tuple[str, str, str, float]], note: str) -> list[Item]:
    """Returns a table of columns of the summary, the mean over problems for each method; nothing where none is known.

    Args:
        results: to report.
        columns: name, head, its second line, and by what numbers are multiplied.
        note: what stands below.
    """
    summary, method = results.summary(), results.axes[1]
    labels = list(results.comparison.ranked) or results.labels(method)
    shown: list[Column] = []
    for name, head, detail, scale in columns:
        if name in summary and statistics.exists(summary, name):
            by_method: Any = summary.groupby(method)[name]
            values = scale * by_method.mean().reindex(labels).to_numpy(dtype=float)
            shown.append((Head(head, detail, first=not shown), tables.numbers(values, decimals)))
    return [tables.table(labels, shown, method.capitalize()), note] if shown else []


def warnings_of(results: StoredResults, failures: list[Failure], lacking: str, diverging: str) -> list[str]:
    """Returns what is missing, in words."""
    jobs, wanted = results.jobs, runs(results.experiment, results.axes)
    failed = sum(len(job["seeds"]) for job in jobs if job["status"] == "failed")
    diverged = sum(job["failures"] for job in jobs if job["status"] == "done")
    warnings = []
    if failures:
        broken = sum(len(failure.jobs) for failure in failures)
        warnings.append(
            f"{count(broken, 'job')} failed, and with {'it' if broken == 1 else 'them'} {failed:,} of "
            f"{count(wanted, 'run')}: these have no results{lacking}."
        )
    if diverged:
        warnings.append(f"{count(diverged, 'run')} diverged{diverging}.")
    return [*warnings, *unmade(results)]


def unmade(results: StoredResults) -> list[str]:
    """Returns how many runs have not been made yet, in words; nothing where all have."""
    wanted = runs(results.experiment, results.axes)
    missing = wanted - sum(len(job["seeds"]) for job in results.jobs)
    told = f"{missing:,} of {count(wanted, 'run')} have not been made yet: this report is of a part."
    return [told] if missing > 0 else []


def failures_of(results: StoredResults) -> list[Failure]:
    """Returns the failed jobs by reason, in the order of problems and methods."""
    place = {axis: {label: i for i, label in enumerate(results.labels(axis))} for axis in results.axes}
    failed = [job for job in results.jobs if job["status"] == "failed"]
    found: dict[str, list[tuple[str, str, str]]] = {}
    for job in sorted(failed, key=lambda job: [place[axis].get(job[axis], -1) for axis in place]):
        reason = re.sub(r"\s+", " ", str(job.get("reason") or "no reason given")).strip()
        found.setdefault(reason, []).append((*(job[axis] for axis in results.axes), seeds_text(job["seeds"])))
    return [Failure(reason, jobs) for reason, jobs in found.items()]
