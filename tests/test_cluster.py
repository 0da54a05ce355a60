"""Parts of an experiment by several processes into one folder, and folders of several machines as one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vbandits as library
from tests.test_extending import FEW, MORE, assert_same_tables
from tests.test_running import markers, ran, vbandits
from vbandits.api import held
from vbandits.experiment.files import read_table, write_table
from vbandits.experiment.store import Store

RECIPES = Path(__file__).parent.parent / "experiments" / "cluster"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, in blocks of two seeds."""
    text = FEW.replace("seeds = 4", "seeds = 4\nblock = 2")
    return ran(tmp_path_factory.mktemp("whole"), text, "run", "small.toml") / "results" / "small"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(FEW.replace("seeds = 4", "seeds = 4\nblock = 2"))
    return "small.toml"


def command_of(recipe):
    """Returns the shell's command of a recipe and the environment variables that say which part it is, for two."""
    if recipe == "slurm.sh":
        variables = [{"SLURM_ARRAY_TASK_ID": str(part), "SLURM_ARRAY_TASK_COUNT": "2"} for part in (1, 2)]
        return ["bash", str(RECIPES / recipe), "small.toml", "out"], variables
    text = (RECIPES / recipe).read_text()
    command = " ".join(line.strip() for line in text.split(">-\n")[1].split("resources:")[0].splitlines())
    command = command.replace("/experiments/showdown.toml", "small.toml").replace("/results/showdown", "out")
    command = command.replace("))/8", "))/2").replace("--workers 4", "--workers 1")
    return ["sh", "-c", command], [{"JOB_COMPLETION_INDEX": str(index)} for index in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["slurm.sh", "kubernetes.yaml"])
@pytest.mark.usefixtures("file")
def test_a_recipe_with_two_processes_gives_the_tables_of_one_run(recipe, whole, tmp_path):
    program = tmp_path / "bin" / "vbandits"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vbandits "$@"\n')
    program.chmod(0o755)
    command, variables = command_of(recipe)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    running = [
        subprocess.Popen(command, env=os.environ | {"PATH": path} | own, stderr=subprocess.PIPE, text=True)
        for own in variables
    ]
    told = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert all("[6/6]" in text and "[7/" not in text for text in told), "half of the twelve jobs each"
    assert not Path("out/report").exists()
    assert vbandits("report", "out") == 0
    assert_same_tables("out", whole)


def test_shards_in_turn_compute_each_job_once(file, whole, capsys):
    made = []
    for part in (2, 1, 2):
        assert vbandits("run", file, "--out", "out", "--shard", f"{part}/2", "--workers", 1) == 0
        made.append(markers("out"))
        assert not Path("out/report").exists()
    assert [len(each) for each in made] == [6, 12, 12]
    assert made[1] == made[2]
    assert made[0].items() <= made[1].items()
    assert (
        "24 of 24 runs are done, by all shards; when they have ended:\n  vbandits report out" in capsys.readouterr().err
    )
    assert vbandits("report", "out") == 0
    assert_same_tables("out", whole)


def test_the_report_of_some_shards_says_so(file):
    assert vbandits("run", file, "--out", "out", "--shard", "1/2", "--workers", 1) == 0
    assert vbandits("report", "out") == 0
    assert "12 of 24 runs have not been made yet" in Path("out/report/report.md").read_text()


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none_is_refused(file, shard, capsys):
    assert vbandits("run", file, "--out", "out", f"--shard={shard}") == 2
    assert "expected i/n with i from 1 to n, such as 2/8" in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()


def test_who_may_write_to_a_folder_at_once(file, monkeypatch, capsys):
    monkeypatch.setattr("vbandits.api.MOMENT", 0.1)
    shard = ("run", file, "--out", "out", "--workers", 1, "--shard", "1/12")
    assert vbandits(*shard) == 0

    def refused(*command):
        assert vbandits(*command) == 2
        return " ".join(capsys.readouterr().err.split())

    with held(Path("out/.lock-2-of-12"), "busy"):
        assert vbandits(*shard) == 0, "another shard does not stand in the way"
        assert "got one of --shard 2/12" in refused("run", file, "--out", "out")
        assert "got one of another experiment" in refused(*shard, "--steps", 20)
        assert "got --shard 2/12 while it is running" in refused(*shard[:-1], "2/12")
    with held(Path("out/.lock"), "busy"):
        assert "got one in use" in refused(*shard)
    assert vbandits(*shard, "--steps", 20) == 0, "nobody is in the way any more"


@pytest.mark.slow
def test_folders_of_other_seeds_and_agents_become_one(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = FEW.replace("seeds = 4", "seeds = SEEDS\nblock = 2")
    for name, seeds in (("first", [0, 1]), ("second", [1, 2, 3])):
        Path("small.toml").write_text(text.replace("SEEDS", str(seeds)))
        assert vbandits("run", "small.toml", "--out", name, "--workers", 1) == 0
    before = {path: path.read_bytes() for path in Path("first").rglob("*") if path.is_file()}
    assert vbandits("merge", "first", "second", "--out", "both") == 0
    assert before == {path: path.read_bytes() for path in Path("first").rglob("*") if path.is_file()}
    assert_same_tables("both", whole)
    assert [one["command"] for one in json.loads(Path("both/experiment.json").read_text())["history"]]
    Path("small.toml").write_text(text.replace("SEEDS", "4"))
    then = markers("both")
    assert vbandits("run", "small.toml", "--out", "both", "--workers", 1) == 0
    assert markers("both") == then, "it is a results folder as any other"


def test_what_does_not_belong_together_is_refused_with_all_reasons(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, "one")
    changed = MORE.replace("steps = 30", "steps = 20").replace("gradient_steps = 3", "gradient_steps = 4")
    changed = changed.replace('label = "wheel"', 'label = "wheel"\nkwargs = { delta = 0.9 }')
    Path("small.toml").write_text(changed)
    assert vbandits("run", "small.toml", "--out", "two", "--workers", 1, "--agents", "ibvi", "--seeds", 1) == 0
    capsys.readouterr()
    assert vbandits("merge", "one", "two", "--out", "both") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "got others in two than in one: steps 30 -> 20" in told
    assert "environment wheel: expected the same in all, got another in two than in one" in told
    assert "agent ibvi: expected the same in all" in told
    assert "schedule.gradient_steps 3 -> 4" in told
    assert not Path("both").exists()
    assert vbandits("merge", "one", "--out", "both") == 2
    assert vbandits("merge", "one", "two", "--out", "one") == 2


def test_a_run_with_two_results_is_refused(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, "one")
    shutil.copytree(whole, "two")
    store = Store("two")
    marker = next(own for own in store.markers() if own["agent"] == "uniform" and own["environment"] == "wheel")
    path = store.jobs / f"{marker['key']}.parquet"
    marker["sha256"][".parquet"] = write_table(path, read_table(path, None).to_pandas().assign(reward=0.5))
    (store.jobs / f"{marker['key']}.json").write_text(json.dumps(marker))
    with pytest.raises(library.ConfigError, match="wheel · uniform: expected each run once, or with the same results"):
        library.merge("one", "two", out="both")
    shutil.rmtree("two")
    shutil.copytree("one", "two")
    assert library.merge("one", "two", out="both").records.equals(Store("one").load().records)
