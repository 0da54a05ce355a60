"""What Python has of results: frames, figures for a paper, and a table in a notebook."""

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests import active_results, bandit_results
from vbandits.benchmarks.bandits.figures import _curve
from vbandits.experiment.report import report_of
from vbandits.report import paper
from vbandits.report.canvas import SHEET
from vbandits.report.page import Panels
from vbandits.report.palette import styles

GIVEN = bandit_results.results()


def test_runs_are_what_the_comparison_is_made_of():
    table: Any = GIVEN.runs_table()
    found = GIVEN.comparison
    assert list(table.columns) == ["environment", "agent", "seed", "value", "failed", "lost"]
    assert len(table) == 2 * 3 * 5
    means = table.groupby("agent")["value"].mean()
    for agent in found.labels:
        assert means[agent] == pytest.approx(found.means[agent][0])
    uniform = GIVEN.loss("wheel", "uniform", "cumulative_regret")
    own = GIVEN.loss("wheel", "bad", "cumulative_regret")
    row = table.query("environment == 'wheel' and agent == 'bad' and seed == 3")
    assert row["value"].item() == pytest.approx(100 * own[3] / uniform.mean())
    assert table.groupby("agent")["lost"].sum().to_dict() == {"good": 0, "bad": 10, "uniform": 0}
    assert not table["failed"].any()


def test_failed_runs_have_a_row_and_no_value():
    table: Any = bandit_results.results(failed=(("linear", "bad", "broke"),)).runs_table()
    failed = table[table["failed"]]
    assert set(zip(failed["environment"], failed["agent"], strict=True)) == {("linear", "bad")}
    assert len(failed) == 5
    assert failed["value"].isna().all()
    assert failed["lost"].all()


def test_values_have_the_direction_of_their_measure():
    given = active_results.results(noise=0.1)
    table: Any = given.runs_table()
    means = table.groupby("learner")["value"].mean()
    assert given.compared_by.better == "higher"
    assert means["ibvi bald"] == pytest.approx(100 * given.relative_area("digits", "ibvi bald").mean())
    assert means["ibvi bald"] > 0


def test_held_out_evaluations_are_one_table():
    assert GIVEN.held_out_table().empty
    part = GIVEN.parts["wheel", "good"].head(3)
    both = bandit_results.Results(
        GIVEN.experiment, GIVEN.jobs, GIVEN.records, None, {("wheel", "good"): part, ("wheel", "bad"): part.head(2)}
    )
    assert len(both.held_out_table()) == 5


def test_regret_curves_are_those_of_the_page_in_one_frame():
    drawn = GIVEN.figure("regret curves", environment="wheel")
    assert isinstance(drawn, Figure)
    (axes,) = drawn.axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["good", "bad", "uniform"]
    lines = dict(zip(["good", "bad", "uniform"], axes.lines, strict=True))
    digest = GIVEN.digest("wheel", "good")
    assert digest is not None
    curve = _curve("good", digest, False)
    np.testing.assert_array_equal(lines["good"].get_ydata(), curve.mean)
    np.testing.assert_array_equal(lines["good"].get_xdata(), curve.x)
    assert len(axes.collections) == 3  # a band each
    assert lines["good"].get_color() == styles(["good"])["good"].color
    assert "Cumulative regret in wheel" in str(drawn.get_label())


def test_a_figure_can_be_saved_and_drawn_on(tmp_path):
    drawn = GIVEN.figure("means")
    drawn.axes[0].set_title("mine")
    for ending in ("pdf", "png", "svg"):
        drawn.savefig(tmp_path / f"means.{ending}", bbox_inches="tight")
        assert (tmp_path / f"means.{ending}").stat().st_size > 2000
    assert "mine" in (tmp_path / "means.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["bandits", "active"])
def test_every_named_figure_draws_or_says_what_it_needs(kind):
    if kind == "bandits":
        slopes = {"good": 0.1, "fair": 0.3, "bad": 0.6, "uniform": 1.0}
        given = bandit_results.results(("a", "b", "c", "d", "e"), slopes, range(3))
        lacking = {"uncertainty"}  # these records have none
    else:
        problems = [active_results.problem("digits"), active_results.problem("prices", "regression")]
        given = active_results.results(problems, seeds=range(3))
        lacking = {"ranks", "reward curves"}
    named = report_of(given).named
    assert {"means", "cost", "profiles", "improvement", "runs", "ranks"} <= set(named)
    for name, own in named.items():
        where = {given.axes[0]: given.labels(given.axes[0])[0]} if own.of_problem else {}
        if name in lacking:
            with pytest.raises(ValueError, match=f"figure '{name}': expected .*, got none"):
                given.figure(name, **where)
        else:
            drawn = given.figure(name, **where)
            assert drawn.get_label()
            assert any(axes.has_data() for axes in drawn.axes)
    assert SHEET.get() is None


def test_panels_are_parts_of_one_figure():
    given = active_results.results(methods=("ibvi", "ensemble", "dropout"), seeds=range(3))
    drawn = given.figure("learning curves")  # there is one problem, which goes without saying
    assert len(drawn.axes) == 3
    corners = {tuple(np.round(axes.get_window_extent().get_points()[0], 3)) for axes in drawn.axes}
    assert len(corners) == 3
    texts = [text.get_text() for part in drawn.findobj() for text in getattr(part, "texts", [])]
    assert {"ibvi", "ensemble", "dropout", "random", "bald"} <= set(texts)
    assert any("Accuracy" in text for text in texts)
    panels = report_of(given).named["learning curves"].draw("digits")
    assert isinstance(panels, Panels)
    assert all(svg.startswith("<svg") for svg in panels.svgs)  # for the page, as ever


def test_a_figure_that_breaks_leaves_the_page_as_it_was():
    def broken():
        raise RuntimeError("no ink")

    with pytest.raises(RuntimeError, match="no ink"):
        paper.figure(broken)
    assert SHEET.get() is None


@pytest.mark.parametrize(
    ("name", "where", "says"),
    [
        ("regret curve", {"environment": "wheel"}, "unknown figure 'regret curve'; did you mean 'regret curves'"),
        ("regret curves", {}, "expected environment=..., one of wheel, linear; got none"),
        ("regret curves", {"environment": "wheal"}, "unknown environment 'wheal'; did you mean 'wheel'"),
        ("regret curves", {"dataset": "wheel"}, "expected environment=..., got dataset"),
        ("means", {"environment": "wheel"}, "expected nothing but the name: it is of all environments"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name, where, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        GIVEN.figure(name, **where)


def test_where_no_regret_is_told_the_reward_is_drawn():
    given = bandit_results.results(("shop",), kinds={"shop": "reward"})
    with pytest.raises(ValueError, match="expected a known regret"):
        given.figure("regret curves")
    heading = [text.get_text() for text in given.figure("reward curves").texts]
    assert heading == ["Mean reward per decision so far"]


def test_a_notebook_shows_a_table_in_which_labels_are_text():
    evil = "<script>alert(1)</script>"
    html = bandit_results.results((evil,), {"good": 0.1, "uniform": 1.0}, name=evil)._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3  # the name, and a row for each agent
    assert html.index("good") < html.index("uniform")
    assert "<td>100.0</td>" in html
    assert not re.search("nan", html, re.IGNORECASE)
