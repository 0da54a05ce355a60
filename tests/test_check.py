"""The checker: what works passes, what is wrong is named, what is missing is said to be missing."""

from typing import Any

import numpy as np
import outsider_envs
import pytest

from vbandits.envs.check import check
from vbandits.registry import BANDITS


def found(report, status):
    return " | ".join(line.text for line in report.lines if line.status == status)


@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("source", BANDITS)
def test_native_environments_pass_every_check(source):
    report = check(source)
    assert report.works
    assert {line.status for line in report.lines} == {"passed"}, str(report)
    assert "known at all 128 steps" in str(report)


def test_a_good_environment_of_a_user_passes_every_check():
    report = check("outsider_envs:acme/Ads-v0")
    assert report.works
    assert {line.status for line in report.lines} == {"passed"}, str(report)
    assert "128 episodes ended" in str(report)
    assert str(report).endswith("It works.")


def test_parameters_reach_the_environment():
    assert "at most 0.25" in found(check(outsider_envs.MixedTypesOf, {"regret": 0.25}), "passed")


def test_an_environment_without_regret_works_and_is_told_what_is_missing():
    report = check("CartPole-v1")
    assert report.works
    assert "no expected_reward/optimal_expected_reward: it will be reported by reward alone" in found(report, "missing")
    assert "regret" not in found(report, "passed")


def test_half_of_the_contract_is_told_apart_from_none_of_it():
    report = check(outsider_envs.Careless)
    assert report.works
    assert "offers expected_reward but no optimal_expected_reward" in found(report, "missing")


def test_gaps_in_regret_are_counted():
    assert "known at 64 of 128 steps" in found(check(outsider_envs.Forgetful), "missing")  # seed 0 of 0 and 1


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (outsider_envs.Careless, "the same seed and actions gave other contexts"),
        (outsider_envs.Shared, "beside another seed than alone"),
        (outsider_envs.Deaf, "seeds 0 and 1 gave the same contexts"),
    ],
)
def test_what_cannot_be_repeated_works_but_earns_advice(source, advice):
    report = check(source)
    assert report.works
    assert advice in found(report, "advice")
    assert "repeatable" not in found(report, "passed")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (outsider_envs.Throttle, "expected a Discrete action space, got Box"),
        (outsider_envs.Lone, "expected at least 2 actions"),
        (outsider_envs.Faulty, "raised KeyError in step 57"),
        ("outsider_envs:acme/Adz-v0", "did you mean 'acme/Ads-v0'"),
        ("vbandits/Whel-v0", "did you mean 'vbandits/Wheel-v0'"),
        (outsider_envs.Ads(), "give the class"),
    ],
)
def test_what_does_not_work_is_named(source, words):
    report = check(source)
    assert not report.works
    assert words in found(report, "failed")
    assert "mend what failed" in str(report)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "expected a finite reward, got nan"),
        ("shape", "expected an observation of shape (3,)"),
        ("negative", "expected a regret of at least 0, got -0.5"),
        ("word", "expected info['regret'] to be a number"),
    ],
)
def test_faults_that_show_after_a_while_are_found(fault, words):
    report = check(outsider_envs.Faulty, {"fault": fault})
    assert not report.works
    assert words in found(report, "failed")


def test_bad_parameters_are_named():
    report = check("vbandits/Wheel-v0", {"detla": 0.7})
    assert not report.works
    assert "did you mean 'delta'" in found(report, "failed")


def test_gymnasiums_own_objections_are_told_but_do_not_stop_runs():
    report = check(outsider_envs.Images)  # returns the same buffer twice: lanes copy it
    assert "gymnasium's own checker: The observations returned by" in found(report, "advice")
    assert "observations and rewards are as they should be" in found(report, "passed")
    assert report.works


def test_gymnasiums_warnings_are_advice():
    class Wordy(outsider_envs.FromOne):
        def step(self, action) -> Any:
            context, reward, terminated, truncated, info = super().step(action)
            return context.astype(np.float64), reward, terminated, truncated, info

    report = check(Wordy)
    assert "expecting numpy array dtype to be float32" in found(report, "advice")
    assert "\x1b" not in str(report)
    assert "WARN" not in str(report)


def test_every_action_is_tried():
    tried = set()

    class Listening(outsider_envs.Deaf):
        action_space = outsider_envs.spaces.Discrete(50, start=-3)

        def step(self, action):
            tried.add(int(action))
            return super().step(0)

    assert check(Listening).works
    assert tried == set(range(-3, 47))


def test_what_fails_to_close_works():
    class Stuck(outsider_envs.FromOne):
        def close(self):
            raise OSError("busy")

    with pytest.warns(UserWarning, match="raised OSError in close"):
        report = check(Stuck)
    assert report.works
    assert "close: OSError: busy" in found(report, "advice")
