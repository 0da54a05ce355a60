"""Files of jobs in archives: read like those that are not, added to, and made again where they are damaged."""

import shutil
import zipfile
from pathlib import Path

import pytest

import vbandits as library
from tests.test_extending import FEW
from tests.test_merging import made
from tests.test_running import vbandits
from vbandits.experiment.packs import Packs
from vbandits.experiment.store import Store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of two problems and three agents, four seeds one by one."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "small.toml").write_text(FEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert vbandits("run", "small.toml", "--out", "out", "--workers", 1) == 0
    return folder


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
    """A copy of it, in which one is."""
    shutil.copytree(whole, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return Path("out")


def files(folder):
    return sorted(path.name for path in Path(folder, "cells").iterdir())


def computed(capsys):
    """What the last run said of what it computed."""
    return " ".join(capsys.readouterr().err.split())


def test_what_is_packed_is_read_as_before(folder, capsys):
    before, names = library.load(folder).in_memory(), files(folder)
    page = (folder / "report" / "index.html").read_bytes()
    assert vbandits("pack", folder) == 0
    assert f"{len(list(Store(folder).markers()))} jobs packed" in computed(capsys)
    assert files(folder) == []
    archives = sorted(path.name for path in (folder / "packs").iterdir())
    assert len(archives) == len(before.experiment["environments"])
    inside = sorted(name for one in archives for name in zipfile.ZipFile(folder / "packs" / one).namelist())
    assert inside == names
    after = library.load(folder)
    assert after.records.equals(before.records)
    assert after.held_out_table().equals(before.held_out_table())
    assert vbandits("report", folder) == 0
    assert (folder / "report" / "index.html").read_bytes() == page
    capsys.readouterr()
    made("out", FEW)
    assert files(folder) == [], "nothing is computed again"


def test_more_jobs_are_added_and_packed(folder):
    before = library.load(folder).records
    assert vbandits("pack", folder) == 0
    made("out", FEW, "--seeds", 5)
    added = files(folder)
    assert added, "the new seed"
    assert vbandits("pack", folder) == 0
    assert files(folder) == []
    records = library.load(folder).records
    assert records["seed"].nunique() == 5
    assert records[records["seed"] < 4].reset_index(drop=True).equals(before)
    assert Store(folder).pack() == 0


def test_packed_folders_are_merged(folder):
    shutil.copytree("out", "other")
    made("other", FEW, "--seeds", "4,5")
    for one in ("out", "other"):
        assert vbandits("pack", one) == 0
    merged = library.merge("out", "other", out="both")
    assert sorted(merged.records["seed"].unique()) == list(range(6))


@pytest.mark.parametrize("damage", ["a bit", "the end", "compressed"])
def test_what_is_damaged_in_an_archive_is_made_again(folder, damage, capsys):
    before = library.load(folder).records
    assert vbandits("pack", folder) == 0
    path = sorted((folder / "packs").iterdir())[0]
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        table = next(one for one in archive.infolist() if one.filename.endswith(".parquet"))
        parts = {name: archive.read(name) for name in archive.namelist()}
    if damage == "a bit":
        turned = bytearray(content)
        turned[table.header_offset + 200] ^= 1
        path.write_bytes(turned)
    elif damage == "the end":
        path.write_bytes(content[:-40])
    else:  # which may be a bomb
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
    capsys.readouterr()
    made("out", FEW)
    again = [name for name in files(folder) if name.endswith(".json")]
    assert len(again) == (1 if damage == "a bit" else sum(name.endswith(".json") for name in parts))
    assert library.load(folder).records.equals(before)
    assert vbandits("pack", folder) == 0
    assert library.load(folder).records.equals(before)


def test_links_are_not_followed(folder):
    assert vbandits("pack", folder) == 0
    path = sorted((folder / "packs").iterdir())[0]
    path.rename("elsewhere.zip")
    path.symlink_to(Path("elsewhere.zip").resolve())
    assert vbandits("report", folder) == 2


def test_the_same_files_make_the_same_archive(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 9)
    made = []
    for place in ("one", "two"):
        Packs(tmp_path / place).write("x", [tmp_path / "a", tmp_path / "b"])
        made.append((tmp_path / place / "x.zip").read_bytes())
    assert made[0] == made[1]
    found = Packs(tmp_path / "one").files()
    assert found["b"].read_text("utf-8") == "b" * 9
    assert found.keys() == {"a", "b"}
