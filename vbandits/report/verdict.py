"""What a comparison concludes, in generated sentences: who may be best, what cannot be told, and what failed."""

from collections.abc import Sequence

import numpy as np

from vbandits.metrics import comparison, intervals
from vbandits.report.comparison import FEW, Comparison
from vbandits.report.formats import DASH, count, number, plural
from vbandits.report.page import Facts, Verdict
from vbandits.report.ranking import places_of

SHOWN = 6
"""Most methods that a sentence names."""


def verdict(found: Comparison, noun: str, problem: str, failures: Sequence[str]) -> Verdict:
    """Returns the verdict of a report.

    Args:
        found: the comparison.
        noun: what a method is called.
        problem: what a problem is called.
        failures: what failed, in sentences; empty where nothing did.
    """
    if not found.known or not found.contenders:
        return Verdict([f"There is nothing to compare. {_missing(found, problem)}".strip(), *failures], [])
    sentences = [_best(found, noun, problem), _untold(found, noun, problem)]
    sentences.append(" ".join(failures) if failures else f"No run failed, and none diverged, of any {noun}.")
    return Verdict([sentence for sentence in sentences if sentence], _evidence(found, problem))


def listed(names: Sequence[str]) -> str:
    """Returns "a, b and c", or where there are too many how many more there are."""
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def units(found: Comparison) -> str:
    """Returns what a difference is counted in."""
    return "points" if "%" in found.measure.unit else found.measure.unit


def _where(found: Comparison, problem: str) -> str:
    return f"in {found.problems[0]}" if len(found.problems) == 1 else f"over {count(len(found.problems), problem)}"


def _best(found: Comparison, noun: str, problem: str) -> str:
    best, *others = found.contenders
    middle, low, high = found.means[best]
    places = places_of([found.means[label] for label in found.ranked], found.measure)
    ends = f" [{number(low, places)}, {number(high, places)}]" if np.isfinite(low) else ""
    mean = f"mean {found.measure.name} of {number(middle, places)}{ends} ({found.measure.unit})"
    if not others:
        alone = "that can be ranked" if found.incomplete else "that learns here"
        return f"{best} is the only {noun} {alone}: it has a {mean}.{_chance(found)}"
    kept = [label for label in found.contenders if label in found.candidates or len(found.seeds) < 2]
    second = _second(found)
    if second is None:
        return f"{listed([best, *others])} have the same runs, and a {mean}.{_chance(found)}"
    gap, lower, upper = found.behind[second]
    places = max(places, places_of([found.behind[second]], found.measure))
    ends = f" [{number(lower, places)}, {number(upper, places)}]" if np.isfinite(lower) else ""
    behind = f"the next, {second}, is {number(gap, places)}{ends} {units(found)} behind"
    if len(kept) == 1:
        return (
            f"{best} is the only {noun} that is not excluded as best {_where(found, problem)}: it has a {mean}, and "
            f"{behind}.{_chance(found)}"
        )
    where = _where(found, problem)
    return f"Not excluded as best {where}: {listed(kept)}. {best} has the best {mean}; {behind}.{_chance(found)}"


def _twins(found: Comparison) -> list[str]:
    """Returns the methods whose runs are those of the best one, as of two versions that differ in nothing."""
    best, *others = found.contenders
    own = found.counted[found.labels.index(best)]
    return [label for label in others if np.array_equal(found.counted[found.labels.index(label)], own)]


def _second(found: Comparison) -> str | None:
    """Returns the best of the methods whose runs are not the first one's, None if there is none."""
    twins = _twins(found)
    return next((label for label in found.contenders[1:] if label not in twins), None)


def _chance(found: Comparison) -> str:
    """Returns that the best method is not better than chance, where that is so."""
    chance, (middle, low, high) = found.measure.chance, found.means[found.contenders[0]]
    if chance is None:
        return ""
    ends = [end if np.isfinite(end) else middle for end in (low, high)]
    worst = max(found.measure.sign * end for end in ends)
    if worst < found.measure.sign * chance:
        return ""
    return f" These seeds do not show that it is better than acting by chance ({chance:g})."


