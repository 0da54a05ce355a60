"""What the report of a supervised experiment says, dataset by dataset."""

from functools import partial

from vbandits.benchmarks.supervised import figures
from vbandits.benchmarks.supervised.results import AUROC, CORRUPTED, SupervisedResults
from vbandits.experiment.report import ProblemTable, assemble, comparison, cost_section, problem_sections
from vbandits.report import palette, texts
from vbandits.report.formats import decimals, percent_decimals
from vbandits.report.page import Item, Report
from vbandits.report.palette import GRID
from vbandits.report.tables import Table
from vbandits.report.terminal import Column, Layout

HEADS = {"error": ("Error", "%"), "nll": ("NLL", "nats"), "ece": ("ECE", "%"), "brier": ("Brier score", "")}
"""What measures are called, and their units: fractions are shown in percent."""
CLEAN_TITLE, CORRUPTED_TITLE = "In distribution", "Under corruption"

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
        "out of training, for each seed. Shown is the mean over seeds.",
    ),
    (
        "NLL",
        "Mean negative log of the probability of the label, in nats; lower is better. A probability below 2.2e-16 "
        "counts as that.",
    ),
    (
        "ECE",
        "Expected calibration error, in percent: how far confidence is from accuracy, over 15 bins of equal width. It "
        "is biased upwards where bins hold few images; lower is better.",
    ),
    (
        "Brier score",
        "Squared distance of the probabilities from the label's unit vector, from 0 to 2; lower is better.",
    ),
    (
        "AUROC",
        "How well the predictive entropy tells images of an out-of-distribution set from those of the test set: 1 is "
        "perfect, 0.5 is chance. Under corruption: from those of the corrupted test set, which belong to the classes.",
    ),
    (
        "Under corruption",
        "The mean over all kinds of corruption and severities, each of which counts the same. The corruptions are our "
        "own; their numbers compare with nothing but this report's.",
    ),
    (
        "Seeds",
        "A seed is initial weights, minibatches and draws. Every method and every seed trains on the same rows, and is "
        "evaluated on the same images.",
    ),
    texts.intervals("They say nothing of other training or test rows."),
    texts.failures("they predict all classes alike"),
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
        Column("seconds", "seconds", 9),
        Column("failures", "failed", 2, places=0),
    ),
    note="corrupted: mean over corruptions and severities, as NLL and ECE after it; 95%: interval of the mean over "
    "seeds",
    splits="error",
)


def report(results: SupervisedResults) -> Report:
    """Returns the report of an experiment."""
    experiment, styles = results.experiment, palette.styles(results.labels("method"))

    def items(label: str, anchor: str) -> list[Item]:
        drawn = partial(figures.drawings, results, label, HEADS, styles, anchor)
        note = f"Ordered by NLL in distribution. {comparison(results)}"
        return [*_tables(results, label), note, *([drawn] if results.of(label) else [])]

    cost = cost_section(
        results,
        results.costs("seconds", "prediction_seconds"),
        (
            ("seconds", "Training", "seconds"),
            ("prediction_seconds", "Prediction", "seconds"),
            ("memory_mb", "Memory", "MB at most"),
        ),
        {"seconds": None, "prediction_seconds": GRID},
        "Training (the method's colour), prediction (light grey)",
        styles,
    )
    return assemble(
        results,
        sections=[*problem_sections(results, items), cost],
        definitions=DEFINITIONS,
        styles=styles,
        steps="gradient step",
        facts={"Training": f"{experiment['steps']:,} gradient steps on {experiment['batch_size']:,} rows each"},
        diverging=", and predict all classes alike",
    )


def _tables(results: SupervisedResults, dataset: str) -> list[Table]:
    clean, corrupted = ProblemTable(results, dataset), ProblemTable(results, dataset)
    for made, prefix in ((clean, ""), (corrupted, CORRUPTED)):
        for name in results.measures():
            if name.startswith(AUROC):
                made.add(f"{prefix}{name}", "AUROC", name.removeprefix(AUROC), places=3)
            else:
                head, unit = HEADS[name]
                percent = unit == "%"
                places = percent_decimals if percent else decimals
                made.add(f"{prefix}{name}", head, unit, scale=100 if percent else 1, places=places)
    if (clean.rows["temperature"].dropna() != 1).to_numpy().any():
        clean.add("temperature", "Temperature", bold=False)
    clean.ended()
    under = [corrupted.table(CORRUPTED_TITLE)] if corrupted.columns else []
    return [clean.table(CLEAN_TITLE), *under]
