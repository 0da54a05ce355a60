"""What `vbandits data` does: which datasets there are and where they are found, fetched and verified."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vbandits.data import PUBLISHED
from vbandits.data.folder import VARIABLE, directory
from vbandits.data.loading import cached, find, from_elsewhere, from_folder
from vbandits.data.record import Dataset, Published
from vbandits.errors import ConfigError
from vbandits.registry import unknown

HERE_NOT, TO_HAVE = "not here", "to have it"


class Outcome(NamedTuple):
    """What became of a dataset."""

    name: str
    good: bool
    says: str


def listing(data_dir: str | os.PathLike[str] | None = None, names: Sequence[str] = ()) -> list[dict[str, str]]:
    """Returns datasets, by default all: name, rows, features, classes, where each is found, and, if nowhere, how it is
    to be had.

    Raises:
        ConfigError: for an unknown name, or a data directory that is no folder.
    """
    folder = _folder(data_dir)
    _require_known(names)
    return [
        {
            "dataset": name,
            "rows": f"{published.size:,}",
            "features": str(published.features),
            "classes": str(published.classes or "-"),
            "found": (found := _found(published, folder)),
            TO_HAVE: _to_have(published) if found == HERE_NOT else "",
        }
        for name, published in PUBLISHED.items()
        if name in (names or PUBLISHED)
    ]


def fetch(names: Sequence[str]) -> Iterator[Outcome]:
    """Yields what became of each dataset that was to be fetched.

    Raises:
        ConfigError: without a name; for an unknown name, or one that cannot be fetched, before any is.
    """
    errors = [] if names else ["expected the names of datasets, got none: see `vbandits data list`"]
    for name in names:
        published = PUBLISHED.get(name)
        if published is None:
            errors.append(unknown("dataset", name, PUBLISHED, "datasets"))
        elif published.fetch is None:
            errors.append(
                f"{name}: expected a dataset that can be fetched, got none that is known to be faithful: "
                + _put(published)
            )
    if errors:
        raise ConfigError(*errors)
    return (_outcome(PUBLISHED[name], None) for name in dict.fromkeys(names))


def verify(names: Sequence[str] = (), data_dir: str | os.PathLike[str] | None = None) -> Iterator[Outcome]:
    """Yields what became of each dataset that was to be read and checked, by default all that are found.

    Raises:
        ConfigError: for an unknown name, or a data directory that is no folder.
    """
    folder = _folder(data_dir)
    _require_known(names)
    chosen = dict.fromkeys(names) or [name for name in PUBLISHED if _found(PUBLISHED[name], folder) != HERE_NOT]
    return (_verified(PUBLISHED[name], folder) for name in chosen)


def _require_known(names: Sequence[str]) -> None:
    if errors := [unknown("dataset", name, PUBLISHED, "datasets") for name in names if name not in PUBLISHED]:
        raise ConfigError(*errors)


def _verified(published: Published, folder: Path | None) -> Outcome:
    if _found(published, folder) != HERE_NOT:
        return _outcome(published, folder)
    return Outcome(published.name, False, f"{HERE_NOT}: {_to_have(published)}")


def _to_have(published: Published) -> str:
    return (f"`vbandits data fetch {published.name}`, or " if published.fetch else "") + _put(published)


def _put(published: Published) -> str:
    """Returns what a person can do to have a dataset."""
    where = f"DIRECTORY/{published.name}, and set {VARIABLE}=DIRECTORY"
    return f"download {published.files()} from {published.url} into {where}"


def _outcome(published: Published, folder: Path | None) -> Outcome:
    """Reads a dataset anew and tells how that went: whatever is wrong with one must not keep the others from it."""
    try:
        found = None if folder is None else from_folder(published, folder)
        original = found is not None
        found = found or from_elsewhere(published)
    except Exception as error:
        way_on = f"; or {_put(published)}" if folder is None and published.layouts else ""
        return Outcome(published.name, False, f"{str(error) or repr(error)}{way_on}")
    return Outcome(published.name, True, _described(published, found, original))


def _described(published: Published, found: Dataset, original: bool) -> str:
    rows, features = found.features.shape
    known = "as it should be" if original and published.sha256 else "not known beforehand"
    kind = "arms" if published.log else "classes"
    classes = f", {published.classes} {kind}" if published.classes else ""
    return f"{rows:,} rows, {features} features{classes}; SHA-256 {found.digest()} ({known})"


def _found(published: Published, folder: Path | None) -> str:
    """Returns where a dataset is found, in a few words."""
    try:
        found = None if folder is None else find(published, folder)
    except ValueError:
        return f"not all of it in {folder}"
    if found is not None:
        return str(found[1][0].parent)
    if not cached(published):
        return HERE_NOT
    return (
        "scikit-learn's cache" if published.fetch and published.fetch.cached is not None else "comes with scikit-learn"
    )


def _folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    try:
        return directory(data_dir)
    except ValueError as error:
        raise ConfigError(str(error)) from error
