"""One results folder of the jobs of several: other seeds, methods or problems of the same experiment."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from vbandits.errors import ConfigError, require_writable
from vbandits.experiment import comparing
from vbandits.experiment.benchmark import Keys, benchmark
from vbandits.experiment.extend import asked, complete, differences, listed, parts, told_of
from vbandits.experiment.made import seeds_text
from vbandits.experiment.progress import print_line
from vbandits.experiment.results import Parts, Place, StoredResults
from vbandits.experiment.store import Store
from vbandits.files import write_bytes
from vbandits.registry import DEFAULT_BENCHMARK
from vbandits.report.formats import count, plural

DAMAGED = "as their tables are not what the run wrote (the same run makes them again)"
TORN = "as what was written beside their tables cannot be read, or was edited (the same run makes them again)"
"""Why jobs stay behind that are of the merged experiment, or of which nobody can tell."""


def merged(folders: Sequence[str | Path], out: Path, command: str, console: Console | None = None) -> StoredResults:
    """Copies the jobs of several folders into a new one, and returns its results.

    They are those of what each folder was last asked for, and those of earlier on that still lie there: more seeds,
    methods or problems. What of them cannot be one experiment with the others stays behind, and is told.

    Args:
        folders: what runs left, at least two.
        out: the new folder, which must not hold anything.
        command: that the folder names.
        console: told what is merged beside what was last asked for, and what stays behind.

    Raises:
        ConfigError: if the folders do not belong together, with all reasons.
    """
    asked_for = comparing.loaded(folders, damaged=False)
    if len(asked_for) < 2:
        raise ConfigError(f"expected at least two results folders, got {', '.join(asked_for) or 'none'}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: expected no such folder, or an empty one, got other files: give another --out")
    if errors := [*_unlike(asked_for)]:
        raise ConfigError(*errors)
    stores = {name: Store(own.folder) for name, own in asked_for.items() if own.folder is not None}
    document = _document(asked_for, stores)
    named = {name: store.load(document, damaged=False) for name, store in stores.items()}
    if errors := [*_doubled(named)]:
        raise ConfigError(*errors)
    require_writable(out)
    target = Store(out)
    target.jobs.mkdir(exist_ok=True)
    for name, store in stores.items():
        _copy(store, named[name], target)
    for store in stores.values():
        _copy_trained(store, document, target)
    history = [made for own in asked_for.values() for made in _history(own.experiment)]
    told = {label: words for own in asked_for.values() for label, words in own.experiment.get("told", {}).items()}
    target.describe(document, command, history, told)
    for name, store in stores.items():
        for line in _told(store, asked_for[name], named[name], document):
            print_line(console or Console(stderr=True), f"note: {name}: {line}", "yellow")
    return target.load()


def _history(experiment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns how an experiment and the earlier ones of its folder were made, the last one last."""
    return [*experiment.get("history", ()), told_of(experiment)]


