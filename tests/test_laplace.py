from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.helpers import identity_noise, of_replica, rows, task
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import from_module
from vbandits.posteriors import laplace
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.laplace import Laplace
from vbandits.types import Data, Schedule

LIKELIHOODS = {"squared error": Gaussian(), "classes": Categorical()}
NOISE = 0.3


def modelled(likelihood="squared error", module=None, seeds=(0, 1), **fields):
    made = replace(task(seeds=seeds, outputs=3, **fields), likelihood=LIKELIHOODS[likelihood])
    return made if module is None else replace(made, network=from_module(module.double(), features=3))


def data(count=40):
    made = rows(outputs=3, count=count)
    return Data.of(made.x, made.output, made.y, noise=NOISE)


def trained(method, given, likelihood="squared error", updates=3, **fields):
    state = method.init(modelled(likelihood, **fields))
    for _ in range(updates):
        method.update(state, given)
    return state


def all_values(method, state, given):
    """Draws at every output [R, S, N, K], from `predict` alone."""
    every = [method.predict(state, given.x, torch.full_like(given.output, k), given.noise) for k in range(3)]
    return torch.stack([one.values for one in every], 3) if hasattr(every[0], "values") else every[0].logits


def function_covariance(method, state, given):
    """Returns the covariance [R, N * K, N * K] of the function's values: each draw is one column of its factor."""
    identity_noise(state)
    deviations = (all_values(method, state, given) - method.mean(state)(given.x)).flatten(2)
    return deviations.mT @ deviations


def head_inputs(state, given):
    """Returns the last layer's inputs with a 1 [R, N, I], by what the network does to unit weights."""
    network = state.task.network
    flat = {name: block.unsqueeze(1) for name, block in state.parameters.detached.items()}
    weights = {}
    for layer in network.layers:
        sizes = [torch.Size(shape).numel() for shape in layer.shapes.values()]
        parts = flat[layer.name].split(sizes, 2)
        weights |= {
            name: part.unflatten(2, shape) for (name, shape), part in zip(layer.shapes.items(), parts, strict=True)
        }
    features = network.features(weights, given.x.unsqueeze(1)).squeeze(1)
    return torch.cat([features, torch.ones_like(features[:, :, :1])], 2)


def head_weights(state):
    """Returns the last layer's weights and biases [R, K, I]."""
    layer = state.task.network.layers[-1]
    flat = state.parameters.detached[layer.name]
    if layer.inputs_first:
        return flat.view(2, -1, 3).mT
    return torch.cat([flat[:, :-3].view(2, 3, -1), flat[:, -3:, None]], 2)


def hessian_of_the_fit(likelihood, state, given):
    """Returns autograd's Hessian [R, K * I, K * I] of the negative log-likelihood of the head at its weights."""
    inputs, head, found = head_inputs(state, given), head_weights(state), []
    for replica in range(2):

        def nll(flat, replica=replica):
            scores = inputs[replica] @ flat.view(3, -1).T
            chosen = scores.gather(1, given.output[replica, :, None]).squeeze(1)
            if likelihood == "classes":
                return (scores.logsumexp(1) - chosen).sum()
            return (given.y[replica] - chosen).square().sum() / (2 * NOISE)

        found.append(torch.autograd.functional.hessian(nll, head[replica].flatten()))
    return torch.stack(found)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("module", [False, True])
def test_the_network_is_the_deterministic_one_bit_for_bit(likelihood, module):
    module = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3)) if module else None
    given = data()
    plain, ours = (
        trained(Deterministic(), given, likelihood, module=module),
        trained(Laplace(), given, likelihood, module=module),
    )
    Laplace().draw(ours, 2)
    for method, state in ((Deterministic(), plain), (Laplace(), ours)):
        method.update(state, given)
    assert torch.equal(plain.parameters.values, ours.parameters.values)
    assert torch.equal(Deterministic().mean(plain)(given.x), Laplace().mean(ours)(given.x))


