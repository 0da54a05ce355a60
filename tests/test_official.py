"""Against the authors' implementation, `inferno-torch`: the same weights and noise give the same outputs and gradients.

To run it: pip install --no-deps inferno-torch
"""

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from tests.helpers import task
from vbandits.networks.parametrization import rate, std
from vbandits.posteriors.common import evaluate
from vbandits.posteriors.covariances import covariance
from vbandits.posteriors.gaussian import GaussianFamily

pytestmark = pytest.mark.skipif(importlib.util.find_spec("inferno") is None, reason="inferno-torch is not installed")
RANK, SAMPLES = 4, 3


class Empty(type):
    """Makes a class that has every attribute, each of them itself."""

    def __getattr__(cls, name):
        return cls.attribute(name)

    def attribute(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return cls


Nothing = Empty("Nothing", (), {"__init__": lambda *_, **__: None})


def official(monkeypatch):
    """Imports it; it imports torchvision, for datasets, which an empty module stands in for."""
    for name in ("", ".datasets", ".transforms", ".transforms.v2", ".models", ".models.resnet", ".utils"):
        stand_in = ModuleType(f"torchvision{name}")
        stand_in.__getattr__ = Nothing.attribute
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    importlib.import_module("inferno.bnn.params")
    importlib.import_module("inferno.models")
    return sys.modules["inferno"]


def theirs_and_ours(monkeypatch):
    """A network of theirs with our weights: input, hidden (deterministic) and output layer, in float64."""
    inferno = official(monkeypatch)
    deep = task(seeds=(0,), hidden=(8, 6))
    family = GaussianFamily.over(deep, "first_last", covariance("low_rank", RANK))
    leaves = {name: leaf.requires_grad_() for name, leaf in family.initial(1.0)[0].items()}
    low_rank = inferno.bnn.params.LowRankCovariance
    network = inferno.models.MLP(3, [8, 6], 2, cov=[low_rank(RANK), None, low_rank(RANK)]).double()
    layers = [module for module in network if hasattr(module, "params")]
    for layer, own in zip(layers, deep.network.layers, strict=True):
        split = own.fan_in * own.fan_out
        mean = leaves[f"mean/{own.name}"][0].detach()
        layer.params.weight.data = mean[:split].view(own.fan_in, own.fan_out).T.clone()
        layer.params.bias.data = mean[split:].clone()
        if layer.params.cov is not None:
            factor = leaves[f"factor/{own.name}"][0].detach()
            weight = factor[:split].view(own.fan_in, own.fan_out, RANK).transpose(0, 1)
            layer.params.cov.factor["weight"].data = weight.contiguous()
            layer.params.cov.factor["bias"].data = factor[split:].clone()
    return network, layers, family, leaves


def their_values(network, layers, x, noise):
    """Their network at our noise, through their own product with the factor."""
    parts = iter(noise.split(RANK, 1))
    for module in network:
        if module not in layers:
            x = module(x)
            continue
        if module.params.cov is None:
            x = module(x, sample_shape=torch.Size([SAMPLES]), input_contains_samples=True)
            continue
        deviation = module.params.cov.factor_matmul(next(parts))
        draws = {name: deviation[name] + getattr(module.params, name) for name in ("weight", "bias")}
        x = module(x, sample_shape=torch.Size([SAMPLES]), parameter_samples=draws, input_contains_samples=x.dim() == 3)
    return x


def test_outputs_and_gradients_are_the_same(monkeypatch):
    network, layers, family, leaves = theirs_and_ours(monkeypatch)
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 3, generator=random).double(), torch.randn(20, 2, generator=random).double()
    noise = torch.randn(1, SAMPLES, 2 * RANK, generator=random).double()
    theirs = their_values(network, layers, x, noise[0])
    ours = evaluate(family.task.network, family.sample(leaves, noise), x[None, None], None)
    torch.testing.assert_close(ours[0], theirs, rtol=0, atol=1e-6)
    assert theirs.std(0).min() > 1e-3
    (theirs - y).square().mean().backward()
    (ours[0] - y).square().mean().backward()
    for layer, own in zip(layers, family.task.network.layers, strict=True):
        split = own.fan_in * own.fan_out
        mean = leaves[f"mean/{own.name}"].grad[0]  # type: ignore[index]
        torch.testing.assert_close(
            mean[:split].view(own.fan_in, own.fan_out).T, layer.params.weight.grad, rtol=0, atol=1e-6
        )
        torch.testing.assert_close(mean[split:], layer.params.bias.grad, rtol=0, atol=1e-6)
        if layer.params.cov is not None:
            factor = leaves[f"factor/{own.name}"].grad[0]  # type: ignore[index]
            weight = factor[:split].view(own.fan_in, own.fan_out, RANK).transpose(0, 1)
            torch.testing.assert_close(weight, layer.params.cov.factor["weight"].grad, rtol=0, atol=1e-6)
            torch.testing.assert_close(factor[split:], layer.params.cov.factor["bias"].grad, rtol=0, atol=1e-6)
            assert weight.abs().max() > 1e-3


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("ours", ["mup", "sp"])
def test_scales_and_learning_rates_are_the_same(monkeypatch, ours, optimizer):
    inferno = official(monkeypatch)
    theirs = {"mup": inferno.bnn.params.MaximalUpdate(), "sp": inferno.bnn.params.Standard()}[ours]
    for layer in task(hidden=(8, 6)).network.layers:
        arguments = (layer.fan_in, layer.fan_out)
        for kind in ("weight", "bias"):
            scale = getattr(theirs, f"{kind}_init_scale")(*arguments, layer_type=layer.role)
            factor = getattr(theirs, f"{kind}_lr_scale")(*arguments, optimizer=optimizer, layer_type=layer.role)
            assert std(layer, f"{layer.name}.{kind}", ours) == pytest.approx(scale)
            assert rate(layer, f"{layer.name}.{kind}", ours, optimizer.lower()) == pytest.approx(factor)
