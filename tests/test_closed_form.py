import pytest
import torch
from torch import nn

from tests.helpers import rows, task
from vbandits.likelihoods import Categorical
from vbandits.networks import from_module
from vbandits.posteriors.closed_form import ClosedFormIBVI
from vbandits.posteriors.ibvi import IBVI, _anchor
from vbandits.types import Data, Optimizer, Schedule, Task

NOISE = 0.3


def noisy(count=20, outputs=2):
    data = rows(count=count, outputs=outputs)
    return Data(data.x, data.output, data.y, data.scaling, torch.full((2,), NOISE, dtype=torch.float64))


def bayes(x, y, mean, std):
    """Mean and covariance of conjugate linear regression with the prior N(mean, diag(std^2))."""
    precision = x.T @ x / NOISE + torch.diag(std**-2)
    return torch.linalg.solve(precision, x.T @ y / NOISE + mean / std**2), torch.linalg.inv(precision)


def test_on_a_linear_network_it_is_the_bayesian_posterior_around_the_initial_weights():
    data, linear = noisy(), task(hidden=(), parametrization="sp", schedule=Schedule(gradient_steps=3))
    method = ClosedFormIBVI(prior_scale=1.5)
    state = method.init(linear)
    method.update(state, data)
    x = torch.cat([data.x, torch.ones(2, 20, 1)], 2)
    std = 1.5 * torch.tensor([3**-0.5] * 3 + [1.0], dtype=torch.float64)
    draws = method.draw(state, 20_000)(torch.eye(3, dtype=torch.float64).repeat(2, 1, 1))
    for replica in range(2):
        for output in range(2):
            own = data.output[replica] == output
            mean, covariance = bayes(x[replica, own], data.y[replica, own], state.start[replica, :, output], std)
            found = state.start[replica, :, output] + state.scale[:, output] * state.location[replica, output]
            torch.testing.assert_close(found, mean, rtol=0, atol=1e-10)
            inverse = torch.cholesky_inverse(state.factor[replica, output]) * NOISE
            scale = state.scale[:, output]
            torch.testing.assert_close(scale[:, None] * inverse * scale, covariance, rtol=0, atol=1e-10)
            at = torch.cat([torch.eye(3), torch.ones(3, 1)], 1).double()
            variance = draws[replica, :, :, output].var(0)
            torch.testing.assert_close(variance, (at @ covariance @ at.T).diagonal(), rtol=0.05, atol=0)


def test_a_row_at_a_time_is_all_rows_at_once():
    data, deep = noisy(), task(hidden=(8,), schedule=Schedule(gradient_steps=4))
    method = ClosedFormIBVI()
    begun, whole = method.init(deep), method.init(deep)
    first = Data(data.x[:, :7], data.output[:, :7], data.y[:, :7], data.scaling, data.noise)
    method.update(begun, first)
    method.condition_on(begun, data)
    method.update(whole, first)
    for batch in Data(data.x[:, 7:], data.output[:, 7:], data.y[:, 7:], data.scaling, data.noise).batches():
        method._add(whole, batch)
    torch.testing.assert_close(begun.precision, whole.precision, rtol=0, atol=1e-12)
    expected = torch.linalg.solve(whole.precision, whole.cross)
    torch.testing.assert_close(begun.location, expected, rtol=0, atol=1e-10)
    assert begun.seen == 20


@pytest.mark.slow
def test_it_is_what_noise_aware_ibvi_converges_to():
    """The same features (the contexts themselves), the same prior, a direction of its own for every observation."""
    data, optimizer = noisy(count=8, outputs=1), Optimizer(learning_rate=0.1, clip=1e9)
    linear = task(hidden=(), outputs=1, bias=False, parametrization="sp")
    sampled, exact = IBVI(family="full", layers="last", noise_rank=8), ClosedFormIBVI()
    state, solved = sampled.init(linear), exact.init(linear)
    exact.update(solved, data)
    state.perturbations = torch.eye(8, dtype=torch.float64).repeat(2, 1, 1)
    everything, anchor = next(data.batches()), _anchor(state, data)
    for _ in range(2000):
        noise = state.noise.normal(1, state.family.noise_size)
        perturbation = NOISE**0.5 * state.perturbations
        loss = state.family.expected_loss(state.parameters.leaves, everything, noise, perturbation)
        state.parameters.descend(loss, optimizer, anchor)
    leaves = state.parameters.detached
    mean = solved.start[:, :, 0] + solved.scale[:, 0] * solved.location[:, 0]
    torch.testing.assert_close(leaves["mean/0"], mean, rtol=0, atol=1e-10)
    factor = torch.cat([leaves["factor/0"], leaves["noise_factor/0"]], 2)
    covariance = torch.cholesky_inverse(solved.factor[:, 0]) * NOISE / 3  # of u, and s^2 is 1 / 3
    torch.testing.assert_close(factor @ factor.mT, covariance, rtol=0, atol=1e-10)


def test_predictions_are_the_exact_marginals_of_draws():
    data, deep = noisy(), task(schedule=Schedule(gradient_steps=4))
    method = ClosedFormIBVI(prior_scale=3.0)
    state = method.init(deep)
    method.update(state, data)
    predicted = method.predict(state, data.x, data.output, data.noise)
    draws = method.draw(state, 40_000)(data.x).gather(3, data.output[:, None, :, None].expand(-1, 40_000, -1, 1))
    torch.testing.assert_close(predicted.values[:, 0], draws.mean(1)[..., 0], rtol=0, atol=0.02)
    torch.testing.assert_close(predicted.variance - NOISE, draws.var(1)[..., 0], rtol=0.05, atol=1e-4)
    torch.testing.assert_close(
        predicted.values, method.mean(state)(data.x).gather(3, data.output[:, None, :, None])[..., 0]
    )


def test_what_it_cannot_do_is_said():
    nonlinear = from_module(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2), nn.Tanh()))
    with pytest.raises(ValueError, match=r"end it with nn\.Linear"):
        ClosedFormIBVI().init(Task((0,), 3, 2, nonlinear))
    with pytest.raises(ValueError, match=r"got Categorical\(\): use ibvi"):
        ClosedFormIBVI().init(Task((0,), 3, 2, task().network, likelihood=Categorical()))
