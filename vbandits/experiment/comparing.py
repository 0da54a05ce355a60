"""Results folders side by side: two versions of a method, or of the code, as methods of one comparison."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import MADE as HOW
from vbandits.experiment.benchmark import benchmark
from vbandits.experiment.extend import differences, restricted
from vbandits.experiment.results import Parts, Place, StoredResults
from vbandits.experiment.store import Store
from vbandits.files import write_text
from vbandits.registry import DEFAULT_BENCHMARK
from vbandits.report.formats import plural

SHOWN = 4
"""Differences that are told of a problem."""
MADE = ("command", "started", "commit", "fingerprint", "device", "precision", "machine", "versions")
"""How folders were made, as far as their `experiment.json` says so."""
MARKER = "compared.json"
"""Written beside the report of a comparison: such a report may be replaced by another."""
OWN = {"index.html", "report.md", "summary.csv", "figures", "tables", MARKER}
EXACT = {"rtol": 1e-4, "atol": 1e-6, "equal_nan": True}
"""Within which the method that acts by chance has the same runs on all machines."""


def loaded(folders: Sequence[str | Path], damaged: bool = True) -> dict[str, StoredResults]:
    """Returns what lies in results folders, by name: the ends of their paths that tell them apart.

    Args:
        folders: what runs left.
        damaged: whether damaged jobs are refused; if not, they are passed over.

    Raises:
        ConfigError: if one is named twice, or holds no results.
    """
    paths = [Path(folder).absolute() for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        got = ", ".join(map(str, folders))
        raise ConfigError(f"expected different results folders, got {got}: name each of them once")
    parts = 1
    while len({path.parts[-parts:] for path in paths}) < len(paths):
        parts += 1
    return {
        "/".join(path.parts[-parts:]): Store(folder).load(damaged=damaged)
        for path, folder in zip(paths, folders, strict=True)
    }


def combined(named: Mapping[str, StoredResults], command: str = "vbandits.compare(...)") -> StoredResults:
    """Returns the results of one comparison: problems and seeds that all have, and the methods of each.

    A method whose label occurs more than once is called "label (name)". Those that always run stay one.

    Args:
        named: results by name, at least two.
        command: that the report names.

    Raises:
        ConfigError: if they cannot be compared: other benchmarks, or no problem or no seed in common.
    """
    _check(named)
    first, *others = named.values()
    problem, method = first.axes
    problems, notes = _problems(named)
    seeds = [seed for seed in first.experiment["seeds"] if all(seed in own.experiment["seeds"] for own in others)]
    if not seeds:
        got = "; ".join(f"{name} {own.experiment['seeds']}" for name, own in named.items())
        raise ConfigError(f"expected seeds that all have, got {got}: run the same --seeds in each")
    entries, renamed = _methods(named)
    origins: dict[Place, tuple[str, Place]] = {}
    for name, labels in renamed.items():
        for label, new in labels.items():
            for place in problems:
                before = origins.get((place, new))
                if before is None or before[1] not in named[before[0]].parts:
                    origins[place, new] = (name, (place, label))
    notes += _unlike(named, first.baseline, problems, seeds)
    document = {
        **{key: value for key, value in first.experiment.items() if key == "told" or key not in {*MADE, *HOW}},
        **_made(named),
        "name": f"{', '.join([*named][:-1])} and {[*named][-1]} compared",
        "command": command,
        "seeds": seeds,
        plural(problem): [entry for entry in first.experiment[plural(problem)] if entry["label"] in problems],
        plural(method): entries,
        "compared": {
            "folders": {name: str(own.folder or "in memory") for name, own in named.items()},
            "notes": [*notes, *_options(named), *_seeds(named, seeds)],
            "methods": {
                label: {name: renamed[name][label] for name in named if label in renamed[name]}
                for label, times in _times(named).items()
                if times > 1 and label not in first.added
            },
        },
    }
    jobs = [
        restricted(job, kept) | {method: new}
        for name, own in named.items()
        for job in own.jobs
        if (new := renamed[name].get(job[method])) is not None
        and origins.get((job[problem], new), ("",))[0] == name
        and (kept := [seed for seed in job["seeds"] if seed in seeds])
    ]
    data, held_out = (
        CombinedParts({place: (tables(named[name]), own) for place, (name, own) in origins.items()}, first.axes, seeds)
        for tables in (lambda own: own.parts, lambda own: own.held_out)
    )
    return type(first)(document, jobs, data, None, held_out)


def of_seeds(results: StoredResults, seeds: Sequence[int]) -> StoredResults:
    """Returns the part of results that is of some seeds."""
    jobs = [restricted(job, kept) for job in results.jobs if (kept := [seed for seed in job["seeds"] if seed in seeds])]
    data, held_out = (
        CombinedParts({place: (parts, place) for place in parts}, results.axes, seeds)
        for parts in (results.parts, results.held_out)
    )
    return type(results)(results.experiment | {"seeds": list(seeds)}, jobs, data, results.folder, held_out)


class CombinedParts(Mapping[Place, pd.DataFrame]):
    """Tables of several results by problem and method, of some seeds, read when they are asked for."""

    def __init__(
        self, origins: Mapping[Place, tuple[Parts, Place]], axes: tuple[str, str], seeds: Sequence[int]
    ) -> None:
        self._origins = {place: origin for place, origin in origins.items() if origin[1] in origin[0]}
        self._axes, self._seeds = axes, seeds

    def __getitem__(self, place: Place) -> pd.DataFrame:
        parts, own = self._origins[place]
        table = parts[own]
        kept: Any = table[table["seed"].isin(self._seeds)].reset_index(drop=True)
        return kept.assign(**dict(zip(self._axes, place, strict=True)))

    def __contains__(self, place: object) -> bool:
        return place in self._origins

    def __iter__(self) -> Iterator[Place]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)


def check_free(out: Path) -> None:
    """Raises a ConfigError where files lie that are not the report of a comparison."""
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if (out.exists() and not out.is_dir()) or (found and (MARKER not in found or not found <= OWN)):
        raise ConfigError(
            f"{out}: expected no such folder, an empty one, or the report of a comparison, got other files: give "
            "another --out"
        )


def write(results: StoredResults, out: Path) -> Path:
    """Writes the report of a comparison into a folder of its own, and returns the page's path."""
    from vbandits.experiment import report

    check_free(out)
    page = report.write(results, out)
    write_text(out / MARKER, json.dumps(results.experiment["compared"], indent=2))
    return page


