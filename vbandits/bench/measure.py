"""Seconds and memory of pieces of work, measured so that they can be compared."""

import gc
from collections.abc import Callable, Mapping
from typing import Any

import torch
from rich.console import Console

from vbandits.experiment import resources

Row = dict[str, Any]
"""A row of a table of what was measured."""
REPEATS = 2
"""Each time is the best of two, taken in turns, so that other work on the machine does not fall on one of them."""


def best(
    console: Console,
    measures: Mapping[str, Callable[[], object]],
    times: int = 1,
    device: str = "cpu",
    warm: bool = True,
) -> dict[str, float]:
    """Returns the least time of each piece of work by name, in seconds.

    It is the CPU time of one thread; on a GPU, which works beside the CPU, the wall time until it is done.

    Args:
        console: where progress is shown.
        measures: work by name.
        times: how often the work is done in one measurement.
        device: "cpu" or "cuda".
        warm: whether it is done once before each measurement, uncounted, because it is short.
    """
    seconds = dict.fromkeys(measures, float("inf"))
    resources.reset(device)  # memory is kept as in a job
    with resources.one_thread(), console.status("measuring") as status:
        for turn in range(1, REPEATS + 1):
            for name, measure in measures.items():
                status.update(f"measuring {name} ({turn} of {REPEATS})")
                gc.collect(1)  # all objects take longer than a step
                if warm:
                    measure()
                start = resources.now(device)
                for _ in range(times):
                    measure()
                seconds[name] = min(seconds[name], (resources.now(device) - start) / times)
    return seconds


def memory_of(work: Callable[[], object], device: str = "cpu") -> float:
    """Returns the most memory that work takes beside what there is before it, in MB."""
    resources.reset(device)
    before = resources.resident() if device == "cpu" else torch.cuda.memory_allocated() / 2**20
    work()
    return resources.peak(device) - before
