"""How bad input is refused."""

import errno
import os
import tempfile
import unicodedata
from pathlib import Path


class ConfigError(Exception):
    """Bad input, found before any work; `errors` holds the messages, one for each thing that is wrong."""

    def __init__(self, *errors: str) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ENOTDIR)
"""What is wrong with a place, and not with the program."""


def told(error: Exception) -> tuple[str, ...]:
    """Returns what is said of an error that is a user's to mend, line by line; nothing of any other."""
    if isinstance(error, ConfigError):
        return error.errors
    if isinstance(error, OSError) and error.errno in UNUSABLE:
        place = error.filename or "the results folder"  # what was open already says no name when the disk is full
        return (f"{place}: expected a place that can be read and written to, got: {error.strerror}",)
    return ()


def shortened(text: str, longest: int) -> str:
    """Returns a text without control characters, and without its middle where it is longer than so many letters."""
    if len(text) > longest:
        ends = max(longest - 40, 0) // 2
        text = f"{text[:ends]} [{len(text) - 2 * ends:,} letters left out] {text[len(text) - ends :]}"
    return printable(text)


def printable(text: str) -> str:
    """Returns a text in which what a terminal would obey, and what no encoding has, is shown as a sign."""
    hidden = (letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cs") for letter in text)
    return "".join("\N{REPLACEMENT CHARACTER}" if hide else letter for letter, hide in zip(text, hidden, strict=True))


def require_writable(folder: Path) -> None:
    """Makes a folder, if it is not there, and raises a ConfigError unless files can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # what permissions say is not all: disks are full, or read-only
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{os.fspath(folder)}: expected a folder to write results to, got: {reason}: give another --out"
        ) from None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Returns a path with ~ written out; as it is where there is no home folder, as in many containers."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raises a ValueError that says what a parameter should have been, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {got!r}")
