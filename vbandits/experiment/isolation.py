"""What a user's code may change of a process for good, kept as it was: other jobs of the process must not notice."""

import contextlib
import locale
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

Restore = Callable[[], Any]


@contextlib.contextmanager
def isolated(*, imports: bool = False) -> Iterator[None]:
    """Puts back, at the end, what code inside may have changed of the process.

    Of torch: default type and device, whether gradients are recorded, deterministic algorithms, precision of products,
    autocast, threads. Of Python and NumPy: the global random numbers (torch's too), warnings filters, error states and
    print options, the current folder, environment variables, `sys.path`, the recursion limit, handlers of signals,
    sockets' timeout, locale, and the mask of new files.

    Args:
        imports: whether modules are imported for the first time inside: environment variables and `sys.path`, which
            they may set for good and rely on, stay as they leave them.
    """
    with contextlib.ExitStack() as stack:
        kept = [*_of_torch(), *_of_numpy(), *_of_python(), *_of_the_system()]
        for restore in kept if imports else [*kept, *_of_modules()]:
            stack.callback(_tried, restore)
        stack.enter_context(warnings.catch_warnings())
        yield


def _tried(restore: Restore) -> None:
    """Restores one thing; that it cannot be, as a folder that is gone, must not keep others from being."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        restore()


def _of_torch() -> list[Restore]:
    kind, device, gradients = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    precision, numbers = torch.get_float32_matmul_precision(), torch.get_rng_state()
    autocast = {name: torch.is_autocast_enabled(name) for name in ("cpu", "cuda")}
    backends: list[tuple[Any, str, Any]] = [
        (part, name, getattr(part, name))
        for part, names in (
            (torch.backends.cudnn, ("enabled", "benchmark", "deterministic", "allow_tf32")),
            (torch.backends.cuda.matmul, ("allow_tf32",)),
        )
        for name in names
    ]
    return [
        lambda: torch.set_rng_state(numbers),
        lambda: torch.set_num_threads(threads),
        lambda: torch.set_grad_enabled(gradients),
        lambda: _set_deterministic(deterministic, warn),
        lambda: torch.set_float32_matmul_precision(precision),
        *[lambda name=name, on=on: torch.set_autocast_enabled(name, on) for name, on in autocast.items()],
        *[lambda own=own: setattr(*own) for own in backends],
        lambda: torch.set_default_dtype(kind),
        lambda: torch.set_default_device(None if device.type == "cpu" else device),
    ]


def _set_deterministic(wanted: bool, warn: bool) -> None:
    """Sets them if they are not so: it takes seconds to import what torch sets here."""
    found = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if found != (wanted, warn):
        torch.use_deterministic_algorithms(wanted, warn_only=warn)


def _of_numpy() -> list[Restore]:
    numbers, errors, shown = np.random.get_state(), np.geterr(), np.get_printoptions()  # noqa: NPY002
    return [
        lambda: np.random.set_state(numbers),  # noqa: NPY002
        lambda: np.seterr(**errors),
        lambda: np.set_printoptions(**shown),  # pyright: ignore[reportArgumentType]: what it returned
    ]


def _of_python() -> list[Restore]:
    numbers, limit = random.getstate(), sys.getrecursionlimit()
    streams = (sys.stdin, sys.stdout, sys.stderr)
    hook = sys.excepthook

    def put_back() -> None:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.excepthook = hook

    return [
        lambda: random.setstate(numbers),
        lambda: sys.setrecursionlimit(limit),
        put_back,
    ]


def _of_modules() -> list[Restore]:
    variables, paths = dict(os.environ), list(sys.path)

    def put_back() -> None:
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)

    return [put_back, lambda: sys.path.__setitem__(slice(None), paths)]


def _of_the_system() -> list[Restore]:
    folder, timeout = _folder(), socket.getdefaulttimeout()
    words, mask = locale.setlocale(locale.LC_ALL), os.umask(0)
    os.umask(mask)
    restored: list[Restore] = [
        lambda: os.umask(mask),
        lambda: socket.setdefaulttimeout(timeout),
        lambda: locale.setlocale(locale.LC_ALL, words),
    ]
    if folder is not None:
        restored.append(lambda: os.chdir(folder))
    if threading.current_thread() is threading.main_thread():  # signals belong to it alone
        for number in signal.valid_signals():
            with contextlib.suppress(OSError, ValueError):
                if (handler := signal.getsignal(number)) is not None:
                    restored.append(lambda number=number, handler=handler: _handle(number, handler))
        if hasattr(signal, "setitimer"):
            alarm = signal.getitimer(signal.ITIMER_REAL)
            restored.append(lambda: None if any(alarm) else signal.setitimer(signal.ITIMER_REAL, 0))
    return restored


def _handle(number: int, handler: Any) -> None:
    if signal.getsignal(number) is not handler:
        signal.signal(number, handler)


def _folder() -> str | None:
    """Returns the current folder, or None if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None
