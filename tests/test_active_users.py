"""A user's own active learning, unchanged: the native interface, and who is to blame when it is not kept."""

import functools
from typing import Any

import numpy as np
import outsider_active as outsider
import pytest
import torch

from tests.test_active_environments import play, same
from vbandits.envs.adapter import UserEnvironments
from vbandits.envs.check import check
from vbandits.envs.spaces import family
from vbandits.envs.spec import EnvironmentSpec

LABS = outsider.Labs()


def opened(source, lanes=2, **kwargs):
    return EnvironmentSpec("own", source, kwargs).open(lanes, families=("pool", "stream"))


def test_a_users_pool_has_the_interface_of_ours():
    environment = opened("outsider_active:Labs", 3)
    assert isinstance(environment, UserEnvironments)
    assert family(environment) == environment.family == "pool"
    assert (environment.num_rows, environment.classes, environment.batch) == (40, 2, 2)
    assert environment.features.shape == (40, 2)
    assert environment.test_targets.dtype == torch.int64
    seen, rewards = play(environment, (3, 1, 2))
    assert environment.budget == 6
    assert len(rewards) == 3
    assert rewards[0].dtype == torch.float64
    assert seen[0]["labels"].dtype == torch.int64
    assert seen[0]["action_mask"].dtype == torch.int8
    assert [step["budget_left"].tolist() for step in seen] == [[6] * 3, [4] * 3, [2] * 3, [0] * 3]
    known = seen[-1]["labels"] >= 0
    assert known.sum(1).tolist() == [8, 8, 8]
    assert (environment.targets.expand(3, -1)[known] == seen[-1]["labels"][known]).all()
    assert same(seen, play(opened(outsider.Labs, 1), (1,))[0], slice(1, 2))
    with pytest.raises(ValueError, match="after the end"):
        environment.step(torch.zeros(3, 2, dtype=torch.long))


def test_one_label_at_a_time_is_a_plain_number():
    environment = opened(outsider.Labs, batch=1, budget=2)
    seen, _ = play(environment, (0, 1))
    assert seen[1]["queried"].shape == (2, 1)


def test_a_users_stream_has_the_interface_of_ours():
    environment = opened(outsider.Doses)
    assert (environment.family, environment.query, environment.steps, environment.predict) == ("stream", 1, 8, False)
    seen, rewards = play(environment, (0, 1))
    assert len(rewards) == 8
    asked = torch.stack(rewards) == -1
    assert torch.equal(asked, ~torch.stack([step["label"] for step in seen[1:]]).isnan())
    for step in range(8):
        for lane in range(2):
            if asked[step, lane]:
                row = (environment.features == seen[step]["context"][lane]).all(1).nonzero().item()
                assert seen[step + 1]["label"][lane] == environment.targets[row]


def test_what_is_not_offered_is_none():
    assert opened(outsider.Labs, targets=False).targets is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("none known", r"in reset\(seed=0\): expected at least one label that is known from the start, got none"),
        ("no mask", r"in step 0 \(counted from 0, seed 0\): expected info\['action_mask'\]"),
        ("wrong mask", "in step 0 .*: expected info.* of 0 where the label is known, got 1 for row"),
        ("class", "in step 0 .*: expected labels in 0..1, or -1 where they are not known, got [56]"),
        ("silent", "in step 0 .*: expected the labels of the rows that were queried"),
        ("more", "in step 0 .*: expected no labels to change but those of rows"),
        ("free", "in step 0 .*: expected a budget_left of 4, 2 less than before, got 6"),
        ("others", r"in step 0 .*: expected queried to be the rows of the action, .* got \[0, 0\]"),
        ("nan", "in step 0 .*: expected a finite reward, got nan"),
        ("endless", "in step 2 .*: expected the episode to end, as 0 labels are left to be bought"),
    ],
)
def test_faults_are_told_at_their_step(fault, message):
    with pytest.raises(ValueError, match=message):
        play(opened(outsider.Labs, fault=fault), (0, 1))
    report = check(outsider.Labs, {"fault": fault})
    assert not report.works
    assert "seeds: in " in str(report)


def test_a_gift_on_a_stream_and_an_error_of_the_users_are_told():
    with pytest.raises(ValueError, match="expected no label, as no row was queried"):
        play(opened(outsider.Doses, fault="gift"), (0, 1))
    environment = opened(outsider.Labs)
    environment.reset(seed=0)
    with pytest.raises(
        RuntimeError, match=r"the environment raised ValueError in step 0 \(counted from 0, seed 0\): no"
    ):
        environment.step(torch.tensor([[1, 1], [2, 3]]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (outsider.Moving, "expected the same features in all sub-environments, got others in number 1"),
        (outsider.Forgetful, "expected the attributes features, test_features, test_targets .*, got no test_targets"),
        (outsider.Half, "expected observations with budget_left, labels, queried, got none of queried"),
        (outsider.Narrow, r"expected the action space Discrete\(40\), as features and queried say, got Discrete\(20\)"),
        (lambda: LABS, "expected a new environment for each seed"),
    ],
)
def test_what_cannot_be_played_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        opened(source)


def test_lanes_that_end_apart_are_refused():
    environment = opened(outsider.Uneven, 8)
    with pytest.raises(ValueError, match="expected all sub-environments to end at once, got an end in number"):
        play(environment, range(8))


@pytest.mark.parametrize("source", [outsider.Labs, functools.partial(outsider.Labs, batch=1), outsider.Doses])
def test_the_checker_accepts_what_is_right(source):
    report = check(source)
    assert report.works
    assert {line.status for line in report.lines} == {"passed"}, str(report)


def test_the_checker_advises():
    report = check(outsider.Labs, {"fault": "accepts", "targets": False})
    assert report.works
    told = {line.status: line.text for line in report.lines}
    assert "and a row twice in one action can be bought" in told["advice"]
    assert "targets: the environment does not offer" in told["missing"]


def test_the_checker_tells_what_cannot_be_repeated():
    class Chance(outsider.Labs):
        def step(self, action) -> Any:
            seen, _, *ends = super().step(action)
            return seen, np.random.default_rng().random(), *ends

    report = check(Chance)
    assert report.works
    assert "the same seed and actions gave other labels" in str(report)
