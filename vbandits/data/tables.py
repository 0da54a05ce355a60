"""Original files as arrays: numbers and text between commas or blanks, and categories as indicators."""

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types
from pyarrow import csv

from vbandits.data.folder import contents


def numbers(path: Path, columns: int, *, header: int = 0) -> np.ndarray:
    """Returns numbers between blanks as float32 [N, columns].

    Args:
        path: of a text file, gzipped or not.
        columns: how many numbers are in each line.
        header: lines to pass over.

    Raises:
        ValueError: for anything else.
    """
    lines = contents(path).decode("latin-1").splitlines()[header:]
    if not any(map(str.strip, lines)):
        raise ValueError(f"{path}: expected lines of {columns} numbers, got none")
    try:
        found = np.loadtxt(lines, np.float32, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: expected {columns} numbers in every line, got: {error}") from error
    if found.shape[1] != columns:
        raise ValueError(f"{path}: expected {columns} numbers in every line, got {found.shape[1]}")
    return found


def commas(
    path: Path,
    columns: int,
    *,
    text: Sequence[int] = (),
    numeric: pa.DataType | None = None,
    wide: Sequence[int] = (),
    header: bool = False,
) -> pa.Table:
    """Returns what lies between commas as a table of float32 (or `numeric`) columns and of text, without blanks around.

    pyarrow reads in parallel and holds no more than the table: half a million rows of 55 numbers take about a second.

    Args:
        path: of a text file, gzipped or not.
        columns: how many there are.
        text: indices of those that hold text.
        numeric: type of all others.
        wide: indices of those that hold whole numbers which are too large for it.
        header: whether the first line names the columns; else they are called f0, f1, ...

    Raises:
        ValueError: for another number of columns, anything but numbers in a numeric one, or an empty file.
    """
    types: Any = dict.fromkeys((f"f{index}" for index in range(columns)), numeric or pa.float32())
    types |= {f"f{index}": pa.string() for index in text} | {f"f{index}": pa.int64() for index in wide}
    options = csv.ReadOptions(column_names=list(types), skip_rows=int(header) + _comments(path))
    convert = csv.ConvertOptions(column_types=types, null_values=[])
    try:
        names = _header(path) if header else list(types)
        table = csv.read_csv(path, read_options=options, convert_options=convert)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected lines of {columns} values between commas, got: {error}") from error
    if len(names) != columns or not len(table):
        raise ValueError(
            f"{path}: expected lines of {columns} values between commas, got {len(table)} lines after a "
            f"header of {len(names)} names"
        )
    trimmed = [
        pc.call_function("utf8_trim_whitespace", [column]) if pa.types.is_string(column.type) else column
        for column in table.columns
    ]
    return pa.table(trimmed, names=names)


def matrix(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Returns columns of numbers as float32 [N, D]."""
    found = np.empty((len(table), len(names)), np.float32)
    for index, name in enumerate(names):
        found[:, index] = table.column(name).to_numpy()
    return found


def words(table: pa.Table, name: str) -> np.ndarray:
    """Returns a column of text [N]."""
    return np.array(table.column(name).to_pylist(), np.str_)


def one_hot(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns indicators uint8 [N, D] of every level of every column [N], and their names; levels are sorted.

    Columns are taken one at a time, so that millions of rows need little more memory than the result.
    """
    rows = len(next(iter(columns.values())))
    names, codes = [], []
    for name, column in columns.items():
        levels, inverse = np.unique(column, return_inverse=True)
        codes.append((inverse + len(names)).astype(np.uint16))
        names += [f"{name}={level}" for level in levels.tolist()]
    found, every = np.zeros((rows, len(names)), np.uint8), np.arange(rows)
    for code in codes:
        found[every, code] = 1
    return found, tuple(names)


def first_line(path: Path) -> str:
    """Returns the first line of a text file, gzipped or not, without what is blank around it."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return file.readline().decode("latin-1").strip()


def _header(path: Path) -> list[str]:
    return [name.strip() for name in first_line(path).split(",")]


def _comments(path: Path) -> int:
    """Returns 1 where the first line is a comment, as UCI's adult.test has one, which begins with a bar."""
    try:
        return int(first_line(path).startswith("|"))
    except (OSError, EOFError, zlib.error):
        return 0  # the reader says what is wrong with the file
