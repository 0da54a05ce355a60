"""Datasets by name: every original layout on stand-ins, and the real files where they are."""

import gc
import gzip
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from tests import standins as small
from vbandits.data import PUBLISHED, images, load, other, uci
from vbandits.data.folder import VARIABLE
from vbandits.data.inventory import listing
from vbandits.data.loading import from_folder

DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")


@pytest.mark.parametrize("name", small.WRITERS)
@pytest.mark.parametrize("place", ["flat", "folder", "other folder"])
@pytest.mark.parametrize("gzipped", [False, True])
def test_every_layout_is_read_where_it_lies(name, place, gzipped, standin_files, tmp_path, standins):
    """Plain in its folder is the reference, which the other tests look into."""
    published = standin_files[1][name]
    if place == "other folder" and not published.folders:
        place = "folder"
    if place == "flat" and name == "fashion_mnist":
        place = "folder"  # MNIST's files are called the same
    target = tmp_path / {"flat": ".", "folder": name, "other folder": (*published.folders, name)[0]}[place]
    shutil.copytree(standins / name, target, dirs_exist_ok=True)
    for file in target.iterdir() if gzipped else ():
        if file.is_file():
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    found, reference = load(name, tmp_path), load(name)
    assert found is not reference
    assert found.digest() == reference.digest()
    assert found.features.shape == (published.size, published.features)
    assert len(found.feature_names) == published.features == len(set(found.feature_names))
    assert len(found.class_names) == published.classes
    assert found.features.dtype == (np.uint8 if name in ("mushroom", "census") else np.float32)
    assert (found.labels is None) == (name in ("jester", "financial"))


@pytest.mark.usefixtures("no_network")
def test_the_files_of_mnist_are_not_taken_for_those_of_clothes(standins, tmp_path, monkeypatch):
    shutil.copytree(standins / "mnist", tmp_path, dirs_exist_ok=True)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    assert load("mnist", tmp_path).name == "mnist"
    nowhere = (
        rf"expected train-images-idx3-ubyte\[.gz\].* in the folder fashion_mnist of the data directory, "
        rf"got nothing of it in {tmp_path}; and OpenML's 'Fashion-MNIST', version 1 cannot be had"
    )
    with pytest.raises(ValueError, match=nowhere):
        load("fashion_mnist", tmp_path)
    with pytest.raises(ValueError, match=nowhere):
        images.load("fashion_mnist", tmp_path)
    assert {row["dataset"]: row["found"] for row in listing(tmp_path)}["fashion_mnist"] == "not here"
    assert load("fashion_mnist", standins / "fashion_mnist").name == "fashion_mnist", "the folder itself is given"


def labels(name: str) -> list[int]:
    found = load(name).labels
    assert found is not None
    return found.tolist()


@pytest.mark.usefixtures("standins")
def test_labels_are_in_the_order_of_the_published_counts():
    assert labels("mushroom")[:4] == [1, 0, 1, 0]
    assert labels("satimage")[:7] == [0, 1, 2, 3, 4, 5, 0]
    assert labels("satimage")[60:62] == [2, 3], "test rows come after training rows"
    assert load("satimage").class_names[5] == "very damp grey soil"
    assert labels("letter")[25:28] == [25, 0, 1]
    assert labels("census")[:10] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]
    assert load("magic").class_names == ("gamma", "hadron")
    assert labels("adult")[8:10] == [8, 10], "row 9 has no occupation"


@pytest.mark.usefixtures("standins")
def test_numbers_are_those_of_the_file():
    np.testing.assert_array_equal(load("statlog").features, (small.digits(60, 9) - 50).astype(np.float32))
    np.testing.assert_array_equal(load("magic").features, (small.digits(60, 10) / 8).astype(np.float32))
    np.testing.assert_array_equal(load("pendigits").features[60:], small.digits(33, 16, 1).astype(np.float32))
    expected = np.random.default_rng(2).normal(0, 0.02, (60, 21)).astype(np.float32)
    np.testing.assert_array_equal(load("financial").features, expected)
    ratings = np.random.default_rng(1).uniform(-10, 10, (60, 40)).astype(np.float32)
    np.testing.assert_array_equal(load("jester").features, ratings)
    np.testing.assert_array_equal(load("mnist").features * 255, small.digits(60, 784).astype(np.float32))


