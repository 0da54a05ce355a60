from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.helpers import task
from vbandits.networks import MLP, Module, from_module
from vbandits.networks.mlp import affine
from vbandits.networks.parametrization import rate, std
from vbandits.networks.weights import Factored, initial, prior_std, rates, size, unflatten


def reference(weights, x, replica, draw):
    """The network of one replica and draw, with torch's own layers."""
    for i in range(3):
        x = nn.functional.linear(x, weights[f"{i}.weight"][replica, draw].T, weights[f"{i}.bias"][replica, draw])
        x = torch.relu(x) if i < 2 else x
    return x


@pytest.mark.parametrize("shared", [(), (0,), (1,), (0, 1), (0, 1, 2)])
def test_every_replica_and_draw_is_its_own_network(shared):
    network = MLP(hidden=(6, 5)).build(3, 2)
    random = torch.Generator().manual_seed(0)
    full = {
        name: torch.randn(4, 7, *shape, generator=random, dtype=torch.float64)
        for layer in network.layers
        for name, shape in layer.shapes.items()
    }
    for name in full:
        if int(name[0]) in shared:  # the weights of a layer that all draws share have one draw
            full[name] = full[name][:, :1]
    x = torch.randn(4, 9, 3, generator=random, dtype=torch.float64)
    values = network.apply(full, x.unsqueeze(1)).expand(4, 7, 9, 2)
    expanded = {name: value.expand(4, 7, *value.shape[2:]) for name, value in full.items()}
    for replica in range(4):
        for draw in range(7):
            expected = reference(expanded, x[replica], replica, draw)
            assert torch.allclose(values[replica, draw], expected, rtol=1e-12, atol=1e-12)


def test_parametrisations_follow_their_tables():
    narrow, hidden, last = MLP(hidden=(50, 40)).build(4, 3).layers
    stds = {p: [std(layer, f"{layer.name}.weight", p) for layer in (narrow, hidden, last)] for p in ("mup", "sp")}
    assert stds == {"mup": [1 / 2, 1 / 50**0.5, 1 / 40], "sp": [1 / 2, 1 / 50**0.5, 1 / 40**0.5]}
    rates = [rate(layer, f"{layer.name}.weight", "mup") for layer in (narrow, hidden, last)]
    assert rates == [50, 1, 1 / 40]
    assert [rate(layer, f"{layer.name}.bias", "mup") for layer in (narrow, hidden, last)] == [50, 40, 3]
    assert {rate(layer, name, "sp") for layer in (narrow, hidden, last) for name in layer.shapes} == {1.0}
    assert {std(layer, f"{layer.name}.bias", p) for layer in (narrow, hidden, last) for p in stds} == {1.0}


def test_initial_weights_have_the_prior_standard_deviation_and_differ_between_seeds():
    wide = task(seeds=range(6), features=30, hidden=(200, 100))
    weights = unflatten(wide.network, {k: v.unsqueeze(1) for k, v in initial(wide.network, wide, "weights").items()})
    for name, expected in {"0.weight": 30**-0.5, "1.weight": 200**-0.5, "2.weight": 1 / 100, "1.bias": 1.0}.items():
        values = weights[name].flatten(1)
        assert values.std().item() == pytest.approx(expected, rel=4 / (2 * values.numel()) ** 0.5)
        assert len(set(values[:, 0].tolist())) == 6


def test_any_module_is_the_same_function_as_the_network_written_by_hand():
    hand = MLP(hidden=(6,)).build(3, 2)
    theirs = Module(lambda d, k: nn.Sequential(nn.Linear(d, 6), nn.ReLU(), nn.Linear(6, k))).build(3, 2)
    assert [(a.fan_in, a.fan_out, a.role, size(a)) for a in theirs.layers] == [
        (b.fan_in, b.fan_out, b.role, size(b)) for b in hand.layers
    ]
    random = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (3, 6), "0.bias": (6,), "1.weight": (6, 2), "1.bias": (2,)}
    weights = {name: torch.randn(2, 4, *shape, generator=random) for name, shape in shapes.items()}
    x = torch.randn(2, 1, 5, 3, generator=random)
    names = {"0": "0", "1": "2"}
    same = {f"{names[name[0]]}{name[1:]}": value.mT if "weight" in name else value for name, value in weights.items()}
    assert torch.allclose(theirs.apply(same, x), hand.apply(weights, x), atol=1e-5)


def test_norm_layers_start_at_their_identity_and_are_trained():
    network = from_module(nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.Linear(6, 2)))
    assert [layer.role for layer in network.layers] == ["input", "norm", "output"]
    blocks = initial(network, task(), "weights")
    assert torch.equal(blocks["1"], torch.tensor([1.0] * 6 + [0.0] * 6, dtype=torch.float64).expand(2, 12))
    assert rate(network.layers[1], "1.weight", "mup") > 0


def test_rows_that_influence_each_other_are_refused():
    with pytest.raises(ValueError, match=r"BatchNorm1d at '1'.*GroupNorm"):
        from_module(nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)))
    with pytest.raises(ValueError, match="at least one weight matrix"):
        from_module(nn.ReLU())


def test_a_module_that_is_one_linear_layer_has_its_inputs_as_features():
    network = from_module(nn.Sequential(nn.Linear(3, 2)))
    x = torch.randn(2, 1, 5, 3, generator=torch.Generator().manual_seed(0))
    weights = {"0.weight": torch.ones(2, 4, 2, 3), "0.bias": torch.zeros(2, 4, 2)}
    assert torch.equal(network.features(weights, x), x)
    torch.testing.assert_close(network.apply(weights, x), x.sum(3, keepdim=True).expand(2, 4, 5, 2))


def test_prior_and_rates_have_the_precision_of_the_task():
    single = task(features=3, parametrization="ntp")
    assert prior_std(single.network, single)["0"][0].item() == pytest.approx(3**-0.5, rel=1e-14)
    assert rates(single.network, single)["0"][0].item() == pytest.approx(1 / 3, rel=1e-14)
    assert prior_std(single.network, replace(single, dtype=torch.float32))["0"].dtype == torch.float32


@pytest.mark.parametrize("rows", [1, 7, 200])
@pytest.mark.parametrize("biased", [True, False])
def test_draws_that_are_not_multiplied_out_are_those_that_are(rows, biased):
    """Of few rows and of many, which are multiplied in another order."""
    made = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    noise = normal(2, 9, 3)  # nine draws of three columns
    weight = Factored(normal(2, 1, 4, 5), normal(2, 4, 5, 3), noise)
    bias = Factored(normal(2, 1, 5), normal(2, 5, 3), noise) if biased else None
    x = normal(2, 1, rows, 4)
    expected = x @ weight.dense() + (bias.dense().unsqueeze(2) if bias else 0.0)
    torch.testing.assert_close(affine(x, weight, bias), expected)
