"""Runs from the command line: what they leave, how they resume, what they refuse."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from vbandits.cli import main
from vbandits.experiment.store import Store
from vbandits.registry import PRESETS

EXPERIMENT = """
name = "small"
seeds = 4
steps = 60

[[environments]]
id = "vbandits/Wheel-v0"
label = "wheel"

[[environments]]
id = "vbandits/Classification-v0"
kwargs = { dataset = "wine" }
label = "wine"

[[agents]]
id = "ibvi"

[[agents]]
id = "linear-ts"
"""
EVERY_PRESET = EXPERIMENT + "".join(
    f'[[agents]]\nid = "{name}"\n' for name in sorted({*PRESETS} - {"ibvi", "linear-ts"})
)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """An experiment file in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT)
    return path


def vbandits(*arguments):
    """Runs the command line here and returns its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def table(folder):
    """The summary of a results folder, but for what was measured by the clock."""
    frame = pd.read_csv(Path(folder) / "report" / "summary.csv")
    return frame.drop(columns=["seconds", "environment_seconds", "scoring_seconds", "memory_mb"])


def cells(folder):
    """All records of a results folder, in an order that does not depend on how they were made."""
    records = Store(folder).load().records
    return records.sort_values(["environment", "agent", "seed", "step"]).reset_index(drop=True)


def markers(folder):
    return {path.name: path.stat().st_mtime_ns for path in (Path(folder) / "cells").glob("*.json")}


def test_a_run_leaves_its_cells_its_experiment_and_its_report(file):
    assert vbandits("run", file, "--workers", 1) == 0
    out = Path("results/small")
    assert len(markers(out)) == 6  # two environments, three agents: the uniform one always runs
    experiment = json.loads((out / "experiment.json").read_text())
    assert [agent["label"] for agent in experiment["agents"]] == ["ibvi", "linear-ts", "uniform"]
    assert experiment["agents"][0]["posterior"]["rank"] == 5
    assert experiment["versions"]["torch"]
    assert experiment["versions"]["scikit-learn"]
    assert experiment["versions"]["pyarrow"]
    assert experiment["device"] == "cpu"
    summary = pd.read_csv(out / "report" / "summary.csv")
    fixed = (
        "environment, agent, seeds, failures, steps, cumulative_regret, cumulative_regret_low, "
        "cumulative_regret_high, relative_regret, relative_regret_low, relative_regret_high, simple_regret, "
        "reward, nll, crps, coverage_90, seconds"
    )
    assert set(fixed.split(", ")) <= set(summary.columns)
    assert len(summary) == 6
    assert summary["coverage_90"].isna().tolist() == [
        row.agent == "uniform" or row.environment == "wine" for row in summary.itertuples()
    ]
    assert (out / "report" / "index.html").stat().st_size > 10_000
    assert (out / "report" / "report.md").stat().st_size > 500
    frame = pd.read_parquet(next((out / "cells").glob("wheel--ibvi*.parquet")))
    assert frame.groupby("seed").size().tolist() == [60] * 4


def test_relative_regret_is_percent_of_the_uniform_agents(file):
    vbandits("run", file, "--workers", 1)
    summary = table("results/small").set_index(["environment", "agent"])
    for name in ("wheel", "wine"):
        ratio = summary.cumulative_regret[name, "ibvi"] / summary.cumulative_regret[name, "uniform"]
        assert summary.relative_regret[name, "ibvi"] == pytest.approx(100 * ratio)
        assert summary.relative_regret[name, "uniform"] == 100


def test_a_finished_experiment_is_not_computed_again(file):
    vbandits("run", file, "--workers", 1)
    before = markers("results/small")
    assert vbandits("run", file, "--workers", 1) == 0
    assert markers("results/small") == before


def test_a_changed_experiment_is_refused_until_told_otherwise(file, capsys):
    vbandits("run", file, "--workers", 1)
    before = markers("results/small")
    assert vbandits("run", file, "--steps", 50) == 2
    message = capsys.readouterr().err
    assert "changed: steps" in message
    assert "--out" in message
    assert "--overwrite" in message
    assert markers("results/small") == before
    assert vbandits("run", file, "--steps", 50, "--workers", 1, "--out", "other") == 0
    assert vbandits("run", file, "--steps", 50, "--workers", 1, "--overwrite") == 0
    assert table("results/small").equals(table("other"))


def test_workers_and_blocks_do_not_change_a_seed(file):
    file.write_text(EVERY_PRESET)
    assert vbandits("run", file, "--workers", 1, "--out", "one") == 0
    file.write_text(EVERY_PRESET.replace("steps = 60", "steps = 60\nblock = 2"))
    assert vbandits("run", file, "--workers", 2, "--out", "two") == 0
    assert len(markers("two")) == 2 * 2 * len(PRESETS)
    assert cells("one").equals(cells("two"))


def test_settings_apply_to_every_agent_and_environment_that_has_the_field(file):
    assert vbandits("run", file, "--workers", 1, "--set", "posterior.rank=3", "--set", "kwargs.delta=0.9") == 0
    experiment = json.loads(Path("results/small/experiment.json").read_text())
    assert experiment["agents"][0]["posterior"]["rank"] == 3
    assert [environment["kwargs"] for environment in experiment["environments"]] == [
        {"delta": 0.9},
        {"dataset": "wine"},
    ]


def test_agents_and_environments_can_be_chosen(file):
    chosen = ("--agents", "linear-ts,deterministic", "--environments", "wine", "--seeds", 2, "--workers", 1)
    assert vbandits("run", file, *chosen) == 0
    summary = table("results/small")
    assert set(summary.agent) == {"linear-ts", "deterministic", "uniform"}
    assert set(summary.environment) == {"wine"}
    assert set(summary.seeds) == {2}


def test_no_file_is_needed(file):
    chosen = ("--environments", "vbandits/Wheel-v0", "--agents", "linear-ts", "--seeds", 2, "--steps", 40)
    assert vbandits("run", *chosen, "--workers", 1) == 0
    assert len(table(next(Path("results").iterdir()))) == 2


def test_a_cell_that_fails_is_reported_and_the_others_finish(file, capsys):
    Path("broken_envs.py").write_text(BROKEN)
    code = vbandits(
        "run",
        "--environments",
        "broken_envs:Breaks,vbandits/Wheel-v0",
        "--agents",
        "linear-ts",
        "--seeds",
        2,
        "--steps",
        80,
        "--workers",
        2,
        "--out",
        "out",
    )
    assert code == 1
    assert "the feed went away" in capsys.readouterr().err
    summary = table("out").set_index(["environment", "agent"])
    assert summary.failures["broken_envs:Breaks"].tolist() == [2, 2]
    assert summary.seeds["Wheel-v0"].tolist() == [2, 2]
    assert summary.failures["Wheel-v0"].tolist() == [0, 0]
    page = Path("out/report/index.html").read_text()
    assert "the feed went away" in page
    assert "57" in page


BROKEN = """
import gymnasium
import numpy as np