@pytest.mark.usefixtures("standins")
def test_indicators_tell_the_level_of_each_column():
    found = load("mushroom")
    assert (found.features.sum(1) == 22).all()
    root = [name for name in found.feature_names if name.startswith("stalk-root=")]
    assert root == ["stalk-root=?", "stalk-root=x", "stalk-root=y", "stalk-root=z"]
    column = found.feature_names.index("stalk-root=?")
    expected = ["xyz?"[(row * 11 + 10) % 4] == "?" for row in range(60)]
    np.testing.assert_array_equal(found.features[:, column], expected)
    assert "level of its own" in found.notes[0]
    assert (load("census").features.sum(1) == 67).all()


@pytest.mark.parametrize("dots", [True, False])
def test_adult_has_four_levels_of_income_with_and_without_dots(tmp_path, dots):
    published = replace(PUBLISHED["adult"], **{"sha256": None, **small.adult(tmp_path, dots)})
    found = from_folder(published, tmp_path)
    income = [name for name in found.feature_names if name.startswith("income=")]
    assert income == ["income=<=50K", "income=<=50K.", "income=>50K", "income=>50K."]
    columns = found.features[:, [found.feature_names.index(name) for name in income]]
    kept = [row for row in range(100) if row % 10 != 9]
    expected = [(row % 3 // 2) * 2 + (row >= 60) for row in kept]
    np.testing.assert_array_equal(columns.argmax(1), expected)
    np.testing.assert_array_equal(found.features[:, 1], [1000 + row for row in kept])
    assert found.feature_names[:2] == ("age", "fnlwgt")


def raw_ratings() -> np.ndarray:
    """Returns ratings [12, 100], 99 where there is none: all rated the last 40 jokes except three users."""
    ratings = np.round(np.random.default_rng(3).uniform(-10, 10, (12, 100)), 2)
    ratings[1:, :60] = 99
    ratings[[2, 5, 11], [60, 70, 99]] = 99
    return ratings


@pytest.mark.parametrize("ending", [".csv", ".xls", ".xlsx"])
def test_raw_jester_keeps_the_most_rated_jokes_and_who_rated_them_all(tmp_path, monkeypatch, ending):
    ratings = raw_ratings()
    table = np.column_stack([(ratings != 99).sum(1), ratings])
    for part, rows in zip((1, 2, 3), np.split(table, [5, 9]), strict=True):
        small.lines(tmp_path / f"jester-data-{part}{ending}", rows.tolist())
    monkeypatch.setattr("pandas.read_excel", pd.read_csv)
    published = replace(PUBLISHED["jester"], layouts=small.raw_jester())
    found = from_folder(published, tmp_path)
    np.testing.assert_array_equal(found.features, np.delete(ratings, [2, 5, 11], 0)[:, 60:].astype(np.float32))
    assert found.feature_names[0] == "joke 61"
    assert "the 9 users who rated them all, of 12; the published subset has 19,181" in found.notes[0]


def test_a_sheet_without_its_engine_says_what_to_install(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ImportError("no engine")

    monkeypatch.setattr("pandas.read_excel", missing)
    for part in (1, 2, 3):
        (tmp_path / f"jester-data-{part}.xls").write_bytes(b"sheet")
    with pytest.raises(ValueError, match=r"expected xlrd to be installed.*pip install xlrd; or .*jester-data-1.csv"):
        from_folder(PUBLISHED["jester"], tmp_path)


def test_a_named_dataset_that_is_used_no_more_leaves_memory():
    first = weakref.ref(load("digits"))
    load("wine")
    load("breast_cancer")
    gc.collect()
    assert first() is None


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [("digits", 1797, 64, 10), ("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3)],
)
def test_bundled_datasets(name, rows, features, classes):
    found = load(name)
    assert (found.features.shape, len(found.class_names)) == ((rows, features), classes)
    assert len(found.feature_names) == features


def openml(monkeypatch, frame: pd.DataFrame, target: str) -> dict:
    asked = {}

    def fetch(name, **kwargs):
        asked.update(kwargs, name=name)
        return Bunch(data=frame.drop(columns=target), target=frame[target].astype("category"))

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    return asked


def test_openml_gives_what_the_original_files_give(monkeypatch, standins, tmp_path):
    path = standins / "mushroom" / "agaricus-lepiota.data"
    frame = pd.read_csv(path, header=None, names=["class", *uci.MUSHROOM], na_values=["?"]).astype("category")
    asked = openml(monkeypatch, frame, "class")
    assert load("mushroom", tmp_path).digest() == load("mushroom").digest()
    assert (asked["name"], asked["version"]) == ("mushroom", 1)
    rows = pd.read_csv(standins / "letter" / "letter-recognition.data", header=None, names=["class", *uci.LETTER])
    openml(monkeypatch, rows, "class")
    assert load("letter", tmp_path).digest() == load("letter").digest()
    rows = pd.read_csv(
        standins / "magic" / "magic04.data", header=None, names=[*(f"{n}:" for n in uci.MAGIC), "class:"]
    )
    openml(monkeypatch, rows.assign(ID=range(len(rows))), "class:")
    assert load("magic", tmp_path).digest() == load("magic").digest()


def test_copies_may_hold_the_rows_in_another_order(monkeypatch, standins, tmp_path):
    parts = [
        pd.read_csv(
            standins / "pendigits" / f"pendigits.{ending}",
            header=None,
            skipinitialspace=True,
            names=[*uci.PEN, "class"],
        )
        for ending in ("tes", "tra")
    ]
    openml(monkeypatch, pd.concat(parts, ignore_index=True), "class")
    found, reference = load("pendigits", tmp_path), load("pendigits")
    np.testing.assert_array_equal(found.features, np.roll(reference.features, 33, 0))
    openml(monkeypatch, parts[1], "class")
    (tmp_path / "again").mkdir()
    with pytest.raises(ValueError, match="expected 93 rows of 16 features, got 60"):
        load("pendigits", tmp_path / "again")


def test_openmls_adult_has_the_test_rows_first_and_is_checked_for_it(monkeypatch, standins, tmp_path):
    read = {"header": None, "names": uci.ADULT, "sep": ", ", "engine": "python", "na_values": ["?"]}
    train = pd.read_csv(standins / "adult" / "adult.data", **read)
    test = pd.read_csv(standins / "adult" / "adult.test", skiprows=1, **read).replace(r"\.$", "", regex=True)
    openml(monkeypatch, pd.concat([test, train], ignore_index=True), "income")
    assert load("adult", tmp_path).digest() == load("adult").digest()
    openml(monkeypatch, pd.concat([train, test], ignore_index=True), "income")
    (tmp_path / "again").mkdir()
    with pytest.raises(ValueError, match="expected rows of the classes"):
        load("adult", tmp_path / "again")


def test_covertype_comes_from_scikit_learn(monkeypatch, standins, tmp_path):
    table = np.loadtxt(standins / "covertype" / "covtype.data", delimiter=",")
    monkeypatch.setattr(
        "sklearn.datasets.fetch_covtype", lambda **_: Bunch(data=table[:, :-1], target=table[:, -1].astype(np.int32))
    )
    assert load("covertype", tmp_path).digest() == load("covertype").digest()
    monkeypatch.setattr("sklearn.datasets.fetch_covtype", lambda **_: Bunch(data=table[:9, :-1], target=table[:9, -1]))
    (tmp_path / "again").mkdir()
    with pytest.raises(ValueError, match=r"from scikit-learn's covertype: expected 60 rows of 54 features, got 9"):
        load("covertype", tmp_path / "again")


@pytest.mark.parametrize(
    ("name", "folder", "shape", "counts", "sums"),
    [
        ("mushroom", "mushroom", (8124, 117), [4208, 3916], 22 * 8124),
        ("statlog", "shuttle", (43500, 9), [34108, 37, 132, 6748, 2458, 6, 11], None),
        ("adult", "adult", (45222, 94), None, None),
        ("mnist", "mnist", (60000, 784), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], None),
    ],
)
def test_the_real_files_are_as_published(name, folder, shape, counts, sums):
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs the files of {name} in {DATA}/{folder}")
    found = load(name, DATA)
    assert found.features.shape == shape
    assert found.digest() == PUBLISHED[name].sha256
    assert counts is None or np.bincount(found.labels).tolist() == counts
    assert sums is None or found.features.sum() == sums


def test_published_sizes_add_up():
    sizes = {name: (record.size, record.features, record.classes) for name, record in PUBLISHED.items()}
    assert sizes == {
        "mushroom": (8124, 117, 2),
        "statlog": (43_500, 9, 7),
        "covertype": (581_012, 54, 7),
        "adult": (45_222, 94, 14),
        "hillstrom": (64_000, 18, 3),
        "census": (2_458_285, 389, 9),
        "jester": (19_181, 40, 0),
        "financial": (3713, 21, 0),
        "mnist": (60_000, 784, 10),
        "fashion_mnist": (60_000, 784, 10),
        "cifar10": (50_000, 3072, 10),
        "letter": (20_000, 16, 26),
        "pendigits": (10_992, 16, 10),
        "satimage": (6435, 36, 6),
        "magic": (19_020, 10, 2),
        "digits": (1797, 64, 10),
        "breast_cancer": (569, 30, 2),
        "wine": (178, 13, 3),
        "iris": (150, 4, 3),
    }
    assert sum(other.USERS) == 73_421
