"""CPU seconds and memory of pieces of work, measured so that they can be compared."""

import gc
import time
from collections.abc import Callable, Mapping

from rich.console import Console

from vbandits.experiment import resources

REPEATS = 3
"""Each time is the best of three, taken in turns, so that other work on the machine does not fall on one of them."""


def best(console: Console, measures: Mapping[str, Callable[[], object]], times: int = 1) -> dict[str, float]:
    """Returns the least CPU time of each piece of work by name, on one thread, in seconds; it is run once before.

    Args:
        console: where progress is shown.
        measures: work by name.
        times: how often the work is done in one measurement.
    """
    seconds = dict.fromkeys(measures, float("inf"))
    with resources.one_thread(), console.status("measuring") as status:
        for turn in range(REPEATS + 1):
            for name, measure in measures.items():
                status.update(f"measuring {name} ({turn} of {REPEATS})")
                gc.collect()
                start = time.process_time()
                for _ in range(times):
                    measure()
                if turn:
                    seconds[name] = min(seconds[name], (time.process_time() - start) / times)
    return seconds


def memory_of(work: Callable[[], object]) -> float:
    """Returns the most memory that work takes beside what the process holds before it, in MB."""
    resources.reset("cpu")
    before = resources.resident()
    work()
    return resources.peak("cpu") - before
