"""A user's own data, a CSV or Parquet file or a table in memory, as a dataset to classify, or to predict a number of.

What becomes of a column:

- numbers are features as they are; where some are missing, the mean of the others stands in, and a second feature,
  "column missing", is 1 there and 0 elsewhere;
- text, truth values and categories become one indicator per level, "column=level", levels sorted, text without the
  blanks around it; what is missing is a level of its own;
- the index of a data frame is left out, whether pandas wrote it into a Parquet file or, as a first column without a
  name that counts the rows, into a CSV: the number of a row often tells its class;
- dates, lists and columns of nothing are refused, and so is text with more than 100 levels or another one in each row:
  names and numbers of things tell nothing of the next thing; and so are numbers with a few texts among them.

The target is text, truth values, categories or whole numbers; its levels, sorted, are the classes. Rows whose target
is missing are left out. Of a regression the target is numbers, as they are. What stands for a missing value in a CSV:
`user_files.MISSING`; in Parquet a null is one, and in both a number that is not one.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from vbandits.data import memory, user_files
from vbandits.data.precision import compact, fault, names_things
from vbandits.data.record import Dataset
from vbandits.registry import unknown

LEVELS = 100
"""Most levels of a column of text, and most classes."""
ABSENT = "(missing)"
UNNAMED = re.compile(r"(Unnamed: \d+)?")
"""What a column is called that has no name: the number of the row, as a rule."""
COUNTED = "left out as the number of the row"
STRAYS = 0.1
"""Most levels of a column that are text, as a share, where the others are numbers, for it to be a column of numbers."""


class Continuous(ValueError):
    """A target that should be a class looks like a number."""


def read(path: Path, target: str | None, drop: Sequence[str] = (), *, regression: bool = False) -> Dataset:
    """Returns the dataset in a file; what ends its name tells its format. For the rest see `dataset`.

    Raises:
        ValueError: for a file that is not there, is empty or damaged, too.
    """
    return dataset(str(path), *_table(path, drop), target, drop, regression=regression)


def read_memory(given: Any, target: str | None, drop: Sequence[str] = (), *, regression: bool = False) -> Dataset:
    """Returns the dataset in a data frame, or in arrays (x, y), whose y needs no `target`; see `dataset`."""
    table, said = memory.table(given)
    if isinstance(given, tuple | list):
        if target is not None:
            raise ValueError(f"target: expected none with arrays (x, y), whose y is the target, got {target!r}")
        target = memory.TARGET
    return dataset(said, table, (), target, drop, regression=regression)


def columns(given: Any, drop: Sequence[str] = ()) -> tuple[str, pa.Table, tuple[str, ...]]:
    """Returns what messages call a file or a data frame, its columns, and the names of those that are its index."""
    if memory.is_memory(given):
        table, said = memory.table(given)
        return said, table, ()
    return str(given), *_table(Path(given), drop)


def _table(path: Path, drop: Sequence[str]) -> tuple[pa.Table, tuple[str, ...]]:
    table, index = user_files.read(path)
    text = path.name.lower().endswith((".csv", ".gz"))
    if text and any(kinds.is_binary(table.column(name).type) for name in table.column_names if name not in drop):
        raise user_files.not_utf8(path)
    return table, index


def dataset(
    where: str,
    table: pa.Table,
    index: Sequence[str],
    target: str | None,
    drop: Sequence[str] = (),
    *,
    regression: bool = False,
) -> Dataset:
    """Returns the dataset in a table.

    Args:
        where: it comes from: its name, also in messages.
        table: the columns.
        index: names of those that are no columns to pandas but its index.
        target: the column that is to be told from the others.
        drop: columns to leave out.
        regression: whether the target is a number, not a class.

    Raises:
        ValueError: for a column that is not there or cannot be used; a target that is no class (`Continuous` if it
            looks like a number), no number, or always the same.
    """
    names = table.column_names
    if target is None:
        raise ValueError(
            f"{where}: expected a target, the column that holds the class, got none: target=... is one of "
            f"{', '.join(names)}"
        )
    require_columns(where, names, (("target", target), *(("column to drop", name) for name in drop)))
    notes = [f"left out as asked: {', '.join(drop)}"] if drop else []
    present = pc.call_function("is_valid", [plain(table.column(target))])
    if gone := len(table) - int(pc.call_function("sum", [present]).as_py() or 0):
        notes.append(f"{gone:,} of {len(present):,} rows have no {target} and are left out")
    # the number of the row is told before any are left out
    features, said = context(where, table, index, (target, *drop))
    notes[1 if drop else 0 : 0] = said
    rows = np.flatnonzero(present.to_numpy())
    table = table.filter(present) if gone else table
    labels, classes, figures = None, (), None
    if regression:
        figures = _figures(where, target, table.column(target))
    else:
        labels, classes = _classes(where, target, table.column(target))
    if not features:
        raise ValueError(f"{where}: expected columns beside the target {target!r}, got none")
    x, feature_names, remarks = encoded(where, table, features, rows)
    return Dataset(where, x, labels, feature_names, classes, (*notes, *remarks), figures)


def require_columns(where: str, names: Sequence[str], wanted: Iterable[tuple[str, str]]) -> None:
    """Raises a ValueError for a column that is not there, or is two things at once; `wanted` are what each is and its
    name."""
    roles: dict[str, str] = {}
    for role, name in wanted:
        if name not in names:
            raise ValueError(f"{where}: " + unknown(role, name, names))
        if roles.setdefault(name, role) != role:
            raise ValueError(f"{where}: expected other columns than the {roles[name]}, got {name!r} as {role} too")


def context(where: str, table: pa.Table, index: Sequence[str], taken: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the names of the columns that are features, and notes on those that are none.

    Args:
        where: the table comes from.
        table: the columns.
        index: names of those that are pandas' index.
        taken: names of those that are something else.
    """
    left = [name for name in table.column_names if name not in taken]
    notes = []
    if found := [name for name in left if name in index]:
        notes.append(f"left out as the index of the data frame: {', '.join(found)}")
    counted = [name for name in left if name not in found and UNNAMED.fullmatch(name) and _counts(table.column(name))]
    if counted:
        notes.append(f"{COUNTED}: {', '.join(name or '(without a name)' for name in counted)}")
    return [name for name in left if name not in (*found, *counted)], notes


