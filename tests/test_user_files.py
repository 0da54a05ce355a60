"""A user's own CSV or Parquet file: what becomes of its columns, and what is refused."""

import functools
import gc
import gzip
import os
import weakref
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from vbandits.data import load
from vbandits.envs import Classification
from vbandits.envs.spec import EnvironmentSpec, fingerprint

VISITS = """age,town,member,spent,bought
30,York,true,1.5,yes
,Bath,false,2.5,no
50,,true,NA,no
40,York,false,0.5,
20,Bath,true,3.5,yes
"""


def write(tmp_path, text, name="visits.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_columns_become_what_is_said(tmp_path):
    found = load(write(tmp_path, VISITS), target="bought")
    assert found.feature_names == (
        "age",
        "age missing",
        "town=(missing)",
        "town=Bath",
        "town=York",
        "member=False",
        "member=True",
        "spent",
        "spent missing",
    )
    mean, spent = (30 + 50 + 20) / 3, (1.5 + 2.5 + 3.5) / 3
    np.testing.assert_allclose(
        found.features,
        [
            [30, 0, 0, 0, 1, 0, 1, 1.5, 0],
            [mean, 1, 0, 1, 0, 1, 0, 2.5, 0],
            [50, 0, 1, 0, 0, 0, 1, spent, 1],
            [20, 0, 0, 1, 0, 0, 1, 3.5, 0],
        ],
        rtol=1e-6,
    )
    assert found.features.dtype == np.float32
    assert (found.labels.tolist(), found.class_names) == ([1, 0, 0, 1], ("no", "yes"))
    assert found.notes == (
        "1 of 5 rows have no bought and are left out",
        "missing numbers became the mean of the others, with an indicator: age (1), spent (1)",
        "text became indicators of its levels: town (3)",
        "missing text is a level of its own: town (1)",
        "truth values became indicators of their levels: member (2)",
    )


def test_the_number_of_the_row_that_a_data_frame_writes_without_a_name_is_left_out(tmp_path):
    """It would tell rows that come in the order of their classes."""
    rows = "".join(f"{20 + i % 30},{i % 2}\n" for i in range(90))
    plain = load(write(tmp_path, "age,bought\n" + rows), target="bought")
    assert plain.notes == ()
    counted = "".join(f"{i},{row}\n" for i, row in enumerate(rows.splitlines()))
    for name, told in (("", "(without a name)"), ("Unnamed: 0", "Unnamed: 0")):
        found = load(write(tmp_path, f"{name},age,bought\n" + counted), target="bought")
        assert found.notes == (f"left out as the number of the row: {told}",)
        np.testing.assert_array_equal(found.features, plain.features)
    gone = counted.replace(f"7,{27},1\n", f"7,{27},\n", 1)  # a row without a class is no gap in the count
    assert load(write(tmp_path, ",age,bought\n" + gone), target="bought").feature_names == ("age",)


@pytest.mark.parametrize("stray", ["-", "--", "fifty", "#VALUE!"])
@pytest.mark.parametrize("numbers", [5, 30])
def test_text_among_few_numbers_is_named_with_its_row(tmp_path, stray, numbers):
    """A sign is no level of a category; a word is one where the numbers are few."""
    rows = [f"{stray if i == 7 else 20 + i % numbers},{i % 2}" for i in range(90)]
    path = write(tmp_path, "\n".join(["age,bought", *rows]) + "\n")
    if (numbers == 5 and stray[-1].isalpha()) or (numbers == 5 and "VALUE" in stray):
        assert f"age={stray}" in load(path, target="bought").feature_names
        return
    with pytest.raises(ValueError, match=f"column 'age': expected numbers, got numbers but for '{stray}' in line 9: "):
        load(path, target="bought")


def test_a_stray_text_is_named_with_its_line_as_an_editor_shows_it(tmp_path):
    """Lines without a target are left out, empty ones are no rows, and a row may have several lines."""
    rows = [f"{'-' if i == 7 else 20 + i % 30},{'' if i == 3 else i % 2},in town" for i in range(90)]
    rows[2] = '40,1,"in\nthe\r\ncountry"\n\n'
    text = "\n".join(["age,bought,home", *rows]) + "\n"
    line = 1 + next(i for i, line in enumerate(text.split("\n")) if line.startswith("-"))
    packed = tmp_path / "visits.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    for path in (write(tmp_path, text), packed):
        with pytest.raises(ValueError, match=f"'-' in line {line}: "):
            load(path, target="bought")
    table = pd.DataFrame({"age": [*map(str, range(40)), "-", "-"], "bought": [*[0, 1] * 20, None, 1]})
    table.to_parquet(tmp_path / "visits.parquet")
    with pytest.raises(ValueError, match=r"'-' in row 41, counted from 0: "):
        load(tmp_path / "visits.parquet", target="bought")


def test_parquet_and_gzip_give_the_same(tmp_path):
    path = write(tmp_path, VISITS)
    packed = tmp_path / "visits.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    table = pa.table(
        {
            "age": pa.array([30, None, 50, 40, 20], pa.int8()),
            "town": pa.array(["York", "Bath", None, "York", "Bath"]).dictionary_encode(),
            "member": [True, False, True, False, True],
            "spent": pa.array([Decimal("1.5"), Decimal("2.5"), None, Decimal("0.5"), Decimal("3.5")]),
            "bought": ["yes", "no", "no", None, "yes"],
        }
    )
    pa.parquet.write_table(table, tmp_path / "visits.parquet")
    reference = load(path, target="bought")
    for other in (packed, tmp_path / "visits.parquet"):
        found = load(other, target="bought")
        assert found.feature_names == reference.feature_names
        np.testing.assert_array_equal(found.features, reference.features)
        np.testing.assert_array_equal(found.labels, reference.labels)


