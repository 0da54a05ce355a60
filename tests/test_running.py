"""Runs from the command line: what they leave, how they resume, what they refuse."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from vbandits.cli import main
from vbandits.errors import ConfigError
from vbandits.experiment.files import write_json
from vbandits.experiment.store import Store
from vbandits.presets import PRESETS

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
    return written(tmp_path, monkeypatch)


def written(tmp_path, monkeypatch, text=EXPERIMENT):
    """Returns an experiment file in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "small.toml"
    path.write_text(text)
    return path


def ran(folder, text, *command):
    """Returns the folder, with an experiment file and what a command that ended well has left there."""
    (folder / "small.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["vbandits", *command[:2]])
        assert vbandits(*command, "--workers", 1) == 0
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a run of that file, made once."""
    return ran(tmp_path_factory.mktemp("finished"), EXPERIMENT, "run", "small.toml")


@pytest.fixture
def run(file, finished):
    """The file, with a copy of its run beside it."""
    shutil.copytree(finished / "results", file.parent / "results")
    return file


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


def test_a_run_leaves_its_jobs_its_experiment_and_its_report(finished):
    out = finished / "results" / "small"
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
        "cumulative_regret_high, relative_regret, relative_regret_low, relative_regret_high, late_regret, "
        "reward, nll, crps, coverage_90, seconds"
    )
    assert set(fixed.split(", ")) <= set(summary.columns)
    assert len(summary) == 6
    assert summary["coverage_90"].isna().tolist() == [
        row.agent == "uniform" or row.environment == "wine" for row in summary.itertuples()
    ]
    assert (out / "report" / "index.html").stat().st_size > 10_000
    assert (out / "report" / "report.md").stat().st_size > 500
    tables = sorted((out / "cells").glob("wheel--ibvi*.parquet"))
    assert [".held-out" in path.name for path in tables] == [True, False]
    frame = pd.read_parquet(tables[1])
    assert frame.groupby("seed").size().tolist() == [60] * 4


def test_relative_regret_is_percent_of_the_uniform_agents(finished):
    summary = table(finished / "results" / "small").set_index(["environment", "agent"])
    for name in ("wheel", "wine"):
        ratio = summary.cumulative_regret[name, "ibvi"] / summary.cumulative_regret[name, "uniform"]
        assert summary.relative_regret[name, "ibvi"] == pytest.approx(100 * ratio)
        assert summary.relative_regret[name, "uniform"] == 100


def test_a_finished_experiment_is_not_computed_again(run):
    before = markers("results/small")
    assert before
    assert vbandits("run", run, "--workers", 1) == 0
    assert markers("results/small") == before


@pytest.mark.slow
def test_overwrite_leaves_nothing_of_the_experiment_before(run):
    changed = ("run", run, "--steps", 50, "--workers", 1, "--agents", "linear-ts")
    assert vbandits(*changed, "--out", "other") == 0
    assert vbandits(*changed, "--overwrite") == 0
    assert table("results/small").equals(table("other"))
    assert markers("results/small").keys() == markers("other").keys()


@pytest.mark.slow
def test_workers_and_blocks_do_not_change_a_seed(run):
    run.write_text(EXPERIMENT.replace("steps = 60", "steps = 60\nblock = 2"))
    assert vbandits("run", run, "--workers", 2, "--out", "two") == 0
    assert len(markers("two")) == 2 * 6
    assert cells("results/small").equals(cells("two"))


@pytest.mark.slow
def test_workers_and_blocks_do_not_change_a_seed_of_any_preset(file):
    file.write_text(EVERY_PRESET)
    assert vbandits("run", file, "--workers", 1, "--out", "one") == 0
    file.write_text(EVERY_PRESET.replace("steps = 60", "steps = 60\nblock = 2"))
    assert vbandits("run", file, "--workers", 2, "--out", "two") == 0
    assert len(markers("two")) == 2 * 2 * len(PRESETS)
    assert cells("one").equals(cells("two"))


def test_settings_apply_to_every_agent_and_environment_that_has_the_field(file):
    settings = ("--set", "posterior.rank=3", "--set", "kwargs.delta=0.9")
    assert vbandits("run", file, "--workers", 1, "--seeds", 1, "--steps", 10, *settings) == 0
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


@pytest.mark.slow
def test_an_edited_network_is_computed_again(file, capsys):
    written = "import torch.nn as nn\ndef make(d, k):\n    return nn.Linear(d, k{})\n"
    Path("own_networks.py").write_text(written.format(""))
    network = 'network = { kind = "module", factory = "own_networks:make" }'
    file.write_text(EXPERIMENT.replace('id = "ibvi"', f'id = "ibvi"\n{network}'))
    assert vbandits("run", file, "--workers", 1) == 0
    Path("own_networks.py").write_text(written.format(", bias=False"))
    before = markers("results/small")
    assert vbandits("run", file, "--workers", 1) == 0
    told = capsys.readouterr().err.replace("\n", " ")
    assert "their content has changed (agents.ibvi.network.code" in told
    after = markers("results/small")
    assert {name: after[name] for name in before} == before
    assert sorted(name.split("--")[1] for name in after.keys() - before.keys()) == ["ibvi", "ibvi"]


@pytest.mark.parametrize("recorded", [1, 7, 1000])
def test_the_summary_is_of_the_whole_run_however_little_is_recorded(file, recorded):
    file.write_text(EXPERIMENT.replace("steps = 60", f"steps = 600\nrecorded = {recorded}"))
    assert vbandits("run", file, "--workers", 1, "--agents", "uniform", "--environments", "wheel") == 0
    summary = table("results/small")
    assert summary.cumulative_regret[0] == pytest.approx(29.41 * 600, rel=0.05)
    assert summary.late_regret[0] == pytest.approx(29.41, rel=0.1)  # of the last fifth alone


def test_a_half_written_cell_does_not_count(run):
    whole = table("results/small")
    victim = next(Path("results/small/cells").glob("wheel--ibvi*.json"))
    victim.unlink()  # the marker is written last: without it there is no cell
    victim.with_suffix(".parquet").write_bytes(b"PAR1 half")
    assert vbandits("run", run, "--workers", 1) == 0
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


@pytest.mark.usefixtures("run")
def test_the_report_can_be_written_again(capsys):
    page = Path("results/small/report/index.html")
    first = page.read_bytes()
    page.unlink()
    assert vbandits("report", "results/small") == 0
    assert page.read_bytes() == first
    assert "have not been made" not in capsys.readouterr().err
    for marker in Path("results/small/cells").glob("*ibvi*.json"):
        marker.unlink()
    assert vbandits("report", "results/small") == 0
    assert "note: 8 of 24 runs have not been made yet: this report is of a part." in capsys.readouterr().err
    assert vbandits("report", "nowhere") == 2


TWO_JOBS = ("run", "small.toml", "--agents", "linear-ts", "--environments", "wheel")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with a run of one agent and the uniform one, made once."""
    return ran(tmp_path_factory.mktemp("two"), EXPERIMENT, *TWO_JOBS)


@pytest.fixture
def two_jobs(file, two):
    """A copy of that run in the current folder, and its command."""
    shutil.copytree(two / "results", file.parent / "results")
    return Path("results/small"), (*TWO_JOBS, "--workers", 1)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
@pytest.mark.parametrize("ending", [".parquet", ".held-out.parquet"])
def test_a_damaged_table_is_told_by_name_and_made_again(two_jobs, capsys, damage, ending):
    folder, command = two_jobs
    whole = (folder / "report" / "report.md").read_text()
    path = next(
        path
        for path in (folder / "cells").glob(f"wheel--linear-ts*{ending}")
        if ("held" in path.name) == ("held" in ending)
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:300])
    assert vbandits("report", folder) == 2
    assert f"{path.name}: expected a table as a run left it, got other bytes" in " ".join(
        capsys.readouterr().err.split()
    )
    assert vbandits(*command) == 0
    numbers = (folder / "report" / "report.md").read_text()
    assert numbers.split("## Cost")[0].splitlines()[4:10] == whole.split("## Cost")[0].splitlines()[4:10]


