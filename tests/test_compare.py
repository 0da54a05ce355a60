"""Results folders side by side: what is paired with what, what changed, and what does not compare."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import vbandits
from tests import active_results, bandit_results
from tests.test_running import vbandits as command
from vbandits.errors import ConfigError
from vbandits.experiment import changes
from vbandits.experiment.comparing import combined
from vbandits.experiment.report import report_of, write
from vbandits.metrics import comparison

SEEDS = range(8)
PLAIN = bandit_results.results()


def versions(faster=0.5, **more):
    """Results before and after a change that makes `bad` lose `faster` times as much on the wheel."""
    slopes = {"good": 0.1, "bad": 0.6, "uniform": 1.0}
    before = bandit_results.results(slopes=slopes, seeds=SEEDS)
    after = bandit_results.results(slopes={"bad": 0.6, "new": 0.3, "uniform": 1.0}, seeds=SEEDS, **more)
    records = after.records.copy()
    changed = (records["environment"] == "wheel") & (records["agent"] == "bad")
    records.loc[changed, ["regret", "cumulative_regret"]] *= faster
    return {"before": before, "after": replace(after, data=records)}


def test_labels_are_told_apart_only_where_they_occur_twice():
    found = combined(versions())
    assert found.labels("agent") == ["good", "bad (before)", "uniform", "bad (after)", "new"]
    assert set(found.comparison.ranked) == set(found.labels("agent"))
    part = found.parts["wheel", "bad (after)"]
    assert set(part["agent"]) == {"bad (after)"}
    assert found.records["agent"].nunique() == 5
    assert sum(job["agent"] == "uniform" for job in found.jobs) == 2  # one for each environment, not for each folder


def test_a_combined_method_has_the_numbers_of_its_folder():
    given = versions()
    found = combined(given).summary().set_index(["environment", "agent"])
    for name, own in given.items():
        rows = own.summary().set_index(["environment", "agent"])
        for environment in ("wheel", "linear"):
            pd.testing.assert_series_equal(
                found.loc[environment, f"bad ({name})"], rows.loc[environment, "bad"], check_names=False
            )


def test_what_changed_is_the_paired_difference():
    given = versions()
    shown = changes.table(combined(given))
    assert shown is not None
    assert [row.label for row in shown.rows] == ["bad"]
    mean, wheel, linear, words = shown.rows[0].entries
    losses = {name: own.loss("wheel", "bad", "cumulative_regret").to_numpy() for name, own in given.items()}
    uniform = given["before"].loss("wheel", "uniform", "cumulative_regret").to_numpy()
    difference = 100 * (losses["after"].mean() - losses["before"].mean()) / uniform.mean()
    assert wheel.numbers[0] == pytest.approx(difference)
    assert wheel.numbers[0] == pytest.approx(2 * mean.numbers[0])  # nothing changed in the other environment
    assert wheel.strong
    assert wheel.numbers[2] < 0
    assert linear.numbers == (0, 0, 0)
    assert not linear.strong
    assert words.text == "better in wheel"


def test_an_interval_of_a_change_is_paired_by_seed():
    results = combined(versions(0.99))
    found, shown = results.comparison, changes.table(results)
    assert shown is not None
    earlier, later = found.counted[found.rows(["bad (before)", "bad (after)"]), :, 0]
    entry = shown.rows[0].entries[1]
    assert entry.numbers == comparison.paired_difference(later, earlier)
    assert entry.strong
    apart = np.hypot(earlier.std(ddof=1), later.std(ddof=1)) / np.sqrt(len(SEEDS))  # a standard error without pairs
    assert entry.numbers[2] - entry.numbers[1] < apart


def test_a_change_for_the_worse_and_none_at_all_are_told():
    worse, same = changes.table(combined(versions(1.5))), changes.table(combined(versions(1.0)))
    assert worse is not None
    assert same is not None
    assert worse.rows[0].entries[-1].text == "worse in wheel"
    assert worse.rows[0].entries[1].numbers[1] > 0
    assert same.rows[0].entries[-1].text == changes.SAME


def test_higher_is_better_where_the_measure_says_so():
    slow = active_results.results(pursuits=("random", "bald"), noise=0.2)
    records = slow.records.copy()
    bald = records["learner"] == "ibvi bald"
    records.loc[bald, "accuracy"] = np.minimum(records.loc[bald, "accuracy"] + 0.03, 1.0)
    shown = changes.table(combined({"v1": slow, "v2": replace(slow, data=records)}))
    assert shown is not None
    rows = {row.label: row.entries for row in shown.rows}
    assert rows["ibvi bald"][0].numbers[1] > 0
    assert rows["ibvi bald"][-1].text == "better in digits"
    assert rows["deterministic random"][-1].text == changes.SAME


def test_a_learner_is_paired_with_random_of_its_own_folder():
    given = active_results.results()
    other = active_results.results(methods=("ibvi",), pursuits=("random", "epig"))
    found = combined({"a": given, "b": other})
    assert found.random_of("ibvi bald") == "ibvi random (a)"
    assert found.random_of("ibvi epig") == "ibvi random (b)"
    assert found.random_of("deterministic bald") == "deterministic random"
    np.testing.assert_allclose(found.gain("digits", "ibvi bald"), given.gain("digits", "ibvi bald"))
    np.testing.assert_allclose(found.gain("digits", "ibvi epig"), other.gain("digits", "ibvi epig"))


def test_only_seeds_in_common_are_compared():
    first, second = bandit_results.results(seeds=range(6)), bandit_results.results(seeds=range(2, 8))
    jobs = [job | {"diverged": [0, 3], "failures": 2} if job["agent"] == "bad" else job for job in first.jobs]
    found = combined({"a": replace(first, jobs=jobs), "b": second})
    assert found.experiment["seeds"] == [2, 3, 4, 5]
    assert found.comparison.seeds == (2, 3, 4, 5)
    assert set(found.records["seed"]) == {2, 3, 4, 5}
    summary = found.summary().set_index(["environment", "agent"])
    assert (summary["seeds"] == 4).all()
    assert summary.loc[("wheel", "bad (a)"), "failures"] == 1
    assert summary.loc[("wheel", "bad (b)"), "seconds"] == pytest.approx(1.5 * 4 / 6)
    assert any("4 seeds that all have" in note for note in found.experiment["compared"]["notes"])


def test_a_problem_that_is_not_the_same_is_left_out_and_said_why():
    first, second = bandit_results.results(), bandit_results.results(("wheel", "linear", "shop"))
    wheel, linear, shop = second.experiment["environments"]
    changed = [wheel, linear | {"kwargs": {"delta": 0.9}}, shop]
    second = replace(second, experiment=second.experiment | {"environments": changed})
    found = combined({"a": first, "b": second})
    assert found.labels("environment") == ["wheel"]
    assert {place[0] for place in found.parts} == {"wheel"}
    notes = " ".join(found.experiment["compared"]["notes"])
    assert "linear is left out: it is not the same problem: kwargs.delta 0.5 -> 0.9 (a -> b)" in notes
    assert "shop is left out: it is not in a" in notes


def test_a_uniform_agent_that_differs_is_told():
    given = versions()
    assert not any("uniform" in note for note in combined(given).experiment["compared"]["notes"])
    records = given["after"].records.copy()
    drifted = (records["environment"] == "linear") & (records["agent"] == "uniform")
    records.loc[drifted, "reward"] += 0.01
    found = combined(given | {"after": replace(given["after"], data=records)})
    said = report_of(found).opening[0].items
    assert any(str(item).startswith("uniform does not have the same runs of linear") for item in said)


def test_how_the_folders_were_made_is_told_by_folder():
    given = versions()
    made = {
        "before": {"commit": "aaa", "versions": {"torch": "2.6"}},
        "after": {"commit": "bbb", "versions": {"torch": "2.6"}},
    }
    found = combined({name: replace(own, experiment=own.experiment | made[name]) for name, own in given.items()})
    facts = dict(report_of(found).facts)
    assert facts["Commit"] == "before: aaa · after: bbb"
    assert facts["Versions"] == "torch 2.6"


def test_three_versions_are_compared_with_the_first():
    given = versions()
    found = combined(given | {"again": given["after"]})
    shown = changes.table(found)
    assert shown is not None
    assert [row.label for row in shown.rows] == [
        "bad: after against before",
        "bad: again against before",
        "new",
    ]
    assert shown.rows[2].entries[-1].text == changes.SAME


def test_incomplete_methods_are_not_compared():
    given = versions()
    after = given["after"]
    lacking = after.records[~((after.records["agent"] == "bad") & (after.records["environment"] == "linear"))]
    jobs = [job for job in after.jobs if (job["environment"], job["agent"]) != ("linear", "bad")]
    shown = changes.table(combined(given | {"after": replace(after, data=lacking, jobs=jobs)}))
    assert shown is not None
    assert shown.rows[0].entries[-1].text == "not all runs have been made"
    assert shown.rows[0].entries[1].numbers == ()


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"a": PLAIN}, "expected at least two results folders, got a"),
        (
            {"a": bandit_results.results(), "b": active_results.results()},
            r"one benchmark, got bandits \(a\), active \(b\)",
        ),
        ({"a": PLAIN, "b": bandit_results.results(seeds=[9])}, "expected seeds that all have"),
        (
            {"a": bandit_results.results(), "b": bandit_results.results(("shop",))},
            "expected environments that all have",
        ),
        ({"a": PLAIN, "b": bandit_results.results(steps=7)}, r"steps: expected as many .* 7 \(b\)"),
        ({"a": PLAIN, "b": bandit_results.results(tuning={})}, r"got a tuning \(b\)"),
    ],
)
def test_what_does_not_compare_is_refused(named, says):
    with pytest.raises(ConfigError, match=says):
        combined(named)


def test_the_page_says_first_what_changed(tmp_path):
    html = write(combined(versions()), tmp_path).read_text(encoding="utf-8")
    assert html.index('id="changes"') < html.index('id="verdict"')
    assert "better in wheel" in html
    assert (tmp_path / "tables" / "changes-table-1.csv").exists()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of the same name with real runs, and what they differ in."""
    root = tmp_path_factory.mktemp("folders")
    for name, seeds in (("one", 3), ("two", 4)):
        vbandits.run(
            environments=[{"id": "vbandits/LinearBandit-v0", "label": "linear"}],
            agents=["linear-ts"],
            seeds=seeds,
            steps=40,
            workers=1,
            out=root / name / "small",
        )
    return root