def encoded(
    where: str, table: pa.Table, names: Sequence[str], rows: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Returns what becomes of columns: features [N, D], their names, and notes; `rows` [N] are where they came from."""
    rows = np.arange(len(table)) if rows is None else rows
    parts, feature_names, said = [], [], {}
    for name in names:
        found, column_names, remarks = _features(where, name, table.column(name), rows)
        parts.append(found)
        feature_names += column_names
        for what, detail in remarks.items():
            said.setdefault(what, []).append(f"{name or '(without a name)'}{detail}")
    return np.concatenate(parts, 1), tuple(feature_names), [f"{what}: {', '.join(own)}" for what, own in said.items()]


def _counts(column: Any) -> bool:
    """Says whether whole numbers count the rows."""
    if not kinds.is_integer(column.type) or column.null_count or len(column) < 2:
        return False
    return bool((np.diff(column.to_numpy()) == 1).all())


def numbers_of(where: str, name: str, column: Any) -> np.ndarray:
    """Returns the numbers of a column, float64 [N], infinite ones among them; truth values are 0 and 1."""
    column = plain(column)
    if not (_is_number(column) or kinds.is_boolean(column.type)):
        raise ValueError(f"{where}: column {name!r}: expected numbers, got {column.type}")
    return column.cast(pa.float64(), safe=False).to_numpy().copy()


def read_context(frame: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns what becomes of all columns of a data frame, [N, D], and the names of that."""
    table, said = memory.table(frame)
    return encoded(said, table, table.column_names)[:2]


def plain(column: Any) -> Any:
    """Returns a column without its dictionary, and with nulls where a number is none: pandas has made them already, but
    a file, or Polars, tells NaN from null."""
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kinds.is_decimal(column.type) or kinds.is_float16(column.type):
        column = column.cast(pa.float64())
    if kinds.is_floating(column.type):
        nowhere = pa.scalar(None, column.type)
        column = pc.call_function("if_else", [pc.call_function("is_nan", [column]), nowhere, column])
    return column


def _is_number(column: Any) -> bool:
    return kinds.is_integer(column.type) or kinds.is_floating(column.type)


def _is_text(column: Any) -> bool:
    return kinds.is_string(column.type) or kinds.is_large_string(column.type) or kinds.is_boolean(column.type)


def _classes(where: str, name: str, column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels [N] and the names of the classes."""
    column = plain(column)
    where = f"{where}: target {name!r}"
    if not (_is_number(column) or _is_text(column)):
        raise ValueError(f"{where}: expected text, truth values or whole numbers, got {column.type}")
    values = np.array(column.to_pylist())
    if kinds.is_floating(column.type) and len(values) and not names_things(values):
        example = next(iter(values[values % 1 != 0]), values[0])
        raise Continuous(
            f"{where}: expected classes, got numbers that look continuous, such as {example}: "
            "give another target, or cut it into classes"
        )
    levels, labels = np.unique(values, return_inverse=True)
    if len(levels) < 2:
        raise ValueError(f"{where}: expected at least two classes, got {', '.join(map(str, levels)) or 'none'}")
    if len(levels) > LEVELS:
        raise Continuous(
            f"{where}: expected at most {LEVELS} classes, got {len(levels):,}: it looks continuous, or "
            "like a name; give another target, or cut it into classes"
        )
    whole = [int(level) for level in levels] if kinds.is_floating(column.type) else levels.tolist()
    return labels.astype(np.int64), tuple(map(str, whole))


def _figures(where: str, name: str, column: Any) -> np.ndarray:
    """Returns the numbers of a regression's target, float64 [N]."""
    column = plain(column)
    where = f"{where}: target {name!r}"
    if not (_is_number(column) or kinds.is_boolean(column.type)):
        raise ValueError(f"{where}: expected numbers, for a regression, got {column.type}")
    values = column.cast(pa.float64(), safe=False).to_numpy().copy()
    if unfit := fault(values):
        raise ValueError(f"{where}: expected {unfit}")
    if len(np.unique(values)) < 2:
        raise ValueError(
            f"{where}: expected numbers that differ, got {', '.join(map(str, values[:1])) or 'none'} alone"
        )
    return values


def _features(where: str, name: str, column: Any, rows: np.ndarray) -> tuple[np.ndarray, Iterable[str], dict[str, str]]:
    """Returns what becomes of a column: features [N, D], their names, and what is to be noted, with details."""
    column = plain(column)
    if _is_number(column):
        return _numbers(where, name, column)
    if not _is_text(column) or column.null_count == len(column):
        got = "nothing at all" if column.null_count == len(column) else column.type
        raise ValueError(
            f"{where}: column {name!r}: expected numbers, text or truth values, got {got}: leave it out with "
            f"drop=[{name!r}], or turn it into numbers"
        )
    values = np.array([ABSENT if value is None else str(value) for value in column.to_pylist()], np.str_)
    levels, codes = np.unique(values, return_inverse=True)
    if not kinds.is_boolean(column.type):
        _refuse_strays(where, name, values, levels, rows)
    if len(levels) > LEVELS or (len(levels) == len(values) > 2):
        raise ValueError(
            f"{where}: column {name!r}: expected at most {LEVELS} levels of text, some of them in several "
            f"rows, got {len(levels):,} in {len(values):,}: leave it out, drop=[{name!r}]"
        )
    indicators = np.zeros((len(values), len(levels)), np.uint8)
    indicators[np.arange(len(values)), codes] = 1
    what = "truth values" if kinds.is_boolean(column.type) else "text"
    notes = {f"{what} became indicators of {'their' if what == 'truth values' else 'its'} levels": f" ({len(levels)})"}
    if column.null_count:
        notes[f"missing {what} {'are' if what == 'truth values' else 'is'} a level of its own"] = (
            f" ({column.null_count:,})"
        )
    return indicators, [f"{name}={level}" for level in levels], notes


def _refuse_strays(where: str, name: str, values: np.ndarray, levels: np.ndarray, rows: np.ndarray) -> None:
    """Raises a ValueError for text among numbers: a few levels of many, or nothing but signs such as "-"."""
    words = [str(level) for level in levels if level != ABSENT and not _reads_as_number(level)]
    numbers = len(levels) - len(words) - int(ABSENT in levels)
    signs = numbers > 1 and not any(letter.isalnum() for word in words for letter in word)
    if words and numbers and (len(words) <= STRAYS * len(levels) or signs):
        stray = np.flatnonzero(np.isin(values, words))
        more = f" (and {len(stray) - 1:,} more)" if len(stray) > 1 else ""
        raise ValueError(
            f"{where}: column {name!r}: expected numbers, got numbers but for {str(values[stray[0]])!r} in "
            f"{user_files.place(where, int(rows[stray[0]]))}{more}: leave the field empty where a number is missing, "
            f"mend it, or leave the column out with drop=[{name!r}]"
        )


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(where: str, name: str, column: Any) -> tuple[np.ndarray, Iterable[str], dict[str, str]]:
    if column.null_count == len(column):
        raise ValueError(
            f"{where}: column {name!r}: expected numbers, got nothing at all: leave it out with drop=[{name!r}]"
        )
    missing = column.is_null().to_numpy()
    values = column.cast(pa.float64(), safe=False).to_numpy().copy()
    values[missing] = values[~missing].mean()
    if unfit := fault(values):
        raise ValueError(f"{where}: column {name!r}: expected {unfit}, or leave it out with drop=[{name!r}]")
    figures = compact(values[:, None])
    notes = {}
    if (len(values) > 2 and _counts(column)) or UNNAMED.fullmatch(name):
        notes["looks like the number of the row, which drop=[...] leaves out"] = ""
    if not missing.any():
        return figures, [name], notes
    both = np.column_stack([figures, missing.astype(np.float32)])
    notes["missing numbers became the mean of the others, with an indicator"] = f" ({column.null_count:,})"
    return both, [name, f"{name} missing"], notes
