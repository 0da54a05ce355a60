"""Rows that arrive one at a time: their order, what a label costs, and what a wrong class does."""

import numpy as np
import pytest
import torch

from vbandits.envs import StreamActiveLearning, load_pool


def test_every_row_arrives_once_in_an_order_of_the_seeds():
    pool = load_pool("wine")
    environment = StreamActiveLearning(2, pool="wine", budget=3)
    assert environment.steps == environment.num_rows == len(pool.features)
    observation, _ = environment.reset(seed=[1, 2])
    arrived = [observation["context"]]
    for _ in range(environment.steps):
        observation, *_ = environment.step(torch.zeros(2, dtype=torch.long))
        arrived.append(observation["context"])
    assert torch.equal(arrived[-1], arrived[-2]), "after the last row nothing arrives"
    for lane in range(2):
        rows = torch.stack([context[lane] for context in arrived[:-1]])
        assert torch.equal(rows.sort(0).values, torch.from_numpy(pool.features).sort(0).values)
    assert not torch.equal(arrived[0][0], arrived[0][1])


def test_a_query_costs_and_tells_the_label_of_the_row_that_was_there():
    environment = StreamActiveLearning(2, pool="wine", budget=2, cost=0.3, steps=10)
    observation, info = environment.reset(seed=0)
    assert (observation["label"] == -1).all()
    assert info["action_mask"].tolist() == [[1, 1], [1, 1]]
    for asked in range(2):
        context = observation["context"][1]
        row = (environment.features == context).all(1).nonzero().item()
        observation, reward, ended, _, info = environment.step(torch.tensor([0, 1]))
        assert reward.tolist() == [0.0, -0.3]
        assert observation["label"].tolist() == [-1, environment.targets[row]]
        assert observation["budget_left"].tolist() == [2, 1 - asked]
    assert info["action_mask"].tolist() == [[1, 1], [1, 0]]
    with pytest.raises(ValueError, match=r"sub-environment 1: expected no query \(1\), as the budget of 2 is spent"):
        environment.step(torch.tensor([1, 1]))
    ended = torch.zeros(2)
    for _ in range(8):
        assert not ended.any()
        observation, _, ended, *_ = environment.step(torch.tensor([0, 0]))
        assert (observation["label"] == -1).all(), "only that of the last row is told"
    assert ended.all()
    with pytest.raises(ValueError, match="after the end"):
        environment.step(torch.tensor([0, 0]))


def test_a_wrong_class_costs_a_mistake_and_asking_costs_a_label():
    environment = StreamActiveLearning(4, pool="wine", predict=True, budget=None, cost=0.4, mistake=3.0, steps=30)
    assert environment.budget == 30
    assert environment.query == 3
    observation, _ = environment.reset(seed=0)
    for _ in range(30):
        rows = [(environment.features == context).all(1).nonzero().item() for context in observation["context"]]
        truth = environment.targets[rows]
        actions = torch.stack([truth[0], (truth[1] + 1) % 3, torch.tensor(3), (truth[3] + 2) % 3])
        observation, reward, *_ = environment.step(actions)
        assert reward.tolist() == [0.0, -3.0, -0.4, -3.0]
        assert observation["label"].tolist() == [-1, -1, truth[2], -1]


def test_noise_is_in_the_answers_and_not_in_what_is_right():
    environment = StreamActiveLearning(1, pool="wine", predict=True, budget=None, label_noise=1.0, steps=40)
    observation, _ = environment.reset(seed=0)
    for step in range(40):
        truth = environment.targets[(environment.features == observation["context"][0]).all(1)]
        observation, reward, *_ = environment.step(truth if step % 2 else torch.tensor([3]))
        assert reward.item() == (0.0 if step % 2 else -1.0)
        assert (observation["label"] == -1 if step % 2 else observation["label"] != truth).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"steps": 143}, "steps: expected from 1 to the 142 rows of the pool, got 143"),
        ({"steps": 0}, "steps: expected from 1"),
        ({"steps": 5, "budget": 6}, "budget: expected from 1 to the 5 steps, or none for no limit, got 6"),
        ({"budget": 0}, "budget: expected from 1"),
        ({"mistake": -1.0}, "mistake: expected a finite number"),
        ({"pool": "gap", "predict": True}, "predict: expected classes to predict, which gap has not"),
    ],
)
def test_streams_that_cannot_be_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        StreamActiveLearning(**{"pool": "wine", "budget": 3, **kwargs})


def test_actions_that_there_are_not_are_refused():
    environment = StreamActiveLearning(2, pool="wine", budget=3)
    environment.reset(seed=0)
    with pytest.raises(
        ValueError, match=r"sub-environment 0: expected an action in 0..1, got 2; sub-environment 1: .* got -1"
    ):
        environment.step(np.array([2, -1]))