class Breaks(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        if self.steps == 57:
            raise RuntimeError("the feed went away")
        self.steps += 1
        return np.zeros(2, np.float32), float(action), False, False, {"regret": 2.0 - action}
"""


def test_a_failed_cell_is_tried_again(file):
    Path("mended_envs.py").write_text(
        BROKEN.replace("== 57", "== 57 and not __import__('pathlib').Path('mended').exists()")
    )
    run = ("run", "--environments", "mended_envs:Breaks", "--agents", "linear-ts", "--seeds", 2, "--steps", 80)
    assert vbandits(*run, "--workers", 2, "--out", "out") == 1
    Path("mended").touch()
    assert vbandits(*run, "--workers", 2, "--out", "out") == 0
    assert table("out").failures.tolist() == [0, 0]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_to_the_same_tables(file, stop):
    long = ("run", file, "--steps", 1500, "--workers", 2)  # long enough not to end before it is stopped
    command = [sys.executable, "-m", "vbandits", *map(str, long), "--out", "stopped"]
    run = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(Path("stopped/cells").glob("*.json")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(run.pid, stop)
    message = run.communicate(timeout=60)[1]
    finished = markers("stopped")
    if stop == signal.SIGINT:
        assert run.returncode == 130
        assert "to go on" in message
        assert "Traceback" not in message
    assert len(finished) < 6
    assert vbandits(*long, "--out", "stopped") == 0
    after = markers("stopped")
    assert {name: after[name] for name in finished} == finished
    assert vbandits(*long, "--out", "undisturbed") == 0
    assert table("stopped").equals(table("undisturbed"))


@pytest.mark.slow
def test_workers_do_not_outlive_a_run_that_was_killed(file):
    command = [
        sys.executable,
        "-m",
        "vbandits",
        "run",
        str(file),
        "--steps",
        "100000",
        "--out",
        "killed",
        "--workers",
        "2",
    ]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(Path("killed/cells").glob("*.progress"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.kill()
    run.wait()
    notes = {path: path.stat().st_mtime_ns for path in Path("killed/cells").glob("*.progress")}
    time.sleep(3)  # six times the half second in which a worker notes its step
    later = {path: path.stat().st_mtime_ns for path in Path("killed/cells").glob("*.progress")}
    time.sleep(3)
    assert {path: path.stat().st_mtime_ns for path in later} == later
    assert notes


@pytest.mark.parametrize("death", ["import os; os._exit(3)", "import sys; sys.exit('bye')"])
def test_a_worker_that_dies_takes_only_its_cell_along(file, death):
    module = f"deadly_envs_{len(death)}"
    Path(f"{module}.py").write_text(BROKEN.replace('raise RuntimeError("the feed went away")', death))
    code = vbandits(
        "run",
        "--environments",
        f"{module}:Breaks,vbandits/Wheel-v0",
        "--agents",
        "linear-ts",
        "--seeds",
        2,
        "--steps",
        80,
        "--workers",
        2,
        "--out",
        "out",
    )
    assert code == 1
    summary = table("out").set_index(["environment", "agent"])
    assert summary.failures[f"{module}:Breaks"].tolist() == [2, 2]
    assert summary.failures["Wheel-v0"].tolist() == [0, 0]


def test_an_edited_network_is_another_experiment(file, capsys):
    written = "import torch.nn as nn\ndef make(d, k):\n    return nn.Linear(d, k{})\n"
    Path("own_networks.py").write_text(written.format(""))
    network = 'network = { kind = "module", factory = "own_networks:make" }'
    file.write_text(EXPERIMENT.replace('id = "ibvi"', f'id = "ibvi"\n{network}'))
    assert vbandits("run", file, "--workers", 1) == 0
    Path("own_networks.py").write_text(written.format(", bias=False"))
    assert vbandits("run", file, "--workers", 1) == 2
    assert "changed: agents.ibvi.network.code" in capsys.readouterr().err


@pytest.mark.parametrize("recorded", [1, 7, 1000])
def test_the_summary_is_of_the_whole_run_however_little_is_recorded(file, recorded):
    file.write_text(EXPERIMENT.replace("steps = 60", f"steps = 600\nrecorded = {recorded}"))
    assert vbandits("run", file, "--workers", 1, "--agents", "uniform", "--environments", "wheel") == 0
    summary = table("results/small")
    assert summary.cumulative_regret[0] == pytest.approx(29.41 * 600, rel=0.05)
    assert summary.simple_regret[0] == pytest.approx(29.41, rel=0.05)


def test_a_half_written_cell_does_not_count(file):
    vbandits("run", file, "--workers", 1)
    whole = table("results/small")
    victim = next(Path("results/small/cells").glob("wheel--ibvi*.json"))
    victim.unlink()  # the marker is written last: without it there is no cell
    victim.with_suffix(".parquet").write_bytes(b"PAR1 half")
    assert vbandits("run", file, "--workers", 1) == 0
    assert table("results/small").equals(whole)


def test_two_runs_do_not_share_a_folder(file, capsys):
    from vbandits.api import locked

    Path("busy").mkdir()
    with locked(Path("busy")):
        assert vbandits("run", file, "--out", "busy") == 2
    assert "in use" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(file, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("precious")
    assert vbandits("run", file, "--out", "mine", "--overwrite") == 2
    assert "other files" in capsys.readouterr().err
    assert Path("mine/thesis.tex").read_text() == "precious"


def test_the_report_can_be_written_again(file):
    vbandits("run", file, "--workers", 1)
    page = Path("results/small/report/index.html")
    first = page.read_bytes()
    page.unlink()
    assert vbandits("report", "results/small") == 0
    assert page.read_bytes() == first
    assert vbandits("report", "nowhere") == 2
