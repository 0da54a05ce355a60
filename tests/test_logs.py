"""Logged decisions: from a file, a frame, arrays, Hillstrom's experiment and the Open Bandit Dataset."""

import shutil

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.logs import DATA, hillstrom, made, open_bandit
from vbandits.data import load
from vbandits.data.inventory import listing, verify
from vbandits.data.logs import Log, load_log
from vbandits.envs import Classification

FRAME = pd.DataFrame(
    {
        "age": [31, 25, 45, 52, 28, 39],
        "town": ["Ulm", "Bonn", "Ulm", "Ulm", "Bonn", "Ulm"],
        "mail": ["b", "a", "b", "none", "a", "none"],
        "paid": [0.0, 2.5, 1.0, 0.0, np.nan, 3.0],
        "chance": [0.5, 0.25, 0.5, 0.25, 0.25, 0.25],
    }
)
NAMES = {"action": "mail", "reward": "paid", "propensity": "chance"}


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas", "polars"])
def test_a_table_is_read_by_the_names_of_its_columns(tmp_path, kind):
    FRAME.to_csv(tmp_path / "log.csv")  # with the number of the row
    FRAME.to_parquet(tmp_path / "log.parquet")
    given = {"pandas": FRAME, "polars": pl.from_pandas(FRAME)}.get(kind, str(tmp_path / f"log.{kind}"))
    log = load_log(given, **NAMES)
    assert log.arm_names == ("a", "b", "none")
    assert log.action.tolist() == [1, 0, 1, 2, 2]
    assert log.reward.tolist() == [0, 2.5, 1, 0, 3]
    assert log.propensity.tolist() == [0.5, 0.25, 0.5, 0.25, 0.25]
    assert log.feature_names == ("age", "town=Bonn", "town=Ulm")
    assert log.context[:, 0].tolist() == [31, 25, 45, 52, 39]
    assert "1 of 6 rows lack paid and are left out" in log.notes
    if kind == "csv":
        assert "left out as the number of the row: (without a name)" in log.notes
    constant = load_log(given, action="mail", reward="paid", propensity=1 / 3, drop=["chance", "town"])
    assert set(constant.propensity) == {1 / 3}
    assert constant.feature_names == ("age",)
    assert constant.uniform


@pytest.mark.parametrize("kind", ["pandas", "polars", "parquet of pandas", "parquet of polars"])
@pytest.mark.parametrize("column", ["paid", "chance", "mail"])
def test_a_number_that_is_none_is_missing_wherever_it_comes_from(tmp_path, kind, column):
    frame = FRAME.assign(mail=[1.0, 0.0, 1.0, 2.0, 0.0, 2.0], paid=1.0)
    frame[column] = frame[column].where(np.arange(6) != 3)
    polars = pl.from_pandas(frame, nan_to_null=False)
    assert polars[column].is_nan().sum() == 1, "Polars tells NaN from null, and so do the files that it writes"
    frame.to_parquet(tmp_path / "parquet of pandas.parquet")
    polars.write_parquet(tmp_path / "parquet of polars.parquet")
    log = load_log({"pandas": frame, "polars": polars}.get(kind, str(tmp_path / f"{kind}.parquet")), **NAMES)
    assert log.context[:, 0].tolist() == [31, 25, 45, 28, 39]
    assert log.arm_names == ("0", "1", "2")
    assert f"1 of 6 rows lack {column} and are left out" in log.notes


def test_a_log_says_what_it_is_in_a_line():
    told = "6 rows, 3 arms (a, b, none), contexts of 3 numbers (age, town=Bonn, town=Ulm), propensities 0.25 to 0.5 "
    log = load_log(FRAME.assign(paid=1.0), **NAMES)
    assert repr(log) == f"Log {log.name!r}: {told}(column 'chance')"
    constant = load_log(FRAME.assign(paid=1.0), action="mail", reward="paid", propensity=0.5, drop=["chance"])
    assert repr(constant).endswith("propensities 0.5 (the number that was given)")
    assert len(repr(load_log((np.zeros((9, 1)), np.arange(9) * 100, np.zeros(9), 0.5)))) < 400


def test_arrays_are_taken_in_their_order():
    x, action, reward = np.arange(8.0).reshape(4, 2), np.array([0, 2, 0, 2]), np.array([1, 0, 1, 1])
    log = load_log((x, action, reward, 1 / 3))
    assert log.arm_names == ("0", "1", "2"), "whole numbers are numbers of arms, one of which was never played"
    assert log.uniform
    assert load_log([x, ["b", "a", "b", "c"], reward, [0.5, 0.2, 0.5, 0.3]]).action.tolist() == [1, 0, 1, 2]
    assert load_log((FRAME[["age", "town"]], FRAME["mail"], np.ones(6), 0.5)).context.shape == (6, 3)
    assert load_log(log) is log


