"""Where jobs run: processes of this machine, dask or ray, behind one small contract."""

import importlib
import importlib.util
import os
import re
import socket
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from vbandits.errors import ConfigError

NAMES = ("local", "dask", "ray")
VARIABLES = {"dask": "DASK_SCHEDULER_ADDRESS", "ray": "RAY_ADDRESS"}
"""Environment variables that name the address where nothing else does."""
SECONDS = 3.0
"""To wait for an answer at an address."""


@dataclass(frozen=True)
class Engine:
    """What the loop over jobs knows of an engine.

    Attributes:
        submit: takes a function and its arguments, starts the call, and returns its future.
        workers: calls that are to be in flight at most.
        lost: what a future raises if the process that ran its call died: the call may be tried again.
        apart: whether calls run in other processes, so that jobs are sent there.
    """

    submit: Callable[..., Future[Any]]
    workers: int
    lost: tuple[type[BaseException], ...] = ()
    apart: bool = True


def checked(name: str, address: str | None) -> str | None:
    """Returns the address of an engine, or None where it is to be started here.

    Raises:
        ConfigError: for an engine that is unknown or not installed, or an address where nothing answers in time.
    """
    if name not in NAMES:
        renamed = ", which is called local now" if name == "loky" else ""
        raise ConfigError(f"engine: expected local, dask or ray, got {name!r}{renamed}")
    if name == "local":
        if address is not None:
            raise ConfigError(f"address: expected one for the engines dask or ray alone, got {address!r} for local")
        return None
    if importlib.util.find_spec({"dask": "distributed"}.get(name, name)) is None:
        raise ConfigError(f"engine: expected {name} to be installed, got none: pip install 'vbandits[{name}]'")
    address = address or os.environ.get(VARIABLES[name])
    if address is not None and not (name == "ray" and address in ("auto", "local")):
        _require_answer(name, address)
    return address


def _require_answer(name: str, address: str) -> None:
    """Raises a ConfigError unless something listens at an address: the libraries themselves wait for half a minute."""
    found = re.fullmatch(r"(?P<kind>[a-z]+://)?(?:\[(?P<six>[^][]+)\]|(?P<host>[^][:/]+)):(?P<port>\d{1,5})/?", address)
    what = {"dask": "dask scheduler", "ray": "ray head"}[name]
    if found is None or int(found["port"]) > 65535:
        raise ConfigError(f"address: expected HOST:PORT of a {what}, got {address!r}")
    try:
        with socket.create_connection((found["six"] or found["host"], int(found["port"])), timeout=SECONDS) as reached:
            # a scheduler of dask speaks first, but not where it speaks TLS
            if name == "dask" and found["kind"] in (None, "tcp://") and not reached.recv(1):
                raise ConnectionError("it says nothing")
    except (OSError, UnicodeError) as error:
        raise unreachable(what, address, error) from None


def unreachable(what: str, address: str, error: Exception) -> ConfigError:
    """Returns what is said where nothing answers as it should."""
    reason = str(error) or type(error).__name__
    return ConfigError(
        f"address: expected a {what} that answers at {address}, got: {reason}: start it, or give another"
    )


def opened(
    name: str, workers: int | None, address: str | None, device: str, apart: bool = False
) -> AbstractContextManager[Engine]:
    """Returns a context in which an engine runs; on leaving it, also by an interruption, what still runs is ended.

    Args:
        name: one of `NAMES`.
        workers: jobs at a time; None for as many as a cluster at an address has processors.
        address: as `checked` returns it.
        device: on which the jobs compute.
        apart: whether jobs run in other processes also where one is enough.
    """
    if name == "local":
        return importlib.import_module(f"{__name__}.local").opened(workers, apart, device)
    return importlib.import_module(f"{__name__}.{name}_engine").opened(workers, address, device)
