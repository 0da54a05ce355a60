"""Bad input is refused before any work: all faults at once, what was expected, the nearest valid name, exit code 2."""

from pathlib import Path

import pytest

from tests.test_running import file, vbandits
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve

__all__ = ["file"]

DOCUMENT = {"name": "test", "seeds": 2, "steps": 10, "environments": [{"id": "vbandits/Wheel-v0"}], "agents": ["ibvi"]}
CASES = {
    "agent": ({"agents": ["ibiv"]}, "unknown agent 'ibiv'; did you mean 'ibvi'?"),
    "environment": ({"environments": ["vbandits/Weel-v0"]}, "did you mean 'vbandits/Wheel-v0'?"),
    "key": ({"sedes": 3}, "unknown key 'sedes'; did you mean 'seeds'?"),
    "agent key": ({"agents": [{"id": "ibvi", "netwrk": {}}]}, "unknown key 'netwrk'; did you mean 'network'?"),
    "field": ({"agents": [{"id": "ibvi", "posterior": {"rnk": 3}}]}, "unknown field 'rnk'; did you mean 'rank'?"),
    "kind": ({"agents": [{"id": "ibvi", "rule": {"kind": "thomson"}}]}, "did you mean 'thompson'?"),
    "value": ({"agents": [{"id": "ibvi", "posterior": {"rank": 0}}]}, "greater than or equal to 1, got 0"),
    "choice": ({"agents": [{"id": "ibvi", "network": {"activation": "relo"}}]}, "'relu', 'tanh' or 'gelu', got 'relo'"),
    "width": ({"agents": [{"id": "ibvi", "network": {"hidden": [50, 0]}}]}, "widths of at least 1, got [50, 0]"),
    "dataset": (
        {"environments": [{"id": "vbandits/Classification-v0", "kwargs": {"dataset": "digts"}}]},
        "unknown dataset 'digts'; did you mean 'digits'?",
    ),
    "delta": (
        {"environments": [{"id": "vbandits/Wheel-v0", "kwargs": {"delta": 1.7}}]},
        "delta: expected a radius between 0 and 1, got 1.7",
    ),
    "parameter": (
        {"environments": [{"id": "vbandits/Wheel-v0", "kwargs": {"detla": 0.5}}]},
        "'detla'; did you mean 'delta'?",
    ),
    "negative seeds": ({"seeds": -1}, "seeds: expected a count of at least 1"),
    "seed twice": ({"seeds": [1, 1]}, "each seed once, got [1, 1]"),
    "steps": ({"steps": 0}, "steps: expected greater than or equal to 1, got 0"),
    "batch size": (
        {"agents": [{"id": "ibvi", "schedule": {"batch_size": 0}}]},
        "schedule.batch_size: expected greater than or equal to 1, got 0",
    ),
    "continuous actions": (
        {"environments": ["MountainCarContinuous-v0"]},
        "expected a Discrete action space, got Box",
    ),
    "labels": ({"agents": ["ibvi", "ibvi"]}, "expected labels that differ, got 'ibvi' 2 times"),
    "yardstick": ({"agents": [{"id": "ibvi", "label": "uniform"}]}, "the label 'uniform' on the uniform agent alone"),
    "no environments": ({"environments": []}, "environments: expected at least 1, got []"),
    "agent without rule": ({"agents": [{"posterior": {"kind": "ibvi"}}]}, "expected an id"),
    "module": ({"agents": ["no_such_module:make"]}, "no module 'no_such_module'"),
}


def faults(change):
    with pytest.raises(ConfigError) as refused:
        resolve(DOCUMENT | change)
    return refused.value.errors


@pytest.mark.parametrize("name", CASES)
def test_a_fault_says_what_was_expected_and_what_came(name):
    change, message = CASES[name]
    found = faults(change)
    assert len(found) == 1
    assert message in found[0]


def test_all_faults_are_told_at_once():
    found = faults(
        {
            "sedes": 3,
            "seeds": -1,
            "agents": ["ibiv", {"id": "ibvi", "posterior": {"rnk": 3}}],
            "environments": [{"id": "vbandits/Wheel-v0", "kwargs": {"delta": 1.7}}, "vbandits/Weel-v0"],
        }
    )
    for part in ("sedes", "got -1", "ibiv", "rnk", "1.7", "Weel"):
        assert sum(part in fault for fault in found) == 1
    assert len(found) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "missing.toml"), "unknown experiment file 'missing.toml'; did you mean 'small.toml'?"),
        (("run", "small.toml", "--seeds", "-3"), "seeds: expected a count of at least 1"),
        (("run", "small.toml", "--set", "schedule.batchsize=3"), "did you mean 'schedule.batch_size'?"),
        (("run", "small.toml", "--set", "posterior.rank"), "expected section.field=value"),
        (("run", "small.toml", "--set", f"posterior.rank={'[' * 50}{']' * 50}"), "posterior.rank"),
        (("run", "small.toml", "--set", f"schedule.every={'9' * 5000}"), "schedule.every: expected"),
        *(
            (("run", "small.toml", "--set", f"posterior.rank={'[' * levels}{']' * levels}"), "at most 50 levels deep")
            for levels in (51, 300, 5000)
        ),
        (("run", "small.toml", "--agents", "ibiv"), "did you mean 'ibvi'?"),
        (("run", "small.toml", "--device", "cuda"), "expected a CUDA device"),
        (("run", "small.toml", "--workers", "0"), "--workers: expected at least 1"),
        (("run", "broken.toml"), "expected TOML"),
        (("run", "small.toml", "--out", "small.toml"), "expected a folder to write results to"),
        (
            ("run", "small.toml", "--set", "standardize=maybe"),
            "standardize: expected True, False or 'arms', got 'maybe'",
        ),
        (("run",), "expected an experiment file, or --environments"),
        (("run", "small.toml", "--seedz", "3"), "unknown option '--seedz'; did you mean '--seeds'?"),
        (("run", "--environment", "CartPole-v1"), "unknown option '--environment'; did you mean '--environments'?"),
        (("run", "small.toml", "--learners", "ibvi"), "--learners: expected a section of this experiment, which has"),
        (("run", "--problems", "digits"), "--problems: expected an experiment file"),
        (("list", "nothing"), "unknown list 'nothing'"),
    ],
)
def test_the_command_line_refuses_with_exit_code_2_and_leaves_nothing(file, capsys, arguments, message):
    Path("broken.toml").write_text("name = ")
    assert vbandits(*arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not Path("results").exists()


@pytest.mark.parametrize("arguments", [("run", "small.toml", "--sedes", "3"), ("rnu",), ("list", "nothing")])
def test_a_misspelt_command_or_option_is_refused_too(file, capsys, arguments):
    assert vbandits(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_check_that_fails_ends_with_1(file, capsys):
    assert vbandits("check", "MountainCarContinuous-v0") == 1
    assert "expected a Discrete action space" in capsys.readouterr().out
    assert vbandits("check", "vbandits/Wheel-v0", "--kwargs.delta", "0.9") == 0
