"""The laws of an acquisition (`vbandits.agents.acquisition.Acquisition`), each a function that takes one.

A law is held against every task that the acquisition names, on a small pool and a posterior of linear functions.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vbandits.agents.acquisition import Acquisition, Rows, View
from vbandits.agents.acquisition.base import CLASSES, REGRESSION
from vbandits.testing.comparing import ALONE, GLOBAL, expect, expect_same, expect_shape, global_seed

ROWS, LABELLED, FEATURES, OUTPUTS = 30, 8, 4, 3
SEEDS = (3, 1, 7)
Law = Callable[[Acquisition], None]


def each_task(law: Callable[[Acquisition, str], None]) -> Law:
    """Holds a law against every task of an acquisition; an error says which it was."""

    @functools.wraps(law)
    def held(acquisition: Acquisition) -> None:
        for task in sorted(tasks(acquisition)):
            try:
                law(acquisition, task)
            except AssertionError as error:
                error.add_note(f"in a task of {task}")
                raise

    return held


def tasks(acquisition: Acquisition) -> frozenset[str]:
    """Returns what an acquisition says that it can be used for.

    Raises:
        AssertionError: if that is nothing, or something unknown.
    """
    found = getattr(acquisition, "tasks", None)
    known = isinstance(found, frozenset | set) and bool(found) and found <= {CLASSES, REGRESSION}
    mend = 'write tasks = frozenset({"classes", "regression"}), or one of them, in the class'
    expect(known, f"tasks, a set of {CLASSES!r} and {REGRESSION!r}", found, mend)
    return frozenset(found or ())


def it_says_what_it_can_be_used_for(acquisition: Acquisition) -> None:
    """Law: `tasks` is "classes", "regression" or both."""
    tasks(acquisition)


@each_task
def it_buys_different_candidates(acquisition: Acquisition, task: str) -> None:
    """Law: `select` gives `count` different places among the candidates, int64 [R, b] from 0 to C - 1, up to all of
    them, also where rows are equal."""
    for alike in (False, True):
        for count in (1, 6, ROWS - LABELLED):
            bought(acquisition, view(task, alike=alike), count)


@each_task
def a_replica_decides_alone(acquisition: Acquisition, task: str) -> None:
    """Law: what a replica buys, and its scores, are the same alone as beside others."""
    for count in (1, 6):
        places = bought(acquisition, view(task), count)
        for replica, seed in enumerate(SEEDS):
            own, alone = places[replica : replica + 1], bought(acquisition, view(task, (seed,)), count)
            expect_same("a replica to buy the same alone", {"select": own}, {"select": alone}, ALONE)
    if hasattr(acquisition, "score"):
        together = scores(acquisition, view(task))
        for replica, seed in enumerate(SEEDS):
            own, alone = together[replica : replica + 1], scores(acquisition, view(task, (seed,)))
            expect_same("a replica's scores to be the same alone", {"score": own}, {"score": alone}, ALONE)


@each_task
def the_same_seeds_buy_the_same_again(acquisition: Acquisition, task: str) -> None:
    """Law: all chance comes from the view: its draws, and the numbers that `view.uniform` gives."""
    found = []
    for seed in (0, 1):
        with global_seed(seed):
            found.append({"select": bought(acquisition, view(task), 6)})
    expect_same("the same seeds to buy the same again", found[0], found[1], f"use view.uniform, and {GLOBAL}")


@each_task
def equals_are_told_by_chance(acquisition: Acquisition, task: str) -> None:
    """Law: where nothing tells rows apart, each is bought as often: the order of a file must not decide."""
    replicas, few = 200, 4
    places = bought(acquisition, view(task, range(replicas), rows=few, labelled=0, alike=True), 2)
    for place in places.T:
        counts = place.bincount(minlength=few).double()
        distance = ((counts - replicas / few).square() / (replicas / few)).sum()
        expect(
            distance < 30,  # chi-squared, 3 degrees of freedom: one in a million
            f"each of {few} equal rows to be bought by about {replicas // few} of {replicas} replicas",
            counts.long().tolist(),
            "vbandits.agents.acquisition.ranking(score, view.uniform(len(view.candidates))) orders places by score, "
            "equals by chance",
        )


@each_task
def it_leaves_the_view_as_it_was(acquisition: Acquisition, task: str) -> None:
    """Law: nothing is written into the rows of the pool: all replicas and purchases share them."""
    seen, untouched = view(task), view(task)
    bought(acquisition, seen, 6)
    found = [
        {"pool": part.candidates.pool, "candidates": part.candidates.index, "labelled": part.labelled.index}
        for part in (untouched, seen)
    ]
    expect_same(
        "a view that is left as it was",
        found[0],
        found[1],
        "work on a copy: no method that ends in _ and no assignment",
    )


@each_task
def a_score_is_of_its_row_alone(acquisition: Acquisition, task: str) -> None:
    """Law: if there is a `score`, it gives finite numbers [R, C] in which a row's is the same whatever the other
    candidates are, also where it is the only one: rows of a stream come one at a time. Chance may make it differ."""
    if not hasattr(acquisition, "score"):
        return
    whole = scores(acquisition, view(task))
    expect(bool(whole.isfinite().all()), "finite scores", "some that are not", "mind log(0), 0 / 0 and overflow")
    if torch.equal(whole, scores(acquisition, view(task, chance=1))):
        for some in ([4], [7, 2, 11]):
            alone = {"score": scores(acquisition, view(task, candidates=[LABELLED + place for place in some]))}
            mend = "no mean, rank or norm over the candidates in a score; `select` may compare them"
            expect_same("a row's score whatever else may be bought", {"score": whole[:, some]}, alone, mend, 1e-9)


LAWS: tuple[Law, ...] = (
    it_says_what_it_can_be_used_for,
    it_buys_different_candidates,
    a_replica_decides_alone,
    the_same_seeds_buy_the_same_again,
    equals_are_told_by_chance,
    it_leaves_the_view_as_it_was,
    a_score_is_of_its_row_alone,
)


def view(
    task: str,
    seeds: Sequence[int] = SEEDS,
    *,
    rows: int = ROWS,
    labelled: int = LABELLED,
    candidates: Sequence[int] | None = None,
    alike: bool = False,
    chance: int = 0,
) -> View:
    """Returns what an acquisition sees of a small pool, and of a posterior whose functions are linear, in float64.

    Args:
        task: "classes" or "regression".
        seeds: of the replicas; each has functions and random numbers of its own.
        rows: N.
        labelled: how many rows have a label: the first of the pool.
        candidates: rows that may be bought; by default all others, whose place is never their row.
        alike: whether all rows are equal.
        chance: another number gives other random numbers, and the same functions.
    """
    f64, outputs = torch.float64, OUTPUTS if task == CLASSES else 1
    pool = torch.randn(rows, FEATURES, generator=torch.Generator().manual_seed(0), dtype=f64)
    pool = torch.ones_like(pool) if alike else pool
    weights, numbers = ([torch.Generator().manual_seed(10 * seed + part) for seed in seeds] for part in (0, 1 + chance))

    def chosen(places: Sequence[int]) -> Rows:
        return Rows(pool, torch.tensor(list(places), dtype=torch.int64).expand(len(seeds), -1).clone())

    def draw(draws: int) -> Any:
        drawn = [torch.randn(draws, FEATURES, outputs, generator=random, dtype=f64) for random in weights]
        each = torch.stack(drawn)
        return lambda x: (x.unsqueeze(1).unsqueeze(4) * each.unsqueeze(2)).sum(3)  # [R, S, n, K]

    return View(
        candidates=chosen(range(labelled, rows) if candidates is None else candidates),
        labelled=chosen(range(labelled)),
        targets=lambda source, count: chosen(range(min(count, rows))),
        classes=OUTPUTS if task == CLASSES else 0,
        draw=draw,
        embed=lambda x: torch.cat([x, x.square()], 2),
        noise=torch.full((len(seeds),), 0.5, dtype=f64),
        uniform=lambda *shape: torch.stack([torch.rand(shape, generator=random, dtype=f64) for random in numbers]),
    )


def bought(acquisition: Acquisition, seen: View, count: int) -> Tensor:
    """Returns the places that an acquisition buys [R, b], once they are seen to be places."""
    candidates = len(seen.candidates)
    places = copy.deepcopy(acquisition).select(seen, count)  # what it remembers is of one run
    expect_shape("select", places, (len(seen.noise), count), "[R, b]")
    expect(places.dtype == torch.int64, "select to give int64", places.dtype, "topk(...).indices and .long() give it")
    expect(
        bool(((places >= 0) & (places < candidates)).all()),
        f"places among the {candidates} candidates, from 0 on",
        places.unique().tolist(),
        "return where rows stand among view.candidates, not their numbers in the pool: labelled ones are not there",
    )
    different = all(len(set(own)) == count for own in places.tolist())
    expect(different, f"{count} different places for every replica", places.tolist(), "never buy a label twice")
    return places


def scores(acquisition: Any, seen: View) -> Tensor:
    """Returns the scores of an acquisition [R, C]."""
    found = copy.deepcopy(acquisition).score(seen)
    expect_shape("score", found, tuple(seen.candidates.index.shape), "[R, C]")
    return found
