"""The report is a pure function of results: same bytes, honest numbers, one page that stands alone."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbandits.benchmarks.bandits.ranking import rank
from vbandits.benchmarks.bandits.report import report
from vbandits.benchmarks.bandits.results import Results
from vbandits.experiment.report import write
from vbandits.report import markdown
from vbandits.report import page as pages
from vbandits.report.canvas import Canvas
from vbandits.report.formats import DASH

STEPS = 40
NAN = float("nan")


def cell(environment, agent, seeds, status="done", reason=None, failures=0):
    done = {"seconds": {"agent": 1.5, "environment": 0.25, "scoring": 0.5}, "memory_mb": 300.0}
    return {
        "environment": environment,
        "agent": agent,
        "seeds": list(seeds),
        "status": status,
        "reason": reason,
        "failures": failures,
    } | (done if status == "done" else {})


def played(environment, agent, slope, seeds, kind="plain"):
    """Records of an agent whose regret grows by about `slope` a step; kinds: plain, binary, reward (without regret)."""
    rng = np.random.default_rng([len(agent), int(100 * slope)])
    steps = np.arange(STEPS)
    shape = (len(seeds), STEPS)
    regret = slope * rng.uniform(0.9, 1.1, shape)
    reward = (rng.uniform(size=shape) < 0.7) * 1.0 if kind == "binary" else 1 - regret + 0.1 * rng.normal(size=shape)
    predicts = agent != "uniform"
    empty = np.full(shape, NAN)
    probability = 0.6 + 0.2 * rng.uniform(size=shape)
    brier = (probability - reward) ** 2 if kind == "binary" and predicts else empty
    values = {
        "action": np.zeros(shape, dtype=int),
        "reward": reward,
        "regret": empty if kind == "reward" else regret,
        "cumulative_reward": reward.cumsum(1),
        "cumulative_regret": empty if kind == "reward" else regret.cumsum(1),
        "nll": rng.normal(1, 0.1, shape) if predicts else empty,
        "crps": (brier if kind == "binary" else np.abs(rng.normal(size=shape))) if predicts else empty,
        "pit": rng.uniform(size=shape) if predicts and kind != "binary" else empty,
        "brier": brier,
    }
    index = {
        "environment": environment,
        "agent": agent,
        "seed": np.repeat(seeds, STEPS),
        "step": np.tile(steps, len(seeds)),
    }
    return pd.DataFrame(index | {name: value.ravel() for name, value in values.items()})


def described(environments, agents, seeds, **more):
    return {
        "name": "small",
        "seeds": list(seeds),
        "steps": STEPS,
        "environments": [
            {"label": label, "id": "vbandits/Wheel-v0", "kwargs": {"delta": 0.5}} for label in environments
        ],
        "agents": [{"label": label, "posterior": None, "rule": {"kind": "uniform"}} for label in agents],
    } | more


def results(
    environments: Any = ("wheel", "linear"),
    slopes: Any = None,
    seeds: Any = range(5),
    kinds: Any = None,
    failed: Any = (),
    **more: Any,
) -> Results:
    """Results of every agent in every environment, except for (environment, agent, reason) in `failed`."""
    slopes = slopes or {"good": 0.1, "bad": 0.6, "uniform": 1.0}
    broken = {(environment, agent): reason for environment, agent, reason in failed}
    cells, frames = [], []
    for environment in environments:
        for agent, slope in slopes.items():
            if (environment, agent) in broken:
                cells.append(cell(environment, agent, seeds, "failed", broken[environment, agent], len(seeds)))
            else:
                cells.append(cell(environment, agent, seeds))
                frames.append(played(environment, agent, slope, seeds, (kinds or {}).get(environment, "plain")))
    records = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Results(described(environments, slopes, seeds, **more), cells, records)


def page(given, folder):
    return write(given, folder).read_text(encoding="utf-8")


class Words(HTMLParser):
    """Collects what a reader sees, without style."""

    def __init__(self):
        super().__init__()
        self.words, self._hidden = [], False

    def handle_starttag(self, tag, attrs):
        self._hidden = tag == "style"

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)


def words(html):
    parser = Words()
    parser.feed(html)
    return " ".join(" ".join(parser.words).split())


MIXED = {
    "environments": ("wheel", "digits", "shop"),
    "kinds": {"digits": "binary", "shop": "reward"},
    "failed": (("wheel", "bad", "ValueError: expected a number, got a pear"),),
}


def test_summary_csv_is_the_summary(tmp_path):
    given = results(**MIXED)
    write(given, tmp_path)
    text = (tmp_path / "summary.csv").read_text(encoding="utf-8")
    assert "nan" not in text.lower()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "summary.csv"), given.summary(), rtol=1e-9, check_dtype=False)


def test_same_results_give_same_bytes(tmp_path):
    first, second = (write(results(**MIXED), tmp_path / name).parent for name in ("a", "b"))
    for name in ("index.html", "report.md", "summary.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert sorted(path.name for path in first.iterdir()) == ["index.html", "report.md", "summary.csv"]


def test_page_stands_alone_and_hides_nothing_behind_nan(tmp_path):
    html = page(results(**MIXED), tmp_path)
    assert "<script" not in html.lower()
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*|url\((?!#)|@import|https?://""", html)
    assert not re.search(r"\bnan\b", words(html), re.IGNORECASE)
    assert not re.search(r"\bnan\b", (tmp_path / "report.md").read_text(encoding="utf-8"), re.IGNORECASE)
    assert f"<td>{DASH}</td>" in html  # the uniform agent predicts nothing


