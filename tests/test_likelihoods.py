"""A likelihood of one's own: it declares what it needs, and every posterior that can learn such targets does."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from tests.helpers import task
from vbandits.agents.model import Model
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.dropout import Dropout
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.ibvi_limit import IBVILimit
from vbandits.posteriors.laplace import Laplace
from vbandits.posteriors.neural_linear import NeuralLinear
from vbandits.posteriors.swag import SWAG
from vbandits.posteriors.wasserstein import WassersteinVI
from vbandits.predictive import StudentT
from vbandits.types import Optimizer, Schedule


@dataclass(frozen=True)
class Rates:
    """An equal mixture of Poisson distributions with these logarithms of rates [R, S, N]."""

    log_rates: torch.Tensor


@dataclass(frozen=True)
class Poisson:
    """Counts of rate exp f: exp f - y f, whose expectation over normal f is exp(mean + variance / 2) - y mean."""

    standardised = squared_loss = learned_noise = False
    predictive_type = Rates

    def targets(self, labels):
        return torch.zeros_like(labels, dtype=torch.long), labels

    def output_index(self, output):
        return output

    def loss(self, values, variance, output, y):
        return (values if variance is None else values + variance / 2).exp() - y * values

    def nll_scale(self, noise):
        return torch.ones_like(noise)

    def curvature(self, values, output, noise):
        return values.exp(), None

    def predictive(self, values, output, noise):
        return Rates(values[..., 0])


RATES = torch.tensor([2.0, 9.0])
"""Of rows at -1 and at 1."""


def counts(rows=400):
    """Returns rows [R, N, 1] and counts [R, N]."""
    x = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(rows // 2).view(1, rows, 1).expand(2, -1, -1)
    rates = torch.where(x[..., 0] < 0, *RATES.double())
    return x, torch.poisson(rates, generator=torch.Generator().manual_seed(0))


def learned(posterior, likelihood):
    steps = Schedule(gradient_steps=300, batch_size=32)
    made = task(features=1, outputs=1, schedule=steps, optimizer=Optimizer(learning_rate=0.02))
    return Model(posterior, replace(made, likelihood=likelihood))


@pytest.mark.parametrize(
    "posterior",
    [Deterministic(), Dropout(rate=0.05), ELBO(), Ensemble(), IBVI(), Laplace(), SWAG(every=1), WassersteinVI()],
    ids=lambda posterior: type(posterior).__name__,
)
def test_counts_are_learned_by_every_network_posterior_as_they_stand(posterior):
    model, (x, y) = learned(posterior, Poisson()), counts()
    model.fit(x, y)
    assert (model.scaling.y_scale == 1).all()  # counts are not standardised
    found = model.predict(x[:, :2])
    assert isinstance(found, Rates)
    mean = found.log_rates.exp().mean(1)
    np.testing.assert_allclose(mean, RATES.expand(2, -1), rtol=0.25)


@pytest.mark.parametrize("posterior", [IBVILimit(), NeuralLinear(), IBVI(noise_rank=2)])
def test_posteriors_in_closed_form_refuse_what_is_no_squared_error(posterior):
    with pytest.raises(ValueError, match=r"expected the squared error .* got Poisson\(\)"):
        learned(posterior, Poisson())


class Odd(Deterministic):
    """Predicts numbers, whatever it was asked to learn."""

    def predict(self, state, x, output, noise):
        return StudentT(*3 * (torch.ones(output.shape),))


def test_a_posterior_that_returns_another_distribution_is_refused():
    model, (x, y) = learned(Odd(), Poisson()), counts(rows=20)
    model.fit(x, y)
    with pytest.raises(ValueError, match=r"Odd.predict to return Rates .* targets that are Poisson, got StudentT"):
        model.predict(x)