def test_what_is_known_of_a_log_is_its_content():
    assert made().digest() == made().digest()
    assert len({made().digest(), made(uniform=False).digest(), made(rows=899).digest()}) == 3


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (FRAME, {}, "data frame: unknown action 'action'"),
        (FRAME, NAMES | {"reward": "payed"}, "unknown reward 'payed'; did you mean 'paid'"),
        (FRAME, NAMES | {"reward": "town"}, "column 'town': expected numbers, got"),
        (
            FRAME,
            NAMES | {"propensity": "age"},
            r"propensity: expected probabilities above 0 and at most 1, got 31.0 in",
        ),
        (FRAME, NAMES | {"propensity": 0.0}, "propensity: expected probabilities above 0"),
        (FRAME, NAMES | {"policy": "bts"}, "expected no policy='bts' with anything but the Open Bandit Dataset"),
        (FRAME[FRAME["mail"] == "a"], NAMES, "action: expected 2 to 10,000 arms, got 1"),
        ("hilstrom", {}, "unknown log 'hilstrom'; did you mean 'hillstrom'"),
        ("hillstrom", {"action": "mail"}, "expected no action='mail' with hillstrom, whose columns are set"),
        ("obd", {"reward": "click"}, "expected no reward='click' with the Open Bandit Dataset"),
        ((np.zeros((3, 1)), [0, 1, 2], [1, 0, np.inf], 0.5), {}, "reward: expected 3 finite numbers"),
        ((np.zeros((3, 1)), [0.5, 1, 2], [1, 0, 1], 0.5), {}, r"action: expected whole numbers or text \[N\]"),
        ((np.zeros((3, 1)), [0, -1, 2], [1, 0, 1], 0.5), {}, r"action: expected arms in 0..2, got -1..2"),
        ((np.zeros((2, 1)), [0, 1, 2], [1, 0, 1], 0.5), {}, r"context: expected finite numbers \[3, D\]"),
        (np.zeros((3, 4)), {}, r"expected a name, a file, a data frame or arrays .*, got ndarray"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_is_no_log_is_refused(given, options, told):
    with pytest.raises(ValueError, match=told):
        load_log(given, **options)


def test_the_truth_of_an_arm_is_told_where_decisions_were_made_alike():
    log = made()
    assert log.truth(2) == log.reward[log.action == 2].mean()
    assert np.isnan(made(uniform=False).truth(2)), "the rows of an arm are then not like those of the log"
    assert log.arm("1") == log.arm(1) == 1
    with pytest.raises(ValueError, match="unknown arm '3'"):
        log.arm(3)


def test_hillstroms_file_is_the_published_one():
    log = hillstrom()
    assert (len(log), log.context.shape[1], log.arm_names) == (
        64_000,
        18,
        ("Mens E-Mail", "No E-Mail", "Womens E-Mail"),
    )
    raw = pd.read_csv(DATA / "hillstrom" / "hillstrom.csv")
    assert [log.truth(arm) for arm in range(3)] == pytest.approx(raw.groupby("segment")["visit"].mean().tolist())
    assert hillstrom("spend").reward.sum() == pytest.approx(raw["spend"].sum())
    assert log.uniform
    with pytest.raises(ValueError, match="unknown reward 'vist'; did you mean 'visit'"):
        hillstrom("vist")
    file = load_log(
        DATA / "hillstrom" / "hillstrom.csv",
        action="segment",
        reward="visit",
        propensity=1 / 3,
        drop=["conversion", "spend"],
    )
    assert (file.action == log.action).all()
    assert sorted(file.context.sum(0)) == pytest.approx(sorted(log.context.sum(0)))


def test_hillstroms_file_is_verified_and_is_no_classification():
    hillstrom()
    (found,) = verify(["hillstrom"], DATA)
    assert found.good
    assert found.says.startswith("64,000 rows, 18 features, 3 arms; SHA-256 e64c5d18")
    assert next(row for row in listing(DATA) if row["dataset"] == "hillstrom")["rows"] == "64,000"
    with pytest.raises(ValueError, match=r"expected classes, which hillstrom has not: it is a log of decisions"):
        Classification(dataset="hillstrom", data_dir=str(DATA))
    assert load("hillstrom", DATA).labels is None


def test_another_file_of_that_name_is_refused(tmp_path):
    hillstrom()
    lines = (DATA / "hillstrom" / "hillstrom.csv").read_text().splitlines(keepends=True)
    (tmp_path / "hillstrom.csv").write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match="expected 64,000 rows of 18 features, got 63,999 of 18"):
        load_log("hillstrom", data_dir=tmp_path)