def test_the_command_writes_a_report_and_nothing_over_anything_else(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second = (folders / name / "small" for name in ("one", "two"))
    assert command("compare", first, second) == 0
    said = capsys.readouterr()
    assert "What changed" in said.out
    assert changes.SAME in said.out  # a seed's result is its own, in a block of three or of four
    assert "linear-ts (two/small)" in said.out
    assert "uniform does not" not in said.err
    out = tmp_path / "results" / "compare-one-small-two-small"
    assert (
        json.loads((out / "compared.json").read_text())["methods"]["linear-ts"]["one/small"] == "linear-ts (one/small)"
    )
    assert command("compare", first, second) == 0  # its own report may be replaced
    (out / "notes.txt").write_text("mine")
    assert command("compare", first, second) == 2
    assert command("compare", first, second, "--out", first) == 2
    assert "got other files" in capsys.readouterr().err
    assert command("compare", first) == 2
    assert command("compare", first, first) == 2
    assert "name each of them once" in capsys.readouterr().err


def test_folders_and_results_compare_in_python(folders):
    loaded = vbandits.load(folders / "two" / "small")
    found = vbandits.compare(folders / "one" / "small", mine=loaded)
    assert found.labels("agent") == ["linear-ts (small)", "uniform", "linear-ts (mine)"]
    assert found.held_out["linear", "linear-ts (mine)"]["seed"].max() == 2
