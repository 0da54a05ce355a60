"""What the report of a bandit experiment says: a ranking over environments, and each of them."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from vbandits.benchmarks.bandits import figures
from vbandits.benchmarks.bandits.ranking import UNITS, rank
from vbandits.benchmarks.bandits.results import BASELINE, Results
from vbandits.experiment.report import (
    ProblemTable,
    assemble,
    comparison,
    cost_section,
    problem_sections,
    ranking_table,
)
from vbandits.report import palette, texts
from vbandits.report.formats import percent_decimals
from vbandits.report.page import Item, Report, Section
from vbandits.report.palette import GRID, MUTED, Style
from vbandits.report.ranking import ProblemRanking, Ranking
from vbandits.report.statistics import exists
from vbandits.report.tables import Table
from vbandits.report.terminal import Column, Layout

NO_REGRET = (
    "This environment does not tell regret, and regret is never invented: agents are compared by mean reward per "
    "decision, where higher is better."
)
NO_UNIFORM = (
    "There is no relative regret here, as the uniform agent has no regret to compare with: shown is cumulative regret."
)

DEFINITIONS = [
    (
        "Regret",
        "Expected reward of the best action minus expected reward of the action taken, as the environment knows them; "
        "free of noise, and never seen by the agent. Cumulative regret is its sum over a run.",
    ),
    (
        "Relative regret",
        "Mean cumulative regret in percent of the uniform agent's on the same seeds. 100 is choosing at random, 0 is "
        "never erring. The mean over environments gives each of them the same weight; how far an agent is behind the "
        "best one is paired by seed.",
    ),
    (
        "IQM",
        "Interquartile mean: of all runs, seeds times environments, the mean of the middle half, which no single run "
        "moves much; its interval resamples the seeds of each environment (Agarwal et al., 2021).",
    ),
    (
        "Simple regret",
        "Mean regret of the last 500 decisions (of all, in a shorter run): how good the agent has become.",
    ),
    texts.intervals(
        "Ratios and differences are paired by seed. For the mean over environments, each seed counts with its linear "
        "influence on the ratios. Bands and bars in figures are Student's t intervals."
    ),
    ("Reward", "Mean reward per decision."),
    (
        "Predictive distribution",
        "The equal mixture of N(f, s²) over 64 draws f of the value of the action taken (of an ensemble: over its "
        "members), in original units of reward. The noise s² is estimated from prequential residuals. The linear agent "
        "gives its exact Student's t. Rewards in {0, 1}: a Bernoulli distribution.",
    ),
    (
        "Prequential scoring",
        "Every prediction is scored before the agent learns from its outcome, on the actions that the agent chose. "
        "Agents so see different data: their scores say whether each can be trusted where it goes. The uniform agent "
        "predicts nothing, and a dash stands for what does not exist.",
    ),
    ("NLL", "Negative log density (or probability) of the outcome under the predictive distribution; lower is better."),
    ("CRPS", "Continuous ranked probability score, in units of reward; lower is better."),
    ("Brier score", "Squared error of the predicted probability of a reward of 1; for rewards in {0, 1} only."),
    (
        "Coverage",
        "How often the outcome falls into the central 50%, 90% or 95% interval of the predictive distribution. A "
        "calibrated agent comes close to the nominal number; below it, the agent is overconfident.",
    ),
    texts.failures("their agents act uniformly from then on"),
    texts.cost("the agent (choosing and learning), the environment, and scoring"),
]

LAYOUT = Layout(
    columns=(
        Column("relative_regret", "regret %", 1, places=percent_decimals),
        Column("relative_regret_interval", "95%", 3, places=percent_decimals),
        Column("cumulative_regret", "regret", 4),
        Column("cumulative_regret_interval", "95%", 10),
        Column("simple_regret", "simple", 9),
        Column("reward", "reward", 5),
        Column("nll", "NLL", 6),
        Column("coverage_90", "90% covers", 7, places=1, scale=100),
        Column("seconds", "seconds", 8),
        Column("failures", "failed", 2, places=0),
    ),
    note="regret %: of the uniform agent's; 95%: interval of the mean over seeds",
    splits="cumulative_regret",
)


def report(results: Results) -> Report:
    """Returns the report of an experiment."""
    experiment, ranking = results.experiment, rank(results)
    styles = palette.styles(results.labels("agent"), BASELINE)

    def items(label: str, anchor: str) -> list[Item]:
        own = ranking.problem(label)
        drawn = partial(figures.drawings, results, label, own.measure, styles, anchor)
        notes = {"reward": [NO_REGRET], "cumulative_regret": [NO_UNIFORM]}.get(own.measure, [])
        return [*([] if own.empty else notes), *([drawn] if results.of(label) else []), _table(results, own)]

    return assemble(
        results,
        opening=[Section("Ranking", "ranking", [ranking_table(results, ranking), *_notes(results, ranking)])],
        sections=[*problem_sections(results, items), _cost(results, ranking, styles)],
        definitions=DEFINITIONS,
        styles=styles,
        steps="step",
        facts={
            "Decisions": f"{experiment['steps']:,} per seed",
            "Scored": f"at most {experiment['recorded']:,} per seed, evenly spaced"
            if experiment.get("recorded")
            else None,
        },
        lacking=", and an agent that lacks an environment is ranked last",
        diverging=", and went on with uniform actions",
    )


def _notes(results: Results, ranking: Ranking) -> list[str]:
    notes = []
    if ranking.comparable:
        over = "its mean over environments" if len(ranking.comparable) > 1 else "it"
        notes.append(f"Relative regret in percent of the uniform agent's (100 = choosing at random); ranked by {over}.")
    else:
        notes.append("There is no relative regret; ranked by the mean place over environments.")
    notes.append(comparison(results))
    rewarded = [one.label for one in ranking.problems if one.measure == "reward" and not one.empty]
    if rewarded:
        names = ", ".join(rewarded)
        notes.append(f"{names}: no regret is known there; shown is mean reward (higher is better), outside the mean.")
    return notes


def _table(results: Results, own: ProblemRanking) -> Table:
    """Returns everything measured in one environment; a column that exists for no agent is left out."""
    made = ProblemTable(results, own.label)
    rewarded = own.measure == "reward"
    if rewarded:
        made.add("reward", "Mean reward", "per decision", given=own.estimates)
    made.add("cumulative_regret", "Cumulative regret")
    relative = UNITS["relative_regret"]
    made.add("relative_regret", "Relative regret", relative, places=percent_decimals, shaded=True)
    made.add("simple_regret", "Simple regret", bold=False)
    if not rewarded:
        made.add("reward", "Reward", bold=False)
    made.add("nll", "NLL", bold=False)
    if not exists(made.rows, "brier") or not np.allclose(made.rows["crps"], made.rows["brier"], equal_nan=True):
        made.add("crps", "CRPS", bold=False)  # of a probability it is the Brier score
    made.add("brier", "Brier score", bold=False)
    for level in ("50", "90", "95"):
        made.add(f"coverage_{level}", f"{level}%", "covered, %", scale=100, places=1, bold=False)
    made.ended()
    return made.table()


def _cost(results: Results, ranking: Ranking, styles: Mapping[str, Style]) -> Section:
    totals = results.costs("seconds", "environment_seconds", "scoring_seconds").loc[list(ranking.methods)]
    summary = results.summary().dropna(subset="seconds")
    decisions = (summary["seeds"] * summary["steps"]).groupby(summary["agent"]).sum()
    columns = (
        ("seconds", "Agent", "seconds"),
        ("microseconds", "Agent", "µs per decision"),
        ("environment_seconds", "Environment", "seconds"),
        ("scoring_seconds", "Scoring", "seconds"),
        ("memory_mb", "Memory", "MB at most"),
    )
    return cost_section(
        results,
        totals.assign(microseconds=1e6 * totals["seconds"] / decisions),
        columns,
        {"seconds": None, "environment_seconds": MUTED, "scoring_seconds": GRID},
        "Agent (its colour), environment (dark grey), scoring (light grey)",
        styles,
    )
