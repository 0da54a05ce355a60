"""One run at a time for a results folder, or several that each have a part of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from vbandits.errors import ConfigError

LOCK, MOMENT = ".lock", 60.0
"""Name of a folder's lock, and seconds to wait for it where it is held for a moment."""
PATIENCE = 0.5
"""Seconds that a run waits for a lock: whoever asks whether it is free holds it for an instant."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a results folder for one run at a time; the lock goes with the process, however it ends."""
    with held(folder / LOCK, f"{folder}: expected a folder that no other run writes to, got one in use"):
        busy = [path.name for path in folder.glob(f"{LOCK}-*") if not is_free(path)]
        if busy:
            shards = ", ".join(name.removeprefix(f"{LOCK}-").replace("-of-", "/") for name in busy)
            raise ConfigError(f"{folder}: expected a folder that no other run writes to, got one of --shard {shards}")
        yield


@contextlib.contextmanager
def held(path: Path, refusal: str, seconds: float = PATIENCE) -> Iterator[None]:
    """Holds a lock, which goes with the process however it ends; raises a ConfigError if another process holds it."""
    lock = FileLock(_no_link(path), timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"{refusal}: wait for it, or give another --out") from None
    try:
        yield
    finally:
        lock.release()


def is_free(path: Path) -> bool:
    """Says whether no process holds a lock."""
    try:
        with FileLock(_no_link(path), timeout=0):
            return True
    except Timeout:
        return False


def in_use(folder: Path) -> bool:
    """Says whether a run on this machine writes to a results folder; where that cannot be told, that one does."""
    try:
        return any(not is_free(path) for path in folder.glob(f"{LOCK}*"))
    except OSError:  # of a folder that cannot be written to
        return True


def _no_link(path: Path) -> Path:
    """Returns the path of a lock, which locking empties; raises a ConfigError for a link, which may lead anywhere."""
    if path.is_symlink():
        raise ConfigError(f"{path}: expected a file, got a link: remove it")
    return path
