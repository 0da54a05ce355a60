"""The statistics of reports, and how curves and numbers are drawn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vbandits.benchmarks.bandits import figures
from vbandits.report import statistics
from vbandits.report.figures import Curve
from vbandits.report.formats import DASH, compact, decimals, number

NAN = float("nan")


def test_band_is_students_t_interval_of_the_mean():
    values = np.random.default_rng(0).normal(3, 2, (9, 4))
    mean, low, high = statistics.mean_band(values)
    for i in range(4):
        expected = stats.t.interval(0.95, 8, values[:, i].mean(), stats.sem(values[:, i]))
        np.testing.assert_allclose((low[i], high[i]), expected)
        assert mean[i] == pytest.approx(values[:, i].mean())
    assert np.isnan(statistics.mean_band(values[:1])[1]).all()


def test_mean_ratio_is_the_mean_of_ratios_and_narrows_by_pairing():
    rng = np.random.default_rng(1)
    scale: Any = pd.Series(rng.uniform(1, 3, 30))
    pairs = [(0.2 * scale, scale), (0.4 * scale * rng.uniform(0.99, 1.01, 30), scale)]
    by_seed: Any = statistics.mean_ratio(pairs)
    expected = np.mean([own.mean() / reference.mean() for own, reference in pairs])
    assert by_seed.mean() == pytest.approx(expected)
    assert by_seed.std() < 0.01  # a seed that is hard for both is no evidence for either


def test_leaders_are_told_apart_by_differences_paired_by_seed():
    rng = np.random.default_rng(2)
    hardness: Any = pd.Series(rng.uniform(0, 100, 20))
    losses = {"a": hardness, "b": hardness + rng.normal(0.0, 1, 20) + 0.1, "c": hardness + 3 + rng.normal(0, 1, 20)}
    assert statistics.leaders(losses) == {"a", "b"}
    assert statistics.leaders({name: loss[:1] for name, loss in losses.items()}) == frozenset()
    assert statistics.leaders({"a": hardness, "broken": hardness * NAN}) == {"a"}


def test_coverage_gap_of_known_pits():
    pit = np.tile([0.01, 0.2, 0.4, 0.6, 0.8], 2)  # three of five, 0.2 and 0.8 outside, lie within the 50% interval
    records = pd.DataFrame({"seed": np.repeat([0, 1], 5), "pit": pit})
    value, low, high = figures.coverage_gap(records, 0.5)
    assert value == pytest.approx(40 - 50)
    assert low == pytest.approx(high) == pytest.approx(value)
    assert figures.coverage_gap(records, 0.95)[0] == pytest.approx(80 - 95)


def test_probability_is_read_back_from_brier():
    probability = np.array([0.9, 0.3, 0.6, 0.2])
    reward = np.array([1.0, 0.0, 0.0, 1.0])
    records = pd.DataFrame({"seed": [0, 0, 1, 1], "reward": reward, "brier": (probability - reward) ** 2})
    expected = 100 * (probability - reward).mean()
    assert figures.probability_gap(records)[0] == pytest.approx(expected)


def test_spread_keeps_order_distance_and_frame():
    positions = np.array([0.5, 0.52, 0.1, 0.51, 0.99])
    moved = statistics.spread(positions, 0.1, 0.0, 1.0)
    assert list(np.argsort(moved)) == list(np.argsort(positions))
    assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-12
    assert moved[2] == pytest.approx(0.1)  # nobody near, so nobody moves it
    assert moved[[0, 1, 3]].mean() == pytest.approx(0.51)
    crowded = statistics.spread(np.full(30, 0.9), 0.1, 0.0, 1.0)
    assert crowded.min() == pytest.approx(0)
    assert crowded.max() == pytest.approx(1)


def test_curves_are_thinned_to_the_ends():
    steps = np.arange(1000)
    records = pd.DataFrame(
        {
            "seed": np.repeat([4, 2], 1000),
            "step": np.tile(steps, 2),
            "cumulative_regret": np.concatenate([steps * 4.0, steps * 2.0]),
        }
    )
    shown, values = figures.by_step(records, "cumulative_regret")
    assert len(shown) == statistics.POINTS
    assert (shown[0], shown[-1]) == (0, 999)
    np.testing.assert_array_equal(values, np.outer([2.0, 4.0], shown))  # seeds in order


def test_uniform_leaves_the_frame_only_where_it_dwarfs_the_others():
    def curve(agent, end):
        mean = np.linspace(0, end, 5)
        return Curve(agent, np.arange(5), mean, mean, mean)

    assert figures.frame([curve("a", 10), curve("uniform", 100)], False) == (0, pytest.approx(11.5), True)
    assert figures.frame([curve("a", 80), curve("uniform", 100)], False) == (0, pytest.approx(105), False)
    assert figures.frame([curve("uniform", 100)], False) == (0, pytest.approx(105), False)


def test_numbers_are_set_with_care():
    assert number(-1234.5, 1) == "\N{MINUS SIGN}1,234.5"
    assert number(-0.001, 1) == "0.0"
    assert number(NAN, 2) == DASH
    assert number(3e8, 0) == "3.00e+08"
    assert decimals([1234.0, 45.0]) == 0
    assert decimals([0.0123, NAN]) == 4
    assert decimals([]) == 0
    assert [compact(value) for value in (0.5, 1500.0, 25e3, 2.5e6)] == ["0.5", "1,500", "25k", "2.5M"]


def test_the_interquartile_mean_is_that_of_the_middle_half_of_all_runs():
    runs = np.arange(24.0).reshape(6, 4)
    runs[5, 3] = 1e9  # no single run moves it
    middle, low, high = statistics.interquartile_mean(runs)
    assert middle == np.arange(6, 18).mean()
    assert low < middle < high < 30
    alone = statistics.interquartile_mean(runs[:1])
    assert alone[0] == middle_of(runs[0])
    assert np.isnan(alone[1:]).all()


def middle_of(values):
    return np.sort(values)[1:3].mean()


def test_the_interval_of_the_interquartile_mean_covers():
    """Seeds are resampled in each problem by itself: problems of other levels do not widen it."""
    random, covered = np.random.default_rng(0), 0
    levels = np.array([1.0, 20.0, 60.0, 90.0])
    truth = stats.trim_mean((levels + random.normal(size=(100_000, 4))).ravel(), 0.25)
    for _ in range(100):
        _, low, high = statistics.interquartile_mean(levels + random.normal(size=(20, 4)))
        covered += low <= truth <= high
    assert 85 <= covered <= 99
