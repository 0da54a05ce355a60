"""A results folder: the experiment as run, and a Parquet file and a marker per job, written at once or not at all."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Experiment, Job, Outcome, benchmark
from vbandits.experiment.results import Place, StoredResults
from vbandits.registry import DEFAULT_BENCHMARK, load
from vbandits.serialize import digest

LIBRARIES = ("vbandits", "torch", "gymnasium", "numpy", "scipy", "pandas", "scikit-learn", "pyarrow")
TRIALS, PRESETS = TUNED = ("trials.csv", "presets.toml")
"""What a tuning leaves besides."""
RECORDS, HELD_OUT = ".parquet", ".held-out.parquet"
"""Ends of the names of a job's tables."""
SHOWN = 4
"""Changes that are told where an experiment is refused."""


class Store:
    """The folder of one experiment.

    Layout: `experiment.json`; `cells/{key}.parquet`, with `cells/{key}.held-out.parquet` where there is such a table,
    and `cells/{key}.json`, the marker, written after them; `report/`; of a tuning also the files of `TUNED`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.jobs = self.folder / "cells"
        self._described = self.folder / "experiment.json"

    def prepare(self, experiment: Experiment, command: str, overwrite: bool) -> None:
        """Makes the folder ready for an experiment: a new one, or the one that was begun here.

        Raises:
            ConfigError: if the folder holds another experiment, and `overwrite` is not set, or what is not ours.
        """
        document = experiment.document()
        if not self._described.exists() and any(path.name != ".lock" for path in self.folder.glob("*")):
            raise ConfigError(
                f"{self.folder}: expected a results folder or an empty one, got other files: give another --out"
            )
        before = self._experiment() if self._described.exists() else None
        if before is not None and before["fingerprint"] != digest(document):
            if not overwrite:
                raise ConfigError(_difference(self.folder, before, document))
            shutil.rmtree(self.jobs, ignore_errors=True)
            shutil.rmtree(self.folder / "report", ignore_errors=True)
            for name in TUNED:
                (self.folder / name).unlink(missing_ok=True)
            before = None
        self.jobs.mkdir(parents=True, exist_ok=True)
        for leftover in [*self.jobs.glob("*.temporary"), *self.jobs.glob("*.progress")]:
            leftover.unlink(missing_ok=True)
        if before is None:
            made = {
                "fingerprint": digest(document),
                "command": command,
                "started": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "commit": commit(),
                "versions": versions(),
                "machine": machine(),
            }
            write_text(self._described, json.dumps(document | made, indent=2))

    def marker(self, name: str) -> dict[str, Any] | None:
        """Returns the marker of the job with a key, if it finished or failed; None of a file of another kind."""
        path = self.jobs / f"{name}.json"
        marker = _read(path) if path.exists() else None
        if not isinstance(marker, dict) or marker.get("key") != name or marker.get("status") not in ("done", "failed"):
            return None
        return marker if marker["status"] != "done" or path.with_suffix(".parquet").exists() else None

    def finished(self, name: str) -> dict[str, Any] | None:
        """Returns the marker of the job with a key, if it finished and its tables are what it wrote, or None."""
        marker = self.marker(name)
        whole = marker is not None and marker["status"] == "done" and all(_sums(self.jobs, marker).values())
        return marker if whole else None

    def finish(self, job: Job, outcome: Outcome, memory_mb: float) -> dict[str, Any]:
        """Writes a finished job under its key and returns its marker."""
        tables, written = {RECORDS: outcome.records, HELD_OUT: outcome.held_out}, {}
        for ending, table in tables.items():
            if table is not None:
                with atomic(self.jobs / f"{job.key}{ending}") as path:
                    table.to_parquet(path, index=False)
                    written[ending] = checksum(path)
        return self._mark(
            job,
            status="done",
            reason=None,
            failures=len(outcome.diverged),
            diverged=list(outcome.diverged),
            seconds=outcome.seconds,
            memory_mb=memory_mb,
            sha256=written,
        )

    def fail(self, job: Job, reason: str, details: str) -> dict[str, Any]:
        """Writes the marker of a failed job and returns it; one that has finished since stays finished."""
        failed = {"failures": len(job.seeds), "diverged": [], "details": details}
        return self.finished(job.key) or self._mark(job, status="failed", reason=reason, **failed)

    def load(self) -> StoredResults:
        """Reads back what there is.

        Raises:
            ConfigError: if the folder holds no experiment.
        """
        if not self._described.exists():
            raise ConfigError(f"{self.folder}: expected a results folder with an experiment.json, got none")
        experiment = self._experiment()
        found = filter(None, (self.marker(path.stem) for path in sorted(self.jobs.glob("*.json"))))
        try:
            kind = benchmark(experiment.get("kind", DEFAULT_BENCHMARK))
        except ValueError as error:
            raise ConfigError(f"{self._described}: {error}") from None
        known = [{entry["label"] for entry in experiment[section]} for section in kind.sections]
        markers = [
            marker
            for marker in found
            if all(marker.get(axis) in labels for axis, labels in zip(kind.axes, known, strict=True))
        ]
        done = [marker for marker in markers if marker["status"] == "done"]
        records, held_out = (StoredParts(self.jobs, done, kind.axes, ending) for ending in (RECORDS, HELD_OUT))
        return load(kind.results)(experiment, markers, records, self.folder, held_out)

    def _experiment(self) -> dict[str, Any]:
        experiment = _read(self._described)
        if not isinstance(experiment, dict) or "fingerprint" not in experiment:
            raise ConfigError(
                f"{self._described}: expected the experiment of a vbandits run, got something else: give another folder"
            )
        return experiment

    def _mark(self, job: Job, **content: Any) -> dict[str, Any]:
        marker = {
            "key": job.key,
            **job.names,
            "seeds": list(job.seeds),
            "steps": job.steps,
            "device": job.device,
            "versions": versions(),
            **content,
        }
        write_text(self.jobs / f"{job.key}.json", json.dumps(marker, indent=2))
        return marker


class StoredParts(Mapping[Place, pd.DataFrame]):
    """Tables of finished jobs by problem and method, read when they are asked for: all may be more than fits memory."""

    def __init__(self, folder: Path, markers: Sequence[dict[str, Any]], axes: tuple[str, str], ending: str) -> None:
        self._axes, self._files = axes, dict[Place, list[tuple[Path, str | None]]]()
        for marker in markers:
            path = folder / f"{marker['key']}{ending}"
            if path.exists():
                place = (marker[axes[0]], marker[axes[1]])
                self._files.setdefault(place, []).append((path, marker.get("sha256", {}).get(ending)))

    def __getitem__(self, place: Place) -> pd.DataFrame:
        table = pd.concat([_table(*file) for file in self._files[place]], ignore_index=True)
        for position, (axis, label) in enumerate(zip(self._axes, place, strict=True)):
            table.insert(position, axis, label)
        return table

    def __contains__(self, place: object) -> bool:
        return place in self._files

    def __iter__(self) -> Iterator[Place]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _table(path: Path, written: str | None) -> pd.DataFrame:
    """Reads a table, if it is what was written; older markers do not tell."""
    fault = "other bytes than were written" if written not in (None, checksum(path)) else ""
    try:
        if not fault:
            return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        fault = f"one that cannot be read ({error})"
    raise ConfigError(f"{path}: expected a table as a run left it, got {fault}: the same run makes it again")


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sums(folder: Path, marker: Mapping[str, Any]) -> dict[str, bool]:
    """Returns by ending whether a job's tables are what its marker says; older markers do not tell."""
    paths = {ending: folder / f"{marker['key']}{ending}" for ending in marker.get("sha256", {})}
    return {ending: path.exists() and checksum(path) == marker["sha256"][ending] for ending, path in paths.items()}