def test_what_is_no_job_of_the_experiment_is_passed_over(two_jobs):
    folder, _ = two_jobs
    before = table(folder)
    (folder / "cells" / "notes.json").write_text('["not", "a", "marker"]')
    marker = json.loads(next((folder / "cells").glob("wheel--linear-ts*.json")).read_text())
    (folder / "cells" / "copy.json").write_text(json.dumps(marker))  # its key is another file's
    (folder / "cells" / "._copy.json").write_bytes(b"\xff\xfe")
    for path in [*(folder / "cells").glob("wheel--linear-ts*")]:
        copied = path.with_name(path.name.replace(".", " (conflicted copy).", 1))
        copied.write_bytes(path.read_bytes())
    outside = "--".join(["..", "..", "wheel--linear-ts--0-3--0123456789"]).replace("..--", "../", 1)
    name = "wheel--linear-ts--0-3--0123456789"
    (folder / "cells" / f"{name}.json").write_text(json.dumps(marker | {"key": outside}))
    (folder / "cells" / "other.json").write_text(json.dumps(marker | {"key": "other", "agent": "stranger"}))
    assert vbandits("report", folder) == 0
    assert table(folder).equals(before)


def test_a_marker_that_is_no_json_is_told_by_name_and_made_again(two_jobs, capsys):
    folder, command = two_jobs
    before = table(folder)
    torn = next((folder / "cells").glob("wheel--linear-ts*.json"))
    torn.write_text('{"key": "torn", ')
    assert vbandits("report", folder) == 2
    assert f"{torn.name}: expected JSON" in " ".join(capsys.readouterr().err.split())
    assert vbandits(*command) == 0
    assert table(folder).equals(before)


