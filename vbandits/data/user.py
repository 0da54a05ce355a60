"""A user's own file, CSV or Parquet, as a dataset to classify, or to predict a number of.

What becomes of a column:

- numbers are features as they are; where some are missing, the mean of the others stands in, and a second feature,
  "column missing", is 1 there and 0 elsewhere;
- text, truth values and categories become one indicator per level, "column=level", levels sorted, text without the
  blanks around it; what is missing is a level of its own;
- what pandas wrote into a Parquet file as its index is left out: the number of a row often tells its class;
- dates, lists and columns of nothing are refused, and so is text with more than 100 levels or another one in each row:
  names and numbers of things tell nothing of the next thing.

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

from vbandits.data import user_files
from vbandits.data.precision import compact, names_things
from vbandits.data.record import Dataset
from vbandits.registry import unknown

LEVELS = 100
"""Most levels of a column of text, and most classes."""
ABSENT = "(missing)"
UNNAMED = re.compile(r"(Unnamed: \d+)?")
"""What a column is called that has no name: the number of the row, as a rule."""


class Continuous(ValueError):
    """A target that should be a class looks like a number."""


def read(path: Path, target: str | None, drop: Sequence[str] = (), *, regression: bool = False) -> Dataset:
    """Returns the dataset in a file.

    Args:
        path: of the file; what it ends in tells its format.
        target: the column that is to be told from the others.
        drop: columns to leave out.
        regression: whether the target is a number, not a class.

    Raises:
        ValueError: for a file that is not there, is empty or damaged; a column that is not there or cannot be used; a
            target that is no class (`Continuous` if it looks like a number), no number, or always the same.
    """
    table, index = user_files.read(path)
    names = [name for name in table.column_names if name not in drop]
    text = path.name.lower().endswith((".csv", ".gz"))
    if text and any(kinds.is_binary(table.column(name).type) for name in names):
        raise user_files.not_utf8(path)
    names = table.column_names
    if target is None:
        raise ValueError(
            f"{path}: expected a target, the column that holds the class, got none: target=... is one of "
            f"{', '.join(names)}"
        )
    for role, name in (("target", target), *(("column to drop", name) for name in drop)):
        if name not in names:
            raise ValueError(f"{path}: " + unknown(role, name, names))
    if target in drop:
        raise ValueError(f"{path}: expected columns to drop other than the target, got {target!r} among them")
    notes = [f"left out as asked: {', '.join(drop)}"] if drop else []
    if index := [name for name in index if name != target and name not in drop]:
        notes.append(f"left out as the index of the data frame: {', '.join(index)}")
    present = pc.call_function("is_valid", [_plain(table.column(target))])
    if gone := len(table) - int(pc.call_function("sum", [present]).as_py() or 0):
        table = table.filter(present)
        notes.append(f"{gone:,} of {len(present):,} rows have no {target} and are left out")
    labels, classes, figures = None, (), None
    if regression:
        figures = _figures(path, target, table.column(target))
    else:
        labels, classes = _classes(path, target, table.column(target))
    features = [name for name in names if name != target and name not in (*drop, *index)]
    if not features:
        raise ValueError(f"{path}: expected columns beside the target {target!r}, got none")
    parts, feature_names, said = [], [], {}
    for name in features:
        columns, column_names, remarks = _features(path, name, table.column(name))
        parts.append(columns)
        feature_names += column_names
        for what, detail in remarks.items():
            said.setdefault(what, []).append(f"{name or '(without a name)'}{detail}")
    notes += [f"{what}: {', '.join(columns)}" for what, columns in said.items()]
    x = np.concatenate(parts, 1)
    return Dataset(str(path), x, labels, tuple(feature_names), classes, tuple(notes), figures)


def _plain(column: Any) -> Any:
    """Returns a column without its dictionary, and with nulls where a number is none."""
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


def _classes(path: Path, name: str, column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels [N] and the names of the classes."""
    column = _plain(column)
    where = f"{path}: target {name!r}"
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


def _figures(path: Path, name: str, column: Any) -> np.ndarray:
    """Returns the numbers of a regression's target, float64 [N]."""
    column = _plain(column)
    where = f"{path}: target {name!r}"
    if not (_is_number(column) or kinds.is_boolean(column.type)):
        raise ValueError(f"{where}: expected numbers, for a regression, got {column.type}")
    values = column.cast(pa.float64(), safe=False).to_numpy().copy()
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: expected finite numbers, got {values[~np.isfinite(values)][0]}")
    if len(np.unique(values)) < 2:
        raise ValueError(
            f"{where}: expected numbers that differ, got {', '.join(map(str, values[:1])) or 'none'} alone"
        )
    return values


def _features(path: Path, name: str, column: Any) -> tuple[np.ndarray, Iterable[str], dict[str, str]]:
    """Returns what becomes of a column: features [N, D], their names, and what is to be noted, with details."""
    column = _plain(column)
    if _is_number(column):
        return _numbers(path, name, column)
    if not _is_text(column) or column.null_count == len(column):
        got = "nothing at all" if column.null_count == len(column) else column.type
        raise ValueError(
            f"{path}: column {name!r}: expected numbers, text or truth values, got {got}: leave it out with "
            f"drop=[{name!r}], or turn it into numbers"
        )
    values = np.array([ABSENT if value is None else str(value) for value in column.to_pylist()], np.str_)
    levels, codes = np.unique(values, return_inverse=True)
    words = [level for level in levels if level != ABSENT and not _reads_as_number(level)]
    stray = str(words[0]) if 0 < len(words) <= len(levels) / 10 else None
    if len(levels) > LEVELS or (len(levels) == len(values) > 2):
        if stray is not None:
            row = int(np.flatnonzero(values == stray)[0]) + 1
            raise ValueError(
                f"{path}: column {name!r}: expected numbers, got numbers but for {stray!r} in row {row:,} (counted "
                f"from 1, below the header): leave the field empty where a number is missing, or mend it"
            )
        raise ValueError(
            f"{path}: column {name!r}: expected at most {LEVELS} levels of text, some of them in several "
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
    if stray is not None:
        notes["nearly all numbers, and yet text"] = f" (because of {stray!r})"
    return indicators, [f"{name}={level}" for level in levels], notes


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, name: str, column: Any) -> tuple[np.ndarray, Iterable[str], dict[str, str]]:
    if column.null_count == len(column):
        raise ValueError(
            f"{path}: column {name!r}: expected numbers, got nothing at all: leave it out with drop=[{name!r}]"
        )
    missing = column.is_null().to_numpy()
    values = column.cast(pa.float64(), safe=False).to_numpy().copy()
    values[missing] = values[~missing].mean()
    if not np.isfinite(values).all():
        raise ValueError(
            f"{path}: column {name!r}: expected finite numbers, got "
            f"{values[~np.isfinite(values)][0]}: leave it out with drop=[{name!r}]"
        )
    figures = compact(values[:, None])
    notes = {}
    counted = kinds.is_integer(column.type) and len(values) > 2 and bool((np.diff(values) == 1).all())
    if counted or UNNAMED.fullmatch(name):
        notes["looks like the number of the row, which drop=[...] leaves out"] = ""
    if not missing.any():
        return figures, [name], notes
    both = np.column_stack([figures, missing.astype(np.float32)])
    notes["missing numbers became the mean of the others, with an indicator"] = f" ({column.null_count:,})"
    return both, [name, f"{name} missing"], notes
