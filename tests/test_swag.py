from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import identity_noise, rows, task
from vbandits.likelihoods import Categorical
from vbandits.networks import from_module
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.swag import SWAG
from vbandits.types import Schedule


def trained(method, given, updates, steps=1, seeds=(0, 1), categorical=False, module=None, **fields):
    made = task(seeds=seeds, outputs=3, schedule=Schedule(gradient_steps=steps), **fields)
    made = replace(made, likelihood=Categorical()) if categorical else made
    made = made if module is None else replace(made, network=from_module(module.double(), features=3))
    state = method.init(made)
    for _ in range(updates):
        method.update(state, given)
    return state


def iterates(given, count, **fields):
    """Returns the deterministic network's weights after each step [R, T, P]."""
    method, found = Deterministic(), []
    state = trained(method, given, 0, **fields)
    for _ in range(count):
        method.update(state, given)
        found.append(state.parameters.values.clone())
    return torch.stack(found, 1)


@pytest.mark.parametrize("steps", [20, 11])  # a window of which some is forgotten, and one that is not full
def test_its_moments_are_those_of_the_last_iterates(steps):
    """On a linear network the covariance of values is that of the weights, seen through the inputs."""
    given = rows(outputs=3)
    method = SWAG(snapshots=4, every=3, scale=1.7)
    state = trained(method, given, steps, hidden=())
    path = iterates(given, steps, hidden=()).numpy()
    kept = [step for step in range(steps) if (step + 1) % 3 == 0][-4:]
    assert len(kept) == {20: 4, 11: 3}[steps]
    identity_noise(state)
    draws = method.predict(state, given.x, given.output, given.noise).values.numpy()
    mean = method.mean(state)(given.x).squeeze(1).numpy()
    for replica in range(2):
        window = path[replica, kept]
        diagonal, low_rank = np.diag(window.var(0)), np.cov(window.T)
        inputs = np.concatenate([given.x[replica].numpy(), np.ones((20, 1))], 1)
        taken = np.eye(3)[given.output[replica].numpy()]
        jacobian = np.einsum("ni,nk->nik", inputs, taken).reshape(20, -1)  # weights are [in, out], biases last
        expected = 1.7**2 * jacobian @ (diagonal / 2 + low_rank / 2) @ jacobian.T
        deviations = draws[replica] - mean[replica, np.arange(20), given.output[replica].numpy()]
        np.testing.assert_allclose(mean[replica], inputs @ window.mean(0).reshape(4, 3), rtol=1e-10)
        np.testing.assert_allclose(deviations.T @ deviations, expected, rtol=1e-8, atol=1e-12)
        assert np.diag(expected).min() > 1e-7


def test_draws_have_those_moments():
    given, method = rows(outputs=3), SWAG(snapshots=4, every=3)
    state = trained(method, given, 20, hidden=())
    values = method.draw(state, 40_000)(given.x)
    identity_noise(state)
    deviations = method.predict(state, given.x, given.output, given.noise).values
    index = given.output[:, None, :, None]
    deviations = deviations - method.mean(state)(given.x).gather(3, index).squeeze(3)
    variance = deviations.square().sum(1)
    taken = values.gather(3, index.expand(-1, 40_000, -1, -1)).squeeze(3)
    assert (taken.var(1) / variance - 1).abs().max() < 5 * (2 / 40_000) ** 0.5
    error = taken.mean(1) - method.mean(state)(given.x).gather(3, index).flatten(1)
    assert (error.abs() < 5 * (variance / 40_000).sqrt()).all()


@pytest.mark.parametrize("categorical", [False, True])
def test_how_steps_are_split_over_updates_does_not_matter(categorical):
    given, method = rows(outputs=3), SWAG(snapshots=3, every=7)
    found = []
    for updates, steps in ((1, 40), (2, 20), (40, 1), (5, 8)):
        state = trained(method, given, updates, steps, categorical=categorical)
        found.append(method.draw(state, 5)(given.x))
        assert state.collected == 5
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert found[0].std(1).min() > 1e-5


def test_before_the_second_snapshot_it_is_the_current_network():
    given, method = rows(outputs=3), SWAG(every=10)
    for steps, same in ((0, True), (9, True), (19, True), (20, False)):
        plain, state = trained(Deterministic(), given, steps), trained(method, given, steps)
        assert torch.equal(plain.parameters.values, state.parameters.values)  # trained as that is, bit for bit
        network = Deterministic().mean(plain)(given.x)
        assert torch.equal(method.mean(state)(given.x), network) is same
        assert torch.equal(method.draw(state, 3)(given.x), network.expand(-1, 3, -1, -1)) is same
        predicted = method.predict(state, given.x, given.output, given.noise).values
        assert (predicted.std(1).max().item() == 0) is same


def test_a_scale_of_zero_is_the_network_at_the_mean_weights():
    given, method = rows(outputs=3), SWAG(scale=0.0)
    state = trained(method, given, 50)
    mean = method.mean(state)(given.x)
    torch.testing.assert_close(method.draw(state, 3)(given.x), mean.expand(-1, 3, -1, -1), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(mean, Deterministic().mean(state)(given.x))


def test_an_update_is_seen_by_the_next_draw():
    given, method = rows(outputs=3), SWAG(every=1)
    state = trained(method, given, 10)
    before = method.predict(state, given.x, given.output, given.noise).values
    assert torch.equal(before, method.predict(state, given.x, given.output, given.noise).values)
    method.update(state, given)
    assert not torch.equal(before, method.predict(state, given.x, given.output, given.noise).values)


def test_norm_layers_are_averaged_too_and_classes_are_predicted():
    given, method = rows(outputs=3), SWAG(snapshots=3, every=2)
    module = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3))
    state = trained(method, given, 10, categorical=True, module=module)
    path = iterates(given, 10, categorical=True, module=module)
    with torch.no_grad():
        for name, own in zip(module.state_dict(), path[0, [5, 7, 9]].mean(0).split([18, 6, 6, 6, 18, 3]), strict=True):
            module.get_parameter(name).copy_(own.view(module.get_parameter(name).shape))
        torch.testing.assert_close(method.mean(state)(given.x)[0, 0], module(given.x[0]))
    predicted = method.predict(state, given.x, given.output, given.noise)
    assert predicted.logits.shape == (2, 64, 20, 3)
    assert predicted.logits.std(1).min() > 1e-5
    assert predicted.log_probabilities().shape == (2, 20, 3)
