import numpy as np
import pytest
import torch
from scipy import stats

from vbandits.metrics import intervals, regret


@pytest.mark.parametrize("scale", [1e-12, 1e-7, 1.0, 100.0, 1e9])
def test_rounding_is_not_regret_and_a_wrong_optimum_is_found_whatever_the_unit_of_rewards(scale):
    rewards = scale * np.array([[0.0, 1.0, -2.0, 0.5]])
    rounded = scale * np.array([[1.5, -1.4e-6, np.nan, 0.0]])
    assert regret.check(rounded, rewards)[0, :2].tolist() == [1.5 * scale, 0.0]
    with pytest.raises(ValueError, match=r"in step 2 .*seed number 1 .*at least 0, got -"):
        regret.check(np.stack([0 * rounded[0], scale * np.array([0.0, 0.1, -1e-3, -0.2])]), np.tile(rewards, (2, 1)))


def test_a_seed_is_not_excused_by_the_rewards_of_another():
    with pytest.raises(ValueError, match="seed number 1"):
        regret.check(np.array([[0.0], [-0.5]]), np.array([[1e9], [1.0]]))


@pytest.mark.parametrize(
    ("kind", "relative"), [(np.float16, 5e-3), (np.float32, 5e-6), (np.float64, 5e-6), (float, 5e-6)]
)
def test_what_rounding_is_depends_on_size_and_type(kind, relative):
    for size in (1e-3, 1.0, 1e3):
        assert relative * size < regret.rounding(kind(size), kind(-size / 2)) < 4 * relative * size
    assert regret.rounding(torch.tensor(1.0, dtype=torch.bfloat16), 0.5) == 8 * 2**-7
    assert regret.rounding(np.int64(3), 2) == pytest.approx(3e-5)


def test_late_regret_is_the_mean_of_the_last_fifth():
    per_step = np.arange(1201.0)
    steps = np.array([0, 350, 960, 1100, 1200])
    curves = per_step.cumsum()[steps][None]
    assert regret.late_regret(curves, steps)[0] == pytest.approx(per_step[961:].mean())


def test_late_regret_of_a_single_step_is_its_regret():
    assert regret.late_regret(np.array([[3.0]]), np.arange(1))[0] == 3.0
    assert regret.late_regret(np.array([[1.0, 3.0, 6.0]]), np.arange(3))[0] == 3.0


def test_the_interval_of_normal_means_is_about_students():
    values = np.random.default_rng(0).normal(size=12)
    low, high = intervals.mean_interval(values)
    exact = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(exact, abs=0.15 * (exact[1] - exact[0]))


@pytest.mark.parametrize("size", [2, 3, 5, 9, 10, 20])
def test_intervals_cover_the_mean_as_often_as_they_say(monkeypatch, size):
    monkeypatch.setattr(intervals, "RESAMPLES", 999)
    random = np.random.default_rng(size)
    found = [intervals.mean_interval(random.normal(1, 1, size)) for _ in range(400)]
    assert 0.91 < np.mean([low <= 1 <= high for low, high in found]) < 0.985


def test_intervals_of_a_ratio_cover_it_with_few_seeds():
    random = np.random.default_rng(0)
    found = []
    for _ in range(400):
        reference = random.uniform(5, 15, 4)
        found.append(intervals.ratio_interval(reference * random.normal(0.3, 0.05, 4), reference))
    assert 0.91 < np.mean([low <= 0.3 <= high for low, high in found]) < 0.985


def test_a_reference_that_is_often_zero_has_a_wide_interval_and_one_that_always_is_has_none():
    low, high = intervals.ratio_interval(np.arange(12.0), np.array([1.0, 1.0, 1.0] + [0.0] * 9))
    assert high - low > 20
    once = np.array([1.0] + [0.0] * 11)
    low, high = intervals.ratio_interval(np.arange(12.0), once)
    assert low < 0 < 66 < high, "it does not even tell the sign of 66, the ratio of the means"
    assert intervals.rests_on_one(intervals.ratio_by_seed(np.arange(12.0), once))
    assert np.isnan(intervals.ratio_interval(np.arange(12.0), np.zeros(12))).all()


def test_ratios_are_paired_by_seed():
    reference = np.random.default_rng(2).uniform(1, 100, 8)
    low, high = intervals.ratio_interval(0.3 * reference, reference)
    assert (low, high) == pytest.approx((0.3, 0.3))


def test_one_seed_has_no_interval():
    assert np.isnan(intervals.mean_interval(np.array([1.0]))).all()
