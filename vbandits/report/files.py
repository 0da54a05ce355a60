"""Figures and tables of a report as files: SVG, CSV and LaTeX, for a paper or another program."""

import csv
import io
import re
from collections.abc import Iterable, Iterator

from vbandits.report.page import Drawing, File, Panels
from vbandits.report.palette import VARIABLES
from vbandits.report.tables import Table

GAP = 12.0
"""Between panels, in points."""
ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "µ": r"$\mu$",
    "∞": r"$\infty$",
    "²": r"$^2$",
    "…": r"\dots{}",
}


def contents(files: Iterable[File]) -> Iterator[tuple[str, str]]:
    """Yields the path of every file, relative to the report's folder, and its text."""
    for file in files:
        if isinstance(file.item, Table):
            yield f"tables/{file.name}.csv", as_csv(file.item)
            yield f"tables/{file.name}.tex", as_latex(file.item)
        elif isinstance(file.item, Drawing):
            yield f"figures/{file.name}.svg", standalone(file.item.svg)
        else:
            yield f"figures/{file.name}.svg", together(file.item)


def as_csv(table: Table) -> str:
    """Returns a table with its numbers in full, and the ends of their intervals in columns of their own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    widths = [
        max((len(row.entries[column].numbers) for row in table.rows), default=0) for column in range(len(table.heads))
    ]
    heads = [
        [(name := f"{head.text} {head.detail}".strip()), *(f"{name} {end}" for end in ("low", "high")[: width - 1])]
        for head, width in zip(table.heads, widths, strict=True)
    ]
    writer.writerow([table.what, *(harmless(name) for names in heads for name in names)])
    for row in table.rows:
        cells: list[str] = []
        for entry, names in zip(row.entries, heads, strict=True):
            own = [f"{number:.10g}" if number == number else "" for number in entry.numbers]
            cells += (own or [harmless(entry.text)]) + [""] * (len(names) - max(len(own), 1))
        writer.writerow([harmless(row.label), *cells])
    return text.getvalue()


def harmless(text: str) -> str:
    """Returns a text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_latex(table: Table) -> str:
    """Returns a table for the packages booktabs and, where it is wide, graphicx or a smaller font."""
    heads = [
        escaped(head.text) + (rf" {{\scriptsize {escaped(head.detail)}}}" if head.detail else "")
        for head in table.heads
    ]
    lines = [rf"\begin{{tabular}}{{l{'r' * len(heads)}}}", r"\toprule"]
    lines += [" & ".join([escaped(table.what), *heads]) + r" \\", r"\midrule"]
    for row in table.rows:
        cells = []
        for entry in row.entries:
            number = rf"\textbf{{{escaped(entry.text)}}}" if entry.strong else escaped(entry.text)
            cells.append(number + (rf" {{\scriptsize {escaped(entry.interval)}}}" if entry.interval else ""))
        lines.append(" & ".join([escaped(row.label), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escaped(text: str) -> str:
    """Returns text that LaTeX shows as it is."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def standalone(svg: str) -> str:
    """Returns a page's figure as a file: with its own colours instead of the page's, on white."""
    for color, variable in VARIABLES.items():
        svg = svg.replace(f"var({variable})", color)
    left, top, width, height = _box(svg)
    head = svg[: svg.index(">") + 1]
    own = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ')
    own = own[:-1] + f' width="{width:g}pt" height="{height:g}pt" font-family="sans-serif">'
    paper = f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return f"{own}{paper}{svg[len(head) :]}\n"


def together(panels: Panels) -> str:
    """Returns panels as one figure."""
    _, _, width, height = _box(panels.svgs[0])
    columns = panels.columns
    placed = []
    for place, svg in enumerate(panels.svgs):
        x, y = (place % columns) * (width + GAP), (place // columns) * (height + GAP)
        placed.append(svg.replace("<svg ", f'<svg x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" ', 1))
    rows = -(-len(panels.svgs) // columns)
    box = f"0 0 {columns * (width + GAP) - GAP:g} {rows * (height + GAP) - GAP:g}"
    return standalone(f'<svg viewBox="{box}">{panels.shared}{"".join(placed)}</svg>')


def _box(svg: str) -> tuple[float, float, float, float]:
    found = re.search(r'viewBox="([^"]*)"', svg)
    assert found is not None
    left, top, width, height = map(float, found[1].split())
    return left, top, width, height
