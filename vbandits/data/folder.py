"""The data directory: which one it is, and which files of a dataset lie in it."""

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from vbandits.errors import expanded

VARIABLE = "VBANDITS_DATA"
"""Names the data directory for callers that name none."""


def directory(data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Returns the data directory: `data_dir`, or else what the environment variable VBANDITS_DATA names, or None.

    Raises:
        ValueError: if it is no folder.
    """
    named = data_dir if data_dir is not None else os.environ.get(VARIABLE)
    if not named:
        return None
    folder = expanded(named).resolve()
    if not folder.is_dir():
        name = VARIABLE if data_dir is None else "data_dir"
        raise ValueError(f"{name}: expected a folder that exists, got {str(named)!r}")
    return folder


def locate(names: Sequence[str], places: Sequence[Path], url: str) -> list[Path] | None:
    """Returns the path of each file, all in the first of the places that has any; None where no place has.

    Each may be gzipped: NAME.gz will do where there is no NAME.

    Raises:
        ValueError: if some files lie there and others do not; it names what is missing, and `url`.
    """
    for place in places:
        candidates = ((name, place / f"{name}{suffix}") for name in names for suffix in (".gz", ""))
        paths = {name: path for name, path in candidates if path.is_file()}
        if paths:
            if missing := ", ".join(name for name in names if name not in paths):
                wanted = f"all of {', '.join(names)} (download them from {url})"
                raise ValueError(f"{place}: expected {wanted}, got all but {missing}")
            return [paths[name] for name in names]
    return None


def contents(path: Path) -> bytes:
    """Returns what is in a file, unpacked if it is gzipped.

    Raises:
        ValueError: if it cannot be read, or is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole file, got: {error}") from error
