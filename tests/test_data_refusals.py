"""Datasets by name: files that are damaged, changed, of something else or nowhere are refused."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import standins as small
from vbandits.data import PUBLISHED, load
from vbandits.data.loading import from_folder
from vbandits.data.record import Published


def one(name: str, folder: Path, **changes) -> Published:
    """Writes one stand-in flat into a folder."""
    return replace(PUBLISHED[name], **{"sha256": None, **small.WRITERS[name](folder)} | changes)


def damaged(change):
    return lambda path: path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "mushroom",
            damaged(lambda rows: rows[:-1]),
            r"expected 60 rows of \d+ features, got 59.*another dataset, or dam",
        ),
        (
            "mushroom",
            damaged(lambda rows: [*rows[:-1], rows[-1][:10]]),
            r"23 values.*Expected 23 columns, got \d: .*again",
        ),
        ("mushroom", damaged(lambda rows: ["x" + row[1:] for row in rows]), r"expected the classes e, p, got 'x'"),
        ("mushroom", damaged(lambda rows: []), r"expected lines of 23 values between commas, got: Empty CSV"),
        (
            "statlog",
            damaged(lambda rows: [*rows[:-1], rows[-1][:10]]),
            r"expected 10 numbers in every line, got: .*row",
        ),
        ("statlog", damaged(lambda rows: [row[3:] for row in rows]), r"expected 10 numbers in every line, got"),
        ("statlog", damaged(lambda rows: []), r"expected lines of 10 numbers, got none"),
        ("statlog", damaged(lambda rows: ["<html>\n"]), r"expected 10 numbers in every line, got: could not convert"),
        ("statlog", damaged(lambda rows: [rows[0][:-2] + "2\n", *rows[1:]]), r"the classes 9, 9.*got 8, 10, 9, 9"),
        ("statlog", damaged(lambda rows: [rows[0][:-2] + "8\n", *rows[1:]]), r"the classes 1, 2, .*7, got '8'"),
        ("covertype", damaged(lambda rows: ["7.5x" + rows[0][2:], *rows[1:]]), r"between commas.*invalid value '7.5x"),
        ("magic", damaged(lambda rows: ["nan," + rows[0].partition(",")[2], *rows[1:]]), r"finite numbers, got 1 that"),
        ("financial", damaged(lambda rows: rows[1:]), r"expected 60 rows of 21 features, got 59"),
        (
            "census",
            damaged(lambda rows: [rows[0].replace("dOccup", "dJob"), *rows[1:]]),
            r"expected a column dOccup, got",
        ),
        ("census", damaged(lambda rows: [rows[0].replace(",dOccup", ""), *rows[1:]]), r"header of 68 names"),
        ("letter", damaged(lambda rows: ["a" + rows[0][1:], *rows[1:]]), r"expected the classes A, B.*got 'a'"),
        ("pendigits", damaged(lambda rows: rows[1:] + rows[:1]), None),
        ("pendigits", damaged(lambda rows: rows[1:]), r"expected 93 rows of 16 features, got 92"),
        ("jester", lambda path: path.write_bytes(path.read_bytes()[:-9]), r"expected an array that NumPy saved"),
        (
            "jester",
            lambda path: np.save(path, np.zeros((60, 39))),
            r"expected numbers of shape \(users, 40\), got float64",
        ),
        ("jester", lambda path: np.save(path, np.full((60, 40), 11.0)), r"expected ratings from -10 to 10"),
    ],
)
def test_files_of_anything_else_are_refused(tmp_path, name, damage, message):
    published = one(name, tmp_path)
    damage(tmp_path / published.layouts[0].files[0])
    if message is None:
        assert from_folder(published, tmp_path) is not None, "the order within a part is not published"
        return
    with pytest.raises(ValueError, match=message) as refused:
        from_folder(published, tmp_path)
    assert published.url in str(refused.value)


def test_rows_that_changed_sides_are_refused(tmp_path):
    published = one("satimage", tmp_path)
    first, second = (tmp_path / f"sat.{ending}" for ending in ("trn", "tst"))
    one_row, *rest = first.read_text().splitlines(keepends=True)
    first.write_text("".join(rest))
    second.write_text(second.read_text() + one_row)
    with pytest.raises(ValueError, match=r"expected rows of the classes 10, 10.* \+ "):
        from_folder(published, tmp_path)


def test_a_checksum_is_compared(tmp_path):
    published = one("magic", tmp_path)
    digest = from_folder(published, tmp_path).digest()
    assert from_folder(replace(published, sha256=digest), tmp_path) is not None
    path = tmp_path / "magic04.data"
    path.write_text(path.read_text().replace("0.125", "0.126"))
    assert "0.126" in path.read_text()
    with pytest.raises(ValueError, match=f"expected the SHA-256 {digest}, got"):
        from_folder(replace(published, sha256=digest), tmp_path)


def test_a_missing_half_is_named(tmp_path):
    published = one("adult", tmp_path)
    (tmp_path / "adult.test").unlink()
    with pytest.raises(ValueError, match=r"expected all of adult.data, adult.test \(download.*got all but adult.test"):
        from_folder(published, tmp_path)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: b"<html>" + raw])
@pytest.mark.parametrize("name", ["statlog", "mushroom", "census", "jester"])
def test_damaged_gzip_files_are_refused(tmp_path, damage, name):
    published = one(name, tmp_path)
    path = tmp_path / published.layouts[0].files[0]
    path.with_name(f"{path.name}.gz").write_bytes(damage(gzip.compress(path.read_bytes())))
    path.unlink()
    with pytest.raises(ValueError, match=rf"{path.name}.gz: expected .*download it again from http"):
        from_folder(published, tmp_path)


@pytest.mark.usefixtures("no_network")
def test_what_is_nowhere_is_refused_with_all_that_can_be_done(tmp_path):
    put = r"Download from https://archive.ics.uci.edu\S+ into DIRECTORY/mushroom, set VBANDITS_DATA=DIRECTORY"
    with pytest.raises(ValueError, match=rf"agaricus-lepiota.data\[.gz\].*not set; and OpenML's.*no network.*{put}"):
        load("mushroom")
    with pytest.raises(ValueError, match=rf"got nothing of it in {tmp_path}; .*{put}"):
        load("mushroom", tmp_path)
    with pytest.raises(ValueError, match=r"census: .*it cannot be fetched: no faithful copy"):
        load("census")
    with pytest.raises(ValueError, match=r"scikit-learn's covertype cannot be had"):
        load("covertype")
    with pytest.raises(ValueError, match=r"unknown dataset 'mushrom'; did you mean 'mushroom'.*or give a file: .csv"):
        load("mushrom")
    with pytest.raises(ValueError, match="data_dir: expected a folder that exists"):
        load("mushroom", tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"target: expected with a file of your own alone, got 'class' for .*'wine'"):
        load("wine", target="class")
    with pytest.raises(ValueError, match=r"drop: expected with a file of your own alone"):
        load("wine", drop=["hue"])
