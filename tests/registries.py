"""Tests over registries and over products: a few quick representatives by default, the others when slow tests run.

>>> @over("name", PRESETS, quick=["ibvi", "linear-ts"])  # one test for every preset; all but two are slow
>>> @product(("posterior", "network"), POSTERIORS, NETWORKS)  # every pair; quick: each posterior and network once

Nothing drops out: whatever is in the registry gets a test, tests/test_registries.py asserts that quick and slow ones
together are the whole, and that the quick ones of all files together have every name of every registry.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import pytest

MADE: list[tuple[list[tuple], list[tuple], list]] = []
"""Of every list of cases made here: all its cells, those that are quick, and the parameters that pytest was given."""


def over(name: str, registry: Iterable, quick: Collection, ids: Any = None) -> pytest.MarkDecorator:
    """Runs a test for every entry of a registry; those that are not among the quick ones are slow."""
    return cells(name, [(entry,) for entry in registry], quick=[(entry,) for entry in quick], ids=ids)


def product(names: Sequence[str], *axes: Iterable, valid: Callable[..., bool] = lambda *_: True, ids: Any = None):
    """Runs a test for every valid combination; the quick ones have each entry of each axis once, or a few times."""
    return cells(names, [cell for cell in itertools.product(*axes) if valid(*cell)], ids=ids)


def cells(names, every: list[tuple], quick: Collection[tuple] | None = None, ids: Any = None) -> pytest.MarkDecorator:
    """Runs a test for every cell (a tuple of its values); quick: which are not slow, or a cover of all values."""
    chosen = cover(every) if quick is None else [every.index(cell) for cell in quick]  # an unknown one is an error
    slow = pytest.mark.slow
    params = [pytest.param(*cell, marks=() if place in chosen else slow) for place, cell in enumerate(every)]
    MADE.append((every, [every[place] for place in chosen], params))
    return pytest.mark.parametrize(names, params, ids=ids)


def cover(every: list[tuple]) -> list[int]:
    """Returns places of cells that have, together, each value of each axis; few: each adds the most that is missing."""
    # a value is known by its first place on its axis: values need not be hashable
    axes = [[repr(value) for value in axis] for axis in zip(*every, strict=True)]
    missing = {(axis, value) for axis, values in enumerate(axes) for value in values}
    places = [set(enumerate(cell)) for cell in zip(*axes, strict=True)]
    chosen = []
    while missing:
        best = max(range(len(places)), key=lambda place: len(places[place] & missing))  # the first of the best
        chosen.append(best)
        missing -= places[best]
    return chosen
