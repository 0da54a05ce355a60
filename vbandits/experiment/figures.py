"""Figures by their names: those that all benchmarks have, and how one of them is asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vbandits.experiment.results import StoredResults
from vbandits.registry import unknown
from vbandits.report import overview, paper, robustness
from vbandits.report.formats import count, plural
from vbandits.report.page import Drawing, Panels
from vbandits.report.palette import Style
from vbandits.report.paper import Named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vbandits.experiment.report import Costs


def common(results: StoredResults, costs: "Costs", styles: Mapping[str, Style]) -> dict[str, Named]:
    """Returns the figures of a comparison over all problems by name."""
    found = results.comparison
    over = f"{count(len(found.problems), results.axes[0])} and {count(len(found.seeds), 'seed')}"
    compared = bool(found.known and found.contenders)

    def means() -> Drawing | None:
        return overview.estimates(found, styles, over) if compared else None

    def cost() -> Drawing | None:
        seconds = costs.totals[costs.rate].to_dict()
        what = f"{costs.what}, against {found.measure.name}"
        return overview.pareto(found, styles, seconds, costs.per, what) if compared else None

    def runs(problem: str) -> Drawing | None:
        return robustness.runs(found, styles, problem) if compared and problem in found.problems else None

    several = f"at least two {plural(results.axes[1])} that learn"
    return {
        "means": Named(means, of_problem=False),
        "cost": Named(cost, f"{several}, and their times", of_problem=False),
        "profiles": Named(lambda: robustness.profiles(found, styles) if compared else None, of_problem=False),
        "improvement": Named(
            lambda: robustness.improvement(found, styles) if compared else None, several, of_problem=False
        ),
        "ranks": Named(
            lambda: robustness.ranks(found, styles) if compared else None,
            f"at least five {plural(results.axes[0])} and three {plural(results.axes[1])}",
            of_problem=False,
        ),
        "runs": Named(runs, f"a known {found.measure.name}"),
    }


def figure(results: StoredResults, name: str, where: Mapping[str, str]) -> "Figure":
    """Returns a figure of the report, as matplotlib has it.

    Args:
        results: to be drawn.
        name: of the figure.
        where: the problem that it is of, as `{"environment": "wheel"}`; not needed where there is one.

    Raises:
        ValueError: for a name, an axis or a label that is not known, or if there is nothing to draw.
    """
    from vbandits.experiment.report import report_of

    known = report_of(results).named
    if name not in known:
        raise ValueError(unknown("figure", name, known))
    found, axis = known[name], results.axes[0]
    labels = results.labels(axis)
    given: dict[str, Any] = dict(where)
    problem = given.pop(axis, labels[0] if len(labels) == 1 else None)
    if given or (axis in where and not found.of_problem):
        expected = f"{axis}=..." if found.of_problem else f"nothing but the name: it is of all {plural(axis)}"
        raise ValueError(f"figure {name!r}: expected {expected}, got {', '.join(given or where)}")
    if found.of_problem and problem is None:
        raise ValueError(f"figure {name!r}: expected {axis}=..., one of {', '.join(labels)}; got none")
    if found.of_problem and problem not in labels:
        raise ValueError(unknown(axis, str(problem), labels))

    def draw() -> Drawing | Panels | None:
        return found.draw(problem) if found.of_problem else found.draw()

    drawn = paper.figure(draw)
    if drawn is None:
        place = f" in {problem}" if found.of_problem else ""
        raise ValueError(f"figure {name!r}: expected {found.needs}{place}, got none: there is nothing to draw")
    return drawn
