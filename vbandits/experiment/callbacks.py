"""Callbacks: what follows the jobs of an experiment while they run, and what it is told."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

from vbandits.errors import ConfigError
from vbandits.experiment.sections import validate
from vbandits.registry import CALLBACKS, find, unknown
from vbandits.source_hash import reference

METHODS = ("on_step", "on_update", "on_job_end")
"""What a callback may have, each called with one event."""


@dataclass(frozen=True)
class JobInfo:
    """Which job an event is of.

    Attributes:
        key: the name of its files, in `cells`.
        benchmark: "bandits", "active", "supervised", "offline", or "module:name".
        names: labels of its problem and of its method, such as {"environment": "wheel", "agent": "ibvi"}.
        seeds: that it runs in lockstep.
        steps: that it takes, at most: decisions, purchases or gradient steps.
        device: "cpu" or "cuda".
    """

    key: str
    benchmark: str
    names: Mapping[str, str]
    seeds: tuple[int, ...]
    steps: int
    device: str

    @property
    def label(self) -> str:
        """What it is, in words: "wheel · ibvi · seeds 0-7"."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]}-{self.seeds[-1]}"
        return " · ".join([*self.names.values(), seeds])


@dataclass(frozen=True)
class Step:
    """A step was taken: a decision, a purchase (of a stream: a row seen), or the gradient steps since the last event.

    Attributes:
        job: which takes it.
        step: how many are taken by now, from 1; of a stream, whose seeds are played in turn, by all of them.
        seeds: that it was a step of: those of the job, or of a stream one of them; of a job that does not fit into the
            memory of a GPU a part of them, whose steps count as many of the job's as their seeds are of its seeds.
        values: copies of what happened by name, each an array [R, ...], a row for every seed, that cannot be written
            to. Bandits: action, reward, regret (NaN where it is not known), cumulative_reward, cumulative_regret.
            Pools: row and label [R, b] bought, labels, cost, and what was measured last with `evaluated`, the purchases
            before it: accuracy, nll, ... Streams: queried, labels, round, cost, reward, and the same.
    """

    job: JobInfo
    step: int
    seeds: tuple[int, ...]
    values: Mapping[str, np.ndarray]

    def means(self) -> dict[str, float]:
        """Returns means over seeds of what is measured: one finite float for each seed (choices and counts are not)."""
        return means(self.values)


@dataclass(frozen=True)
class Update:
    """A method has learned.

    Attributes:
        job: whose method.
        step: how many steps were taken by then.
        seconds: wall time of it.
        diverged: which of the seeds' posteriors have diverged [R], of those seeds that learn together.
    """

    job: JobInfo
    step: int
    seconds: float
    diverged: np.ndarray


@dataclass(frozen=True)
class JobEnd:
    """A job has ended, well or not; one that is interrupted has no end.

    Attributes:
        job: which.
        marker: what its file in `cells` says: status ("done" or "failed"), reason of a failure, failures (how many
            seeds), diverged (which), seconds by purpose, memory_mb, last (means of what was told last), ...
        records: a copy of the table that it leaves, with a row per seed and recorded step; None if it failed.
    """

    job: JobInfo
    marker: Mapping[str, Any]
    records: pd.DataFrame | None


