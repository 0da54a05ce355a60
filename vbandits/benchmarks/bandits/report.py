"""What the report of a bandit experiment says, before it is a page or a Markdown file."""

from dataclasses import dataclass

import pandas as pd

from vbandits.benchmarks.bandits.ranking import Column, Ranking, rank
from vbandits.benchmarks.bandits.results import Results
from vbandits.report.common import Chapter, Report, common_parts
from vbandits.report.tables import Table, cost_table, environment_table, ranking_table
from vbandits.report.wording import BOLD, DEFINITIONS, NO_REGRET, NO_RESULTS, NO_UNIFORM, ONE_SEED, TIES


@dataclass(frozen=True)
class Section:
    """One environment: its label, the anchor of its section, notes, and its table."""

    label: str
    anchor: str
    notes: list[str]
    column: Column
    table: Table


@dataclass(frozen=True)
class BanditReport(Report):
    """Everything that the report says.

    Attributes:
        notes: how to read the ranking.
    """

    ranking: Ranking
    ranking_table: Table
    notes: list[str]
    sections: list[Section]

    @property
    def opening(self) -> list[Chapter]:
        """The ranking."""
        return [Chapter("Ranking", [], [("", self.ranking_table)], self.notes)]

    @property
    def chapters(self) -> list[Chapter]:
        """The environments."""
        return [Chapter(section.label, section.notes, [("", section.table)], []) for section in self.sections]


def report(results: Results) -> BanditReport:
    """Returns the report of an experiment."""
    experiment, summary, ranking = results.experiment, results.summary(), rank(results)
    labels = results.labels("environment")
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
    lacking, diverging = ", and an agent that lacks an environment is ranked last", ", and went on with uniform actions"
    return BanditReport(
        **common_parts(results, lacking, diverging, "step"),
        cost=cost_table(summary, ranking),
        definitions=DEFINITIONS,
        ranking=ranking,
        ranking_table=ranking_table(ranking, anchors),
        notes=_ranking_notes(ranking, len(experiment["seeds"])),
        sections=sections,
    )


def _rows(summary: pd.DataFrame, environment: str) -> pd.DataFrame:
    return summary.loc[summary["environment"] == environment, :]


def _ranking_notes(ranking: Ranking, seeds: int) -> list[str]:
    notes = []
    if ranking.comparable:
        over = "its mean over environments" if len(ranking.comparable) > 1 else "it"
        notes.append(f"Relative regret in percent of the uniform agent's (100 = choosing at random); ranked by {over}.")
    else:
        notes.append("There is no relative regret; ranked by the mean place over environments.")
    notes.append(f"{BOLD} {TIES}" if seeds > 1 else ONE_SEED)
    rewarded = [column.environment for column in ranking.columns if column.measure == "reward" and not column.empty]
    if rewarded:
        names = ", ".join(rewarded)
        notes.append(f"{names}: no regret is known there; shown is mean reward (higher is better), outside the mean.")
    return notes


def _notes(column: Column) -> list[str]:
    if column.empty:
        return [NO_RESULTS]
    return {"reward": [NO_REGRET], "cumulative_regret": [NO_UNIFORM]}.get(column.measure, [])
