"""The ranking of methods: a table of problems by methods, with what a reader needs in order not to be misled."""

from collections.abc import Mapping, Sequence

import numpy as np

from vbandits.metrics import intervals
from vbandits.report import tables
from vbandits.report.comparison import Comparison, Measure, mean_of, signed
from vbandits.report.formats import DASH, decimals, number, percent_decimals
from vbandits.report.statistics import NAN, NOTHING, Interval
from vbandits.report.tables import Column, Entry, Head, Table

LOPSIDED = "†"
"""Marks a number whose interval rests on one seed."""


def table(found: Comparison, what: str, anchors: Mapping[str, str], title: str = "") -> Table:
    """Returns methods by problems, the best first: means with their intervals, ranks, and lost seeds.

    Args:
        found: the comparison.
        what: a method is called.
        anchors: of the problems' sections.
        title: of the table.
    """
    methods = list(found.ranked)
    columns: list[Column] = []
    if len(found.problems) > 1:
        columns.append((Head("Mean", found.measure.unit, first=True), _means(found, methods)))
        columns.append((Head("Behind the best", "paired by seed", first=True), _behind(found, methods)))
        middle = [found.middles[method] for method in methods]
        columns.append((Head("IQM", "middle half of runs"), tables.numbers(middle, places_of(middle, found.measure))))
    for problem in found.problems:
        first = len(found.problems) == 1
        head = Head(problem, found.measure.unit, anchors.get(problem, ""), first)
        columns.append((head, _problem(found, problem, methods)))
    if len(found.problems) == 1:
        columns.append((Head("Behind the best", "paired by seed", first=True), _behind(found, methods)))
    columns.append((Head("Median", "of runs"), _plain(found, methods, lambda runs: float(np.median(runs)))))
    columns.append((Head("Worst", "of runs"), _plain(found, methods, lambda runs: float(runs.max()))))
    lost = [found.lost_of(method) for method in methods]
    columns.append(
        (
            Head("Lost", f"of {found.size} runs"),
            [_counted(own, method, found) for own, method in zip(lost, methods, strict=True)],
        )
    )
    seeds = [_ranks(found.rank_intervals.get(method)) for method in methods]
    columns.append((Head("Rank", "by seeds"), seeds))
    if found.problem_rank_intervals:
        columns.append((Head("Rank", "by problems"), [_ranks(found.problem_rank_intervals.get(m)) for m in methods]))
    labels = [*methods, *(label for label in found.labels if label in found.incomplete)]
    lacking = len(labels) - len(methods)
    columns = [(head, [*entries, *([Entry(DASH)] * lacking)]) for head, entries in columns]
    places = {method: str(place) for place, method in enumerate(found.contenders, 1)}
    return tables.table(labels, columns, what, title, [places.get(label, DASH) for label in labels])


def places_of(values: Sequence[Interval], measure: Measure) -> int:
    """Returns the decimals of a column of values."""
    middles = [abs(value) for value, _, _ in values]
    return percent_decimals(middles) if "%" in measure.unit else decimals(middles)


def _means(found: Comparison, methods: Sequence[str]) -> list[Entry]:
    values = [found.means[method] for method in methods]
    lopsided = [intervals.rests_on_one(found.of(method)) for method in methods]
    strong = [method in found.candidates for method in methods]
    return _compared(found, values, found.behind, methods, strong, lopsided)


def _problem(found: Comparison, problem: str, methods: Sequence[str]) -> list[Entry]:
    place = found.problems.index(problem)
    losses = {method: found.counted[found.labels.index(method), :, place] for method in methods}
    values = [found.measure.value(mean_of(losses[method], found.measure.limits())) for method in methods]
    lopsided = [intervals.rests_on_one(losses[method]) for method in methods]
    kept = found.candidates_in(problem)
    return _compared(found, values, found.behind_in(problem), methods, [m in kept for m in methods], lopsided)


def _compared(
    found: Comparison,
    values: Sequence[Interval],
    behind: Mapping[str, Interval],
    methods: Sequence[str],
    strong: Sequence[bool],
    lopsided: Sequence[bool],
) -> list[Entry]:
    """Returns a column shaded by the difference from its best, with paired differences for those who ask."""
    places = places_of(values, found.measure)
    losses = np.array([found.measure.sign * value for value, _, _ in values])
    shades = shaded(losses, [method == found.baseline for method in methods])
    made = tables.numbers(values, places, strong)
    entries = []
    for entry, method, shade, alone in zip(made, methods, shades, lopsided, strict=True):
        difference = behind.get(method)
        text = DASH if difference is None else signed_interval(found.measure.value(difference), places)
        marked = f"{entry.text}{LOPSIDED}" if alone else entry.text
        entries.append(Entry(marked, entry.interval, entry.strong, shade, numbers=entry.numbers, difference=text))
    return entries


def shaded(losses: np.ndarray, chance: Sequence[bool]) -> list[float]:
    """Returns how strongly each number of a column is coloured: 1 the best, 0 the worst that does not act by chance."""
    learned = losses[~np.asarray(chance, bool)]
    learned = learned[np.isfinite(learned)]
    if len(learned) < 2 or learned.max() == learned.min():
        return [0.0] * len(losses)
    low, high = learned.min(), learned.max()
    return [float(np.clip((high - loss) / (high - low), 0, 1)) if np.isfinite(loss) else 0.0 for loss in losses]


def signed_interval(difference: Interval, places: int) -> str:
    """Returns "+2.0 [1.3, 3.1]"."""
    middle, low, high = difference
    if not np.isfinite(middle):
        return DASH
    ends = f" [{number(low, places)}, {number(high, places)}]" if np.isfinite(low) else ""
    return f"{signed(middle, places)}{ends}"


def _behind(found: Comparison, methods: Sequence[str]) -> list[Entry]:
    values = [found.behind.get(method, NOTHING) for method in methods]
    return tables.numbers(values, places_of([value for value in values if np.isfinite(value[0])], found.measure))


def _plain(found: Comparison, methods: Sequence[str], statistic) -> list[Entry]:
    """Returns a statistic of all runs of a method, seeds and problems together."""
    values = [found.measure.sign * statistic(found.runs_of(method)) for method in methods]
    return tables.numbers(values, places_of([(value, NAN, NAN) for value in values], found.measure))


def _counted(lost: int, method: str, found: Comparison) -> Entry:
    chance = method == found.baseline
    return Entry(DASH) if chance else Entry(str(lost), alarm=lost > 0, numbers=(float(lost),))


def _ranks(ends: tuple[int, int] | None) -> Entry:
    if ends is None:
        return Entry(DASH)
    low, high = ends
    return Entry(str(low) if low == high else f"{low}{DASH}{high}", numbers=(float(low), float(low), float(high)))
