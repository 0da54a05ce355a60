"""Passes on what a job tells while it runs: to the file that its progress is read from, and to callbacks."""

import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from vbandits.experiment.benchmark import Job, Progress, Values
from vbandits.experiment.callbacks import JobEnd, JobInfo, Step, Update, means, named, started
from vbandits.source_hash import place

INTERVAL = 0.5
"""Seconds between two notes of a job's progress."""


class Observer(Progress):
    """Listens to one job. Callbacks get copies, and only for them anything is copied in every step.

    Attributes:
        warnings: what went wrong in callbacks, in words.
    """

    def __init__(self, job: Job, path: Path, callbacks: Sequence[Any] = ()) -> None:
        """Takes the job, the file of its progress, and callbacks."""
        self.warnings: list[str] = []
        self._job, self._path = job, path
        self._part, self._before, self._furthest = job, 0, 0
        self._begun = self._noted = time.monotonic()
        self._step, self._values = 0, dict
        self._callbacks: list[tuple[str, dict[str, Callable[[Any], None]]]] = []
        for callback in callbacks:
            with self._forgiven(named(callback)):
                self._callbacks.append((named(callback), started(callback)))

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def begin(self, part: Job, before: int) -> None:
        """Takes the part of the job that is told of from now on, and how many of the job's seeds have ended before."""
        self._part, self._before = part, before
        self._step, self._values = self._counted(0), dict
        self._furthest = self._step

    @property
    def in_parts(self) -> bool:
        """Whether it was told of a part of the job."""
        return self._part is not self._job

    def _counted(self, step: int) -> int:
        """Returns how many steps of the whole job those are that the part has taken."""
        job, part = self._job, self._part
        taken = self._before * part.steps + len(part.seeds) * step
        return taken * job.steps // max(len(job.seeds) * part.steps, 1)

    def _further(self, step: int) -> bool:
        """Says whether callbacks have not been told of as many steps yet: steps rise from one part to the next."""
        further, self._furthest = step > self._furthest, max(step, self._furthest)
        return further

    def __call__(self, step: int, values: Values = dict, seeds: Sequence[int] | None = None) -> None:
        """Tells callbacks of a step, and notes it, if the last note is old enough."""
        self._step, self._values = self._counted(step), values
        if self._heard("on_step") and self._further(self._step):
            own = tuple(self._part.seeds if seeds is None else seeds)
            happened = copied(values(), len(own))
            self._tell("on_step", Step(self._info, self._step, own, MappingProxyType(happened)))
        self.beat()

    def beat(self, values: Values | None = None) -> None:
        """Notes that the job is alive, if the last note is old enough."""
        self._values = values or self._values
        now = time.monotonic()
        if now - self._noted < INTERVAL:
            return
        self._noted = now
        with contextlib.suppress(OSError):  # a full disk must not stop a run for the sake of its progress bar
            self._path.write_text(json.dumps(self._state(now)), encoding="utf-8")

    @contextlib.contextmanager
    def update(self, step: int, diverged: Callable[[], Any]) -> Iterator[None]:
        """Tells callbacks how long what is done inside has taken."""
        begun = time.perf_counter()
        yield
        if self._heard("on_update"):
            seconds = time.perf_counter() - begun
            failed = copied({"diverged": diverged()}, len(self._part.seeds))["diverged"]
            self._tell("on_update", Update(self._info, self._counted(step), seconds, failed))

    def last(self) -> dict[str, float]:
        """Returns what was told last of what is shown of a running job: means over seeds."""
        found = self._values()
        shown = {name: found[name] for name in self._job.benchmark.live if name in found}
        return means(copied(shown, len(self._part.seeds)))

    def end(self, marker: Mapping[str, Any], records: pd.DataFrame | None) -> None:
        """Tells callbacks that the job has ended."""
        if self._heard("on_job_end"):
            kept = None if records is None else records.copy()
            self._tell("on_job_end", JobEnd(self._info, copy.deepcopy(dict(marker)), kept))

    @property
    def _info(self) -> JobInfo:
        """What callbacks are told of the job, anew for every event."""
        job = self._job
        names = MappingProxyType(dict(job.names))
        return JobInfo(job.key, job.benchmark.name, names, tuple(job.seeds), job.steps, job.device)

    def _state(self, now: float) -> dict[str, Any]:
        """Returns what the file of progress says: as a marker does, of a job that is running."""
        return {
            "key": self._job.key,
            **self._job.names,
            "seeds": list(self._job.seeds),
            "steps": self._job.steps,
            "status": "running",
            "step": self._step,
            "seconds": now - self._begun,
            "last": self.last(),
            "warnings": self.warnings,
        }

    def _heard(self, name: str) -> bool:
        return any(name in methods for _, methods in self._callbacks)

    def _tell(self, name: str, event: Any) -> None:
        for label, methods in self._callbacks:
            if (method := methods.pop(name, None)) is not None:
                with self._forgiven(f"{label}.{name}"):
                    method(event)
                    methods[name] = method  # what fails is not called again

    @contextlib.contextmanager
    def _forgiven(self, what: str) -> Iterator[None]:
        """Notes an error in a callback, and goes on."""
        try:
            yield
        except (Exception, SystemExit) as error:  # a user's code may call exit()
            reason = " ".join(filter(None, [f"{type(error).__name__}: {error}", place(error)]))
            self.warnings.append(f"callback {what} failed with {reason}: jobs in which it failed go on without it")


def copied(values: Mapping[str, Any], seeds: int) -> dict[str, np.ndarray]:
    """Returns values as arrays of their own, that cannot be written to, with a row for each of so many seeds."""
    found = {}
    for name, value in values.items():
        own = np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        own = own[:seeds] if own.ndim else np.full(seeds, own)  # a seed that is alone is played twice
        own.setflags(write=False)
        found[name] = own
    return found