@pytest.mark.parametrize("count", [25, 600])  # in one block and in two
def test_on_a_linear_network_it_is_bayesian_linear_regression(count):
    given, method = data(count), Laplace(prior_precision=2.5)
    state = trained(method, given, hidden=())
    asked = of_replica(rows(outputs=3, count=4, seed=5), 0)
    asked = Data.of(*(part.repeat(2, *[1] * (part.dim() - 1)) for part in (asked.x, asked.output, asked.y)))
    covariance = function_covariance(method, state, asked).view(2, 4, 3, 4, 3)
    x = torch.cat([given.x, torch.ones(2, count, 1, dtype=torch.float64)], 2)
    z = torch.cat([asked.x, torch.ones(2, 4, 1, dtype=torch.float64)], 2)
    for replica in range(2):
        for k in range(3):
            own = x[replica, given.output[replica] == k]
            posterior = torch.linalg.inv(own.T @ own / NOISE + 2.5 * torch.eye(4, dtype=torch.float64))
            torch.testing.assert_close(covariance[replica, :, k, :, k], z[replica] @ posterior @ z[replica].T)
            assert covariance[replica, :, k, :, (k + 1) % 3].abs().max() < 1e-12  # outputs are independent


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_precision_is_the_hessian_of_the_negative_log_posterior(likelihood, module, hidden):
    layers = [nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 3)] if hidden else [nn.Linear(3, 3)]
    module = nn.Sequential(*layers) if module else None
    given, method = data(), Laplace(prior_precision=1.5)
    state = trained(method, given, likelihood, hidden=(6,) if hidden else (), module=module)
    inputs = head_inputs(state, given)
    hessian = hessian_of_the_fit(likelihood, state, given)
    width = inputs.shape[2]
    covariance = torch.linalg.inv(hessian + 1.5 * torch.eye(3 * width, dtype=torch.float64))
    jacobian = torch.einsum("rni,kj->rnkji", inputs, torch.eye(3, dtype=torch.float64)).flatten(3).flatten(1, 2)
    expected = jacobian @ covariance @ jacobian.mT
    torch.testing.assert_close(function_covariance(method, state, given), expected, rtol=1e-8, atol=1e-8)
    assert hessian.abs().max() > 1  # the data speak


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_prior_precision_maximises_the_marginal_likelihood(likelihood):
    given, method = data(), Laplace()
    state = trained(method, given, likelihood, updates=20)
    hessian = hessian_of_the_fit(likelihood, state, given)
    norm = state.parameters.detached["1"].square().sum(1)
    size = hessian.shape[1]
    grid = torch.logspace(-3, 4, 1401, dtype=torch.float64)
    evidence = torch.stack(
        [
            size / 2 * alpha.log()
            - alpha * norm / 2
            - torch.linalg.slogdet(hessian + alpha * torch.eye(size, dtype=torch.float64)).logabsdet / 2
            for alpha in grid
        ]
    )
    best = evidence.argmax(0)
    assert ((best > 0) & (best < 1400)).all()
    chosen = method.covariance(state)[1]
    assert ((chosen.log() - grid[best].log()).abs() <= (grid[1] / grid[0]).log()).all()
    assert (chosen / 8).log().abs().max() > 0.5  # not where the iteration starts


@pytest.mark.parametrize("start", [1e-5, 1e9])
def test_the_fixed_point_is_found_from_anywhere(start):
    values = torch.tensor([[1e-9, 1e-3, 1.0, 1e4, 0.0], [5.0, 5.0, 5.0, 5.0, 5.0]], dtype=torch.float64)
    norm = torch.tensor([3.0, 0.01], dtype=torch.float64)
    found = laplace.most_likely_precision(values, norm, torch.full((2,), start, dtype=torch.float64))
    determined = (values / (values + found.unsqueeze(1))).sum(1)
    torch.testing.assert_close(found * norm, determined, rtol=1e-9, atol=0)


