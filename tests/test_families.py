"""Gaussian families over the weights: every covariance, over networks written by hand and any module."""

import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from tests.helpers import covariance_of, rows, task
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP, LeNet5, ResNet18, from_module
from vbandits.networks.weights import prior_std, rates
from vbandits.posteriors.covariances import covariance
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.dropout import Dropout
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.gaussian import GaussianFamily
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.laplace import Laplace
from vbandits.posteriors.prior import function_std
from vbandits.posteriors.swag import SWAG
from vbandits.posteriors.wasserstein import WassersteinVI, distance
from vbandits.training import Parameters
from vbandits.types import Batch, Data, Schedule, Task

FAMILIES = ("low_rank", "mean_field", "low_rank_plus_diagonal", "kronecker", "full")
NORMED = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 2))
NETWORKS = {"mlp": lambda: MLP(hidden=(8,)).build(3, 2), "module": lambda: from_module(NORMED)}


def disturbed(family, seed=0, size=0.2, scale=1.0):
    """The family's leaves away from the start."""
    random = torch.Generator().manual_seed(seed)
    leaves = family.initial(scale)[0]
    return {name: leaf + size * torch.randn(leaf.shape, generator=random).double() for name, leaf in leaves.items()}


def small(network="mlp", likelihood=None):
    return Task((0, 1), 3, 2, NETWORKS[network](), likelihood=likelihood or Gaussian(), dtype=torch.float64)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_starts_at_the_prior(name, network):
    wide = Task(tuple(range(200)), 3, 2, NETWORKS[network](), dtype=torch.float64)
    family = GaussianFamily.over(wide, "all", covariance(name, 4))
    leaves, prior = family.initial(0.7)[0], prior_std(wide.network, wide)
    for layer in family.stochastic:
        variance = covariance_of(family, leaves, layer).diagonal(dim1=1, dim2=2).mean(0)  # over seeds: F is random
        torch.testing.assert_close(variance, (0.7 * prior[layer.name]) ** 2, rtol=0.35, atol=0)
        exact = covariance_of(family, leaves, layer)[0]
        if name in ("mean_field", "kronecker", "full"):
            torch.testing.assert_close(exact, torch.diag((0.7 * prior[layer.name]) ** 2), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", FAMILIES)
def test_draws_have_the_covariance_of_the_family(name, network):
    family = GaussianFamily.over(small(network), "all", covariance(name, 3))
    leaves, layer = disturbed(family), family.stochastic[-1]
    noise = torch.randn(2, 40_000, family.noise_size, generator=torch.Generator().manual_seed(1)).double()
    weights = family.sample(leaves, noise)
    flat = torch.cat([weights[parameter].flatten(2) for parameter in layer.shapes], 2)
    expected = covariance_of(family, leaves, layer)
    for replica in range(2):
        found = torch.cov(flat[replica].T)
        assert (found - expected[replica]).abs().max() < 0.05 * expected[replica].abs().max()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("likelihood", [Gaussian(), Categorical()])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_closed_form_of_the_last_layer_is_the_mean_of_samples_or_bounds_it(name, likelihood, network):
    family = GaussianFamily.over(small(network, likelihood), "last", covariance(name, 3))
    assert family.exact
    leaves, data = disturbed(family, size=0.03, scale=0.2), rows()
    batch = next(data.batches())
    noise = torch.randn(2, 20_000, family.noise_size, generator=torch.Generator().manual_seed(1)).double()
    closed = family.expected_loss(leaves, batch, noise[:, :1])
    values = family.task.network.apply(family.sample(leaves, noise), data.x.unsqueeze(1))
    if isinstance(likelihood, Gaussian):
        values = values.gather(3, data.output[:, None, :, None].expand(*values.shape[:3], 1)).squeeze(3)
    losses = likelihood.loss(values, None, data.output, data.y.unsqueeze(1)).mean(2)
    error = 4 * losses.std(1) / losses.shape[1] ** 0.5
    if isinstance(likelihood, Gaussian):
        assert ((closed - losses.mean(1)).abs() < error).all()
    else:
        assert (closed > losses.mean(1) - error).all()
        assert (closed < losses.mean(1) + 0.5).all()  # and is no empty bound
        mean = family.task.network.apply(family.mean(leaves), data.x.unsqueeze(1))
        assert (closed > likelihood.loss(mean, None, data.output, data.y.unsqueeze(1)).mean((1, 2)) + 1e-3).all()


@pytest.mark.parametrize("layers", ["last", "first_last", "all"])
@pytest.mark.parametrize("network", NETWORKS)
def test_factored_and_materialised_draws_are_the_same_functions(network, layers):
    family = GaussianFamily.over(small(network), layers, covariance("low_rank", 3), noise_rank=2)
    leaves, data = disturbed(family), rows()
    for draws in (2, 30):  # fewer and more than the factor has columns
        noise = torch.randn(2, draws, family.noise_size, generator=torch.Generator().manual_seed(draws)).double()
        x = data.x.unsqueeze(1)
        plain = family.task.network.apply(family.sample(leaves, noise), x)
        factored = family.task.network.apply(family.sample(leaves, noise, factored=True), x)
        torch.testing.assert_close(factored, plain, rtol=0, atol=1e-12)
        assert plain.std(1).min() > 1e-4


def test_a_tapped_factor_gets_the_gradient_that_autograd_gives():
    deep = task(hidden=(8,), schedule=Schedule(gradient_steps=1))
    family = GaussianFamily.over(deep, "all", covariance("low_rank", 3), noise_rank=2)
    batch = next(rows().batches())
    perturbation = torch.randn(2, 20, 2, generator=torch.Generator().manual_seed(2)).double()
    for clip in (1e9, 0.1):
        moved = []
        for drawn_factors in (family.drawn_factors, ()):
            parameters = Parameters(*family.initial(1.0), drawn_factors)
            for step in range(3):
                noise = torch.randn(2, 4, family.noise_size, generator=torch.Generator().manual_seed(step)).double()
                loss = family.expected_loss(parameters.leaves, batch, noise, perturbation)
                parameters.descend(parameters.gradient(loss), deep.optimizer.__class__(0.01, clip=clip))
            moved.append(parameters.detached)
        assert len(family.drawn_factors) == 3
        for name, block in moved[0].items():
            torch.testing.assert_close(block, moved[1][name], rtol=0, atol=1e-13)
        assert (moved[0]["factor/0"] - family.initial(1.0)[0]["factor/0"]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["low_rank", "mean_field", "kronecker", "full"])
def test_the_distance_is_the_wasserstein_distance_of_the_normal_distributions(name):
    family = GaussianFamily.over(small(), "all", covariance(name, 3))
    start, leaves = disturbed(family, 0), disturbed(family, 1)
    unit = {name: torch.ones_like(rate) for name, rate in rates(family.task.network, family.task).items()}
    expected = torch.zeros(2, dtype=torch.float64)
    for layer in family.stochastic:
        expected += (leaves[f"mean/{layer.name}"] - start[f"mean/{layer.name}"]).square().sum(1)
        for replica in range(2):
            a, b = (covariance_of(family, blocks, layer)[replica].numpy() for blocks in (leaves, start))
            root = sqrtm(a)
            expected[replica] += float((a + b).trace() - 2 * sqrtm(root @ b @ root).trace().real)
    tolerance = 1e-4 if name == "low_rank" else 1e-6  # roots of singular matrices are less exact
    torch.testing.assert_close(distance(family, leaves, start, unit), expected, rtol=tolerance, atol=tolerance)
    assert distance(family, start, start, unit).abs().max() < 1e-9


class Gate(nn.Module):
    """Two matrices in one module, the second without a bias of its own."""

    def __init__(self):
        super().__init__()
        self.weight_a, self.weight_b = (nn.Parameter(torch.randn(6, 6)) for _ in range(2))
        self.bias_a = nn.Parameter(torch.zeros(6))

    def forward(self, a, b):
        return torch.tanh(a @ self.weight_a.T + self.bias_a) * (b @ self.weight_b.T)


class Twins(nn.Module):
    """A user's network: defined out of order, with a shared and a frozen weight, two matrices in one module."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 2)
        self.twin = nn.Linear(6, 6)
        self.gate = Gate()
        self.scale = nn.Parameter(torch.ones(6))
        self.body = nn.Linear(3, 6)
        self.same = nn.Linear(6, 6)
        self.same.weight = self.twin.weight
        self.same.bias = self.twin.bias
        self.still = nn.Linear(6, 6).requires_grad_(False)

    def forward(self, x):
        x = torch.tanh(self.body(x))
        return self.head(self.scale * self.gate(torch.tanh(self.still(self.same(x))), self.twin(x)))


SHIPPED = {
    "mlp": (lambda: MLP(hidden=(8, 8)).build(3, 2), 3),
    "without bias": (lambda: MLP(hidden=(8,), bias=False).build(3, 2), 3),
    "lenet5": (lambda: LeNet5().build(784, 2), 784),
    "resnet18": (lambda: ResNet18(width=4, image=(3, 8, 8)).build(192, 2), 192),
    "a user's": (lambda: from_module(Twins(), features=3), 3),
    "norm": (lambda: from_module(NORMED), 3),
}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("method", [Deterministic(), IBVI(layers="all"), IBVI()])
def test_every_trainable_parameter_is_in_exactly_one_group_and_moves(name, method):
    make, features = SHIPPED[name]
    network = make()
    single = Task((0,), features, 2, network, schedule=Schedule(gradient_steps=4, batch_size=4), dtype=torch.float64)
    named = [parameter for layer in network.layers for parameter in layer.shapes]
    assert len(named) == len(set(named))
    if hasattr(network, "_module"):
        parameters = dict(network._module.named_parameters(remove_duplicate=False))
        owned = [id(value) for value in network._module.parameters() if value.requires_grad]
        assert sorted(id(parameters[key]) for key in named) == sorted(owned)
    state = method.init(single)
    groups = state.parameters
    assert sum(leaf[0].numel() for leaf in groups.leaves.values()) == groups.values.shape[1] == len(groups.rates)
    assert (groups.rates > 0).all()
    means = {block.removeprefix("mean/"): leaf for block, leaf in groups.detached.items() if "factor" not in block}
    assert {
        layer.name: sum(torch.Size(shape).numel() for shape in layer.shapes.values()) for layer in network.layers
    } == {block: leaf.shape[1] for block, leaf in means.items()}
    before = {block: leaf.clone() for block, leaf in groups.detached.items()}
    method.update(state, rows(1, 6, features))
    for block, leaf in groups.detached.items():
        moved = (leaf != before[block]).double().mean().item()
        assert moved > 0.05, block  # not all of it: units that are dead do not move


def test_layers_of_a_users_network_are_found_by_calling_it():
    network = from_module(Twins(), features=3)
    roles = {layer.name: layer.role for layer in network.layers}
    assert roles == {"body": "input", "same": "hidden", "": "norm", "head": "output"} | {
        "gate.weight_a": "hidden",
        "gate.weight_b": "hidden",
    }
    shapes = {layer.name: list(layer.shapes) for layer in network.layers}
    assert shapes["gate.weight_a"] == ["gate.weight_a", "gate.bias_a"]
    assert network.layers[-1].name == "head"
    assert hasattr(network, "head")
    named = from_module(Twins(), features=3, input="same", output="gate.weight_b")
    assert {layer.name: layer.role for layer in named.layers}["same"] == "input"
    assert named.layers[-1].name == "gate.weight_b"
    assert not hasattr(named, "head")
    with pytest.raises(ValueError, match="did you mean 'head'"):
        from_module(Twins(), features=3, output="heads")


def test_layers_may_be_named():
    deep = task(hidden=(8, 8))
    family = GaussianFamily.over(deep, ("1",), covariance("low_rank", 3))
    assert [layer.name for layer in family.stochastic] == ["1"]
    with pytest.raises(ValueError, match="unknown layer 'fc'"):
        GaussianFamily.over(deep, ("fc",), covariance("low_rank", 3))


def test_a_full_covariance_is_for_small_layers():
    wide = task(features=50, hidden=(50,))
    with pytest.raises(ValueError, match="at most 2,000 entries for a full covariance, got 2,550 in '0'"):
        IBVI(family="full").init(wide)


@pytest.mark.parametrize("network", ["lenet5", "resnet18"])
def test_a_lane_of_a_convolutional_network_is_that_network(network):
    make, features = SHIPPED[network]
    network = make()
    family = GaussianFamily.over(
        Task((0, 1), features, 2, network, dtype=torch.float64), "first_last", covariance("low_rank", 2)
    )
    leaves = family.initial(1.0)[0]
    noise = torch.randn(2, 3, family.noise_size, generator=torch.Generator().manual_seed(0)).double()
    weights = family.sample(leaves, noise)
    x = torch.randn(2, 1, 4, features, generator=torch.Generator().manual_seed(1)).double()
    values = network.apply(weights, x)
    for replica in range(2):
        for draw in range(3):
            own = {name: weight[replica, min(draw, weight.shape[1] - 1)] for name, weight in weights.items()}
            expected = torch.func.functional_call(network._module.double(), own, (x[replica, 0],))
            torch.testing.assert_close(values[replica, draw], expected, rtol=1e-9, atol=1e-9)
    chosen = torch.tensor([[0, 1, 1, 0]] * 2)
    head = network.head(weights, network.features(weights, x), chosen)
    index = chosen[:, None, :, None].expand(2, 3, 4, 1)
    torch.testing.assert_close(head, values.gather(3, index).squeeze(3), rtol=1e-9, atol=1e-9)


def test_the_scale_of_the_prior_can_be_set_by_what_its_functions_do():
    form = covariance("low_rank", 5)
    for width in (16, 256):
        wide = task(features=4, hidden=(width,), dtype=torch.float32)
        state = IBVI(function_std=0.8).init(wide)
        assert function_std(wide, "first_last", form, state.scale) == pytest.approx(0.8, rel=1e-3)
    at_one = [function_std(task(features=4, hidden=(width,)), "first_last", form, 1.0) for width in (16, 1024)]
    assert at_one[0] / at_one[1] == pytest.approx(8, rel=0.4)  # under muP it falls as width^(-1/2)
    with pytest.raises(ValueError, match="expected a function_std between"):
        IBVI(function_std=1e9).init(task())


@pytest.mark.slow
def test_noise_that_is_learned_is_the_mean_squared_error():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 400, 3, generator=random).double()
    y = x[:, :, 0] + 0.5 * torch.randn(2, 400, generator=random).double()
    data = Data.of(x, torch.zeros(2, 400, dtype=torch.long), y)
    linear = Task(
        (0, 1),
        3,
        1,
        MLP(hidden=()).build(3, 1),
        likelihood=Gaussian(learned_noise=True),
        schedule=Schedule(gradient_steps=3000, batch_size=400),
        dtype=torch.float64,
    )
    for method in (Deterministic(), IBVI()):
        state = method.init(linear)
        method.update(state, data)
        predicted = method.predict(state, x, data.output, torch.full((2,), 9.0).double())
        assert predicted.variance[:, 0].tolist() == pytest.approx([0.25, 0.25], rel=0.15)


def test_classes_are_learned_and_tempered_as_a_whole():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 300, 3, generator=random)
    labels = (x[:, :, 0] > 0).long() + (x[:, :, 1] > 0).long()
    data = Data.of(x, labels, torch.zeros(2, 300))
    classes = Task(
        (0, 1),
        3,
        3,
        MLP(hidden=(30,)).build(3, 3),
        likelihood=Categorical(),
        schedule=Schedule(gradient_steps=800, batch_size=64),
    )
    method = IBVI()
    state = method.init(classes)
    method.update(state, data)
    predicted = method.predict(state, x, labels, torch.ones(2))
    assert predicted.logits.shape == (2, 64, 300, 3)
    probability = predicted.log_probabilities().exp()
    torch.testing.assert_close(probability.sum(2), torch.ones(2, 300))
    assert (probability.argmax(2) == labels).float().mean() > 0.9
    cold = predicted.__class__(predicted.logits, 4.0).log_probabilities()
    torch.testing.assert_close(cold, (predicted.logits / 4).softmax(3).mean(1).log())


def test_a_batch_names_its_rows():
    data = rows()
    batch = data.rows(torch.tensor([[3, 0], [1, 1]]))
    assert isinstance(batch, Batch)
    assert torch.equal(batch.x[0, 0], data.x[0, 3])
    assert batch.rows.tolist() == [[3, 0], [1, 1]]


CLASSIFIERS = {
    "lenet5": (lambda: LeNet5(image=(1, 12, 12)), 144),
    "resnet18": (lambda: ResNet18(width=4, image=(1, 8, 8)), 64),
    "mlp": (lambda: MLP(hidden=(30,)), 20),
}


@pytest.mark.parametrize("network", CLASSIFIERS)
@pytest.mark.parametrize(
    "method",
    [
        IBVI(),
        IBVI(layers="all"),
        IBVI(family="mean_field"),
        IBVI(family="low_rank_plus_diagonal"),
        IBVI(family="kronecker"),
        ELBO(),
        ELBO(family="kronecker", layers="first_last"),
        ELBO(family="low_rank_plus_diagonal", rank=17, layers="first_last"),
        WassersteinVI(),
        WassersteinVI(family="kronecker"),
        Laplace(),
        Dropout(),
        SWAG(every=1),
        Ensemble(members=2),
    ],
)
def test_a_seed_is_the_same_alone_and_in_a_block_for_every_network_and_posterior(method, network):
    make, features = CLASSIFIERS[network]
    random = torch.Generator().manual_seed(0)
    x, labels = torch.randn(40, features, generator=random), torch.randint(4, (40,), generator=random)
    found = []
    for seeds in ((7,), (3, 1, 7)):
        shared = x.expand(len(seeds), -1, -1)
        classes = Task(
            seeds,
            features,
            4,
            make().build(features, 4),
            likelihood=Categorical(),
            schedule=Schedule(gradient_steps=4, batch_size=16),
        )
        state = method.init(classes)
        labelled = labels.expand(len(seeds), -1)
        method.update(state, Data.of(shared, labelled, torch.zeros(1).expand(len(seeds), 40)))
        noise = torch.ones(len(seeds))
        several, one = (method.predict(state, shared[:, :n], labelled[:, :n], noise).logits for n in (10, 1))
        found.append(torch.cat([several, one], 2)[seeds.index(7)])
        assert not torch.equal(several[0], several[-1]) or len(seeds) == 1
    assert torch.equal(*found)
