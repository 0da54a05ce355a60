"""The figures of the theory page. They are drawn here, and computed by the checks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from vbandits.report.canvas import LEFT, Canvas
from vbandits.report.page import Drawing
from vbandits.report.palette import COLORS, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vbandits.theory.logistic import Flow
    from vbandits.theory.toy import Band
    from vbandits.theory.widths import Sweep

HEIGHT, TOP, BOTTOM, EDGE = 260.0, 26.0, 40.0, 14.0
LABELS = 86.0
"""Room for names beside curves, in points."""
NAMES = {"mup": "muP", "sp": "SP", "ntp": "NTP"}
LOOKS = dict(zip(NAMES, COLORS, strict=False))
SHADES = ("#56b4e9", "#0173b2", "#029e73", "#de8f05", "#d55e00")
"""From narrow to wide."""


def rate(weights: Sequence[float], distances: Sequence[float]) -> list[Drawing]:
    """Returns the distance to the implicit-bias limit against the weight of an explicit distance."""
    with _panel("rate", EDGE) as (canvas, axes):
        line = distances[-1] * np.array(weights) / weights[-1]
        _line(axes, weights, line, MUTED, dashed=True)
        _line(axes, weights, distances, COLORS[0], marker="o")
        _logarithmic(axes)
        axes.set(xlabel="Weight λ of the explicit distance")
        axes.text(weights[1] * 0.8, line[1] * 1.3, "slope 1", color=MUTED, ha="right", va="bottom")
        canvas.heading(axes, "Distance to the limit of IBVI")
        label = ", ".join(f"{w:.1e}: {d:.1e}" for w, d in zip(weights, distances, strict=True))
        caption = (
            "Variational inference with an explicit 2-Wasserstein distance to the prior, in a linear model: its "
            "minimiser tends to where IBVI ends without one."
        )
        return [Drawing(canvas.svg(f"Distance to the limit of IBVI against the weight: {label}."), caption)]


def stability(ranks: Sequence[int], largest: Mapping[bool, Sequence[float]]) -> list[Drawing]:
    """Returns the largest stable learning rates against the rank."""
    with _panel("stability") as (canvas, axes):
        for divided, color, name in ((True, COLORS[0], "divided"), (False, COLORS[1], "not divided")):
            _line(axes, ranks, largest[divided], color, marker="o")
            _named(axes, largest[divided][-1], name)
        _logarithmic(axes, base=2)
        axes.set(xlabel="Rank of the factor")
        canvas.heading(axes, "Largest stable learning rate")
        ends = f"{largest[True][-1]:.2g} where divided, {largest[False][-1]:.2g} where not"
        label = f"Largest stable learning rate against rank; at rank {ranks[-1]}: {ends}."
        caption = (
            "Sampled gradients: with the factor's learning rate divided by its rank, what is stable does not depend on "
            "the rank."
        )
        return [Drawing(canvas.svg(label), caption)]


def decay(spanned: "Flow", alone: "Flow", exponent: float) -> list[Drawing]:
    """Returns standard deviations against time in classification."""
    with _panel("decay") as (canvas, axes):
        total = np.linalg.norm(spanned.deviation, axis=1)
        thin = slice(None, None, 25)
        middle = len(total) // 2
        line = total[middle] * (spanned.time / spanned.time[middle]) ** -exponent
        _line(axes, spanned.time[thin], line[thin], MUTED, dashed=True)
        for flow, values, color, name in (
            (spanned, total, COLORS[0], "spanned"),
            (alone, alone.deviation[:, 0], COLORS[1], "not spanned"),
        ):
            _line(axes, flow.time[thin], values[thin], color)
            _named(axes, values[-1], name)
        _logarithmic(axes)
        axes.set(xlabel="Time of gradient flow, t", xlim=(spanned.time[0], min(spanned.time[-1], alone.time[-1])))
        canvas.heading(axes, "Standard deviation of weights")
        label = (
            f"Standard deviations against time: in the support vectors' span to {total[-1]:.1e}, in a direction that a "
            f"row beyond spans alone to {alone.deviation[-1, 0]:.2g}."
        )
        caption = (
            f"Exponential loss: in the support vectors' span as t^−{exponent:.2f} (dashed), and in a direction that "
            "only a row of larger margin spans."
        )
        return [Drawing(canvas.svg(label), caption)]


def learning_rates(widths: Sequence[int], sweeps: Mapping[str, "Sweep"]) -> list[Drawing]:
    """Returns loss against learning rate at every width, a figure per parametrisation."""
    drawings = []
    finite = np.concatenate([sweep.losses[np.isfinite(sweep.losses)] for sweep in sweeps.values()])
    top = float(np.quantile(finite, 0.9))
    for form, sweep in sweeps.items():
        with _panel(f"rates-{form}") as (canvas, axes):
            for losses, color in zip(sweep.losses, SHADES, strict=True):
                known = np.isfinite(losses)
                _line(axes, sweep.rates[known], losses[known], color)
                least = int(np.argmin(losses))
                axes.plot([sweep.rates[least]], [losses[least]], marker="o", color=color, markersize=6)
            _logarithmic(axes, base=2, y=False)
            axes.set(xlabel="Learning rate", ylim=(0, top))
            _key(axes, [f"{width:,}" for width in widths], SHADES, "Width")
            canvas.heading(axes, f"Expected loss, {NAMES[form]}")
            best = ", ".join(f"{w:,}: {b:.2g}" for w, b in zip(widths, sweep.best, strict=True))
            svg = canvas.svg(f"Loss against learning rate under {NAMES[form]}; best learning rates by width: {best}.")
        what = "the best learning rate stays" if form == "mup" else "the best learning rate falls with the width"
        caption = (
            f"IBVI after 100 steps under {NAMES[form]}: {what}. Dots are the best of each width; curves end where "
            "training diverges."
        )
        drawings.append(Drawing(svg, caption))
    return drawings


def function_widths(
    before: Mapping[str, Mapping[int, float]], after: Mapping[str, Mapping[int, float]], restored: Mapping[int, float]
) -> list[Drawing]:
    """Returns the standard deviation of functions against the width, of prior and posterior."""
    everything = [value for stds in (*before.values(), *after.values()) for value in stds.values()]
    frame = (min(everything) / 1.6, max(everything) * 1.6)
    forms = {NAMES[form]: (LOOKS[form], form == "sp") for form in before}
    looks = {**forms, "muP, set to 0.5": (COLORS[4], False)}
    drawings = []
    for what, stds, caption in (
        (
            "Prior",
            {**before, "restored": restored},
            "One hidden layer, first and last layer stochastic, before training: what varies with the input. SP and "
            "NTP start alike.",
        ),
        ("Posterior", after, "The same networks without that setting, trained on twelve rows, at new inputs."),
    ):
        shown = dict(zip(looks, stds.values(), strict=False))
        with _panel(f"widths-{what.lower()}", LABELS + 24) as (canvas, axes):
            for name, values in shown.items():
                color, dashed = looks[name]
                _line(axes, [*values], [*values.values()], color, marker="o", dashed=dashed)
            _logarithmic(axes, base=2)
            axes.set(xlabel="Width", ylim=frame)
            _key(axes, [*shown], [looks[name][0] for name in shown], "")
            canvas.heading(axes, f"{what}: standard deviation of functions")
            ends = ", ".join(f"{name} {[*values.values()][-1]:.2g}" for name, values in shown.items())
            svg = canvas.svg(f"{what} standard deviation of functions at the largest width: {ends}.")
        drawings.append(Drawing(svg, caption))
    return drawings


def bands(shown: Sequence["Band"], x: np.ndarray, y: np.ndarray) -> list[Drawing]:
    """Returns means and bands of two standard deviations on one-dimensional data with a gap."""
    drawings = []
    for band, color in zip(shown, (MUTED, COLORS[0], COLORS[1], COLORS[2]), strict=False):
        with _panel(f"band-{band.name.lower().replace(' ', '-')}", EDGE, LEFT) as (canvas, axes):
            low, high = band.mean - 2 * band.std, band.mean + 2 * band.std
            axes.fill_between(band.x, low, high, facecolor=(color, 0.15), edgecolor=(color, 0.5), linewidth=0.6)
            for draw in band.draws:
                axes.plot(band.x, draw, color=color, linewidth=0.6, alpha=0.5)
            _line(axes, band.x, band.mean, color)
            axes.plot(x, y, marker="o", color=INK, markersize=3.5, linestyle="none", zorder=4)
            axes.set(xlabel="x", xlim=(band.x[0], band.x[-1]), ylim=(-4, 4))
            canvas.heading(axes, band.name)
            svg = canvas.svg(
                f"{band.name}: mean and two standard deviations; {band.gap:.2f} in the gap of the data, "
                f"{band.at_data:.2f} at the data."
            )
        drawings.append(Drawing(svg, band.caption))
    return drawings


@contextmanager
def _panel(name: str, right: float = LABELS, left: float = LEFT + 8) -> Iterator[tuple[Canvas, "Axes"]]:
    """Yields a canvas with axes between margins, in points."""
    with Canvas(HEIGHT, f"theory-{name}") as canvas:
        yield canvas, canvas.axes(left, TOP, right, BOTTOM)


def _line(axes: "Axes", x: Any, y: Any, color: str, *, marker: str = "", dashed: bool = False) -> None:
    axes.plot(
        x,
        y,
        color=color,
        marker=marker,
        markersize=4,
        linewidth=1.8 if not dashed else 1.2,
        linestyle=(0, (4, 3)) if dashed else "solid",
    )


def _logarithmic(axes: "Axes", base: int = 10, y: bool = True) -> None:
    """Makes axes logarithmic, with few ticks written as numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    for name, axis in {"x": axes.xaxis, "y": axes.yaxis}.items():
        if name == "y" and not y:
            continue
        own = base if name == "x" else 10
        getattr(axes, f"set_{name}scale")("log", base=own)
        low, high = axis.get_view_interval()
        decades = np.log(high / low) / np.log(own)
        wide = bool(own == 10 and decades > 6)
        axis.set_major_locator(LogLocator(own, subs=(1.0,) if decades >= 2 else (1.0, 2.0, 5.0), numticks=7))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _, wide=wide: _power(value, wide))


