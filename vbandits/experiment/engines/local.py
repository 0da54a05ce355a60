"""Processes of this machine, or this process alone."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import count
from typing import Any

from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from vbandits.experiment.devices import one_gpu
from vbandits.experiment.engines import Engine
from vbandits.experiment.supervision import end_with

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMBA", "NUMEXPR")
"""That take their number of threads from a variable of the environment, NAME_NUM_THREADS."""


@contextlib.contextmanager
def opened(workers: int | None, apart: bool, device: str) -> Iterator[Engine]:
    """Runs jobs in so many processes, each on a GPU of its own where that is the device and there are as many; where
    one process is enough in this one, unless they are to be apart."""
    if workers in (None, 1) and not apart:
        yield Engine(here, 1, apart=False)
        return
    with contextlib.closing(Processes(device)) as processes:
        yield Engine(processes.submit, workers or 1, (BrokenProcessPool,))


def here(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Calls a function in this process and returns a future that has ended."""
    future = Future[Any]()
    try:
        future.set_result(function(*arguments))
    except Exception as error:
        future.set_exception(error)
    return future


class Processes:
    """Processes that each run one call at a time.

    Each is a pool of its own: where a call ends its process, the others go on, and it is known which call it was.
    They end with this process, however it ends.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._latest = dict[ProcessPoolExecutor, Future[Any]]()
        self._numbers = dict[ProcessPoolExecutor, int]()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls a function in a process that is free, or else in a new one."""
        for process in [process for process, future in self._latest.items() if future.done()]:
            with contextlib.suppress(BrokenProcessPool):  # it died, under its last call or since
                self._latest[process] = process.submit(function, *arguments)
                return self._latest[process]
            del self._latest[process], self._numbers[process]
        number = next(one for one in count() if one not in self._numbers.values())
        own = {f"{name}_NUM_THREADS": "1" for name in LIBRARIES} | one_gpu(number, self._device)
        process = ProcessPoolExecutor(1, initializer=end_with, initargs=(os.getpid(),), env=own)
        self._numbers[process], self._latest[process] = number, process.submit(function, *arguments)
        return self._latest[process]

    def close(self) -> None:
        """Ends all processes, whatever they are doing."""
        for process in self._latest:
            process.shutdown(kill_workers=True)
