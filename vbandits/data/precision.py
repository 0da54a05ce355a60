"""The type in which rows are held: single precision, or double where digits would be lost that tell rows apart."""

from typing import Any

import numpy as np

LOST = 1e-5
"""Share of a column's range that rounding may move a number by."""
LARGEST, SMALLEST = 1e150, 1e-140
"""Sizes of numbers and of their differences whose squares, and sums of them, float64 can carry."""


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


def fault(values: Any) -> str | None:
    """Returns what was expected of numbers and what came, or None if variances can be computed of all of them."""
    given = np.asarray(values)
    if not given.size or (float(given.min()) >= -LARGEST and float(given.max()) <= LARGEST):  # NaN is neither
        return None
    wrong = given[~(np.abs(given.astype(np.float64)) <= LARGEST)]
    infinite = wrong[~np.isfinite(wrong)]
    if infinite.size:
        return f"finite numbers, got {infinite[0]}"
    return f"numbers of at most {LARGEST:g} in size, whose squares float64 can carry, got {wrong[0]:g}: use other units"


def require_scale(what: str, ranges: Any) -> None:
    """Raises a ValueError for numbers that differ, but by less than a variance can be computed of.

    Args:
        what: they are.
        ranges: the largest less the smallest, of each group of them, as an array or tensor.
    """
    tiny = ranges[(ranges > 0) & (ranges < SMALLEST)]
    if len(tiny):
        raise ValueError(
            f"expected {what} that differ by at least {SMALLEST:g}, whose squares float64 can carry, got differences "
            f"of {float(tiny[0]):g}: use other units"
        )


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
