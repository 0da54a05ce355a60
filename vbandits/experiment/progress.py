"""How far a run is, and how long it will take, as a person sees it."""

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vbandits.errors import printable
from vbandits.experiment.benchmark import Job
from vbandits.experiment.engine import INTERVAL
from vbandits.experiment.store import Store


def print_line(console: Console, text: str, style: str = "") -> None:
    """Prints a line as it is, whole: names may look like markup, and a command that is wrapped cannot be pasted."""
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def print_failed(console: Console, marker: Mapping[str, Any], axes: Sequence[str]) -> None:
    """Prints which job failed, and why."""
    print_line(console, f"failed: {place(marker, axes)}: {marker['reason']}", "red")


def output() -> Console:
    """Returns what prints to standard output: lines are as long as they are where another program reads them."""
    console = Console()
    return console if console.is_terminal else Console(width=10_000)


def print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Prints a table to standard output."""
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(rows[0]):
        table.add_column(name, overflow="fold", no_wrap=place == 0)  # what it is called can be copied
    for row in rows:
        table.add_row(*row.values())
    output().print(table)


def print_outcomes(console: Console, outcomes: Iterable[Any]) -> bool:
    """Prints what became of each dataset, as soon as it is known, and returns whether all are good."""
    good = True
    for outcome in outcomes:
        good = good and outcome.good
        text = f"{'ok' if outcome.good else 'failed'}: {outcome.name}: {outcome.says}"
        print_line(console, text, "" if outcome.good else "red")
    return good


def place(marker: Mapping[str, Any], axes: Sequence[str]) -> str:
    """Returns where a job belongs, in words: "wheel · ibvi"."""
    return " · ".join(str(marker[axis]) for axis in axes)


class Estimate:
    """Time left, from the measured speed of each method: they differ a hundredfold, so a common mean would lie."""

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._workers = workers
        self._steps = {job.key: job.steps for job in jobs}
        self._paced = {job.key: job.method.label for job in jobs}
        self._left = dict(self._steps)
        self._pace: dict[str, float] = {}

    def note(self, name: str, step: int, seconds: float) -> None:
        """Takes the step that a job has reached after a number of seconds."""
        if name in self._left and step > 0:
            self._left[name] = self._steps[name] - step
            self._pace[self._paced[name]] = seconds / step

    def drop(self, name: str) -> None:
        """Takes a job off, finished or failed."""
        self._left[name] = 0

    @property
    def done(self) -> float:
        """Steps done, over all jobs."""
        return sum(self._steps.values()) - sum(self._left.values())

    @property
    def seconds(self) -> float | None:
        """Seconds left, None before anything was measured. Those not seen yet count as the mean of those that were."""
        if not self._pace:
            return None
        unknown = sum(self._pace.values()) / len(self._pace)
        each = [left * self._pace.get(self._paced[name], unknown) for name, left in self._left.items()]
        return max(sum(each) / self._workers, max(each, default=0.0))


class ProgressDisplay:
    """Shows progress on a terminal as a bar with the time left, elsewhere as a line per job."""

    def __init__(self, jobs: Sequence[Job], store: Store, workers: int, console: Console) -> None:
        self._estimate = Estimate(jobs, workers)
        self._keys, self._axes = [job.key for job in jobs], jobs[0].benchmark.axes
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
        self._task = self._bar.add_task("", total=sum(job.steps for job in jobs), left="")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProgressDisplay":
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
        """Takes the marker of a job that ended."""
        with self._lock:
            self._finished += 1
            if marker["status"] == "done":
                self._estimate.note(marker["key"], marker["steps"], sum(marker["seconds"].values()))
            self._estimate.drop(marker["key"])
        if marker["status"] == "failed":
            print_failed(self._console, marker, self._axes)
        elif not self._console.is_terminal:
            seconds = sum(marker["seconds"].values())
            parts = [f"[{self._finished}/{len(self._keys)}] {place(marker, self._axes)}: {seconds:.1f} s", self._left()]
            print_line(self._console, ", ".join(filter(None, parts)))
        if self._console.is_terminal:
            self._show()

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            for key in self._keys:
                with contextlib.suppress(OSError, ValueError):  # the job has not begun, or has just ended
                    step, seconds = (self._store.jobs / f"{key}.progress").read_text(encoding="utf-8").split()
                    with self._lock:
                        self._estimate.note(key, int(step), float(seconds))
            self._show()

    def _show(self) -> None:
        description = f"{self._finished} of {len(self._keys)} jobs"
        self._bar.update(self._task, completed=self._estimate.done, description=description, left=self._left())

    def _left(self) -> str:
        seconds = self._estimate.seconds
        if seconds is None or self._finished == len(self._keys):
            return ""
        return f"about {int(seconds // 60)}:{int(seconds % 60):02d} left"
