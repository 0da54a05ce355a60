"""Jobs of active learning that are stopped go on from a checkpoint to the same records, bit for bit."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.learners import SMALL, arrays, job, spec
from tests.registries import cells, cover
from tests.test_checkpoints import Steps, Stopped
from tests.test_learners import PAIRS
from vbandits.envs.active.environment import PoolActiveLearning
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment.resolve import resolve
from vbandits.registry import ACQUISITIONS, POSTERIORS, load

QUICK = [PAIRS[place] for place in cover(PAIRS)]
CASES = [
    (kind, name, classes)
    for kind, name, classes in PAIRS
    if (kind, name, classes) in QUICK or kind in ("ibvi", "linear") or name in ("bald", "variance")
]
"""A checkpoint holds what a posterior and what an acquisition have, each of its own: each is together with a few
others."""
WARM = replace(SMALL, start="warm", every=2)


def assert_goes_on(one, path, at, reached=None):
    """Stops a job when it tells a step, runs it again from where it was, and compares with one that never stopped."""
    one, reached = replace(one, checkpoint=0.0), at if reached is None else reached
    with pytest.raises(Stopped):
        one.run(Steps(at), path)
    told, whole = Steps(), Steps()
    outcome, expected = one.run(told, path), one.run(whole)
    assert outcome.notes == (f"went on from a checkpoint after {reached} steps",)
    assert told.steps == [step for step in whole.steps if step > reached - (reached == at)]
    pd.testing.assert_frame_equal(outcome.records, expected.records, check_exact=True)
    assert outcome.diverged == expected.diverged
    assert min(outcome.seconds.values()) > 0
    path.unlink()


@cells(("kind", "name", "classes"), CASES, quick=QUICK)
def test_a_job_that_was_stopped_goes_on_to_the_same_records(kind, name, classes, tmp_path):
    learner = spec(load(ACQUISITIONS[name])(), load(POSTERIORS[kind])())
    assert_goes_on(job(learner, classes=classes), tmp_path / "checkpoint.safetensors", 3)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_wherever_it_was_stopped(at, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    assert_goes_on(job(spec(training=WARM, candidates=20)), path, at)
    assert_goes_on(job(spec(), seeds=(5,)), path, at)


def test_batches_that_are_bought_at_once(tmp_path):
    learner = spec(load(ACQUISITIONS["badge"])())
    assert_goes_on(job(learner, budget=6, batch=2), tmp_path / "checkpoint.safetensors", 2)


def test_a_pool_of_a_users_own(tmp_path):
    assert_goes_on(owned("outsider_active:Labs"), tmp_path / "checkpoint.safetensors", 2)


def test_streams_go_on_between_seeds(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    one = job(spec(load(ACQUISITIONS["entropy"])()), seeds=(0, 1, 2), steps=12)
    assert_goes_on(one, path, 30, 24)
    assert_goes_on(owned("outsider_active:Doses"), path, 12, 8)


def owned(source):
    """Returns a job with an environment of a user's own."""
    document = {"name": "x", "problems": [EnvironmentSpec("own", source)], "learners": [spec()], "seeds": [3, 4]}
    return next(resolve(document).jobs())


class Fickle(PoolActiveLearning):
    """Tells other labels in every life."""

    lives = 0

    def reset(self, **how):
        """Begins another one."""
        Fickle.lives += 1
        return super().reset(**how)

    def step(self, actions):
        """Tells labels that are one further in every life."""
        observation, reward, terminated, truncated, info = super().step(actions)
        labels = observation["labels"]
        observation["labels"] = labels.where(labels < 0, (labels + Fickle.lives) % 3)
        return observation, reward, terminated, truncated, info


def test_an_environment_that_does_not_come_back_is_told(tmp_path):
    document = {"name": "x", "problems": [EnvironmentSpec("own", Fickle, {"pool": arrays(), "budget": 4})]}
    one = next(resolve(document | {"learners": [spec()], "seeds": [3, 4], "checkpoint": 0}).jobs())
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        one.run(Steps(3), path)
    told = Steps()
    (note,) = one.run(told, path).notes
    assert "began anew" in note
    assert "expected the environment to tell the same labels of the same rows, got others after 3 purchases" in note
    assert told.steps == [1, 2, 3, 4]