def _power(value: float, wide: bool) -> str:
    """Returns 0.01, 1/32, 1, 256, or on a wide axis a power of ten with its exponent raised."""
    if 1e-3 < value < 0.3 and np.log2(value).is_integer():
        return f"1/{1 / value:.0f}"
    if 1e-4 < value < 1e5 and not wide:
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    exponent = round(np.log10(value))
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if np.isclose(10.0**exponent, value, rtol=1e-6) else f"{value:.0e}"


def _named(axes: "Axes", value: float, name: str) -> None:
    """Writes a curve's name beside its end."""
    axes.annotate(
        name, (1.02, value), xycoords=("axes fraction", "data"), va="center", color=INK, annotation_clip=False
    )


def _key(axes: "Axes", names: Sequence[str], colors: Sequence[str], title: str) -> None:
    """Writes what colours mean beside axes."""
    axes.text(1.05, 0.97, title, transform=axes.transAxes, color=MUTED, va="center")
    for i, (name, color) in enumerate(zip(names, colors, strict=True)):
        y = 0.87 - 0.1 * i
        axes.plot([1.05, 1.12], [y, y], color=color, linewidth=2.2, transform=axes.transAxes, clip_on=False)
        axes.text(1.15, y, name, transform=axes.transAxes, color=INK, va="center")