def test_indicators_alone_are_bytes_and_columns_are_dropped(tmp_path):
    found = load(write(tmp_path, VISITS), target="bought", drop=["age", "spent"])
    assert found.features.dtype == np.uint8
    assert found.features.tolist() == [[0, 0, 1, 0, 1], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 0, 1]]
    assert found.notes[0] == "left out as asked: age, spent"


@pytest.mark.parametrize(
    ("column", "classes", "labels"),
    [
        (["3", "1", "3"], ("1", "3"), [1, 0, 1]),
        (["10", "9", "9"], ("9", "10"), [1, 0, 0]),
        (["1.0", "2.0", "1.0"], ("1", "2"), [0, 1, 0]),
        (["true", "false", "true"], ("False", "True"), [1, 0, 1]),
        (["b", "10", "b"], ("10", "b"), [1, 0, 1]),
    ],
)
def test_classes_are_sorted_levels(tmp_path, column, classes, labels):
    found = load(write(tmp_path, "x,y\n" + "".join(f"{i},{y}\n" for i, y in enumerate(column))), target="y")
    assert (found.class_names, found.labels.tolist()) == (classes, labels)


def rows(*columns):
    return "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


MANY = range(120)
PARITY = [number % 2 for number in MANY]


@pytest.mark.parametrize(
    ("text", "target", "drop", "message"),
    [
        ("", "y", None, r"expected a header and rows, got an empty file"),
        ("x,y\n", "y", None, r"expected rows, got none below the header"),
        ("x,y\n1,a\n2\n", "y", None, r"as many columns, got: .*Expected 2 columns, got 1: 2; it is damaged"),
        ("x,y\n1,a\n2,b,c\n", "y", None, r"Expected 2 columns, got 3"),
        ("x,x,y\n1,2,a\n2,2,b\n", "y", None, r"expected each column once, got more of x"),
        (VISITS, None, None, r"expected a target.* got none: target=... is one of age, town, member, spent, bought"),
        (VISITS, "bougth", None, r"unknown target 'bougth'; did you mean 'bought'"),
        (VISITS, "bought", ["aeg"], r"unknown column to drop 'aeg'; did you mean 'age'"),
        (VISITS, "bought", ["bought"], r"expected other columns than the target, got 'bought' as column to drop too"),
        (VISITS, "bought", "age", r"drop: expected a list of columns, got 'age': write \['age'\]"),
        (VISITS, "bought", ["age", "town", "member", "spent"], r"columns beside the target 'bought', got none"),
        (VISITS, "spent", None, r"'spent': expected classes, got numbers that look continuous, such as 1.5"),
        ("x,y\n" + rows(PARITY, MANY), "y", None, r"expected at most 100 classes, got 120: it looks continuous"),
        ("x,y\n1,a\n2,a\n", "y", None, r"expected at least two classes, got a"),
        (
            "x,y\n1,\n2,\n",
            "y",
            None,
            r"expected at least two classes, got none|expected text, truth values or whole numbers, got null",
        ),
        (
            "x,y\n" + rows([f"id{n % 110}" for n in MANY], PARITY),
            "y",
            None,
            r"got 110 in 120: leave it out, drop=\['x'\]",
        ),
        ("x,y\n" + rows(["a", "b", "c"], [0, 1, 1]), "y", None, r"'x': expected at most 100 levels.*got 3 in 3"),
        (
            "x,y\n,a\n,b\n",
            "y",
            None,
            r"column 'x': expected numbers, text or truth values, got nothing at all: leave it out",
        ),
        (
            "x,y\n2020-01-01,a\n2020-01-02,b\n",
            "y",
            None,
            r"column 'x': expected numbers, text or .*, got date32",
        ),
        ("x,y\n-inf,a\n1,b\n", "y", None, r"column 'x': expected finite numbers, got -inf"),
        ("x,y\ninf,a\n1,b\n", "y", None, r"column 'x': expected finite numbers, got inf"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, text, target, drop, message):
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, text), target=target, drop=drop)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("town,y\nMünchen,1\nKöln,0\nKöln,1\n", "latin-1"),
        ("größe,y\n1,1\n2,0\n", "latin-1"),
        ("x,y\n1,ja\n2,schön\n", "cp1252"),
        ("x,y\n1,ja\n2,nein\n", "utf-16"),
    ],
)
def test_other_encodings_are_told_to_be_saved_as_utf8(tmp_path, text, encoding):
    path = tmp_path / "visits.csv"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=r"expected text in UTF-8, got another encoding: save it as UTF-8, as pandas"):
        load(path, target="y")
    path.write_text(text, encoding="utf-8")
    assert len(load(path, target="y").features) == text.count("\n") - 1


