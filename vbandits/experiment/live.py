"""How far a run is, as its files tell: what is shown of it while it runs, in its own process or in another."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from vbandits.experiment.benchmark import Benchmark
from vbandits.report.formats import decimals, number

State = Mapping[str, Any]
"""What a file says of a job: its marker, or that of the progress of one that runs; see `observer.Observer`."""
RUNNING, DONE, FAILED = "running", "done", "failed"


class Estimate:
    """Time left, from the measured speed of each method: they differ a hundredfold, so a common mean would lie."""

    def __init__(self, jobs: Mapping[str, tuple[str, int]], workers: int) -> None:
        """Takes the label of the method and the steps of every job by its key."""
        self._workers = workers
        self._paced = {key: label for key, (label, _) in jobs.items()}
        self._steps = {key: steps for key, (_, steps) in jobs.items()}
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
    def total(self) -> int:
        """Steps of all jobs."""
        return sum(self._steps.values())

    @property
    def seconds(self) -> float | None:
        """Seconds left, None before anything was measured. Those not seen yet count as the mean of those that were."""
        if not self._pace:
            return None
        unknown = sum(self._pace.values()) / len(self._pace)
        each = [left * self._pace.get(self._paced[name], unknown) for name, left in self._left.items()]
        return max(sum(each) / self._workers, max(each, default=0.0))

    def __str__(self) -> str:
        seconds = self.seconds
        if seconds is None or not any(self._left.values()):
            return ""
        return f"about {int(seconds // 60)}:{int(seconds % 60):02d} left"


@dataclass(frozen=True)
class Row:
    """A problem and a method, while they run.

    Attributes:
        names: labels of both.
        seeds: that are wanted.
        done: seeds that have finished.
        failed: seeds whose job has failed.
        step: that the job which is furthest behind has reached, of those that run; 0 if none runs.
        steps: that it takes.
        rate: steps per second of the jobs that run, each with all its seeds; None if none does.
        values: means over the seeds that have told them, by name.
        beside: the first of them per step, in percent of the baseline's on the same seeds; None if not known.
    """

    names: tuple[str, str]
    seeds: int
    done: int
    failed: int
    step: int
    steps: int
    rate: float | None
    values: dict[str, float]
    beside: float | None

    @property
    def running(self) -> bool:
        """Whether a job of it runs."""
        return self.rate is not None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to run."""
        return self.done + self.failed >= self.seeds and not self.running

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        failed = f", {self.failed} failed" if self.failed else ""
        if self.running:
            return f"step {self.step} of {self.steps}{failed}"
        if self.over:
            return "failed" if self.failed == self.seeds else f"done{failed}"
        return f"waits{failed}" if self.done + self.failed == 0 else f"{self.done} of {self.seeds} seeds{failed}"


def states(folder: Path) -> list[State]:
    """Returns what the files of a folder of jobs say, of every job the marker if there is one."""
    found = {state["key"]: state for state in _read(folder.glob("*.progress"))}
    found |= {state["key"]: state for state in _read(folder.glob("*.json")) if state.get("status") in (DONE, FAILED)}
    return list(found.values())


def _read(paths: Iterable[Path]) -> Iterable[dict[str, Any]]:
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a job has just ended, or is just writing it
            continue
        if isinstance(content, dict) and content.get("key") == path.stem:
            yield content


def rows(kind: Benchmark, wanted: Mapping[tuple[str, str], Sequence[int]], found: Iterable[State]) -> list[Row]:
    """Returns a row for every problem and method.

    Args:
        kind: whose experiment it is.
        wanted: the seeds of every problem and method.
        found: what is known of jobs.
    """
    by_place: dict[tuple[str, str], list[State]] = {place: [] for place in wanted}
    found = [state if state["status"] != FAILED else {**state, "last": {}} for state in found]
    for state in found:
        place = (state.get(kind.axes[0], ""), state.get(kind.axes[1], ""))
        if place in by_place:
            by_place[place].append(state)
    return [
        _row(kind, place, set(wanted[place]), own, by_place.get((place[0], kind.baseline), []))
        for place, own in by_place.items()
    ]


