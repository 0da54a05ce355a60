"""The report of active learning says what its summary says: same bytes, honest numbers, one page that stands alone."""

import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests import active_results
from tests.active_results import METHODS, problem, results
from tests.bandit_results import words
from vbandits.benchmarks.active import figures, tables
from vbandits.benchmarks.active.report import report
from vbandits.benchmarks.active.results import ActiveResults
from vbandits.experiment.report import terminal, write
from vbandits.report import markdown, page

PROBLEMS = (problem("digits"), problem("boston", "regression"))
PURSUITS = ("random", "bald", "epig")


@pytest.fixture(scope="module")
def given():
    return results(PROBLEMS, ("ibvi", "deterministic"), PURSUITS)


@pytest.fixture(scope="module")
def folder(given, tmp_path_factory):
    return write(given, tmp_path_factory.mktemp("report")).parent


def problem_sections(made):
    return [section for section in made.sections if section.anchor.startswith("problem-")]


def overall(made, title):
    return next(section for section in made.sections if section.title == title)


def found(given, title, place=0):
    return problem_sections(report(given))[place].tables[title]


def column(made, *head):
    place = [(h.text, h.detail) for h in made.heads].index(head)
    return {row.label: row.entries[place] for row in made.rows}


def test_tables_say_what_the_summary_says(given):
    rows = given.summary().query("problem == 'digits'").set_index("learner")
    made = found(given, tables.LEARNING)
    assert [row.label for row in made.rows] == list(rows.index)
    for head, name, scale, places in (
        (("Accuracy", "% at the end"), "accuracy", 100, 1),
        (("Mean accuracy", "% over labels"), "area", 100, 1),
        (("Gain", "points over random"), "gain", 100, 1),
        (("Labels saved", "over random"), "labels_saved", 1, 1),
        (("Learned", "% over labels"), "learned", 100, 1),
        (("Simple regret", "points"), "simple_regret", 100, 1),
        (("Labels to 90%", "median"), "labels_90", 1, 0),
        (("Cost", "of labels"), "cost", 1, 0),
    ):
        texts = [entry.text.replace("\N{MINUS SIGN}", "-") for entry in column(made, *head).values()]
        shown = [f"{scale * value:.{places}f}".replace("inf", "∞") for value in rows[name]]
        assert texts == [text.removeprefix("-") if not text.strip("-0.") else text for text in shown], head
    best = column(made, "Gain", "points over random")["ibvi epig"]
    low, high = (100 * rows.loc["ibvi epig", f"gain_{end}"] for end in ("low", "high"))
    assert best.interval == f"[{low:.1f}, {high:.1f}]"
    assert [name for name, entry in column(made, "Mean accuracy", "% over labels").items() if entry.strong] == [
        "ibvi epig"
    ]
    assert column(made, "Labels to 90%", "median")["deterministic random"].text == "∞"
    assert "Bought" not in [head.text for head in made.heads]  # all buy as many


def test_the_best_of_a_regression_are_the_lowest(given):
    made = found(given, tables.LEARNING, 1)
    rmse = column(made, "Mean RMSE", "over labels")
    assert next(iter(column(made, "Gain", "over random"))) == "ibvi epig"
    assert {name for name, entry in rmse.items() if entry.strong} == {"ibvi epig"}
    scores = found(given, tables.PREDICTIONS, 1)
    assert [(head.text, head.detail) for head in scores.heads] == [
        ("NLL", "test"),
        ("NLL", "pool"),
        ("CRPS", "test"),
        ("CRPS", "pool"),
        ("90% covers", "% test"),
        ("90% covers", "% pool"),
        ("RMSE", "pool"),
    ]
    row = given.summary().query("problem == 'boston' and learner == 'ibvi bald'").iloc[0]
    assert column(scores, "90% covers", "% pool")["ibvi bald"].text == f"{100 * row.pool_coverage_90:.1f}"
    assert not any(entry.strong for entry in column(scores, "90% covers", "% test").values())
    strong = [name for name, entry in column(scores, "CRPS", "test").items() if entry.strong]
    assert all(name.startswith("ibvi") for name in strong)


