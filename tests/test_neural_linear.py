"""NeuralLinear is exact regression on the features of its network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tests.helpers import head, of_replica, rows, task
from tests.test_linear import closed_form
from vbandits.likelihoods import Categorical
from vbandits.networks import from_module
from vbandits.posteriors.deterministic import weights
from vbandits.posteriors.ibvi_limit import IBVILimit
from vbandits.posteriors.linear import Linear
from vbandits.posteriors.neural_linear import NeuralLinear
from vbandits.posteriors.regression import outer_sums, solve
from vbandits.types import Batch, Data, Scaling, Schedule, Task

PRIOR = {"prior_precision": 0.7, "noise_shape": 2.0, "noise_rate": 1.5}
TRAINED = Schedule(gradient_steps=4)
LEARNED = ("location", "root", "shape", "rate")


def module_task():
    network = from_module(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)), features=3)
    return Task((0, 1), 3, 2, network, schedule=TRAINED, dtype=torch.float64)


NETWORKS = {
    "mlp": lambda: task(schedule=TRAINED),
    "mlp without biases": lambda: task(schedule=TRAINED, bias=False),
    "module": module_task,
}


def posterior(data, given=None):
    method = NeuralLinear(**PRIOR)
    state = method.init(given or task(schedule=TRAINED))
    method.update(state, data)
    return method, state


def inputs(state, replica, x):
    """The features of one hidden layer, by hand, with a 1 where there are biases; [N, W]."""
    network = state.held.network.task.network
    named = weights(state.held.network.task, state.held.network.parameters.detached)
    weight, *bias = (named[name][replica, 0].numpy() for name in network.layers[0].shapes)
    x = x.numpy() @ (weight if network.layers[0].inputs_first else weight.T)
    x = np.maximum(x + bias[0] if bias else x, 0)
    return np.column_stack([x, np.ones(len(x))]) if bias else x


def regression(state, data, replica, output):
    """The textbook's posterior of one replica's output."""
    own = data.output[replica] == output
    return closed_form(inputs(state, replica, data.x[replica, own]), data.y[replica, own].numpy(), *PRIOR.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_posterior_is_the_closed_form_on_the_trained_features(network):
    data, given = rows(), NETWORKS[network]()
    _, state = posterior(data, given)
    start = NeuralLinear().init(given).held.network.parameters.detached["0"]
    assert (state.held.network.parameters.detached["0"] - start).abs().max() > 1e-3  # features have moved
    for replica in range(2):
        for output in range(2):
            location, inverse, shape, rate = regression(state, data, replica, output)
            root = state.root[replica, output].numpy()
            np.testing.assert_allclose(state.location[replica, output], location, rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(root @ root.T, inverse, rtol=1e-8, atol=1e-12)
            found = [state.shape[replica, output], state.rate[replica, output]]
            np.testing.assert_allclose(found, [shape, rate], rtol=1e-9)


def test_the_prior_is_what_it_says():
    state = NeuralLinear(**PRIOR).init(task())
    assert state.location.shape == (2, 2, 9)
    assert not state.location.any()
    torch.testing.assert_close(state.root @ state.root.mT, (torch.eye(9).double() / 0.7).expand(2, 2, 9, 9))
    assert (state.shape == 2.0).all()
    assert (state.rate == 1.5).all()


def renewed(data):
    """The same data with another scaling object, upon which all rows are summed anew."""
    return replace(data, scaling=replace(data.scaling))


def test_a_row_at_a_time_is_all_rows_from_scratch():
    data = rows()
    method, grown = posterior(head(data, 7))
    _, again = posterior(head(data, 7))
    for count in (8, 11, 20):  # one row, and several at a time
        method.condition_on(grown, head(data, count))
    again.held.network.task = replace(again.held.network.task, schedule=Schedule(gradient_steps=0))
    method.update(again, renewed(data))
    assert grown.held.seen == again.held.seen == 20
    for name in ("location", "shape", "rate"):
        torch.testing.assert_close(getattr(grown, name), getattr(again, name), rtol=0, atol=1e-10)
    torch.testing.assert_close(grown.root @ grown.root.mT, again.root @ again.root.mT, rtol=0, atol=1e-10)


def test_features_stay_those_of_the_rows_until_the_scaling_is_renewed():
    data = rows()
    method, state = posterior(head(data, 12))
    before = state.held.inputs(data.x)
    method.update(state, data)  # trains, and adds the rows that are new
    trained = state.held.network.parameters.values.clone()
    assert torch.equal(state.held.inputs(data.x), before)
    method.update(state, renewed(data))
    assert not torch.equal(state.held.network.parameters.values, trained)
    assert (state.held.inputs(data.x) - before).abs().max() > 1e-3
    location, *_ = regression(state, data, 0, 0)
    np.testing.assert_allclose(state.location[0, 0], location, rtol=1e-8, atol=1e-12)


def test_a_row_costs_the_output_taken_and_no_other():
    data = rows()
    method, state = posterior(head(data, 19))
    for name in LEARNED:
        getattr(state, name).fill_(-7)  # what is solved for again is no longer -7
    method.condition_on(state, data)
    for replica in range(2):
        taken = data.output[replica, 19].item()
        for name in LEARNED:
            assert (getattr(state, name)[replica, 1 - taken] == -7).all()
            assert not (getattr(state, name)[replica, taken] == -7).any()


def test_draws_have_the_moments_of_the_posterior():
    """Of function values at three inputs: one draw is one function, so their covariance counts too."""
    data, draws = rows(count=40), 40_000
    method, state = posterior(data)
    at = rows(count=3, seed=1).x
    values = method.draw(state, draws)(at)
    assert values.shape == (2, draws, 3, 2)
    for replica in range(2):
        features = inputs(state, replica, at[replica])
        for output in range(2):
            location, inverse, shape, rate = regression(state, data, replica, output)
            covariance = rate / (shape - 1) * features @ inverse @ features.T
            found, std = values[replica, :, :, output].numpy(), np.sqrt(np.diag(covariance))
            assert (np.abs(found.mean(0) - features @ location) < 5 * std / draws**0.5).all()
            assert (np.abs(np.cov(found.T) - covariance) < 0.04 * np.outer(std, std)).all()


def test_every_draw_has_a_noise_variance_of_its_own():
    """Given the noise variance draws are normal; over it they are Student's t, whose quantiles are further out."""
    data, draws = rows(count=6), 40_000
    method, state = posterior(data)
    at = rows(count=1, seed=1).x
    values = method.draw(state, draws)(at)[0, :, 0, 0].numpy()
    location, inverse, shape, rate = regression(state, data, 0, 0)
    features = inputs(state, 0, at[0])[0]
    exact = stats.t(2 * shape, features @ location, np.sqrt(rate / shape * features @ inverse @ features))
    assert stats.kstest(values, exact.cdf).pvalue > 0.01
    normal = stats.norm(exact.mean(), exact.std())
    assert stats.kstest(values, normal.cdf).pvalue < 1e-6


