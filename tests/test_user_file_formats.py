"""How a user's file may be written: what other programs make of quotes, blanks, missing values, types and indices."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tests.test_user_files import VISITS, rows, write
from vbandits.data import load


def test_lines_that_break_inside_quotes_are_one_row_in_a_large_file_too(tmp_path):
    """A file of several blocks of 1 MB, most of them ending inside quotes."""
    rows = 30_000
    text = "a,said,y\n" + "".join(f'{i % 97},"two\nlines, {i % 3}{"." * 60}",{i % 2}\n' for i in range(rows))
    assert len(text) > 2**21
    for name in ("visits.csv", "visits.csv.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        found = load(path, target="y")
        assert found.features.shape == (rows, 4)
        np.testing.assert_array_equal(found.features[:, 0], np.arange(rows) % 97)
        np.testing.assert_array_equal(found.labels, np.arange(rows) % 2)


@pytest.mark.parametrize("late", ["1.5", "#N/A", " ?"])
def test_the_type_of_a_column_is_that_of_all_its_rows(tmp_path, late):
    """pyarrow tells it by the first block, of 1 MB."""
    rows = 200_000
    text = "a,y\n" + "".join(f"{i % 97:06},{i % 2}\n" for i in range(rows)) + f"{late},1\n"
    found = load(write(tmp_path, text), target="y")
    np.testing.assert_array_equal(found.features[:rows, 0], np.arange(rows) % 97)
    assert found.features[rows].tolist() == ([1.5] if late == "1.5" else pytest.approx([47.995, 1.0], abs=0.01))


@pytest.mark.parametrize("stands", ["", "?", " ?", "#N/A", "None", "<NA>", "n/a", " NA ", "-nan"])
def test_what_stands_for_a_missing_number_is_no_text(tmp_path, stands):
    ages = [f"{20 + i / 7:.2f}" for i in range(300)]
    ages[7] = stands
    found = load(write(tmp_path, "age,y\n" + rows(ages, [i % 2 for i in range(300)])), target="y")
    assert found.feature_names == ("age", "age missing")
    assert np.flatnonzero(found.features[:, 1]).tolist() == [7]


def test_blanks_around_names_and_text_count_for_nothing(tmp_path):
    """As UCI writes them."""
    found = load(
        write(tmp_path, "age, work, income\n39, State, <=50K\n50, Private, >50K\n38, State, <=50K\n"), target="income"
    )
    assert found.feature_names == ("age", "work=Private", "work=State")
    assert found.class_names == ("<=50K", ">50K")


@pytest.mark.parametrize("stray", ["-", "unknown", "12,5"])
def test_a_stray_text_among_many_numbers_is_named_with_its_row(tmp_path, stray):
    ages = [f"{20 + i / 7:.2f}" for i in range(300)]
    ages[7] = f'"{stray}"'
    with pytest.raises(ValueError, match=f"column 'age': expected numbers, got numbers but for '{stray}' in line 9"):
        load(write(tmp_path, "age,y\n" + rows(ages, [i % 2 for i in range(300)])), target="y")


@pytest.mark.parametrize("name", ["VISITS.CSV", "Visits.Csv.GZ", "visits.csv.Gz", "VISITS.PARQUET"])
def test_endings_may_be_in_capitals(tmp_path, name):
    path = tmp_path / name
    if name.lower().endswith("parquet"):
        pd.read_csv(write(tmp_path, VISITS)).to_parquet(path)
    else:
        path.write_bytes(gzip.compress(VISITS.encode()) if name.lower().endswith("gz") else VISITS.encode())
    assert load(path, target="bought").class_names == ("no", "yes")


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    whole = pd.DataFrame({"a": range(6), "town": ["York", "Bath"] * 3, "y": [0, 0, 1, 1, 0, 1]})
    folder = tmp_path / "visits"
    for town, part in whole.groupby("town"):
        (folder / f"town={town}").mkdir(parents=True)
        part.drop(columns="town").to_parquet(folder / f"town={town}" / "part-0.parquet", index=False)
    (folder / "_SUCCESS").write_text("")
    found = load(folder, target="y")
    assert sorted(found.feature_names) == ["a", "town=Bath", "town=York"]
    a = found.features[:, found.feature_names.index("a")].astype(int)
    np.testing.assert_array_equal(found.labels, np.array([0, 0, 1, 1, 0, 1])[a])
    assert load(folder, target="y") is found
    (folder / "town=York" / "part-0.parquet").unlink()
    assert len(load(folder, target="y").features) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without Parquet files"):
        load(tmp_path / "empty", target="y")


@pytest.mark.parametrize("index", [None, "customer"])
def test_the_index_of_a_data_frame_is_no_feature(tmp_path, index):
    table = pd.DataFrame({"a": [3.0, 1.0, 2.0], "y": [0, 1, 0]}, index=pd.Index([7, 5, 9], name=index))
    name = index or "__index_level_0__"
    table.to_parquet(tmp_path / "visits.parquet")
    found = load(tmp_path / "visits.parquet", target="y")
    assert found.feature_names == ("a",)
    assert found.notes == (f"left out as the index of the data frame: {name}",)
    assert load(tmp_path / "visits.parquet", target="y", drop=[name]).notes == (f"left out as asked: {name}",)
    if index:
        assert load(tmp_path / "visits.parquet", target=name).class_names == ("5", "7", "9")


def test_the_index_of_a_data_frame_in_a_csv_is_noted_in_any_order(tmp_path):
    text = "Unnamed: 0,a,y\n" + rows([5, 2, 9, 1], [3, 1, 3, 2], [0, 1, 0, 1])
    notes = load(write(tmp_path, text), target="y").notes
    assert notes == ("looks like the number of the row, which drop=[...] leaves out: Unnamed: 0",)


def test_truth_values_can_be_predicted_as_numbers_as_in_arrays(tmp_path):
    path = write(tmp_path, "x,y\n1,true\n2,false\n3,true\n")
    assert load(path, target="y", regression=True).targets.tolist() == [1, 0, 1]
