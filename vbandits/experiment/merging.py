"""One results folder of the jobs of several: other seeds, methods or problems of the same experiment."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError, require_writable
from vbandits.experiment import comparing
from vbandits.experiment.extend import asked, differences, listed
from vbandits.experiment.results import Parts, Place, StoredResults
from vbandits.experiment.store import Store, told_of
from vbandits.registry import DEFAULT_BENCHMARK
from vbandits.report.formats import plural


def merged(folders: Sequence[str | Path], out: Path, command: str) -> StoredResults:
    """Copies the jobs of several folders into a new one, and returns its results.

    Args:
        folders: what runs left, at least two.
        out: the new folder, which must not hold anything.
        command: that the folder names.

    Raises:
        ConfigError: if the folders do not belong together, with all reasons.
    """
    named = comparing.loaded(folders)
    if len(named) < 2:
        raise ConfigError(f"expected at least two results folders, got {', '.join(named) or 'none'}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: expected no such folder, or an empty one, got other files: give another --out")
    if errors := [*_unlike(named)]:
        raise ConfigError(*errors)
    document = _document(named)
    if errors := [*_doubled(named)]:
        raise ConfigError(*errors)
    require_writable(out)
    store = Store(out)
    store.jobs.mkdir(exist_ok=True)
    sources = {Store(own.folder): own for own in named.values() if own.folder is not None}
    for source, own in sources.items():
        _copy(source, own, store)
    for source in sources:
        _copy_trained(source, store)
    history = [one for own in named.values() for one in (*own.experiment.get("history", ()), told_of(own.experiment))]
    store.describe(document, command, history)
    return store.load()


def _unlike(named: Mapping[str, StoredResults]) -> Iterator[str]:
    """Yields why folders cannot be one: all that a job depends on must be the same in all, label by label."""
    (first, one), *others = named.items()
    for name, own in named.items():
        if "tuning" in own.experiment:
            yield f"{name}: expected results of a run, got a tuning: run what it has chosen"
    for name, other in others:
        kinds = [own.experiment.get("kind", DEFAULT_BENCHMARK) for own in (one, other)]
        if kinds[0] != kinds[1]:
            yield f"expected results of one benchmark, got {kinds[0]} ({first}) and {kinds[1]} ({name})"
            continue
        parts = ("name", "seeds", "block", "tuning", *(plural(axis) for axis in one.axes))
        options = [
            {key: value for key, value in asked(own.experiment).items() if key not in parts} for own in (one, other)
        ]
        if changed := differences(*options):
            yield f"expected the same options in all, got others in {name} than in {first}: {listed(changed)}"
    for axis in one.axes:
        seen: dict[str, tuple[str, Any]] = {}
        for name, own in named.items():
            for entry in own.experiment.get(plural(axis), ()):
                where, before = seen.setdefault(entry["label"], (name, entry))
                if changed := differences(before, entry):
                    yield (
                        f"{axis} {entry['label']}: expected the same in all, got another in {name} than in {where}: "
                        f"{listed(changed)}: give one of them another label, or set the folders side by side with "
                        "vbandits compare"
                    )


def _document(named: Mapping[str, StoredResults]) -> dict[str, Any]:
    """Returns the experiment of all problems, methods and seeds."""
    first, *_ = named.values()
    document = asked(first.experiment)
    for axis in first.axes:
        entries = {entry["label"]: entry for own in named.values() for entry in own.experiment[plural(axis)]}
        document[plural(axis)] = [*entries.values()]
    seeds = sorted({seed for own in named.values() for seed in own.experiment["seeds"]})
    return document | {"seeds": seeds, "block": max(own.experiment["block"] for own in named.values())}


def _doubled(named: Mapping[str, StoredResults]) -> Iterator[str]:
    """Yields which runs are in two folders with other results: they were made by other code, or on other machines."""
    seen: dict[Place, list[tuple[str, StoredResults]]] = {}
    for name, own in named.items():
        for place in own.parts:
            for where, before in seen.setdefault(place, []):
                both = _seeds(own, place) & _seeds(before, place)
                files = [{(job["key"], str(job.get("sha256"))) for job in r.jobs_of(*place)} for r in (own, before)]
                if not both or files[0] == files[1]:
                    continue
                if not all(_same(one, other, place, both) for one, other in _tables(own, before)):
                    yield (
                        f"{' · '.join(place)}: expected each run once, or with the same results, got others in {name} "
                        f"than in {where}: they come from other code, versions or machines: merge one of the two"
                    )
            seen[place].append((name, own))


def _tables(one: StoredResults, other: StoredResults) -> list[tuple[Parts, Parts]]:
    """Returns the pairs of tables that two folders have of the same places."""
    return [(one.parts, other.parts), (one.held_out, other.held_out)]


def _same(one: Parts, other: Parts, place: Place, seeds: set[int]) -> bool:
    """Says whether two tables of a place have the same rows of some seeds, or both none."""
    found = [
        own[place].loc[lambda table: table["seed"].isin([*seeds])].reset_index(drop=True)
        for own in (one, other)
        if place in own
    ]
    return not found or (len(found) == 2 and found[0].equals(found[1]))


def _seeds(results: StoredResults, place: Place) -> set[int]:
    return {seed for job in results.jobs_of(*place) if job["status"] == "done" for seed in job["seeds"]}


def _copy(source: Store, results: StoredResults, target: Store) -> None:
    """Copies the files of jobs, each marker after its tables; what failed does not take the place of what finished."""
    for job in results.jobs:
        if target.finished(job["key"]) is None:
            for path in source.files(job["key"]):
                shutil.copyfile(path, target.jobs / path.name)


def _copy_trained(source: Store, target: Store) -> None:
    """Copies what was trained, with the jobs that trained it."""
    for key in sorted(source.keys()):
        if source.kept(key) and not target.kept(key):
            target.agents.mkdir(exist_ok=True)
            for path in source.trained(key):
                shutil.copyfile(path, target.agents / path.name)
            if target.finished(key) is None:
                for path in source.files(key):
                    shutil.copyfile(path, target.jobs / path.name)
