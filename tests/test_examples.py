"""The files of experiments/ are what their README says, and the environment that users copy keeps the contract."""

import importlib
import re
import runpy
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import vbandits
from tests.test_running import vbandits as command
from vbandits.envs.check import check
from vbandits.experiment.resolve import benchmark_of, resolve
from vbandits.presets import PRESETS
from vbandits.registry import load
from vbandits.testing import checks
from vbandits.tuning.experiment import resolve_tuning

FOLDER = Path(__file__).parent.parent / "experiments"
FILES = sorted(path.name for path in FOLDER.glob("*.toml"))


@pytest.fixture
def news(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(FOLDER)])
    sys.modules.pop("custom_environment", None)
    return importlib.import_module("custom_environment").News


def document(name):
    return tomllib.loads((FOLDER / name).read_text())


def test_the_readme_lists_every_file():
    listed = re.findall(r"^\| \[(\w+\.toml)\]\((\S+)\)", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert all(name == link for name, link in listed)
    assert sorted(name for name, _ in listed) == FILES


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_an_experiment_of_its_own_name(name):
    content = document(name)
    assert content["name"].replace("-", "_") == name.removesuffix(".toml")
    kind = benchmark_of(content)
    for entry in content[kind.sections[1]]:
        assert entry.keys() & {"id", "search", "policy"}, "presets, what they are chosen from, or yours"


def test_the_showdown_has_every_preset_and_problems_that_agents_were_not_tuned_on():
    content, tuning = document("showdown.toml"), document("tuning.toml")
    assert {entry["id"] for entry in content["agents"]} == PRESETS.keys() - {"uniform"}
    assert all(entry.keys() == {"id"} for entry in content["agents"])
    assert len(content["environments"]) >= 12
    assert content["seeds"] == 50
    reported = [(entry["id"], entry.get("kwargs")) for entry in content["environments"]]
    assert not [entry for entry in tuning["environments"] if (entry["id"], entry.get("kwargs")) in reported]
    assert not set(tuning["seeds"]) & set(range(content["seeds"]))


def test_the_tuning_makes_every_preset_with_the_parts_that_it_has(monkeypatch):
    monkeypatch.setattr("vbandits.benchmarks.bandits.config.rehearse", lambda agent, form: agent.player((0,), form, 1))
    made = {}
    for file in ("tuning.toml", "tuning_forgetting.toml"):
        content = document(file)
        tuned = resolve_tuning({**content, "environments": content["environments"][:1]}).tuning
        assert tuned is not None
        assert content["settings"] == 8
        made |= tuned["methods"]
    assert made.keys() == PRESETS.keys()
    for name, method in made.items():
        assert len(method["trials"]) == (1 if name == "uniform" else 8)
        for trial in method["trials"]:
            parts = [
                {part: preset[part]["kind"] for part in ("posterior", "rule") if part in preset}
                for preset in (trial["preset"], PRESETS[name])
            ]
            assert parts[0] == parts[1]


@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("name", ["showdown.toml", "wheel.toml", "quickstart.toml", "tuning.toml"])
def test_every_environment_of_the_bandit_files_can_be_played(name):
    content = {key: value for key, value in document(name).items() if key != "settings"}
    for problem in resolve({**content, "agents": ["linear-ts"]}).problems:
        spec = problem.environment
        environment = spec.open(2)
        environment.reset(seed=[0, 1])
        _, reward, *_ = environment.step(torch.tensor([0, 1]))
        assert np.isfinite(reward.numpy()).all()


def test_the_environment_to_copy_passes_every_check(news):
    report = check(news)
    assert report.works
    assert {line.status for line in report.lines} == {"passed"}, str(report)


def test_the_pool_to_copy_passes_every_check(news):
    report = check(importlib.import_module("custom_pool").Patients)
    assert report.works
    assert {line.status for line in report.lines} == {"passed"}, str(report)


def test_the_environment_to_copy_pays_clicks_at_the_rates_that_it_tells(news):
    environment = news()
    observation, _ = environment.reset(seed=0)
    clicks, rates = [], []
    for _ in range(4000):
        action = int(np.flatnonzero(observation["mask"])[0])
        observation, reward, *_, info = environment.step(action)
        clicks.append(reward)
        rates.append(info["expected_reward"])
        assert info["optimal_expected_reward"] >= info["expected_reward"] - 1e-12
        assert observation["mask"].sum() == 8
    assert np.mean(clicks) == pytest.approx(np.mean(rates), abs=4 * 0.5 / np.sqrt(4000))


@pytest.mark.slow
def test_an_agent_learns_the_environment_to_copy(news, tmp_path):
    results = vbandits.run(environments=[news], agents=["ibvi"], seeds=4, steps=600, delay=20, workers=1)
    summary = results.summary().set_index("agent")
    assert summary.loc["ibvi", "relative_regret"] < 60, "clicks of 600 readers tell something of their tastes"
    assert summary.loc["ibvi", "failures"] == 0


@pytest.mark.slow
def test_the_file_beside_it_runs(news, tmp_path):
    chosen = ("--agents", "linear-ts", "--seeds", 2, "--steps", 60, "--workers", 1, "--out", tmp_path / "out")
    assert command("run", FOLDER / "custom_environment.toml", *chosen) == 0
    results = vbandits.load(tmp_path / "out")
    assert [entry["delay"] for entry in results.experiment["environments"]] == [100, 0]
    assert [entry["batch"] for entry in results.experiment["environments"]] == [1, 50]


GALLERY = sorted((FOLDER / "gallery").glob("*.py"))


def test_the_readme_lists_the_gallery():
    listed = re.findall(r"^\| \[(\w+\.py)\]\(gallery/(\S+)\)", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, link in listed if name == link) == [path.name for path in GALLERY]


@pytest.mark.slow
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_every_file_of_the_gallery_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    printed, told = capsys.readouterr()
    assert len(printed.splitlines()) >= 3
    assert "failed" not in told


def test_what_the_gallery_makes_keeps_the_contract():
    names = {"posterior": "RandomFeatures", "rule": "HighestQuantile", "acquisition": "VariationRatio"}
    posterior, rule, acquisition = (
        runpy.run_path(str(FOLDER / "gallery" / f"own_{kind}.py"))[name] for kind, name in names.items()
    )
    for thing in (posterior(features=20), rule(), acquisition()):
        for check_of in checks(thing):
            check_of(thing)


def test_every_id_in_the_readme_is_registered():
    named = set(re.findall(r"vbandits/\w+-v0", (FOLDER / "README.md").read_text()))
    assert named == load("vbandits.registry:ENVIRONMENTS").keys()
