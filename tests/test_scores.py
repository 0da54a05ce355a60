import numpy as np
import pytest
import scoringrules
import torch
from scipy import integrate, stats

from vbandits.metrics import calibration, scores
from vbandits.predictive import Mixture, StudentT

random = np.random.default_rng(0)
MEANS, STD, Y = random.normal(size=(3, 4, 5)), random.uniform(0.5, 2, (3, 4)), random.normal(size=(3, 4))
MIXTURE = [torch.from_numpy(part) for part in (MEANS, STD, Y)]


def test_mixture_nll_is_minus_log_of_the_mean_density():
    density = stats.norm.pdf(Y[..., None], MEANS, STD[..., None]).mean(-1)
    np.testing.assert_allclose(scores.mixture_nll(*MIXTURE), -np.log(density), rtol=1e-12)


def test_mixture_nll_survives_far_outcomes():
    far = scores.mixture_nll(torch.zeros(1, 3), torch.ones(1), torch.tensor([100.0]))
    assert far.item() == pytest.approx(5000.919, abs=1e-3)


def test_mixture_crps_agrees_with_scoringrules():
    wide = np.broadcast_to(STD[..., None], MEANS.shape)
    expected = scoringrules.crps_mixnorm(Y, MEANS, wide, m_axis=-1)
    np.testing.assert_allclose(scores.mixture_crps(*MIXTURE), expected, rtol=1e-9)


def test_one_component_has_the_normal_crps():
    expected = scoringrules.crps_normal(Y, MEANS[..., 0], STD)
    np.testing.assert_allclose(scores.mixture_crps(MIXTURE[0][..., :1], *MIXTURE[1:]), expected, rtol=1e-10)


def test_crps_is_the_integral_of_the_squared_difference_of_distribution_functions():
    means, std, y = (part[0, :1] for part in MIXTURE)

    def difference(x, low):
        return (scores.mixture_cdf(means, std, torch.tensor([x])).item() - (not low)) ** 2

    below = integrate.quad(difference, -20, y.item(), args=(True,))[0]
    above = integrate.quad(difference, y.item(), 20, args=(False,))[0]
    assert scores.mixture_crps(means, std, y).item() == pytest.approx(below + above, rel=1e-6)


@pytest.mark.parametrize("df", [1.5, 3.0, 50.0])
def test_student_scores_agree_with_scoringrules_and_scipy(df):
    freedom, location = np.full_like(Y, df), MEANS[..., 0]
    np.testing.assert_allclose(
        scores.student_crps(freedom, location, STD, Y), scoringrules.crps_t(Y, df, location, STD), rtol=1e-8
    )
    np.testing.assert_allclose(scores.student_cdf(freedom, location, STD, Y), stats.t.cdf(Y, df, location, STD))
    np.testing.assert_allclose(scores.student_nll(freedom, location, STD, Y), -stats.t.logpdf(Y, df, location, STD))


def test_bernoulli_scores():
    probability, y = torch.tensor([[0.9, 0.9, 0.2], [1.0, 0.0, 0.0]], dtype=torch.float64)
    np.testing.assert_allclose(scores.bernoulli_nll(probability, y), -np.log([0.9, 0.1, 0.8]))
    np.testing.assert_allclose(scores.brier(probability, y), [0.01, 0.81, 0.04])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mixture(torch.tensor(MEANS).movedim(-1, 1), torch.tensor(STD) ** 2),
        lambda: StudentT(torch.full((3, 4), 3.0), torch.tensor(Y) * 0, torch.tensor(STD)),
    ],
)
def test_a_change_of_units_shifts_the_density_by_its_jacobian(make):
    shift, scale = torch.tensor([[1.0], [2.0], [-3.0]]), torch.tensor([[2.0], [0.5], [10.0]])
    changed = make().affine(shift, scale)
    y = shift.numpy() + scale.numpy() * Y
    np.testing.assert_allclose(changed.nll(y), make().nll(Y) + np.log(scale.numpy()))
    np.testing.assert_allclose(changed.crps(y), scale.numpy() * make().crps(Y))
    np.testing.assert_allclose(changed.cdf(y), make().cdf(Y))
    np.testing.assert_allclose(changed.mean(), shift.numpy() + scale.numpy() * make().mean())


def test_coverage_counts_targets_between_the_quantiles():
    means, std = torch.tensor([-1.0, 2.0]).double().expand(20_000, -1), torch.ones(20_000).double()
    y = random.normal(np.where(random.random(20_000) < 0.5, -1.0, 2.0), 1.0)
    pit = scores.mixture_cdf(means, std, torch.from_numpy(y)).numpy()
    for level in calibration.LEVELS:
        error = 4 * (level * (1 - level) / 20_000) ** 0.5
        assert calibration.coverage(pit, level) == pytest.approx(level, abs=error)
    assert np.isnan(calibration.coverage(np.full(3, np.nan), 0.9))
