"""Pools by name, from files and from arrays: which rows, which test set, and what synthetic ones promise."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vbandits.data import load, synthetic
from vbandits.data.folder import VARIABLE
from vbandits.data.pools import names
from vbandits.envs import Pool, PoolActiveLearning, load_pool
from vbandits.streams import generator

DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")
needs_mnist = pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason=f"needs the files in {DATA}/mnist")
RANDOM = np.random.default_rng(0)
X, NUMBERS = RANDOM.normal(size=(50, 3)), RANDOM.normal(size=50)


def content(pool):
    return [part.tobytes() for part in (pool.features, pool.targets, pool.test_features, pool.test_targets)]


@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("name", [name for name in names() if name != "cifar10"])
def test_every_name_has_a_pool_and_a_test_set(name):
    pool = load_pool(name)
    assert pool.name == name
    assert pool.features.dtype in (np.float32, np.uint8)
    assert pool.features.ndim == pool.test_features.ndim == 2
    assert pool.features.shape[1] == pool.test_features.shape[1]
    assert pool.targets.dtype == pool.test_targets.dtype == (np.int64 if pool.classes else np.float64)
    assert len(pool.targets) == len(pool.features)
    assert len(pool.test_targets) == len(pool.test_features) > 0
    if pool.image:
        assert np.prod(pool.image) == pool.features.shape[1]
    assert load_pool(name) is pool, "it stays in memory"


def test_pool_and_test_set_are_the_dataset_and_share_no_row():
    data = load("wine")
    pool = load_pool("wine")
    assert len(pool.test_features) == round(0.2 * 178)
    together = np.concatenate([pool.features, pool.test_features])
    assert together.shape == data.features.shape
    np.testing.assert_array_equal(np.sort(together, 0), np.sort(data.features, 0))
    targets = {row.tobytes(): label for row, label in zip(data.features, data.labels, strict=True)}
    assert all(targets[row.tobytes()] == label for row, label in zip(pool.features, pool.targets, strict=True))
    assert not {row.tobytes() for row in pool.features} & {row.tobytes() for row in pool.test_features}


def test_rows_depend_on_the_pool_seed_alone_and_fewer_are_the_first_of_more():
    assert content(load_pool("wine", pool_seed=1)) == content(load_pool("wine", pool_seed=1))
    assert content(load_pool("wine", pool_seed=1)) != content(load_pool("wine"))
    few, many = load_pool("wine", rows=20, test_rows=5), load_pool("wine", rows=60)
    assert few.features.shape[0] == 20
    np.testing.assert_array_equal(few.features, many.features[:20])
    np.testing.assert_array_equal(few.test_features, many.test_features[:5])
    assert len(load_pool("wine", rows=10**6).features) == 142, "at most"
    assert len(load_pool("wine", test_part=0.5).features) == 89
    lanes = [PoolActiveLearning(2, pool="wine") for _ in range(2)]
    lanes[0].reset(seed=0)
    lanes[1].reset(seed=1)
    assert lanes[0].features.data_ptr() == lanes[1].features.data_ptr()


def test_digits_are_images_as_they_were_published():
    pool = load_pool("digits")
    assert pool.image == (1, 8, 8)
    assert (pool.features.min(), pool.features.max()) == (0, 16)


@pytest.mark.usefixtures("standins")
def test_images_are_judged_on_their_published_test_set():
    pool = load_pool("mnist")
    assert pool.image == (1, 28, 28)
    assert (len(pool.features), len(pool.test_features)) == (60, 10)
    some = load_pool("mnist", rows=30, test_rows=4)
    whole = {row.tobytes(): label for row, label in zip(pool.features, pool.targets, strict=True)}
    assert len(some.features) == 30
    assert len({row.tobytes() for row in some.features}) == 30
    assert all(whole[row.tobytes()] == label for row, label in zip(some.features, some.targets, strict=True))
    assert len(some.test_features) == 4


def verify_repeated(pool, base, copies, noise):
    rows = len(pool.features) // copies
    np.testing.assert_array_equal(pool.targets, np.tile(base.targets, copies))
    difference = pool.features.reshape(copies, rows, -1) - base.features
    size = difference.size
    assert difference.std() == pytest.approx(noise, rel=5 / np.sqrt(2 * size))
    assert difference.mean() == pytest.approx(0, abs=5 * noise / np.sqrt(size))
    between = np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1]
    assert abs(between) < 5 / np.sqrt(size / copies), "each copy has noise of its own"


@pytest.mark.usefixtures("standins")
def test_repeated_mnist_has_copies_with_noise_and_the_test_set_has_none():
    pool, base = load_pool("repeated_mnist"), load_pool("mnist")
    assert len(pool.features) == 180
    verify_repeated(pool, base, 3, 0.1)
    np.testing.assert_array_equal(pool.test_features, base.test_features)
    other = load_pool("repeated_mnist", copies=2, noise=0.5, rows=21)
    assert len(other.features) == 20, "whole copies, at most 21 rows"
    verify_repeated(other, load_pool("mnist", rows=10), 2, 0.5)


@needs_mnist
def test_repeated_mnist_of_the_published_files():
    pool = load_pool("repeated_mnist", data_dir=DATA, rows=600, test_rows=100)
    verify_repeated(pool, load_pool("mnist", data_dir=DATA, rows=200), 3, 0.1)
    assert set(pool.targets) == set(range(10))


def both(name):
    """Returns all inputs and targets of a synthetic pool, and of its test set."""
    pool = load_pool(name)
    return (pool.features.astype(float), pool.targets), (pool.test_features.astype(float), pool.test_targets)


def test_moons_are_on_their_circles():
    for x, y in both("two_moons"):
        centre = np.where(y[:, None] == 0, [0, 0], [1, 0.5])
        side = np.where(y == 0, 1, -1)
        radius = np.hypot(*(x - centre).T)
        assert radius.mean() == pytest.approx(1, abs=0.03)
        assert radius.std() == pytest.approx(0.15, rel=0.1)
        assert ((x - centre)[:, 1] * side > -0.6).all()
        assert y.mean() == pytest.approx(0.5, abs=0.06)


def test_the_third_cluster_is_a_coin():
    for x, y in both("three_clust"):
        right = x @ [4, 0] > 8  # nearer to (4, 3) than to the line between the other two
        assert right.mean() == pytest.approx(0.5, abs=0.05)
        assert y[right].mean() == pytest.approx(0.5, abs=0.07)
        assert ((x[~right, 1] < 3) == y[~right]).mean() > 0.96
        assert x[right].mean(0) == pytest.approx([4, 3], abs=0.15)
        assert x[right, 1].std() == pytest.approx(1.1, abs=0.1)  # a few of the others are there


def test_a_board_has_sixteen_squares_of_alternating_class():
    for x, y in both("checkerboard"):
        squares = np.floor(x).astype(int)
        assert np.bincount(squares[:, 0] * 4 + squares[:, 1], minlength=16).min() > 30
        safe = (np.abs(x - np.round(x)) > 1e-6).all(1)
        np.testing.assert_array_equal((squares[:, 0] % 2 != squares[:, 1] % 2)[safe], y[safe] == 1)


def test_bananas_are_arcs_about_two_centres():
    for x, y in both("banana"):
        radius = np.hypot(*(x + 0.75 * y[:, None]).T)
        assert radius.mean() == pytest.approx(1.02, abs=0.03)
        assert radius.std() == pytest.approx(0.2, rel=0.12)


def test_the_classes_leave_the_sine_in_opposite_directions():
    for x, y in both("diverging_sin"):
        left = x[:, 1] - np.sin(2 * x[:, 0])
        for label, side in ((0, -1), (1, 1)):
            rest = left[y == label] - side * x[y == label, 0] / 2
            assert rest.std() == pytest.approx(0.3, rel=0.1)
            assert rest.mean() == pytest.approx(0, abs=0.05)
        assert x[:, 0].min() < 0.1
        assert x[:, 0].max() > 9.9


def test_the_gap_is_for_no_sale_and_is_asked_about():
    (x, y), (test_x, test_y) = both("gap")
    assert (np.abs(x) >= synthetic.GAP - 1e-6).all()
    assert (np.abs(test_x) < synthetic.GAP).mean() == pytest.approx(1 / 3, abs=0.06)
    for inputs, targets in ((x[:, 0], y), (test_x[:, 0], test_y)):
        noise = targets - np.sin(4 * inputs) - inputs / 2
        assert noise.std() == pytest.approx(0.1, rel=0.1)
        assert noise.mean() == pytest.approx(0, abs=0.015)


@pytest.fixture
def files(tmp_path):
    """A table as CSV and Parquet: two columns, a class, a number, and one to leave out."""
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "kind": ["yes", "no"] * 25, "score": NUMBERS, "name": range(50)})
    pq.write_table(table, tmp_path / "my.parquet")
    pa.csv.write_csv(table, tmp_path / "my.csv")
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_users_file_has_classes_or_numbers(files, ending):
    path = files / f"my.{ending}"
    classes = load_pool(path, target="kind", drop=["score", "name"])
    assert (classes.classes, classes.features.shape) == (2, (40, 2))
    assert "held out" in classes.notes[-1]
    numbers = load_pool(str(path), target="score", drop=["kind", "name"], task="regression", test_part=0.5)
    assert (numbers.classes, numbers.targets.dtype, len(numbers.targets)) == (0, np.float64, 25)
    by_first = dict(zip(X[:, 0].astype(np.float32).tolist(), NUMBERS, strict=True))
    assert [by_first[row] for row in numbers.features[:, 0].tolist()] == pytest.approx(numbers.targets.tolist())
    environment = PoolActiveLearning(2, pool=path, target="score", drop=["kind", "name"], task="regression", budget=5)
    assert environment.reset(seed=0)[0]["labels"].isnan().sum(1).tolist() == [39, 39]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "score"}, 'look continuous.*; to predict it as a number, say task="regression"'),
        ({"target": "kind", "task": "regression"}, "target 'kind': expected numbers, for a regression, got string"),
        ({}, "expected a target, the column that holds the class"),
        ({"target": "scor"}, "unknown target 'scor'; did you mean 'score'"),
        ({"target": "kind", "copies": 2}, 'copies=2: expected with pool="repeated_mnist" alone'),
    ],
)
def test_faults_of_files_are_told(files, options, message):
    with pytest.raises(ValueError, match=message):
        load_pool(files / "my.csv", **options)


def test_a_number_that_never_changes_is_no_target(tmp_path):
    (tmp_path / "flat.csv").write_text("a,y\n1,2\n2,2\n3,2\n")
    with pytest.raises(ValueError, match=r"expected numbers that differ, got 2.0 alone"):
        load_pool(tmp_path / "flat.csv", target="y", task="regression")


def test_rows_without_a_number_are_left_out(tmp_path):
    (tmp_path / "some.csv").write_text("a,y\n1,2.5\n2,\n3,4.5\n4,NA\n5,6.5\n")
    pool = load_pool(tmp_path / "some.csv", target="y", task="regression")
    assert sorted([*pool.targets, *pool.test_targets]) == [2.5, 4.5, 6.5]
    assert "2 of 5 rows have no y" in pool.notes[0]


def test_arrays_are_what_they_look_like():
    words = load_pool((X, np.array(["b", "a"] * 25)))
    assert (words.name, words.classes) == ("arrays", 2)
    known = {row.astype(np.float32).tobytes(): place % 2 == 0 for place, row in enumerate(X)}
    assert [known[row.tobytes()] for row in words.features] == (words.targets == 1).tolist(), "sorted: a, b"
    assert load_pool((X, NUMBERS)).classes == 0
    assert load_pool((X, np.arange(50.0) % 2), task="classes").classes == 2
    assert load_pool((X, np.arange(50)), task="regression").targets.dtype == np.float64
    images = load_pool((np.zeros((50, 3, 4, 5), np.uint8), np.arange(50) % 2))
    assert (images.image, images.features.dtype, images.features.shape) == ((3, 4, 5), np.uint8, (40, 60))
    read_only = X.copy()
    read_only.flags.writeable = False
    PoolActiveLearning(1, pool=(read_only, NUMBERS), budget=5).reset(seed=0)


def test_a_pool_of_ones_own_is_taken_as_it_is():
    own = load_pool("wine")
    assert content(load_pool(own)) == content(own)
    assert len(load_pool(own, rows=7).features) == 7


WINE = load_pool("wine")


@pytest.mark.parametrize(
    ("pool", "options", "message"),
    [
        ("digit", {}, "unknown pool 'digit'; did you mean 'digits'.*or give a file"),
        ("jester", {}, "unknown pool 'jester'"),
        ("no.csv", {"target": "y"}, "expected a file that exists"),
        ("wine", {"target": "y"}, "target='y': expected with a file or data frame of your own alone"),
        ("wine", {"noise": 0.1}, 'noise=0.1: expected with pool="repeated_mnist" alone'),
        ("wine", {"task": "regression"}, "task='regression': expected with a file or arrays"),
        ("gap", {"test_part": 0.5}, "test_part=0.5: expected without a test set alone, which gap has"),
        ("wine", {"rows": 0}, "rows: expected at least 1, got 0"),
        ("wine", {"test_part": 1.0}, "test_part: expected a share between 0 and 1"),
        ("repeated_mnist", {"copies": 0}, "copies: expected at least 1"),
        ("repeated_mnist", {"noise": -1.0}, "noise: expected a standard deviation"),
        ((X,), {}, "expected a name, a file, a data frame, a Pool or arrays"),
        ((X, NUMBERS[:9]), {}, "pool: y: expected one target for each of 50 rows"),
        ((X[:, 0], NUMBERS), {}, r"pool: x: expected rows \[N, D\]"),
        ((np.where(X > 1, np.nan, X), NUMBERS), {}, "pool: x: expected finite numbers"),
        ((X, np.full(50, np.nan)), {}, "pool: y: expected finite numbers"),
        ((X, np.zeros(50, int)), {}, "pool: y: expected at least two classes"),
        ((X, np.array([None, "a"] * 25)), {}, "pool: y: expected numbers, text or truth values"),
        ((X[:2], NUMBERS[:2]), {"test_part": 0.1}, "test_part: expected at least one of 2 rows"),
        (
            Pool("own", X.astype(np.int64), WINE.targets, WINE.test_features, WINE.test_targets + 2, 3),
            {},
            r"features: expected float32, float64 or uint8 \[N, D\], .*test_targets: expected classes in 0..2.*as many",
        ),
    ],
)
def test_faults_are_told(pool, options, message):
    with pytest.raises(ValueError, match=message):
        load_pool(pool, **options)


def test_what_is_masked_is_missing_and_not_what_lies_beneath():
    x = np.ma.masked_array(X, mask=np.zeros(X.shape, bool))
    assert load_pool((x, NUMBERS)).features.shape[1] == X.shape[1]
    x[3, 0] = np.ma.masked
    with pytest.raises(ValueError, match="pool: x: expected finite numbers, got others in row 3, counted from 0: fill"):
        load_pool((x, NUMBERS))
    with pytest.raises(ValueError, match="pool: y: expected finite numbers"):
        load_pool((X, np.ma.masked_equal(np.arange(50), 7)))


@pytest.mark.parametrize("kind", [np.int8, np.float32, np.float64])
def test_whole_numbers_are_classes_of_whatever_type_as_in_a_file(tmp_path, kind):
    y = np.arange(50) % 3
    file = tmp_path / "own.csv"
    pd.DataFrame({"x": X[:, 0], "y": y.astype(kind)}).to_csv(file, index=False)
    pool, of_file = load_pool((X, y.astype(kind))), load_pool(str(file), target="y")
    assert pool.classes == of_file.classes == 3
    assert any("task='regression'" in note for note in pool.notes) == (kind != np.int8)
    assert load_pool((X, y.astype(kind)), task="regression").classes == 0
    assert load_pool((X, y + 0.5)).classes == 0
    for others in (1e100 * (y + 0.5), np.arange(50.0)):  # every number is whole beyond 2^53; a class has several rows
        assert load_pool((X, others)).classes == 0
        pd.DataFrame({"x": X[:, 0], "y": others}).to_csv(file, index=False)
        with pytest.raises(ValueError, match=r'look continuous.* say task="regression"'):
            load_pool(str(file), target="y")


@pytest.mark.parametrize("rows", [None, 10, 3])
def test_every_class_keeps_a_row_in_the_pool(rows):
    y = np.array(["common"] * 97 + ["few", "few", "rare"])
    for seed in range(12):
        pool = load_pool((np.arange(100.0)[:, None], y), pool_seed=seed, rows=rows)
        assert np.bincount(pool.targets, minlength=3).min() >= 1
        assert len(pool.test_targets) == 20
        assert len(pool.targets) == (rows or 80)
        everything = np.concatenate([pool.features, pool.test_features])[:, 0]
        assert len(np.unique(everything)) == len(everything)


def test_which_rows_are_held_out_does_not_change_where_every_class_has_some():
    y, order = np.arange(100) % 3, generator(4, "held-out rows of a pool").permutation(100)
    pool = load_pool((np.arange(100.0)[:, None], y), pool_seed=4)
    np.testing.assert_array_equal(pool.features[:, 0], order[20:])
