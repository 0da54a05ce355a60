import numpy as np
import pytest
from scipy import stats

from vbandits.metrics import intervals, regret


def test_regret_is_what_was_missed_in_expectation():
    missed = regret.expected_regret(np.array([1.0, 0.5, 2.0]), np.array([1.0, 2.0, 2.0 - 1e-9]))
    assert missed.tolist() == [0.0, 1.5, 0.0]


def test_a_negative_regret_is_an_error():
    with pytest.raises(ValueError, match=r"at least 0, got -0\.5"):
        regret.expected_regret(np.array([2.0]), np.array([1.5]))


def test_simple_regret_is_the_mean_of_the_last_500():
    per_step = np.arange(1200.0)
    steps = np.array([0, 350, 699, 900, 1199])
    curves = per_step.cumsum()[steps][None]
    assert regret.simple_regret(curves, steps)[0] == pytest.approx(per_step[700:].mean())


def test_simple_regret_of_a_short_run_is_its_mean():
    assert regret.simple_regret(np.array([[1.0, 3.0, 6.0]]), np.arange(3))[0] == 2.0


def test_the_interval_of_normal_means_is_about_students():
    values = np.random.default_rng(0).normal(size=12)
    low, high = intervals.mean_interval(values)
    exact = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(exact, abs=0.15 * (exact[1] - exact[0]))


def test_intervals_cover_the_mean_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 999)
    random = np.random.default_rng(1)
    hits = [low <= 1 <= high for low, high in (intervals.mean_interval(random.gamma(4, 0.25, 10)) for _ in range(400))]
    assert 0.91 < np.mean(hits) < 0.985


def test_ratios_are_paired_by_seed():
    reference = np.random.default_rng(2).uniform(1, 100, 8)
    low, high = intervals.ratio_interval(0.3 * reference, reference)
    assert (low, high) == pytest.approx((0.3, 0.3))


def test_one_seed_has_no_interval():
    assert np.isnan(intervals.mean_interval(np.array([1.0]))).all()
