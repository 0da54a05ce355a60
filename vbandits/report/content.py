"""What the report says, before it is a page or a Markdown file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vbandits.report.formats import DASH, TIMES, count
from vbandits.report.ranking import Column, Ranking, rank
from vbandits.report.tables import Table, cost_table, environment_table, ranking_table
from vbandits.report.wording import BOLD, NO_REGRET, NO_UNIFORM, ONE_SEED, TIES
from vbandits.results import Results

Facts = list[tuple[str, str]]
"""Names and texts, in order."""


@dataclass(frozen=True)
class Failure:
    """A reason, and the cells that failed for it: environment, agent and seeds of each."""

    reason: str
    cells: list[tuple[str, str, str]]

    @property
    def places(self) -> list[str]:
        """The cells in words."""
        return [f"{environment} · {agent} (seeds {seeds})" for environment, agent, seeds in self.cells]


@dataclass(frozen=True)
class Section:
    """One environment: its label, the anchor of its section, notes, and its table."""

    label: str
    anchor: str
    notes: list[str]
    column: Column
    table: Table


@dataclass(frozen=True)
class Report:
    """Everything that the report says.

    Attributes:
        lead: one line of what was run.
        warnings: what is missing.
        notes: how to read the ranking.
        failures: the cells that failed.
        facts: how it was made.
        agents: the full configuration of every agent, by label.
        environments: the same of every environment.
    """

    name: str
    lead: str
    warnings: list[str]
    ranking: Ranking
    ranking_table: Table
    notes: list[str]
    failures: list[Failure]
    sections: list[Section]
    cost: Table
    facts: Facts
    agents: list[tuple[str, Facts]]
    environments: list[tuple[str, Facts]]

    @property
    def failed(self) -> str:
        """How many cells failed, in words."""
        return count(sum(len(failure.cells) for failure in self.failures), "cell")


def report(results: Results) -> Report:
    """Returns the report of an experiment."""
    experiment, summary, ranking = results.experiment, results.summary(), rank(results)
    labels = [entry["label"] for entry in experiment["environments"]]
    anchors = {label: f"environment-{place}" for place, label in enumerate(labels, 1)}
    sections = [
        Section(
            label,
            anchors[label],
            _notes(ranking.column(label)),
            ranking.column(label),
            environment_table(_rows(summary, label), ranking.column(label), len(experiment["seeds"])),
        )
        for label in labels
    ]
    failures = _failures(results)
    return Report(
        name=str(experiment["name"]),
        lead=_lead(experiment),
        warnings=_warnings(results, failures),
        ranking=ranking,
        ranking_table=ranking_table(ranking, anchors),
        notes=_ranking_notes(ranking, len(experiment["seeds"])),
        failures=failures,
        sections=sections,
        cost=cost_table(summary, ranking),
        facts=facts(experiment),
        agents=[(entry["label"], settings(entry)) for entry in experiment["agents"]],
        environments=[(entry["label"], settings(entry)) for entry in experiment["environments"]],
    )


def _rows(summary: pd.DataFrame, environment: str) -> pd.DataFrame:
    return summary.loc[summary["environment"] == environment, :]


def _lead(experiment: Mapping[str, Any]) -> str:
    return f" {TIMES} ".join(
        [
            count(len(experiment["environments"]), "environment"),
            count(len(experiment["agents"]), "agent"),
            count(len(experiment["seeds"]), "seed"),
            count(experiment["steps"], "step"),
        ]
    )


def _warnings(results: Results, failures: list[Failure]) -> list[str]:
    experiment = results.experiment
    wanted = len(experiment["environments"]) * len(experiment["agents"]) * len(experiment["seeds"])
    failed = sum(len(cell["seeds"]) for cell in results.cells if cell["status"] == "failed")
    diverged = sum(cell["failures"] for cell in results.cells if cell["status"] == "done")
    missing = wanted - sum(len(cell["seeds"]) for cell in results.cells)
    warnings = []
    if failures:
        cells = sum(len(failure.cells) for failure in failures)
        warnings.append(
            f"{count(cells, 'cell')} failed, and with {'it' if cells == 1 else 'them'} {failed:,} of "
            f"{count(wanted, 'run')}: these have no results, and an agent that lacks an environment is ranked last."
        )
    if diverged:
        warnings.append(
            f"{count(diverged, 'run')} diverged, and went on with uniform actions; they count in every mean."
        )
    if missing > 0:
        warnings.append(f"{missing:,} of {count(wanted, 'run')} have not been made yet: this report is of a part.")
    return warnings


def _ranking_notes(ranking: Ranking, seeds: int) -> list[str]:
    notes = []
    if ranking.comparable:
        over = "its mean over environments" if len(ranking.comparable) > 1 else "it"
        notes.append(f"Relative regret in percent of the uniform agent's (100 = choosing at random); ranked by {over}.")
    else:
        notes.append("There is no relative regret; ranked by the mean place over environments.")
    notes.append(f"{BOLD} {TIES}" if seeds > 1 else ONE_SEED)
    rewarded = [column.environment for column in ranking.columns if column.measure == "reward"]
    if rewarded:
        names = ", ".join(rewarded)
        notes.append(f"{names}: no regret is known there; shown is mean reward (higher is better), outside the mean.")
    return notes


def _notes(column: Column) -> list[str]:
    return {"reward": [NO_REGRET], "cumulative_regret": [NO_UNIFORM]}.get(column.measure, [])


def _failures(results: Results) -> list[Failure]:
    """Returns the failed cells by reason, in the order of environments and agents."""
    place = {
        what: {entry["label"]: i for i, entry in enumerate(results.experiment[f"{what}s"])}
        for what in ("environment", "agent")
    }
    failed = [cell for cell in results.cells if cell["status"] == "failed"]
    found: dict[str, list[tuple[str, str, str]]] = {}
    for cell in sorted(failed, key=lambda cell: [place[what].get(cell[what], -1) for what in place]):
        reason = re.sub(r"\s+", " ", str(cell.get("reason") or "no reason given")).strip()
        found.setdefault(reason, []).append((cell["environment"], cell["agent"], _seeds(cell["seeds"])))
    return [Failure(reason, cells) for reason, cells in found.items()]


def _seeds(seeds: Sequence[int]) -> str:
    """Returns "0–15" for consecutive seeds, and a list for others."""
    consecutive = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}{DASH}{seeds[-1]}" if consecutive else ", ".join(map(str, seeds))


def facts(experiment: Mapping[str, Any]) -> Facts:
    """Returns how an experiment was made; what it does not tell is left out."""
    known = {
        "Command": experiment.get("command"),
        "Seeds": _seeds(experiment["seeds"]),
        "Decisions": f"{experiment['steps']:,} per seed",
        "Scored": f"at most {experiment['recorded']:,} per seed, evenly spaced" if experiment.get("recorded") else None,
        "Lockstep": f"blocks of at most {count(experiment['block'], 'seed')}" if experiment.get("block") else None,
        "Device": experiment.get("device"),
        "Machine": _pairs(experiment.get("machine")),
        "Versions": _pairs(experiment.get("versions")),
        "Fingerprint": experiment.get("fingerprint"),
    }
    return [(name, str(value)) for name, value in known.items() if value]


def settings(entry: Mapping[str, Any]) -> Facts:
    """Returns the configuration of an agent or environment: a line per section, every field of it."""
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
