"""`vbandits data`: what is listed, fetched and verified, and how it ends."""

import gzip
import json
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.utils import Bunch

from tests.test_running import vbandits
from vbandits.data import PUBLISHED, inventory
from vbandits.data.folder import VARIABLE


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    """scikit-learn's cache is empty, and there is no network."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)

    def fail(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    monkeypatch.setattr("sklearn.datasets.fetch_covtype", fail)
    return tmp_path / "cache"


def keep(path, content):
    """Writes a file of scikit-learn's cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))


def test_the_list_says_where_each_is(standins, no_cache, tmp_path, monkeypatch, capsys):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "adult.data").write_text("1")
    mirror = no_cache / "openml" / "openml.org"
    described = {"data_set_description": {"file_id": "5", "url": "https://openml.org/data/v1/download/5/any.arff"}}
    keep(
        mirror / "api/v1/json/data/list/data_name/letter/limit/2/data_version/1.gz", {"data": {"dataset": [{"did": 6}]}}
    )
    keep(mirror / "api/v1/json/data/6.gz", described)
    before = {row["dataset"]: row["found"] for row in inventory.listing(tmp_path / "half")}
    assert before["letter"] == "not here", "it is known there, but its rows are not"
    keep(mirror / "data/v1/download/5/any.arff.gz", {})
    keep(no_cache / "covertype" / "samples_py3", {})
    rows = {row["dataset"]: row for row in inventory.listing(tmp_path / "half")}
    assert list(rows) == list(PUBLISHED)
    found = {name: rows[name]["found"] for name in ("adult", "letter", "covertype", "wine", "census", "mushroom")}
    assert found == {
        "adult": f"not all of it in {tmp_path / 'half'}",
        "letter": "scikit-learn's cache",
        "covertype": "scikit-learn's cache",
        "wine": "comes with scikit-learn",
        "census": "not here",
        "mushroom": "not here",
    }
    assert rows["wine"]["rows"] == "178"
    assert rows["jester"]["classes"] == "-"
    monkeypatch.setenv(VARIABLE, str(standins))
    assert inventory.listing()[0]["found"] == str(standins / "mushroom")
    assert vbandits("data", "list") == 0
    shown = capsys.readouterr().out
    assert "mushroom" in shown
    assert vbandits("list", "datasets") == 0
    assert capsys.readouterr().out == shown


def test_an_environment_is_checked_with_the_files_of_a_data_directory(standins, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE)
    assert vbandits("check", "vbandits/Jester-v0") == 1
    assert "VBANDITS_DATA is not set" in capsys.readouterr().out
    assert vbandits("check", "vbandits/Jester-v0", "--data-dir", standins) == 0
    assert capsys.readouterr().out.strip().endswith("It works.")
    assert vbandits("check", "vbandits/Wheel-v0", "--data-dir", tmp_path) == 0, "it needs none"


def test_what_is_found_is_verified_and_a_bad_one_does_not_stop_the_others(standins, tmp_path, monkeypatch, capsys):
    assert vbandits("data", "verify", "--data-dir", standins) == 0
    shown = capsys.readouterr().out
    assert shown.count("ok: ") == len(list(standins.iterdir())) + 4  # and those that come with scikit-learn
    assert "satimage: 80 rows, 36 features, 6 classes; SHA-256 " in shown
    (tmp_path / "sat.trn").write_text("1 2 3\n")
    (tmp_path / "sat.tst").write_text("1 2 3\n")
    (tmp_path / "adult.data").write_text("1")
    (tmp_path / "magic04.data").write_text((standins / "magic" / "magic04.data").read_text())
    assert vbandits("data", "verify", "--data-dir", tmp_path) == 1
    shown = capsys.readouterr().out
    assert "failed: satimage: " in shown
    assert "failed: adult: " in shown
    assert "got all but adult.test" in shown
    assert "ok: magic: 60 rows" in shown
    monkeypatch.setitem(PUBLISHED, "magic", replace(PUBLISHED["magic"], sha256="0" * 64))
    assert vbandits("data", "verify", "magic", "--data-dir", tmp_path) == 1
    assert f"expected the SHA-256 {'0' * 64}, got" in capsys.readouterr().out


def test_anything_that_is_wrong_with_a_dataset_is_told(tmp_path, monkeypatch, capsys):
    def broken(_):
        raise MemoryError

    layout = replace(PUBLISHED["magic"].layouts[0], read=broken)
    monkeypatch.setitem(PUBLISHED, "magic", replace(PUBLISHED["magic"], layouts=(layout,)))
    (tmp_path / "magic04.data").write_text("1")
    assert vbandits("data", "verify", "magic", "wine", "--data-dir", tmp_path) == 1
    shown = capsys.readouterr().out
    assert "failed: magic: MemoryError()" in shown
    assert "ok: wine: 178 rows, 13 features, 3 classes" in shown


def test_what_is_not_here_is_not_verified(capsys):
    assert vbandits("data", "verify", "census", "mushroom") == 1
    shown = capsys.readouterr().out
    assert "failed: census: not here: download USCensus1990.data.txt[.gz] from https" in shown
    assert "failed: mushroom: not here: `vbandits data fetch mushroom`, or download agaricus" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "magik"), "unknown dataset 'magik'; did you mean 'magic'"),
        (("verify", "--data-dir", "nowhere"), "data_dir: expected a folder that exists, got 'nowhere'"),
        (("list", "--data-dir", "nowhere"), "data_dir: expected a folder that exists"),
        (("fetch",), "expected the names of datasets, got none: see `vbandits data list`"),
        (("fetch", "magik"), "did you mean 'magic'"),
        (("fetch", "wine", "census"), "census: expected a dataset that can be fetched, got none"),
    ],
)
def test_bad_requests_are_refused(arguments, message, capsys):
    assert vbandits("data", *arguments) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_fetching_verifies_and_tells_what_failed(standins, monkeypatch, capsys):
    assert vbandits("data", "fetch", "wine", "covertype") == 1
    shown = capsys.readouterr().out
    assert "ok: wine: 178 rows" in shown
    assert "failed: covertype: <urlopen error no network>; or download covtype.data[.gz] from https://" in shown
    table = np.loadtxt(standins / "covertype" / "covtype.data", delimiter=",")
    monkeypatch.setattr("sklearn.datasets.fetch_covtype", lambda **_: Bunch(data=table[:, :-1], target=table[:, -1]))
    assert vbandits("data", "fetch", "covertype") == 0
    assert "ok: covertype: 60 rows, 54 features, 7 classes" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("data", "list"), ("list", "datasets")])
def test_those_that_are_named_alone_are_listed(words, standins, capsys):
    assert vbandits(*words, "adult") == 0
    shown = capsys.readouterr().out
    assert "adult" in shown
    assert "mnist" not in shown
    assert vbandits(*words, "adlut") == 2
    assert "unknown dataset 'adlut'; did you mean 'adult'?" in " ".join(capsys.readouterr().err.split())
