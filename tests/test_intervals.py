"""Intervals over seeds: against their definitions and scipy, and how often they cover, by simulation."""

import numpy as np
import pytest
from scipy import stats

from vbandits.metrics import intervals

WHEEL = 14.5
"""Mean of seeds of which one in ten is at 100 and the others at 5."""


def wheel(rng, size):
    return np.where(rng.random(size) < 0.1, 100.0, 5.0) + rng.normal(size=size)


@pytest.mark.parametrize("size", [2, 3])
def test_of_two_and_three_seeds_it_is_students_t(size):
    values = np.random.default_rng(size).normal(3, 2, size)
    expected = stats.t.interval(0.9, size - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(intervals.mean_interval(values, 0.9), expected)


@pytest.mark.parametrize("size", [4, 7, 20])
def test_it_is_the_bootstrap_t(size):
    """By its definition, and with floating-point sums; a resample's error is at least a fifth of the sample's."""
    values = np.random.default_rng(size).lognormal(size=size)
    mean, error = values.mean(), stats.sem(values)
    strays = []
    for count in intervals.resampled(size):
        sample = np.repeat(values, count.astype(int))
        strays.append((sample.mean() - mean) / max(stats.sem(sample), 0.2 * error))
    low, high = np.quantile(strays, [0.025, 0.975])
    np.testing.assert_allclose(
        intervals.mean_interval(values), (mean - high * error, mean - low * error), rtol=1e-6, atol=1e-8
    )
    assert -low > high  # a long tail to the right widens the upper side
    half = stats.t.ppf(0.975, size - 1) * error
    np.testing.assert_allclose(intervals.mean_interval(values, symmetric=True), (mean - half, mean + half))


def test_resamples_draw_every_seed_alike():
    counts = intervals.resampled(5)
    assert counts.shape == (intervals.RESAMPLES, 5)
    assert (counts.sum(1) == 5).all()
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.06)
    np.testing.assert_allclose(counts.var(0), 0.8, atol=0.1)  # binomial: 5 * 1/5 * 4/5
    assert not np.array_equal(counts, intervals.resampled(5, seed=1))


def test_of_many_seeds_it_is_as_others_have_it():
    values = np.random.default_rng(0).gamma(4, size=500)
    rng = np.random.default_rng(1)
    expected = stats.bootstrap((values,), np.mean, method="BCa", rng=rng).confidence_interval
    found, width = intervals.mean_interval(values), expected.high - expected.low
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=0.05 * width)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_units_and_signs_do_not_matter(scale):
    values = np.random.default_rng(3).lognormal(size=9)
    low, high = intervals.mean_interval(values)
    assert low < values.mean() < high
    np.testing.assert_allclose(intervals.mean_interval(-scale * values), (-scale * high, -scale * low))
    np.testing.assert_allclose(intervals.mean_interval(values + 7), (low + 7, high + 7), rtol=1e-6)


def test_a_single_seed_or_a_missing_one_has_no_interval():
    for values in ([], [1.0], [1.0, np.nan, 2.0], [1.0, np.inf, 2.0, 3.0, 4.0]):
        assert np.isnan(intervals.mean_interval(np.array(values))).all()
        assert np.isnan(intervals.ratio_interval(np.array(values), np.ones(len(values)))).all()


@pytest.mark.parametrize("size", [2, 3, 4, 9, 20])
def test_equal_seeds_have_no_spread(size):
    assert intervals.mean_interval(np.full(size, 0.1)) == (0.1, 0.1)
    assert not intervals.rests_on_one(np.full(size, 0.1))


@pytest.mark.parametrize("size", [4, 5, 20])
def test_one_seed_unlike_all_others_gives_finite_ends(size):
    values = np.append(np.zeros(size - 1), 1.0)
    low, high = intervals.mean_interval(values)
    assert -10 < low < 1 / size < high < 10
    assert intervals.mean_interval(values, low=0.0, high=0.2) == (0.0, 0.2)


