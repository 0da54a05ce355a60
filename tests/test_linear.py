from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers import head, play, preset, rows, task
from vbandits.agents.rules import Thompson
from vbandits.posteriors import linear
from vbandits.posteriors.linear import Linear
from vbandits.types import Data, Scaling


def closed_form(x, y, precision, shape, rate):
    """Conjugate regression in its textbook form, by inverses: location, covariance / noise, shape, rate."""
    inverse = np.linalg.inv(precision * np.eye(x.shape[1]) + x.T @ x)
    location = inverse @ x.T @ y
    noise = np.eye(len(y)) + x @ x.T / precision  # the marginal covariance of y, in units of the noise
    return location, inverse, shape + len(y) / 2, rate + y @ np.linalg.solve(noise, y) / 2


def posterior(data, **fields):
    method = Linear(prior_precision=0.7, noise_shape=2.0, noise_rate=1.5, **fields)
    state = method.init(task())
    method.update(state, data)
    return method, state


@pytest.mark.parametrize("intercept", [True, False])
def test_posterior_is_the_closed_form(intercept):
    data = rows()
    _, state = posterior(data, intercept=intercept)
    for replica in range(2):
        for output in range(2):
            taken = data.output[replica] == output
            x, y = data.x[replica][taken].numpy(), data.y[replica][taken].numpy()
            x = np.column_stack([x, np.ones(len(x))]) if intercept else x
            location, inverse, shape, rate = closed_form(x, y, 0.7, 2.0, 1.5)
            root = state.root[replica, output].numpy()
            np.testing.assert_allclose(state.location[replica, output], location, rtol=1e-9)
            np.testing.assert_allclose(root @ root.T, inverse, rtol=1e-9)
            np.testing.assert_allclose(
                [state.shape[replica, output], state.rate[replica, output]], [shape, rate], rtol=1e-9
            )


def test_rows_learned_one_by_one_are_rows_learned_at_once():
    data = rows()
    method, at_once = posterior(data)
    state = method.init(task())
    for count in (1, 2, 9, 20):
        method.update(state, Data.of(data.x[:, :count], data.output[:, :count], data.y[:, :count]))
    assert torch.equal(state.location, at_once.location)
    assert torch.equal(state.rate, at_once.rate)


