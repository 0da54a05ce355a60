"""Calibration figures say what synthetic agents are: right, too sure, too cautious."""

import numpy as np
import pytest
from scipy import stats

from vbandits.metrics import calibration

random = np.random.default_rng(0)
WIDTHS = {"calibrated": 1.0, "over-confident": 0.5, "under-confident": 2.0}


def test_randomised_pits_of_a_perfect_prediction_of_discrete_rewards_are_uniform():
    y = random.choice([-35.0, 0.0, 5.0], 20_000, p=[0.24, 0.5, 0.26])
    lower, upper = (part[0] for part in calibration.neighbours(y[None], np.arange(len(y))))

    def cdf(values):  # masses with narrow bells about them
        bells = stats.norm.cdf((values[:, None] - [-35.0, 0.0, 5.0]) / 0.1)
        return bells @ [0.24, 0.5, 0.26]

    known = np.arange(len(y)) > 100
    ends = [cdf(part[known]) for part in (lower, upper)]
    pit = calibration.randomised_pit(*ends, random.random(known.sum()))
    assert calibration.uniformity(pit) < calibration.pit_band(len(pit))
    plain = cdf(y[known])
    assert calibration.coverage(plain, 0.9) == 1  # what it was without


def test_the_values_of_a_run_are_those_that_it_has_had_so_far():
    values = np.array([[1.0, 0.0, 1.0, 0.0, 3.0, 1.0, 3.0, 0.0]])
    lower, upper = calibration.neighbours(values, np.arange(8))
    assert np.isnan(lower[0, :3]).all()
    np.testing.assert_array_equal(lower[0, 3:], [-np.inf, np.nan, 0.5, 2.0, -np.inf])
    np.testing.assert_array_equal(upper[0, 3:], [0.5, np.nan, 2.0, np.inf, 0.5])
    short = calibration.neighbours(values[:, :6], np.arange(6))
    np.testing.assert_array_equal(short[0], lower[:, :6])


def test_continuous_rewards_and_many_values_are_left_alone():
    many = np.concatenate([np.tile(np.arange(20.0), 3), [20.0], np.zeros(40)])
    late = np.concatenate([np.tile(np.arange(20.0), 10), [20.0], np.zeros(40)])
    never = random.normal(size=200), np.zeros(200, bool)
    for values, discrete in (never, (many, np.arange(101) < 60), (late, np.arange(241) < 200)):
        found = ~np.isnan(calibration.neighbours(values[None], np.arange(len(values)))[0][0])
        assert (found <= discrete).all()
        assert found.any() == discrete.any()
        assert found.sum() >= discrete.sum() - 40, "but for the first, when no value has come twice on average"


@pytest.mark.parametrize("agent", WIDTHS)
def test_coverage_and_uniformity_tell_what_an_agent_is(agent):
    y = random.normal(size=4000)
    pit = stats.norm.cdf(y / WIDTHS[agent])
    low, high = calibration.coverage_band(len(y), 0.9)
    found = calibration.coverage(pit, 0.9)
    assert (low <= found <= high) == (agent == "calibrated")
    assert (found < low) == (agent == "over-confident")
    assert (found > high) == (agent == "under-confident")
    assert (calibration.uniformity(pit) < calibration.pit_band(len(y))) == (agent == "calibrated")
    parts, ends = np.histogram(pit, 10, (0, 1))[0] / len(y), calibration.histogram_band(len(y))
    assert ((ends[0] <= parts) & (parts <= ends[1])).all() == (agent == "calibrated")


@pytest.mark.parametrize("agent", WIDTHS)
def test_thompson_probabilities_tell_what_an_agent_is(agent):
    truth = random.normal(size=(4000, 3))  # what the agent is told is off by a standard normal error
    told = truth + random.normal(size=truth.shape)
    draws = told[:, None] / 2 + np.sqrt(0.5) * WIDTHS[agent] * random.normal(size=(4000, 64, 3))
    probability = (draws.argmax(2)[..., None] == np.arange(3)).mean(1)
    bins = calibration.thompson_bins(probability, truth.argmax(1)[:, None] == np.arange(3))
    assert bins.rows.sum() == probability.size
    lean = bins.hits[-1] - bins.probability[-1]  # of arms that are held for the best
    if agent == "calibrated":
        assert np.abs(bins.hits - bins.probability).max() < 0.04
    else:
        assert (lean < -0.1) if agent == "over-confident" else (bins.hits[6] - bins.probability[6] > 0.1)


def test_bins_hold_means_and_bands_are_binomial():
    bins = calibration.thompson_bins(np.array([0.0, 0.05, 1.0, 0.95, 0.95]), np.array([0, 1, 1, 1, 0]))
    np.testing.assert_allclose(bins.rows, [2, 0, 0, 0, 0, 0, 0, 0, 0, 3])
    np.testing.assert_allclose([bins.probability[0], bins.hits[0]], [0.025, 0.5])
    np.testing.assert_allclose([bins.probability[9], bins.hits[9]], [2.9 / 3, 2 / 3])
    assert np.isnan(bins.hits[4])
    many = calibration.Bins(np.array([0.3]), np.array([0.3]), np.array([200.0]))
    low, high = calibration.hits_band(many)
    np.testing.assert_allclose([low[0], high[0]], stats.binom.interval(0.95, 200, 0.3) / np.array(200))


def test_bands_of_a_perfect_model_hold_as_often_as_they_say():
    pit = random.random((4000, 60))
    found = np.array([calibration.uniformity(own) for own in pit])
    np.testing.assert_allclose(found[:20], [stats.kstest(own, "uniform").statistic for own in pit[:20]])
    assert (found <= calibration.pit_band(60)).mean() == pytest.approx(0.95, abs=0.012)
    low, high = calibration.histogram_band(60)
    parts = np.array([np.histogram(own, 10, (0, 1))[0] for own in pit]) / 60
    assert 0.95 <= ((low <= parts) & (parts <= high)).all(1).mean() <= 0.995
    low, high = calibration.coverage_band(60, 0.9)
    inside = (np.abs(pit - 0.5) <= 0.45).mean(1)
    assert 0.95 <= ((low <= inside) & (inside <= high)).mean() <= 0.99


def test_nothing_is_said_of_nothing():
    assert np.isnan(calibration.uniformity(np.full(3, np.nan)))
    assert np.isnan(calibration.pit_band(0))
    assert np.isnan(calibration.coverage_band(0, 0.9)).all()
    assert np.isnan(calibration.histogram_band(0)).all()