def _read(path: Path) -> Any:
    """Returns what a JSON file holds, of whatever kind it is."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: expected JSON as a run leaves it, got: {error}") from None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which replaces it once it is whole and on disk."""
    handle, temporary = tempfile.mkstemp(suffix=".temporary", prefix=path.name, dir=path.parent)
    os.close(handle)
    try:
        yield Path(temporary)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a file at once or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def commit() -> str | None:
    """Returns the commit of a checkout, with a plus where files were changed; None where vbandits was installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = [
            subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True)
            for command in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0].stdout.strip() + ("+" if found[1].stdout.strip() else "")


def machine() -> dict[str, Any]:
    """Returns what the results were made on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": platform.platform(), "processor": _processor(), "cpus": os.cpu_count(), "gpu": gpu}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _difference(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> str:
    changed = differences({name: before.get(name) for name in now}, now)
    shown = "; ".join(changed[:SHOWN]) + (f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")
    return (
        f"{folder}: expected the experiment that was begun in this folder, got another (changed: {shown}): give a new "
        "--out, or --overwrite to discard its results"
    )


def differences(before: Any, now: Any) -> list[str]:
    """Returns what differs between two descriptions in JSON, as "path old -> new"."""
    old, new = _leaves(before), _leaves(now)
    return [
        f"{path} {old.get(path, 'none')} -> {new.get(path, 'none')}"
        for path in dict.fromkeys([*old, *new])
        if old.get(path) != new.get(path)
    ]


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Returns the values of nested dicts and lists by path; entries of a list go by their label where they have one."""
    if isinstance(value, dict):
        parts = value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        parts = {entry.get("label", i): entry for i, entry in enumerate(value)}
    else:
        return {path: value}
    return {
        leaf: found
        for name, part in parts.items()
        for leaf, found in _leaves(part, f"{path}.{name}".strip(".")).items()
    }