def _row(
    kind: Benchmark, names: tuple[str, str], wanted: set[int], own: Sequence[State], baseline: Sequence[State]
) -> Row:
    counts = {
        status: len(wanted & {seed for state in own if state["status"] == status for seed in state["seeds"]})
        for status in (DONE, FAILED)
    }
    going = [state for state in own if state["status"] == RUNNING]
    behind = min(going, key=lambda state: state["step"] / max(state["steps"], 1), default=None)
    values = {}
    for name in kind.live:
        told = [(state["last"][name], len(state["seeds"])) for state in own if name in state.get("last", {})]
        if told:
            values[name] = sum(value * count for value, count in told) / sum(count for _, count in told)
    return Row(
        names=names,
        seeds=len(wanted),
        done=counts[DONE],
        failed=counts[FAILED],
        step=behind["step"] if behind else 0,
        steps=behind["steps"] if behind else 0,
        rate=sum(state["step"] / max(state["seconds"], 1e-9) for state in going) if going else None,
        values=values,
        beside=_beside(kind.live[0], own, baseline) if kind.baseline and kind.live else None,
    )


def _beside(name: str, own: Sequence[State], baseline: Sequence[State]) -> float | None:
    """Returns a sum over steps, per step, in percent of the baseline's, of the blocks of seeds that both have."""
    parts = {tuple(state["seeds"]): state for state in baseline if name in state.get("last", {})}
    ours = theirs = 0.0
    for state in own:
        other = parts.get(tuple(state["seeds"]))
        if other is not None and name in state.get("last", {}):
            seeds = len(state["seeds"])
            ours += seeds * state["last"][name] / max(_reached(state), 1)
            theirs += seeds * other["last"][name] / max(_reached(other), 1)
    return 100 * ours / theirs if theirs > 0 else None


def _reached(state: State) -> int:
    return state["steps"] if state["status"] == DONE else state["step"]


def cells(row: Row, kind: Benchmark) -> dict[str, str]:
    """Returns what is shown of a row, by column."""
    shown = dict(zip(kind.axes, row.names, strict=True))
    shown |= {"seeds": f"{row.done}/{row.seeds}", "progress": row.progress}
    shown["steps/s"] = "" if row.rate is None else number(row.rate, 0)
    for name in kind.live:
        value = row.values.get(name)
        shown[name.replace("_", " ")] = "" if value is None else number(value, decimals([value]))
    if kind.baseline:
        shown[f"% of {kind.baseline}'s"] = "" if row.beside is None else f"{row.beside:.1f}"
    return shown


def table(shown: Sequence[Row], kind: Benchmark, most: int) -> Table:
    """Returns a table of rows for a terminal, at most so many: those that run first, then those that have failed."""
    chosen = sorted(shown, key=lambda row: (not row.running, not row.failed, row.over))[:most]
    found = Table(box=None, pad_edge=False)
    columns = list(cells(shown[0], kind)) if shown else []
    # what no row knows, such as the regret of an environment that does not tell it, has no column
    every = [cells(row, kind) for row in chosen]
    columns = [name for name in columns if any(own[name] for own in every)]
    for place, name in enumerate(columns):
        found.add_column(name, justify="left" if place < 2 or name == "progress" else "right", overflow="fold")
    for row, own in zip(chosen, every, strict=True):
        found.add_row(*(escape(own[name]) for name in columns), style="red" if row.failed else "")
    if len(shown) > len(chosen):
        found.caption = f"and {len(shown) - len(chosen)} more"
    return found


def line(row: Row, kind: Benchmark) -> str:
    """Returns a row as a line, for where there is no terminal."""
    own = cells(row, kind)
    head = [" · ".join(row.names) + f": {own.pop('progress')}"]
    head += [f"{own['seeds']} seeds"] if row.running else []
    head += [f"{own['steps/s']} steps/s"] if row.running else []
    names = [*(name.replace("_", " ") for name in kind.live), *([f"% of {kind.baseline}'s"] if kind.baseline else [])]
    told = [f"{name} {own[name]}" if not name.startswith("%") else f"{own[name]}{name}" for name in names if own[name]]
    return ", ".join([*head, *told])
