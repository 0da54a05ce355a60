"""The results as one self-contained page, and as a table of every measure."""

import platform
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vbandits.files import write_text
from vbandits.report.formats import count
from vbandits.report.page import templates
from vbandits.report.palette import VARIABLES
from vbandits.theory.running import Outcome


def write(outcomes: Sequence[Outcome], folder: Path, command: str) -> Path:
    """Writes `index.html`, `checks.csv` and a file for each figure, each at once or not at all; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "checks.csv", table(outcomes).to_csv(index=False))
    for outcome in outcomes:
        for i, drawing in enumerate(outcome.drawings):
            name = outcome.check.id if len(outcome.drawings) == 1 else f"{outcome.check.id}-{i + 1}"
            write_text(folder / f"{name}.svg", alone(drawing.svg))
    write_text(folder / "index.html", render(outcomes, command))
    return folder / "index.html"


def alone(svg: str) -> str:
    """Returns a figure of the page as a file of its own, in the colours in which it was drawn."""
    colors = "".join(f"{variable}: {color}; " for color, variable in VARIABLES.items())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" style="{colors}"'
    return head + svg.removeprefix("<svg")


def table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Returns a row for every measure; one without measures for a check that could not be computed."""
    columns = ["check", "passed", "measure", "value", "low", "high", "as_expected", "seconds"]
    rows: list[tuple[object, ...]] = []
    for outcome in outcomes:
        own = (outcome.check.id, outcome.passed)
        rows += [
            (*own, each.name, each.value, each.low, each.high, each.passed, round(outcome.seconds, 2))
            for each in outcome.measures
        ]
        if outcome.error:
            rows.append((*own, outcome.error, float("nan"), None, None, False, round(outcome.seconds, 2)))
    return pd.DataFrame(rows, columns=columns)


def render(outcomes: Sequence[Outcome], command: str) -> str:
    """Returns the page."""
    import torch

    from vbandits import __version__

    environment = templates("vbandits.theory", "vbandits.report")
    environment.filters["anchor"] = lambda theme: theme.lower().replace(" ", "-")
    names = dict.fromkeys(outcome.check.theme for outcome in outcomes)
    passed = sum(outcome.passed for outcome in outcomes)
    facts = [
        ("Command", command),
        ("Time", f"{sum(outcome.seconds for outcome in outcomes):,.0f} seconds, one thread"),
        ("Versions", f"vbandits {__version__}, torch {torch.__version__}, Python {platform.python_version()}"),
        ("Machine", f"{platform.system()} {platform.machine()}, CPU"),
        ("Precision", "float64, but for training at growing width, which is in float32"),
    ]
    return environment.get_template("theory.html.j2").render(
        lead=f"{passed} of {count(len(outcomes), 'claim')} as expected",
        outcomes=outcomes,
        themes=[(name, [outcome for outcome in outcomes if outcome.check.theme == name]) for name in names],
        facts=facts,
    )
