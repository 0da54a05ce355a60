import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn.functional import softplus

from tests.helpers import covariance_of, rows, task
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ibvi import IBVI
from vbandits.types import Data, Optimizer, Schedule


@pytest.mark.parametrize("spread", ["positive", "signed"])
@pytest.mark.parametrize("family", ["mean_field", "low_rank_plus_diagonal", "kronecker", "full"])
def test_the_divergence_is_that_between_the_normal_distributions(family, spread):
    state = ELBO(family=family, rank=3, initial_spread=0.4, spread=spread).init(task(hidden=(4,)))
    leaves = state.parameters.detached
    for name, leaf in leaves.items():  # away from the start, where much is diagonal
        leaf += 0.1 * torch.randn(leaf.shape, generator=torch.Generator().manual_seed(len(name))).double()
    prior = {"0": torch.linspace(0.5, 1.5, 16, dtype=torch.float64), "1": torch.full((10,), 0.3, dtype=torch.float64)}
    if family == "kronecker":  # its prior has one scale for each row
        prior["0"] = torch.tensor([0.5, 0.5, 0.5, 1.5], dtype=torch.float64).repeat_interleave(4)
    expected = torch.zeros(2, dtype=torch.float64)
    for layer in state.family.stochastic:
        scale, covariance = prior[layer.name], covariance_of(state.family, leaves, layer)
        ours = MultivariateNormal(leaves[f"mean/{layer.name}"], covariance)
        expected += kl_divergence(ours, MultivariateNormal(torch.zeros_like(scale), torch.diag(scale**2)))
    torch.testing.assert_close(state.family.divergence(leaves, prior), expected, rtol=1e-9, atol=1e-9)


def test_a_singular_covariance_has_no_divergence():
    with pytest.raises(ValueError, match="low_rank, whose divergence to the prior is infinite"):
        ELBO(family="low_rank")
    assert ELBO(family="low_rank", kl_weight=0.0)


@pytest.mark.parametrize("family", ["mean_field", "low_rank_plus_diagonal", "low_rank", "kronecker", "full"])
def test_without_the_divergence_it_is_ibvi_bit_for_bit(family):
    data, trained = rows(), []
    for method in (
        ELBO(family, layers="first_last", kl_weight=0.0, initial_spread=0.7, spread="signed"),
        IBVI(family, prior_scale=0.7),
    ):
        state = method.init(task(schedule=Schedule(gradient_steps=5)))
        method.update(state, data)
        trained.append(state.parameters.values)
    assert torch.equal(*trained)


@pytest.mark.slow
def test_on_a_linear_network_the_bound_is_tight():
    """With a covariance of full rank the best Gaussian is the exact posterior, here of conjugate regression."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 30, 3, generator=random, dtype=torch.float64)
    y = x[0] @ torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64) + torch.randn(30, generator=random).double() * 0.5
    data = Data.of(x, torch.zeros(1, 30, dtype=torch.long), y[None], noise=0.25)
    linear = task(
        seeds=(0,),
        outputs=1,
        hidden=(),
        bias=False,
        parametrization="sp",
        schedule=Schedule(gradient_steps=4000, batch_size=2000),
        optimizer=Optimizer(learning_rate=0.05, momentum=0.9),
    )
    method = ELBO(family="low_rank_plus_diagonal", rank=3)
    state = method.init(linear)
    method.update(state, data)
    precision = x[0].T @ x[0] / 0.25 + 3 * torch.eye(3, dtype=torch.float64)  # prior variance 1 / fan_in
    location = torch.linalg.solve(precision, x[0].T @ y / 0.25)
    leaves = state.parameters.detached
    factor, spread = leaves["factor/0"][0], softplus(leaves["spread/0"][0])
    covariance = factor @ factor.T + torch.diag(spread**2)
    torch.testing.assert_close(leaves["mean/0"][0], location, rtol=0, atol=0.02)
    torch.testing.assert_close(covariance, torch.linalg.inv(precision), rtol=0.1, atol=1e-3)


@pytest.mark.slow
def test_without_the_divergence_nothing_holds_the_variance():
    data = rows(count=4)
    variances = []
    for weight in (0.0, 1.0):
        narrow = task(
            hidden=(),
            bias=False,
            parametrization="sp",
            schedule=Schedule(gradient_steps=2000),
            optimizer=Optimizer(0.05),
        )
        method = ELBO(kl_weight=weight, initial_spread=1.0)
        state = method.init(narrow)
        method.update(state, data)
        taken = method.draw(state, 500)(data.x).gather(3, data.output[:, None, :, None].expand(-1, 500, -1, 1))
        variances.append(taken.var(1).mean().item())
    assert variances[0] < 0.05 * variances[1]
