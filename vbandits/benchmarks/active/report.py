"""What the report of active learning says: the learners over all problems, and problem by problem."""

from functools import partial

from vbandits.benchmarks.active import figures, tables
from vbandits.benchmarks.active.results import ActiveResults
from vbandits.experiment.report import Costs, assemble, averages, comparison, problem_sections
from vbandits.report import texts
from vbandits.report.page import Item, Report
from vbandits.report.palette import GRID, INK
from vbandits.report.terminal import Column, Layout

RANKED = (
    "By how much the mean accuracy (or RMSE) over labels is better than that of the learner of the same method that "
    "buys at random, in percent of what there was to learn, and its mean over problems, each of which has the same "
    "weight. Higher is better; below 0, labels bought at random would be worth more. It says what an acquisition "
    "is worth to its method, not which method is best: see what was learned."
)
UNPAIRED = (
    "Mean accuracy (or RMSE) over labels, in percent of what there was to learn, and its mean over problems, each of "
    "which has the same weight. Higher is better. Not every method has a learner that buys at random, so there is "
    "nothing to pair with."
)

TRUSTED = (
    "Predictions at the end, the mean over the problems in which a score is known. A perfect model's ECE is what "
    "chance alone would show at that many rows."
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
        "Gain",
        "By how much the area is better than that of the learner of the same method that buys at random, paired by "
        "seed. Where settings of a method are tuned, random is the mean of all its settings.",
    ),
    (
        "Labels saved",
        "How many labels fewer than random of the same method for the same accuracy (or RMSE): the distance between "
        "the mean curves, averaged over all that random went through. Negative where more are needed; what a learner "
        "never has counts as reached with all labels bought. A copy of random has 0 within its interval.",
    ),
    (
        "Learned",
        "The area in percent of what there was to learn: 0 is the mean of all learners of the problem before the first "
        "purchase, 100 the best mean that any of them had at the end or with all labels of the pool.",
    ),
    (
        "Simple regret",
        "How far the last model falls short of the best fit to all labels by any learner of the problem, in points of "
        "accuracy or units of RMSE. It is the only regret here: one that is summed up and divided by that of each "
        "learner's own start favours whoever starts badly.",
    ),
    (
        "Labels to an accuracy",
        "Labels known at the first evaluation that has it: the median over seeds; ∞ where most seeds never have it.",
    ),
    (
        "NLL",
        "Negative log probability (or density) of the label, in nats: its mean, which a few rows that are surely wrong "
        "can make, and its median over rows; lower is better.",
    ),
    (
        "ECE",
        "Expected calibration error of the most probable class, over 15 bins of equal width, in percent. If perfect: "
        "what a model has that is right about its confidences, as many rows being drawn, and 95% of such draws; an ECE "
        "in there is no evidence against a model. Debiased: each row counts with the sign of the other rows of its "
        "bin, so that a perfect model has 0 in the mean; it may be below 0.",
    ),
    ("Brier score", "Squared distance of the probabilities from the label's unit vector, from 0 to 2."),
    ("CRPS", "Continuous ranked probability score, in units of the target; lower is better."),
    ("Coverage", "How often the target falls into the central 90% interval; below 90% the learner is overconfident."),
    (
        "Test and pool",
        "Scores on the rest of the pool are of the rows not bought, which differ by learner: what they would have said "
        "of the labels that they left.",
    ),
    texts.intervals("Differences are paired by seed; those of labels saved are the jackknife's."),
    texts.failures(
        "they are scored as nothing: predictions at the end are of the other seeds, and curves stop",
        "In accuracy, RMSE and area a seed that diverged stands as the worst that any learner has in the problem.",
    ),
    *texts.COMPARISON,
    texts.cost("training, querying (choosing what to buy), and the rest: evaluation and the environment"),
]

LAYOUT = Layout(
    columns=(
        Column("accuracy", "accuracy %", 1, places=1, scale=100),
        Column("rmse", "RMSE", 2),
        Column("area", "area", 4),
        Column("area_interval", "95%", 7),
        Column("relative_area", "gain %", 5, places=1, scale=100),
        Column("relative_area_interval", "95%", 17, places=1, scale=100),
        Column("labels_saved", "saved", 6, places=1),
        Column("labels_saved_interval", "95%", 18, places=1),
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
    note="area: mean accuracy or RMSE over labels; gain %: over random of the same method (without one, over the "
    "start), of what there was to learn; saved: labels, over random; 95%: interval of the mean over seeds",
    splits="accuracy",
)


def report(results: ActiveResults) -> Report:
    """Returns the report of an experiment."""
    how = figures.lines(results)

    def items(label: str, anchor: str) -> list[Item]:
        scores = tables.prediction_table(results, label)
        level = "mean accuracy, the highest" if results.measure(label) == "accuracy" else "mean RMSE, the lowest"
        by = "the gain over random of the same method, the highest" if results.paired else level
        return [
            *([f"Ordered by {by} first. {comparison(results)}"] if results.of(label) else []),
            *(tables.area_map(results, label) if scores else []),
            tables.learning_table(results, label),
            partial(figures.curves_of, results, label, how, anchor),
            *scores,
            partial(figures.calibration_of, results, label, how, anchor),
        ]

    costs = Costs(
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
        rate="rate",
        per="label",
        what="time of training and querying per label bought",
    )
    evaluations = results.experiment.get("evaluations")
    return assemble(
        results,
        problems=problem_sections(results, items),
        trust=averages(results, tables.TRUST, TRUSTED),
        costs=costs,
        notes=[RANKED if results.paired else UNPAIRED],
        ranked=tables.overall_map(results) if len(results.labels("problem")) > 1 else [],
        definitions=DEFINITIONS,
        styles=how.learner_styles(),
        facts={"Evaluated": f"at most {evaluations:,} times per seed" if evaluations else None},
        diverging=" (scored as nothing: in accuracy, RMSE and area they stand as the worst run of the problem)",
        named=figures.named(results, how),
    )
