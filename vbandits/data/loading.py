"""One loader for every dataset: by name, or from a user's own file."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from vbandits.data import memory, user, user_files
from vbandits.data.catalogue import PUBLISHED
from vbandits.data.folder import VARIABLE, directory, locate
from vbandits.data.record import Dataset, Layout, Published, checked
from vbandits.errors import expanded
from vbandits.registry import unknown

HELD = 2
"""Datasets that stay in memory, as some take gigabytes: one that is learned, and one out of its distribution."""


def load(
    source: Any,
    data_dir: str | os.PathLike[str] | None = None,
    target: str | int | None = None,
    drop: Sequence[str | int] | None = None,
    *,
    regression: bool = False,
) -> Dataset:
    """Returns a dataset by name, from a user's file, or from data in memory.

    Of names and files the last two stay in memory, a file until it changes.

    A dataset with a name is looked for in a data directory, `data_dir` or else what the environment variable
    VBANDITS_DATA names: there its original files lie under their original names, gzipped or not, in a folder of the
    dataset's name or, unless another one's are called the same, flat. Where none of them is there, scikit-learn has it
    in its cache (`get_data_home`) or fetches it, if it can. What is found is checked against what was published: rows,
    features, classes, and the bytes where a checksum is known. What becomes of a user's file: see
    `vbandits.data.user`.

    Args:
        source: a name in `PUBLISHED`; the path of a file that ends in .csv, .csv.gz or .parquet, or of a folder of
            Parquet files; a data frame of pandas or Polars; or arrays (x, y), x [N, D] or a data frame, y [N].
        data_dir: the data directory, for a name.
        target: the column that holds the class, for a file or data frame; a number is the name of one.
        drop: columns to leave out, for a file or data in memory.
        regression: whether that column holds numbers to predict, for a file or data in memory.

    Raises:
        ValueError: for an unknown name; a target with a name, or a file without one; files that are damaged or hold
            anything else; or if the dataset is nowhere, with what to download and where to put it.
    """
    if isinstance(drop, str | int):
        raise ValueError(f"drop: expected a list of columns, got {drop!r}: write [{drop!r}]")
    column, left_out = None if target is None else str(target), tuple(map(str, drop or ()))
    if memory.is_memory(source):
        return user.read_memory(source, column, left_out, regression=regression)
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            f"dataset: expected a name, a file, a data frame or arrays (x, y), got {type(source).__name__}"
        )
    name = os.fspath(source)
    if name in PUBLISHED:
        given = {"target": target, "drop": drop, "regression": regression or None}
        if wrong := [option for option, value in given.items() if value is not None]:
            raise ValueError(
                f"{', '.join(wrong)}: expected with a file of your own alone, got {given[wrong[0]]!r} for "
                f"the dataset {name!r}, whose features and classes are set"
            )
        return _named(PUBLISHED[name], directory(data_dir))
    if not is_file(name):
        raise ValueError(
            unknown("dataset", name, PUBLISHED, "datasets") + f"; or give a file: {', '.join(user_files.ENDINGS)}"
        )
    path = expanded(name)
    version = (path.absolute(), user_files.version(path) if path.exists() else None)
    return _own(path, column, left_out, version, regression)


def is_file(source: str) -> bool:
    """Returns whether a source is the path of a file, or of a folder of files, rather than the name of a dataset."""
    path = Path(source)
    return source.lower().endswith(user_files.ENDINGS) or path.name != source or user_files.is_folder(path)


def from_folder(published: Published, folder: Path) -> Dataset | None:
    """Returns what was published from the original files in a data directory, or None where there is none of them.

    Raises:
        ValueError: for files that are damaged, not all there, or hold anything else.
    """
    found = find(published, folder)
    if found is None:
        return None
    layout, paths = found
    try:
        dataset = layout.read(paths)
    except ValueError as error:
        raise ValueError(f"{error} (download it again from {published.url})") from error
    return checked(
        published, f"{published.name} in {paths[0].parent}", dataset, exact=layout.exact, original=layout.exact
    )


def find(published: Published, folder: Path) -> tuple[Layout, list[Path]] | None:
    """Returns the layout of which files lie in a data directory, and their paths; None where there are none.

    Raises:
        ValueError: if some are missing.
    """
    names = (published.name, *published.folders)
    places = [folder / name for name in names]
    if published.flat or folder.name in names:  # the data directory itself may be the dataset's own
        places.append(folder)
    for layout in published.layouts:
        if (paths := locate(layout.files, places, published.url)) is not None:
            return layout, paths
    return None


def from_elsewhere(published: Published) -> Dataset:
    """Returns what was published from scikit-learn: its own, from its cache, or from the network.

    Raises:
        OSError: if it cannot be reached.
        ValueError: if it has something else, or if the dataset is not there.
    """
    fetch = published.fetch
    if fetch is None:
        raise ValueError(f"it cannot be fetched: no faithful copy of {published.name} is known there")
    return checked(
        published, f"{published.name} from {fetch.source}", fetch.read(), ordered=fetch.ordered, original=False
    )


def cached(published: Published) -> bool:
    """Returns whether scikit-learn has the dataset without a network: it came with it, or lies in its data folder."""
    if published.fetch is None or published.fetch.cached is None:
        return published.fetch is not None
    home = os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data"  # to ask scikit-learn would make the folder
    return published.fetch.cached(expanded(home))


@lru_cache(HELD)
def _named(published: Published, folder: Path | None) -> Dataset:
    found = None if folder is None else from_folder(published, folder)
    if found is not None:
        return found
    try:
        return from_elsewhere(published)
    except (OSError, ValueError, ImportError) as error:
        why = f"{published.fetch.source} cannot be had ({error})" if published.fetch else str(error)
        where = "the data directory" if published.flat else f"the folder {published.name} of the data directory"
        looked = f"got nothing of it in {folder}" if folder else f"but {VARIABLE} is not set"
        raise ValueError(
            f"{published.name}: expected {published.files()} in {where}, {looked}; and {why}. "
            f"Download from {published.url} into DIRECTORY/{published.name}, set {VARIABLE}=DIRECTORY"
        ) from error


_own = lru_cache(HELD)(
    lambda path, target, drop, version, regression: user.read(path, target, drop, regression=regression)
)
