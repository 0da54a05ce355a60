"""Data in memory are the same datasets as their files: data frames of pandas and Polars, and arrays (x, y)."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import vbandits
from vbandits.data import load
from vbandits.data.pools import load_pool
from vbandits.envs import Classification, PoolActiveLearning
from vbandits.envs.spec import EnvironmentSpec, fingerprint

FRAME = pd.DataFrame(
    {
        "age": [31.0, None, 45.0, 52.0, 28.0, 39.0],
        "town": ["Ulm", "Bonn", None, "Ulm", "Bonn", "Ulm"],
        "member": [True, False, True, True, False, False],
        "visits": [3, 1, 4, 1, 5, 9],
        "target": ["yes", "no", "yes", None, "no", "no"],
    }
)


def same(found, other):
    np.testing.assert_array_equal(found.features, other.features)
    assert found.features.dtype == other.features.dtype
    np.testing.assert_array_equal(found.labels, other.labels)
    assert (found.feature_names, found.class_names, found.notes) == (
        other.feature_names,
        other.class_names,
        other.notes,
    )
    assert found.digest() == other.digest()


@pytest.mark.parametrize(
    "frame",
    [FRAME, FRAME.set_index(pd.Index([9, 8, 7, 6, 5, 4], name="id")), FRAME.convert_dtypes(), pl.from_pandas(FRAME)],
    ids=["pandas", "with an index", "nullable", "polars"],
)
def test_a_data_frame_is_the_dataset_of_its_file(tmp_path, frame):
    FRAME.to_parquet(tmp_path / "visits.parquet", index=False)
    for drop in (None, ["visits"]):
        same(load(frame, target="target", drop=drop), load(tmp_path / "visits.parquet", target="target", drop=drop))


def test_arrays_are_the_dataset_of_their_file(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((30, 3)), np.arange(30) % 3
    x[4, 1] = np.nan
    frame = pd.DataFrame(x, columns=["x0", "x1", "x2"]).assign(y=y)
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    file = load(tmp_path / "rows.parquet", target="y")
    for given in ((x, y), (np.ma.masked_invalid(x), y), [x, y[:, None]], (frame[["x0", "x1", "x2"]], frame["y"])):
        same(load(given), file)
    assert "missing numbers" in load((x, y)).notes[0]


def test_columns_of_text_and_numbers_are_refused_as_in_a_file(tmp_path):
    ages = [*range(20, 60), "-", *range(20, 60)]
    frame = pd.DataFrame({"age": ages, "y": [i % 2 for i in range(81)]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for given in (frame, tmp_path / "rows.csv"):
        with pytest.raises(
            ValueError, match=r"column 'age': expected numbers, got numbers but for '-' in (line 42|row 40, )"
        ):
            load(given, target="y")


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (FRAME, {}, r"data frame: expected a target, the column that holds the class, got none: .* age, town, member"),
        (FRAME, {"target": "tagret"}, r"data frame: unknown target 'tagret'; did you mean 'target'"),
        (FRAME, {"target": "target", "drop": ["agee"]}, "unknown column to drop 'agee'; did you mean 'age'"),
        (FRAME.head(0), {"target": "target"}, "expected rows, got none"),
        (FRAME.assign(when=pd.Timestamp("2020-01-01")), {"target": "target"}, r"got timestamp.*drop=\['when'\]"),
        (pl.from_pandas(FRAME).lazy(), {"target": "target"}, r"got a LazyFrame: give frame.collect\(\)"),
        (
            FRAME.T.assign(a=1).T.set_axis(["a"] * 5, axis=1),
            {"target": "a"},
            "expected each column once, got more of a",
        ),
        ((np.zeros((3, 2)), [0, 1]), {}, "y: expected one target for each of 3 rows of x, got"),
        ((np.zeros((3, 2)), [0, 1, 0]), {"target": "y"}, "target: expected none with arrays"),
        ((np.zeros(3), [0, 1, 0]), {}, r"x: expected numbers \[N, D\], got float64 \(3,\)"),
        (np.zeros((3, 2)), {}, r"expected a name, a file, a data frame or arrays \(x, y\), got ndarray"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_is_no_dataset_is_refused(given, options, told):
    with pytest.raises(ValueError, match=told):
        load(given, **options)


def test_a_bandit_and_a_pool_take_data_frames():
    frame = pd.DataFrame({"a": np.arange(40) % 7, "b": np.arange(40) % 3, "y": np.arange(40) % 2 == 0})
    assert Classification(dataset=frame, target="y").dataset.class_names == ("False", "True")
    assert Classification(dataset=(frame[["a", "b"]].to_numpy(), frame["y"])).dataset.features.shape == (40, 2)
    for own in (frame, pl.from_pandas(frame)):
        assert load_pool(own, target="y").digest() == load_pool(frame, target="y").digest()
        assert load_pool(own, target="a", task="regression").classes == 0
    assert PoolActiveLearning(pool=frame, target="b", budget=5).pool.classes == 3
    words = pd.DataFrame({"town": ["Ulm", "Bonn"] * 10})
    assert load_pool((words, [0, 1] * 10)).features.shape[1] == 2


def test_what_is_known_of_an_experiment_is_the_content_of_its_rows():
    frame = pd.DataFrame({"a": np.arange(40.0), "y": np.arange(40) % 2})
    edited = frame.assign(a=frame["a"].replace(3.0, 3.5))

    def told(own):
        return fingerprint(EnvironmentSpec("it", "vbandits/Classification-v0", {"dataset": own, "target": "y"}))

    assert told(frame) == told(pl.from_pandas(frame)) != told(edited)
    assert told(frame)["kwargs"] == {"dataset": "data frame", "target": "y"}


def test_agents_play_a_data_frame():
    frame = pd.DataFrame({"a": np.arange(40) % 7, "y": np.arange(40) % 2})
    entry = {"id": "vbandits/Classification-v0", "kwargs": {"dataset": frame, "target": "y"}}
    results = vbandits.run(environments=[entry], agents=["linear-ts"], seeds=2, steps=20, workers=1)
    assert results.labels("environment") == ["Classification-v0 dataset=data frame target=y"]
    assert results.experiment["environments"][0]["kwargs"] == {"dataset": "data frame", "target": "y"}


def test_polars_is_not_imported():
    code = "import sys, vbandits.data; vbandits.data.load('wine'); assert 'polars' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
