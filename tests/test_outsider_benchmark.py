"""A fourth benchmark, from outside the package: it runs, resumes and is reported through the public entry points."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

import vbandits
from tests.test_running import markers
from tests.test_running import vbandits as command
from vbandits.errors import ConfigError

FILE = """
name = "poisson"
benchmark = "poisson:BENCHMARK"
seeds = 6
block = 3

[[counts]]
id = "steep"
slope = 1.5

[[counts]]
id = "flat"
slope = 0.0
rows = 12

[[models]]
id = "ridge"

[[models]]
id = "mean"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """An experiment file beside the module that has its benchmark, in the current folder."""
    shutil.copy(Path(__file__).with_name("outsider_benchmark.py"), tmp_path / "poisson.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "poisson", raising=False)
    path = tmp_path / "poisson.toml"
    path.write_text(FILE)
    return path


def test_it_runs_resumes_and_is_reported_from_the_command_line(file, capsys):
    assert command("run", file, "--workers", 1) == 0
    shown = capsys.readouterr()
    assert "flat: fewer than 20 rows" in shown.err
    assert "NLL" in shown.out
    out = Path("results/poisson")
    before = markers(out)
    assert len(before) == 8  # two problems, two models, two blocks
    assert json.loads((out / "experiment.json").read_text())["kind"] == "poisson:BENCHMARK"
    summary = pd.read_csv(out / "report" / "summary.csv").set_index(["count", "model"])["nll"]
    assert summary["steep", "ridge"] < summary["steep", "mean"] - 0.3
    report = (out / "report" / "report.md").read_text()
    assert "2 counts" in report
    assert "## steep" in report
    assert "| ridge |" in report
    victim = next((out / "cells").glob("steep--ridge*.json"))
    victim.unlink()
    assert command("run", file, "--workers", 1) == 0
    after = markers(out)
    assert {name for name in after if after[name] != before[name]} == {victim.name}
    assert command("report", out) == 0
    assert command("run", file, "--set", "slope=0.3", "--workers", 1) == 0
    assert "counts.steep.slope 1.5 -> 0.3" in capsys.readouterr().err
    del sys.modules["poisson"]  # as in another process: a folder's word is not enough to import a module
    assert command("report", out) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "expected the module 'poisson'" in said
    assert "--benchmark poisson:BENCHMARK" in said
    assert "poisson" not in sys.modules
    assert command("report", out, "--benchmark", "poisson:BENCHMARK") == 0


def test_its_sections_are_filters_and_its_faults_are_told(file, capsys):
    assert command("run", file, "--workers", 1, "--models", "mean", "--counts", "flat", "--out", "few") == 0
    assert len(markers("few")) == 2
    assert command("run", file, "--modles", "mean") == 2
    assert "unknown option '--modles'; did you mean '--models'?" in capsys.readouterr().err
    file.write_text(FILE.replace('id = "mean"', 'id = "maen"').replace("rows = 12", "rows = 0"))
    assert command("run", file) == 2
    errors = capsys.readouterr().err
    assert "models[1]: expected one of ridge, mean, got 'maen'" in errors
    assert "counts[1].rows: expected greater than or equal to 1, got 0" in errors


@pytest.mark.slow
def test_it_runs_from_python_also_in_other_processes(file):
    given = {"counts": [{"id": "steep"}], "models": ["ridge", "mean"], "benchmark": "poisson:BENCHMARK"}
    results = vbandits.run(**given, seeds=4, block=2, workers=1)
    assert results.axes == ("count", "model")
    spread = vbandits.run(**given, seeds=4, block=4, workers=2, out="spread")
    order = ["model", "seed", "step"]
    one, other = (part.records.sort_values(order).reset_index(drop=True) for part in (results, spread))
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(vbandits.load("spread").records, spread.records)


def test_a_benchmark_that_is_not_there_is_named(file):
    with pytest.raises(ConfigError, match="unknown benchmark 'bandit'; did you mean 'bandits'"):
        vbandits.run(benchmark="bandit", counts=["steep"], models=["ridge"])


def test_an_option_by_whose_name_something_else_is_kept_is_refused(file, capsys):
    module = file.with_name("poisson.py")
    kept = "    file = PoissonFile\n"
    module.write_text(module.read_text().replace(kept, f'{kept}    options = ("precision",)\n'))
    assert command("run", file) == 2
    refusal = "PoissonConfig.options: expected names that every file does not have, got ['precision']"
    assert refusal in capsys.readouterr().err
