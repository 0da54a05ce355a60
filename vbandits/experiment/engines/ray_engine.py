"""ray: workers of a cluster at an address, or of one that is started here."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from vbandits.experiment.engines import Engine, unreachable


@contextlib.contextmanager
def opened(workers: int | None, address: str | None, device: str) -> Iterator[Engine]:
    """Runs jobs as tasks of ray, each on a processor of its own, and on a GPU of its own if that is the device.

    Raises:
        ConfigError: if what is at the address is no head of ray.
    """
    import ray  # pyright: ignore[reportMissingImports]: an extra
    from ray import exceptions  # pyright: ignore[reportMissingImports]

    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            own: dict[str, Any] = {"address": address} if address else {"address": "local", "num_cpus": workers}
            try:
                ray.init(**own, include_dashboard=None if address else False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise unreachable("ray head", str(address), error) from None
            stack.callback(ray.shutdown)
        call = ray.remote(num_cpus=1, num_gpus=int(device == "cuda"), max_retries=0)(_called)

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return call.remote(function, *arguments).future()

        lost = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError)
        yield Engine(submit, workers or max(1, int(ray.cluster_resources().get("CPU", 1))), lost)


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
