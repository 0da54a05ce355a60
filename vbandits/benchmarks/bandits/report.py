"""What the report of a bandit experiment says: a ranking over environments, and each of them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits import figures, trust
from vbandits.benchmarks.bandits.digest import Digest
from vbandits.benchmarks.bandits.results import BASELINE, Results
from vbandits.experiment.report import Costs, ProblemTable, assemble, problem_sections
from vbandits.report import palette, statistics, tables, texts
from vbandits.report.formats import percent_decimals
from vbandits.report.page import Drawing, Item, Panels, Report
from vbandits.report.palette import GRID, MUTED, Style
from vbandits.report.paper import Named
from vbandits.report.statistics import exists
from vbandits.report.tables import Column as TableColumn
from vbandits.report.tables import Entry, Head, Table
from vbandits.report.terminal import Column, Layout

NO_REGRET = (
    "This environment does not tell regret, and regret is never invented: agents are compared by mean reward per "
    "decision, where higher is better."
)
NO_UNIFORM = (
    "There is no relative regret here, as the uniform agent has no regret to compare with: shown is cumulative regret."
)
RELATIVE = (
    "Relative regret in percent of the uniform agent's (100 = choosing at random), shaded within columns by the "
    "difference from the best. IQM, median and worst are of single runs, each in percent of the uniform agent's mean "
    "over the same seeds."
)
GAIN = (
    "No environment tells regret: agents are compared by the mean reward that they gain over the uniform agent's, in "
    "standard deviations of its single rewards."
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
        "A quarter of chance",
        "After how many decisions of a seed the mean regret per decision is below a quarter of the uniform agent's and "
        "stays there, the median over environments, and the agent's seconds for as many; ∞ where it never is.",
    ),
    ("Late regret", "Mean regret per decision over the last fifth of a run, exploration included."),
    (
        "Simple regret",
        "What the arm that the agent believes to be the best loses against the best, on inputs held out of the run, at "
        "its end: how good the agent has become, without its exploration.",
    ),
    texts.intervals(
        "Ratios and differences are paired by seed. For the mean over environments, each seed counts with its linear "
        "influence on the ratios."
    ),
    ("Reward", "Mean reward per decision."),
    (
        "Predictive distribution",
        "The equal mixture of N(f, s²) over 64 draws f of the value of the action taken (of an ensemble: over its "
        "members), in original units of reward. The noise s² is estimated from prequential residuals. The linear agent "
        "gives its exact Student's t; a policy that predicts, a normal distribution. Rewards in {0, 1}: a Bernoulli "
        "distribution.",
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
    *texts.COMPARISON,
    (
        "Optimism",
        "What the agent predicts of the arm that it believes to be the best, less what that arm is expected to pay, on "
        "held-out inputs, in percent of the standard deviation of the uniform agent's rewards.",
    ),
    (
        "Thompson, hit rate",
        "The posterior's probability that an arm is the best, less how often it was, weighted by the probability.",
    ),
    (
        "Joint log-loss",
        "Of ten outcomes at two held-out inputs together, in nats per outcome: it asks whether errors at neighbouring "
        "inputs go together as the agent says (Osband et al., 2022). To the best: less that of the best agent in the "
        "same environment.",
    ),
    (
        "Coverage",
        "How often the outcome falls into the central 50%, 90% or 95% interval of the predictive distribution. A "
        "calibrated agent comes close to the nominal number; below it, the agent is overconfident.",
    ),
    texts.failures("their agents act uniformly from then on", "Their regret is what it is, and counts."),
    texts.cost("the agent (choosing and learning), the environment, and scoring"),
]

LAYOUT = Layout(
    columns=(
        Column("relative_regret", "regret %", 1, places=percent_decimals),
        Column("relative_regret_interval", "95%", 3, places=percent_decimals),
        Column("cumulative_regret", "regret", 4),
        Column("cumulative_regret_interval", "95%", 10),
        Column("late_regret", "late", 9),
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
    experiment, found = results.experiment, results.comparison
    styles = palette.styles(results.labels("agent"), BASELINE)
    agents = list(found.ranked) or results.labels("agent")
    rewarded = [label for label in results.labels("environment") if _rewarded(results, label)]

    def items(label: str, anchor: str) -> list[Item]:
        if not results.present(label):
            return [_table(results, label)]
        leader = found.contenders[0] if found.known and found.contenders else ""
        drawn = partial(_drawings, results, label, leader, styles, anchor)
        noted = NO_REGRET if label in rewarded else "" if exists(results.rows(label), "relative_regret") else NO_UNIFORM
        return [*([noted] if noted else []), drawn, _table(results, label), *_arms(results, label)]

    notes = []
    if rewarded and results.regretful:
        notes.append(f"{', '.join(rewarded)}: no regret is known there, and agents are compared by reward there alone.")
    if silent := _predicting_nothing(results):
        notes.append(f"{', '.join(silent)}: no predictions, and so no scores of any.")
    return assemble(
        results,
        problems=problem_sections(results, items),
        trust=trust.items(results, agents, styles),
        costs=_costs(results),
        definitions=DEFINITIONS,
        styles=styles,
        notes=[f"{RELATIVE if results.regretful else GAIN}", *notes],
        steps="step",
        facts={
            "Decisions": f"{experiment['steps']:,} per seed",
            "Scored": f"at most {experiment['recorded']:,} per seed, evenly spaced"
            if experiment.get("recorded")
            else None,
            "Warm start": "; ".join(_warm_starts(results)) or None,
        },
        diverging=", and went on with uniform actions, whose regret counts; their predictions are scored as nothing",
        named=_named(results, agents, styles),
    )


def _named(results: Results, agents: list[str], styles: dict[str, Style]) -> dict[str, Named]:
    """Returns the figures that can be asked for by their names."""

    def growth(draw: Callable[..., Drawing | None], environment: str) -> Drawing | None:
        return draw(_digests(results, environment), styles, environment, "paper")

    def curves(rewarded: bool, environment: str) -> Drawing | None:
        return figures.together(_digests(results, environment), styles, rewarded, environment)

    def learned(environment: str) -> Drawing | None:
        steps = results.experiment["steps"]
        return figures.learned(_digests(results, environment), styles, environment, steps, "paper")

    return {
        "regret curves": Named(partial(curves, False), "a known regret (or ask for 'reward curves')"),
        "reward curves": Named(partial(curves, True)),
        "regret in logarithms": Named(partial(growth, figures.logarithmic), "a known regret"),
        "regret per step": Named(partial(growth, figures.rates), "a known regret"),
        "uncertainty": Named(learned, "recorded uncertainty"),
        "coverage": Named(lambda: trust.coverage(results, agents, styles), "scored predictions", of_problem=False),
    }


def _warm_starts(results: Results) -> list[str]:
    """Returns where agents started from a log: from how many decisions, and how its arms and columns were found."""
    told = results.experiment.get("told", {})
    return [
        f"{entry['label']}: every agent that learns, {told.get(entry['label'], 'from logged decisions')}"
        for entry in results.experiment["environments"]
        if "log" in entry
    ]


def _rewarded(results: Results, environment: str) -> bool:
    """Returns whether agents are compared by reward in an environment, as no regret is known."""
    known = any(place[0] == environment for place in results.parts)
    return known and not exists(results.rows(environment), "cumulative_regret")


def _predicting_nothing(results: Results) -> list[str]:
    """Returns the policies that have results, and scores nowhere."""
    policies = [entry["label"] for entry in results.experiment["agents"] if "policy" in entry]
    known, rows = {place[1] for place in results.parts}, results.summary()
    scored = set(rows["agent"][rows["nll"].notna()])
    return [label for label in policies if label in known - scored]


def _drawings(
    results: Results, environment: str, leader: str, styles: dict[str, Style], anchor: str
) -> list[Drawing | Panels]:
    digests = _digests(results, environment)
    drawn: list[Drawing | Panels] = [
        figures.panels(digests, styles, _rewarded(results, environment), leader, anchor),
        *figures.growth(digests, styles, environment, anchor),
    ]
    learned = figures.learned(digests, styles, environment, results.experiment["steps"], anchor)
    return drawn if learned is None else [*drawn, learned]


def _digests(results: Results, environment: str) -> dict[str, Digest]:
    """Returns what is known of the agents in an environment, the best first."""
    methods = results.present(environment)
    return {agent: own for agent in methods if (own := results.digest(environment, agent)) is not None}


def _table(results: Results, environment: str) -> Table:
    """Returns everything measured in one environment; a column that exists for no agent is left out."""
    made = ProblemTable(results, environment)
    rewarded = _rewarded(results, environment)
    if rewarded:
        rewards = {
            agent: statistics.mean_interval(own.mean_reward)
            for agent in results.labels("agent")
            if (own := results.digest(environment, agent)) is not None
        }
        made.add("reward", "Mean reward", "per decision", given=rewards, first=True)
    made.add("cumulative_regret", "Cumulative regret")
    made.add("relative_regret", "Relative regret", "% of uniform", places=percent_decimals, shaded=True, first=True)
    made.add("late_regret", "Late regret", "per decision", bold=False)
    made.add("simple_regret", "Simple regret", "of the greedy arm", bold=False)
    if not rewarded:
        made.add("reward", "Reward", bold=False)
    made.add("nll", "NLL", "mean", bold=False)
    made.add("nll_median", "NLL", "median", bold=False)
    if not exists(made.rows, "brier") or not np.allclose(made.rows["crps"], made.rows["brier"], equal_nan=True):
        made.add("crps", "CRPS", bold=False)  # of a probability it is the Brier score
    made.add("brier", "Brier score", bold=False)
    for level in ("50", "90", "95"):
        made.add(f"coverage_{level}", f"{level}%", "covered, %", scale=100, places=1, bold=False)
    made.ended()
    return made.table("Measured")


MOST_ARMS = 10


def _arms(results: Results, environment: str) -> list[Table]:
    """Returns how often agents played each arm, and how often it was the best; nothing where there is one arm."""
    digests = _digests(results, environment)
    size = max(own.arms.shape[1] for own in digests.values())
    shares = {agent: np.pad(own.arms.mean(0), (0, size - own.arms.shape[1])) for agent, own in digests.items()}
    best = next((own.best for own in digests.values() if own.best.size), np.zeros(0))
    if size < 2:
        return []
    weight = np.pad(best, (0, max(size - len(best), 0))) if best.size else np.max([*shares.values()], 0)
    order = np.argsort(-weight[:size], kind="stable")
    kept, others = np.sort(order[:MOST_ARMS]), order[MOST_ARMS:]
    rows = {**({"the best arm": np.pad(best, (0, max(size - len(best), 0)))[:size]} if best.size else {}), **shares}
    columns: list[TableColumn] = [(Head(f"arm {arm}"), _shares([own[arm] for own in rows.values()])) for arm in kept]
    if len(others):
        columns.append((Head(f"{len(others)} others"), _shares([own[others].sum() for own in rows.values()])))
    return [tables.table([*rows], columns, "Agent", "How often each arm was played, %", heat=True)]


def _shares(values: list[float]) -> list[Entry]:
    return [Entry(f"{100 * value:.0f}", shade=float(value), numbers=(100 * float(value),)) for value in values]


def _reached(results: Results, agent: str) -> float:
    """Returns after how many decisions regret per decision is a quarter of the uniform agent's, the median over
    environments; NaN where no regret is known."""
    found = []
    for label in results.labels("environment"):
        own, uniform = results.digest(label, agent), results.digest(label, BASELINE)
        if own is not None and uniform is not None and uniform.final_regret.mean() > 0:
            found.append(own.reaches(float(uniform.final_regret.mean()) / (uniform.steps[-1] + 1) / 4))
    return float(np.median(found)) if found else np.nan


def _costs(results: Results) -> Costs:
    order = list(results.comparison.ranked) or results.labels("agent")
    order += [agent for agent in results.labels("agent") if agent not in order]
    totals = results.costs("seconds", "environment_seconds", "scoring_seconds").loc[order]
    summary = results.summary().dropna(subset="seconds")
    decisions = (summary["seeds"] * summary["steps"]).groupby(summary["agent"]).sum()
    needed = pd.Series({agent: _reached(results, agent) for agent in order})
    rate = totals["seconds"] / decisions
    whole = totals["seconds"] + totals["environment_seconds"] + totals["scoring_seconds"]
    return Costs(
        totals.assign(
            microseconds=1e6 * totals["seconds"] / decisions,
            rate=rate,
            needed=needed,
            reached=rate * needed,
            share=100 * totals["scoring_seconds"] / whole,
        ),
        (
            ("seconds", "Agent", "seconds"),
            ("microseconds", "Agent", "µs per decision"),
            ("needed", "Decisions", "to a quarter of chance"),
            ("reached", "Seconds", "to a quarter of chance"),
            ("environment_seconds", "Environment", "seconds"),
            ("scoring_seconds", "Scoring", "seconds"),
            ("share", "Scoring", "% of all"),
            ("memory_mb", "Memory", "MB at most"),
        ),
        {"seconds": None, "environment_seconds": MUTED, "scoring_seconds": GRID},
        "Agent (its colour), environment (dark grey), scoring (light grey)",
        rate="rate",
        per="decision",
        what="mean time of the agent per decision, choosing and learning, seeds in lockstep",
    )
