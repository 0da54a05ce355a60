"""What all posteriors that are trained by SGD have: weights held at their start, rows that lose their weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import rows, task
from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.replay import GROWTH
from vbandits.agents.rules import Thompson
from vbandits.envs.spaces import ObservationSpec
from vbandits.forgetting import Forgetting
from vbandits.networks import MLP
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.last_layer import HeldFeatures
from vbandits.registry import POSTERIORS, load
from vbandits.streams import Stream
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


def test_an_anchored_linear_network_is_the_mode_of_its_posterior():
    """Ridge regression around the initial weights, in units of the prior: by hand."""
    data, noise = replace(rows(count=30), noise=torch.tensor([0.3, 0.7], dtype=torch.float64)), (0.3, 0.7)
    held = Optimizer(learning_rate=0.05, momentum=0.5, clip=1e9, anchor=2.0)
    given = task(hidden=(), parametrization="sp", optimizer=held, schedule=Schedule(gradient_steps=4000, batch_size=1))
    state = Deterministic().init(given)
    start = state.parameters.values.clone().view(2, 4, 2)
    everything = torch.arange(30).expand(2, -1)
    object.__setattr__(data, "sample", lambda stream, size: data.rows(everything))  # all rows in each step
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
    index = data.sample(Stream((0, 1), "minibatches"), drawn).rows
    weights = np.zeros(40)
    kept = min(40, forgetting.rows)
    weights[40 - kept :] = forgetting.weights(torch.arange(kept).flip(0)).numpy()
    expected = weights / weights.sum()
    assert data.count == pytest.approx(weights.sum())
    for own in index:
        found = np.bincount(own.numpy(), minlength=40) / drawn
        assert (np.abs(found - expected) <= 5 * np.sqrt(expected / drawn)).all()


@pytest.mark.parametrize("forgetting", [Forgetting(half_life=7.0), Forgetting(window=12)], ids=str)
@pytest.mark.parametrize("name", ["linear", "neural_linear", "ibvi_limit", "laplace"])
def test_exact_regressions_weight_their_rows(name, forgetting):
    """The mean is that of weighted least squares with the prior, by hand: of a linear network, trained no step."""
    data = forgetful(rows(count=40), forgetting)
    posterior = load(POSTERIORS[name])()
    given = task(hidden=(), schedule=Schedule(gradient_steps=0))
    states = []
    for part in (
        data,
        replace(
            data,
            x=data.x[:, -forgetting.rows :],
            output=data.output[:, -forgetting.rows :],
            y=data.y[:, -forgetting.rows :],
        ),
    ):
        state = posterior.init(given)
        posterior.update(state, part)
        states.append(posterior.draw(state, 4)(data.x))
    torch.testing.assert_close(*states, rtol=0, atol=1e-8)
    plain = posterior.init(given)
    posterior.update(plain, replace(data, forgetting=None))
    assert (posterior.draw(plain, 4)(data.x) - states[0]).abs().max() > 1e-2


@pytest.mark.parametrize(
    "forgetting", [Forgetting(half_life=7.0), Forgetting(half_life=0.1), Forgetting(window=12)], ids=str
)
def test_weighted_rows_are_rows_divided_by_the_root_of_their_weight(forgetting):
    """Ridge regression with weights, by hand."""
    data = forgetful(rows(count=40), forgetting)
    posterior = load(POSTERIORS["linear"])(prior_precision=0.7)
    state = posterior.init(task())
    for count in (5, 23, 40):  # new scalings, old rows lose weight meanwhile
        part = replace(data, x=data.x[:, :count], output=data.output[:, :count], y=data.y[:, :count])
        posterior.update(state, replace(part, scaling=replace(data.scaling)))
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


def test_forgetting_is_one_of_two():
    for given in ({}, {"half_life": 3.0, "window": 4}):
        with pytest.raises(ValueError, match="expected either half_life or window"):
            Forgetting(**given)


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
