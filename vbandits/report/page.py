"""A report as parts that a page, a Markdown file and files of figures and tables all show, and the page."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vbandits.report.canvas import WIDTH
from vbandits.report.formats import count
from vbandits.report.palette import Style
from vbandits.report.tables import Table

if TYPE_CHECKING:
    from jinja2 import Environment

    from vbandits.report.paper import Named


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
        shared: what all panels refer to, drawn once.
    """

    title: str
    svgs: Sequence[str]
    legend: Sequence[tuple[str, Style]]
    caption: str
    columns: int
    shared: str = ""

    @property
    def part(self) -> float:
        """Width of a panel, as part of a figure's: its letters are then as large on the page as those of others."""
        found = re.search(r'viewBox="\S+ \S+ (\S+)', self.svgs[0])
        return float(found[1]) / WIDTH if found else 1.0


Facts = list[tuple[str, str]]
"""Names and texts, in order."""


@dataclass(frozen=True)
class Verdict:
    """What a report concludes, in sentences, and the evidence for it by name."""

    sentences: Sequence[str]
    evidence: Facts


@dataclass(frozen=True)
class File:
    """A table or a figure with the name of its files, without their ending."""

    name: str
    item: Table | Drawing | Panels


Figures = Callable[[], Sequence[Drawing | Panels]]
"""Draws figures that stand side by side, or panels; called once, when a report is written."""
Item = str | Verdict | Table | Figures | File | Sequence[File]
"""A part of a section: a note, a verdict, a table, or figures; once it is drawn, with names for their files."""


@dataclass(frozen=True)
class Section:
    """A title, the anchor that links lead to, and what stands below it, in order."""

    title: str
    anchor: str
    items: Sequence[Item]

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by their titles."""
        found = [item.item if isinstance(item, File) else item for item in self.items]
        return {item.title: item for item in found if isinstance(item, Table)}

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
        made: sections that stand under how it was made, such as how methods differ in their settings.
        named: figures that can be asked for by their names.
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
    made: Sequence[Item] = ()
    named: Mapping[str, "Named"] = field(default_factory=dict)

    @property
    def concluded(self) -> bool:
        """Whether there is a verdict, which says what is missing."""
        return any(isinstance(item, Verdict) for section in self.opening for item in section.items)

    @property
    def failed(self) -> str:
        """How many jobs failed, in words."""
        return count(sum(len(failure.jobs) for failure in self.failures), "job")


def drawn(report: Report) -> tuple[Report, list[File]]:
    """Returns the report with its figures drawn and named, and all of its figures and tables."""
    files: list[File] = []

    def named(section: Section) -> Section:
        items: list[Item] = []
        for item in section.items:
            if isinstance(item, Table):
                place = 1 + sum(isinstance(file.item, Table) and _of(file, section) for file in files)
                files.append(File(f"{section.anchor}-table-{place}", item))
                items.append(files[-1])
            elif callable(item):
                group = []
                for figure in item():
                    place = 1 + sum(not isinstance(file.item, Table) and _of(file, section) for file in files)
                    group.append(File(f"{section.anchor}-figure-{place}", figure))
                    if not isinstance(figure, Drawing) or figure.svg:
                        files.append(group[-1])
                items.append(group)
            else:
                items.append(item)
        return replace(section, items=items)

    opening, sections = ([named(section) for section in own] for own in (report.opening, report.sections))
    made = named(Section("", "made", report.made)).items
    return replace(report, opening=opening, sections=sections, made=made), files


def _of(file: File, section: Section) -> bool:
    return file.name.rpartition("-")[0].rpartition("-")[0] == section.anchor


def templates(*packages: str) -> "Environment":
    """Returns the templates of packages, the first that has a name; a value that is missing is an error."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package, ".") for package in packages])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(report: Report) -> str:
    """Returns the page of a report; figures that are not drawn yet are drawn now."""
    template = templates("vbandits.report").get_template("report.html.j2")
    return template.render(report=drawn(report)[0], styles=report.styles)
