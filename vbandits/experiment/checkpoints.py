"""Checkpoints of a job, from which it goes on bit for bit."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Job
from vbandits.files import versions
from vbandits.state import Known, State, take
from vbandits.state.files import read, write

Held = TypeVar("Held")
SHARE = 0.05
"""Most of a job's time that goes into writing checkpoints, however short their interval."""


class Checkpoints:
    """The file of a job's checkpoint, and when the next one is due.

    What is written is one object with everything that the rest of the job depends on: it has `step`, how many steps are
    behind it.

    Attributes:
        notes: what a person should know.
    """

    def __init__(self, job: Job, path: Path | None, known: Known) -> None:
        """Takes the job, the file, without which there are no checkpoints, and the classes that states are made of."""
        self.notes: list[str] = []
        self._job, self._path, self._known = job, path, known
        self._about = {} if path is None else {"job": job.key, "versions": versions()}
        self._due = time.monotonic() + job.checkpoint

    def resumed(self, restored: Callable[[State], Held]) -> Held | None:
        """Returns what goes on from the checkpoint, or None where there is none, or none of use.

        Args:
            restored: returns an object with a state; it raises a ConfigError where that cannot be.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            state, about = read(self._path)
            if about != self._about:
                raise ConfigError("expected one of this job, made by the versions that are installed, got another")
            found: Any = restored(state)
        except ConfigError as error:
            self.notes.append(f"began anew, since its checkpoint is of no use: {error}")
            return None
        self.notes.append(f"went on from a checkpoint after {found.step} steps")
        return found

    def forgo(self) -> None:
        """Writes none from now on."""
        self._path = None

    def offer(self, held: Any) -> None:
        """Writes a checkpoint, if one is due."""
        if self._path is None or time.monotonic() < self._due:
            return
        begun = time.monotonic()
        try:
            write(self._path, take(held, self._known), self._about)
        except (ConfigError, OSError) as error:
            self.notes.append(f"it has no checkpoints: {error}")
            self.forgo()
            return
        now = time.monotonic()
        self._due = now + max(self._job.checkpoint, (now - begun) / SHARE if self._job.checkpoint else 0)
