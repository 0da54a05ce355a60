"""How far a run is, and how long it will take, as a person sees it."""

import textwrap
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vbandits.errors import printable
from vbandits.experiment import live
from vbandits.experiment.benchmark import Job
from vbandits.experiment.live import Estimate
from vbandits.experiment.observer import INTERVAL
from vbandits.experiment.store import Store

PIPED, GAP = 120, 2
"""Width of a table where another program reads it, and letters between its columns."""


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
    """Prints a table to standard output: lines break between words alone, so that names can be copied. Where that is
    not possible, a row has lines of its own."""
    console = Console()
    room = console.width if console.is_terminal else PIPED
    texts = {name: [name, *(row[name] for row in rows)] for name in rows[0]}
    least = [max(len(word) for text in own for word in text.split() or [""]) for own in texts.values()]
    widths = [max(map(len, own)) for own in texts.values()]
    room = max(room - GAP * (len(widths) - 1), 1)
    if sum(least) > room:
        for row in rows:
            told = "  ".join(f"{name}: {text}" for name, text in row.items() if text)
            print(textwrap.fill(told, room, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
        return
    while sum(widths) > room:
        widest = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
        widths[widest] -= 1
    for place in range(len(rows) + 1):
        cells = [
            textwrap.wrap(own[place], width, break_long_words=False, break_on_hyphens=False)
            for own, width in zip(texts.values(), widths, strict=True)
        ]
        for line in zip_longest(*cells, fillvalue=""):
            print((" " * GAP).join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


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


class ProgressDisplay:
    """Shows progress on a terminal as a bar with the time left and what runs, elsewhere as a line per job."""

    def __init__(self, jobs: Sequence[Job], store: Store, workers: int, console: Console) -> None:
        self._estimate = Estimate({job.key: (job.method.label, job.steps) for job in jobs}, workers)
        self._kind, self._keys = jobs[0].benchmark, {job.key for job in jobs}
        self._wanted: dict[tuple[str, str], list[int]] = {}
        for job in jobs:
            self._wanted.setdefault((job.problem.label, job.method.label), []).extend(job.seeds)
        self._store, self._console = store, console
        self._finished, self._states, self._warned = 0, list[live.State](), set[str]()
        self._lock = threading.Lock()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("", total=self._estimate.total, left="")
        self._shown = Live(console=console, transient=True, auto_refresh=False, get_renderable=self._rendered)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProgressDisplay":
        if self._console.is_terminal:
            self._shown.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._console.is_terminal:
            self._shown.stop()

    def finish(self, marker: dict[str, Any]) -> None:
        """Takes the marker of a job that ended."""
        axes = self._kind.axes
        with self._lock:
            self._finished += 1
            if marker["status"] == "done":
                self._estimate.note(marker["key"], marker["steps"], sum(marker["seconds"].values()))
            self._estimate.drop(marker["key"])
            self._warn(marker.get("warnings", ()))
        if marker["status"] == "failed":
            print_failed(self._console, marker, axes)
        elif not self._console.is_terminal:
            seconds = sum(marker["seconds"].values())
            parts = [
                f"[{self._finished}/{len(self._keys)}] {place(marker, axes)}: {seconds:.1f} s",
                str(self._estimate),
            ]
            print_line(self._console, ", ".join(filter(None, parts)))
        if self._console.is_terminal:
            self._shown.refresh()

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            states = [state for state in live.states(self._store.jobs) if state["key"] in self._keys]
            with self._lock:
                self._states = states
                for state in states:
                    if state["status"] == live.RUNNING:
                        self._estimate.note(state["key"], state["step"], state["seconds"])
                        self._warn(state["warnings"])
            if self._console.is_terminal:
                self._shown.refresh()

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in set(warnings) - self._warned:
            self._warned.add(warning)
            print_line(self._console, warning, "yellow")

    def _rendered(self) -> Group:
        description = f"{self._finished} of {len(self._keys)} jobs"
        self._bar.update(self._task, completed=self._estimate.done, description=description, left=str(self._estimate))
        running = [row for row in live.rows(self._kind, self._wanted, self._states) if row.running]
        most = max(self._console.height - 4, 1)
        return Group(self._bar, *([live.table(running, self._kind, most)] if running else []))
