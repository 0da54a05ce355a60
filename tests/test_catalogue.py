"""`vbandits list` shows every field, and the command line's names, seeds and completion."""

import inspect
from dataclasses import fields

import pytest

from tests.test_running import EXPERIMENT, vbandits, written
from vbandits import catalogue
from vbandits.benchmarks.bandits.config import BanditFile
from vbandits.benchmarks.supervised.config import SupervisedFile
from vbandits.cli.app import app
from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import benchmarks
from vbandits.experiment.config import seeds_of
from vbandits.experiment.sections import validate
from vbandits.experiment.store import Store
from vbandits.presets import PRESETS
from vbandits.registry import ENVIRONMENTS, load, unknown


@pytest.mark.parametrize("what", catalogue.KINDS)
def test_every_field_of_every_kind_is_shown_with_default_and_meaning(what):
    for name, place in catalogue.KINDS[what].items():
        cls = load(place)
        about, *shown = catalogue.rows(what, [name])
        assert about["about"], name
        assert [row["field"] for row in shown] == [field.name for field in fields(cls)]
        for row, field in zip(shown, fields(cls), strict=True):
            assert row["about"].strip(), (name, field.name)
            assert row["values"], (name, field.name)
            made = field.default if row["default"] != catalogue.REQUIRED else None
            assert row["default"] in (catalogue.value(made), catalogue.REQUIRED)


def test_what_is_allowed_is_what_is_taken():
    rows = {row["field"]: row for row in catalogue.rows("posteriors", ["ibvi"])}
    cls, errors = load(catalogue.KINDS["posteriors"]["ibvi"]), []
    assert rows["rank"]["values"] == "whole number >= 1"
    assert rows["family"]["values"] == "low_rank or mean_field or low_rank_plus_diagonal or kronecker or full"
    assert rows["function_std"]["default"] == "none"
    for family in rows["family"]["values"].split(" or "):
        validate(cls, {"family": family}, "", errors)
    assert errors == []
    validate(cls, {"rank": 0}, "x", errors)
    assert "greater than or equal to 1" in errors[0]


def test_every_parameter_of_every_environment_is_shown():
    rows = catalogue.rows("environments")
    for name, place in ENVIRONMENTS.items():
        known = [one for one in inspect.signature(load(place)).parameters if one not in catalogue.NOT_OURS]
        assert [row["kwarg"] for row in rows if row["environment"] == name] == ["", *known]
    assert {row["kwarg"]: row["default"] for row in rows if row["environment"] == "vbandits/Wheel-v0"}["delta"] == "0.5"


def test_presets_of_one_posterior_are_told_apart():
    rows = {row["agent"]: row for row in catalogue.rows("agents")}
    assert [*rows] == [*PRESETS]
    assert len({(row["posterior"], row["rule"], row["settings"]) for row in rows.values()}) == len(PRESETS)
    assert rows["ibvi-noise-aware"]["about"].startswith("ibvi with prior_scale=1 ")
    assert "noise_rank=10" in rows["ibvi-noise-aware"]["about"]
    assert "rule=epsilon_greedy" in rows["epsilon-greedy"]["about"]
    assert rows["ibvi-limit-forgetting"]["about"] == "ibvi-limit with window=120"


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="unknown posterior 'ibiv'; did you mean 'ibvi'"):
        catalogue.rows("posteriors", ["ibiv"])


def test_ids_are_whole_in_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns in ("60", "2"):
        monkeypatch.setenv("COLUMNS", columns)
        assert vbandits("list", "environments") == 0
        assert "vbandits/HeteroscedasticBandit-v0" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_lines_break_between_words_alone(capsys, monkeypatch, columns):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    for what in ("posteriors", "acquisitions", "agents"):
        assert vbandits("list", what) == 0
        lines = capsys.readouterr().out.splitlines()
        shown = {word for line in lines for word in line.split()}
        assert max(map(len, lines)) <= columns
        for row in catalogue.rows(what):
            assert {word for text in row.values() for word in text.split()} <= shown


def test_without_a_name_the_list_says_what_can_be_listed(capsys):
    assert vbandits("list") == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert {*shown} >= {*catalogue.KINDS, "agents", "learners", "methods", "environments", "datasets"}
    for what in shown:
        assert vbandits("list", what) == 0, what


def test_the_help_of_a_run_names_every_section_and_the_defaults(capsys):
    assert vbandits("run", "--help") == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for one in benchmarks():
        assert all(f"--{section}" in said for section in one.sections)
    assert "KEYWORD" not in said
    for file, field, told in (
        (BanditFile, "seeds", "By default {}, of logs 8, of datasets 3"),
        (BanditFile, "steps", "{} by default"),
    ):
        assert told.format(file.model_fields[field].default) in said
    assert SupervisedFile.model_fields["seeds"].default == 3
    assert SupervisedFile.model_fields["steps"].default == BanditFile.model_fields["steps"].default


def test_unknown_names_are_told_with_all_that_are_known(capsys):
    assert vbandits("run", "--environments", "vbandits/Whel-v0", "--agents", "ibvi") == 2
    said = capsys.readouterr().err
    assert "did you mean 'vbandits/Wheel-v0'?" in said
    assert all(name in said for name in ENVIRONMENTS)
    assert "`vbandits list environments`" in said
    many = [f"name{i:03}" for i in range(150)]
    assert unknown("thing", "name7", many).endswith("name099, and 50 more)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", (0, 1, 2)),
        ("1,2,5", (1, 2, 5)),
        ("5,", (5,)),
        ("[5]", (5,)),
        ("0-3, 9", (0, 1, 2, 3, 9)),
        ("7-7", (7,)),
        (" 4 ", (0, 1, 2, 3)),
    ],
)
def test_seeds_are_a_count_a_list_or_a_range(text, expected):
    errors = []
    assert seeds_of(text, errors) == expected
    assert errors == []


@pytest.mark.parametrize("text", ["x", "", "1,x", "-1", "3-1", "1-", "0", "1,1", "0-99999999"])
def test_seeds_that_are_none_are_refused(text):
    errors = []
    seeds_of(text, errors)
    assert errors[0].startswith("seeds: expected")


def test_a_run_has_the_name_and_the_seeds_that_are_given(tmp_path, monkeypatch):
    written(tmp_path, monkeypatch, EXPERIMENT)
    chosen = ("--agents", "linear-ts", "--environments", "wheel", "--workers", 1, "--steps", 20)
    assert vbandits("run", "small.toml", *chosen, "--name", "mine", "--seeds", "3,7") == 0
    results = Store(tmp_path / "results" / "mine").load()
    assert results.experiment["name"] == "mine"
    assert results.experiment["seeds"] == [3, 7]


def test_the_shell_can_complete():
    script = app.generate_completion(shell="bash")
    assert all(word in script for word in ("--seeds", "--name", "list", "tune"))
