"""A figure of fixed size in the page's style, and the way from matplotlib's SVG to one that can stand inside a page."""

import html
import io
import re
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from vbandits.report.formats import compact, shortened
from vbandits.report.palette import GRID, INK, MUTED, VARIABLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 400.0
"""Width in points; the page scales it to its own."""
LEFT = 44.0
FONT = 12.0
LETTER = 6.7
"""Width of a letter, in points, by which room for labels is made."""
LONGEST = 23
"""Most letters of a label in a figure."""


def shorten(label: str) -> str:
    """Returns a label cut to what a figure has room for."""
    return shortened(label, LONGEST)


class Sheet:
    """Takes what canvases draw as figures of matplotlib, in place of SVG.

    Args:
        parts: of a figure, that are drawn into one after the other; by default each canvas has a figure of its own.
    """

    def __init__(self, parts: Sequence[Any] = ()) -> None:
        self.figures: list[Any] = []
        self._parts = parts

    def take(self, width: float, height: float) -> Any:
        """Returns what is drawn into next, for a size in points."""
        from matplotlib.figure import Figure

        part = self._parts[len(self.figures)] if self._parts else Figure(figsize=(width / 72, height / 72))
        self.figures.append(part)
        return part


SHEET: ContextVar[Sheet | None] = ContextVar("sheet", default=None)
"""Where canvases draw, if not for a page."""


class Canvas:
    """A matplotlib figure outside pyplot: nothing to close, no display; its style holds inside `with` alone."""

    def __init__(self, height: float, salt: str, width: float = WIDTH) -> None:
        self._height, self._salt, self._width = height, salt, width
        self._style: Any = {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": FONT,
            "axes.labelsize": FONT,
            "xtick.labelsize": FONT - 0.5,
            "ytick.labelsize": FONT - 0.5,
            "text.color": INK,
            "axes.labelcolor": MUTED,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": INK,
            "xtick.color": GRID,
            "ytick.color": GRID,
            "axes.edgecolor": GRID,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.spines.left": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.6,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "axes.facecolor": "none",
            "figure.facecolor": "none",
            "svg.fonttype": "none",
            "svg.hashsalt": salt,
            "text.parse_math": False,
        }

    def __enter__(self) -> "Canvas":
        from matplotlib import rc_context

        self._context = rc_context(self._style)
        self._context.__enter__()
        self._figure = (SHEET.get() or Sheet()).take(self._width, self._height)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def axes(self, left: float, top: float, right: float, bottom: float) -> "Axes":
        """Returns axes with these margins, in points."""
        from matplotlib.ticker import MaxNLocator

        width, height = self._width - left - right, self._height - top - bottom
        box = (left / self._width, bottom / self._height, width / self._width, height / self._height)
        axes = self._figure.add_axes(box)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5 if width > 200 else 3, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: compact(round(value, 10)))
        return axes

    def axes_height(self, axes: "Axes") -> float:
        """Returns the height of axes in points."""
        return axes.get_position().height * self._height

    def label_width(self, labels: Sequence[str]) -> float:
        """Returns the room that labels need, in points."""
        return LETTER * max((len(shorten(label)) for label in labels), default=0) + 4

    def heading(self, axes: "Axes", text: str, inset: bool = False) -> None:
        """Writes what the vertical axis shows above it, where it reads without turning the head."""
        box = axes.get_position()
        x = 4 / self._width if inset or box.x0 * self._width <= LEFT else box.x0
        self._figure.text(x, 1 - 13 / self._height, text, color=INK, va="baseline")

    def legend(self, axes: "Axes", title: str, markers: Sequence[tuple[str, str]]) -> None:
        """Writes a title and what the markers mean above axes."""
        from matplotlib.lines import Line2D

        y = 1 - 13 / self._height
        self._figure.text(4 / self._width, y, title, color=INK, va="baseline")
        room = [max(52.0, 24 + LETTER * len(text)) for _, text in markers]
        x = self._width - 14 - sum(room)
        for (marker, text), width in zip(markers, room, strict=True):
            point = Line2D(
                [(x + 10) / self._width],
                [y + 4 / self._height],
                marker=marker,
                color=MUTED,
                markersize=5,
                linestyle="none",
            )
            self._figure.add_artist(point)
            self._figure.text((x + 18) / self._width, y, text, color=MUTED, va="baseline")
            x += width

    def svg(self, label: str, under: str = "") -> str:
        """Returns the figure as SVG for a page, with a text for those who do not see it.

        Args:
            label: the text.
            under: identifier of a `symbol` of the same size that is shown below it.
        """
        if SHEET.get() is not None:
            self._figure.get_figure(root=True).draw_without_rendering()  # makes ticks while the style holds
            return ""
        box, body = self._parts()
        below = f'<use href="#{under}"/>' if under else ""
        return f'<svg class="figure" role="img" aria-label="{html.escape(label)}" {box}>{below}{body}'

    def symbol(self, identifier: str) -> str:
        """Returns the figure as SVG that is not shown by itself, for others to refer to."""
        box, body = self._parts()
        hidden = '<svg class="shared" width="0" height="0" aria-hidden="true">'
        return f'{hidden}<symbol id="{identifier}" {box}>{body.removesuffix("</svg>")}</symbol></svg>'

    def _parts(self) -> tuple[str, str]:
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        file = io.StringIO()
        metadata: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
        with warnings.catch_warnings():  # letters are those of whoever reads it, not of matplotlib's font
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
            FigureCanvasSVG(self._figure).print_svg(file, metadata=metadata)
        return embed(file.getvalue(), self._salt)


def embed(svg: str, prefix: str) -> tuple[str, str]:
    """Returns the view box of an SVG file, and what is in it with ids of its own and the page's colours."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    body = re.sub(r"<[^>]*>", lambda tag: _adapted(tag.group(), prefix), svg[svg.index(">") + 1 :])
    return box.group(), re.sub(r"\n\s*", "\n", body)


def _adapted(tag: str, prefix: str) -> str:
    tag = re.sub(r'\b(?:xlink:)?href="#', f'href="#{prefix}-', tag)
    tag = re.sub(r"(\.\d)\d+", r"\1", tag)  # a tenth of a point is hardly seen
    tag = re.sub(r'\bid="', f'id="{prefix}-', tag).replace("url(#", f"url(#{prefix}-")
    return re.sub("#[0-9a-f]{6}", lambda color: _themed(color.group()), tag)


def _themed(color: str) -> str:
    return f"var({VARIABLES[color]})" if color in VARIABLES else color
