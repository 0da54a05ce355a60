"""Where it runs: folders that cannot be written to, no home, other terminals, schedulers, large seeds, long names."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import vbandits
from tests.test_running import vbandits as command
from vbandits.api import interruptible
from vbandits.data import loading
from vbandits.errors import ConfigError, expanded, require_writable
from vbandits.experiment import resources
from vbandits.experiment.resolve import LONGEST, ad_hoc, resolve
from vbandits.registry import ENVIRONMENTS

SMALL = ("--environments", "vbandits/Wheel-v0", "--agents", "uniform", "--seeds", "1", "--steps", "5", "--workers", "1")
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def outside(*arguments, environment=None):
    """Runs the command line in another process, as one who may not write everywhere."""
    given = [*WITHOUT_RIGHTS, sys.executable, "-m", "vbandits", *arguments]
    return subprocess.run(given, capture_output=True, check=False, env={**os.environ, **(environment or {})})


def closed(folder):
    """Takes the right to write away from a folder and all in it, and gives back what returns it."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_refused_and_its_report_is_still_printed(tmp_path):
    folder = tmp_path / "results"
    assert outside("run", *SMALL, "--out", str(folder)).returncode == 0
    closed(folder)
    told = outside("report", str(folder))
    assert told.returncode == 2
    assert b"uniform" in told.stdout
    assert b"expected a place that can be read and written to, got: Permission denied" in told.stderr
    again = outside("run", *SMALL, "--out", str(folder))
    assert again.returncode == 2
    assert b"expected a folder to write results to, got: Permission denied" in again.stderr
    for each in (told, again):
        assert b"Traceback" not in each.stderr


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/results: expected a folder to write results to, got: Not a directory"):
        require_writable(tmp_path / "file" / "results")
    with pytest.raises(ConfigError, match="File name too long"):
        require_writable(tmp_path / ("x" * 300))
    require_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_without_a_home_folder_nothing_is_there_and_nothing_fails(monkeypatch, capsys):
    def nowhere(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    monkeypatch.delenv("SCIKIT_LEARN_DATA", raising=False)
    assert expanded("~/data") == Path("~/data")
    assert not loading.cached(loading.PUBLISHED["covertype"])
    assert command("data", "list") == 0
    assert "mushroom" in capsys.readouterr().out


@pytest.mark.parametrize("seeds", [[2**63 + 1, 2**63 + 2, 3], [2**64 + 1], [2**63]])
def test_seeds_that_no_table_can_hold_are_refused(seeds):
    with pytest.raises(ConfigError, match=rf"seeds: expected at most 2\*\*63 - 1, .* got {seeds[0]}: take"):
        vbandits.run(environments=["vbandits/Wheel-v0"], agents=["uniform"], steps=5, seeds=seeds)


def test_the_largest_seeds_stay_themselves():
    seeds = [2**63 - 1, 2**63 - 2, 3]
    results = vbandits.run(environments=["vbandits/Wheel-v0"], agents=["linear-ts"], steps=12, seeds=seeds, workers=1)
    assert sorted(results.records.seed.unique().tolist()) == sorted(seeds)
    assert set(results.summary().seeds) == {3}


def test_a_seed_that_is_taken_for_a_count_is_told():
    with pytest.raises(ConfigError, match=r"seeds: expected at most 100,000, got 1,000,000,000: for one seed write"):
        resolve({"name": "it", "environments": ["vbandits/Wheel-v0"], "agents": ["uniform"], "seeds": 10**9})


def test_a_name_that_is_made_of_many_fits_into_a_folder():
    many = [{"id": f"my_module:{'Environment' * 4}{number}"} for number in range(20)]
    names = {ad_hoc({"environments": many[:count], "agents": [{"id": "uniform"}]})["name"] for count in (18, 19, 20)}
    assert len(names) == 3
    assert all(len(name.encode()) <= LONGEST for name in names)
    assert ad_hoc({"environments": many[:1], "agents": [{"id": "ibvi"}]})["name"].endswith("-ibvi")


def test_experiments_from_other_files_have_other_names():
    own = {"environments": [{"id": "vbandits/Classification-v0"}], "agents": [{"id": "ibvi"}]}
    settings = ["kwargs.dataset=data/{}.csv", "kwargs.target=class", "posterior.rank=3"]
    names = [ad_hoc(own, [text.format(file) for text in settings])["name"] for file in ("a b", "c")]
    assert names == [f"classification-v0-ibvi-{file}.csv-class" for file in ("a-b", "c")]
    assert ad_hoc(own, ["environments.Classification-v0.kwargs.dataset=d.csv"])["name"].endswith("-ibvi-d.csv")


def test_ids_are_whole_when_they_are_piped(capsys):
    assert command("list", "environments") == 0
    lines = [line for line in capsys.readouterr().out.splitlines()[1:] if line.strip()]
    ids = [line.split()[0] for line in lines if line[0] != " "]  # the others go on with a row
    assert {*ids} == {*ENVIRONMENTS}
    assert max(map(len, lines)) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_without_our_signs_show_others(tmp_path, encoding):
    found = outside("run", *SMALL, "--out", str(tmp_path / "größe"), environment={"PYTHONIOENCODING": encoding})
    assert found.returncode == 0, found.stderr
    listed = outside("check", "vbandits/Wheel-v0", environment={"PYTHONIOENCODING": encoding})
    assert listed.returncode == 0, listed.stderr


def test_sigterm_is_an_interruption_and_goes_back_to_what_it_was():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_small_jobs_do_not_wait_for_a_look_through_all_objects(monkeypatch):
    looked, now = [], iter([0.0, 1.0, 4.9, 5.1, 5.1])
    monkeypatch.setattr(resources, "gc", SimpleNamespace(collect=looked.append))
    monkeypatch.setattr(resources, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(resources, "_collected", None)
    for _ in range(4):
        resources.reset("cpu")
    assert looked == [2, 1, 1, 2]
