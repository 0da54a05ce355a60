"""Datasets that scikit-learn gets from the network and keeps in its cache, or brings along."""

import gzip
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pyarrow as pa

from vbandits.data import uci
from vbandits.data.image_files import pictures
from vbandits.data.record import Dataset, Fetch, coded

ADULT_ROWS = (32_561, 16_281)
"""Of adult.data and adult.test."""


def openml(name: str, version: int, read: Callable[[Any, Path], Dataset], *, ordered: bool = False) -> Fetch:
    """Returns how OpenML's table is fetched; `read` makes the dataset of scikit-learn's frame and a name for it."""

    def table(bunch: Any, where: Path) -> Dataset:
        return read(bunch.data.assign(**{"the target": bunch.target}), where)

    return _openml(name, version, table, ordered=ordered, as_frame=True, parser="auto")


def openml_images(source: str, name: str, rows: int) -> Fetch:
    """Returns how OpenML's images are fetched, version 1: so many training rows, and then the test set."""

    def split(bunch: Any, where: Path) -> Dataset:
        x, y = bunch.data, bunch.target.astype(np.int64)
        return pictures(name, (x[:rows], y[:rows]), (x[rows:], y[rows:]))

    return _openml(source, 1, split, as_frame=False)


def _openml(name: str, version: int, read: Callable[[Any, Path], Dataset], ordered: bool = False, **how: Any) -> Fetch:
    source = f"OpenML's {name!r}, version {version}"

    def get() -> Dataset:
        return read(_fetched("fetch_openml", name, version=version, **how), Path(source))

    return Fetch(source, get, partial(_in_cache, name=name, version=version), ordered)


def _fetched(function: str, *arguments: Any, **how: Any) -> Any:
    """Lets scikit-learn fetch without its warnings before it tries again; a failure is raised all the same."""
    from sklearn import datasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(datasets, function)(*arguments, n_retries=1, **how)


def bundled(name: str) -> Dataset:
    """Returns a dataset that comes with scikit-learn: digits, breast_cancer, wine or iris."""
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    names, classes = (tuple(map(str, words)) for words in (bunch.feature_names, bunch.target_names))
    return Dataset(name, bunch.data.astype(np.float32), bunch.target.astype(np.int64), names, classes)


def covertype() -> Dataset:
    """Returns covertype from scikit-learn, which gets UCI's own file."""
    bunch = _fetched("fetch_covtype")
    labels = coded(Path("scikit-learn's covertype"), bunch.target, uci.COVER)
    return uci.covertype.of(bunch.data.astype(np.float32), labels)


def mushroom(frame: Any, where: Path) -> Dataset:
    """Makes the dataset of 22 columns of letters and the class, in the order of the original file."""
    *columns, target = _columns(frame, 23, where)
    return uci.mushrooms(dict(zip(uci.MUSHROOM, columns, strict=True)), coded(where, target, uci.EDIBILITY))


def adult(frame: Any, where: Path, rows: tuple[int, int] = ADULT_ROWS) -> Dataset:
    """Makes the dataset of 15 columns in the order of the original files, with adult.test's rows before adult.data's.

    That this is their order cannot be seen from the rows; it shows in how many of each file lack nothing, which is what
    the published counts, asked for by file, tell.
    """
    values = _columns(frame, 15, where)
    if len(frame) != sum(rows):
        raise ValueError(f"{where}: expected {sum(rows):,} rows, got {len(frame):,}")
    arrays = [
        column.astype(np.float64) if name in uci.ADULT_NUMBERS else column
        for name, column in zip(uci.ADULT, values, strict=True)
    ]
    table = pa.table([pa.array(array.tolist()) for array in arrays], names=list(uci.ADULT))
    return uci.adults(where, table.slice(rows[1]), table.slice(0, rows[1]))


def numeric(frame: Any, where: Path, table: uci.Table) -> Dataset:
    """Makes the dataset of columns of numbers, in the order of the original file, and the class."""
    *columns, target = _columns(frame, len(table.features) + 1, where)
    try:
        x = np.column_stack([column.astype(np.float32) for column in columns])
    except ValueError as error:
        raise ValueError(f"{where}: expected numbers, got: {error}") from error
    return table.of(x, coded(where, target, table.classes))


def magic(frame: Any, where: Path) -> Dataset:
    """Makes the dataset of its ten columns, found by name: there may be one more, of row numbers."""
    spelled = {"".join(filter(str.isalnum, str(name))).lower(): name for name in frame.columns}
    if missing := [name for name in uci.MAGIC if name.lower() not in spelled]:
        raise ValueError(f"{where}: expected columns {', '.join(missing)}, got {', '.join(map(str, frame.columns))}")
    chosen = frame[[spelled[name.lower()] for name in uci.MAGIC] + ["the target"]]
    return numeric(chosen, where, uci.magic)


def covertype_in_cache(home: Path) -> bool:
    """Returns whether scikit-learn's data folder holds covertype."""
    return any((home / "covertype").glob("samples*"))


def _in_cache(home: Path, name: str, version: int) -> bool:
    """Returns whether scikit-learn's data folder holds OpenML's dataset.

    It mirrors the addresses that it asked: from the name to a number, from there to a description, which has the
    address of the rows (older versions of scikit-learn made it of the number of the file alone).
    """
    root = home / "openml" / "openml.org"
    asked = root / "api" / "v1" / "json" / "data"
    try:
        known = _json(asked / "list" / "data_name" / name.lower() / "limit" / "2" / "data_version" / f"{version}.gz")
        described = _json(asked / f"{known['data']['dataset'][0]['did']}.gz")["data_set_description"]
        paths = urlparse(described["url"]).path.lstrip("/"), f"data/v1/download/{described['file_id']}"
    except (OSError, EOFError, ValueError, LookupError, TypeError):
        return False
    return any((root / f"{path}.gz").is_file() for path in paths)


def _json(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _columns(frame: Any, count: int, where: Path) -> list[np.ndarray]:
    """Returns the columns of a frame as text [N], "?" where a value is missing, without quotes around it."""
    if frame.shape[1] != count:
        raise ValueError(f"{where}: expected {count} columns, got {frame.shape[1]}")
    columns = []
    for _, series in frame.items():
        values = series.astype(object).where(series.notna(), uci.MISSING)
        columns.append(np.strings.strip(values.to_numpy().astype(np.str_), "' "))
    return columns
