"""Gradients by hand are those that autograd finds."""

from dataclasses import replace

import pytest
import torch

from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP, Module
from vbandits.posteriors import backward
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.dropout import Dropout
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.ibvi_limit import IBVILimit
from vbandits.posteriors.swag import SWAG
from vbandits.types import Data, Optimizer, Schedule, Task

POSTERIORS = {
    "deterministic": Deterministic(),
    "ensemble": Ensemble(members=3),
    "prior functions": Ensemble(members=2, prior_scale=2.0),
    "swag": SWAG(every=2),
    "dropout": Dropout(rate=0.3),
    "dropout of all inputs": Dropout(rate=0.3, layers="all", samples=2),
    "ibvi": IBVI(rank=3),
    "many draws": IBVI(rank=2, samples=3),
    "all layers": IBVI(rank=2, layers="all", samples=2),
    "last layer": IBVI(rank=4, layers="last"),
    "a layer by name": IBVI(rank=2, layers=("1",), samples=2),
    "no layer": IBVI(prior_scale=0.0),
    "mean field": IBVI(family="mean_field", layers="all"),
    "mean field, many draws": IBVI(family="mean_field", samples=3),
    "mean field, last layer": IBVI(family="mean_field", layers="last"),
    "elbo": ELBO(),
    "elbo, signed": ELBO(spread="signed", samples=2, prior_scale=0.7, initial_spread=0.5),
    "elbo, some layers": ELBO(layers="first_last", kl_weight=0.3),
}
NETWORKS = {
    "two layers": MLP((7, 6)),
    "tanh": MLP((5,), activation="tanh", parametrization="sp"),
    "gelu": MLP((5, 4), activation="gelu", parametrization="ntp"),
    "without biases": MLP((6, 5), bias=False),
    "linear": MLP(()),
}


def trained(posterior, network, likelihood, monkeypatch, by_hand, optimizer=None, dtype=torch.float64, seeds=(3, 8)):
    """Returns what a posterior has trained after some steps, and how often a gradient was found by hand."""
    used = []
    own = backward.Backward.__call__

    def counted(self, *args, **kwargs):
        used.append(1)
        return own(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(backward.Backward, "__call__", counted)
        if not by_hand:
            patch.setattr(backward.Backward, "of", classmethod(lambda cls, *args: None))
        task = Task(seeds, 4, 3, network.build(4, 3), likelihood, dtype=dtype)
        task = replace(task, schedule=Schedule(gradient_steps=6, batch_size=16), optimizer=optimizer or Optimizer(0.05))
        random = torch.Generator().manual_seed(0)
        x = torch.randn(len(seeds), 40, 4, generator=random, dtype=dtype)
        output = torch.randint(3, (len(seeds), 40), generator=random)
        y = torch.randn(len(seeds), 40, generator=random, dtype=torch.float64)
        state = posterior.init(task)
        posterior.update(state, Data.of(x, output, y))
        parameters = state.parameters if hasattr(state, "parameters") else state.held.network.parameters
    return parameters.values, len(used)


@pytest.mark.parametrize("likelihood", [Gaussian(), Categorical()], ids=["squared error", "cross-entropy"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_training_by_hand_ends_where_autograd_does(posterior, network, likelihood, monkeypatch):
    if posterior == "a layer by name" and network in ("linear", "tanh"):
        pytest.skip("there is no such layer, or it is the last")
    args = (POSTERIORS[posterior], NETWORKS[network], likelihood, monkeypatch)
    (by_hand, used), (autograd, unused) = trained(*args, True), trained(*args, False)
    assert (used, unused) == (6, 0)
    assert torch.isfinite(by_hand).all()
    torch.testing.assert_close(by_hand, autograd, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("network", ["two layers", "gelu"])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_replicas_that_are_not_computed_together_have_the_same_bits(posterior, network, monkeypatch):
    sizes, own = [], backward.Backward._gradient

    def counted(self, given, plain):
        sizes.append(len(given.batch.output))
        return own(self, given, plain)

    monkeypatch.setattr(backward.Backward, "_gradient", counted)
    args = (
        POSTERIORS[posterior],
        NETWORKS[network],
        Gaussian(),
        monkeypatch,
        True,
        None,
        torch.float32,
        tuple(range(5)),
    )
    whole, _ = trained(*args)
    monkeypatch.setattr(backward, "AT_ONCE", 1)
    parts, _ = trained(*args)
    assert sizes == [5] * 6 + [2, 3] * 6
    assert torch.equal(whole, parts)


@pytest.mark.parametrize(
    "optimizer", [Optimizer(0.01, kind="adam"), Optimizer(0.05, clip=0.1), Optimizer(0.05, anchor=0.5)]
)
def test_every_optimizer_takes_them(optimizer, monkeypatch):
    args = (IBVI(rank=3, layers="all"), MLP((7, 6)), Gaussian(), monkeypatch)
    (by_hand, _), (autograd, _) = (trained(*args, own, optimizer) for own in (True, False))
    torch.testing.assert_close(by_hand, autograd, rtol=1e-8, atol=1e-10)


def test_single_precision_agrees_to_its_digits(monkeypatch):
    args = (IBVI(rank=3), MLP((50, 50)), Gaussian(), monkeypatch)
    (by_hand, _), (autograd, _) = (trained(*args, own, None, torch.float32) for own in (True, False))
    torch.testing.assert_close(by_hand, autograd, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("posterior", "network", "likelihood"),
    [
        (Deterministic(), Module(lambda features, outputs: torch.nn.Linear(features, outputs)), Gaussian()),
        (Deterministic(), MLP((5,)), Gaussian(learned_noise=True)),
        (IBVI(family="kronecker"), MLP((5,)), Gaussian()),
        (IBVI(noise_rank=2), MLP((5,)), Gaussian()),
    ],
    ids=["another network", "learned noise", "another covariance", "perturbed targets"],
)
def test_autograd_finds_all_others(posterior, network, likelihood, monkeypatch):
    values, used = trained(posterior, network, likelihood, monkeypatch, True)
    assert used == 0
    assert torch.isfinite(values).all()


def test_features_of_exact_last_layers_are_trained_by_hand(monkeypatch):
    args = (IBVILimit(), MLP((7, 6)), Gaussian(), monkeypatch)
    (by_hand, used), (autograd, _) = trained(*args, True), trained(*args, False)
    assert used == 6
    torch.testing.assert_close(by_hand, autograd, rtol=1e-9, atol=1e-11)
