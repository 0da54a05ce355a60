"""A results folder goes on with more seeds, agents and environments, and shows what is asked for of what it has."""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.test_running import markers, ran, vbandits
from vbandits.errors import ConfigError
from vbandits.experiment.extend import used
from vbandits.experiment.files import write_json
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store
from vbandits.files import checksum
from vbandits.tuning.experiment import resolve_tuning

FILE = """
name = "small"
seeds = {seeds}
steps = 30

[[environments]]
id = "vbandits/Wheel-v0"
label = "wheel"

[[environments]]
id = "vbandits/LinearBandit-v0"
label = "linear"

[[agents]]
id = "ibvi"
schedule = {{ every = 10, gradient_steps = 3 }}

[[agents]]
id = "linear-ts"
{more}
"""
FEW = FILE.format(seeds=4, more="")
MORE = FILE.format(seeds=8, more='[[agents]]\nid = "epsilon-greedy"')
CLOCK = ["seconds", "environment_seconds", "scoring_seconds", "memory_mb"]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A folder with a finished run of 4 seeds and 3 agents."""
    return ran(tmp_path_factory.mktemp("few"), FEW, "run", "small.toml") / "results" / "small"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder with a finished run of 8 seeds and 4 agents, made at once."""
    return ran(tmp_path_factory.mktemp("many"), MORE, "run", "small.toml") / "results" / "small"


