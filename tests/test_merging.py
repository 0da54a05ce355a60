"""Merging takes all jobs that lie in its folders, whatever each was last asked for, or says what stays behind."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from tests.test_extending import FEW, MORE, assert_same_tables, change
from tests.test_running import markers, ran, vbandits
from vbandits.experiment.merging import merged
from vbandits.experiment.store import Store


def made(folder, text, *more, shown=False):
    """Leaves a run in a folder, with its report if that is to be shown."""
    Path("small.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        if not shown:
            patch.setattr("vbandits.cli.running.show", lambda *_: 0)
        assert vbandits("run", "small.toml", "--out", folder, "--workers", 1, *more) == 0


def merged_quietly(*folders):
    """Returns the results of a merge to both/ without a report, and what it told."""
    console = Console(file=io.StringIO(), width=10_000)
    return merged(folders, Path("both"), "vbandits merge", console), console.file.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a run of 4 seeds and 3 agents."""
    return ran(tmp_path_factory.mktemp("merging"), FEW, "run", "small.toml") / "results" / "small"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one/ and two/, as `narrowed` has them."""
    folder = tmp_path_factory.mktemp("narrowed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made("one", FEW, "--seeds", "0-1")
        made("one", FEW, "--seeds", "0-0", "--agents", "linear-ts")
        made("two", FEW, "--seeds", "2-3")
        made("two", FEW, "--seeds", "3-3", "--environments", "linear")
    return folder


@pytest.fixture
def narrowed(runs, tmp_path, monkeypatch):
    """The current folder, with runs in one/ and two/ of half of the seeds each, that were then asked for less."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(runs / name, tmp_path / name)
    return tmp_path


@pytest.mark.usefixtures("narrowed")
def test_jobs_of_wider_experiments_than_the_last_are_merged(whole, capsys):
    capsys.readouterr()
    assert vbandits("merge", "one", "two", "--out", "both") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "note: one: with it are merged 8 runs of what was asked for earlier" in told
    assert "linear · ibvi, wheel · ibvi (seeds 0\N{EN DASH}1)" in told
    assert "note: two: with it are merged 9 runs of what was asked for earlier" in told
    assert "behind" not in told
    document = json.loads(Path("both/experiment.json").read_text())
    assert document["seeds"] == [0, 1, 2, 3]
    assert {one["label"] for one in document["agents"]} == {"ibvi", "linear-ts", "uniform"}
    assert {one["label"] for one in document["environments"]} == {"wheel", "linear"}
    wanted, found = (Store(folder).load().records for folder in (whole, "both"))
    order = ["environment", "agent", "seed", "step"]
    wanted, found = (own.sort_values(order).reset_index(drop=True) for own in (wanted, found))
    assert found.equals(wanted)
    assert "have not been made yet" not in Path("both/report/report.md").read_text()
    then = markers("both")
    made("both", FEW, shown=True)
    assert markers("both") == then, "it holds all that the whole experiment asks for"
    assert_same_tables("both", whole)


@pytest.mark.usefixtures("narrowed")
def test_what_cannot_be_merged_stays_behind_and_is_told_with_the_reason(capsys):
    made("two", FEW.replace("gradient_steps = 3", "gradient_steps = 4"), "--seeds", "3-3")
    capsys.readouterr()
    assert vbandits("merge", "two", "one", "--out", "both") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "note: two: 4 runs stay behind in two, as they are of another content than what is merged" in told
    assert "agents.ibvi.schedule.gradient_steps 3 -> 4): linear · ibvi, wheel · ibvi (seeds 2\N{EN DASH}3)" in told
    assert "note: one: 4 runs stay behind in one, as they are of another content" in told
    assert len(Store("one").load().jobs) == 4, "nothing is changed there"
    change(Path("two/experiment.json"), history=[])  # as an older vbandits wrote it
    change(Path("one/experiment.json"), history=[])
    assert vbandits("merge", "one", "two", "--out", "again") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "stay behind in two, as nothing says any more what they are of" in told


@pytest.mark.slow
@pytest.mark.usefixtures("narrowed")
def test_what_is_damaged_stays_behind(capsys):
    table = next(Path("one/cells").glob("wheel--ibvi--*.parquet"))
    table.write_bytes(table.read_bytes()[:-1])
    capsys.readouterr()
    assert vbandits("merge", "one", "two", "--out", "both") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "note: one: with it are merged 6 runs of what was asked for earlier" in told
    assert "note: one: 2 runs stay behind in one, as their tables are not what the run wrote" in told
    assert not (Path("both/cells") / table.name).exists()
    assert "2 of 24 runs have not been made yet" in Path("both/report/report.md").read_text()


@pytest.mark.parametrize("damage", ["cut", "edited"])
@pytest.mark.usefixtures("narrowed")
def test_jobs_whose_markers_are_damaged_stay_behind_and_are_named(damage):
    marker = next(Path("one/cells").glob("wheel--ibvi--*.json"))
    content = marker.read_text()
    marker.write_text(content[:-9] if damage == "cut" else content.replace('"memory_mb": ', '"memory_mb": 1'))
    found, told = merged_quietly("one", "two")
    assert "note: one: with it are merged 6 runs of what was asked for earlier" in told
    assert "note: one: 1 job stay behind in one, as what was written beside their tables cannot be read" in told
    assert f"(the same run makes them again): {marker.stem}" in told
    assert "two: 1" not in told
    assert {seed for job in found.jobs_of("wheel", "ibvi") for seed in job["seeds"]} == {2, 3}
    assert not (Path("both/cells") / marker.name).exists()


@pytest.mark.usefixtures("narrowed")
def test_whole_jobs_are_merged_where_a_damaged_one_has_their_seeds_too():
    table = next(Path("one/cells").glob("wheel--ibvi--*.parquet"))
    table.write_bytes(table.read_bytes()[:-1])
    made("one", FEW, "--seeds", "0-0")
    made("one", FEW, "--seeds", "1-1")
    shutil.copytree("one", "three")
    made("three", FEW, "--seeds", "0-1")  # which makes nothing
    found, told = merged_quietly("one", "three")
    assert found.records.query("environment == 'wheel' and agent == 'ibvi'")["seed"].unique().tolist() == [0, 1]
    assert "wheel · ibvi" in told


@pytest.mark.slow
@pytest.mark.usefixtures("narrowed")
def test_other_numbers_of_steps_stay_behind(capsys):
    made("one", MORE, "--seeds", "0-0", "--steps", 20)
    made("two", MORE, "--seeds", "1-1", "--steps", 20)
    capsys.readouterr()
    assert vbandits("merge", "one", "two", "--out", "both") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "12 runs stay behind in one, as they are of another content than what is merged (steps 30 -> 20" in told
    assert json.loads(Path("both/experiment.json").read_text())["seeds"] == [0, 1]
