"""What all posteriors that are trained by SGD have: weights held at their start, rows that lose their weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import head, preset, rows, task
from vbandits import training
from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.model import Model
from vbandits.agents.replay import GROWTH, Replay
from vbandits.agents.rules import Thompson
from vbandits.envs.spaces import ObservationSpec
from vbandits.forgetting import Forgetting
from vbandits.networks import MLP
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.last_layer import HeldFeatures
from vbandits.presets import PRESETS
from vbandits.registry import POSTERIORS, load
from vbandits.streams import Stream
from vbandits.training import minibatches
from vbandits.types import Data, Optimizer, Schedule

TRAINED = [name for name in POSTERIORS if hasattr(load(POSTERIORS[name])().init(task()), "parameters")] + [
    "neural_linear",
    "ibvi_limit",
]


def means(state):
    """The means of weights, one row per model."""
    trained = getattr(getattr(state, "held", None), "network", state).parameters
    kept = [block.flatten(1) for name, block in trained.detached.items() if name.rpartition("/")[0] in ("", "mean")]
    return torch.cat(kept, 1).clone()


def moved(name, optimizer, steps=40, count=20):
    """How far the means of weights move."""
    given = task(optimizer=optimizer, schedule=Schedule(gradient_steps=steps))
    posterior = load(POSTERIORS[name])()
    state = posterior.init(given)
    start = means(state)
    posterior.update(state, rows(count=count))
    return (means(state) - start).norm().item()


@pytest.mark.parametrize("name", TRAINED)
def test_an_anchor_holds_weights_at_their_start(name):
    free = moved(name, Optimizer(learning_rate=0.02))
    held = [moved(name, Optimizer(learning_rate=0.02, anchor=anchor)) for anchor in (1.0, 100.0)]
    assert free > held[0] > held[1] > 0
    assert moved(name, Optimizer(learning_rate=0.02, weight_decay=100.0)) < free / 2


def test_an_anchored_linear_network_is_the_mode_of_its_posterior(monkeypatch):
    """Ridge regression around the initial weights, in units of the prior: by hand."""
    data, noise = replace(rows(count=30), noise=torch.tensor([0.3, 0.7], dtype=torch.float64)), (0.3, 0.7)
    held = Optimizer(learning_rate=0.05, momentum=0.5, clip=1e9, anchor=2.0)
    given = task(hidden=(), parametrization="sp", optimizer=held, schedule=Schedule(gradient_steps=4000, batch_size=1))
    state = Deterministic().init(given)
    start = state.parameters.values.clone().view(2, 4, 2)
    everything = torch.arange(30).expand(2, -1)
    all_rows = [data.rows(everything)] * 4000  # in each step
    monkeypatch.setattr(training, "minibatches", lambda *_: all_rows)
    Deterministic().update(state, data)
    found = state.parameters.values.view(2, 4, 2)
    x = torch.cat([data.x, torch.ones(2, 30, 1)], 2)
    precision = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0], dtype=torch.float64))
    for replica in range(2):
        for output in range(2):
            own = data.output[replica] == output
            h, y = x[replica, own], data.y[replica, own]
            pull = 2.0 * noise[replica] * precision
            expected = torch.linalg.solve(h.T @ h + pull, h.T @ y + pull @ start[replica, :, output])
            torch.testing.assert_close(found[replica, :, output], expected, rtol=0, atol=1e-8)


def test_adam_cannot_be_anchored():
    with pytest.raises(ValueError, match="expected the kind 'sgd' where weights are held at their start, got 'adam'"):
        Optimizer(kind="adam", anchor=0.5)


def forgetful(data: Data, forgetting: Forgetting) -> Data:
    return replace(data, forgetting=forgetting)


@pytest.mark.parametrize("forgetting", [Forgetting(half_life=7.0), Forgetting(window=12)], ids=str)
def test_minibatches_are_drawn_in_proportion_to_the_rows_weights(forgetting):
    data, drawn = forgetful(rows(count=40), forgetting), 40_000
    index = next(minibatches(data, Stream((0, 1), "minibatches"), drawn, 1)).rows
    weights = np.zeros(40)
    kept = min(40, forgetting.rows)
    weights[40 - kept :] = forgetting.weights(torch.arange(kept).flip(0)).numpy()
    expected = weights / weights.sum()
    assert data.count == pytest.approx(weights.sum())
    for own in index:
        found = np.bincount(own.numpy(), minlength=40) / drawn
        assert (np.abs(found - expected) <= 5 * np.sqrt(expected / drawn)).all()


@pytest.mark.parametrize("forgetting", [Forgetting(half_life=7.0), Forgetting(window=12)], ids=str)
@pytest.mark.parametrize("name", ["neural_linear", "ibvi_limit", "laplace"])
def test_regressions_of_the_last_layer_weight_their_rows(name, forgetting):
    """By hand: the covariance of weights, and the mean where it is a regression's, from rows times sqrt(weight)."""
    data = forgetful(rows(count=40), forgetting)
    posterior = load(POSTERIORS[name])()
    given = task(hidden=(), parametrization="sp", schedule=Schedule(gradient_steps=0))
    state = posterior.init(given)
    posterior.update(state, data)
    kept = min(40, forgetting.rows)
    weight = torch.zeros(40, dtype=torch.float64)
    weight[40 - kept :] = forgetting.weights(torch.arange(kept).flip(0))
    h = torch.cat([data.x, torch.ones(2, 40, 1)], 2).double()
    at = torch.cat([torch.eye(3), torch.zeros(1, 3)]).double().expand(2, 4, 3)
    values = posterior.draw(state, 40_000)(at)
    spread = (values[:, :, :3] - values[:, :, 3:]).var(1)  # of the weights of inputs
    for replica in range(2):
        for output in range(2):
            own = (weight * (data.output[replica] == output)).unsqueeze(1)
            gram, cross = h[replica].T @ (own * h[replica]), (h[replica].T @ (own[:, 0] * data.y[replica]))
            if name == "neural_linear":
                inverse = torch.linalg.inv(gram + torch.eye(4))
                torch.testing.assert_close(state.location[replica, output], inverse @ cross, rtol=0, atol=1e-10)
                assert float(state.shape[replica, output]) == pytest.approx(1 + float(own.sum()) / 2)
                shape, rate = state.shape[replica, output], state.rate[replica, output]
                covariance = rate / (shape - 1) * inverse
            elif name == "ibvi_limit":
                std = state.scale[replica, output]
                covariance = torch.linalg.inv(gram / 0.1 + torch.diag(std**-2))
                location = covariance @ cross / 0.1
                torch.testing.assert_close(std * state.location[replica, output], location, rtol=0, atol=1e-10)
            else:
                precision = posterior.covariance(state)[1][replica]
                covariance = torch.linalg.inv(gram + precision * torch.eye(4))
            torch.testing.assert_close(spread[replica, :, output], covariance.diagonal()[:3], rtol=0.06, atol=0)


