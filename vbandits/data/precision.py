"""The type in which rows are held: single precision, or double where digits would be lost that tell rows apart."""

from typing import Any

import numpy as np

LOST = 1e-5
"""Share of a column's range that rounding may move a number by."""


def compact(rows: np.ndarray) -> np.ndarray:
    """Returns numbers [N, D] as float32, or as float64 where float32 cannot tell the rows of a column apart: time
    stamps, numbers far from zero or outside its range. Bytes stay as they are.

    Args:
        rows: of any number type; what is none is returned as it is.
    """
    if rows.dtype in (np.uint8, np.float32) or rows.dtype.kind not in "fiub":
        return rows
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32)
    if rows.dtype.itemsize <= 2 or not rows.size:
        return single
    double = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error, width = np.abs(single - double).max(0), double.max(0) - double.min(0)
    carried = np.isfinite(single).all(0) & ((width == 0) | (error <= LOST * width))
    return single if carried.all() else double


def unmasked(values: Any) -> np.ndarray:
    """Returns an array in which what is masked is NaN: as a plain array it would be what lies beneath."""
    if not np.ma.is_masked(values):
        return np.asarray(values)
    kind = np.float64 if values.dtype.kind in "iub" else values.dtype
    return np.ma.filled(values.astype(kind), np.nan)


def names_things(values: np.ndarray) -> bool:
    """Says whether floating-point numbers [N] look like those of classes: whole, as no other is beyond 2^53, and not
    all different."""
    whole = bool((np.trunc(values) == values).all() and (np.abs(values) < 2**53).all())
    return whole and len(np.unique(values)) < len(values)


def both(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two arrays of rows as above, both float64 where one of them is."""
    rows, others = compact(rows), compact(others)
    if np.float64 in (rows.dtype, others.dtype):
        return rows.astype(np.float64), others.astype(np.float64)
    return rows, others