def _earlier(experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns what a folder was asked for, the latest first; folders of older versions tell the last alone."""
    documents = [made.get("asked") for made in reversed(_history(experiment)) if isinstance(made, Mapping)]
    return [
        own
        for own in documents
        if isinstance(own, dict) and complete(own) and own.get("kind") == experiment.get("kind")
    ]


def _sections(experiment: Mapping[str, Any]) -> tuple[str, str]:
    return benchmark(experiment.get("kind", DEFAULT_BENCHMARK)).sections


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


def _document(named: Mapping[str, StoredResults], stores: Mapping[str, Store]) -> dict[str, Any]:
    """Returns the experiment of all problems, methods and seeds that were last asked for, or have finished jobs."""
    last = [own.experiment for own in named.values()]
    document, sections = asked(last[0]), _sections(last[0])
    every = [*last, *(earlier for experiment in last for earlier in _earlier(experiment))]
    for section in sections:  # where a label was something else before, it is what it is now
        document[section] = [*{e["label"]: e for one in reversed(every) for e in one[section]}.values()]
    markers = [
        one
        for store in stores.values()
        for one in store.markers_of(document, torn=False)
        if store.finished(one["key"]) is not None
    ]
    for section, axis in zip(sections, next(iter(named.values())).axes, strict=True):
        order = [entry["label"] for one in every for entry in one[section]]
        kept = {entry["label"] for one in last for entry in one[section]} | {marker[axis] for marker in markers}
        entries = {entry["label"]: entry for entry in document[section]}
        document[section] = [entries[label] for label in dict.fromkeys(order) if label in kept]
    seeds = {seed for one in (*last, *markers) for seed in one["seeds"]}
    return document | {"seeds": sorted(seeds), "block": max(one["block"] for one in last)}


def _told(store: Store, before: StoredResults, now: StoredResults, document: Mapping[str, Any]) -> Iterator[str]:
    """Yields what of a folder is merged beside what it was last asked for, and what stays behind, with the reason."""
    merged_keys = {marker["key"] for marker in store.markers_of(document, torn=False)}
    behind: dict[str, set[tuple[str, str, int]]] = {}
    for marker in store.markers(torn=False):
        lacks = store.finished(marker["key"]) is None
        if marker["status"] == "done" and (lacks or marker["key"] not in merged_keys):
            place = (str(marker.get(now.axes[0])), str(marker.get(now.axes[1])))
            reason = DAMAGED if lacks else _reason(marker, place, before.experiment, document, now.axes)
            behind.setdefault(reason, set()).update((*place, seed) for seed in marker["seeds"])
    last, every = ({(*place, seed) for place in own.parts for seed in _seeds(own, place)} for own in (before, now))
    if more := every - last:
        yield f"with it are merged {count(len(more), 'run')} of what was asked for earlier: {_named_runs(more)}"
    for reason, left in behind.items():
        yield f"{count(len(left), 'run')} stay behind in {store.folder}, {reason}: {_named_runs(left)}"
    if torn := [*store.torn()]:
        yield f"{count(len(torn), 'job')} stay behind in {store.folder}, {TORN}: {', '.join(torn)}"


def _reason(
    marker: Mapping[str, Any], place: Place, experiment: Mapping[str, Any], document: Mapping[str, Any], axes: Place
) -> str:
    """Returns why a job of a folder is none of the merged experiment."""
    for earlier in _earlier(experiment):
        if Keys.read(earlier).of(*place, marker["seeds"]) == marker["key"]:
            changed = differences(*(parts(one, axes, [place]) for one in (earlier, document)))
            return f"as they are of another content than what is merged ({listed(changed)})"
    return "as nothing says any more what they are of (an older vbandits made them, or experiment.json was edited)"


def _named_runs(runs: set[tuple[str, str, int]]) -> str:
    """Returns the problems, methods and seeds of some runs, in a line."""
    places: dict[Place, list[int]] = {}
    for *place, seed in sorted(runs):
        places.setdefault((place[0], place[1]), []).append(seed)
    by_seeds: dict[str, list[str]] = {}
    for place, seeds in places.items():
        by_seeds.setdefault(seeds_text(seeds), []).append(" · ".join(place))
    return listed([f"{', '.join(names)} (seeds {seeds})" for seeds, names in by_seeds.items()])


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
                write_bytes(target.jobs / path.name, path.read_bytes())


def _copy_trained(source: Store, document: Mapping[str, Any], target: Store) -> None:
    """Copies what was trained, with the jobs that trained it."""
    for key in sorted({marker["key"] for marker in source.markers_of(document, torn=False)}):
        if source.kept(key) and source.finished(key) is not None and not target.kept(key):
            target.agents.mkdir(exist_ok=True)
            for path in source.trained(key):
                shutil.copyfile(path, target.agents / path.name)
            if target.finished(key) is None:
                for path in source.files(key):
                    write_bytes(target.jobs / path.name, path.read_bytes())