def test_the_limit_counts_rows_by_their_weight_where_it_estimates_the_noise():
    data = forgetful(rows(count=40), Forgetting(half_life=3.0))
    posterior = load(POSTERIORS["ibvi_limit"])()
    state = posterior.init(task(hidden=(), schedule=Schedule(gradient_steps=0)))
    posterior.update(state, data)
    assert 1.0 / 10 < float(state.estimated[0]) < 1.0  # of so few rows the prior is most
    everything = posterior.init(task(hidden=(), schedule=Schedule(gradient_steps=0)))
    posterior.update(everything, replace(data, forgetting=None))
    assert float(everything.estimated[0]) > float(state.estimated[0])


@pytest.mark.parametrize("name", ["neural_linear", "ibvi_limit"])
def test_where_outcomes_come_in_batches_the_features_are_those_of_all_trainings(name):
    data = rows(count=40)
    given = task(schedule=Schedule(gradient_steps=4))
    model = Model(load(POSTERIORS[name])(), given)
    model.update(data, times=3)
    held = model.state.held
    torch.testing.assert_close(held.features(data.x), Deterministic().embed(held.network, data.x))
    assert held.network.parameters.steps == 12


@pytest.mark.parametrize(
    "forgetting", [Forgetting(half_life=7.0), Forgetting(half_life=0.1), Forgetting(window=12)], ids=str
)
def test_weighted_rows_are_rows_divided_by_the_root_of_their_weight(forgetting):
    """Ridge regression with weights, by hand."""
    data = forgetful(rows(count=40), forgetting)
    posterior = load(POSTERIORS["linear"])(prior_precision=0.7)
    state = posterior.init(task())
    for count in (5, 23, 40):  # new scalings, old rows lose weight meanwhile
        posterior.update(state, replace(head(data, count), scaling=replace(data.scaling)))
    kept = min(40, forgetting.rows)
    weight = torch.zeros(40, dtype=torch.float64)
    weight[40 - kept :] = forgetting.weights(torch.arange(kept).flip(0))
    weight = forgetting.decay ** torch.arange(39, -1, -1).double() if forgetting.window is None else weight
    h = torch.cat([data.x, torch.ones(2, 40, 1)], 2)
    for replica in range(2):
        for output in range(2):
            own = weight * (data.output[replica] == output)
            gram = h[replica].T @ (own.unsqueeze(1) * h[replica]) + 0.7 * torch.eye(4).double()
            expected = torch.linalg.solve(gram, h[replica].T @ (own * data.y[replica]))
            torch.testing.assert_close(state.location[replica, output], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("-forgetting")])
