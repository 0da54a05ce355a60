"""IBVILimit is the exact Bayesian posterior of the last layer, given the features and the noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import head, rows, task
from vbandits.posteriors.ibvi import IBVI, _pull
from vbandits.posteriors.ibvi_limit import IBVILimit
from vbandits.types import Optimizer, Schedule

NOISE = 0.3
WEIGHTS = {"units": "weights", "noise": "shared"}
"""The plain form: the prior of the network's parametrisation around its initial weights, and the noise given."""


def noisy(count=20, outputs=2):
    data = rows(count=count, outputs=outputs)
    return replace(data, noise=torch.full((2,), NOISE, dtype=torch.float64))


def bayes(x, y, mean, std, noise=NOISE):
    """Mean and covariance of conjugate linear regression with the prior N(mean, diag(std^2))."""
    precision = x.T @ x / noise + torch.diag(std**-2)
    return torch.linalg.solve(precision, x.T @ y / noise + mean / std**2), torch.linalg.inv(precision)


def weights(state, replica, output):
    """Mean and covariance of an output's weights, as the state has them."""
    scale, root = state.scale[replica, output], state.root[replica, output]
    covariance = state.noise[replica] * scale[:, None] * (root @ root.T) * scale
    return state.start[replica, output] + scale * state.location[replica, output], covariance


def trained(method, given, data):
    state = method.init(given)
    method.update(state, data)
    return state


@pytest.mark.parametrize("fields", [{**WEIGHTS, "prior_scale": 1.5}, {"noise": "shared"}, {}])
def test_on_a_linear_network_it_is_the_exact_posterior(fields):
    data, linear = noisy(), task(hidden=(), parametrization="sp", schedule=Schedule(gradient_steps=3))
    method = IBVILimit(**fields)
    start = method.init(linear).start
    state = trained(method, linear, data)
    x = torch.cat([data.x, torch.ones(2, 20, 1)], 2)
    noise = NOISE if "noise" in fields else 0.1  # its own before any data
    std = {
        "weights": lambda own: 1.5 * torch.tensor([3**-0.5] * 3 + [1.0], dtype=torch.float64),
        "function": lambda own: torch.tensor([2 / own.square().sum(1).mean().sqrt()] * 3 + [2.0], dtype=torch.float64),
    }[fields.get("units", "function")]
    draws = method.draw(state, 20_000)(torch.eye(3, dtype=torch.float64).repeat(2, 1, 1))
    assert ("units" in fields) == bool(start.any())
    for replica in range(2):
        for output in range(2):
            own = data.output[replica] == output
            prior = start[replica, output], std(data.x[replica])
            mean, covariance = bayes(x[replica, own], data.y[replica, own], *prior, noise)
            found = weights(state, replica, output)
            torch.testing.assert_close(found[0], mean, rtol=0, atol=1e-10)
            torch.testing.assert_close(found[1], covariance, rtol=0, atol=1e-10)
            at = torch.cat([torch.eye(3), torch.ones(3, 1)], 1).double()
            variance = draws[replica, :, :, output].var(0)
            torch.testing.assert_close(variance, (at @ covariance @ at.T).diagonal(), rtol=0.05, atol=0)


@pytest.mark.parametrize("fields", [WEIGHTS, {}])
def test_a_thousand_rows_one_at_a_time_are_a_fit_to_all_of_them(fields):
    data, deep = noisy(1010), task(hidden=(8,), schedule=Schedule(gradient_steps=4))
    method = IBVILimit(**fields)
    state = trained(method, deep, head(data, 10))
    for count in (11, 400, 1010):
        method.condition_on(state, head(data, count))
    inputs = state.held.inputs(data.x)
    for replica in range(2):
        noise = float(state.noise[replica])
        for output in range(2):
            own = data.output[replica] == output
            prior = state.start[replica, output], state.scale[replica, output]
            expected = bayes(inputs[replica, own], data.y[replica, own], *prior, noise)
            for found, wanted in zip(weights(state, replica, output), expected, strict=True):
                torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)


def test_the_noise_is_that_of_residuals_and_free_rows():
    """By hand, from the posterior's mean and covariance."""
    data, deep = noisy(60), task(hidden=(8,), schedule=Schedule(gradient_steps=4))
    method = IBVILimit(noise_shape=3.0, noise_rate=2.0)
    state = trained(method, deep, data)
    assert torch.equal(state.noise, torch.full((2,), 2 / 3, dtype=torch.float64))  # the prior's, before any data
    inputs, values = state.held.inputs(data.x), method.mean(state)(data.x)[:, 0]
    for replica in range(2):
        residuals, determined = 0.0, 0.0
        for output in range(2):
            own = data.output[replica] == output
            residuals += (data.y[replica, own] - values[replica, own, output]).square().sum()
            h = inputs[replica, own] * state.scale[replica, output]
            gram = h.T @ h
            determined += torch.trace(torch.linalg.solve(gram + 2 / 3 * torch.eye(9).double(), gram))
        expected = (4 + residuals) / (6 + 60 - determined)
        torch.testing.assert_close(state.estimated[replica], expected, rtol=1e-10, atol=0)


