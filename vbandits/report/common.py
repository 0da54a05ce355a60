"""What the reports of all kinds of experiments say in the same way."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbandits.experiment.results import StoredResults
from vbandits.report.formats import DASH, TIMES, count
from vbandits.report.tables import Table

Facts = list[tuple[str, str]]
"""Names and texts, in order."""


@dataclass(frozen=True)
class Failure:
    """A reason, and the cells that failed for it: problem, contender and seeds of each."""

    reason: str
    cells: list[tuple[str, str, str]]

    @property
    def places(self) -> list[str]:
        """The cells in words."""
        return [f"{problem} · {contender} (seeds {seeds})" for problem, contender, seeds in self.cells]


@dataclass(frozen=True)
class Chapter:
    """A part of the report in Markdown: notes, tables with their titles, and notes."""

    title: str
    before: list[str]
    tables: list[tuple[str, Table]]
    after: list[str]


@dataclass(frozen=True)
class Section:
    """One problem: its label, the anchor of its section, its tables by title, and how to read them."""

    label: str
    anchor: str
    tables: list[tuple[str, Table]]
    notes: list[str]

    @property
    def chapter(self) -> Chapter:
        """The same in Markdown."""
        return Chapter(self.label, [], self.tables, self.notes)


@dataclass(frozen=True)
class Report:
    """What every report says.

    Attributes:
        lead: one line of what was run.
        warnings: what is missing.
        failures: the cells that failed.
        cost: seconds and memory.
        facts: how it was made.
        settings: by title, the full configuration of every problem and contender, by label.
        definitions: what the numbers are.
    """

    name: str
    lead: str
    warnings: list[str]
    failures: list[Failure]
    cost: Table
    facts: Facts
    settings: list[tuple[str, list[tuple[str, Facts]]]]
    definitions: Facts

    @property
    def failed(self) -> str:
        """How many cells failed, in words."""
        return count(sum(len(failure.cells) for failure in self.failures), "cell")

    @property
    def opening(self) -> list[Chapter]:
        """What comes before the warnings."""
        return []

    @property
    def chapters(self) -> list[Chapter]:
        """What comes after them, before the cost."""
        return []


def common_parts(results: StoredResults, lacking: str, diverging: str, steps: str = "") -> dict[str, Any]:
    """Returns what a `Report` has in common with all others.

    Args:
        results: to report.
        lacking: ends the warning that cells failed.
        diverging: ends the warning that runs diverged.
        steps: what the experiment's steps are called, if it has a number of them.
    """
    experiment, failures = results.experiment, failures_of(results)
    problem, contender = results.axes
    quantities = [count(len(results.labels(axis)), axis) for axis in results.axes]
    quantities += [count(len(experiment["seeds"]), "seed")]
    quantities += [count(experiment["steps"], steps)] if steps else []
    return {
        "name": str(experiment["name"]),
        "lead": f" {TIMES} ".join(quantities),
        "warnings": warnings_of(results, failures, lacking, diverging),
        "failures": failures,
        "facts": facts_of(experiment),
        "settings": [
            (f"{axis.capitalize()}s", [(entry["label"], settings(entry)) for entry in experiment[f"{axis}s"]])
            for axis in (contender, problem)
        ],
    }


def warnings_of(results: StoredResults, failures: list[Failure], lacking: str, diverging: str) -> list[str]:
    """Returns what is missing, in words."""
    experiment = results.experiment
    wanted = len(results.labels(results.axes[0])) * len(results.labels(results.axes[1])) * len(experiment["seeds"])
    failed = sum(len(cell["seeds"]) for cell in results.cells if cell["status"] == "failed")
    diverged = sum(cell["failures"] for cell in results.cells if cell["status"] == "done")
    missing = wanted - sum(len(cell["seeds"]) for cell in results.cells)
    warnings = []
    if failures:
        cells = sum(len(failure.cells) for failure in failures)
        warnings.append(
            f"{count(cells, 'cell')} failed, and with {'it' if cells == 1 else 'them'} {failed:,} of "
            f"{count(wanted, 'run')}: these have no results{lacking}."
        )
    if diverged:
        warnings.append(f"{count(diverged, 'run')} diverged{diverging}; they count in every mean.")
    if missing > 0:
        warnings.append(f"{missing:,} of {count(wanted, 'run')} have not been made yet: this report is of a part.")
    return warnings


def failures_of(results: StoredResults) -> list[Failure]:
    """Returns the failed cells by reason, in the order of problems and contenders."""
    place = {axis: {label: i for i, label in enumerate(results.labels(axis))} for axis in results.axes}
    failed = [cell for cell in results.cells if cell["status"] == "failed"]
    found: dict[str, list[tuple[str, str, str]]] = {}
    for cell in sorted(failed, key=lambda cell: [place[axis].get(cell[axis], -1) for axis in place]):
        reason = re.sub(r"\s+", " ", str(cell.get("reason") or "no reason given")).strip()
        found.setdefault(reason, []).append((*(cell[axis] for axis in results.axes), _seeds(cell["seeds"])))
    return [Failure(reason, cells) for reason, cells in found.items()]


def _seeds(seeds: Sequence[int]) -> str:
    """Returns "0–15" for consecutive seeds, and a list for others."""
    consecutive = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}{DASH}{seeds[-1]}" if consecutive else ", ".join(map(str, seeds))


def facts_of(experiment: Mapping[str, Any]) -> Facts:
    """Returns how an experiment was made; what it does not tell is left out."""
    known = {
        "Command": experiment.get("command"),
        "Seeds": _seeds(experiment["seeds"]),
        "Decisions": f"{experiment['steps']:,} per seed" if "agents" in experiment else None,
        "Training": f"{experiment['steps']:,} gradient steps on {experiment['batch_size']:,} rows each"
        if "batch_size" in experiment
        else None,
        "Scored": f"at most {experiment['recorded']:,} per seed, evenly spaced" if experiment.get("recorded") else None,
        "Evaluated": f"at most {experiment['evaluations']:,} times per seed" if experiment.get("evaluations") else None,
        "Lockstep": f"blocks of at most {count(experiment['block'], 'seed')}" if experiment.get("block") else None,
        "Device": experiment.get("device"),
        "Machine": _pairs(experiment.get("machine")),
        "Versions": _pairs(experiment.get("versions")),
        "Fingerprint": experiment.get("fingerprint"),
    }
    return [(name, str(value)) for name, value in known.items() if value]


def settings(entry: Mapping[str, Any]) -> Facts:
    """Returns the configuration of a problem or contender: a line per section, every field of it."""
    return [(str(name), _pairs(value) or "none") for name, value in entry.items() if name != "label"]


def _pairs(value: Any) -> str:
    """Returns "name value · name value" for a mapping, and anything else as it is."""
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    return "" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items()) + ")"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(entry) for entry in value) + "]"
    return str(value)
