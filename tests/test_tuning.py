"""Tuning: the same number of settings of every method, the best of each as a preset that runs."""

import json
import shutil
import tomllib

import numpy as np
import pandas as pd
import pytest

from tests.test_running import ran, vbandits, written
from vbandits.api import execute
from vbandits.errors import ConfigError
from vbandits.experiment import sweeps
from vbandits.experiment.report import report_of
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store
from vbandits.metrics import intervals
from vbandits.presets import read
from vbandits.report import markdown, page
from vbandits.tuning import files, search
from vbandits.tuning.experiment import resolve_tuning
from vbandits.tuning.results import Tuning

FILE = """
name = "small"
seeds = [100, 101]
steps = 40
settings = 3

[[environments]]
id = "vbandits/Wheel-v0"
label = "wheel"

[[environments]]
id = "vbandits/LinearBandit-v0"
kwargs = { features = 3, arms = 2 }
label = "linear"

[[agents]]
id = "uniform"

[[agents]]
label = "exact"
posterior = { kind = "linear" }
rule = { kind = "thompson" }
search = { "posterior.prior_precision" = [0.1, 1.0, 10.0], standardize = [true, false] }

[[agents]]
id = "epsilon-greedy"
schedule = { every = 20 }
search.rule.epsilon = [0.0, 0.1, 1.0]
"""
DOCUMENT = tomllib.loads(FILE)
POISSON = {
    "benchmark": "tests.outsider_benchmark:BENCHMARK",
    "name": "counts",
    "seeds": 3,
    "settings": 2,
    "counts": [{"id": "steep"}, {"id": "flat", "slope": 0.1}],
    "models": [{"id": "ridge", "search": {"alpha": [1000.0, 0.1]}}, "mean"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return written(tmp_path, monkeypatch, FILE).parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a tuning by that file, made once."""
    return ran(tmp_path_factory.mktemp("tuned"), FILE, "tune", "small.toml", "--write", "written.toml")


@pytest.fixture
def tuning(finished):
    return Tuning(Store(finished / "results" / "small").load())


def changed(entry=1, **fields):
    """The document with an agent that has other fields."""
    agents = [{**agent, **fields} if place == entry else agent for place, agent in enumerate(DOCUMENT["agents"])]
    return {**DOCUMENT, "agents": agents}


def test_every_method_gets_the_same_budget_and_one_without_a_search_runs_once():
    experiment = resolve_tuning(DOCUMENT)
    labels = [agent.label for agent in experiment.methods]
    assert len(labels) == len(set(labels)) == 7
    assert [sum(label.startswith(name) for label in labels) for name in ("uniform", "exact", "epsilon-greedy")] == [
        1,
        3,
        3,
    ]
    assert "epsilon-greedy epsilon=0.1" in labels
    rules = [agent.rule.epsilon for agent in experiment.methods if agent.label.startswith("epsilon-greedy")]
    assert rules == [0.0, 0.1, 1.0]
    assert {agent.schedule.every for agent in experiment.methods if agent.label.startswith("epsilon")} == {20}


def test_what_is_tuned_can_be_named():
    experiment = resolve_tuning(DOCUMENT, {"agents": "exact", "environments": "linear"})
    assert {agent.label.split()[0] for agent in experiment.methods} == {"exact", "uniform"}
    assert [problem.label for problem in experiment.problems] == ["linear"]
    with pytest.raises(ConfigError, match="--agents: unknown agent 'exacd'; did you mean 'exact'"):
        resolve_tuning(DOCUMENT, {"agents": "exacd"})


REFUSED = {
    "posterior.prior_precision: expected a list of values, got 3": changed(search={"posterior.prior_precision": 3}),
    "standardize: expected each value once": changed(search={"standardize": [True, True]}),
    "expected fields and their values": changed(search=[]),
    r"agents\[1\] \(exact\)\.search: expected a grid of at least 3 settings.* got 2 \(2\): add values": changed(
        search={"standardize": [True, False]}
    ),
    r"unknown field 'prior_precisio'; did you mean 'prior_precision'": changed(
        search={"posterior.prior_precisio": [0.1, 1.0, 10.0]}
    ),
    "expected fields of a preset, got 'label'": changed(search={"label": ["a", "b", "c"]}),
    "got 'uniform' again": changed(label="uniform"),
    r"agents\[1\]: expected a label": changed(label=None),
    "standardize.inner: expected fields in the section standardize, got True": changed(
        standardize=True, search={"standardize.inner": [1, 2, 3]}
    ),
    "settings: expected how many settings .* got None": {k: v for k, v in DOCUMENT.items() if k != "settings"},
    "settings: expected how many settings .* got 0": {**DOCUMENT, "settings": 0},
    "agents: expected one with a search": {**DOCUMENT, "agents": ["ibvi"]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_tuned_is_refused(message):
    with pytest.raises(ConfigError, match=message):
        resolve_tuning(REFUSED[message])


def test_a_field_of_methods_cannot_be_set():
    with pytest.raises(ConfigError, match=r"--set: expected a field of problems, .*got 'rule\.epsilon'"):
        resolve_tuning(DOCUMENT, settings=["rule.epsilon=0.5"])


def test_a_run_refuses_a_search_and_a_tuning_a_folder_that_is_not(folder, capsys):
    assert vbandits("run", "small.toml") == 2
    assert "agents[1].search: expected no search in a run, got one: `vbandits tune`" in capsys.readouterr().err
    assert vbandits("tune", "small.toml", "--write", "nowhere/presets.toml") == 2
    assert "--write: expected a file in a folder that exists" in capsys.readouterr().err
    assert not (folder / "results").exists()


# what it leaves


def test_the_best_setting_is_chosen_by_the_mean_over_problems(tuning):
    summary = tuning.results.summary().set_index(["environment", "agent"])["relative_regret"]
    assert tuning.headline == "relative_regret"
    for method in tuning.methods:
        scores = [trial.score[0] for trial in method.trials]
        assert scores == sorted(scores)
        for trial in method.trials:
            label = f"{method.name} {sweeps.text(trial.setting)}".strip()
            assert trial.scores == pytest.approx({name: summary[name, label] for name in ("wheel", "linear")})
            assert trial.score[0] == pytest.approx(np.mean([*trial.scores.values()]))
            assert trial.seconds > 0
    names = [method.name for method in tuning.methods]
    assert names == ["uniform", "exact", "epsilon-greedy"]
    assert [len(method.trials) for method in tuning.methods] == [1, 3, 3]
    assert tuning.methods[0].chosen.score == pytest.approx((100, 100, 100))
    assert tuning.methods[2].trials[-1].setting == {"rule.epsilon": 1.0}, "which is to choose at random"


def test_differences_are_paired_by_seed(tuning):
    method = tuning.methods[1]
    best, other = method.trials[:2]
    paired = (other.losses - best.losses).to_numpy()
    assert method.differences[1] == pytest.approx((paired.mean(), *intervals.mean_interval(paired)))
    assert method.differences[0] == (0, 0, 0)
    assert method.tied[0]
    assert method.next_best == (other, method.differences[1])


def test_the_presets_are_read_back_and_run(finished, tuning, monkeypatch):
    written = finished / "written.toml"
    assert written.read_text() == (finished / "results" / "small" / "presets.toml").read_text()
    presets = tomllib.loads(written.read_text())["agents"]
    assert presets["uniform"] == {"rule": {"kind": "uniform"}}
    chosen = tuning.methods[1].chosen.setting
    assert presets["exact"] == {
        "posterior": {"kind": "linear", "prior_precision": chosen["posterior.prior_precision"]},
        "rule": {"kind": "thompson"},
        "standardize": chosen["standardize"],
    }
    assert presets["epsilon-greedy"]["posterior"] == {"kind": "deterministic"}, "of the preset that it started from"
    assert presets["epsilon-greedy"]["schedule"] == {"every": 20}
    written.rename(finished / "agents.toml")
    monkeypatch.setattr("vbandits.benchmarks.bandits.config.PRESETS", read("agents", finished / "agents.toml"))
    (finished / "agents.toml").rename(written)
    ready = resolve({"name": "it", "environments": ["vbandits/Wheel-v0"], "agents": ["exact", "epsilon-greedy"]})
    agents = {agent.label: agent for agent in ready.methods}
    assert agents["exact"].standardize == chosen["standardize"]
    assert agents["epsilon-greedy"].rule.epsilon == tuning.methods[2].chosen.setting["rule.epsilon"]


def test_the_presets_say_how_they_were_made(finished, tuning):
    text = (finished / "written.toml").read_text()
    flat = " ".join(line.removeprefix("# ") for line in text.splitlines())
    assert "Written by: vbandits tune small.toml" in flat
    assert (
        "3 settings of every agent with a search; 2 seeds, 100 to 101; 40 steps; environments: wheel; linear." in flat
    )
    method = tuning.methods[1]
    other, (difference, *_) = method.next_best
    assert f"the next best, {sweeps.text(other.setting)}, differs by {difference:.1f} [" in flat
    assert max(map(len, text.splitlines())) <= 120
    assert ("at an edge of what was tried: posterior.prior_precision" in flat) == bool(method.edges)


def test_every_trial_is_a_row(finished):
    table = pd.read_csv(finished / "results" / "small" / "trials.csv")
    assert len(table) == 7
    assert table.groupby("agent")["chosen"].sum().eq(1).all()
    assert table.loc[table["chosen"], "score"].tolist() == table.groupby("agent", sort=False)["score"].min().tolist()
    assert set(table["rule.epsilon"].dropna()) == {0.0, 0.1, 1.0}
    assert {"relative_regret wheel", "score_low", "difference_high", "failures", "seconds"} <= set(table.columns)


def test_the_report_shows_what_was_chosen_and_from_what(finished, tuning):
    report = report_of(tuning.results)
    assert [row.label for row in report.opening[0].tables[""].rows] == ["uniform", "exact", "epsilon-greedy"]
    own = report.sections[0].tables[""]
    assert [head.text for head in own.heads[:3]] == ["prior_precision", "standardize", "Score"]
    assert [row.label for row in own.rows] == ["chosen", "2", "3"]
    assert [row.entries[2].strong for row in own.rows] == tuning.methods[1].tied
    html = page.render(report)
    assert html.count('<svg class="figure"') == 3, "two fields of one, one of the other"
    written = (finished / "results" / "small" / "report" / "report.md").read_text()
    assert written == markdown.render(report)
    assert "3 settings of every agent" in written


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped_and_with_another_search(folder, finished, capsys):
    results = folder / "results" / "small"
    results.parent.mkdir()
    shutil.copytree(finished / "results" / "small", results)
    markers = {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")}
    lost = min(markers)
    lost.unlink()
    assert vbandits("tune", "small.toml", "--workers", 1) == 0
    after = {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")}
    assert {path for path in after if after[path] != markers[path]} == {lost}
    (folder / "small.toml").write_text(FILE.replace("[0.0, 0.1, 1.0]", "[0.0, 0.2, 1.0]"))
    capsys.readouterr()
    assert vbandits("tune", "small.toml", "--workers", 1) == 0
    told = " ".join(capsys.readouterr().err.split())
    later = {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")}
    assert {path: later[path] for path in after} == after
    assert len(later) == len(after) + 2, "one setting in two environments"
    assert "kept on disk, and not in the report as they are not asked for: agents epsilon-greedy" in told
    assert "0.2" in (results / "trials.csv").read_text()
    again = FILE.replace("[0.0, 0.1, 1.0]", "[0.0, 0.3, 1.0]")
    Store(results).prepare(resolve_tuning(tomllib.loads(again)), "", overwrite=True)
    assert not (results / "presets.toml").exists(), "of the search before"
    assert not [*(results / "cells").iterdir()]


def test_a_setting_that_lacks_a_run_cannot_be_chosen(folder, finished, capsys):
    results = folder / "small"
    shutil.copytree(finished / "results" / "small", results)
    store = Store(results)
    best = Tuning(store.load()).methods[2].chosen
    label = f"epsilon-greedy {sweeps.text(best.setting)}"
    gone = next(path for path in (results / "cells").glob("*.json") if json.loads(path.read_text())["agent"] == label)
    gone.unlink()
    method = Tuning(store.load()).methods[2]
    assert method.trials[-1].setting == best.setting
    assert not method.trials[-1].whole
    assert method.chosen.setting != best.setting
    for path in (results / "cells").glob("*.json"):
        if json.loads(path.read_text())["agent"].startswith("epsilon-greedy"):
            path.unlink()
    assert vbandits("report", results) == 1
    assert "epsilon-greedy: every setting has a run that is missing or failed" in capsys.readouterr().err
    assert set(tomllib.loads((results / "presets.toml").read_text())["agents"]) == {"uniform", "exact"}
    assert "no setting can be chosen" in (results / "report" / "report.md").read_text()


def test_a_problem_without_the_headline_is_left_out_and_told(tmp_path):
    problems = [*DOCUMENT["environments"][:1], {"id": "CartPole-v1"}]
    document = {**DOCUMENT, "environments": problems, "steps": 20, "agents": DOCUMENT["agents"][:2]}
    results = execute(resolve_tuning(document), Store(tmp_path), command="tune", workers=1)
    tuning = Tuning(results)
    assert tuning.problems == ["wheel"]
    assert tuning.unscored == ["CartPole-v1"]
    assert tuning.methods[1].chosen is not None
    assert "CartPole-v1: no relative regret is known there, and the score is without it." in report_of(results).warnings


def test_nothing_is_chosen_before_anything_has_run(folder):
    store = Store(folder / "empty")
    store.folder.mkdir()
    store.prepare(resolve_tuning(DOCUMENT), "vbandits tune small.toml", overwrite=False)
    tuning = Tuning(store.load())
    assert [method.chosen for method in tuning.methods] == [None] * 3
    assert [sum(method.tied) for method in tuning.methods] == [0, 0, 0]
    page.render(report_of(tuning.results))


def test_toml_of_every_kind_of_value_is_read_back():
    content = {
        "text": 'a "b" \\ c',
        "a key": [1, 2.5, True],
        "table": {"inner": {"x": 1e-9}, "y": [{"z": 1.0}, {}]},
        "large": float("inf"),
    }
    lines = "\n".join(f"{files._key(name)} = {files.toml(value)}" for name, value in content.items())
    assert tomllib.loads(lines) == content


# other benchmarks


def test_a_benchmark_of_ones_own_is_tuned_by_the_first_of_its_losses(tmp_path):
    store = Store(tmp_path)
    tuning = Tuning(execute(resolve_tuning(POISSON), store, command="tune", workers=1))
    ridge, mean = tuning.methods
    assert tuning.headline == "nll"
    assert ridge.chosen.setting == {"alpha": 0.1}
    assert ridge.edges == ["alpha"]
    assert mean.chosen.preset == {"alpha": 1e6}
    assert tomllib.loads(files.presets(tuning))["models"] == {"ridge": {"alpha": 0.1}, "mean": {"alpha": 1e6}}


@pytest.mark.slow
def test_learners_are_tuned_over_all_their_acquisitions(tmp_path):
    document = {
        "name": "labels",
        "seeds": 2,
        "settings": 2,
        "problems": [{"label": "moons", "kwargs": {"pool": "two_moons", "budget": 6, "batch": 3, "rows": 60}}],
        "learners": [
            {
                "id": "deterministic",
                "acquisition": ["random", "entropy"],
                "network": {"hidden": [8]},
                "training": {"gradient_steps": 30, "full_steps": 60},
                "search": {"optimizer.learning_rate": [0.0001, 0.1]},
            }
        ],
    }
    tuning = Tuning(execute(resolve_tuning(document), Store(tmp_path), command="tune", workers=1))
    (method,) = tuning.methods
    assert tuning.headline == "relative_area"
    assert tuning.higher
    summary = tuning.results.summary().set_index("learner")["relative_area"]
    means = {
        rate: np.mean([summary[f"deterministic learning_rate={rate:g} {name}"] for name in ("random", "entropy")])
        for rate in (0.0001, 0.1)
    }
    best = max(means, key=means.get)
    assert method.chosen.setting == {"optimizer.learning_rate": best}
    assert method.chosen.score[0] == pytest.approx(means[best])
    assert tomllib.loads(files.presets(tuning))["learners"]["deterministic"] == {
        "posterior": {"kind": "deterministic"},
        "optimizer": {"learning_rate": best},
        "network": {"hidden": [8]},
        "training": {"gradient_steps": 30, "full_steps": 60},
    }
    page.render(report_of(tuning.results))


def test_presets_that_a_tuning_does_not_make_are_not_written_over(folder, capsys):
    others = folder / "others.toml"
    others.write_text('[agents.mine]\nrule = { kind = "uniform" }\n')
    assert vbandits("tune", "small.toml", "--write", "others.toml") == 2
    assert "whose presets are all made anew, got others.toml with mine" in capsys.readouterr().err.replace("\n", "")
    assert "mine" in others.read_text()
    assert vbandits("tune", "small.toml", "--write", ".") == 2


def test_a_table_takes_the_place_of_one_within_a_section():
    entry = {"schedule": {"every": 5, "forgetting": {"half_life": 120}}}
    made = search.changed(entry, {"schedule.forgetting": {"window": 30}})
    assert made == {"schedule": {"every": 5, "forgetting": {"window": 30}}}
    assert search.changed(entry, {"schedule": {"every": 7}})["schedule"]["forgetting"] == {"half_life": 120}