def test_the_covariance_is_computed_once_after_an_update_and_only_when_asked_for(monkeypatch):
    calls, eigh = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: calls.append(0) or eigh(matrix))
    given, method = data(), Laplace()
    state = trained(method, given)
    method.mean(state)
    assert len(calls) == 0
    first = method.predict(state, given.x, given.output, given.noise).values
    method.draw(state, 2)
    assert len(calls) == 1
    method.update(state, given)
    assert not torch.equal(method.predict(state, given.x, given.output, given.noise).values, first)
    assert len(calls) == 2


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_kronecker_factored_matrix_is_exact_where_every_row_has_the_same_curvature(likelihood):
    count = 60
    given = data(count)
    if likelihood == "squared error":  # each context once with every output: A and h are independent
        x = given.x[:, : count // 3].repeat(1, 3, 1)
        output = torch.arange(3).repeat_interleave(count // 3).expand(2, -1)
        given = Data.of(x, output, given.y, noise=NOISE)
    covariances = []
    for structure in ("full", "kronecker"):
        method = Laplace(prior_precision=0.7, structure=structure)
        state = trained(method, given, likelihood)
        if likelihood == "classes":
            state.parameters.detached["1"].zero_()  # all rows have the same probabilities
        covariances.append(function_covariance(method, state, given))
    torch.testing.assert_close(*covariances, rtol=1e-8, atol=1e-10)


def test_a_wide_head_is_factored_by_itself_and_refused_as_full(monkeypatch):
    monkeypatch.setattr(laplace, "LARGEST", 20)  # 9 entries an output, 27 of all
    kinds = {}
    for likelihood in LIKELIHOODS:
        method = Laplace()
        state = trained(method, data(), likelihood)
        kinds[likelihood] = type(method.covariance(state)[0]).__name__
    assert kinds == {"squared error": "Blocks", "classes": "Kronecker"}
    with pytest.raises(ValueError, match="at most 20 entries in a full covariance of the last layer, got 27"):
        Laplace(structure="full").init(modelled("classes"))


def test_a_network_without_a_linear_last_layer_is_refused():
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    with pytest.raises(ValueError, match=r"an nn.Linear over features.*ModuleNetwork without.*swag or dropout"):
        Laplace().init(modelled(module=module))


def test_before_any_data_it_is_the_prior():
    asked, method = data(4), Laplace()
    state = method.init(modelled(hidden=()))
    covariance = function_covariance(method, state, asked).view(2, 4, 3, 4, 3)
    x = torch.cat([asked.x, torch.ones(2, 4, 1, dtype=torch.float64)], 2)
    torch.testing.assert_close(covariance[:, :, 1, :, 1], x @ x.mT / 3)  # fan_in


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_one_draw_is_one_function_and_draws_have_the_covariance(likelihood):
    given, method = data(), Laplace()
    state = trained(method, given, likelihood)
    draw = method.draw(state, 4)
    torch.testing.assert_close(draw(given.x)[:, :, 3:5], draw(given.x[:, 3:5]))
    assert not torch.allclose(draw(given.x), method.draw(state, 4)(given.x))
    many = (method.draw(state, 20_000)(given.x) - method.mean(state)(given.x)).flatten(2)
    variance = function_covariance(method, state, given).diagonal(dim1=1, dim2=2)
    ratio = many.square().mean(1) / variance
    assert (ratio - 1).abs().max() < 5 * (2 / 20_000) ** 0.5


@pytest.mark.parametrize("structure", ["full", "kronecker"])
def test_classes_are_predicted_by_64_draws_the_same_at_every_call(structure):
    given, method = data(), Laplace(structure=structure)
    state = trained(method, given, "classes")
    first, second = (method.predict(state, given.x, given.output, given.noise) for _ in range(2))
    assert first.logits.shape == (2, 64, 40, 3)
    assert torch.equal(first.logits, second.logits)
    probabilities = first.log_probabilities().exp()
    torch.testing.assert_close(probabilities.sum(2), torch.ones(2, 40, dtype=torch.float64))
    sure = method.mean(state)(given.x).squeeze(1).softmax(2)
    assert probabilities.amax(2).mean() < sure.amax(2).mean()  # uncertainty takes confidence away


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("structure", ["full", "kronecker"])
def test_a_seed_is_the_same_alone_and_in_a_block(likelihood, structure):
    given, method = data(), Laplace(structure=structure)
    block = trained(method, given, likelihood)
    alone = method.init(modelled(likelihood, seeds=(1,)))
    own = replace(of_replica(given, 1), noise=given.noise[1:])
    for _ in range(3):
        method.update(alone, own)
    for ask in (lambda state, of: all_values(method, state, of), lambda state, of: method.draw(state, 3)(of.x)):
        assert torch.equal(ask(block, given)[1:], ask(alone, own))


def test_a_replica_that_diverges_touches_no_other():
    given, method = data(), Laplace()
    states = [trained(method, given) for _ in range(2)]
    states[1].parameters.detached["0"][0] = float("nan")
    values = [all_values(method, state, given) for state in states]
    assert torch.equal(values[0][1], values[1][1])
    assert values[1][0].isnan().all()


def test_learned_noise_sets_the_curvature():
    given, method = data(), Laplace(prior_precision=1e-6)
    single = replace(modelled(schedule=Schedule(gradient_steps=5)), likelihood=Gaussian(learned_noise=True))
    state = method.init(single)
    method.update(state, given)
    noise = state.parameters.detached["noise"].exp()
    assert (noise - NOISE).abs().min() > 0.1
    values = method.covariance(state)[0].values
    inputs = head_inputs(state, given)
    torch.testing.assert_close(values.sum(1, keepdim=True), inputs.square().sum((1, 2)).unsqueeze(1) / noise)
