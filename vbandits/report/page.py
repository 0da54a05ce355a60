"""The report of a bandit experiment as one self-contained page, and what every page has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbandits.benchmarks.bandits.report import BanditReport
from vbandits.benchmarks.bandits.results import Results
from vbandits.report import figures, statistics, wording
from vbandits.report.common import Report
from vbandits.report.palette import Look, looks
from vbandits.report.tables import cost

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Drawing:
    """A figure and its caption."""

    svg: str
    caption: str


def templates(*packages: str) -> "Environment":
    """Returns the templates of packages, the first that has a name; a value that is missing is an error."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package, ".") for package in packages])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def fill(template: str, report: Report, **values: Any) -> str:
    """Returns a template with these values, in a page that stands alone."""
    return templates("vbandits.report").get_template(template).render(report=report, **values)


def render(report: BanditReport, results: Results) -> str:
    """Returns the page."""
    look = looks(results.labels("agent"))
    totals = cost(results.summary()).loc[list(report.ranking.agents)]
    timed = statistics.exists(totals, "seconds")
    return fill(
        "bandits.html.j2",
        report,
        look=look,
        drawings=_drawings(report, results, look),
        cost=drawing(figures.cost(totals, look, "cost")) if timed else None,
        no_calibration=wording.NO_CALIBRATION,
    )


def _drawings(
    report: BanditReport, results: Results, look: dict[str, Look]
) -> dict[str, tuple[Drawing, Drawing | None]]:
    """Returns curves and calibration of every environment that has records."""
    parts = results.parts
    drawn = {}
    for section in report.sections:
        ordered = [row.agent for row in section.table.rows]
        own = {agent: parts[section.label, agent] for agent in ordered if (section.label, agent) in parts}
        if own:
            curves = figures.regret(own, look, section.column.measure, section.label, f"{section.anchor}-curves")
            calibration = figures.calibration(own, look, section.label, f"{section.anchor}-calibration")
            drawn[section.label] = (drawing(curves), calibration and drawing(calibration))
    return drawn


def drawing(figure: figures.Figure) -> Drawing:
    """Returns a figure with its caption."""
    caption = wording.CAPTIONS[figure.caption]
    return Drawing(figure.svg, f"{caption} {wording.CLIPPED}" if figure.clipped else caption)