def test_the_heat_map_is_darkest_and_bold_where_the_area_is_best(given):
    area = given.summary().query("problem == 'digits'").set_index("learner")["area"]
    made = found(given, tables.MAPS["accuracy"])
    assert made.heat
    assert [head.text for head in made.heads] == list(PURSUITS)
    assert [row.label for row in made.rows] == ["ibvi", "deterministic"]
    for row in made.rows:
        for pursuit, entry in zip(PURSUITS, row.entries, strict=True):
            value = area[f"{row.label} {pursuit}"]
            assert entry.text == f"{100 * value:.1f}"
            assert entry.shade == pytest.approx((value - area.min()) / (area.max() - area.min()))
            assert entry.strong == (value == area.max())
    lower = found(given, tables.MAPS["rmse"], 1)
    assert lower.rows[0].entries[2].shade == 1  # the lowest error
    assert lower.rows[0].entries[2].strong
    assert lower.rows[1].entries[0].shade == 0


def test_a_hole_in_the_grid_stays_empty():
    whole = results()
    entries = whole.experiment["learners"][:-1]
    records = whole.records[whole.records["learner"] != "deterministic bald"]
    given = ActiveResults(whole.experiment | {"learners": entries}, whole.jobs[:-1], records)
    made = found(given, tables.MAPS["accuracy"])
    assert [entry.text for entry in made.rows[1].entries][1] == ""
    assert "There are no results" not in words(page.render(report(given)))


def test_learners_stand_overall_by_the_mean_gain_over_random(given):
    order = given.comparison
    means = given.summary().pivot(index="learner", columns="problem", values="relative_area").mean(axis=1)
    assert [means[name] for name in order.ranked] == pytest.approx(sorted(means, reverse=True))
    for learner in order.ranked:
        value, low, high = order.means[learner]
        assert value == pytest.approx(100 * means[learner])
        assert low <= value <= high
    assert order.behind[order.ranked[1]][0] > 0  # how far behind the best
    (title, heat), (_, ranking) = overall(report(given), "Ranking").tables.items()
    assert title == tables.OVERALL_MAP
    learned = given.summary().pivot(index="learner", columns="problem", values="learned").mean(axis=1)
    assert heat.rows[0].entries[2].text == f"{100 * learned['ibvi epig']:.1f}"
    assert heat.rows[0].entries[2].shade == 1
    assert [row.rank for row in ranking.rows] == list("123456")
    first = ranking.rows[0]
    assert first.label == "ibvi epig"
    assert first.entries[0].strong
    assert first.entries[0].interval
    assert first.entries[0].text.rstrip("†") == f"{100 * means['ibvi epig']:.1f}"
    by_problem = given.summary().query("problem == 'boston'").set_index("learner")["relative_area"]
    boston = [head.text for head in ranking.heads].index("boston")
    assert first.entries[boston].text.rstrip("†") == f"{100 * by_problem['ibvi epig']:.1f}"
    assert [row.entries[0].text for row in ranking.rows[-2:]] == ["0.0", "0.0"]  # random against itself


def test_without_random_learners_stand_by_what_they_learned():
    given = results(PROBLEMS, pursuits=("bald", "epig"))
    assert given.comparison.measure.name == "area learned"
    seen = words(page.render(report(given)))
    assert "there is nothing to pair with" in seen
    assert "Ordered by mean accuracy, the highest first" in seen


def test_a_learner_that_failed_on_a_problem_counts_as_its_worst():
    given = results(PROBLEMS, failed=[("boston", "ibvi bald", "ValueError: no\n luck")])
    order = given.comparison
    place, boston = order.labels.index("ibvi bald"), order.problems.index("boston")
    assert (order.counted[place, :, boston] == np.nanmax(order.losses[:, :, boston])).all()
    made = report(given)
    assert made.warnings == ["1 job failed, and with it 5 of 40 runs: these have no results."]
    assert made.failures[0].places == ["boston · ibvi bald (seeds 0–4)"]  # noqa: RUF001
    heat = problem_sections(made)[1].tables[tables.MAPS["rmse"]]
    assert heat.rows[0].entries[1].text == "–"  # noqa: RUF001
    assert heat.rows[0].entries[1].shade == 0
    seen = words(page.render(made))
    assert "ValueError: no luck" in seen
    assert not re.search(r"\bnan\b", seen, re.IGNORECASE)


