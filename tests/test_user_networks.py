"""Networks that users bring: whatever they are made of, they are trained as they are, or refused with a reason."""

import pytest
import torch
from torch import nn

from tests.helpers import rows
from vbandits.networks import Module, from_module
from vbandits.posteriors.ibvi import IBVI
from vbandits.types import Schedule, Task


def trained(network, features=3):
    """IBVI on a network after a few steps, and how its outputs have moved."""
    single = Task((0, 1), features, 2, network, schedule=Schedule(gradient_steps=3, batch_size=8))
    method, data = IBVI(rank=2), rows(2, 12, features, dtype=torch.float32)
    state = method.init(single)
    before = method.mean(state)(data.x).clone()
    method.update(state, data)
    return (method.mean(state)(data.x) - before).abs().max().item()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.linspace(-1, 1, 12).view(1, 3, 4))
        self.embed = nn.Linear(1, 4)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x.unsqueeze(2)) + self.position).mean(1))


def test_attention_is_trained_and_its_layers_are_found():
    network = from_module(Attention(), features=3)
    roles = {layer.name: layer.role for layer in network.layers}
    assert roles["embed"] == "input"
    assert roles["head"] == "output"
    assert roles["encoder.self_attn.out_proj"] == "hidden"
    assert roles[""] == "norm"
    assert hasattr(network, "head")
    assert trained(network) > 1e-4


@pytest.mark.parametrize("last", [nn.ReLU(), nn.Hardtanh(-3, 3), nn.Identity()])
def test_what_comes_after_the_last_layer_is_kept(last):
    for seed in range(5):
        torch.manual_seed(seed)
        network = from_module(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2), last))
        assert hasattr(network, "head") == isinstance(last, nn.Identity)
        weights = {
            name: 30 * torch.ones(1, 1, *shape) for layer in network.layers for name, shape in layer.shapes.items()
        }
        values = network.apply(weights, -torch.ones(1, 1, 4, 3))
        assert torch.equal(values, last(values))


def test_a_frozen_bias_of_the_last_layer_is_kept():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(module[2].bias, 5.0)
    module[2].bias.requires_grad_(False)
    network = from_module(module)
    weights = {name: torch.zeros(1, 1, *shape) for layer in network.layers for name, shape in layer.shapes.items()}
    assert "2.bias" not in weights
    assert network.apply(weights, torch.ones(1, 1, 4, 3)).unique().tolist() == [5.0]


def test_a_layer_without_influence_is_refused_by_name():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.auxiliary = nn.Linear(3, 2), nn.Linear(3, 7)

        def forward(self, x):
            return self.head(x)

    with pytest.raises(ValueError, match=r"does not on 'auxiliary.weight', 'auxiliary.bias': remove them"):
        from_module(Auxiliary(), features=3)


def test_a_module_that_cannot_be_called_is_refused():
    with pytest.raises(ValueError, match=r"maps \[2, 5\] to \[2, K\], got from Sequential: RuntimeError"):
        from_module(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), features=5)


@pytest.mark.parametrize("part", [nn.ConvTranspose1d(1, 2, 3), nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))])
def test_weights_without_fans_are_refused(part):
    with pytest.raises(ValueError, match="transposed convolutions and parametrised weights are not supported"):
        from_module(nn.Sequential(nn.Unflatten(1, (1, 3)), part, nn.Flatten(), nn.LazyLinear(2)), features=3)


def test_what_a_module_draws_by_itself_is_the_same_every_time():
    class Features(nn.Module):
        def __init__(self, features, outputs):
            super().__init__()
            self.register_buffer("directions", torch.randn(features, 6))
            self.head = nn.Linear(6, outputs)

        def forward(self, x):
            return self.head(torch.cos(x @ self.directions))

    before = torch.get_rng_state()
    buffers = [Module(Features).build(3, 2)._module.directions for _ in range(2)]
    assert torch.equal(*buffers)
    assert torch.equal(before, torch.get_rng_state())


def test_the_users_module_stays_as_it_is():
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    with pytest.warns(UserWarning, match=r"dropout \(1\) is off here, in training too, .* use the posterior dropout"):
        assert trained(from_module(module)) > 1e-5
    assert module.training