@pytest.fixture
def folder(few, tmp_path, monkeypatch):
    """The current folder, with a copy of the smaller run in small/ and the file of the larger one."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(few, tmp_path / "small")
    Path("small.toml").write_text(MORE)
    return tmp_path / "small"


def jobs(folder, names):
    """Returns environment, agent and seeds of the markers of these names."""
    found = [json.loads((folder / "cells" / name).read_text()) for name in names]
    return {(marker["environment"], marker["agent"], *marker["seeds"]) for marker in found}


def assert_same_tables(one, other):
    """Asserts that two folders have the same tables bit for bit, but for what the clock measured."""
    first, second = Store(one).load(), Store(other).load()
    pd.testing.assert_frame_equal(first.records, second.records, check_exact=True)
    pd.testing.assert_frame_equal(first.held_out_table(), second.held_out_table(), check_exact=True)
    pd.testing.assert_frame_equal(first.runs_table(), second.runs_table(), check_exact=True)
    summaries = (own.summary().drop(columns=CLOCK) for own in (first, second))
    pd.testing.assert_frame_equal(*summaries, check_exact=True)
    files = [{path.name: path for path in (Path(own) / "report" / "tables").glob("*.csv")} for own in (one, other)]
    assert files[0].keys() == files[1].keys()
    timed = {name for name in files[0] if "seconds" in files[0][name].read_text() or name.startswith("cost")}
    assert len(timed) < len(files[0])
    for name in files[0].keys() - timed:
        assert files[0][name].read_text() == files[1][name].read_text(), name


def test_more_seeds_and_agents_compute_the_new_jobs_alone_and_give_the_tables_of_one_run(folder, many, capsys):
    before = markers(folder)
    assert len(before) == 6
    assert vbandits("run", "small.toml", "--out", "small", "--workers", 1) == 0
    after = markers(folder)
    assert {name: after[name] for name in before} == before
    new = {(where, who, 4, 5, 6, 7) for where in ("wheel", "linear") for who in ("ibvi", "linear-ts", "uniform")}
    new |= {(where, "epsilon-greedy", *range(8)) for where in ("wheel", "linear")}
    assert jobs(folder, after.keys() - before.keys()) == new
    assert "40 of 64 runs are computed now" in capsys.readouterr().err
    assert_same_tables(folder, many)


@pytest.mark.slow
def test_blocks_of_any_size_use_what_is_there(folder, many):
    Path("small.toml").write_text(MORE.replace("seeds = 8", "seeds = 8\nblock = 3"))
    before = markers(folder)
    assert vbandits("run", "small.toml", "--out", "small", "--workers", 1) == 0
    new = jobs(folder, markers(folder).keys() - before.keys())
    assert {seeds for where, who, *seeds in [(j[0], j[1], j[2:]) for j in new] for seeds in seeds if who == "ibvi"} == {
        (4, 5),
        (6, 7),
    }
    assert_same_tables(folder, many)


@pytest.mark.slow
def test_a_part_of_what_is_there_is_shown_without_computing(many, few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(many, "small")
    Path("small.toml").write_text(MORE)
    before = markers("small")
    part = ("--seeds", 4, "--agents", "ibvi,linear-ts", "--workers", 1, "--out", "small")
    assert vbandits("run", "small.toml", *part) == 0
    assert markers("small") == before
    told = " ".join(capsys.readouterr().err.split())
    assert "all 24 runs were there already" in told
    assert "not asked for: agents epsilon-greedy; seeds 4, 5, 6, 7" in told
    assert_same_tables("small", few)
    assert vbandits("run", "small.toml", "--out", "small") == 0, "all is there still"
    assert markers("small") == before
    assert_same_tables("small", many)
    experiment = json.loads(Path("small/experiment.json").read_text())
    assert len(experiment["history"]) == 2
    assert "Earlier commands" in Path("small/report/report.md").read_text()


def test_only_what_has_changed_is_computed_again_and_it_is_said(folder, capsys):
    Path("small.toml").write_text(FEW.replace("gradient_steps = 3", "gradient_steps = 4"))
    before = markers(folder)
    assert vbandits("run", "small.toml", "--out", "small", "--workers", 1) == 0
    new = markers(folder).keys() - before.keys()
    assert jobs(folder, new) == {(where, "ibvi", 0, 1, 2, 3) for where in ("wheel", "linear")}
    told = " ".join(capsys.readouterr().err.split())
    assert "(agents.ibvi.schedule.gradient_steps 3 -> 4), what was there is kept: linear · ibvi, wheel · ibvi" in told
    summary = Store(folder).load().summary()
    assert summary["seeds"].tolist() == [4] * 6, "what was computed before is not counted again"
    Path("small.toml").write_text(FEW)
    assert vbandits("run", "small.toml", "--out", "small", "--workers", 1) == 0
    assert len(markers(folder)) == 8, "the former jobs were there still"


def test_what_has_nothing_in_common_is_refused(folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other = ("--environments", "vbandits/DriftingBandit-v0", "--agents", "ensemble")
    assert vbandits("run", *other, "--out", "small") == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "expected an experiment with some problem or method of it, got one with none of them" in message
    assert "--overwrite" in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_another_kind_is_refused(folder):
    method = {"id": "deterministic", "network": {"kind": "mlp"}}
    other = resolve({"name": "x", "datasets": ["digits"], "methods": [method]})
    with pytest.raises(ConfigError, match="expected an experiment of bandits, got one of supervised"):
        Store(folder).prepare(other, "", overwrite=False)
    tuning = resolve_tuning(tomllib.loads(MORE + "\nsearch.rule.epsilon = [0.1, 0.2]") | {"settings": 2})
    with pytest.raises(ConfigError, match="expected a run, got a tuning"):
        Store(folder).prepare(tuning, "", overwrite=False)


def marker(seeds, status="done", **more):
    more = {"seconds": {"agent": 2.0}, "diverged": [], "failures": 0} | more
    return {"key": f"{seeds[0]}-{seeds[-1]}{status}", "a": "x", "b": "y", "seeds": [*seeds], "status": status} | more


def test_every_seed_is_counted_once():
    blocks = [marker([0, 1]), marker([1, 2, 3], diverged=[1, 3], failures=2), marker([3, 4, 5], "failed", failures=3)]
    found = used([*blocks, marker([0, 1, 2], "failed", failures=3)], ("a", "b"), range(1, 5))
    assert [(own["seeds"], own["status"]) for own in found] == [([1, 2, 3], "done"), ([4], "failed")]
    assert [own["failures"] for own in found] == [2, 1]
    found = used(blocks, ("a", "b"), [3, 0])
    assert [(own["seeds"], own["failures"]) for own in found] == [([3], 1), ([0], 0)]
    assert [own["seconds"]["agent"] for own in found] == pytest.approx([2 / 3, 1])


def test_files_of_older_runs_have_the_names_of_these():
    job = next(resolve({"name": "x", "seeds": 8, "environments": ["vbandits/Wheel-v0"], "agents": ["ibvi"]}).jobs())
    content = [job.problem.describe(), job.method.describe(), list(job.seeds), *job.options.values(), job.device]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert job.key == f"Wheel-v0--ibvi--0-7--{digest[:10]}"


def test_shards_do_not_depend_on_what_has_finished():
    experiment = resolve({"name": "x", "seeds": 5, "block": 2, "environments": ["vbandits/Wheel-v0"], "agents": []})
    whole = [job.seeds for job in experiment.jobs()]
    assert whole == [(0, 1), (2, 3), (4,)]
    finished = {("Wheel-v0", "uniform"): {0, 1, 2}}
    assert [job.seeds for job in experiment.jobs(finished)] == [(3,), (4,)]
    assert [job.seeds for job in experiment.jobs(finished, 1, 2)] == [(3,)]
    assert [job.seeds for job in experiment.jobs(finished, 0, 2)] == [(4,)]


def change(path, **content):
    """Changes what a JSON file holds, as if a run had written it so."""
    write_json(path, {name: own for name, own in json.loads(path.read_text()).items() if name != "digest"} | content)


def test_results_of_several_versions_and_an_edited_experiment_are_told(folder, capsys):
    page = folder / "report" / "report.md"
    assert "made by the same code" not in page.read_text()
    one, *others = sorted((folder / "cells").glob("*.json"))
    versions = json.loads(one.read_text())["versions"]
    change(one, versions=versions | {"torch": "2.0.0"}, commit="0123456789ab")
    for path in others:
        change(path, commit="fedcba987654")
    assert vbandits("report", folder) == 0
    says = (
        f"not all made by the same code: torch 2.0.0 (1 job), {versions['torch']} (5 jobs); "
        "commit 0123456789ab (1 job), fedcba987654 (5 jobs)"
    )
    told = " ".join(capsys.readouterr().err.split())
    assert says in told
    assert says in page.read_text()
    assert "was edited" not in told
    change(folder / "experiment.json", steps=31)
    assert vbandits("report", folder) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "experiment.json was edited after the run" in told
    assert "24 of 24 runs have not been made yet" in page.read_text(), "jobs of 31 steps are not there"
    Path("small.toml").write_text(FEW)
    assert vbandits("run", "small.toml", "--out", "small", "--workers", 1) == 0
    assert "all 24 runs were there already" in capsys.readouterr().err
    assert "was edited" not in page.read_text()


def edit(path, *changes):
    """Changes a text file by hand."""
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def test_an_experiment_edited_by_hand_is_shown_and_keeps_its_history(folder, capsys):
    run = ("run", "small.toml", "--out", folder, "--workers", 1)
    Path("small.toml").write_text(FEW)
    assert vbandits(*run, "--seeds", "0-1") == 0
    path, page = folder / "experiment.json", folder / "report" / "report.md"
    commands = [made["command"] for made in json.loads(path.read_text())["history"]]
    assert len(commands) >= 1
    edit(path, ('"label": "ibvi"', '"label": "mine"'), ('"cpus": ', '"cpus": 1'))
    capsys.readouterr()
    assert vbandits("report", folder) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "experiment.json was edited after the run" in told
    assert "4 of 12 runs have not been made yet" in page.read_text()
    assert vbandits(*run) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "experiment.json: expected JSON as a run left it, got other content than was written" in told
    assert "all 24 runs were there already" in told
    assert [made["command"] for made in json.loads(path.read_text())["history"]][: len(commands)] == commands
    assert "was edited" not in page.read_text()


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ([('"cpus": ', '"cpus": 1')], False),
        ([('"label": "wheel"', '"label": "other"'), ('"label": "linear"', '"label": "others"')], False),
        ([('"seeds": [', '"seeds": ["a", ')], True),
        ([('"steps"', '"stops"')], True),
        ([('"label"', '"table"')], True),
        ([('"block": ', '"block": 0.')], True),
    ],
    ids=["how it was made", "other labels", "no seeds", "no steps", "no labels", "no block"],
)
def test_the_same_run_goes_on_whatever_was_edited(folder, changes, refused):
    path = folder / "experiment.json"
    edit(path, *changes)
    store, experiment = Store(folder), resolve(tomllib.loads(FEW))
    if refused:
        with pytest.raises(ConfigError, match="expected JSON as a run left it, got other content"):
            store.load()
    else:
        assert store.load().experiment["edited"]
    store.prepare(experiment, "again", overwrite=False)
    assert len(store.notes) == 1
    assert not store.missing(experiment)
    assert "edited" not in store.experiment()


def test_what_a_later_version_wrote_is_refused_with_the_reason(folder, capsys):
    marker = sorted((folder / "cells").glob("*.json"))[0]
    table = marker.with_suffix(".parquet")
    whole = {path: path.read_bytes() for path in (folder / "experiment.json", marker, table)}
    later = pa.parquet.read_table(table)
    later = later.replace_schema_metadata({**later.schema.metadata, b"vbandits": b"99"})
    pa.parquet.write_table(later, table)
    sums = json.loads(marker.read_text())["sha256"] | {".parquet": checksum(table)}
    change(marker, sha256=sums)
    for path in (table, marker, folder / "experiment.json"):
        if path != table:
            change(path, schema=99)
        assert vbandits("report", folder) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert f"{path.name}: expected schema 2 or older, got 99, of a later version of vbandits" in told
        path.write_bytes(whole[path])
        marker.write_bytes(whole[marker])


def test_what_an_older_version_wrote_is_read(folder):
    before = Store(folder).load().in_memory()
    for path in [*folder.glob("cells/*.json"), folder / "experiment.json"]:
        content = json.loads(path.read_text())
        later = ("schema", "commit", "sha256") if path.parent.name == "cells" else ("schema", "history")
        older = {name: value for name, value in content.items() if name not in (*later, "digest")}
        path.write_text(json.dumps(older))
    for path in folder.glob("cells/*.parquet"):
        pd.read_parquet(path).to_parquet(path, index=False)
    after = Store(folder).load()
    assert "schema" not in after.experiment
    assert after.records.equals(before.records)
    assert after.summary().equals(before.summary())
    Path("small.toml").write_text(FEW)
    then = markers(folder)
    assert vbandits("run", "small.toml", "--out", "small", "--workers", 1) == 0
    assert markers(folder) == then
