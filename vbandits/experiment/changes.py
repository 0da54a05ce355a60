"""What changed between results folders: the paired difference of every method that is in more than one of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from vbandits.experiment import comparing
from vbandits.experiment.benchmark import benchmark
from vbandits.experiment.progress import print_line
from vbandits.experiment.results import StoredResults
from vbandits.metrics import comparison, intervals
from vbandits.registry import load
from vbandits.report import ranking, tables
from vbandits.report.comparison import Comparison, signed
from vbandits.report.formats import DASH, interval
from vbandits.report.page import Item, Report, Section
from vbandits.report.statistics import NOTHING, Interval
from vbandits.report.tables import Column, Entry, Head, Table
from vbandits.report.terminal import shown
from vbandits.report.verdict import listed

TITLE = "What changed"
SAME = "the same in every run"


def show(folders: Sequence[Path], out: Path | None, command: str) -> None:
    """Compares folders, prints what changed, and writes the report.

    Args:
        folders: of results.
        out: folder of the report; by default one in results/ that is named after them.
        command: that the report names.
    """
    from vbandits.experiment.report import terminal

    found = comparing.loaded(folders)
    results = comparing.combined(found, command)
    out = out or Path("results") / "-".join(["compare", *found]).replace("/", "-")
    comparing.check_free(out)
    for note in results.experiment["compared"]["notes"]:
        print_line(Console(stderr=True), f"note: {note}", "yellow")
    changed = table(results)
    Console().print(*([] if changed is None else [shown(changed, TITLE), ""]), terminal(results))
    page = comparing.write(results, out)  # where that is not possible, the tables have been printed
    print_line(Console(stderr=True), f"Report: {page}")


def report(results: StoredResults) -> Report:
    """Returns the report of a comparison: that of its benchmark, and before it what changed."""
    made: Report = load(benchmark(results.benchmark).report)(results)
    return replace(made, opening=[Section(TITLE, "changes", _items(results)), *made.opening])


def _items(results: StoredResults) -> list[Item]:
    found, method = results.comparison, results.axes[1]
    notes = results.experiment["compared"]["notes"]
    changed = table(results)
    if changed is None:
        return [f"There is nothing to pair: no {method} has results in more than one of the folders.", *notes]
    way = f"{found.measure.name}, {found.measure.unit}; {found.measure.better} is better"
    return [
        changed,
        f"The difference of the {way}, paired by seed, with its 95% interval: the later folder's less the first's. "
        "Bold: its interval excludes 0. Each holds by itself: of twenty differences between equals, one is bold. "
        f"{ranking.LOPSIDED}: it rests on one seed.",
        *notes,
    ]


def table(results: StoredResults) -> Table | None:
    """Returns a row for every method that is in more than one of the folders, for each folder after its first.

    Returns:
        The difference over all problems and in each, and in words where it is told from 0; None without such methods.
    """
    found, method = results.comparison, results.axes[1]
    pairs = dict(_pairs(results.experiment["compared"]["methods"]))
    if not pairs or not found.known:
        return None
    columns: list[Column] = []
    several = len(found.problems) > 1
    if several:
        head = Head("Mean", found.measure.unit, first=True)
        columns.append((head, _entries(found, pairs.values(), found.by_seed)))
    for place, problem in enumerate(found.problems):
        head = Head(problem, found.measure.unit, first=not several)
        columns.append((head, _entries(found, pairs.values(), found.counted[:, :, place])))
    columns.append((Head("In words"), [Entry(_words(found, pair), words=True) for pair in pairs.values()]))
    return tables.table([*pairs], columns, method.capitalize())


def _pairs(methods: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields the name of a row, and the labels of the earlier and of the later version that it compares."""
    for label, versions in methods.items():
        first, *others = versions
        for other in others:
            name = label if len(others) == 1 else f"{label}: {other} against {first}"
            yield name, (versions[first], versions[other])


def _entries(found: Comparison, pairs: Any, losses: np.ndarray) -> list[Entry]:
    """Returns the differences of pairs in losses [M, R] as a column of values."""
    values = [found.measure.value(_difference(found, pair, losses)) for pair in pairs]
    places = ranking.places_of([value for value in values if np.isfinite(value[0])], found.measure)
    entries = []
    for pair, (middle, low, high) in zip(pairs, values, strict=True):
        if not np.isfinite(middle):
            entries.append(Entry(DASH))
            continue
        earlier, later = losses[found.rows(pair)]
        mark = ranking.LOPSIDED if intervals.rests_on_one(later - earlier) else ""
        ends = "" if low == high else interval(low, high, places)
        numbers = (middle, low, high)
        entries.append(Entry(f"{signed(middle, places)}{mark}", ends, low > 0 or high < 0, numbers=numbers))
    return entries


def _difference(found: Comparison, pair: tuple[str, str], losses: np.ndarray) -> Interval:
    if set(pair) & found.incomplete:
        return NOTHING
    earlier, later = losses[found.rows(pair)]
    return comparison.paired_difference(later, earlier)


def _words(found: Comparison, pair: tuple[str, str]) -> str:
    """Returns where the later version is better or worse."""
    if set(pair) & found.incomplete:
        return "not all runs have been made"
    earlier, later = found.counted[found.rows(pair)]
    if np.array_equal(earlier, later):
        return SAME
    better, worse = [], []
    for place, problem in enumerate(found.problems):
        _, low, high = _difference(found, pair, found.counted[:, :, place])
        if high < 0:
            better.append(problem)
        elif low > 0:
            worse.append(problem)
    told = [f"{word} in {listed(names)}" for word, names in (("better", better), ("worse", worse)) if names]
    return "; ".join(told) or "not told apart anywhere"