def test_a_column_in_another_encoding_may_be_left_out(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_bytes("x,town,y\n1,München,1\n2,Köln,0\n".encode("latin-1"))
    assert load(path, target="y", drop=["town"]).feature_names == ("x",)


@pytest.mark.parametrize("text", ["x;town;y\n1,5;York;1\n2,5;Bath;0\n", "x;y\n1;1\n2;0\n"])
@pytest.mark.parametrize(
    ("separator", "told"),
    [
        (";", r'commas between values, got semicolons: save it with commas, .*sep=";"'),
        ("\t", r'commas between values, got tabs: save it with commas, .*sep="\\t"'),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_other_separators_are_named(tmp_path, text, separator, told, gzipped):
    raw = text.replace(";", separator).encode()
    path = tmp_path / ("visits.csv.gz" if gzipped else "visits.csv")
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    with pytest.raises(ValueError, match=told):
        load(path, target="y")


def test_files_that_are_not_there_or_no_tables_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a file that exists, got 'no\.csv' \(which is /.*no\.csv\)"):
        load("no.csv", target="y")
    with pytest.raises(ValueError, match=r"ends in \.csv, \.csv\.gz, \.parquet, got 'visits\.txt'"):
        load(write(tmp_path, VISITS, "visits.txt"), target="bought")
    with pytest.raises(ValueError, match=r"expected a Parquet file, got: .*it is damaged, or another file"):
        load(write(tmp_path, VISITS, "visits.parquet"), target="bought")
    packed = tmp_path / "visits.csv.gz"
    packed.write_bytes(gzip.compress(VISITS.encode())[:-12])
    with pytest.raises(ValueError, match="expected a header and rows of as many columns, got"):
        load(packed, target="bought")


def test_an_edited_file_is_read_again_and_has_another_fingerprint(tmp_path):
    path = write(tmp_path, VISITS)
    spec = EnvironmentSpec("it", "vbandits/Classification-v0", {"dataset": str(path), "target": "bought"})
    first, known = load(path, target="bought"), fingerprint(spec)
    assert load(path, target="bought") is first
    assert fingerprint(spec) == known
    path.write_text(VISITS.replace("50,", "60,"))
    os.utime(path, ns=(1, 1))
    assert load(path, target="bought").features[2, 0] == 60
    assert fingerprint(spec)["data"] != known["data"]


def files_with_the_rows_in_two_orders(tmp_path):
    header, *rows = VISITS.splitlines(keepends=True)
    texts = [header + "".join(order) for order in (rows, rows[::-1])]
    return [write(tmp_path, text, f"{number}.csv") for number, text in enumerate(texts)]


def test_rows_and_their_order_are_part_of_a_fingerprint_however_a_file_is_bound(tmp_path):
    one, other = files_with_the_rows_in_two_orders(tmp_path)
    alone, path = load(one, target="bought").digest(), tmp_path / "visits.csv"

    class Visits(Classification):
        def __init__(self, num_envs=1, device="cpu"):
            super().__init__(num_envs, device, dataset=str(path), target="bought")

    bound = functools.partial(Classification, dataset=str(path), target="bought")
    for source in (Visits, bound):
        spec, found = EnvironmentSpec("it", source), []
        for file in (one, other):
            path.write_text(file.read_text())
            os.utime(path, ns=(len(found) + 1, len(found) + 1))
            found.append(fingerprint(spec)["data"])
        assert found[0] == alone[:16]
        assert found[0] != found[1]


def test_copies_of_a_published_dataset_are_told_apart(standins, tmp_path):
    spec = EnvironmentSpec("it", "vbandits/Jester-v0")
    elsewhere = EnvironmentSpec("it", "vbandits/Jester-v0", data_dir=str(tmp_path))
    name = "jester_data_40jokes_19181users.npy"
    ratings = np.load(standins / "jester" / name)
    np.save(tmp_path / name, ratings)
    assert fingerprint(elsewhere) == fingerprint(spec)
    (tmp_path / "again").mkdir()
    np.save(tmp_path / "again" / name, ratings[::-1])
    moved = EnvironmentSpec("it", "vbandits/Jester-v0", data_dir=str(tmp_path / "again"))
    assert fingerprint(moved)["data"] != fingerprint(spec)["data"]


def test_a_dataset_that_is_used_no_more_leaves_memory(tmp_path):
    first = weakref.ref(load(write(tmp_path, VISITS), target="bought"))
    others = files_with_the_rows_in_two_orders(tmp_path)
    assert load(others[0], target="bought") is load(others[0], target="bought")
    gc.collect()
    assert first() is not None, "two stay"
    load(others[1], target="bought")
    gc.collect()
    assert first() is None


def test_only_what_has_a_dataset_has_data_in_its_fingerprint():
    wine = EnvironmentSpec("it", "vbandits/Classification-v0", {"dataset": "wine"})
    assert fingerprint(wine)["data"] == load("wine").digest()[:16]
    assert "data" not in fingerprint(EnvironmentSpec("it", "vbandits/Wheel-v0"))


def test_where_files_lie_is_no_part_of_a_fingerprint(tmp_path):
    name = "vbandits/Classification-v0"
    specs = [
        EnvironmentSpec("it", name, {"dataset": "wine", "data_dir": str(tmp_path)}),
        EnvironmentSpec("it", name, {"dataset": "wine"}, data_dir=str(tmp_path)),
        EnvironmentSpec("it", name, {"dataset": "wine"}),
    ]
    assert fingerprint(specs[0]) == fingerprint(specs[1]) == fingerprint(specs[2])


def test_a_file_is_played(tmp_path):
    path = tmp_path / "own.parquet"
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 2))
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")}).to_parquet(path)
    environment = Classification(dataset=str(path), target="y")
    assert environment.notes == ()
    context, _ = environment.reset(seed=3)
    for _ in range(60):
        best = int(context[0, 0] > 0)  # "up" comes after "down"
        context, reward, _, _, info = environment.step(torch.tensor([best]))
        assert reward.item() == 1
        assert info["optimal_action"].item() == best
