"""Runs jobs, in this process or in others, and survives their failures."""

import contextlib
import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pickle import PicklingError
from typing import Any, cast

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from vbandits.experiment import resources
from vbandits.experiment.benchmark import Job
from vbandits.experiment.isolation import isolated
from vbandits.experiment.observer import Observer
from vbandits.experiment.store import Store
from vbandits.source_hash import place


def run_jobs(
    jobs: Sequence[Job],
    store: Store,
    *,
    workers: int,
    backend: str = "loky",
    paths: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
) -> Iterator[dict[str, Any]]:
    """Runs jobs and yields their markers as they finish, with `warnings` where callbacks failed.

    Args:
        jobs: to run.
        store: where they are written.
        workers: processes; 1 runs in this one.
        backend: of joblib: "loky" on this machine, "dask" or "ray" across machines.
        paths: appended to `sys.path` in every worker, to find a user's modules.
        callbacks: that follow the jobs, where these run.
    """
    folder = str(store.folder.resolve())  # a worker may stand in another folder
    waiting = {job.key: job for job in jobs}
    calls = {job.key: delayed(execute)(job, folder, tuple(paths), os.getpid(), tuple(callbacks)) for job in jobs}
    try:
        for marker in _parallel(calls.values(), workers, backend):
            del waiting[marker["key"]]
            yield marker
    except (BrokenProcessPool, PicklingError):
        # out of memory, a crash, or a job that cannot go to a worker: try the rest one by one, to see which it was
        for job in waiting.values():
            if (finished := store.finished(job.key)) is not None:
                yield finished
                continue
            try:
                yield from _parallel([calls[job.key]], 2, backend)
            except PicklingError:  # an open file, a lock or a connection is part of it: it stays in this process
                yield execute(job, folder, tuple(paths), os.getpid(), tuple(callbacks))
            except BrokenProcessPool as error:
                with Observer(job, store.jobs / f"{job.key}.progress", callbacks) as observer:
                    marker = store.fail(job, _broken(error), str(error))
                    observer.end(marker, None)
                yield marker | {"warnings": observer.warnings}


def _broken(error: BrokenProcessPool) -> str:
    """Returns why a worker broke, in words."""
    if isinstance(error, TerminatedWorkerError):
        return "the worker process died (out of memory, or a crash in compiled code)"
    cause = str(error.__cause__ or error).strip('" \n').splitlines()[-1]
    return (
        f"it cannot be sent to a worker process: {cause}; write what it is made of into a module, make what cannot be "
        "copied inside the function, or run with workers=1"
    )


def _parallel(calls: Iterable[Any], workers: int, backend: str) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        if backend != "loky":
            stack.enter_context(_cluster(backend, workers))
        elif workers > 1:  # the next run must see a user's modules as they are by then
            stack.callback(lambda: get_reusable_executor().shutdown(kill_workers=True))
        name = "sequential" if backend == "loky" and workers == 1 else backend
        stack.enter_context(parallel_config(backend=name))
        # no more jobs ahead than workers: what waits in the queue would stand in the way of an interruption
        parallel = Parallel(workers, return_as="generator_unordered", pre_dispatch=f"{workers}")
        yield from cast(Iterator[dict[str, Any]], parallel(calls))


@contextlib.contextmanager
def _cluster(backend: str, workers: int) -> Iterator[None]:
    """Connects to dask (the scheduler at DASK_SCHEDULER_ADDRESS, or one started here) or ray."""
    if backend == "ray":
        from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]: an extra

        register_ray()
        yield
        return
    from dask import config  # pyright: ignore[reportMissingImports]: an extra
    from distributed import Client  # pyright: ignore[reportMissingImports]

    found = config.get("scheduler-address", None)
    local: dict[str, Any] = {} if found else {"n_workers": workers, "threads_per_worker": 1}
    with Client(**local):
        yield


def installed(backend: str) -> bool:
    """Says whether what a backend needs is installed."""
    needed = {"loky": "joblib", "dask": "distributed", "ray": "ray"}[backend]
    return importlib.util.find_spec(needed) is not None


def execute(
    job: Job, folder: str, paths: tuple[str, ...], parent: int, callbacks: tuple[Any, ...] = ()
) -> dict[str, Any]:
    """Runs one job and writes what it leaves under its key, also if it fails; returns its marker, and `warnings`."""
    if os.getpid() != parent:  # a worker: Ctrl-C is the parent's to handle
        with contextlib.suppress(ValueError):  # signals belong to the main thread alone
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    extend_path(paths)
    store = Store(folder)
    child = os.getpid() != parent and os.getppid() == parent
    with Observer(job, store.jobs / f"{job.key}.progress", callbacks, child) as observer:
        records = None
        try:
            with isolated(), resources.one_thread():
                resources.reset(job.device)
                outcome = job.run(observer, store.checkpoint(job.key))
            marker = store.finish(job, outcome, resources.peak(job.device), observer.last())
            records = outcome.records
            store.checkpoint(job.key).unlink(missing_ok=True)
        except (Exception, SystemExit) as error:  # a user's code may call exit()
            told = (f"{type(error).__name__}: {error}", *getattr(error, "__notes__", []), place(error))
            store.checkpoint(job.key).unlink(missing_ok=True)  # it would come to the same
            marker = store.fail(job, " ".join(filter(None, told)), traceback.format_exc())
        observer.end(marker, records)
    return marker | {"warnings": observer.warnings}


def extend_path(paths: Sequence[str]) -> None:
    """Appends folders to `sys.path`, behind everything that is installed."""
    sys.path.extend(path for path in paths if path not in sys.path)
