"""What a policy must not return or be made of is refused before a run, with the line of the user's code."""

import threading
from typing import Any

import numpy as np
import pytest

import vbandits
from tests.test_policies import ARMS, LINEAR, Step, Sure, Walk
from vbandits import ConfigError
from vbandits.experiment.resolve import resolve


def faults(agent, **more):
    document = {"name": "test", "seeds": 2, "steps": 10, "environments": [LINEAR], "agents": [agent]}
    with pytest.raises(ConfigError) as refused:
        resolve(document | more)
    return refused.value.errors


REFUSED = {
    "too large": (lambda o: 5, "expected an arm from 0 to 4, got int 5: arms are counted from 0"),
    "negative": (lambda o: -1, "expected an arm from 0 to 4, got int -1"),
    "float": (lambda o: 2.0, "expected an arm from 0 to 4, got float 2.0: return an int"),
    "NaN": (lambda o: float("nan"), "got float nan: return an int"),
    "array": (lambda o: np.array([1]), r"got ndarray shape (1,): return an int"),
    "bool": (lambda o: True, "expected an arm from 0 to 4, got bool True"),
    "nothing": (lambda o: None, "got NoneType None: return an int"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_arm_is_refused_with_its_place(name):
    choose, message = REFUSED[name]

    class Wrong(Step):
        def act(self, observation) -> Any:
            return choose(observation)

    (fault,) = faults(Wrong)
    assert message in fault
    line = Wrong.act.__code__.co_firstlineno
    assert f"in act at step 0 (counted from 0, seed 0) (test_policy_refusals.py:{line})" in fault


BATCHES = {
    "too few": (lambda rows: [0] * (rows - 1), "got list [0]"),
    "floats": (lambda rows: np.zeros(rows), "got ndarray shape (2,) of float64"),
    "ragged": (lambda rows: [[0], [0, 1]], "got list [[0], [0, 1]]"),
    "too large": (lambda rows: np.full(rows, 9), "expected an arm from 0 to 4, got 9"),
    "one": (lambda rows: 0, "got int 0"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_what_are_no_arms_are_refused(name):
    choose, message = BATCHES[name]

    class Wrong(Walk):
        def act(self, observation) -> Any:
            return choose(len(observation.mask))

    (fault,) = faults(Wrong)
    assert message in fault
    assert "test_policy_refusals.py" in fault


def test_an_arm_that_is_not_available_is_refused():
    class First(Step):
        def act(self, observation):
            return 0

    (fault,) = faults(First, environments=[{"id": ARMS, "kwargs": {"arms": 5, "available": 0.1}}])
    assert "expected an arm that is available (of them [" in fault
    assert "got 0: choose where observation.mask is true" in fault


PREDICTED = {
    "no pair": (lambda arms: 1.0, "expected a pair of means and standard deviations of shape (1,)"),
    "shape": (lambda arms: (0.0, 1.0), "one for each of the arms asked for, got float 0.0"),
    "NaN": (lambda arms: (arms * np.nan, arms + 1.0), "expected finite means, got nan: return None where nothing"),
    "sure": (lambda arms: (arms * 1.0, arms * 0.0), "expected finite standard deviations above 0, got 0.0"),
}


@pytest.mark.parametrize("name", PREDICTED)
def test_what_is_no_prediction_is_refused(name):
    given, message = PREDICTED[name]

    class Wrong(Step):
        def predict(self, observation, arms):
            return given(arms)

    (fault,) = faults(Wrong)
    assert message in fault
    assert "in predict at step 0" in fault


@pytest.mark.parametrize("method", ["act", "observe", "predict"])
def test_what_the_users_code_raises_is_told_with_its_line(method):
    def broken(self, *_):
        return {}["nothing"]

    (fault,) = faults(type("Broken", (Step,), {method: broken}))
    line = broken.__code__.co_firstlineno + 1
    assert f"the policy Broken raised KeyError in {method} at step 0" in fault
    assert f"(test_policy_refusals.py:{line}, in " in fault


def test_a_failure_in_the_run_names_its_line_and_the_rest_goes_on():
    class Late(Step):
        def observe(self, action, reward, step=0):
            if step == 7:
                raise ArithmeticError("seven")

    results = vbandits.run(environments=[LINEAR], agents=[Late, "linear-ts"], seeds=2, steps=12, workers=1)
    (reason,) = [job["reason"] for job in results.jobs if job["status"] == "failed"]
    assert "the policy Late raised ArithmeticError in observe at step 7 (counted from 0, seed 0)" in reason
    assert f"(test_policy_refusals.py:{Late.observe.__code__.co_firstlineno + 2}, in " in reason
    assert [job["agent"] for job in results.jobs if job["status"] == "done"] == ["linear-ts", "uniform"]


class Held(Step):
    """Holds a generator that copies of it would share."""

    def __init__(self, chance=0.1, *, number=None):
        self.random, self.arms, self.chance = np.random.default_rng(0), 5, chance


class Locked(Step):
    def __init__(self):
        self.lock = threading.Lock()


class Needy(Step):
    def __init__(self, seed, arms, service):
        super().__init__(seed, arms)


class Fails(Step):
    def __init__(self):
        raise KeyError("no key")


ONLY = Sure()
MADE = {
    "kwargs": ({"policy": Sure, "kwargs": {"deviaton": 1.0}}, "'deviaton'; did you mean 'deviation'?"),
    "seed": ({"policy": Step, "kwargs": {"seed": 1}}, "expected no seed in kwargs, got 1"),
    "needed": (
        Needy,
        "expected a value for the parameter 'service' of test_policy_refusals:Needy, got none: set it in",
    ),
    "generator": (Held(), "whose random all of them would share: give the class Held, or a function"),
    "copies": (Locked(), "expected a policy that each seed can have a copy of, got TypeError: cannot pickle"),
    "raises": (Fails, "expected to make test_policy_refusals:Fails, got KeyError: 'no key' (test_policy_refusals.py:"),
    "no policy": (
        {"policy": "tests.test_policy_refusals:REFUSED"},
        "expected a policy, a class with the methods",
    ),
    "no class": ({"policy": threading.Event}, "got Event without act and observe"),
    "function": (lambda: object(), "to make a policy, with the methods act and observe, got a object without act"),
    "the same": (lambda: ONLY, "expected a new policy for each seed, got the same object twice"),
    "no module": ({"policy": "nowhere:Mine"}, "no module 'nowhere'"),
    "name": (
        {"policy": "tests.test_policy_refusals:Stp"},
        "'Stp'; did you mean 'Step'?",
    ),
    "sections": ({"policy": Step, "rule": {"kind": "greedy"}}, "beside a policy, got rule too"),
    "no policy, kwargs": ({"id": "ibvi", "kwargs": {"rank": 3}}, "agents[0].kwargs: expected them beside a policy"),
    "baseline": ({"policy": Step, "label": "uniform"}, "expected the label 'uniform' on the uniform agent alone"),
}


@pytest.mark.parametrize("name", MADE)
def test_what_cannot_be_made_is_refused(name):
    agent, message = MADE[name]
    (fault,) = faults(agent)
    assert message in fault