def test_ratios_are_paired_by_seed():
    rng = np.random.default_rng(4)
    reference = rng.uniform(1, 3, 30)
    np.testing.assert_allclose(intervals.ratio_interval(0.2 * reference, reference), 0.2)
    values = reference * rng.uniform(0.3, 0.5, 30)
    assert intervals.ratio_by_seed(values, reference).mean() == pytest.approx(values.mean() / reference.mean())
    expected = stats.bootstrap(
        (values, reference), lambda x, y, axis: x.mean(axis) / y.mean(axis), paired=True, rng=np.random.default_rng(0)
    ).confidence_interval
    found = intervals.ratio_interval(values, reference)
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=0.15 * (expected.high - expected.low))
    assert intervals.ratio_interval(values, reference, low=0.399)[0] == 0.399
    assert np.isnan(intervals.ratio_interval(values, np.zeros(30))).all()


def test_a_band_of_one_point_is_the_interval_of_its_mean():
    values = np.random.default_rng(5).lognormal(size=(12, 1))
    mean, low, high = (ends[0] for ends in intervals.simultaneous_band(values))
    expected = intervals.mean_interval(values[:, 0])
    assert mean == pytest.approx(values.mean())
    np.testing.assert_allclose((low, high), expected, atol=0.1 * (expected[1] - expected[0]))


def test_a_band_is_wider_than_intervals_and_equally_so_everywhere():
    curves = np.random.default_rng(6).normal(size=(20, 50)).cumsum(1)
    mean, low, high = intervals.simultaneous_band(curves)
    error = stats.sem(curves)
    np.testing.assert_allclose((high - mean) / error, ((high - mean) / error)[0])
    np.testing.assert_allclose((mean - low) / error, ((mean - low) / error)[0])
    assert ((high - low) / error > 5).all()  # Student's t: 4.2
    clipped = intervals.simultaneous_band(curves, low=-0.2, high=0.3)
    np.testing.assert_array_equal(clipped[1], np.clip(low, -0.2, 0.3))
    np.testing.assert_array_equal(clipped[2], np.clip(high, -0.2, 0.3))


def test_points_without_values_or_spread_do_not_widen_a_band():
    curves = np.random.default_rng(7).normal(size=(8, 3))
    expected = intervals.simultaneous_band(curves)
    more = np.column_stack([np.full(8, 0.1), curves, [np.nan, *range(7)]])
    found = intervals.simultaneous_band(more)
    for given, known in zip(found, expected, strict=True):
        np.testing.assert_array_equal(given[1:4], known)
        assert given[0] == 0.1
        assert np.isnan(given[4])
    for few in (1, 2, 3):
        mean, low, high = intervals.simultaneous_band(curves[:few])
        np.testing.assert_allclose(mean, curves[:few].mean(0))
        assert np.isnan([low, high]).all()
    assert np.isnan(intervals.simultaneous_band(curves[:0])).all()


def test_the_interval_of_an_interquartile_mean_is_its_percentiles_widened_for_few_seeds():
    runs = np.random.default_rng(8).normal(size=(15, 1))
    found = intervals.interquartile_interval(runs)
    bootstrap = stats.bootstrap(
        (runs[:, 0],),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    wider = np.sqrt(15 / 14) * stats.t.ppf(0.975, 7) / stats.norm.ppf(0.975)
    middle = intervals.interquartile_mean(runs)
    assert middle == pytest.approx(stats.trim_mean(runs[:, 0], 0.25))
    expected = middle + wider * (np.array(bootstrap) - middle)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.ptp(expected))
    assert intervals.interquartile_interval(runs, low=middle, high=middle) == (middle, middle)
    assert np.isnan(intervals.interquartile_interval(runs[:1])).all()


def test_a_mean_rests_on_one_seed_where_the_others_interval_leaves_it_out():
    rng = np.random.default_rng(9)
    assert all(intervals.rests_on_one(np.append(rng.normal(5, 1, 19), 100)) for _ in range(200))
    others = rng.normal(size=6)
    half = stats.t.ppf(0.975, 5) * stats.sem(others)
    for sign in (-1, 1):  # the mean of all is others.mean() + (one - others.mean()) / 7
        one = others.mean() + sign * 7 * half
        assert intervals.rests_on_one(np.append(others, one * 1.01))
        assert not intervals.rests_on_one(np.append(others, one * 0.99))
    for size, most in ((5, 0.05), (10, 0.01), (20, 0.001)):
        assert np.mean([intervals.rests_on_one(rng.normal(size=size)) for _ in range(1500)]) <= most
    assert not intervals.rests_on_one(np.array([1.0, 100.0]))  # of two, none is the odd one
    assert not intervals.rests_on_one(np.array([1.0, np.nan, 100.0, 1.0]))


