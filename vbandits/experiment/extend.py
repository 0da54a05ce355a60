"""What of a results folder an experiment can use: finished jobs are known by their content and used seed by seed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError, shortened
from vbandits.experiment.benchmark import MADE, Job, Keys, benchmark
from vbandits.experiment.files import DamagedError, read_json, require_known, whole
from vbandits.experiment.results import Place
from vbandits.registry import DEFAULT_BENCHMARK, load
from vbandits.report.formats import count, plural
from vbandits.serialize import canonical

SHOWN, LONGEST = 4, 120
"""Changes that are told, and their letters."""
Document = Mapping[str, Any]
"""What `experiment.json` holds."""


def used(markers: Iterable[Document], axes: tuple[str, str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the markers of jobs, each as if it had run no more than the wanted seeds that no other one has.

    Finished jobs come before failed ones, and of those the larger ones first, so that the same files are used whatever
    the order in which they were made.
    """

    def order(marker: Document) -> tuple[Any, ...]:
        return marker["status"] != "done", -len(marker["seeds"]), marker["key"]

    left: dict[Place, set[int]] = {}
    found = []
    for marker in sorted(markers, key=order):
        missing = left.setdefault((marker[axes[0]], marker[axes[1]]), set(seeds))
        if own := [seed for seed in marker["seeds"] if seed in missing]:
            missing.difference_update(own)
            found.append(restricted(marker, own))
    place = {seed: i for i, seed in enumerate(seeds)}
    return sorted(found, key=lambda marker: (marker[axes[0]], marker[axes[1]], place[marker["seeds"][0]]))


def restricted(marker: Document, seeds: Sequence[int]) -> dict[str, Any]:
    """Returns the marker of a job as if it had run some of its seeds, with their part of its seconds."""
    if len(seeds) == len(marker["seeds"]):
        return dict(marker)
    part = len(seeds) / len(marker["seeds"])
    diverged = [seed for seed in marker.get("diverged", ()) if seed in seeds]
    failures = len(seeds) if marker["status"] == "failed" else len(diverged)
    failures = failures if "diverged" in marker else marker["failures"]
    seconds = {purpose: part * value for purpose, value in marker.get("seconds", {}).items()}
    return {**marker, "seeds": list(seeds), "diverged": diverged, "failures": failures, "seconds": seconds}


def read(path: Path) -> dict[str, Any]:
    """Returns what an `experiment.json` holds, with `edited` where that is an experiment, but not as a run wrote it.

    Raises:
        ConfigError: if it is none.
    """
    experiment = read_json(path)
    if isinstance(experiment, dict):
        require_known(path, experiment.get("schema"))
        try:
            experiment = whole(path, experiment)
        except DamagedError:
            if not complete(experiment):
                raise
            experiment = {name: value for name, value in experiment.items() if name != "digest"} | {"edited": True}
        if "fingerprint" in experiment:
            return experiment
    raise ConfigError(f"{path}: expected the experiment of a vbandits run, got something else: give another folder")


def complete(document: Document) -> bool:
    """Says whether JSON content has what every experiment of its kind has, whatever it says."""
    try:
        kind = benchmark(document.get("kind", DEFAULT_BENCHMARK))
    except ValueError:
        return False
    seeds, block, history = (document.get(name, []) for name in ("seeds", "block", "history"))
    return (
        all(name in document for name in load(kind.config).options)
        and isinstance(seeds, list)
        and bool(seeds)
        and all(type(number) is int for number in (*seeds, block))
        and all(isinstance(document.get(name), str) for name in ("name", "device"))
        and all(_labelled(document.get(section)) for section in kind.sections)
        and isinstance(history, list)
        and all(isinstance(made, dict) for made in history)
        and isinstance(document.get("told", {}), dict)
    )


def _labelled(entries: Any) -> bool:
    return isinstance(entries, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("label"), str) for entry in entries
    )


def told_of(document: Document) -> dict[str, Any]:
    """Returns how an experiment was made, as later ones in its folder tell it, and what it asked for: without that,
    nobody could tell later what its jobs are."""
    how = {name: document.get(name) for name in ("command", "started", "commit", "versions", "fingerprint")}
    return {**how, "asked": asked(document)}


