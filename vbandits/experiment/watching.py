"""`vbandits watch`: a run as its folder tells it, until it is over."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vbandits.experiment import live
from vbandits.experiment.benchmark import Benchmark, Keys, benchmark
from vbandits.experiment.locking import in_use
from vbandits.experiment.progress import print_line
from vbandits.experiment.store import Store
from vbandits.registry import DEFAULT_BENCHMARK

PARTS = 10
"""Of a job, whose ends have a line where there is no terminal."""


def follow(folder: Path, console: Console, every: float = 1.0) -> bool:
    """Shows a run until it is over, on a terminal as a table, elsewhere as lines; returns whether all went well.

    Args:
        folder: of its results.
        console: to print to.
        every: seconds between two looks.

    Raises:
        ConfigError: if the folder holds no experiment.
    """
    watched = Watched(folder)
    told: dict[tuple[str, str], tuple[int, ...]] = {}
    screen = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    with screen or nullcontext():
        while True:
            writes = in_use(folder)  # before the look: what a run leaves last is seen
            rows = watched.look()
            if screen is not None:
                table = live.table(rows, watched.kind, max(console.height - 4, 1))
                screen.update(Group(Text(watched.summary()), table), refresh=True)
            changed = screen is None and _lines(rows, watched.kind, told, console)
            if not writes or all(row.over for row in rows):
                break
            if changed:
                print_line(console, watched.summary())
            time.sleep(every)
    if screen is not None:
        console.print(live.table(rows, watched.kind, len(rows)))
    print_line(console, watched.summary())
    for marker in watched.failed:
        where = " · ".join(str(marker[axis]) for axis in watched.kind.axes)
        print_line(console, f"failed: {where}: {marker['reason']}", "red")
    if not all(row.over for row in rows):
        command = str(watched.experiment.get("command"))
        further = f"to go on:\n  {command}"
        if command.startswith("vbandits merge "):
            further = f"to make the runs that are missing, run the experiment's file with --out {folder}"
        print_line(console, f"No run on this machine writes to {folder}; {further}")
    return all(row.over and not row.failed for row in rows)


def _lines(
    rows: Sequence[live.Row], kind: Benchmark, told: dict[tuple[str, str], tuple[int, ...]], console: Console
) -> bool:
    """Prints a line of every row that has come a part further since it was told; returns whether there was one."""
    changed = False
    for row in rows:
        reached = (row.done, row.failed, row.step * PARTS // max(row.steps, 1))
        if (row.running or row.done or row.failed) and told.get(row.names) != reached:
            told[row.names], changed = reached, True
            print_line(console, live.line(row, kind))
    return changed


class Watched:
    """A results folder that is looked at again and again.

    Attributes:
        experiment: its `experiment.json`.
        kind: the benchmark.
        failed: markers of the jobs that have failed.
    """

    def __init__(self, folder: Path) -> None:
        self._jobs = Store(folder).jobs
        self.experiment: dict[str, Any] = Store(folder).experiment()
        self.kind = benchmark(self.experiment.get("kind", DEFAULT_BENCHMARK))
        problems, methods = ([entry["label"] for entry in self.experiment[own]] for own in self.kind.sections)
        seeds = self.experiment["seeds"]
        self._wanted = {(problem, method): seeds for problem in problems for method in methods}
        self._keys = Keys.read(self.experiment)
        self.failed: list[Mapping[str, Any]] = []
        self._rows: list[live.Row] = []
        self._left = ""

    def look(self) -> list[live.Row]:
        """Returns how far it is now."""
        axes = self.kind.axes
        found = [  # what this experiment no longer names stays in the folder
            state
            for state in live.states(self._jobs)
            if self._keys.of(state.get(axes[0]), state.get(axes[1]), state["seeds"]) == state["key"]
        ]
        self._rows = live.rows(self.kind, self._wanted, found)
        self.failed = [state for state in found if state["status"] == live.FAILED]
        self._left = str(self._estimate(found))
        return self._rows

    def summary(self) -> str:
        """Returns how far it was at the last look, in words."""
        seeds = sum(row.seeds for row in self._rows)
        done, failed = (sum(getattr(row, name) for row in self._rows) for name in ("done", "failed"))
        parts = [f"{self.experiment['name']}: {done} of {seeds} runs of a seed are done"]
        parts += [f"{failed} failed"] if failed else []
        return ", ".join([*parts, *([self._left] if self._left else [])])

    def _estimate(self, found: Sequence[live.State]) -> live.Estimate:
        """Returns the time left: of jobs that have not begun, the seeds that nobody has, in blocks."""
        places = [(state[self.kind.axes[0]], state[self.kind.axes[1]]) for state in found]
        jobs = {state["key"]: (place[1], state["steps"]) for state, place in zip(found, places, strict=True)}
        taken = Counter(dict.fromkeys(self._wanted, 0))
        for state, place in zip(found, places, strict=True):
            taken[place] += len(state["seeds"])
        usual = max((state["steps"] for state in found), default=0)
        for place, seeds in self._wanted.items():
            blocks = -(-max(len(seeds) - taken[place], 0) // self.experiment["block"])
            steps = self.experiment.get("steps", usual)
            jobs |= {f"{place}{block}": (place[1], steps) for block in range(blocks)}
        running = [state for state in found if state["status"] == live.RUNNING]
        estimate = live.Estimate(jobs, max(len(running), 1))
        for state in found:
            if state["status"] == live.FAILED:
                estimate.drop(state["key"])
            else:
                seconds = state["seconds"]
                total = sum(seconds.values()) if isinstance(seconds, Mapping) else seconds
                estimate.note(state["key"], state.get("step", state["steps"]), total)
        return estimate
