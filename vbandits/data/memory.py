"""Data in memory as a table of columns: pandas' and Polars' frames, and arrays (x, y)."""

import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vbandits.data.precision import unmasked

TARGET = "target"
"""What the column of y is called."""
LONGEST = 40
"""Letters of a value in a label."""


def is_frame(value: Any) -> bool:
    """Returns whether a value is a data frame of pandas or Polars. Polars is not imported: who has a frame has it."""
    polars = sys.modules.get("polars")
    frames = () if polars is None else (polars.DataFrame, polars.LazyFrame)
    return isinstance(value, (pd.DataFrame, *frames))


def is_memory(value: Any) -> bool:
    """Returns whether a value is a data frame, or arrays (x, y)."""
    return is_frame(value) or (isinstance(value, tuple | list) and len(value) == 2)


def table(value: Any) -> tuple[pa.Table, str]:
    """Returns the columns of a data frame or of arrays (x, y), and what messages call it.

    Of a data frame, the index is no column. Columns of arrays are called "x0", "x1", ..., and y "target".

    Raises:
        ValueError: for what can be no table, or has no rows.
    """
    found = _frame(value) if is_frame(value) else _arrays(*value)
    if not len(found):
        raise ValueError("data: expected rows, got none")
    if twice := sorted({name for name in found.column_names if found.column_names.count(name) > 1}):
        raise ValueError(f"data: expected each column once, got more of {', '.join(twice)}")
    return found, "data frame" if is_frame(value) else "arrays"


def values(value: Any) -> np.ndarray:
    """Returns a data frame, or an array, as an array; what is missing or masked is NaN."""
    return _frame(value).to_pandas().to_numpy() if is_frame(value) else unmasked(value)


def names(value: Any) -> tuple[str, ...]:
    """Returns the names of the columns of a data frame; none of an array."""
    return tuple(map(str, value.columns)) if is_frame(value) else ()


def shown(value: Any) -> Any:
    """Returns a value as labels and fingerprints show it: data in memory by a word, since a digest tells its rows."""
    if is_frame(value):
        return "data frame"
    held = isinstance(value, tuple | list) and any(is_frame(one) or hasattr(one, "__array__") for one in value)
    return "arrays" if held else value


def called(value: Any) -> str:
    """Returns a value in a label: of a long text, such as a path, its end."""
    text = str(shown(value))
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"


def _frame(frame: Any) -> pa.Table:
    if not isinstance(frame, pd.DataFrame):
        if hasattr(frame, "collect"):
            raise ValueError("data: expected a data frame with rows, got a LazyFrame: give frame.collect()")
        return frame.to_arrow()
    if frame.columns.nlevels > 1:
        raise ValueError(f"data: expected columns with one name each, got {frame.columns.nlevels} levels of names")
    arrays = []
    for place in range(len(frame.columns)):
        column = frame.iloc[:, place]
        try:
            arrays.append(pa.Array.from_pandas(column))
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # text and numbers in one column, as a file has it
            texts = [None if missing else str(one) for one, missing in zip(column, column.isna(), strict=True)]
            arrays.append(pa.array(texts, pa.string()))
    return pa.table(arrays, names=[str(name) for name in frame.columns])


def _arrays(x: Any, y: Any) -> pa.Table:
    if is_frame(x):
        columns = _frame(x)
    else:
        values = unmasked(x)
        if values.ndim != 2 or values.dtype.kind not in "fiub":
            raise ValueError(f"data: x: expected numbers [N, D], got {values.dtype} {values.shape}")
        columns = pa.table([pa.array(column) for column in values.T], names=[f"x{i}" for i in range(values.shape[1])])
    target = unmasked(y).reshape(-1) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else unmasked(y)
    if target.shape != (len(columns),):
        raise ValueError(f"data: y: expected one target for each of {len(columns):,} rows of x, got {target.shape}")
    if TARGET in columns.column_names:
        raise ValueError(f"data: x: expected no column {TARGET!r} beside y, got one: leave it out")
    return columns.append_column(TARGET, _frame(pd.DataFrame({TARGET: target})).column(0))