def test_a_preset_that_forgets_is_its_base_but_for_that(name):
    forgetful, base = (preset(one) for one in (name, name.removesuffix("-forgetting")))
    assert forgetful.schedule.forgetting is not None
    assert replace(forgetful, label=base.label, schedule=base.schedule) == base
    assert replace(forgetful.schedule, forgetting=None) == base.schedule


def test_renewals_come_as_often_as_the_memory_asks():
    """A half-life and a window of the same memory are summed anew equally often."""
    renewals = []
    for forgetting in (Forgetting(half_life=70.0), Forgetting(window=101)):
        replay = Replay(task(features=1, schedule=Schedule(forgetting=forgetting)), 1000, True)
        seen = [replay.scaling()]
        for _ in range(1000):
            replay.decide(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
            replay.add(torch.zeros(2))
            if replay.scaling() is not seen[-1]:
                seen.append(replay.scaling())
        renewals.append(len(seen))
    assert abs(renewals[0] - renewals[1]) < 0.05 * renewals[1]


def test_forgetting_is_one_of_two():
    for given in ({}, {"half_life": 3.0, "window": 4}):
        with pytest.raises(ValueError, match="expected either half_life or window"):
            Forgetting(**given)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neural_linear", "ibvi_limit"])
def test_the_rows_looked_at_per_decision_do_not_grow_with_the_history(name, monkeypatch):
    """Rows whose features are made, in all, for as many decisions early on as late."""
    looked = []
    features = HeldFeatures.inputs
    monkeypatch.setattr(HeldFeatures, "inputs", lambda self, x: looked.append(x.shape[1]) or features(self, x))
    schedule = Schedule(every=10, gradient_steps=0, initial_pulls=1)
    spec = AgentSpec("test", load(POSTERIORS[name])(), Thompson(), MLP((4,)), schedule)
    agent, per_decision = Agent(spec, (0, 1), ObservationSpec(2, 3), 1600), {}
    for step in range(1600):
        agent.act(torch.full((2, 2), np.sin(step)))
        agent.observe(torch.full((2,), np.cos(step)))
        agent.learn()
        if step + 1 in (200, 400, 800, 1600):
            per_decision[step + 1] = sum(looked)
    late = (per_decision[1600] - per_decision[800]) / 800
    assert late < 1.5 * (per_decision[400] - per_decision[200]) / 200
    assert late < 1.3 / GROWTH
