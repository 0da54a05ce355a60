"""The report as one self-contained page."""

from dataclasses import dataclass

from vbandits.report import figures, statistics, wording
from vbandits.report.content import Report
from vbandits.report.palette import Look, looks
from vbandits.report.tables import cost
from vbandits.results import Results


@dataclass(frozen=True)
class Drawing:
    """A figure and its caption."""

    svg: str
    caption: str


def render(report: Report, results: Results) -> str:
    """Returns the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    look = looks([entry["label"] for entry in results.experiment["agents"]])
    totals = cost(results.summary()).loc[list(report.ranking.agents)]
    timed = statistics.exists(totals, "seconds")
    environment = Environment(loader=PackageLoader("vbandits.report", "."), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return environment.get_template("template.html.j2").render(
        report=report,
        look=look,
        drawings=_drawings(report, results, look),
        cost=_drawing(figures.cost(totals, look, "cost")) if timed else None,
        definitions=wording.DEFINITIONS,
        no_calibration=wording.NO_CALIBRATION,
    )


def _drawings(report: Report, results: Results, look: dict[str, Look]) -> dict[str, tuple[Drawing, Drawing | None]]:
    """Returns curves and calibration of every environment that has records."""
    parts = results.parts
    drawn = {}
    for section in report.sections:
        ordered = [row.agent for row in section.table.rows]
        own = {agent: parts[section.label, agent] for agent in ordered if (section.label, agent) in parts}
        if own:
            curves = figures.regret(own, look, section.column.measure, section.label, f"{section.anchor}-curves")
            calibration = figures.calibration(own, look, section.label, f"{section.anchor}-calibration")
            drawn[section.label] = (_drawing(curves), calibration and _drawing(calibration))
    return drawn


def _drawing(figure: figures.Figure) -> Drawing:
    caption = wording.CAPTIONS[figure.caption]
    return Drawing(figure.svg, f"{caption} {wording.CLIPPED}" if figure.clipped else caption)
