"""The report is a pure function of results: same bytes, honest numbers, one page that stands alone."""

import ast
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests.bandit_results import MIXED, cell, results, words
from vbandits.benchmarks.bandits.report import report
from vbandits.benchmarks.bandits.results import Results
from vbandits.experiment.report import write
from vbandits.presets import PRESETS
from vbandits.report import markdown
from vbandits.report import page as pages
from vbandits.report.canvas import Canvas
from vbandits.report.formats import DASH
from vbandits.report.palette import COLORS, styles


def section(given, title, table="", kind="sections"):
    """Returns a table of a report's section."""
    return next(one for one in getattr(report(given), kind) if one.title == title).tables[table]


def sentences(given):
    said: Any = report(given).opening[0].items[0]
    return " ".join(said.sentences)


def page(given, folder):
    return write(given, folder).read_text(encoding="utf-8")


def test_summary_csv_is_the_summary(tmp_path):
    given = results(**MIXED)
    write(given, tmp_path)
    text = (tmp_path / "summary.csv").read_text(encoding="utf-8")
    assert "nan" not in text.lower()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "summary.csv"), given.summary(), rtol=1e-9, check_dtype=False)


def test_same_results_give_same_bytes(tmp_path):
    first, second = (write(results(**MIXED), tmp_path / name).parent for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert {name.parts[0] for name in files} == {"index.html", "report.md", "summary.csv", "figures", "tables"}


def test_page_stands_alone_and_hides_nothing_behind_nan(tmp_path):
    html = page(results(**MIXED), tmp_path)
    links = set(re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", html))
    assert len(links) > 10
    assert all((tmp_path / link).is_file() for link in links)  # figures and tables to download, and nothing else
    assert not re.findall(r"url\((?!#)|@import|https?://|<script[^>]+src", html)
    assert not re.search(r"\bnan\b", words(html), re.IGNORECASE)
    assert not re.search(r"\bnan\b", (tmp_path / "report.md").read_text(encoding="utf-8"), re.IGNORECASE)
    assert f">{DASH}</td>" in html  # the uniform agent predicts nothing


def test_two_processes_may_write_the_same_report(tmp_path, monkeypatch):
    found = results()
    write(found, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    looks = Path.iterdir

    def emptied(folder):  # the other one is as far between the look and what follows from it
        seen = list(looks(folder))
        for path in seen:
            path.unlink()
        return iter(seen)

    monkeypatch.setattr(Path, "iterdir", emptied)
    write(found, tmp_path)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_every_figure_and_table_is_a_file(tmp_path):
    given = results()
    page(given, tmp_path)
    for path in (tmp_path / "figures").iterdir():
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        text = path.read_text(encoding="utf-8")
        assert "var(--" not in text  # it has colours of its own
        assert text.count('href="#') == sum(f'id="{name}"' in text for name in re.findall(r'href="#([^"]*)"', text))
    table = pd.read_csv(tmp_path / "tables" / "ranking-table-1.csv", index_col="Agent")
    assert list(table.index) == ["good", "bad", "uniform"]
    for agent, (value, low, high) in given.comparison.means.items():
        found = table.loc[agent, ["Mean % of uniform", "Mean % of uniform low", "Mean % of uniform high"]]
        np.testing.assert_allclose(found.to_numpy(float), (value, low, high), rtol=1e-9)
    latex = (tmp_path / "tables" / "ranking-table-1.tex").read_text(encoding="utf-8")
    assert latex.count(r"\\") == 4
    assert r"\textbf{" in latex
    assert r"\%" in latex


def test_ids_are_unique_and_references_resolve(tmp_path):
    html = page(results(**MIXED), tmp_path)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) > 50
    used = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', html))
    assert {one or other for one, other in used} - {"failures"} <= set(ids)


def test_figures_are_described_and_wear_the_colours_of_the_page(tmp_path):
    html = page(results(), tmp_path)
    svgs = re.findall(r'<svg class="figure".*?</svg>', html, re.DOTALL)
    assert len(svgs) > 15
    assert all(re.match(r'<svg class="figure" role="img" aria-label="[^"]{20,}"', svg) for svg in svgs)
    own = styles(["good"])["good"]
    assert f"var({own.variable})" in svgs[0]
    assert not re.search("#[0-9a-f]{6}", "".join(svgs))


def test_an_agent_is_drawn_alike_in_every_report():
    alone, among = styles(["ibvi"]), styles(["ensemble", "uniform", "linear-ts", "ibvi"], "uniform")
    assert alone["ibvi"] == among["ibvi"]
    assert len(set(styles(list(PRESETS)).values())) == len(PRESETS)
    many = styles([f"agent {i}" for i in range(48)])
    assert len(set(many.values())) == 48
    assert set(COLORS) == {style.color for style in many.values()}


def luminance(color):
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_colours_have_a_contrast_of_three_to_one(dark):
    style = (Path(pages.__file__).parent / "style.css").read_text(encoding="utf-8")
    paper = re.findall(r"--paper: (#[0-9a-f]{6})", style)[dark]
    for place in range(len(COLORS)):
        own = re.findall(rf"--color-{place}: (#[0-9a-f]{{6}})", style)
        assert len(own) == 2
        assert dark or own[0] == COLORS[place]
        low, high = sorted((luminance(own[dark]), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_labels_are_escaped(tmp_path):
    evil = '<img src=x onerror=alert(1)>|*"&'
    html = page(results((evil,), {evil: 0.1, "uniform": 1.0}, name=evil, command="run <b>"), tmp_path)
    assert "<img" not in html
    assert "<b>run" not in html
    assert "&lt;img src=x" in html
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| 1 |"))
    assert "\\<img src=x onerror=alert(1)\\>\\|\\*" in row
    heads = next(line for line in text.splitlines() if line.startswith("| Rank |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"(?<!\\)\|", heads))


def test_failed_jobs_are_listed_by_reason(tmp_path):
    reason = "ValueError: expected a number,\n got a <pear>"
    html = page(results(failed=(("wheel", "bad", reason), ("linear", "bad", reason))), tmp_path)
    box = html[html.index('<aside id="failures"') : html.index("</aside>")]
    assert box.count("expected a number, got a &lt;pear&gt;") == 1
    assert "wheel · bad (seeds 0–4)" in box  # noqa: RUF001
    assert "linear · bad (seeds 0–4)" in box  # noqa: RUF001
    assert "2 jobs failed, and with them 10 of 30 runs" in box
    assert "got a \\<pear\\>" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_run_that_failed_counts_as_the_worst_of_its_problem():
    slopes = {"lucky": 0.01, "good": 0.1, "bad": 0.4, "uniform": 1.0}
    given = results(slopes=slopes, failed=(("linear", "lucky", "broke"),))
    found = given.comparison
    assert found.ranked == ("good", "bad", "lucky", "uniform")
    lucky, linear = found.labels.index("lucky"), found.problems.index("linear")
    assert (found.counted[lucky, :, linear] == np.nanmax(found.losses[:, :, linear])).all()
    assert found.lost_of("lucky") == 5
    shown = section(given, "Ranking")
    lost = [head.text for head in shown.heads].index("Lost")
    assert {row.label: row.entries[lost].text for row in shown.rows} == {
        "good": "0",
        "lucky": "5",
        "bad": "0",
        "uniform": DASH,
    }
    assert "1 job failed" in sentences(given)


def test_an_environment_that_cannot_be_compared_is_named():
    given = results(failed=(("linear", "uniform", "broke"),))
    assert given.comparison.problems == ("wheel",)
    assert "linear is left out: the uniform agent, by which regret is measured, has no results there" in sentences(
        given
    )


def test_unfinished_experiments_say_so():
    given = results()
    partial = Results(given.experiment, given.jobs[:-1], given.records)
    assert report(partial).warnings == ["5 of 30 runs have not been made yet: this report is of a part."]
    records = given.records[~((given.records["agent"] == "bad") & (given.records["environment"] == "linear"))]
    lacking = Results(given.experiment, [job for job in given.jobs if job["agent"] != "bad"], records)
    assert lacking.comparison.incomplete == {"bad"}
    assert "Not ranked, for want of results in every environment: bad" in sentences(lacking)


def test_unequal_seeds_are_compared_over_those_in_common():
    given = results()
    short = given.records[~((given.records["agent"] == "bad") & (given.records["seed"] == 4))]
    found = Results(given.experiment, given.jobs, short).comparison
    assert found.seeds == (0, 1, 2, 3)
    assert np.isfinite(found.losses).all()
    assert found.planned == 5


def test_means_and_single_runs_are_measured_by_the_uniform_agent_on_the_same_seeds():
    """Also where runs are missing or have failed: of whatever seeds there are, the mean over runs is the mean."""
    given = results()
    cut = given.records["cumulative_regret"].where(given.records["seed"] < 4, 3 * given.records["cumulative_regret"])
    harder = given.records.assign(cumulative_regret=cut)
    for agent in ("bad", "good"):
        short = harder[~((harder["agent"] == agent) & (harder["seed"] == 4))]
        found = Results(given.experiment, given.jobs, short).comparison
        fewer = harder[harder["seed"] < 4]
        whole = Results({**given.experiment, "seeds": [0, 1, 2, 3]}, given.jobs, fewer).comparison
        assert found.seeds == whole.seeds == (0, 1, 2, 3)
        np.testing.assert_array_equal(found.runs, whole.runs)
        np.testing.assert_array_equal(found.losses, whole.losses)
        np.testing.assert_allclose(found.runs.mean(1), found.losses.mean(1), rtol=1e-12)
        np.testing.assert_allclose(found.runs[found.labels.index("uniform")].mean(0), 100)
    broken = [cell(*place, (0, 1, 2, 3)) for place in (("wheel", "bad"), ("linear", "bad"))]
    broken += [cell(*place, (4,), "failed", "an error", 1) for place in (("wheel", "bad"), ("linear", "bad"))]
    jobs = [job for job in given.jobs if job["agent"] != "bad"] + broken
    failed = Results(given.experiment, jobs, harder[~((harder["agent"] == "bad") & (harder["seed"] == 4))]).comparison
    assert failed.seeds == (0, 1, 2, 3, 4)
    bad = failed.labels.index("bad")
    np.testing.assert_allclose(np.nanmean(failed.runs[bad], 0), np.nanmean(failed.losses[bad], 0), rtol=1e-12)


def test_panels_are_as_wide_as_their_letters_ask_for(tmp_path):
    """Letters of a lone panel are as large on the page as those of any other figure."""
    write(results(slopes={"good": 0.1, "uniform": 1.0}), tmp_path)
    page = (tmp_path / "index.html").read_text()
    panels = re.findall(r'<div style="--columns: \d+; --part: ([\d.]+)">\s*<svg[^>]* viewBox="0 0 ([\d.]+) ', page)
    assert len(panels) >= 3
    for part, width in panels:
        assert float(part) == pytest.approx(float(width) / 400, rel=1e-2)


def test_ranking_is_by_mean_relative_regret():
    given = results(slopes={"bad": 0.6, "middle": 0.3, "uniform": 1.0, "good": 0.1})
    found = given.comparison
    summary: Any = given.summary()
    means = summary.groupby("agent")["relative_regret"].mean().sort_values()
    assert list(found.ranked) == list(means.index) == ["good", "middle", "bad", "uniform"]
    for agent in found.ranked:
        assert found.means[agent][0] == pytest.approx(means[agent])
        if agent != "good":
            value, low, high = found.behind[agent]
            assert value == pytest.approx(means[agent] - means["good"])
            assert 0 < low < value < high
            assert found.middles[agent][0] > found.middles["good"][0]
    assert found.candidates == {"good"}
    assert "good is the only agent that is not excluded as best over 2 environments" in sentences(given)
    assert "5 seeds are few" in sentences(given)


def test_a_verdict_names_all_that_are_not_excluded():
    given = results(slopes={"a": 0.3, "bb": 0.3, "bad": 0.9, "uniform": 1.0}, seeds=range(12))
    assert given.comparison.candidates == {"a", "bb"}
    assert "Not excluded as best over 2 environments: " in sentences(given)
    assert re.search(r"these seeds do not exclude (a|bb); to exclude", sentences(given))


def test_methods_with_the_same_runs_are_said_to_be_the_same():
    given = results(slopes={"a": 0.3, "b": 0.3, "bad": 0.9, "uniform": 1.0}, seeds=range(12))  # of the same stream
    assert "The runs of b are those of a." in sentences(given)
    assert "the next, bad, is" in sentences(given)


def test_environment_without_regret_is_reported_by_reward(tmp_path):
    given = results(**MIXED | {"failed": ()})
    assert given.comparison.problems == ("wheel", "digits")
    assert given.comparison.left_out == {"shop": "no regret is known there"}
    shown = section(given, "shop", "Measured")
    assert [head.text for head in shown.heads][:3] == ["Mean reward", "NLL", "NLL"]
    assert [row.label for row in shown.rows if row.entries[0].strong] == ["good"]  # the highest, not the lowest
    reward = given.summary().query("environment == 'shop' and agent == 'good'")["reward"].item()
    value, low, high = shown.rows[0].entries[0].numbers
    assert value == pytest.approx(reward)
    assert low < value < high
    assert "regret is never invented" in page(given, tmp_path)


def test_where_nothing_tells_regret_agents_are_compared_by_reward():
    given = results(("shop", "mall"), kinds={"shop": "reward", "mall": "reward"})
    found = given.comparison
    assert found.measure.name == "gain in reward"
    assert found.ranked == ("good", "bad", "uniform")
    good, uniform = (given.digest("shop", agent) for agent in ("good", "uniform"))
    gain = (good.mean_reward.mean() - uniform.mean_reward.mean()) / uniform.deviation
    assert -found.losses[0, :, 0].mean() == pytest.approx(gain)
    assert found.means["good"][0] > found.means["bad"][0] > 0
    assert found.means["uniform"][0] == pytest.approx(0)


def test_a_diverged_agent_is_scored_as_nothing_and_said_to_have_diverged():
    given = results()
    broken = given.records["agent"] == "bad"
    records = given.records.assign(**{name: given.records[name].where(~broken) for name in ("nll", "crps", "pit")})
    jobs = [job | ({"failures": 5} if job["agent"] == "bad" else {}) for job in given.jobs]
    told = Results(given.experiment, jobs, records)
    assert "10 runs diverged" in sentences(told)
    trusted = section(told, "Can it be trusted?", "Calibration over all environments")
    assert [row.label for row in trusted.rows] == ["good", "a perfect model"]


def test_rewards_of_zero_and_one_are_scored_by_probability(tmp_path):
    given = results(("digits",), kinds={"digits": "binary"})
    heads = [head.text for head in section(given, "digits", "Measured").heads]
    assert "Brier score" in heads
    assert "90%" not in heads
    assert "Brier" in words(page(given, tmp_path))


def test_where_nothing_predicts_nothing_is_said_of_trust():
    assert "Can it be trusted?" not in [one.title for one in report(results(slopes={"uniform": 1.0})).sections]


def test_one_seed_has_no_interval(tmp_path):
    given = results(seeds=[7])
    html = page(given, tmp_path)
    assert "There is a single seed" in html
    assert "1 seed is few" in sentences(given)
    shown = section(given, "Ranking")
    assert not shown.intervals


@pytest.mark.parametrize("kind", ["failed", "nothing"])
def test_an_experiment_without_results_still_renders(tmp_path, kind):
    names = ("wheel", "linear")
    everything = [(e, a, "RuntimeError: no luck") for e in names for a in ("good", "bad", "uniform")]
    given = results(failed=everything)
    given = given if kind == "failed" else Results(given.experiment, [], given.records)
    html = page(given, tmp_path)
    assert html.count("There are no results here") == 2
    assert ("RuntimeError: no luck" in html) == (kind == "failed")
    assert "There is nothing to compare" in html


def test_markdown_shows_the_same_numbers_as_the_page(tmp_path):
    given = results()
    html, text = page(given, tmp_path), markdown.render(report(given))
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == text
    for row in section(given, "Ranking").rows:
        for entry in row.entries:
            assert entry.text in html
            assert entry.text in text
            assert entry.interval in html


def test_markdown_draws_nothing(monkeypatch):
    made = report(results())

    def drawn(*_):
        raise AssertionError("a figure was drawn")

    monkeypatch.setattr(Canvas, "__enter__", drawn)
    assert "## Cost" in markdown.render(made)
    with pytest.raises(AssertionError, match="a figure was drawn"):
        pages.render(made)


def test_reports_are_made_of_parts_that_know_no_benchmark():
    for path in Path(pages.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        own = {name for name in imported if name.split(".")[0] == "vbandits"}
        assert all(re.match(r"vbandits\.(report|metrics)\b", name) for name in own), (path.name, own)


def test_report_of_results_is_write(tmp_path):
    assert results().report(str(tmp_path)) == Path(tmp_path) / "index.html"
