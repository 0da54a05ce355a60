"""The README is true: its code runs, its files exist, its commands are commands."""

import os
import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_running import vbandits
from vbandits.api import run as vbandits_run
from vbandits.experiment.resolve import resolve

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def block_of(title, language="python", number=0):
    """A block of code of the section with a title."""
    return blocks(language, README.split(f"\n## {title}\n")[1].split("\n## ")[0])[number]


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_its_experiment_is_one():
    experiment = resolve(tomllib.loads(block_of("Your own agent", "toml")))
    assert [spec.label for spec in experiment.methods] == ["ibvi", "ibvi rank 20", "uniform"]


def test_its_supervised_experiment_is_one():
    experiment = resolve(tomllib.loads(block_of("Your own agent", "toml", 1)))
    assert [spec.label for spec in experiment.methods] == ["ibvi", "temperature-scaled"]


def test_its_active_learning_is_an_experiment():
    experiment = resolve(tomllib.loads(block_of("Your own pool", "toml")))
    assert [spec.label for spec in experiment.methods][:4] == [
        "ibvi random",
        "ibvi bald",
        "ibvi epig-test",
        "ibvi posterior_sampling",
    ]
    assert experiment.problems[0].rounds == 10


@pytest.mark.slow
def test_its_folders_are_compared_and_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wheel = {"id": "vbandits/Wheel-v0", "kwargs": {"delta": 0.5}, "label": "wheel 0.5"}
    for folder, scale in (("quickstart", 1.0), ("rank20", 3.0)):
        agent = {"id": "linear-ts", "rule": {"temper": scale}}
        vbandits_run(environments=[wheel], agents=[agent], seeds=3, steps=60, workers=1, out=f"results/{folder}")
    capsys.readouterr()
    for example in (block_of("Compare two folders"), block_of("Figures for a paper")):
        exec(compile(example, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "linear-ts (rank20)" in said
    assert "Cumulative regret in wheel 0.5" in said
    assert "What changed" in Path("comparison/index.html").read_text()
    assert Path("wheel.pdf").read_bytes()[:4] == Path("means.pdf").read_bytes()[:4] == b"%PDF"


def test_its_log_is_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    log = pd.DataFrame({"age": random.integers(20, 60, 300), "mail": random.choice(["a", "none"], 300), "chance": 0.5})
    log.assign(paid=random.random(300)).to_csv("decisions.csv", index=False)
    experiment = resolve(tomllib.loads(block_of("Logged data", "toml")))
    assert experiment.options == {"folds": 8, "training_rows": 2000, "draws": 256}
    assert [spec.label for spec in experiment.methods] == ["ibvi", "uniform", "logging"]
    example = block_of("Logged data")
    monkeypatch.setattr("vbandits.run", partial(vbandits_run, seeds=2, folds=2, workers=1))
    exec(compile(example.replace('"ibvi", ', ""), "README.md", "exec"), {"probabilities": np.full((300, 2), 0.5)})


@pytest.mark.slow
def test_its_pool_is_bought_from_as_it_stands(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(block_of("Your own pool").replace('"budget": 20', '"budget": 3').replace("seeds=4", "seeds=2"))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ibvi Farthest" in done.stdout
    assert (tmp_path / "labels" / "index.html").exists()


@pytest.mark.slow
def test_its_environment_is_checked_and_run(tmp_path, monkeypatch, capsys):
    source = block_of("Your own environment")
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("my_envs", None)
    Path("my_envs.py").write_text(source)
    check, run = re.findall(r"vbandits ((?:check|run) .*my_envs:Ads.*)", README)
    assert vbandits(*check.split()) == 0
    assert "regret: known" in capsys.readouterr().out
    assert vbandits(*run.split(), "--seeds", 2, "--steps", 60, "--workers", 1) == 0
    assert "linear-ts" in capsys.readouterr().out


@pytest.mark.slow
def test_its_script_runs_as_it_stands(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(block_of("Your own agent").replace("seeds=8, steps=500", "seeds=2, steps=60"))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
    assert (tmp_path / "report" / "index.html").exists()


def test_its_callback_says_what_it_should(capsys):
    example = block_of("Follow a run")
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("Wheel-v0 · ") and float(line.split()[-1]) > 40 for line in lines)


@pytest.mark.slow
def test_its_agent_outlives_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = block_of("Agents that outlive a run")
    found = {}
    exec(example.replace("steps=500", "steps=60"), found)
    assert 0 <= found["action"] < 5
    assert found["expected"].mean.shape == (5,)
    assert found["vbandits"].load_agent("results/mine").steps == 61


@pytest.mark.slow
def test_its_test_passes_as_it_stands(tmp_path):
    (tmp_path / "my_envs.py").write_text(block_of("Your own environment"))
    (tmp_path / "test_mine.py").write_text(block_of("Test your own"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    alone = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "36 passed" in done.stdout


def test_its_commands_have_the_options_it_says(capsys):
    commands = re.findall(r"^vbandits (.+?)(?: {2,}#.*)?$", "\n".join(blocks("bash")), re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        name, *rest = command.split()
        assert vbandits(name, "--help") == 0, command
        shown = capsys.readouterr().out
        for option in (word for word in rest if word.startswith("--")):
            assert option in shown, command
