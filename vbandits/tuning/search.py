"""Search spaces: which settings of a method are tried, as many of every method."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vbandits.serialize import flattened

Axes = Mapping[str, Sequence[Any]]
"""Values of each field that is searched, in order. A field is dotted where it lies in a section: "posterior.rank"."""
Setting = dict[str, Any]
"""A value of each field."""
DRAWS = 200
"""Hypercubes that are drawn at most, to find one in which no setting comes twice."""


def axes_of(search: Any, where: str, errors: list[str]) -> dict[str, Sequence[Any]]:
    """Returns the axes of a search as a file has it; appends an error for each that is none.

    `"optimizer.learning_rate" = [0.01, 0.03]` and `optimizer.learning_rate = [0.01, 0.03]` are the same.
    """
    if not isinstance(search, Mapping) or not search:
        errors.append(
            f'{where}: expected fields and their values, such as {{ "optimizer.learning_rate" = [0.01, 0.03] }}, got '
            f"{search!r}"
        )
        return {}
    found: dict[str, Sequence[Any]] = {}
    for field, values in flattened(search):
        if not isinstance(values, list) or not values:
            errors.append(f"{where}.{field}: expected a list of values, got {values!r}")
        elif any(value in values[:place] for place, value in enumerate(values)):
            errors.append(f"{where}.{field}: expected each value once, got {values!r}")
        else:
            found[field] = values
    return found


def choose(axes: Axes, count: int) -> list[Setting]:
    """Returns so many settings of a grid, which are always the same, in the grid's order.

    All of a grid of this size. Of a larger one, a Latin hypercube: every value of an axis comes as often as any other,
    give or take one. If none is found without a setting that comes twice, others whose values are rare replace those.

    Raises:
        ValueError: if the grid is smaller.
    """
    sizes = [len(values) for values in axes.values()]
    size = math.prod(sizes)
    if size < count:
        shape = " x ".join(map(str, sizes))
        raise ValueError(
            f"expected a grid of at least {count} settings, as many as are tried of every method, got {size} "
            f"({shape}): add values, or lower `settings` to {size}"
        )
    every = [*itertools.product(*map(range, sizes))] if size == count else sorted(_hypercube(sizes, count))
    return [
        {field: values[place] for (field, values), place in zip(axes.items(), places, strict=True)} for places in every
    ]


def _hypercube(sizes: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Returns different places in a grid that is larger than their number."""
    from scipy.stats import qmc

    sampler, found = qmc.LatinHypercube(len(sizes), rng=np.random.default_rng(0)), []
    for _ in range(DRAWS):
        strata = np.floor(count * sampler.random(count))  # [count, axes], each number once in each column
        places = np.floor((strata + 0.5) * np.array(sizes) / count).astype(int)
        distinct = list(dict.fromkeys(map(tuple, places.tolist())))
        found = max(found, distinct, key=len)
        if len(found) == count:
            return found
    while len(found) < count:
        found.append(_rarest(sizes, found))
    return found


def _rarest(sizes: Sequence[int], found: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the place in a grid, other than those found, whose values are the rarest among them."""
    counts = [np.bincount([places[axis] for places in found], minlength=size) for axis, size in enumerate(sizes)]
    others = (places for places in itertools.product(*map(range, sizes)) if places not in found)
    return min(others, key=lambda places: sum(own[place] for own, place in zip(counts, places, strict=True)))


def edges(axes: Axes, setting: Mapping[str, Any]) -> list[str]:
    """Returns the fields whose value is the smallest or the largest number of its axis: a better one may lie beyond."""
    return [field for field, values in axes.items() if numeric(values) and setting[field] in (min(values), max(values))]


def numeric(values: Sequence[Any]) -> bool:
    """Returns whether an axis has an order: two numbers at least, and nothing else."""
    return len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def changed(entry: Mapping[str, Any], setting: Mapping[str, Any], top: bool = True) -> dict[str, Any]:
    """Returns an entry of an experiment file with the values of a setting; a table is merged into a section as a whole,
    and takes the place of one further in.

    Raises:
        ValueError: if a field lies in what is no section.
    """
    made = dict(entry)
    for field, value in setting.items():
        section, _, rest = field.partition(".")
        if not rest:
            made[section] = merged(made.get(section), value) if top else value
            continue
        inner = made.get(section, {})
        if not isinstance(inner, Mapping):
            raise ValueError(f"{field}: expected fields in the section {section}, got {inner!r}")
        made[section] = changed(inner, {rest: value}, False)
    return made


def merged(before: Any, value: Any) -> Any:
    """Returns a value over another: a section keeps the fields that it is not told, unless its kind changes."""
    if not isinstance(before, Mapping) or not isinstance(value, Mapping):
        return value
    return {**before, **value} if value.get("kind", before.get("kind")) == before.get("kind") else value