def covered(draw, truth, times, interval=intervals.mean_interval):
    """Returns the share of `times` samples whose interval holds the truth, in percent."""
    return 100 * np.mean([low <= truth <= high for low, high in (interval(draw()) for _ in range(times))])


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 5, 10, 20])
def test_intervals_of_gaussian_seeds_cover(size):
    rng = np.random.default_rng(0)
    share = covered(lambda: rng.normal(3, 2, size), 3, 6000)
    print(f"{size} Gaussian seeds: {share:.1f}%")
    assert 93 <= share <= 97


@pytest.mark.slow
def test_intervals_of_ratios_cover():
    rng = np.random.default_rng(1)

    def draw():
        reference = rng.normal(10, 2, 20)
        return np.stack([reference * 0.5 + rng.normal(0, 1, 20), reference])

    share = covered(draw, 0.5, 4000, lambda pair: intervals.ratio_interval(*pair))
    print(f"Ratios of 20 Gaussian seeds: {share:.1f}%")
    assert 93 <= share <= 97


@pytest.mark.slow
def test_what_intervals_of_skewed_and_bimodal_seeds_cover():
    """Printed as it is: nothing mends the wheel, of whose seeds one in ten is far off, while none of those is seen."""
    rng = np.random.default_rng(2)
    cases = [
        ("lognormal", lambda size: rng.lognormal(size=size), np.exp(0.5), {3: 80, 5: 85, 10: 87, 20: 90}),
        ("milder lognormal", lambda size: rng.lognormal(0, 0.5, size), np.exp(0.125), {3: 90, 5: 91, 10: 91, 20: 92}),
        ("wheel", lambda size: wheel(rng, size), WHEEL, {3: 20, 5: 35, 10: 55, 20: 80}),
    ]
    for name, draw, truth, least in cases:
        for size, percent in least.items():
            share = covered(lambda draw=draw, size=size: draw(size), truth, 2000)
            print(f"{size} {name} seeds: {share:.1f}%")
            assert share >= percent


@pytest.mark.slow
@pytest.mark.parametrize("levels", [np.zeros(6), np.array([1.0, 20.0, 60.0, 90.0])], ids=["alike", "apart"])
def test_intervals_of_interquartile_means_cover(levels):
    """Seeds are resampled in each problem by itself: problems of other levels do not widen them."""
    rng = np.random.default_rng(3)
    truth = stats.trim_mean((levels + rng.normal(size=(200_000, len(levels)))).ravel(), 0.25)
    draw = lambda: levels + rng.normal(size=(20, len(levels)))  # noqa: E731
    share = covered(draw, truth, 1200, intervals.interquartile_interval)
    print(f"Interquartile means of 20 seeds: {share:.1f}%")
    assert 93 <= share <= 97


@pytest.mark.slow
def test_bands_cover_whole_random_walks():
    rng = np.random.default_rng(4)
    for size, least, most in ((20, 93, 97.5), (10, 93, 100), (5, 93, 100)):
        held = []
        for _ in range(1000):
            _, low, high = intervals.simultaneous_band(rng.normal(size=(size, 600)).cumsum(1)[:, 9::10])
            held.append(((low <= 0) & (high >= 0)).all())
        print(f"Bands of {size} Gaussian walks: {100 * np.mean(held):.1f}%")
        assert least <= 100 * np.mean(held) <= most


@pytest.mark.parametrize(("size", "rows", "blocks"), [(7, 5, 9), (10, 1, 40), (3, 16, 2)])
def test_resamples_in_blocks_are_those_of_one_piece(size, rows, blocks, monkeypatch):
    whole = intervals.resampled(size, rows * blocks, 1)
    monkeypatch.setattr(intervals, "KEPT", 0)
    np.testing.assert_array_equal(np.concatenate([*intervals.resampled_in_blocks(size, rows, blocks, 1)]), whole)


def test_the_interquartile_interval_does_not_depend_on_how_much_is_in_memory(monkeypatch):
    runs = np.random.default_rng(3).gamma(2.0, size=(9, 4))
    whole = intervals.interquartile_interval(runs)
    monkeypatch.setattr(intervals, "KEPT", 7 * runs.size)  # 2,000 resamples are no multiple of 7
    assert intervals.interquartile_interval(runs) == whole
