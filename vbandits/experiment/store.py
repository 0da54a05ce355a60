"""A results folder: the experiment as last asked for, and a Parquet file and a marker for every job that was run."""

import hashlib
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError, shortened
from vbandits.experiment import extend
from vbandits.experiment.benchmark import Benchmark, Experiment, Job, Keys, Outcome, benchmark
from vbandits.experiment.files import (
    HELD_OUT,
    RECORDS,
    SCHEMA,
    DamagedError,
    StoredParts,
    damaged,
    read_json,
    require_known,
    whole,
    write_json,
    write_table,
)
from vbandits.experiment.machine import commit, machine
from vbandits.experiment.packs import File, Packs
from vbandits.experiment.results import Place, StoredResults
from vbandits.files import checksum, versions
from vbandits.registry import DEFAULT_BENCHMARK, load
from vbandits.serialize import digest

TRIALS, PRESETS = TUNED = ("trials.csv", "presets.toml")
"""What a tuning leaves besides."""
KEY = re.compile(r"[^.].*--.+--\d+-\d+--[0-9a-f]{10}")
"""What the key of a job looks like: nothing else in the folder of the jobs is read, or taken for ours."""
LONGEST, LONGEST_DETAILS = 2_000, 20_000
"""Letters of the reason why a job failed, and of its traceback."""


