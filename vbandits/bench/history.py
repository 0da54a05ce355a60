"""Whether a decision costs more the longer the history is: every preset in one long run."""

import contextlib
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from vbandits.bench.decisions import on_wheel
from vbandits.bench.measure import Row
from vbandits.benchmarks.bandits.run import run_job
from vbandits.experiment import resources
from vbandits.experiment.benchmark import Progress, Values
from vbandits.presets import HERE, read

STEPS, EARLY = 80_000, 2_000
POINTS = 80
"""Steps of a run whose times are kept."""
SHARE = 0.05
"""What is looked at is the last part of the steps, by which rows grow from one scaling to the next."""


MOST = 300.0
"""CPU seconds of a run: one that takes longer ends there, and what it cost last is that of a decision then."""


class _Enough(Exception):
    """Ends a run."""


class _Times(Progress):
    """Keeps the CPU time at which some steps were taken."""

    def __init__(self, steps: Sequence[int]) -> None:
        self.seconds: dict[int, float] = {}
        self._wanted, self._start = frozenset(steps), time.process_time()

    def __call__(self, step: int, values: Values = dict, seeds: Sequence[int] | None = None) -> None:
        if step in self._wanted:
            self.seconds[step] = time.process_time() - self._start
            if self.seconds[step] > MOST:
                raise _Enough

    def each(self, start: int, end: int) -> float:
        """Returns the milliseconds of a decision between two of the steps."""
        return 1e3 * (self.seconds[end] - self.seconds[start]) / (end - start)


def history(console: Console, steps: int = STEPS, early: int = EARLY) -> list[Row]:
    """Measures and prints the time of a decision late in a run over that early, for each preset, and returns a row for
    each of some steps.

    The task is the bench's, with the presets' own schedules and one seed, whose arithmetic is little: what depends on
    the history is not hidden by it.
    """
    before = round((1 - SHARE) * early)
    kept = {before, early, *range(steps // POINTS, steps + 1, steps // POINTS)} - {steps}  # whatever ends a run
    rows: list[Row] = []
    table = Table("agent", f"at {early:,}", "late", "at", "ratio", title="CPU time of a decision, in ms, one seed")
    with resources.one_thread(), console.status("playing") as status:
        for name in read("agents", HERE / "agents.toml"):
            status.update(f"playing {name} for {steps:,} steps")
            times = _Times([*kept, steps - 1])
            with contextlib.suppress(_Enough):
                run_job(on_wheel(name, {}, seeds=1, steps=steps, device="cpu"), times)
            last = max(times.seconds)
            first, late = times.each(before, early), times.each(max(kept & {*range(round((1 - SHARE) * last))}), last)
            table.add_row(name, f"{first:.2f}", f"{late:.2f}", f"{last:,}", f"{late / first:.2f}")
            rows += [
                {"agent": name, "step": step, "seconds": seconds, "late over early": late / first}
                for step, seconds in sorted(times.seconds.items())
            ]
    console.print(table)
    return rows