def test_same_results_give_same_bytes(given, folder, tmp_path):
    again = results(PROBLEMS, ("ibvi", "deterministic"), PURSUITS)
    write(again, tmp_path)
    for name in ("index.html", "report.md", "summary.csv"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
    read = pd.read_csv(folder / "summary.csv")
    pd.testing.assert_frame_equal(read, given.summary(), rtol=1e-9, check_dtype=False)


def test_the_page_stands_alone_and_markdown_says_the_same(given, folder):
    html, text = ((folder / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    assert text == markdown.render(report(given))
    links = set(re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", html))
    assert all((folder / link).is_file() for link in links)
    assert not re.findall(r"url\((?!#)|@import|https?://|<script[^>]+src", html)
    assert not re.search(r"\bnan\b", words(html) + text, re.IGNORECASE)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) > 50
    used = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', html))
    assert {one or other for one, other in used} <= set(ids)
    assert "2 problems × 6 learners × 5 seeds" in words(html)  # noqa: RUF001
    for section in report(given).sections:
        for made in section.tables.values():
            for entry in (entry for row in made.rows for entry in row.entries):
                assert entry.text in text
                assert entry.interval in html


def test_every_method_has_a_panel_of_curves_and_of_calibration(given, folder):
    html = (folder / "index.html").read_text(encoding="utf-8")
    described = re.findall(r'<svg class="figure" role="img" aria-label="([^"]*)"', html)
    described = described[next(i for i, label in enumerate(described) if label.startswith("Accuracy, %")) :]
    starts = [label.partition(". ")[0] for label in described]
    assert starts[:6] == [
        f"{what} against labels in digits with {method}"
        for what in ("Accuracy, %", "ECE debiased on the test set, %", "ECE debiased on the rest of the pool, %")
        for method in ("ibvi", "deterministic")
    ]
    assert starts[6:8] == [f"RMSE against labels in boston with {method}" for method in ("ibvi", "deterministic")]
    assert starts[8] == "90% intervals cover on the test set, % against labels in boston with ibvi"
    summary = given.summary().query("problem == 'digits'").set_index("learner")["accuracy"]
    ends = ", ".join(f"{name} {100 * summary[f'ibvi {name}']:.1f}" for name in PURSUITS)
    assert described[0].endswith(f"Means over seeds at the end: {ends}.")
    assert html.count('<ul class="legend"') == 6


def test_panels_of_a_figure_share_axes_colours_and_the_dotted_line_is_the_fit_to_all_labels(monkeypatch, given):
    how = figures.lines(given)
    assert how.grid["deterministic"]["bald"] == "deterministic bald"
    assert how.styles["bald"].color == how.learner_styles()["ibvi bald"].color
    assert how.styles["bald"].color != how.styles["epig"].color
    assert how.styles["random"].dashes
    drawn = []

    def panel(own, how, name, texts, mark, limits, salt):
        drawn.append((name, mark, limits))
        return ""

    monkeypatch.setattr(figures, "_panel", panel)
    figures.curves_of(given, "digits", how, "salt")
    (first, fit, frame), (second, worse, other) = drawn
    assert (first, second) == ("ibvi", "deterministic")
    assert (fit, worse) == pytest.approx((100 * METHODS["ibvi"], 100 * METHODS["deterministic"]))
    assert frame == other
    (left, right), (bottom, top) = frame
    assert (left, right) == (20, 220)
    accuracy = 100 * given.records.query("problem == 'digits'")["accuracy"]
    assert bottom < accuracy.groupby(given.records["round"]).mean().min() < 95 < top < 120
    drawn.clear()
    figures.calibration_of(given, "boston", how, "salt")
    assert [mark for _, mark, _ in drawn] == [90] * 4
    assert len({frame for _, _, frame in drawn}) == 1  # test and pool are on the same axes


def test_a_single_method_or_acquisition_is_one_panel_with_names_at_its_lines():
    for methods, pursuits, names in (
        (("ibvi",), PURSUITS, PURSUITS),
        (("ibvi", "laplace"), ("bald",), ("ibvi", "laplace")),
    ):
        given = results(methods=methods, pursuits=pursuits)
        how = figures.lines(given)
        assert how.single
        assert how.every == list(names)
        made = report(given)
        assert list(problem_sections(made)[0].tables) == [tables.LEARNING, tables.PREDICTIONS]
        html = page.render(made)
        assert '<ul class="legend"' not in html
        svgs = re.findall(r'<svg class="figure".*?</svg>', html, re.DOTALL)
        figure = next(svg for svg in svgs if "Accuracy, % against labels in digits." in svg)
        assert all(f">{name}</text>" in figure for name in names)


def test_of_many_acquisitions_the_best_and_chance_are_drawn(monkeypatch):
    speeds = {f"a{i}": 100.0 - 5 * i for i in range(12)}
    monkeypatch.setattr(active_results, "PURSUITS", {"random": 150.0} | speeds)
    given = results(pursuits=("random", *speeds), noise=0)
    how = figures.lines(given)
    assert figures.chosen(given, "digits", how) == ["random", *(f"a{i}" for i in range(5, 12))]
    curves, *_ = figures.curves_of(given, "digits", how, "salt")
    assert "the 5 that did worst" in curves.caption
    assert {name for name, _ in curves.legend} == {"random", *(f"a{i}" for i in range(5, 12))}
    assert "Not drawn, of all lines: the 5 that did worst" in words(page.render(report(given)))


def test_a_stream_shows_what_was_bought_and_its_reward():
    given = results((problem("clicks", family="stream"),))
    made = found(given, tables.LEARNING)
    row = given.summary().set_index("learner").loc["ibvi bald"]
    assert column(made, "Bought", "labels")["ibvi bald"].text == f"{row.bought:.0f}"
    assert float(column(made, "Reward", "in all")["ibvi bald"].text) == pytest.approx(row.reward, abs=0.5)
    rewards = column(made, "Reward", "in all")
    best = given.summary().set_index("learner")["reward"].idxmax()
    assert rewards[best].strong
    html = page.render(report(given))
    assert "Reward so far against rows seen in clicks with ibvi" in html


def test_one_seed_has_no_interval_and_no_best(tmp_path):
    given = results(seeds=[7])
    html = given.report(tmp_path).read_text(encoding="utf-8")
    assert "There is a single seed" in html
    assert not any(made.intervals for section in report(given).sections for made in section.tables.values())
    strong = [
        entry
        for section in problem_sections(report(given))
        for made in section.tables.values()
        for row in made.rows
        for entry in row.entries
        if entry.strong
    ]
    assert not strong


@pytest.mark.parametrize("kind", ["failed", "nothing"])
def test_an_experiment_without_results_still_renders(tmp_path, kind):
    names = [entry["label"] for entry in active_results.learners(("ibvi", "deterministic"), ("random", "bald"))]
    given = results(
        PROBLEMS, failed=[(place["label"], name, "RuntimeError: no luck") for place in PROBLEMS for name in names]
    )
    given = given if kind == "failed" else ActiveResults(given.experiment, [], given.records)
    html = given.report(tmp_path).read_text(encoding="utf-8")
    assert html.count("There are no results here") == 2
    assert ("RuntimeError: no luck" in html) == (kind == "failed")
    assert "nan" not in words(html).lower().split()


def test_an_empty_pool_has_no_figure_of_its_own_and_a_part_of_one_ends_early():
    given = results((problem("digits") | {"pool": 150},), noise=0)
    _, pool = figures.calibration_of(given, "digits", figures.lines(given), "salt")
    assert pool.svgs[0]
    assert "bald" in pool.svgs[0]
    empty = results((problem("digits") | {"pool": 0},))
    assert len(figures.calibration_of(empty, "digits", figures.lines(empty), "salt")) == 1


def test_cost_is_over_all_problems(given):
    made = report(given).sections[-1].tables[""]
    assert [(head.text, head.detail) for head in made.heads] == [
        ("Training", "seconds"),
        ("Querying", "seconds"),
        ("Querying", "ms per label"),
        ("Rest", "seconds"),
        ("Memory", "MB at most"),
    ]
    # two problems: 4 s of training, 0.5 s of querying, 1.25 s of the rest on each; 5 seeds bought 200 labels on each
    assert [entry.text for entry in made.rows[0].entries] == ["8.00", "1.00", "0.50", "2.50", "300"]


def printed(given, width):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal(given))
    console.file.close()
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_shows_a_table_per_problem(given, width):
    shown = printed(given, width)
    assert max(len(line) for line in shown) <= width
    place = next(i for i, line in enumerate(shown) if line.startswith("boston"))
    assert "RMSE" in shown[place + 1]
    assert "accuracy" not in shown[place + 1]
    digits = shown[next(i for i, line in enumerate(shown) if line.startswith("digits")) + 1]
    assert re.match(r"learner +accuracy %", digits)
    first = given.summary().iloc[0]
    line = next(line for line in shown if line.startswith(first.learner))
    assert line.split()[2] == f"{100 * first.accuracy:.1f}"
    if width == 200:
        assert f" {100 * first.relative_area:.1f} " in line
        assert f" {first.labels_saved:.1f} " in line
        assert f" {first.labels_90:.0f} " in line