class Callback:
    """Follows jobs. A callback is a class or an instance with some of these methods, whether it inherits them or not.

    What it is told are copies: results are the same with and without it. An error in it is told once, with its file and
    line, and the method is not called again in that job, which goes on.
    """

    @classmethod
    def require(cls) -> None:
        """Raises an ImportError, before a run, if a package is not installed that it needs."""

    def on_step(self, event: Step) -> None:
        """Called after every step."""

    def on_update(self, event: Update) -> None:
        """Called whenever the method has learned."""

    def on_job_end(self, event: JobEnd) -> None:
        """Called when the files of the job are written."""


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the means of the arrays [R] of floats that are finite."""
    floats = {name: value for name, value in values.items() if value.ndim == 1 and value.dtype.kind == "f"}
    return {name: float(value.mean()) for name, value in floats.items() if len(value) and np.isfinite(value).all()}


def started(callback: Any) -> dict[str, Callable[[Any], None]]:
    """Returns the methods of a callback for one job: of a new instance, if it is a class."""
    made = callback() if inspect.isclass(callback) else callback
    if inspect.isroutine(made):
        return {"on_step": made}
    return {name: getattr(made, name) for name in METHODS if hasattr(made, name)}


def named(callback: Any) -> str:
    """Returns what a callback is called: "my_module:MyCallback"."""
    return reference(callback)


def callbacks_of(given: Any, log: Any, errors: list[str]) -> tuple[Any, ...]:
    """Returns the callbacks that a document names, and that of its `log`; appends what is wrong.

    Args:
        given: names, "module:name", tables with such a `kind` and the fields of that class, classes, instances and
            functions.
        log: a file, or None.
        errors: what is wrong with the document.
    """
    if not isinstance(given, list | tuple):
        errors.append(f'callbacks: expected a list, such as ["my_module:MyCallback"], got {given!r}')
        given = ()
    entries = [(f"callbacks[{place}]", entry) for place, entry in enumerate(given)]
    entries += [] if log is None else [("log", {"kind": "log", "path": log})]
    found = []
    for where, entry in entries:
        fields = dict(entry) if isinstance(entry, Mapping) else {"kind": entry}
        kind = fields.pop("kind", None)
        try:
            one = find("callback", kind, CALLBACKS) if isinstance(kind, str) else kind
        except ValueError as error:
            errors.append(f"{where}: {error}")
            continue
        if not (any(hasattr(one, name) for name in METHODS) or (inspect.isroutine(one) and not fields)):
            errors.append(
                f"{where}: expected a class or an instance with {', '.join(METHODS[:-1])} or {METHODS[-1]}, or a "
                f"function that is called after every step, got {entry!r}"
            )
            continue
        if lacking := _lacking(one):
            errors.append(f"{where}: {lacking}")
        found.append(_made(one, fields, where, errors) if fields else one)
    return tuple(one for one in found if one is not None)


def _lacking(callback: Any) -> str:
    """Returns which package a callback lacks, and how it is installed; nothing if none."""
    cls = callback if inspect.isclass(callback) else type(callback)
    try:
        if issubclass(cls, Callback):
            cls.require()
    except ImportError as error:
        return str(error)
    return ""


def _made(cls: Any, given: Mapping[str, Any], where: str, errors: list[str]) -> Any:
    """Returns an instance of a class with fields; appends what is wrong with them and returns None if it cannot be."""
    known = [field.name for field in dataclasses.fields(cls) if field.init] if is_dataclass(cls) else [*given]
    if wrong := sorted(given.keys() - set(known)):
        errors.extend(f"{where}: {unknown('field', field, known)}" for field in wrong)
        return None
    if is_dataclass(cls):
        return validate(cls, given, where, errors)
    try:
        return cls(**given)
    except Exception as error:  # a user's code
        errors.append(f"{where}: {type(error).__name__}: {error}")
        return None


def check_callbacks(callbacks: Sequence[Any], workers: int) -> list[str]:
    """Returns notes on callbacks that go to worker processes.

    Raises:
        ConfigError: for those that cannot be sent there.
    """
    errors, notes = [], []
    for callback in callbacks if workers > 1 else ():
        name = named(callback)
        try:
            cloudpickle.dumps(callback)
        except Exception as error:
            errors.append(
                f"callback {name}: expected what can be sent to {workers} worker processes, got: {error}: give its "
                "class, which is made there, or run with workers=1"
            )
        if not (inspect.isclass(callback) or inspect.isroutine(callback) or name.startswith("vbandits.")):
            notes.append(
                f"callback {name}: {workers} worker processes have copies, one for each job, and what these gather "
                "stays there: write it to a file, or run with workers=1"
            )
    if errors:
        raise ConfigError(*errors)
    return notes
