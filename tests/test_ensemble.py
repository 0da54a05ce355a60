import torch

from tests.helpers import rows, task
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ensemble import Ensemble


def trained(method, data, **fields):
    state = method.init(task(**fields))
    for _ in range(3):
        method.update(state, data)
    return state


def test_an_ensemble_of_one_is_the_deterministic_network():
    data = rows()
    single, alone = Deterministic(), Ensemble(members=1, prior_scale=0.0)
    values = [method.draw(trained(method, data), 2)(data.x) for method in (single, alone)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-12)


def test_members_are_trained_as_if_each_were_alone():
    data = rows()
    few, many = Ensemble(members=2, prior_scale=0.0), Ensemble(members=5, prior_scale=0.0)
    noise = data.noise
    first = few.predict(trained(few, data), data.x, data.output, noise).values
    second = many.predict(trained(many, data), data.x, data.output, noise).values
    assert second.shape == (2, 5, 20)
    torch.testing.assert_close(first, second[:, :2], rtol=1e-12, atol=1e-12)
    assert second.std(1).min() > 1e-4


def test_draws_are_members_all_equally_likely():
    data, method = rows(), Ensemble(members=3)
    state = trained(method, data)
    members = method.predict(state, data.x, data.output, data.noise).values
    draws = method.draw(state, 3000)(data.x)
    taken = draws.gather(3, data.output[:, None, :, None].expand(-1, 3000, -1, 1)).squeeze(3)
    distance = (taken.unsqueeze(2) - members.unsqueeze(1)).abs().amax(3)  # [R, S, M]
    assert (distance.min(2).values < 1e-12).all()
    counts = torch.stack([(distance.argmin(2) == m).sum(1) for m in range(3)])
    assert (counts - 1000).abs().max() < 4 * (3000 * 2 / 9) ** 0.5


def test_prior_functions_are_fixed_and_add_to_the_members():
    data = rows()
    method = Ensemble(members=4, prior_scale=2.0)
    state = method.init(task())
    prior = {name: block.clone() for name, block in state.prior.items()}
    before = method.mean(state)(data.x)
    plain = Ensemble(members=4, prior_scale=0.0)
    bare = plain.mean(plain.init(task()))(data.x)
    assert (before - bare).abs().max() > 0.01
    method.update(state, data)
    assert all(torch.equal(state.prior[name], block) for name, block in prior.items())


def test_the_mean_is_that_of_the_members():
    data, method = rows(), Ensemble(members=4)
    state = trained(method, data)
    mean = method.mean(state)(data.x).gather(3, data.output[:, None, :, None]).squeeze(3).squeeze(1)
    torch.testing.assert_close(mean, method.predict(state, data.x, data.output, data.noise).values.mean(1))
