"""Wall time by purpose."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds of wall time by purpose."""

    def __init__(self, *purposes: str) -> None:
        self.seconds = dict.fromkeys(purposes, 0.0)

    @contextmanager
    def of(self, purpose: str) -> Iterator[None]:
        """Adds the time spent inside to a purpose."""
        start = time.perf_counter()
        yield
        self.seconds[purpose] += time.perf_counter() - start