def test_ids_are_unique_and_references_resolve(tmp_path):
    html = page(results(**MIXED), tmp_path)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) > 50
    used = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', html))
    assert {one or other for one, other in used} - {"failures"} <= set(ids)


def test_figures_are_described_and_wear_the_colours_of_the_page(tmp_path):
    html = page(results(), tmp_path)
    svgs = re.findall(r'<svg class="figure".*?</svg>', html, re.DOTALL)
    assert len(svgs) == 5  # curves and calibration of two environments, and cost
    assert all(re.match(r'<svg class="figure" role="img" aria-label="[^"]{20,}"', svg) for svg in svgs)
    assert "var(--color-0)" in svgs[0]
    assert "var(--color-1)" in svgs[0]
    assert not re.search("#[0-9a-f]{6}", "".join(svgs))


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


def test_an_agent_that_lacks_an_environment_is_not_ranked_by_what_it_survived():
    slopes = {"lucky": 0.01, "good": 0.1, "bad": 0.6, "uniform": 1.0}
    given = results(slopes=slopes, failed=(("linear", "lucky", "broke"),))
    ranking = rank(given)
    assert ranking.methods == ("good", "bad", "uniform", "lucky")
    assert ranking.ranks == {"good": 1, "bad": 2, "uniform": 3, "lucky": None}
    shown = report(given).opening[0].tables[""]
    failures, runs = ({row.label: row.entries[place] for row in shown.rows} for place in (-2, -1))
    assert {agent: entry.text for agent, entry in failures.items()} == {
        "lucky": "5",
        "good": "0",
        "bad": "0",
        "uniform": "0",
    }
    assert [(entry.text, entry.alarm) for entry in (runs["lucky"], runs["good"])] == [
        ("5 of 10", True),
        ("10 of 10", False),
    ]


def test_unfinished_experiments_say_so():
    given = results()
    partial = Results(given.experiment, given.jobs[:-1], given.records)
    assert report(partial).warnings == ["5 of 30 runs have not been made yet: this report is of a part."]


def test_ranking_is_by_mean_relative_regret():
    given = results(slopes={"bad": 0.6, "middle": 0.3, "uniform": 1.0, "good": 0.1})
    ranking = rank(given)
    summary: Any = given.summary()
    means = summary.groupby("agent")["relative_regret"].mean().sort_values()
    assert list(ranking.methods) == list(means.index) == ["good", "middle", "bad", "uniform"]
    for agent in ranking.methods:
        assert ranking.means[agent][0] == pytest.approx(means[agent])
        if agent != "good":
            value, low, high = ranking.behind[agent]
            assert value == pytest.approx(means[agent] - means["good"])
            assert 0 < low < value < high
            assert ranking.middle[agent][0] > ranking.middle["good"][0]
    assert ranking.leaders == {"good"}


def test_environment_without_regret_is_reported_by_reward(tmp_path):
    given = results(**MIXED | {"failed": ()})
    ranking = rank(given)
    shop = ranking.problem("shop")
    assert shop.measure == "reward"
    shown = report(given).sections[2].tables[""]
    assert [head.text for head in shown.heads][:3] == ["Mean reward", "NLL", "CRPS"]
    assert shop.leaders == {"good"}  # the highest reward, not the lowest
    assert [row.label for row in shown.rows if row.entries[0].strong] == ["good"]
    reward = given.summary().query("environment == 'shop' and agent == 'good'")["reward"].item()
    value, low, high = shop.estimates["good"]
    assert value == pytest.approx(reward)
    assert low < value < high
    assert len(ranking.comparable) == 2
    html = page(given, tmp_path)
    assert "regret is never invented" in html
    assert "Mean reward per decision in shop" not in html
    assert "Mean reward per decision against step in shop" in html


def test_rewards_of_zero_and_one_are_judged_by_probability(tmp_path):
    html = page(results(("digits",), kinds={"digits": "binary"}), tmp_path)
    assert "Brier scores in digits" in html
    assert "covered, %" not in html
    assert "Brier score" in words(html)


def test_only_uniform_has_no_calibration(tmp_path):
    html = page(results(slopes={"uniform": 1.0}), tmp_path)
    assert "no predictions to evaluate" in html


def test_one_seed_has_no_interval(tmp_path):
    given = results(seeds=[7])
    html = page(given, tmp_path)
    assert "There is a single seed" in html
    assert not report(given).opening[0].tables[""].intervals
    assert not rank(given).leaders
    assert "<strong>" not in html


@pytest.mark.parametrize("kind", ["failed", "nothing"])
def test_an_experiment_without_results_still_renders(tmp_path, kind):
    names = ("wheel", "linear")
    everything = [(e, a, "RuntimeError: no luck") for e in names for a in ("good", "bad", "uniform")]
    given = results(failed=everything)
    given = given if kind == "failed" else Results(given.experiment, [], given.records)
    html = page(given, tmp_path)
    assert html.count("There are no results here") == 2
    assert ("RuntimeError: no luck" in html) == (kind == "failed")


def test_markdown_shows_the_same_numbers_as_the_page(tmp_path):
    given = results()
    html, text = page(given, tmp_path), markdown.render(report(given))
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == text
    for row in report(given).opening[0].tables[""].rows:
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
