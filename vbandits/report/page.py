"""A report as parts that a page and a Markdown file both show, and the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vbandits.report.formats import count
from vbandits.report.palette import Style
from vbandits.report.tables import Table

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Drawing:
    """A figure and its caption; without SVG, a note that stands in its place."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Panels:
    """Small figures with one legend and one caption.

    Attributes:
        title: what the vertical axes show.
        svgs: the panels.
        legend: names of the lines and how they are drawn.
        caption: of all.
        columns: panels in a row.
    """

    title: str
    svgs: Sequence[str]
    legend: Sequence[tuple[str, Style]]
    caption: str
    columns: int


Figures = Callable[[], Sequence[Drawing | Panels]]
"""Draws figures that stand side by side, or panels; called when a page is written, and by nothing else."""
Item = str | Table | Figures
"""A part of a section: a note, a table, or figures."""
Facts = list[tuple[str, str]]
"""Names and texts, in order."""


@dataclass(frozen=True)
class Section:
    """A title, the anchor that links lead to, and what stands below it, in order."""

    title: str
    anchor: str
    items: Sequence[Item]

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by their titles."""
        return {item.title: item for item in self.items if isinstance(item, Table)}

    @property
    def wide(self) -> bool:
        """Whether a table of it is printed on a page turned on its side."""
        return any(table.wide for table in self.tables.values())


@dataclass(frozen=True)
class Failure:
    """A reason, and the jobs that failed for it: problem, method and seeds of each."""

    reason: str
    jobs: list[tuple[str, str, str]]

    @property
    def places(self) -> list[str]:
        """The jobs in words."""
        return [f"{problem} · {method} (seeds {seeds})" for problem, method, seeds in self.jobs]


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Attributes:
        name: of the experiment.
        lead: one line of what was run.
        opening: sections before the warnings.
        warnings: what is missing.
        failures: the jobs that failed.
        sections: all others: a problem each, and the cost.
        definitions: what the numbers are.
        facts: how it was made.
        settings: by title, the full configuration of every method and problem, by label.
        styles: how the methods are drawn, by label.
    """

    name: str
    lead: str
    warnings: list[str]
    failures: list[Failure]
    sections: Sequence[Section]
    definitions: Facts
    facts: Facts
    settings: list[tuple[str, list[tuple[str, Facts]]]]
    opening: Sequence[Section] = ()
    styles: Mapping[str, Style] = field(default_factory=dict)

    @property
    def failed(self) -> str:
        """How many jobs failed, in words."""
        return count(sum(len(failure.jobs) for failure in self.failures), "job")


def templates(*packages: str) -> "Environment":
    """Returns the templates of packages, the first that has a name; a value that is missing is an error."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package, ".") for package in packages])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(report: Report) -> str:
    """Returns the page; figures are drawn now."""
    template = templates("vbandits.report").get_template("report.html.j2")
    return template.render(report=report, styles=report.styles)
