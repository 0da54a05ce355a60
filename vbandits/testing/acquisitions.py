"""The laws of an acquisition (`vbandits.agents.acquisition.Acquisition`), each a function that takes one.

A law is held against every task that the acquisition names, on a small pool and a posterior of linear functions.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vbandits.agents.acquisition import Acquisition, Rows, View
from vbandits.agents.acquisition.base import CLASSES, REGRESSION
from vbandits.streams import Stream
from vbandits.testing import expect
from vbandits.testing.laws import SEEDS, laws, of_each

ROWS, LABELLED, FEATURES, OUTPUTS = 30, 8, 4, 3


def tasks(acquisition: Acquisition) -> list[str]:
    """Returns what an acquisition says that it can be used for, or raises an AssertionError if that is not sound."""
    found = getattr(acquisition, "tasks", None)
    known = isinstance(found, frozenset | set) and bool(found) and found <= {CLASSES, REGRESSION}
    mend = 'write tasks = frozenset({"classes", "regression"}), or one of them, in the class'
    expect.that(known, f"tasks, a set of {CLASSES!r} and {REGRESSION!r}", found, mend)
    return sorted(found or ())


each_task = of_each(tasks)


def it_says_what_it_can_be_used_for(acquisition: Acquisition) -> None:
    """Law: `tasks` is "classes", "regression" or both."""
    tasks(acquisition)


@each_task
def it_buys_different_candidates(acquisition: Acquisition, task: str) -> None:
    """Law: `select` gives `count` different places among the candidates [R, b], also all, also where rows are equal."""
    for alike in (None, 0, 1):
        for count in (1, 6, ROWS - LABELLED):
            bought(acquisition, view(task, alike=alike), count)


@each_task
def a_replica_decides_alone(acquisition: Acquisition, task: str) -> None:
    """Law: what a replica buys, and its scores, are the same alone as beside others."""
    expect.same_alone(lambda seeds: decisions(acquisition, task, seeds), expect.ALONE)


@each_task
def the_same_seeds_buy_the_same_again(acquisition: Acquisition, task: str) -> None:
    """Law: all chance comes from the view: its draws, and the numbers that `view.uniform` gives."""
    mend = f"use view.uniform, and {expect.GLOBAL}"
    expect.same_again("the same seeds to buy the same again", lambda: decisions(acquisition, task, SEEDS), mend)


@each_task
def equals_are_told_by_chance(acquisition: Acquisition, task: str) -> None:
    """Law: where nothing tells rows apart, each is bought as often: the order of a file must not decide."""
    replicas, few = 200, 4
    expected = f"each of {few} equal rows to be bought by about {replicas // few} of {replicas} replicas"
    mend = "vbandits.agents.acquisition.ranking(score, view.uniform(len(view.candidates))) orders equals by chance"
    for alike in (0, 1):
        for place in bought(acquisition, view(task, range(replicas), rows=few, labelled=0, alike=alike), 2).T:
            counts = place.bincount(minlength=few)
            distance = ((counts - replicas / few).square() / (replicas / few)).sum()
            even = distance < 30  # chi-squared, 3 degrees of freedom: one in a million
            expect.that(even, expected, counts.tolist(), mend)


@each_task
def it_leaves_the_view_as_it_was(acquisition: Acquisition, task: str) -> None:
    """Law: nothing is written into the rows of the pool: all replicas and purchases share them."""
    seen = view(task)
    given = {"pool": seen.candidates.pool, "candidates": seen.candidates.index, "labelled": seen.labelled.index}
    expect.untouched("the view to be", given, lambda: bought(acquisition, seen, 6))


@each_task
def a_score_is_of_its_row_alone(acquisition: Acquisition, task: str) -> None:
    """Law: `score`, if there is one, is finite, and a row's [R, C] is the same whatever the other candidates are: rows
    of a stream come one at a time. Chance may make it differ."""
    if not hasattr(acquisition, "score"):
        return
    whole = scores(acquisition, view(task))
    expect.finite("score", whole)
    if torch.equal(whole, scores(acquisition, view(task, chance=1))):
        for some in ([4], [7, 2, 11]):
            alone = {"score": scores(acquisition, view(task, candidates=[LABELLED + place for place in some]))}
            mend = "no mean, rank or norm over the candidates in a score; `select` may compare them"
            expect.same("a row's score whatever else may be bought", {"score": whole[:, some]}, alone, mend, 1e-9)


LAWS = laws(globals())


def view(
    task: str,
    seeds: Sequence[int] = SEEDS,
    *,
    rows: int = ROWS,
    labelled: int = LABELLED,
    candidates: Sequence[int] | None = None,
    alike: int | None = None,
    chance: int = 0,
) -> View:
    """Returns what an acquisition sees of a small pool, and of a posterior whose functions are linear, in float64.

    Args:
        task: "classes" or "regression".
        seeds: of the replicas; each has functions and random numbers of its own.
        rows: N.
        labelled: how many rows have a label: the first of the pool.
        candidates: rows that may be bought; by default all others, whose place is never their row.
        alike: the number that all rows consist of; at 0 all draws agree, so there is nothing to learn either.
        chance: another number gives other random numbers, and the same functions.
    """
    f64, outputs = torch.float64, OUTPUTS if task == CLASSES else 1
    pool = torch.randn(rows, FEATURES, generator=torch.Generator().manual_seed(0), dtype=f64)
    pool = pool if alike is None else torch.full_like(pool, alike)
    functions = Stream(seeds, "functions", dtype=f64)

    def chosen(places: Sequence[int]) -> Rows:
        return Rows(pool, torch.tensor(list(places), dtype=torch.int64).expand(len(seeds), -1).clone())

    def draw(draws: int) -> Any:
        weights = functions.normal(draws, FEATURES, outputs)
        return lambda x: (x.unsqueeze(1).unsqueeze(4) * weights.unsqueeze(2)).sum(3)  # [R, S, n, K]

    return View(
        candidates=chosen(range(labelled, rows) if candidates is None else candidates),
        labelled=chosen(range(labelled)),
        targets=lambda source, count: chosen(range(min(count, rows))),
        classes=OUTPUTS if task == CLASSES else 0,
        draw=draw,
        embed=lambda x: torch.cat([x, x.square()], 2),
        noise=torch.full((len(seeds),), 0.5, dtype=f64),
        uniform=Stream(seeds, f"chance {chance}").uniform,
    )


def bought(acquisition: Acquisition, seen: View, count: int) -> Tensor:
    """Returns the places that an acquisition buys [R, b], once they are seen to be places."""
    places = copy.deepcopy(acquisition).select(seen, count)  # what it remembers is of one run
    mend = "return where rows stand among view.candidates, not their numbers in the pool: labelled ones are not there"
    expect.choices("select", places, (len(seen.noise), count), "[R, b]", len(seen.candidates), mend)
    different = all(len(set(own)) == count for own in places.tolist())
    expect.that(different, f"{count} different places for every replica", places.tolist(), "never buy a label twice")
    return places


def scores(acquisition: Any, seen: View) -> Tensor:
    """Returns the scores of an acquisition [R, C]."""
    found = copy.deepcopy(acquisition).score(seen)
    expect.shape("score", found, tuple(seen.candidates.index.shape), "[R, C]")
    return found


def decisions(acquisition: Any, task: str, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Returns what replicas buy, one row or six, and their scores if there are any, by name."""
    found = {f"select of {count}": bought(acquisition, view(task, seeds), count) for count in (1, 6)}
    return found | ({"score": scores(acquisition, view(task, seeds))} if hasattr(acquisition, "score") else {})