def test_the_open_bandit_datasets_sample_is_read_as_it_is_written():
    log = open_bandit()
    assert log.arm_features is not None
    raw = pd.read_csv(DATA / "obd" / "random" / "men" / "men.csv")
    assert log.arms == 34
    assert log.uniform
    np.testing.assert_array_equal(log.action, raw["item_id"])
    np.testing.assert_array_equal(log.reward, raw["click"])
    np.testing.assert_array_equal(log.propensity, raw["propensity_score"])
    assert [note for note in log.notes if "positions of one impression" in note and "count as independent" in note]
    assert "(column 'propensity_score')" in repr(log)
    names = log.feature_names
    for name in ("user-item_affinity_7", "user-item_affinity_33"):
        np.testing.assert_allclose(log.context[:, names.index(name)], raw[name], rtol=1e-6)
    np.testing.assert_array_equal(log.context[:, names.index("position=2")], raw["position"] == 2)
    level = raw["user_feature_1"][0]
    np.testing.assert_array_equal(
        log.context[:, names.index(f"user_feature_1={level}")], raw["user_feature_1"] == level
    )
    items = pd.read_csv(DATA / "obd" / "random" / "men" / "item_context.csv")
    np.testing.assert_allclose(log.arm_features[:, 0], items.sort_values("item_id")["item_feature_0"])


def test_both_policies_logs_are_one_after_the_other():
    random, bts, both = (open_bandit(policy) for policy in ("random", "bts", ["random", "bts"]))
    assert not bts.uniform
    np.testing.assert_array_equal(both.action, np.concatenate([random.action, bts.action]))
    np.testing.assert_array_equal(both.propensity, np.concatenate([random.propensity, bts.propensity]))


def test_the_open_bandit_datasets_layouts_are_all_found(tmp_path):
    """As the sample has it; without the number of the row and the time, gzipped; with the campaigns side by side."""
    log, root = open_bandit("bts"), DATA / "obd"
    (tmp_path / "bts").mkdir()
    raw = pd.read_csv(root / "bts" / "men" / "men.csv", index_col=0).drop(columns="timestamp")
    raw.to_csv(tmp_path / "bts" / "men.csv.gz", index=False)
    flat = load_log(tmp_path, policy="bts")
    np.testing.assert_array_equal(flat.context, log.context)
    assert flat.arm_features is None
    shutil.copytree(root / "bts" / "men", tmp_path / "bts" / "women")
    (tmp_path / "bts" / "women" / "men.csv").rename(tmp_path / "bts" / "women" / "women.csv")
    assert load_log(str(tmp_path), policy="bts", campaign="women").name == "obd bts women"
    with pytest.raises(ValueError, match=r"expected all/all.csv in .*bts, got none"):
        load_log(tmp_path, policy="bts", campaign="all")
    with pytest.raises(ValueError, match="unknown campaign 'man'; did you mean 'men'"):
        load_log(tmp_path, campaign="man")
    frame = load_log(pd.read_csv(root / "bts" / "men" / "men.csv"))
    np.testing.assert_array_equal(frame.context, log.context)
    assert frame.arms == 34


def test_a_log_says_all_that_is_wrong_with_it():
    log = Log("mine", np.zeros((2, 1)), np.array([0, 5]), np.zeros(3), np.array([0.5, 2.0]), ("a", "b"))
    with pytest.raises(
        ValueError,
        match=r"mine: reward: .*; propensity: .*got 2.0 in row 1, counted from 0.*; action: expected arms in",
    ):
        log.require_valid()


def test_the_truth_of_an_arm_is_told_where_every_decision_could_play_it():
    """Arm 0 is played with probability 0.5 where x is 1, and never where it is 0: its rows tell nothing of those."""
    dice = np.random.default_rng(0)
    x = dice.integers(2, size=2000)
    action = np.where((x == 1) & (dice.random(2000) < 0.5), 0, 1)
    some = load_log((x[:, None].astype(float), action, x, np.where(x == 1, 0.5, 1.0)))
    assert np.isnan(some.truth(0))
    assert np.isnan(some.truth(1))
    every = load_log((x[:, None].astype(float), dice.integers(2, size=2000), x, 0.5))
    assert every.truth(0) == every.reward[every.action == 0].mean()


def test_arms_that_are_whole_numbers_are_named_so_whatever_type_holds_them():
    frame = pd.DataFrame({"action": [0, 1, None, 1], "reward": [1.0, 0, 1, 0], "x": [1.0, 2, 3, 4]})
    assert load_log(frame, propensity=0.5).arm_names == ("0", "1")
    arrays = load_log((np.zeros((3, 1)), [0.0, 2.0, 1.0], [1, 0, 1], 0.5))
    assert (arrays.arm_names, arrays.action.tolist()) == (("0", "1", "2"), [0, 2, 1])
    with pytest.raises(ValueError, match=r"action: expected arms in 0..9,999, got 4,000,000,000: give names, as text"):
        load_log((np.zeros((2, 1)), [1, 4_000_000_000], [1, 0], 0.5))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"action": "a", "reward": "a"}, "expected other columns than the action, got 'a' as reward too"),
        ({"action": "a", "reward": "r", "drop": ["a"]}, "than the action, got 'a' as column to drop too"),
    ],
)
def test_a_column_is_one_thing(columns, told):
    frame = pd.DataFrame({"a": [0, 1], "r": [0.0, 1.0], "x": [1.0, 2.0]})
    with pytest.raises(ValueError, match=told):
        load_log(frame, propensity=0.5, **columns)
