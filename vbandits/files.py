"""Files that are written at once or not at all, and the versions of what writes them."""

import hashlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

LIBRARIES = ("vbandits", "torch", "gymnasium", "numpy", "scipy", "pandas", "scikit-learn", "pyarrow")


@cache  # asked for every job
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which replaces it once it is whole and on disk."""
    handle, temporary = tempfile.mkstemp(suffix=".temporary", prefix=path.name, dir=path.parent)
    os.close(handle)
    try:
        yield Path(temporary)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file at once or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes a file at once or not at all; what UTF-8 has not, such as bytes of a folder's name, as an escape."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