def asked(document: Document) -> dict[str, Any]:
    """Returns what was asked for, without how it was made."""
    return {name: value for name, value in document.items() if name not in MADE}


def refusal(before: Document, now: Document, added: Iterable[str] = ()) -> str:
    """Returns what stands in the way of an experiment in the folder of another; "" if nothing does.

    Args:
        before: the experiment that lies there.
        now: the one that is asked for.
        added: methods that run whether they are asked for or not.
    """
    kinds = [document.get("kind", DEFAULT_BENCHMARK) for document in (before, now)]
    if kinds[0] != kinds[1]:
        return f"an experiment of {kinds[0]}, got one of {kinds[1]}"
    if ("tuning" in before) != ("tuning" in now):
        told = ["a tuning" if "tuning" in document else "a run" for document in (before, now)]
        return f"{told[0]}, got {told[1]}"
    shared = [
        {entry["label"] for entry in before[section]} & {entry["label"] for entry in now[section]} - set(added)
        for section in benchmark(kinds[0]).sections
    ]
    return "" if any(shared) else "an experiment with some problem or method of it, got one with none of them"


def same(before: Document, now: Document) -> bool:
    """Says whether an experiment in a folder is the one that is asked for."""
    return canonical(asked(before)) == canonical(now)


def told(before: Document, now: Document, jobs: Sequence[Job]) -> Iterator[str]:
    """Yields what a person should know before a folder goes on with another experiment than the last; else nothing.

    Args:
        before: the experiment as it was.
        now: the experiment as it is asked for.
        jobs: that will be computed.
    """
    if same(before, now):
        return
    axes = benchmark(now.get("kind", DEFAULT_BENCHMARK)).axes
    wanted = runs(now, axes)
    if jobs:
        yield f"{sum(len(job.seeds) for job in jobs):,} of {count(wanted, 'run')} are computed now"
    old, new = Keys.read(before), Keys.read(now)
    places = {(job.problem.label, job.method.label) for job in jobs}
    again = sorted(p for p in places if old.content(*p) is not None and old.content(*p) != new.content(*p))
    if again:
        changed = differences(*(parts(document, axes, again) for document in (before, now)))
        names = ", ".join(" · ".join(place) for place in again[:SHOWN]) + _more(len(again) - SHOWN)
        yield f"computed again, as their content has changed ({listed(changed)}), what was there is kept: {names}"
    left = [
        (plural(axis), [label for label in _labels(before, axis) if label not in _labels(now, axis)]) for axis in axes
    ]
    left.append(("seeds", [str(seed) for seed in before["seeds"] if seed not in now["seeds"]]))
    gone = [f"{what} {', '.join(labels[:SHOWN])}{_more(len(labels) - SHOWN)}" for what, labels in left if labels]
    if gone:
        yield f"kept on disk, and not in the report as they are not asked for: {'; '.join(gone)}"


def runs(document: Document, axes: tuple[str, str]) -> int:
    """Returns how many runs of a seed an experiment has."""
    one, other = (len(_labels(document, axis)) for axis in axes)
    return len(document["seeds"]) * one * other


def listed(changes: Sequence[str]) -> str:
    """Returns the first of some changes, in a line or two."""
    return "; ".join(shortened(change, LONGEST) for change in changes[:SHOWN]) + _more(len(changes) - SHOWN)


def _more(others: int) -> str:
    return f"; and {others:,} more" if others > 0 else ""


def _labels(document: Document, axis: str) -> list[str]:
    return [entry["label"] for entry in document[plural(axis)]]


def parts(document: Document, axes: tuple[str, str], places: Sequence[Place]) -> dict[str, Any]:
    """Returns what the results of some places depend on beside the seeds."""
    parts = {name: value for name, value in asked(document).items() if name not in ("name", "seeds", "block", "tuning")}
    for position, axis in enumerate(axes):
        wanted = {place[position] for place in places}
        parts[plural(axis)] = [entry for entry in document[plural(axis)] if entry["label"] in wanted]
    return parts


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
