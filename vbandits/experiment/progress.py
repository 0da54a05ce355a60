"""How far a run is, and how long it will take, as a person sees it."""

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vbandits.experiment.benchmark import Cell, place
from vbandits.experiment.engine import PULSE
from vbandits.experiment.store import Store


def say(console: Console, text: str, style: str = "") -> None:
    """Prints a line as it is, whole: names may look like markup, and a command that is wrapped cannot be pasted."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def say_failed(console: Console, marker: Mapping[str, Any]) -> None:
    """Prints which cell failed, and why."""
    say(console, f"failed: {place(marker)}: {marker['reason']}", "red")


class Estimate:
    """Time left, from the measured speed of each contender: they differ a hundredfold, so a common mean would lie."""

    def __init__(self, cells: Mapping[str, Cell], workers: int) -> None:
        self._workers = workers
        self._steps = {name: cell.steps for name, cell in cells.items()}
        self._paced = {name: [*cell.names.values()][-1] for name, cell in cells.items()}
        self._left = dict(self._steps)
        self._pace: dict[str, float] = {}

    def note(self, name: str, step: int, seconds: float) -> None:
        """Takes the step that a cell has reached after a number of seconds."""
        if name in self._left and step > 0:
            self._left[name] = self._steps[name] - step
            self._pace[self._paced[name]] = seconds / step

    def drop(self, name: str) -> None:
        """Takes a cell off, finished or failed."""
        self._left[name] = 0

    @property
    def done(self) -> float:
        """Steps done, over all cells."""
        return sum(self._steps.values()) - sum(self._left.values())

    @property
    def seconds(self) -> float | None:
        """Seconds left, None before anything was measured. Those not seen yet count as the mean of those that were."""
        if not self._pace:
            return None
        unknown = sum(self._pace.values()) / len(self._pace)
        each = [left * self._pace.get(self._paced[name], unknown) for name, left in self._left.items()]
        return max(sum(each) / self._workers, max(each, default=0.0))


class Live:
    """Shows progress on a terminal as a bar with the time left, elsewhere as a line per cell."""

    def __init__(self, cells: Mapping[str, Cell], store: Store, workers: int, console: Console) -> None:
        self._estimate = Estimate(cells, workers)
        self._names = list(cells)
        self._store, self._console = store, console
        self._finished = 0
        self._lock = threading.Lock()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=sum(cell.steps for cell in cells.values()), left="")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Live":
        if self._console.is_terminal:
            self._bar.start()
            self._show()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._console.is_terminal:
            self._thread.join()
            self._bar.stop()

    def finish(self, marker: dict[str, Any]) -> None:
        """Takes the marker of a cell that ended."""
        with self._lock:
            self._finished += 1
            if marker["status"] == "done":
                self._estimate.note(marker["key"], marker["steps"], sum(marker["seconds"].values()))
            self._estimate.drop(marker["key"])
        if marker["status"] == "failed":
            say_failed(self._console, marker)
        elif not self._console.is_terminal:
            seconds = sum(marker["seconds"].values())
            parts = [f"[{self._finished}/{len(self._names)}] {place(marker)}: {seconds:.1f} s", self._left()]
            say(self._console, ", ".join(filter(None, parts)))
        if self._console.is_terminal:
            self._show()

    def _watch(self) -> None:
        while not self._stop.wait(PULSE):
            for name in self._names:
                with contextlib.suppress(OSError, ValueError):  # the cell has not begun, or has just ended
                    step, seconds = (self._store.cells / f"{name}.progress").read_text(encoding="utf-8").split()
                    with self._lock:
                        self._estimate.note(name, int(step), float(seconds))
            self._show()

    def _show(self) -> None:
        description = f"{self._finished} of {len(self._names)} cells"
        self._bar.update(self._task, completed=self._estimate.done, description=description, left=self._left())

    def _left(self) -> str:
        seconds = self._estimate.seconds
        if seconds is None or self._finished == len(self._names):
            return ""
        return f"about {int(seconds // 60)}:{int(seconds % 60):02d} left"
