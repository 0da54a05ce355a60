"""Runs jobs, in this process or in others, and survives their failures."""

import contextlib
import faulthandler
import gc
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import cloudpickle

from vbandits.experiment import parts, resources
from vbandits.experiment.benchmark import Job
from vbandits.experiment.engines import Engine
from vbandits.experiment.observer import Observer
from vbandits.experiment.store import Store
from vbandits.source_hash import place

OVERDUE = ".overdue.temporary"
"""End of the name of a file that says where a job was when its time was over."""
ATTEMPTS = 3
"""Of a job whose process dies."""
DIED = "the worker process died, {} times (out of memory, or a crash in compiled code)"
NOT_SENT = (
    "it cannot be sent to a worker process: {}; write what it is made of into a module, make what cannot be copied "
    "inside the function, or run with workers=1"
)
ONE_AT_A_TIME = threading.Lock()
"""In a process: a job sets what all threads share, such as torch's switches."""


def run_jobs(
    jobs: Sequence[Job],
    store: Store,
    engine: Engine,
    paths: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
    timeout: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Runs jobs and yields their markers as they finish, with `warnings` where callbacks failed.

    A job whose process dies is run again, `ATTEMPTS` times in all.

    Args:
        jobs: to run.
        store: where they are written.
        engine: that runs them.
        paths: appended to `sys.path` in every worker, to find a user's modules.
        callbacks: that follow the jobs, where these run.
        timeout: seconds after which the process of a job is ended, where jobs run in processes of their own.
    """
    more = str(store.folder.resolve()), tuple(paths), tuple(callbacks)  # a worker may stand in another folder
    waiting = deque((job, 1) for job in jobs)
    stay: list[Job] = []
    running: dict[Future[Any], tuple[Job, int]] = {}
    while waiting or running:
        # no more jobs ahead than workers: what waits in the queue would stand in the way of an interruption
        while waiting and len(running) < engine.workers:
            job, attempt = waiting.popleft()
            if (future := _submitted(engine, timeout, job, *more)) is None:
                stay.append(job)
            else:
                running[future] = job, attempt
        for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
            job, attempt = running.pop(future)
            try:
                yield future.result()
            except engine.lost as error:
                if timeout is not None and (trace := _overdue(store.jobs, job)):
                    late = f"it took longer than the timeout of {timeout:g} seconds: raise it, or mend what hangs"
                    yield _failed(job, store, callbacks, late, trace)
                elif attempt < ATTEMPTS:
                    waiting.appendleft((job, attempt + 1))
                else:
                    yield _failed(job, store, callbacks, DIED.format(attempt), _trace(error))
            except NotReceived as error:
                yield _failed(job, store, callbacks, NOT_SENT.format(error), _trace(error))
    for job in stay:
        yield execute(job, *more)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _overdue(folder: Path, job: Job) -> str:
    """Returns where a job was when its time was over, or nothing if it was ended by something else."""
    path = folder / f"{job.key}{OVERDUE}"
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    finally:
        path.unlink(missing_ok=True)


def _failed(job: Job, store: Store, callbacks: Sequence[Any], reason: str, details: str) -> dict[str, Any]:
    """Writes that a job failed that could not do so itself, and returns its marker."""
    with Observer(job, store.jobs / f"{job.key}.progress", callbacks) as observer:
        marker = store.fail(job, reason, details)
        observer.end(marker, None)
    return marker | {"warnings": observer.warnings}


def _submitted(
    engine: Engine, timeout: float | None, job: Job, folder: str, paths: tuple[str, ...], callbacks: tuple[Any, ...]
) -> Future[Any] | None:
    """Starts a job and returns its future, or None if it cannot be sent and must stay in this process."""
    if not engine.apart:
        return engine.submit(execute, job, folder, paths, callbacks)
    try:
        sent = cloudpickle.dumps((job, callbacks))
    except Exception:  # an open file, a lock or a connection is part of it: they fail in ways of their own
        return None
    return engine.submit(receive, sent, folder, paths, timeout)


class NotReceived(Exception):
    """A job was sent to a worker process, which could not make it out."""


def receive(sent: bytes, folder: str, paths: tuple[str, ...], timeout: float | None = None) -> dict[str, Any]:
    """Runs a job in a worker process, as `execute` does; the process ends when the job takes longer than it may.

    Raises:
        NotReceived: if it cannot be unpickled here.
    """
    with contextlib.suppress(ValueError):  # signals belong to the main thread alone
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    extend_path(paths)
    try:
        job, callbacks = cloudpickle.loads(sent)
    except Exception as error:
        raise NotReceived(f"{type(error).__name__}: {error}") from None
    if not gc.get_freeze_count():  # libraries stay: to look through them before each job takes as long as a small one
        gc.collect()
        gc.freeze()
    with ONE_AT_A_TIME, _within(timeout, Store(folder).jobs / f"{job.key}{OVERDUE}"):
        return execute(job, folder, paths, callbacks)


@contextlib.contextmanager
def _within(seconds: float | None, path: Path) -> Iterator[None]:
    """Ends this process, whatever it is doing, when so many seconds are over, and writes where it was to a file."""
    if seconds is None:
        yield
        return
    with path.open("w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)  # a thread that needs no Python
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    path.unlink(missing_ok=True)


def execute(job: Job, folder: str, paths: tuple[str, ...], callbacks: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Runs one job and writes what it leaves under its key, also if it fails; returns its marker, and `warnings`."""
    extend_path(paths)
    # a user's code may call exit(); where Ctrl-C does not reach this process, nothing else is a person's either
    waits = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    faults: tuple[type[BaseException], ...] = (BaseException,) if waits else (Exception, SystemExit)
    store = Store(folder)
    with Observer(job, store.jobs / f"{job.key}.progress", callbacks) as observer:
        records = None
        try:
            ran = parts.run(job, observer, store)
            marker = store.finish(job, ran.outcome, ran.memory, ran.last)
            records = ran.outcome.records
            parts.forget(job, observer, store)
        except faults as error:
            told = (f"{type(error).__name__}: {error}", *getattr(error, "__notes__", []), place(error))
            parts.forget(job, observer, store)  # it would come to the same
            marker = store.fail(job, " ".join(filter(None, told)), traceback.format_exc())
        observer.end(marker, records)
    resources.give_back()
    return marker | {"warnings": observer.warnings}


def extend_path(paths: Sequence[str]) -> None:
    """Appends folders to `sys.path`, behind everything that is installed."""
    sys.path.extend(path for path in paths if path not in sys.path)
