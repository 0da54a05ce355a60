"""A table of rewards, full information: in every row a context, and what each arm pays."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vbandits.data import memory, user
from vbandits.data.loading import is_file
from vbandits.data.precision import compact, unmasked
from vbandits.data.record import Dataset
from vbandits.data.user_files import place
from vbandits.errors import expanded, shortened
from vbandits.streams import generator

LONGEST = 120
"""Letters of the names of a context's columns that are told."""
EXAMPLE = "example"
"""What a table is called that needs no file."""


def load_table(
    table: Any, rewards: Sequence[str | int] | None = None, drop: Sequence[str | int] | None = None
) -> Dataset:
    """Returns contexts as `features` [N, D], rewards as `targets` [N, A], and the arms as `class_names`.

    Args:
        table: a CSV or Parquet file, or a folder of Parquet files; a data frame of pandas or Polars; arrays
            (contexts [N, D], rewards [N, A]); or "example": 1,000 rows of four numbers, and three arms.
        rewards: columns of the arms' rewards, for a file or data frame; the others are the context.
        drop: columns to leave out.

    Raises:
        ValueError: for a table that is not there or damaged, columns that are not there, rewards that are missing or
            no numbers, and fewer than two arms.
    """
    for name, value in (("rewards", rewards), ("drop", drop)):
        if isinstance(value, str | int):
            raise ValueError(f"{name}: expected a list of columns, got {value!r}: write [{value!r}]")
    text = isinstance(table, str | os.PathLike)
    if (text and is_file(os.fspath(table))) or memory.is_frame(table):
        given = expanded(table) if text else table
        return _of_columns(given, tuple(map(str, rewards or ())), tuple(map(str, drop or ())))
    if rewards is not None or drop is not None:
        raise ValueError(f"rewards, drop: expected with a file or data frame alone, got {rewards!r} and {drop!r}")
    if text and table == EXAMPLE:
        return _example()
    if isinstance(table, tuple | list) and len(table) == 2:
        return _of_arrays(*table)
    got = repr(table) if text else type(table).__name__
    raise ValueError(f"table: expected a file, a data frame, arrays (contexts, rewards) or {EXAMPLE!r}, got {got}")


def _of_columns(table: Path | Any, rewards: tuple[str, ...], drop: tuple[str, ...]) -> Dataset:
    where, columns, index = user.columns(table, drop)
    names = columns.column_names
    if len(set(rewards)) < 2:
        raise ValueError(
            f"{where}: expected at least two columns of rewards, one for each arm, got {len(rewards)}: rewards=[...] "
            f"are some of {', '.join(names)}"
        )
    wanted = [*(("column of rewards", name) for name in rewards), *(("column to drop", name) for name in drop)]
    user.require_columns(where, names, wanted)
    features, notes = user.context(where, columns, index, (*rewards, *drop))
    if not features:
        raise ValueError(f"{where}: expected columns beside the rewards, which are the context, got none")
    paid = np.column_stack([user.numbers_of(where, name, columns.column(name)) for name in rewards])
    x, feature_names, said = user.encoded(where, columns, features)
    notes = [*([f"left out as asked: {', '.join(drop)}"] if drop else []), *notes, *said]
    notes.append(f"arms are {', '.join(rewards)}; the context is {shortened(', '.join(features), LONGEST)}")
    return _checked(Dataset(where, x, None, feature_names, rewards, tuple(notes), paid))


def _of_arrays(contexts: Any, rewards: Any) -> Dataset:
    paid = _numbers("rewards", memory.values(rewards))
    if memory.is_frame(contexts):
        columns, said = memory.table(contexts)
        x, names, notes = user.encoded(said, columns, columns.column_names)
    else:
        x, notes = compact(_numbers("contexts", unmasked(contexts))), []
        names = tuple(f"x{place}" for place in range(x.shape[1]))
    if len(x) != len(paid) or not np.isfinite(x).all():
        raise ValueError(f"contexts: expected finite numbers [{len(paid)}, D], as many as rewards, got {x.shape}")
    arms = tuple(map(str, memory.names(rewards) or range(paid.shape[1])))
    return _checked(Dataset("arrays", x, None, names, arms, tuple(notes), paid.astype(np.float64)))


def _numbers(what: str, values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise ValueError(f"{what}: expected numbers in rows and columns, got {values.dtype} {values.shape}")
    return values


def _checked(found: Dataset) -> Dataset:
    paid = found.targets
    assert paid is not None
    if paid.shape[1] < 2:
        raise ValueError(f"{found.name}: expected rewards of at least two arms, got {paid.shape[1]}")
    wrong = ~np.isfinite(paid)
    if wrong.any():
        row, arm = np.argwhere(wrong)[0]
        raise ValueError(
            f"{found.name}: expected a finite reward of every arm in every row, got {paid[row, arm]} of "
            f"{found.class_names[arm]!r} in {place(found.name, int(row))} (and {int(wrong.sum()) - 1:,} more): a table "
            "is full information; where only the reward of one arm is known, give it as a log ([[logs]])"
        )
    return found


def _example() -> Dataset:
    random = generator(0, "example of a table of rewards")
    x = random.standard_normal((1000, 4))
    paid = np.column_stack([x[:, 0], x[:, 1] * x[:, 2], 0.5 * np.abs(x[:, 3])])
    return Dataset(EXAMPLE, x.astype(np.float32), None, tuple("abcd"), ("linear", "product", "size"), (), paid)
