"""What a job may use of the machine, and the most memory that it used, apart from the jobs before it."""

import contextlib
import ctypes
import gc
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

KEPT = {-3: 2**25, -1: 2**27}
"""Of mallopt(3): M_MMAP_THRESHOLD at the most that glibc takes, and M_TRIM_THRESHOLD, the bytes at the heap's end that
stay with the process although they are free; set for good in every process that runs jobs."""
PAUSE = 5.0
"""Seconds between two looks through all objects."""
_collected: float | None = None


def installed_memory() -> int:
    """Returns the bytes of this machine's memory, or what no machine has where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**63


def reset(device: str) -> None:
    """Forgets the peak so far, after what nobody holds any more was given back; on Linux and on GPUs.

    All objects are looked through at most every few seconds, as that takes longer than a small job, which leaves
    little; on a GPU always, as models there hold on to what their steps are replayed from. What a job frees from then
    on it keeps for itself: to ask the system for the same pages again at every step takes a tenth of its time.
    """
    global _collected
    whole = device != "cpu" or _collected is None or time.monotonic() - _collected >= PAUSE
    gc.collect(2 if whole else 1)
    if whole:
        _collected = time.monotonic()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    give_back()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other systems, and C libraries without it
        for parameter, value in KEPT.items():
            ctypes.CDLL(None).mallopt(parameter, value)
        CLEAR.write_text("5", encoding="utf-8")  # 5: reset the peak of the resident set (man proc)


def give_back() -> None:
    """Gives the system what a job has freed; a process that grew by much is ended by joblib, and begun anew."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def now(device: str) -> float:
    """Returns the seconds by which work on a device is measured, when all of it is done: CPU time, which other work on
    the machine does not change; on a GPU, which works beside the CPU, the time of day."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def resident() -> float:
    """Returns the memory of the process now, in MB; 0 where it cannot be told."""
    return _status("VmRSS") or 0.0


def peak(device: str) -> float:
    """Returns the most memory in use since the last reset, in MB: of the process, libraries included, or of the GPU.

    Where a process cannot reset its peak, it is that of its whole life.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    most = _status("VmHWM")
    if most is not None:
        return most
    if sys.platform == "win32":
        return 0.0
    import resource  # of Unix alone

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def exhausted(error: BaseException | None) -> bool:
    """Says whether an error is that the memory of a GPU does not suffice, or comes of that."""
    seen = set[int]()  # an error may be its own cause
    while error is not None and id(error) not in seen:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Has torch compute on one thread inside, as a worker does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _status(name: str) -> float | None:
    """Returns an entry of the process' status in MB, or None where there is none."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s*(\d+) kB", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
        return int(found[1]) / 2**10 if found else None
    return None
