"""What the report of active learning says: the learners over all problems, and problem by problem."""

from functools import partial

from vbandits.benchmarks.active import figures, tables
from vbandits.benchmarks.active.results import ActiveResults
from vbandits.experiment.report import assemble, comparison, cost_section, problem_sections, ranking_table
from vbandits.report import texts
from vbandits.report.page import Item, Report, Section
from vbandits.report.palette import GRID, INK
from vbandits.report.terminal import Column, Layout

RANKED = (
    "Cumulative regret against the best fit to all labels, in percent of that of learning nothing, and its mean over "
    "problems, each of which has the same weight. Lower is better. A learner without results on every problem has no "
    "mean."
)

DEFINITIONS = [
    (
        "Labels",
        "How many are known, those given at the start included. Every learner of a seed starts from the same ones.",
    ),
    (
        "Accuracy, RMSE",
        "On the test set, of which no label is ever bought: the part of rows whose most probable class is their label, "
        "and the root of the mean squared error of the predictive mean, in units of the target.",
    ),
    (
        "Area",
        "Mean accuracy or RMSE over the labels bought: the area under its curve by trapezoids, divided by the range. "
        "The range ends at the most labels that any learner of the problem bought; a learner that bought fewer keeps "
        "its last value up to there.",
    ),
    (
        "Regret",
        "The sum over purchases of labels bought times how far the model that was in use falls short of a reference, "
        "never clipped, in percent of the sum had it stayed as before the first purchase: 100 is learning nothing, 0 "
        "is the reference from the start, and below 0 is better than it. It is the ratio of means over seeds. The "
        "reference is the best fit to all labels of the pool by any learner of the problem, the mean over its seeds; "
        "or the learner's own fit to all labels, seed by seed. As each learner is measured by its own start, one that "
        "starts out well has less to gain: see the area for the level itself.",
    ),
    (
        "Simple regret",
        "How far the last model falls short of the best fit to all labels, in points of accuracy or units of RMSE.",
    ),
    (
        "Labels to an accuracy",
        "Labels known at the first evaluation that has it: the median over seeds; ∞ where most seeds never have it.",
    ),
    (
        "Speed-up",
        "Labels that the learner of the same method bought at random in all, over those bought until the mean curve "
        "first reaches the accuracy or RMSE that random ended with, interpolated; a dash where it never does. Noise "
        "makes a curve get there early: the speed-up of random itself tells by how much.",
    ),
    ("NLL", "Mean negative log probability (or density) of the label, in nats; lower is better."),
    (
        "ECE",
        "Expected calibration error of the most probable class, over 15 bins of equal width, in percent. It is biased "
        "upwards where bins hold few rows. Debiased: less the bias that each bin would have if its gap were the truth, "
        "in closed form; part of the bias stays, and it may be below 0.",
    ),
    ("Brier score", "Squared distance of the probabilities from the label's unit vector, from 0 to 2."),
    ("CRPS", "Continuous ranked probability score, in units of the target; lower is better."),
    ("Coverage", "How often the target falls into the central 90% interval; below 90% the learner is overconfident."),
    (
        "Test and pool",
        "Scores on the rest of the pool are of the rows not bought, which differ by learner: what they would have said "
        "of the labels that they left.",
    ),
    texts.intervals(
        "Ratios and differences are paired by seed. For the mean over problems, each seed counts with its linear "
        "influence on the ratios. Bands in figures are Student's t intervals."
    ),
    texts.failures("they predict by chance"),
    texts.cost("training, querying (choosing what to buy), and the rest: evaluation and the environment"),
]

LAYOUT = Layout(
    columns=(
        Column("accuracy", "accuracy %", 1, places=1, scale=100),
        Column("rmse", "RMSE", 2),
        Column("area", "area", 4),
        Column("area_interval", "95%", 7),
        Column("regret_best", "regret %", 5, places=1, scale=100),
        Column("regret_best_interval", "95%", 17, places=1, scale=100),
        Column("speed_up", "speed-up", 6),
        Column("labels_90", "to 90%", 15),
        Column("labels_95", "to 95%", 16),
        Column("nll", "NLL", 8),
        Column("ece_debiased", "ECE %", 9, places=1, scale=100),
        Column("pool_ece_debiased", "pool ECE %", 10, places=1, scale=100),
        Column("coverage_90", "90% covers", 11, places=1, scale=100),
        Column("pool_coverage_90", "on pool", 12, places=1, scale=100),
        Column("bought", "bought", 13),
        Column("seconds", "seconds", 14),
        Column("failures", "failed", 3, places=0),
    ),
    note="area: mean accuracy or RMSE over labels; regret %: of learning nothing; 95%: interval of the mean over seeds",
    splits="accuracy",
)


def report(results: ActiveResults) -> Report:
    """Returns the report of an experiment."""
    how = figures.lines(results)

    def items(label: str, anchor: str) -> list[Item]:
        scores = tables.prediction_table(results, label)
        by = "mean accuracy, the highest" if results.measure(label) == "accuracy" else "mean RMSE, the lowest"
        return [
            *([f"Ordered by {by} first. {comparison(results)}"] if results.of(label) else []),
            *(tables.area_map(results, label) if scores else []),
            tables.learning_table(results, label),
            partial(figures.curves_of, results, label, how, anchor),
            *scores,
            partial(figures.calibration_of, results, label, how, anchor),
        ]

    cost = cost_section(
        results,
        tables.cost(results),
        (
            ("training_seconds", "Training", "seconds"),
            ("querying_seconds", "Querying", "seconds"),
            ("milliseconds", "Querying", "ms per label"),
            ("rest_seconds", "Rest", "seconds"),
            ("memory_mb", "Memory", "MB at most"),
        ),
        {"training_seconds": None, "querying_seconds": INK, "rest_seconds": GRID},
        "Training (coloured), querying (black), rest",
        how.learner_styles(),
    )
    evaluations = results.experiment.get("evaluations")
    return assemble(
        results,
        opening=_overall(results),
        sections=[*problem_sections(results, items), cost],
        definitions=DEFINITIONS,
        styles=how.learner_styles(),
        facts={"Evaluated": f"at most {evaluations:,} times per seed" if evaluations else None},
        diverging=", and predict by chance",
    )


def _overall(results: ActiveResults) -> list[Section]:
    """Returns how the learners stand over all problems, where there are several."""
    labels, ranking = results.labels("problem"), tables.rank(results)
    if len(labels) < 2 or not ranking.problems:
        return []
    heat = tables.overall_map(results, ranking)
    known = [problem.label for problem in ranking.problems]
    missing = [label for label in labels if label not in known]
    notes = [RANKED, comparison(results), *([f"{', '.join(missing)}: no regret is known there."] if missing else [])]
    return [
        Section("Overall", "overall", [*heat, ranking_table(results, ranking, "All learners" if heat else ""), *notes])
    ]
