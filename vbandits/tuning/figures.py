"""Scores against what was searched: a panel for every field, a point for every setting."""

from collections.abc import Mapping

import numpy as np

from vbandits.experiment import sweeps
from vbandits.report.canvas import Canvas
from vbandits.report.figures import EDGE, TOP
from vbandits.report.formats import number
from vbandits.report.page import Panels
from vbandits.report.palette import INK, MUTED, Style
from vbandits.tuning.results import TunedMethod

WIDTH, HEIGHT, LEFT, BOTTOM = 230.0, 190.0, 44.0, 26.0
ABREAST = 4
"""Least panels that share the width of a page: fewer stay as small."""
CAPTION = (
    "A point for every setting, at its value of the field. The large one is the chosen setting; a ring around it says "
    "that its value is the smallest or the largest that was tried."
)


def panels(method: TunedMethod, style: Style, title: str, salt: str) -> list[Panels]:
    """Returns a panel for every field; none where nothing was searched or no setting has a score."""
    if method.chosen is None or not method.axes:
        return []
    svgs = [_panel(method, field, style, title, f"{salt}-{place}") for place, field in enumerate(method.axes)]
    return [Panels(title, svgs, [], CAPTION, max(len(svgs), ABREAST))]


def _panel(method: TunedMethod, field: str, style: Style, title: str, salt: str) -> str:
    values, chosen = list(method.axes[field]), method.chosen
    whole = [trial for trial in method.trials if trial.whole]
    places = [values.index(trial.setting[field]) for trial in whole]
    scores = np.array([trial.score[0] for trial in whole])
    with Canvas(HEIGHT, salt, WIDTH) as canvas:
        axes = canvas.axes(LEFT, TOP, EDGE, BOTTOM)
        axes.plot(places, scores, marker="o", markersize=4, linestyle="none", color=MUTED, alpha=0.8)
        best = whole.index(chosen) if chosen in whole else 0
        at = ([places[best]], [scores[best]])
        axes.plot(*at, marker="o", markersize=8, linestyle="none", color=style.color, zorder=3)
        if field in method.edges:
            ring = {"markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.2}
            axes.plot(*at, marker="o", markersize=13, linestyle="none", zorder=2, clip_on=False, **ring)
        span = float(np.ptp(scores)) or abs(float(scores[0])) or 1.0
        axes.set_ylim(float(scores.min()) - 0.15 * span, float(scores.max()) + 0.12 * span)
        axes.set_xlim(-0.5, len(values) - 0.5)
        axes.set_xticks(range(len(values)), [_tick(value) for value in values])
        canvas.heading(axes, field)
        shown = zip(places, scores, strict=True)
        told = ", ".join(f"{sweeps.plain(values[place])} {number(score, 3)}" for place, score in shown)
        return canvas.svg(f"{title} of {method.name} against {field}: {told}.")


def _tick(value: object) -> str:
    inner = value.values() if isinstance(value, Mapping) else [value]
    text = ", ".join(map(sweeps.plain, inner))
    return text if len(text) <= 9 else text[:8] + "…"