def test_predictions_are_students_t_by_hand():
    data = rows(count=9)
    method, state = posterior(data)
    at = rows(count=4, seed=1)
    predictive, wrong = (method.predict(state, at.x, at.output, noise * at.noise) for noise in (1, 7))
    expected = np.empty((2, 2, 4))
    for replica in range(2):
        features = inputs(state, replica, at.x[replica])
        for row, output in enumerate(at.output[replica].tolist()):
            location, inverse, shape, rate = regression(state, data, replica, output)
            scale = np.sqrt(rate / shape * (1 + features[row] @ inverse @ features[row]))
            exact = stats.t(2 * shape, features[row] @ location, scale)
            expected[:, replica, row] = -exact.logpdf(at.y[replica, row]), exact.cdf(at.y[replica, row])
    np.testing.assert_allclose([predictive.nll(at.y), predictive.cdf(at.y)], expected, rtol=1e-8)
    assert (wrong.nll(at.y) == predictive.nll(at.y)).all()  # it has a noise model of its own
    mean = method.mean(state)(at.x)[:, 0].gather(2, at.output.unsqueeze(2)).squeeze(2)
    np.testing.assert_allclose(predictive.mean(), mean, rtol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_where_the_contexts_are_the_features_it_is_linear(bias):
    raw = rows(count=30)
    scaling = Scaling(
        raw.x.mean(1, keepdim=True), raw.x.std(1, keepdim=True), raw.y.mean(1, keepdim=True), raw.y.std(1, keepdim=True)
    )
    data = Data(raw.x, raw.output, raw.y, scaling, raw.noise)
    given = task(hidden=(), bias=bias, schedule=TRAINED)
    deep, plain = NeuralLinear(**PRIOR), Linear(**PRIOR, intercept=bias)
    state, expected = deep.init(given), plain.init(given)
    deep.update(state, head(data, 10))
    deep.condition_on(state, data)
    plain.update(expected, data)
    for name in ("location", "shape", "rate"):
        torch.testing.assert_close(getattr(state, name), getattr(expected, name), rtol=0, atol=1e-12)
    state.root = expected.root  # of the same matrix; draws are made with it
    x = scaling.x(raw.x)
    torch.testing.assert_close(deep.draw(state, 5)(x), plain.draw(expected, 5)(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(deep.mean(state)(x), plain.mean(expected)(x), rtol=0, atol=1e-12)
    asked = x, raw.output, raw.noise
    scale = plain.predict(expected, *asked).scale
    torch.testing.assert_close(deep.predict(state, *asked).scale, scale, rtol=0, atol=1e-12)


def test_a_replica_that_diverges_fails_for_itself():
    data, at = rows(), rows(count=3, seed=1).x
    (method, state), (_, healthy) = posterior(head(data, 9)), posterior(head(data, 9))
    state.held.network.parameters.detached["0"][1] = float("nan")
    for learn, given in ((method.condition_on, head(data, 15)), (method.update, renewed(data))):
        for each in (state, healthy):
            learn(each, given)
        values, expected = method.draw(state, 4)(at), method.draw(healthy, 4)(at)
        assert torch.equal(values[0], expected[0])
        assert expected.isfinite().all()
    assert values[1].isnan().all()  # from when the features are those of the network again
    assert state.location[1].isnan().all()


def test_a_replica_is_the_same_alone_and_in_a_batch():
    """Over more rows than are multiplied at once, then a row at a time."""
    data, at = rows(replicas=3, count=1300, outputs=5), rows(replicas=3, count=4, seed=1)
    data.output[0] = 4  # replicas do not share how often an output was taken
    results = []
    for seeds, own, asked in (((0, 1, 2), data, at), ((1,), of_replica(data, 1), of_replica(at, 1))):
        method = NeuralLinear()
        state = method.init(task(seeds=seeds, outputs=5, hidden=(20,), schedule=TRAINED, dtype=torch.float32))
        own = Data(own.x.float(), own.output, own.y.float(), Scaling.identity(len(seeds), 3), own.noise.float())
        method.update(state, head(own, 1297))
        method.condition_on(state, own)
        values = method.draw(state, 3)(asked.x.float())
        scale = method.predict(state, asked.x.float(), asked.output, asked.noise).scale
        results.append([values, scale, *(getattr(state, name) for name in LEARNED)])
    for together, alone in zip(*results, strict=True):
        assert torch.equal(together[1:2], alone)


def test_sums_of_outer_products_are_of_each_outputs_rows():
    random = torch.Generator().manual_seed(0)
    z = torch.randn(3, 50, 4, generator=random, dtype=torch.float64)
    output = torch.randint(3, (3, 50), generator=random)
    output[0] = 2
    sums = outer_sums(z, Batch(z, output, z[..., 0], output), 4)
    taken = torch.nn.functional.one_hot(output, 4).double()
    torch.testing.assert_close(sums, torch.einsum("rnk,rni,rnj->rkij", taken, z, z), rtol=0, atol=1e-12)
    assert not sums[0, :2].any()
    assert not sums[:, 3].any()


def test_what_has_no_solution_is_nan_for_itself():
    precision = torch.stack([torch.eye(2), -torch.eye(2), torch.eye(2) * float("nan")])
    location, root = solve(precision, torch.ones(3, 2))
    assert torch.equal(location[0], torch.ones(2))
    assert location[1:].isnan().all()
    assert root[1:].isnan().all()


@pytest.mark.parametrize("method", [NeuralLinear(), IBVILimit()])
def test_what_a_regression_of_the_last_layer_cannot_do_is_said(method):
    nonlinear = from_module(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2), nn.Tanh()))
    with pytest.raises(ValueError, match=r"end it with nn\.Linear"):
        method.init(Task((0,), 3, 2, nonlinear))
    with pytest.raises(ValueError, match=r"got Categorical\(\): use ibvi"):
        method.init(Task((0,), 3, 2, task().network, likelihood=Categorical()))
    with pytest.raises(ValueError, match=r"expected a network in the task"):
        method.init(Task((0,), 3, 2))