@pytest.mark.slow
def test_it_is_what_noise_aware_ibvi_converges_to():
    """The same features (the contexts themselves), the same prior, a direction of its own for every observation."""
    data, optimizer = noisy(count=8, outputs=1), Optimizer(learning_rate=0.1, clip=1e9)
    linear = task(hidden=(), outputs=1, bias=False, parametrization="sp")
    sampled, exact = IBVI(family="full", layers="last", noise_rank=8), IBVILimit(**WEIGHTS, prior_scale=1.0)
    state, solved = sampled.init(linear), trained(exact, linear, data)
    state.perturbations = torch.eye(8, dtype=torch.float64).repeat(2, 1, 1)
    everything, pull = next(data.batches()), _pull(state, data)
    state.parameters.keep_start()
    for _ in range(2000):
        noise = state.noise.normal(1, state.family.noise_size)
        perturbation = NOISE**0.5 * state.perturbations
        loss = state.family.expected_loss(state.parameters.leaves, everything, noise, perturbation)
        state.parameters.descend(state.parameters.gradient(loss), optimizer, pull)
    leaves = state.parameters.detached
    factor = torch.cat([leaves["factor/0"], leaves["noise_factor/0"]], 2)
    for replica in range(2):
        mean, covariance = weights(solved, replica, 0)
        torch.testing.assert_close(leaves["mean/0"][replica], mean, rtol=0, atol=1e-10)
        torch.testing.assert_close((factor @ factor.mT)[replica], covariance, rtol=0, atol=1e-10)


@pytest.mark.parametrize("fields", [{**WEIGHTS, "prior_scale": 3.0}, {}])
def test_predictions_are_the_exact_marginals_of_draws(fields):
    data, deep = noisy(), task(schedule=Schedule(gradient_steps=4))
    method = IBVILimit(**fields)
    state = trained(method, deep, data)
    predicted = method.predict(state, data.x, data.output, data.noise)
    draws = method.draw(state, 40_000)(data.x).gather(3, data.output[:, None, :, None].expand(-1, 40_000, -1, 1))
    assert ((predicted.values[:, 0] - draws.mean(1)[..., 0]).abs() < 5 * (draws.var(1)[..., 0] / 40_000).sqrt()).all()
    torch.testing.assert_close(predicted.variance - NOISE, draws.var(1)[..., 0], rtol=0.05, atol=1e-4)
    torch.testing.assert_close(
        predicted.values, method.mean(state)(data.x).gather(3, data.output[:, None, :, None])[..., 0]
    )


def test_its_features_are_held_at_their_start_by_its_own_noise():
    """The anchor is that of the noise which the regression has estimated."""
    data, held = noisy(40), Optimizer(learning_rate=0.01, anchor=1.0)
    deep = task(hidden=(8,), schedule=Schedule(gradient_steps=50), optimizer=held)
    moved = []
    for noise in (1e-3, 1e3):
        method = IBVILimit(noise_shape=1.0, noise_rate=noise)
        state = trained(method, deep, data)
        parameters = state.held.network.parameters
        assert parameters.start is not None
        moved.append(np.linalg.norm((parameters.values - parameters.start).numpy()))
    assert moved[1] < 0.1 * moved[0]


def test_units_of_functions_do_not_depend_on_the_network():
    """The prior's functions have the same spread at any width and under any parametrisation."""
    data = noisy(200)
    for width in (4, 64):
        for parametrization in ("mup", "sp"):
            method, still = IBVILimit(prior_scale=1.5), Schedule(gradient_steps=0)
            state = trained(method, task(hidden=(width,), parametrization=parametrization, schedule=still), data)
            prior = state.held.inputs(data.x).unsqueeze(2) * state.scale.unsqueeze(1)
            spread = prior.square().sum(3).mean(1)
            torch.testing.assert_close(spread, torch.full((2, 2), 2 * 1.5**2, dtype=torch.float64))


def test_few_rows_leave_the_scale_in_doubt():
    data, deep = noisy(40), task(schedule=Schedule(gradient_steps=0))
    sure, doubtful = (trained(IBVILimit(doubt=doubt), deep, data) for doubt in (0.0, 20.0))
    for replica in range(2):
        for output in range(2):
            count = (data.output[replica] == output).sum()
            torch.testing.assert_close(doubtful.scale[replica, output], (1 + 20 / count) * sure.scale[replica, output])


def test_without_rows_it_stays_at_the_prior():
    method, deep = IBVILimit(doubt=20.0), task()
    state = trained(method, task(schedule=Schedule(gradient_steps=0)), noisy(0))
    assert torch.equal(state.scale, method.init(deep).scale)
    assert method.draw(state, 3)(noisy(5).x).isfinite().all()


def test_what_it_cannot_do_is_said():
    with pytest.raises(ValueError, match="expected doubt = 0 for a prior in units of weights, got 5"):
        IBVILimit(units="weights", doubt=5.0)