def _check(named: Mapping[str, StoredResults]) -> None:
    """Raises a ConfigError for results that do not compare."""
    if len(named) < 2:
        raise ConfigError(
            f"expected at least two results folders, got {', '.join(named) or 'none'}: name what it is compared with"
        )
    kinds = {name: own.experiment.get("kind", DEFAULT_BENCHMARK) for name, own in named.items()}
    if len(set(kinds.values())) > 1:
        got = ", ".join(f"{kind} ({name})" for name, kind in kinds.items())
        raise ConfigError(f"expected results of one benchmark, got {got}: compare those of the same")
    tuned = [name for name, own in named.items() if "tuning" in own.experiment]
    if tuned:
        raise ConfigError(f"expected results of runs, got a tuning ({', '.join(tuned)}): run what it has chosen")
    steps = {name: own.experiment.get("steps") for name, own in named.items()}
    if len(set(steps.values())) > 1:
        got = ", ".join(f"{count} ({name})" for name, count in steps.items())
        raise ConfigError(f"steps: expected as many in all, got {got}: run the same --steps in each")


def _problems(named: Mapping[str, StoredResults]) -> tuple[list[str], list[str]]:
    """Returns the problems that are the same in all, and what is to be said of the others."""
    axis = benchmark(next(iter(named.values())).benchmark).axes[0]
    entries = {name: {entry["label"]: entry for entry in own.experiment[plural(axis)]} for name, own in named.items()}
    first, *others = entries
    shared, notes = [], []
    for label in dict.fromkeys(label for own in entries.values() for label in own):
        lacking = [name for name, own in entries.items() if label not in own]
        if lacking:
            notes.append(f"{label} is left out: it is not in {', '.join(lacking)}.")
            continue
        changes = [
            f"{change} ({first} -> {other})"
            for other in others
            for change in differences(entries[first][label], entries[other][label])
        ]
        if changes:
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            notes.append(f"{label} is left out: it is not the same problem: {'; '.join(changes[:SHOWN])}{more}.")
        else:
            shared.append(label)
    if not shared:
        raise ConfigError(f"expected {plural(axis)} that all have, got none: {' '.join(notes)} Run the same in each")
    return shared, notes