def test_a_new_scaling_is_as_if_the_rows_had_been_standardised_before():
    raw = rows()
    scaling = Scaling(
        raw.x.mean(1, keepdim=True), raw.x.std(1, keepdim=True), raw.y.mean(1, keepdim=True), raw.y.std(1, keepdim=True)
    )
    _, through = posterior(Data(raw.x, raw.output, raw.y, scaling, raw.noise))
    _, before = posterior(Data.of(scaling.x(raw.x), raw.output, scaling.y(raw.y)))
    torch.testing.assert_close(through.location, before.location, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(through.rate, before.rate, rtol=1e-9, atol=1e-12)


def test_draws_have_the_moments_of_the_posterior():
    method, state = posterior(rows(count=40))
    draws = 40_000
    values = method.draw(state, draws)(torch.eye(3, dtype=torch.float64).expand(2, 3, 3)) - method.draw(state, draws)(
        torch.zeros(2, 1, 3, dtype=torch.float64)
    )
    assert values.shape == (2, draws, 3, 2)
    at_once = method.draw(state, draws)(torch.cat([torch.eye(3), torch.zeros(1, 3)]).double().expand(2, 4, 3))
    weights = at_once[:, :, :3] - at_once[:, :, 3:]  # one draw is one function: its differences are its weights
    inverse = state.root @ state.root.mT
    variance = (state.rate / (state.shape - 1))[..., None, None] * inverse
    expected = state.location[..., :3].mT
    spread = variance.diagonal(dim1=2, dim2=3)[..., :3].mT
    assert ((weights.mean(1) - expected).abs() < 5 * (spread / draws).sqrt()).all()
    torch.testing.assert_close(weights.var(1), spread, rtol=0.06, atol=0)


def test_prediction_is_the_law_of_draws_plus_noise():
    data = rows(count=6)
    method, state = posterior(data)
    x, output = data.x[:, :1] * 2, torch.tensor([[0], [1]])
    predictive = method.predict(state, x, output, data.noise)
    random = np.random.default_rng(0)
    for replica, arm in ((0, 0), (1, 1)):
        shape, rate = state.shape[replica, arm].item(), state.rate[replica, arm].item()
        noise = stats.invgamma(shape, scale=rate).rvs(200_000, random_state=random)
        root = state.root[replica, arm].numpy()
        inputs = np.append(x[replica, 0].numpy(), 1)
        mean = inputs @ state.location[replica, arm].numpy()
        spread = (inputs @ root) @ (inputs @ root)
        samples = mean + random.standard_normal(200_000) * np.sqrt(noise * (1 + spread))
        for quantile in (0.05, 0.5, 0.9):
            target = np.full((2, 1), np.quantile(samples, quantile))
            assert predictive.cdf(target)[replica, 0] == pytest.approx(quantile, abs=0.005)


def test_thompson_sampling_plays_arms_as_often_as_they_are_optimal():
    """On a Gaussian bandit of 5 arms after 30 pulls, against the exact posterior sampled independently."""
    seen = rows(count=30, features=1, outputs=5)
    data = Data.of(torch.ones_like(seen.x), seen.output, seen.y)
    method = Linear(intercept=False)
    state = method.init(task(features=1, outputs=5))
    method.update(state, data)
    chosen = Thompson().choose  # of replicas: the draws of a replica are looked at one by one
    values = method.draw(state, 20_000)(torch.ones(2, 1, 1, dtype=torch.float64))[:, :, 0]  # [R, S, A]
    random = np.random.default_rng(0)
    for replica in range(2):
        arms = chosen(values[replica].unsqueeze(1), torch.zeros(20_000, 2, dtype=torch.float64))
        played = np.bincount(arms.numpy(), minlength=5) / 20_000
        draws = []
        for arm in range(5):
            y = seen.y[replica][seen.output[replica] == arm].numpy()
            location, inverse, shape, rate = closed_form(np.ones((len(y), 1)), y, 1.0, 1.0, 1.0)
            scale = np.sqrt(rate / shape * inverse[0, 0])
            draws.append(location[0] + scale * stats.t(2 * shape).rvs(400_000, random_state=random))
        optimal = np.bincount(np.argmax(draws, 0), minlength=5) / 400_000
        assert np.abs(played - optimal).max() < 4.5 * 0.5 / 20_000**0.5
        assert np.sort(optimal)[-2] > 0.02  # more than one arm may still be the best


@pytest.mark.slow
def test_thompson_sampling_beats_greedy_on_the_gaussian_bandit():
    final = {}
    for rule in ("thompson", "greedy"):
        schedule = {"every": 1, "initial_pulls": 0}  # to pull every arm first would spare greedy its mistake
        spec = preset("linear-ts", rule={"kind": rule}, schedule=schedule, standardize=False)
        records = play(spec, range(96), 1000, "vbandits/GaussianBandit-v0")
        final[rule] = records[records["step"] == 999]["cumulative_regret"]
    gap = final["greedy"].mean() - final["thompson"].mean()
    assert gap > 3 * np.hypot(final["greedy"].sem(), final["thompson"].sem())
    assert final["thompson"].mean() < 55


@pytest.mark.parametrize("cells", [1, 2, 5])
def test_replicas_and_outputs_that_are_not_solved_together_have_the_same_bits(cells, monkeypatch):
    """Where moments are large, not all are solved at once."""
    data, task_of_three = rows(replicas=3), task(seeds=(0, 1, 2))
    found = []
    for at_once in (linear.AT_ONCE["cpu"], None):
        state = Linear().init(task_of_three)
        size = at_once or cells * state.moments[0, 0].numel()
        monkeypatch.setitem(linear.AT_ONCE, "cpu", size)
        assert (len([*linear._blocks(state.moments)]) > 1) == (at_once is None)
        Linear().update(state, data)
        found.append(state)
    for name in ("location", "root", "shape", "rate"):
        assert torch.equal(*(getattr(state, name) for state in found))
    assert found[0].location.unique().numel() == found[0].location.numel()


def test_moments_of_many_inputs_are_those_of_few(monkeypatch):
    data, found = rows(replicas=3), []
    for large in (linear.LARGE, 1):
        monkeypatch.setattr(linear, "LARGE", large)
        state = Linear().init(task(seeds=(0, 1, 2)))
        Linear().update(state, data)
        found.append(state.moments)
    torch.testing.assert_close(*found, rtol=1e-13, atol=1e-13)


def test_rows_that_are_added_are_rows_learned_at_once():
    """With one scaling, by updates and between them; a new one then finds every row in the moments."""
    raw = rows()
    shift, std = raw.x.mean(1, keepdim=True), raw.x.std(1, keepdim=True)
    scaling = Scaling(shift, std, raw.y.mean(1, keepdim=True), raw.y.std(1, keepdim=True))
    data = Data(raw.x, raw.output, raw.y, scaling, raw.noise)

    method = Linear()
    added, whole = method.init(task()), method.init(task())
    method.update(whole, data)
    method.update(added, head(data, 6))
    method.condition_on(added, head(data, 9))
    method.update(added, head(data, 14))
    method.condition_on(added, data)
    assert added.seen == 20
    for name in ("location", "shape", "rate", "moments"):
        torch.testing.assert_close(getattr(added, name), getattr(whole, name), rtol=0, atol=1e-10)
    method.update(added, replace(data, scaling=replace(scaling)))
    torch.testing.assert_close(added.root, whole.root, rtol=0, atol=1e-10)