@pytest.mark.parametrize("what", ["a marker", "experiment.json"])
def test_json_that_was_damaged_is_told_by_name_and_made_again(two_jobs, what, capsys):
    folder, command = two_jobs
    jobs = sorted((folder / "cells").glob("*.json"))
    path = folder / what if what == "experiment.json" else next(own for own in jobs if "--linear-ts--" in own.name)
    whole, before = path.read_text(), table(folder)
    number, name = ('"memory_mb": ', '"seconds"') if what == "a marker" else ('"cpus": ', '"label"')
    for at in (whole.index(number) + len(number), whole.index(name) + 2):
        other = {"9": "8"}.get(whole[at], "9") if whole[at].isdigit() else chr(ord(whole[at]) ^ 1)
        path.write_text(whole[:at] + other + whole[at + 1 :])
        if number == '"cpus": ' and whole[:at].endswith(number):  # an experiment still, which is told to be edited
            assert table(folder).equals(before)
            continue
        with pytest.raises(ConfigError, match=rf"{path.name}: expected JSON as a run left it, got other content"):
            Store(folder).load()
    others = {own: own.stat().st_mtime_ns for own in jobs if own != path}
    capsys.readouterr()
    assert vbandits(*command) == 0
    told = f"{path.name}: expected JSON as a run left it, got " in " ".join(capsys.readouterr().err.split())
    assert told == (what == "experiment.json")
    assert table(folder).equals(before)
    assert {own: own.stat().st_mtime_ns for own in others} == others


def test_jobs_whose_experiment_is_lost_are_not_mixed_with_others(two_jobs, capsys):
    folder, command = two_jobs
    (folder / "experiment.json").write_text("{")
    assert vbandits(*command, "--steps", 11) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "expected the experiment of the jobs that lie here, got none that can be read" in said
    assert vbandits(*command, "--steps", 11, "--overwrite") == 0
    assert {marker["steps"] for marker in Store(folder).markers()} == {11}


def test_a_job_that_fails_over_a_torn_marker_is_told(two_jobs):
    folder, _ = two_jobs
    store = Store(folder)
    path = next((folder / "cells").glob("*--uniform--*.json"))
    (marker,) = [own for own in store.markers() if own["key"] == path.stem]
    path.write_text("{")
    assert store.finished(path.stem) is None
    write_json(path, marker)
    assert store.finished(path.stem) == marker