def _missing(found: Comparison, problem: str) -> str:
    """Returns the problems that are left out, and the methods that are not ranked."""
    parts = [f"{label} is left out: {why}." for label, why in found.left_out.items()]
    if found.incomplete:
        labels = [label for label in found.labels if label in found.incomplete]
        parts.append(f"Not ranked, for want of results in every {problem}: {listed(labels)}.")
    return " ".join(parts)


def _untold(found: Comparison, noun: str, problem: str) -> str:
    best, *others = found.contenders
    parts = []
    if len(found.seeds) < found.planned:
        parts.append(f"Compared on {len(found.seeds)} of {found.planned} seeds, those that all have.")
    if len(found.seeds) < FEW:
        parts.append(
            f"{count(len(found.seeds), 'seed').capitalize()} {'is' if len(found.seeds) == 1 else 'are'} few: below "
            f"{FEW}, differences are hints, and a seed in ten that goes wrong may not have been seen."
        )
    twins = _twins(found)
    if twins:
        parts.append(f"The runs of {listed(twins)} are those of {best}.")
    rivals = [label for label in others if label in found.candidates and label not in twins]
    if rivals and best in found.candidates:
        parts.append(
            f"Corrected for {count(len(others), 'comparison')}, these seeds do not exclude {listed(rivals)}; to "
            f"exclude {rivals[0]} would take {_needed(found, rivals[0])}, were the difference what it seems."
        )
    ends = found.problem_rank_intervals.get(best)
    if ends and ends[1] > 1:
        parts.append(
            f"How far {best} leads depends on the {plural(problem)}: had others of their kind been drawn, its rank "
            f"could be anything from {ends[0]} to {ends[1]}."
        )
    lopsided = [label for label in found.contenders[:SHOWN] if intervals.rests_on_one(found.of(label))]
    if lopsided:
        parts.append(f"The mean of {listed(lopsided)} is dominated by one seed: see every run under robustness.")
    parts.append(_missing(found, problem))
    return " ".join(filter(None, parts))


def _needed(found: Comparison, label: str) -> str:
    """Returns how many seeds would exclude a method, 8 times in 10, were its difference to the best what it seems."""
    level = 2 * 0.05 / max(len(found.contenders) - 1, 2)  # of the test that excludes
    needed = comparison.seeds_to_tell(found.of(label) - found.of(found.contenders[0]), level)
    return f"about {needed:,}" if needed else "more than 10,000"


def _evidence(found: Comparison, problem: str) -> Facts:
    best, second = found.contenders[0], _second(found)
    facts = [
        ("Compared by", f"{found.measure.name}, {found.measure.unit}; {found.measure.better} is better"),
        ("Evidence", f"{count(len(found.seeds), 'seed')}, {count(len(found.problems), problem)}"),
    ]
    if second is not None and len(found.seeds) > 1:
        places = places_of([found.behind[second]], found.measure)
        gap, low, high = found.behind[second]
        ends = f"[{number(low, places)}, {number(high, places)}]"
        facts.append(("Second behind first", f"{number(gap, places)} {ends}, paired by seed"))
        own, other = (found.runs_of(label) for label in (best, second))
        chance, low, high = comparison.probability_of_improvement(own, other)
        facts.append(
            (
                "First better than second",
                f"in {number(100 * chance, 0)}% of pairs of runs [{number(100 * low, 0)}, {number(100 * high, 0)}]",
            )
        )
        ahead = int((found.of(best) < found.of(second)).sum())
        facts.append(("First ahead of second", f"in {ahead} of {len(found.seeds)} seeds"))
        facts.append(("Seeds to exclude the second", f"{_needed(found, second)}, 8 times in 10"))
        facts.append(("Ranks the first may have", _rank_text(found, best, problem)))
    facts.append(("Lost runs of the first", f"{found.lost_of(best)} of {found.size}"))
    return facts


def _rank_text(found: Comparison, best: str, problem: str) -> str:
    by = (("seeds", found.rank_intervals.get(best)), (plural(problem), found.problem_rank_intervals.get(best)))
    return ", ".join(
        f"{ends[0] if ends[0] == ends[1] else f'{ends[0]}{DASH}{ends[1]}'} by {name}" for name, ends in by if ends
    )