class Store:
    """The folder of one experiment.

    Layout: `experiment.json`, the experiment as it was last asked for; `cells/{key}.parquet`, with
    `cells/{key}.held-out.parquet` where there is such a table, and `cells/{key}.json`, the marker, written after them;
    of a job that has not finished `cells/{key}.checkpoint.safetensors`; `packs/{problem}.zip`, files of `cells` that
    were packed; `agents/{key}.*`, what was trained, where it is kept; `report/`; of a tuning also the files of `TUNED`.
    Jobs are known by their content: those that the experiment no longer asks for stay, and are used again when it does.

    Attributes:
        folder: where it is.
        jobs, agents: folders in it.
        notes: what a person should know of what was found.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.jobs, self.agents = self.folder / "cells", self.folder / "agents"
        self._described = self.folder / "experiment.json"
        self._packs = Packs(self.folder / "packs")
        self.notes: list[str] = []

    def prepare(self, experiment: Experiment, command: str, overwrite: bool, alone: bool = True) -> dict[str, Any]:
        """Makes the folder ready for an experiment: a new one, or one that goes on with what lies here.

        Args:
            experiment: that is asked for.
            command: that asks for it.
            overwrite: discards what lies here, if it is another experiment.
            alone: whether no other process writes to the folder.

        Returns:
            The experiment as it was before, or else as it is now.

        Raises:
            ConfigError: if the folder holds what is not ours, or another kind of experiment and `overwrite` is not set.
        """
        document = experiment.document()
        self.require_ours()
        try:
            before = self.experiment() if self.described else None
        except DamagedError as error:  # jobs are known by their content
            before = None
            self.notes.append(str(error))
        if before is None and any(self.markers(torn=False)) and not self.markers_of(document, torn=False):
            if not overwrite:
                raise ConfigError(
                    f"{self._described}: expected the experiment of the jobs that lie here, got none that can be read, "
                    "and they are not of this one: give a new --out, or --overwrite to discard them"
                )
            self._discard()
        edited = before is not None and "edited" in before
        if edited:
            self.notes.append(str(damaged(self._described, "JSON", "other content than was written")))
        same = before is not None and extend.same(before, document)
        if before is not None and not same:
            if overwrite:
                self._discard()
                before = None
            elif edited and self.markers_of(document, torn=False):
                pass  # whatever it says now, the jobs are of the experiment that is asked for
            elif refusal := self._refusal(before, document):
                raise ConfigError(
                    f"{self.folder}: expected {refusal}: give a new --out, or --overwrite to discard its results"
                )
        self.jobs.mkdir(parents=True, exist_ok=True)
        for leftover in [*self.jobs.glob("*"), *self._packs.folder.glob("*")] if alone else ():
            if leftover.name.endswith((".temporary", ".progress")):
                leftover.unlink(missing_ok=True)
        if not same or edited or (before or {}).get("fingerprint") != digest(document):
            history = [] if before is None else [*before.get("history", ()), extend.told_of(before)]
            self.describe(document, command, history, experiment.told)
        return before or document

    def holds(self, experiment: Experiment) -> bool:
        """Says whether the experiment that lies here is this one."""
        return self.described and extend.same(self.experiment(), experiment.document())

    def describe(
        self, document: Mapping[str, Any], command: str, history: Sequence[Any], told: Mapping[str, str]
    ) -> None:
        """Writes what the folder's experiment is and how it is made, how what lies here was made before, and what is
        told of problems, by label."""
        made = {
            "schema": SCHEMA,
            "fingerprint": digest(document),
            "command": command,
            "started": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": commit(),
            "versions": versions(),
            "machine": machine(),
            **({"history": [*history]} if history else {}),
            **({"told": {**told}} if told else {}),
        }
        write_json(self._described, {**document, **made})

    def require_ours(self) -> None:
        """Raises a ConfigError if there are files of something else than a run, which may have been killed at once."""
        if self.described:
            return
        cells = self.jobs.iterdir() if self.jobs.is_dir() else ()
        if any(not KEY.match(path.name) for path in cells) or any(
            not (path.name in ("cells", "packs", "report") or path.name.startswith((".lock", "experiment.json")))
            for path in self.folder.glob("*")
        ):
            raise ConfigError(
                f"{self.folder}: expected a results folder or an empty one, got other files: give another --out"
            )

    def _refusal(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
        results = load(self._kind(before).results)(before, [], {}, self.folder)
        return extend.refusal(before, now, results.added)

    def _discard(self) -> None:
        """Removes what was computed; of what is a link to elsewhere, the link alone."""
        for path in (
            self.jobs,
            self.agents,
            self._packs.folder,
            self.folder / "report",
            *(self.folder / name for name in TUNED),
        ):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def missing(self, experiment: Experiment, shard: tuple[int, int] = (1, 1)) -> list[Job]:
        """Returns the jobs of the seeds that have not finished, each within one of the experiment's blocks of seeds.

        Args:
            experiment: whose jobs are wanted.
            shard: (i, n) for the i-th of n parts, which differ from each other whatever has finished.
        """
        finished: dict[Place, set[int]] = {}
        axes = experiment.benchmark.axes
        saved = {method.label for method in experiment.methods if experiment.saves(method)}
        for marker in self.markers_of(experiment.document(), torn=False):
            kept = marker[axes[1]] not in saved or self.kept(marker["key"])
            if marker["status"] == "done" and kept and self._whole(marker):
                finished.setdefault((marker[axes[0]], marker[axes[1]]), set()).update(marker["seeds"])
        part, parts = shard
        return list(experiment.jobs(finished, part - 1, parts))

    def markers(self, torn: bool = True) -> Iterator[dict[str, Any]]:
        """Yields the markers of jobs; of those that are torn it raises a ConfigError, or passes them over."""
        for name in self._names():
            try:
                marker = self.marker(name)
            except ConfigError:
                if torn:
                    raise
                continue
            if marker is not None:
                yield marker

    def torn(self) -> Iterator[str]:
        """Yields the keys of jobs whose markers cannot be read, or are not what was written."""
        for name in self._names():
            try:
                self.marker(name)
            except ConfigError:
                yield name

    def _names(self) -> list[str]:
        """Returns the keys of jobs that have a marker."""
        names = {path.name for path in self.jobs.glob("*.json")} | self._packs.files().keys()
        return sorted(key for name in names if name.endswith(".json") and KEY.fullmatch(key := name[: -len(".json")]))

    def markers_of(self, document: Mapping[str, Any], torn: bool = True) -> list[dict[str, Any]]:
        """Returns the markers of jobs of an experiment's content, of any seeds; of torn ones see `markers`."""
        keys, axes = Keys.read(document), self._kind(document).axes
        return [
            marker
            for marker in self.markers(torn)
            if keys.of(marker.get(axes[0]), marker.get(axes[1]), marker["seeds"]) == marker["key"]
        ]

    def marker(self, name: str) -> dict[str, Any] | None:
        """Returns the marker of the job with a key, if it finished or failed; None of a file of another kind."""
        path, *tables = (self.file(f"{name}{ending}") for ending in (".json", RECORDS, HELD_OUT))
        _no_links([file for file in (path, *tables) if isinstance(file, Path)])
        marker = read_json(path) if path.exists() else None
        if not isinstance(marker, dict) or marker.get("key") != name or marker.get("status") not in ("done", "failed"):
            return None
        if not (isinstance(marker.get("seeds"), list) and marker["seeds"]):
            return None
        require_known(path, marker.get("schema"))
        marker = whole(path, marker)
        return marker if marker["status"] != "done" or tables[0].exists() else None

    def files(self, name: str) -> list[File]:
        """Returns the files of the job with a key, its marker last."""
        paths = [self.file(f"{name}{ending}") for ending in (RECORDS, HELD_OUT, ".json")]
        return [path for path in paths if path.exists()]

    def file(self, name: str) -> File:
        """Returns a file of a job, which may have been packed; the one that is not, if there are both."""
        path = self.jobs / name
        return path if path.exists() else self._packs.files().get(name, path)

    def pack(self) -> int:
        """Packs the files of finished jobs into an archive for each problem, and returns how many were packed."""
        loose: dict[str, list[str]] = {}
        for marker in self.markers(torn=False):
            key = marker["key"]
            if marker["status"] == "done" and (self.jobs / f"{key}.json").exists() and self._whole(marker):
                loose.setdefault(key.split("--")[0], []).append(key)
        before: dict[str, set[str]] = {}
        for name, file in self._packs.files().items():
            before.setdefault(file.archive.stem, set()).add(name)
        for problem, keys in loose.items():
            added = {file.name for key in keys for file in self.files(key)}
            self._packs.write(problem, map(self.file, sorted(before.get(problem, set()) | added)))
            for key in keys:
                for ending in (RECORDS, HELD_OUT, ".json"):  # of one that is killed here, the archive has all of it
                    (self.jobs / f"{key}{ending}").unlink(missing_ok=True)
        return sum(map(len, loose.values()))

    def finished(self, name: str) -> dict[str, Any] | None:
        """Returns the marker of the job with a key, if it finished and its files are what it wrote, or None."""
        try:
            marker = self.marker(name)
        except ConfigError:  # torn
            return None
        return marker if marker is not None and marker["status"] == "done" and self._whole(marker) else None

    def kept(self, name: str) -> bool:
        """Returns whether there is what the job with a key has trained."""
        return (self.agents / f"{name}.json").exists()

    @property
    def described(self) -> bool:
        """Whether the folder holds an experiment."""
        return self._described.exists()

    def keys(self) -> set[str]:
        """Returns the keys of jobs of the experiment's content, of any seeds."""
        return {marker["key"] for marker in self.markers_of(self.experiment(), torn=False)}

    def trained(self, name: str) -> list[Path]:
        """Returns the files of what the job with a key has trained, the one that says what it is last."""
        return [*_no_links(sorted(self.agents.glob(f"{name}.*"), reverse=True))] if self.kept(name) else []

    def checkpoint(self, name: str) -> Path:
        """Returns the file from which the job with a key goes on, if it is there."""
        return self.jobs / f"{name}.checkpoint.safetensors"

    def _whole(self, marker: Mapping[str, Any]) -> bool:
        """Returns whether a job's tables are what its marker says; older markers do not tell."""
        paths = {self.file(f"{marker['key']}{ending}"): sha for ending, sha in marker.get("sha256", {}).items()}
        return all(path.exists() and _checksum(path) == sha for path, sha in paths.items())

    def finish(
        self, job: Job, outcome: Outcome, memory_mb: float, last: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Writes a finished job under its key and returns its marker; `last` is what a live view shows of it."""
        tables = {RECORDS: outcome.records, HELD_OUT: outcome.held_out}
        written = {
            ending: write_table(self.jobs / f"{job.key}{ending}", table)
            for ending, table in tables.items()
            if table is not None
        }
        if outcome.keep is not None:
            outcome.keep(self.agents / job.key)
        return self._mark(
            job,
            status="done",
            reason=None,
            **({"notes": list(outcome.notes)} if outcome.notes else {}),
            **({"parts": outcome.parts} if outcome.parts > 1 else {}),
            failures=len(outcome.diverged),
            diverged=list(outcome.diverged),
            seconds=outcome.seconds,
            memory_mb=memory_mb,
            last=dict(last or {}),
            sha256=written,
        )

    def fail(self, job: Job, reason: str, details: str) -> dict[str, Any]:
        """Writes the marker of a failed job and returns it; one that has finished since stays finished."""
        told = {"reason": shortened(reason, LONGEST), "details": shortened(details, LONGEST_DETAILS)}
        failed = {"failures": len(job.seeds), "diverged": [], **told}
        return self.finished(job.key) or self._mark(job, status="failed", **failed)

    def load(self, document: dict[str, Any] | None = None, damaged: bool = True) -> StoredResults:
        """Reads back what there is of an experiment, by default of the one that was last asked for.

        Args:
            document: the experiment.
            damaged: whether damaged jobs are refused, those with a damaged table when it is read; if not, they are
                passed over.

        Raises:
            ConfigError: if the folder holds no experiment.
        """
        document = self.experiment() if document is None else document
        kind, seeds = self._kind(document), document["seeds"]
        found = self.markers_of(document, torn=damaged)
        if not damaged:
            found = [marker for marker in found if marker["status"] == "failed" or self._whole(marker)]
        markers = extend.used(found, kind.axes, seeds)
        for marker in markers:
            marker["reason"] = marker.get("reason") and shortened(str(marker["reason"]), LONGEST)
        done = [marker for marker in markers if marker["status"] == "done"]
        records, held_out = (StoredParts(self.file, done, kind.axes, ending, seeds) for ending in (RECORDS, HELD_OUT))
        return load(kind.results)(document, markers, records, self.folder, held_out)

    def experiment(self) -> dict[str, Any]:
        """Returns the experiment as it was last asked for, and how it was made.

        Raises:
            ConfigError: if the folder holds none.
        """
        if not self.described:
            raise ConfigError(f"{self.folder}: expected a results folder with an experiment.json, got none")
        return extend.read(self._described)

    def _kind(self, document: Mapping[str, Any]) -> Benchmark:
        try:
            return benchmark(document.get("kind", DEFAULT_BENCHMARK))
        except ValueError as error:
            named = str(document["kind"])
            hint = f", or say --benchmark {shlex.quote(named)}" if ":" in named else ""
            raise ConfigError(f"{self._described}: {error}{hint}") from None

    def _mark(self, job: Job, **content: Any) -> dict[str, Any]:
        marker = {
            "schema": SCHEMA,
            "key": job.key,
            **job.names,
            "seeds": list(job.seeds),
            "steps": job.steps,
            "device": job.device,
            "versions": versions(),
            "commit": commit(),
            **content,
        }
        write_json(self.jobs / f"{job.key}.json", marker)
        return marker


def _checksum(file: File) -> str:
    """Returns the checksum of a file; of one in a damaged archive none."""
    if isinstance(file, Path):
        return checksum(file)
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _no_links(files: Sequence[Path]) -> Sequence[Path]:
    """Returns files as they are; raises a ConfigError for a link, which may lead anywhere."""
    for file in files:
        if file.is_symlink():
            raise ConfigError(f"{file}: expected a file, got a link: put what it leads to in its place")
    return files
