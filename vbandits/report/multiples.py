"""Small multiples: every method's curve before all others in grey, which are drawn once."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vbandits.report.canvas import FONT, Canvas, shorten
from vbandits.report.figures import Curve, Frame, draw
from vbandits.report.page import Panels
from vbandits.report.palette import GRID, INK, MUTED, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 200.0, 138.0
"""Of a panel, in points."""
MARGINS = (36.0, 22.0, 14.0, 22.0)
COLUMNS = 4


def multiples(
    shown: Sequence[Curve],
    styles: Mapping[str, Style],
    frame: Frame,
    caption: str,
    salt: str,
    *,
    leader: str = "",
    baseline: str = "",
    finish: Callable[["Axes"], Any] = lambda axes: None,
) -> Panels:
    """Returns a panel for each curve but the baseline's, unless there is no other.

    Args:
        shown: the curves, in the order of the panels.
        styles: by label.
        frame: of the axes, the same for all panels.
        caption: of all panels.
        salt: makes ids unique.
        leader: label of the curve that is dark in every panel.
        baseline: label of the curve that is dotted in every panel.
        finish: sets what else the axes have, such as a scale.
    """
    below = f"{salt}-below"
    with Canvas(HEIGHT, below, WIDTH) as canvas:
        axes = _axes(canvas, frame, finish)
        for curve in shown:
            if curve.label == baseline:
                axes.plot(curve.x, curve.mean, color=MUTED, linewidth=1.2, linestyle=(0, (1.5, 1.5)))
            elif curve.label == leader:
                axes.plot(curve.x, curve.mean, color=INK, linewidth=1.0, linestyle=(0, (4.0, 1.5)))
            else:
                axes.plot(curve.x, curve.mean, color=GRID, linewidth=1.0)
        shared = canvas.symbol(below)
    panels = [curve for curve in shown if curve.label != baseline] or list(shown)
    svgs = [_panel(curve, styles, frame, finish, f"{salt}-{place}", below) for place, curve in enumerate(panels)]
    legend = [(f"best overall: {leader}", Style(INK, (4.0, 1.5)))] if leader else []
    legend += [(baseline, Style(MUTED, (1.5, 1.5)))] if baseline in [curve.label for curve in shown] else []
    legend += [("others", Style(GRID, ()))] if len(panels) > 2 else []
    return Panels(frame.heading, svgs, legend, caption, min(COLUMNS, max(len(svgs), 2)), shared)


def _axes(canvas: Canvas, frame: Frame, finish: Callable[["Axes"], Any]) -> "Axes":
    axes = canvas.axes(*MARGINS)
    axes.set(xlim=frame.x, ylim=frame.y, ylabel="")
    axes.tick_params(labelsize=FONT - 2.5, pad=2)
    finish(axes)
    return axes


def _panel(
    curve: Curve,
    styles: Mapping[str, Style],
    frame: Frame,
    finish: Callable[["Axes"], Any],
    salt: str,
    below: str,
) -> str:
    with Canvas(HEIGHT, salt, WIDTH) as canvas:
        axes = _axes(canvas, frame, finish)
        draw(axes, [curve], styles)
        axes.set_axis_off()
        canvas.heading(axes, shorten(curve.label), inset=True)
        end = f"{curve.label}: {frame.heading.lower()} against {frame.axis.lower()}, at the end {curve.mean[-1]:.4g}."
        return canvas.svg(end, below)
