"""dask: workers of a scheduler at an address, or of one that is started here."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any, cast

from vbandits.errors import ConfigError
from vbandits.experiment.devices import one_gpu
from vbandits.experiment.engines import SECONDS, Engine, unreachable
from vbandits.experiment.supervision import end_with

SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # who asked for the call is told, and tries again
    "distributed.admin.large-graph-warning-threshold": "1 TB",  # of a dataset that a job brings along
    "distributed.worker.daemon": False,  # environments may start processes of their own
}


@contextlib.contextmanager
def opened(workers: int | None, address: str | None, device: str) -> Iterator[Engine]:
    """Runs jobs on the workers of a scheduler, which must have one thread each: jobs change what a process shares.

    Workers that are started here have a GPU each, if that is the device; others what they were started with.

    Raises:
        ConfigError: if what is at the address is no scheduler, or has other workers.
    """
    from dask import config  # pyright: ignore[reportMissingImports]: an extra
    from distributed import Client, LocalCluster  # pyright: ignore[reportMissingImports]
    from distributed.scheduler import KilledWorker  # pyright: ignore[reportMissingImports]

    with contextlib.ExitStack() as stack:
        stack.enter_context(config.set(SETTINGS))
        if address is None:
            own = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
            cluster = stack.enter_context(LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **own))
            client = stack.enter_context(Client(cluster, set_as_default=False))
            client.register_plugin(_supervision(os.getpid(), [one_gpu(own, device) for own in range(workers or 1)]))
        else:
            try:
                client = stack.enter_context(Client(address, timeout=SECONDS, set_as_default=False))
            except (OSError, ValueError) as error:
                raise unreachable("dask scheduler", address, error) from None
        threads = cast("dict[str, int]", client.nthreads()).values()
        if max(threads, default=1) > 1:
            raise ConfigError(
                f"address: expected dask workers of one thread each, got {max(threads)}: start them as "
                f"`dask worker {address} --nthreads 1 --nworkers N`"
            )
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)
        yield Engine(executor.submit, workers or max(1, len(threads)), (KilledWorker,))


def _supervision(parent: int, environments: list[dict[str, str]]) -> Any:
    """Returns what has every worker, also one that takes the place of another, end with the process that started it,
    and see the GPU of its place.

    Dask's own watch is a thread of the worker: it does not see the end of a parent where the worker is stopped.
    """
    from distributed import WorkerPlugin  # pyright: ignore[reportMissingImports]

    class Supervision(WorkerPlugin):  # pyright: ignore[reportUntypedBaseClass]
        def setup(self, worker: Any) -> None:
            end_with(parent)
            os.environ.update(environments[int(worker.name) % len(environments)])

    return Supervision()
