"""The data directory: which one it is, which files of a dataset lie in it, and what is said when they do not."""

import gzip
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

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
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        name = VARIABLE if data_dir is None else "data_dir"
        raise ValueError(f"{name}: expected a folder that exists, got {str(named)!r}")
    return folder


def places(folder: Path, names: Sequence[str], *, flat: bool = True) -> list[Path]:
    """Returns where the files of a dataset may lie: in folders of its names, or else flat in the data directory.

    Args:
        folder: the data directory.
        names: of the dataset's own folders.
        flat: whether its files may lie flat; not where another dataset has files of the same names. The data directory
            itself may be the dataset's own all the same.
    """
    own = [folder / name for name in names]
    return [*own, folder] if flat or folder.name in names else own


def locate(names: Iterable[str], places: Sequence[Path], url: str) -> dict[str, Path] | None:
    """Returns the path of each file, all in the first of the places that has any; None where no place has.

    Each may be gzipped: NAME.gz will do where there is no NAME.

    Raises:
        ValueError: if some files lie there and others do not; it names what is missing, and `url`.
    """
    names = list(names)
    for place in places:
        candidates = ((name, place / f"{name}{suffix}") for name in names for suffix in (".gz", ""))
        paths = {name: path for name, path in candidates if path.is_file()}
        if paths:
            require_all(names, paths, place, url)
            return {name: paths[name] for name in names}
    return None


def require_all(names: Iterable[str], found: Iterable[str], source: Path, url: str) -> None:
    """Raises a ValueError that names the files which were not found in `source`, if there are any."""
    missing = ", ".join(name for name in names if name not in set(found))
    if missing:
        wanted = f"all of {', '.join(names)} (download them from {url})"
        raise ValueError(f"{source}: expected {wanted}, got all but {missing}")


def contents(path: Path) -> bytes:
    """Returns what is in a file, unpacked if it is gzipped.

    Raises:
        ValueError: if it cannot be read, or is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole file, got: {error}") from error


def absent(name: str, files: str, url: str, folder: Path | None, fetched: str, *, flat: bool = True) -> str:
    """Returns the message for a dataset that is nowhere.

    Args:
        name: the dataset's.
        files: that were looked for.
        url: where they are published.
        folder: the data directory, if there is one.
        fetched: why it cannot be fetched either.
        flat: whether its files may lie flat.
    """
    where = "the data directory" if flat else f"the folder {name} of the data directory"
    looked = f"got nothing of it in {folder}" if folder else f"but {VARIABLE} is not set"
    return (
        f"{name}: expected {files} in {where}, {looked}; and {fetched}. "
        f"Download from {url} into DIRECTORY/{name}, set {VARIABLE}=DIRECTORY"
    )
