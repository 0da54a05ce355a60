"""Supervised experiments: what they refuse, and in which words."""

from pathlib import Path

import pytest

from tests.test_running import vbandits as command
from tests.test_supervised import DOCUMENT
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve

METHOD = DOCUMENT["methods"][0]
CASES = {
    "dataset": ({"datasets": ["digts"]}, "unknown dataset 'digts'; did you mean 'digits'?"),
    "method": ({"methods": ["ensembel"]}, "unknown method 'ensembel'; did you mean 'ensemble'?"),
    "key": ({"bacth_size": 3}, "unknown key 'bacth_size'; did you mean 'batch_size'?"),
    "method key": ({"methods": [METHOD | {"temprature": 2}]}, "unknown key 'temprature'; did you mean 'temperature'?"),
    "no rule": ({"methods": [METHOD | {"rule": {}}]}, "unknown key 'rule'"),
    "field": ({"methods": [METHOD | {"network": {"kind": "mlp", "hiden": [3]}}]}, "did you mean 'hidden'?"),
    "kind": ({"methods": [METHOD | {"network": {"kind": "lenet"}}]}, "did you mean 'lenet5'?"),
    "small images": ({"methods": [{"id": "deterministic"}]}, "with images of 1 x 8 x 8 and 10 classes"),
    "no posterior": ({"methods": [{"label": "x"}]}, "expected an id (one of"),
    "regression": (
        {"methods": [METHOD | {"id": None, "posterior": {"kind": "linear"}}]},
        "method 'linear' with images of 1 x 8 x 8",
    ),
    "temperature": ({"methods": [METHOD | {"temperature": 0}]}, "temperature"),
    "kwargs": (
        {"datasets": [{"id": "digits", "kwargs": {"validation": 9}}]},
        "unknown key 'validation'; did you mean 'validation_rows'?",
    ),
    "rows": (
        {"datasets": [{"id": "digits", "kwargs": {"rows": 1300, "validation_rows": 200}}]},
        "expected at most 1,438 rows (1300) and validation_rows (200) together",
    ),
    "corruption": (
        {"datasets": [{"id": "digits", "kwargs": {"validation_rows": 9, "corruptions": ["nois"]}}]},
        "unknown corruption 'nois'; did you mean 'noise'?",
    ),
    "foreign": (
        {"datasets": [{"id": "digits", "kwargs": {"validation_rows": 9, "out_of_distribution": ["tile"]}}]},
        "did you mean 'tiles'?",
    ),
    "labels": ({"methods": [METHOD, METHOD]}, "methods: expected labels that differ, got 'deterministic' 2 times"),
    "no methods": ({"methods": []}, "methods: expected at least 1, got []"),
    "both": (
        {"environments": ["vbandits/Wheel-v0"]},
        "expected either [[environments]] and [[agents]] or [[datasets]] and [[methods]] or [[problems]] and "
        "[[learners]] or [[logs]] and [[policies]], got [[environments]] and [[datasets]] and [[methods]]",
    ),
}


def faults(document):
    with pytest.raises(ConfigError) as refused:
        resolve(document)
    return refused.value.errors


@pytest.mark.parametrize("name", CASES)
def test_a_fault_says_what_was_expected_and_what_came(name):
    change, message = CASES[name]
    found = faults(DOCUMENT | change)
    assert len(set(found)) <= 2  # no temperature is neither a number nor "fit"
    assert message in found[0]


def test_neither_kind_is_refused_with_the_nearest_section():
    found = faults({"name": "x", "datset": ["digits"]})
    assert "got none of them" in found[0]
    assert "did you mean 'datasets'?" in found[1]


def test_all_faults_are_told_at_once():
    found = faults(DOCUMENT | {"seeds": -1, "datasets": ["digts"], "methods": ["ensembel", METHOD | {"temprature": 1}]})
    for part in ("got -1", "digts", "ensembel", "temprature"):
        assert sum(part in fault for fault in found) == 1
    assert len(found) == 4


def test_data_that_are_not_there_are_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = ("--datasets", "mnist", "--methods", "deterministic", "--data-dir", tmp_path / "nowhere")
    assert command("run", *chosen) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not Path("results").exists()
    chosen = ("--environments", "vbandits/Mushroom-v0", "--agents", "linear-ts", "--data-dir", tmp_path / "nowhere")
    assert command("run", *chosen) == 2
    assert "nowhere" in capsys.readouterr().err
