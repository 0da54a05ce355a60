"""Runs cells, in this process or in others, and survives their failures."""

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from vbandits.experiment import key
from vbandits.runner import Cell, run_cell
from vbandits.store import Store

PULSE = 0.5
"""Seconds between two notes of a cell's progress."""


def run_cells(
    cells: Sequence[Cell], store: Store, *, workers: int, backend: str = "loky", paths: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Runs cells and yields their markers as they finish.

    Args:
        cells: to run.
        store: where they are written.
        workers: processes; 1 runs in this one.
        backend: of joblib: "loky" on this machine, "dask" or "ray" across machines.
        paths: appended to `sys.path` in every worker, to find a user's modules.
    """
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    if backend == "ray":
        from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]: an extra

        register_ray()
    folder = str(store.folder.resolve())  # a worker may stand in another folder
    with parallel_config(backend=backend if workers > 1 or backend != "loky" else "sequential"):
        # no more cells ahead than workers: what waits in the queue would stand in the way of an interruption
        parallel = Parallel(workers, return_as="generator_unordered", pre_dispatch=f"{workers}")
        try:
            jobs = (delayed(execute)(cell, folder, tuple(paths), os.getpid()) for cell in cells)
            yield from cast(Iterator[dict[str, Any]], parallel(jobs))
        finally:
            if workers > 1 and backend == "loky":  # the next run must see a user's modules as they are by then
                get_reusable_executor().shutdown(kill_workers=True)


def execute(cell: Cell, folder: str, paths: tuple[str, ...], parent: int) -> dict[str, Any]:
    """Runs one cell and writes what it leaves, also if it fails; returns its marker."""
    if os.getpid() != parent:  # a worker: Ctrl-C is the parent's to handle
        with contextlib.suppress(ValueError):  # signals belong to the main thread alone
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    extend_path(paths)
    store = Store(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Pulse(store.cells / f"{key(cell)}.progress") as pulse:
            outcome = run_cell(cell, pulse.beat)
        return store.finish(cell, outcome, _memory(cell.device))
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", []))
        reason = f"{type(error).__name__}: {error} {notes}".strip()
        return store.fail(cell, reason, traceback.format_exc())
    finally:
        torch.set_num_threads(threads)


def extend_path(paths: Sequence[str]) -> None:
    """Appends folders to `sys.path`, behind everything that is installed."""
    sys.path.extend(path for path in paths if path not in sys.path)


class Pulse:
    """Writes a cell's step and seconds to a file now and then, for the progress of the whole; it goes with the cell."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = self._last = time.monotonic()

    def __enter__(self) -> "Pulse":
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def beat(self, step: int) -> None:
        """Notes a step, if the last note is old enough."""
        now = time.monotonic()
        if now - self._last >= PULSE:
            self._last = now
            with contextlib.suppress(OSError):  # a full disk must not stop a run for the sake of its progress bar
                self._path.write_text(f"{step} {now - self._begun}", encoding="utf-8")


def _memory(device: str) -> float:
    """Returns the most memory that this process, or its GPU, has used, in MB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
