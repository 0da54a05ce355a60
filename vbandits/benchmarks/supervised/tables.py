"""The tables of a supervised experiment's report."""

import numpy as np

from vbandits.benchmarks.supervised.results import AUROC, CORRUPTED, SEVEREST, SupervisedResults
from vbandits.experiment.report import ProblemTable
from vbandits.report.formats import decimals, number, percent_decimals
from vbandits.report.tables import Places, Table

HEADS = {"error": ("Error", "%"), "nll": ("NLL", "nats"), "ece": ("ECE", "%"), "brier": ("Brier score", "")}
"""What measures are called, and their units: fractions are shown in percent."""
CLEAN, TRUST = "In distribution", "Can confidence be trusted, in distribution"
UNDER = {CORRUPTED: "Under corruption", SEVEREST: "Under corruption of the highest severity"}
SHOWN = {
    "nll_calibration": ("NLL from", "miscalibration"),
    "nll_refinement": ("NLL from", "not telling apart"),
    "brier_calibration": ("Brier from", "miscalibration"),
    "brier_refinement": ("Brier from", "not telling apart"),
    "ece_debiased": ("ECE debiased", "%"),
    "smooth_ece": ("Smooth ECE", "%"),
    "smooth_ece_null": ("Smooth if perfect", "%"),
    "aurc": ("Risk-coverage area", "%"),
    "excess_aurc": ("above the best", "%"),
}
"""Columns of the second table, with head and unit. None that is of calibration alone has a best one in bold."""


def all_tables(results: SupervisedResults, dataset: str) -> list[Table]:
    """Returns the tables of a dataset: scores and calibration in distribution, and scores under corruption."""
    made = [scores(results, dataset), trust(results, dataset), *(scores(results, dataset, prefix) for prefix in UNDER)]
    return [table for table in made if table.heads]


def scores(results: SupervisedResults, dataset: str, prefix: str = "") -> Table:
    """Returns error, proper scores, ECE beside that of a perfect model, and AUROCs; without columns if there are none.

    Args:
        results: of the experiment.
        dataset: its label.
        prefix: of the columns: none for the clean test set.
    """
    made = ProblemTable(results, dataset)
    for name in results.measures():
        if name.startswith(AUROC):
            made.add(f"{prefix}{name}", "AUROC", name.removeprefix(AUROC), places=3)
        elif name in HEADS:
            head, unit = HEADS[name]
            _add(made, f"{prefix}{name}", head, unit, bold=name != "ece")
        if name == "nll":
            made.add(f"{prefix}nll_median", "NLL", "median of rows", bold=False)
        if name == "ece":
            _add(made, f"{prefix}ece_null", "ECE if perfect", "%")
    if prefix:
        return made.table(UNDER[prefix])
    if (made.rows["temperature"].dropna() != 1).to_numpy().any():
        made.add("temperature", "Temperature", bold=False)
        made.add("temperature_loss", "Temperature", "adds to NLL", bold=False)
    made.ended()
    return made.table(CLEAN)


def trust(results: SupervisedResults, dataset: str) -> Table:
    """Returns the parts of proper scores, calibration errors, and how well confidence ranks hits before misses."""
    made = ProblemTable(results, dataset)
    for name, (head, detail) in SHOWN.items():
        _add(made, name, head, detail, bold=name == "aurc")
    return made.table(TRUST)


def _add(made: ProblemTable, name: str, head: str, detail: str, bold: bool = False) -> None:
    places: Places = percent_decimals if detail == "%" else decimals
    made.add(name, head, detail, scale=100 if detail == "%" else 1, places=places, bold=bold)


def warnings(results: SupervisedResults) -> list[str]:
    """Returns a warning for every method whose fitted temperature raised the NLL of the test set beyond doubt.

    That is where the interval of the difference lies above 0, or with a single seed where the difference does.
    """
    found = []
    for row in results.summary().to_dict("records"):
        loss, low = row["temperature_loss"], row["temperature_loss_low"]
        if loss > 0 and not low <= 0:
            before, places = row["nll"] - loss, decimals([row["nll"]])
            found.append(
                f"{row['dataset']}: the temperature that {row['method']} fitted on rows held out raises the NLL of the "
                f"test set from {number(before, places)} to {number(row['nll'], places)}: too few rows to fit it on, "
                "or others than those tested."
            )
    return found


def known(results: SupervisedResults, dataset: str) -> bool:
    """Returns whether any method has scores on a dataset."""
    return bool(np.isfinite(results.rows(dataset)["nll"].to_numpy(dtype=float)).any())
