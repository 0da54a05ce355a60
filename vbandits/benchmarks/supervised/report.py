"""What the report of a supervised experiment says, dataset by dataset."""

from functools import partial

from vbandits.benchmarks.supervised import figures, tables
from vbandits.benchmarks.supervised.results import SupervisedResults
from vbandits.experiment.report import Costs, assemble, averages, comparison, problem_sections
from vbandits.report import palette, texts
from vbandits.report.page import Item, Report
from vbandits.report.terminal import Column, Layout

RANKED = (
    "Negative log-likelihood on the clean test set in percent of the reference's, the deterministic network's where "
    "there is one, else the first method's; its mean over datasets gives each the same weight. Lower is better."
)
TRUST = (
    ("ece", "ECE", "%", 100.0),
    ("ece_null", "ECE if perfect", "%", 100.0),
    ("ece_debiased", "ECE debiased", "%", 100.0),
    ("smooth_ece", "Smooth ECE", "%", 100.0),
    ("nll_calibration", "NLL", "its calibration", 1.0),
    ("nll_refinement", "NLL", "its refinement", 1.0),
    ("excess_aurc", "Excess AURC", "", 1.0),
    ("corrupted_ece", "ECE", "%, corrupted", 100.0),
    ("severest_ece", "ECE", "%, most severe", 100.0),
)
"""Whether methods can be trusted: columns of the summary, their heads, and by what they are multiplied."""
TRUSTED = (
    "The mean over the datasets in which a score is known, on the clean test set unless it says otherwise. A perfect "
    "model's ECE is what chance alone would show at that many rows."
)

DEFINITIONS = [
    ("Error", "Part of the test images whose most probable class is not their label, in percent."),
    (
        "Predictive distribution",
        "The equal mixture over the posterior's draws of the softmax of the logits (of an ensemble: over its members), "
        "each draw's logits divided by the temperature.",
    ),
    (
        "Temperature",
        "1 unless a method says otherwise; where it is fitted, the one of least NLL of the whole mixture on rows held "
        "out of training, for each seed. Shown is the mean over seeds, and what it adds to the NLL of the test set "
        "that the same draws have at temperature 1.",
    ),
    (
        "NLL",
        "Negative log of the probability of the label, in nats, a probability below 2.2e-16 counting as that: its mean "
        "over images, and its median, as a few images that are surely wrong can make most of a mean; lower is better.",
    ),
    (
        "Brier score",
        "Squared distance of the probabilities from the label's unit vector, from 0 to 2; lower is better.",
    ),
    (
        "Miscalibration, not telling apart",
        "The calibration and the refinement part of a proper score, whose sum it is: what the best increasing function "
        "of confidence would take off (fitted to these very images, so a perfect model has a little), the other "
        "classes keeping their proportions; and what it would leave, as the images are not told apart.",
    ),
    (
        "ECE",
        "Expected calibration error, in percent: how far confidence is from accuracy, over 15 bins of equal width. If "
        "perfect: what a model has that is right about its confidences, its hits being drawn 500 times: the mean, and "
        "95% of draws, for one seed. An ECE in there is no evidence against a model. Debiased: each image counts with "
        "the sign of the others of its bin, so that a perfect model has 0 in the mean; it may be below 0. Smooth: with "
        "a kernel in place of bins, whose width is the error itself.",
    ),
    (
        "Risk-coverage",
        "The error among the images of the highest confidence, against how many these are: what is left of the error "
        "if the others are passed on. Its area is the mean over all coverages; above the best is by how much it is "
        "more than if every hit ranked before every miss.",
    ),
    (
        "AUROC",
        "How well the predictive entropy tells images of an out-of-distribution set from those of the test set: 1 is "
        "perfect, 0.5 is chance. Under corruption: from those of the corrupted test set, which belong to the classes.",
    ),
    (
        "Under corruption",
        "The mean over all kinds of corruption and severities, each of which counts the same, and over kinds at the "
        "highest severity alone. The corruptions are our own; their numbers compare with nothing but this report's.",
    ),
    (
        "Seeds",
        "A seed is initial weights, minibatches and draws. Every method and every seed trains on the same rows, and is "
        "evaluated on the same images.",
    ),
    texts.intervals("They say nothing of other training or test rows."),
    texts.failures(
        "their predictions are scored as nothing",
        "In means they stand as the worst that any method has on the dataset.",
    ),
    *texts.COMPARISON,
    texts.cost("training and all predictions"),
]

LAYOUT = Layout(
    columns=(
        Column("error", "error %", 1, places=2, scale=100),
        Column("error_interval", "95%", 6, places=2, scale=100),
        Column("nll", "NLL", 3),
        Column("nll_interval", "95%", 10),
        Column("ece", "ECE %", 7, places=2, scale=100),
        Column("corrupted_error", "corrupted %", 4, places=1, scale=100),
        Column("corrupted_nll", "NLL", 5),
        Column("corrupted_ece", "ECE %", 8, places=1, scale=100),
        Column("severest_error", "severest %", 11, places=1, scale=100),
        Column("severest_nll", "NLL", 12),
        Column("seconds", "seconds", 9),
        Column("failures", "failed", 2, places=0),
    ),
    note="corrupted: mean over corruptions and severities, as NLL and ECE after it; severest: at the highest severity "
    "alone; 95%: interval of the mean over seeds",
    splits="error",
)


def report(results: SupervisedResults) -> Report:
    """Returns the report of an experiment."""
    experiment, styles = results.experiment, palette.styles(results.labels("method"))

    def items(label: str, anchor: str) -> list[Item]:
        drawn = [partial(draw, results, label, styles, anchor) for draw in figures.ALL]
        note = f"Ordered by NLL in distribution. {comparison(results)}"
        return [*tables.all_tables(results, label), note, *(drawn if tables.known(results, label) else [])]

    costs = Costs.per_run(
        results,
        "prediction_seconds",
        ("Training", "Prediction"),
        "Training (the method's colour), prediction (light grey)",
        "time of training per run, seeds in lockstep",
    )
    return assemble(
        results,
        problems=problem_sections(results, items),
        trust=averages(results, TRUST, TRUSTED),
        costs=costs,
        notes=[] if len(results.labels("dataset")) == 1 else [RANKED],
        definitions=DEFINITIONS,
        styles=styles,
        steps="gradient step",
        facts={"Training": f"{experiment['steps']:,} gradient steps on {experiment['batch_size']:,} rows each"},
        diverging=" (scored as nothing: in means they stand as the worst that any method has there)",
        warnings=tables.warnings(results),
        named=figures.named(results, styles),
    )
