"""Has worker processes end with the process that started them, whatever they are doing; imports nothing heavy."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

SECONDS = 0.5
"""Between two looks at the parent, where the system does not tell of its death."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when the thread that started it has ended."""


def end_with(parent: int) -> None:
    """Has this process end at once when its parent does, and leave Ctrl-C to it.

    On Linux the kernel sees to it, also while compiled code runs and does not return; elsewhere a thread does.

    Args:
        parent: process id of the one that started it.
    """
    with contextlib.suppress(ValueError):  # signals belong to the main thread alone
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not (sys.platform == "linux" and _told_by_the_kernel()):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def _told_by_the_kernel() -> bool:
    try:
        return ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    except (OSError, AttributeError):  # a C library without it
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(1)