def _times(named: Mapping[str, StoredResults]) -> dict[str, int]:
    """Returns how many of the results have each method."""
    return Counter(label for own in named.values() for label in own.labels(own.axes[1]))


def _methods(named: Mapping[str, StoredResults]) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """Returns the methods as the comparison describes them, and what each is called there, by name and label."""
    times, entries, renamed = _times(named), dict[str, dict[str, Any]](), {}
    for name, own in named.items():
        renamed[name] = {}
        for entry in own.experiment[plural(own.axes[1])]:
            label, content = entry["label"], dict(entry)
            if label not in own.added:
                for key in own.groups:  # random of a method is what the same results have of it
                    several = [
                        m for m in named.values() if entry[key] in {e[key] for e in m.experiment[plural(m.axes[1])]}
                    ]
                    content[key] = f"{entry[key]} ({name})" if len(several) > 1 else entry[key]
                content["label"] = f"{label} ({name})" if times[label] > 1 else label
            new = content["label"]
            if new in entries and new not in own.added:
                raise ConfigError(f"{new}: expected labels that stay apart, got two of this name: rename a folder")
            entries.setdefault(new, content)
            renamed[name][label] = new
    return list(entries.values()), renamed


def _unlike(
    named: Mapping[str, StoredResults], baseline: str, problems: Sequence[str], seeds: Sequence[int]
) -> list[str]:
    """Returns a warning where the method that acts by chance has other runs in one folder than in another."""
    notes = []
    for problem in problems:
        found = {name: own.parts[problem, baseline] for name, own in named.items() if (problem, baseline) in own.parts}
        tables: dict[str, Any] = {name: table[table["seed"].isin(seeds)] for name, table in found.items()}
        first, *others = tables or [""]
        unlike = [name for name in others if not _same(tables[first], tables[name])]
        if unlike:
            notes.append(
                f"{baseline} does not have the same runs of {problem} in {first} and in {', '.join(unlike)}, although "
                "their seeds are the same: the problems differ, in code or data, and so may everything else. Shown is "
                f"that of {first}."
            )
    return notes


def _same(own: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Says whether two tables have the same numbers in all rows that both have: of a seed, a step, an estimator, ..."""
    numbers = [name for name in own if name in other and is_numeric_dtype(own[name])]
    others = [name for name in own if name in other and name not in numbers]
    texts = [name for name in others if all(isinstance(one, str) for one in own[name].tolist())]  # no lists
    keys = [name for name in ("seed", "step", "round") if name in numbers] + texts
    both = own.merge(other, on=keys, suffixes=("", " of other"))
    columns = [name for name in numbers if name not in keys]
    return all(
        np.allclose(both[name].to_numpy(float), both[f"{name} of other"].to_numpy(float), **EXACT) for name in columns
    )


def _made(named: Mapping[str, StoredResults]) -> dict[str, Any]:
    """Returns how the results were made: what is the same in all once, and else by name."""
    made: dict[str, Any] = {}
    for key in MADE:
        found = {name: own.experiment[key] for name, own in named.items() if own.experiment.get(key) is not None}
        if not found:
            continue
        values = list(found.values())
        if all(value == values[0] for value in values) and len(found) == len(named):
            made[key] = values[0]
        elif any(isinstance(value, Mapping) for value in values):
            made[key] = found
        else:
            made[key] = " · ".join(f"{name}: {value}" for name, value in found.items())
    return made


def _options(named: Mapping[str, StoredResults]) -> list[str]:
    """Returns which other options differ."""
    first, *_ = named.values()
    known = {"kind", "name", "seeds", "tuning", "compared", "block", *MADE, *HOW, *benchmark(first.benchmark).sections}
    notes = []
    for key in dict.fromkeys(key for own in named.values() for key in own.experiment if key not in known):
        values = {name: own.experiment.get(key) for name, own in named.items()}
        if len({str(value) for value in values.values()}) > 1:
            told = ", ".join(f"{value} ({name})" for name, value in values.items())
            notes.append(f"{key.replace('_', ' ').capitalize()} differs: {told}.")
    return notes


def _seeds(named: Mapping[str, StoredResults], seeds: Sequence[int]) -> list[str]:
    """Returns what is to be said where not all seeds are compared."""
    most = max(len(own.experiment["seeds"]) for own in named.values())
    if len(seeds) == most:
        return []
    return [
        f"Compared are the {len(seeds)} seeds that all have; seconds of a block of seeds count in the part that is "
        "compared."
    ]
