"""The statistics of reports, and how curves and numbers are drawn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbandits.benchmarks.bandits import figures
from vbandits.benchmarks.bandits.digest import digest
from vbandits.report import statistics
from vbandits.report.figures import Curve
from vbandits.report.formats import DASH, compact, decimals, number

NAN = float("nan")


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


def digested(**columns):
    """Returns the digest of two seeds with five scored decisions each."""
    plain = {"action": 0, "reward": 0.0, "cumulative_reward": 0.0, "cumulative_regret": 0.0}
    empty = dict.fromkeys(("nll", "crps", "pit", "brier"), NAN)
    frame = pd.DataFrame({"seed": np.repeat([4, 2], 5), "step": np.tile(np.arange(5), 2)})
    return digest(frame.assign(**{**plain, **empty, **columns}))


def test_coverage_of_known_pits():
    pit = np.tile([0.01, 0.2, 0.4, 0.6, 0.8], 2)  # three of five, 0.2 and 0.8 outside, lie within the 50% interval
    found = digested(pit=pit)
    np.testing.assert_allclose(found.scores["coverage_50"], 0.4)
    np.testing.assert_allclose(found.scores["coverage_95"], 0.8)
    assert found.pit.sum(1).tolist() == [5, 5]
    assert found.scored == 10


def test_probability_is_read_back_from_brier():
    probability, reward = np.array([0.9, 0.3, 0.6, 0.2, 0.5]), np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    found = digested(reward=np.tile(reward, 2), brier=np.tile((probability - reward) ** 2, 2))
    np.testing.assert_allclose(found.gap, (probability - reward).mean())


def test_scores_that_are_missing_do_not_count_and_outliers_are_seen():
    nll = np.array([NAN, 1.0, 2.0, 3.0, 1000.0] * 2)
    found = digested(nll=nll)
    np.testing.assert_allclose(found.scores["nll"], 251.5)
    np.testing.assert_allclose(found.scores["nll_median"], 2.5)
    assert np.isnan(found.scores["crps"]).all()


def test_thompson_probabilities_are_counted_by_tenths():
    given = [[0.95, 0.05], [0.55, 0.45], None, [0.0, 1.0], [0.55, 0.45]] * 2
    found = digested(thompson=pd.Series(given, dtype=object), optimal=[0, 1, 0, 1, -1] * 2)
    counts, probability, hits = found.thompson[:, 0]
    assert counts.tolist() == [2, 0, 0, 0, 1, 1, 0, 0, 0, 2]  # the arms of three decisions
    assert hits.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(probability[[0, 4, 5, 9]], [0.05, 0.45, 0.55, 1.95])


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
    plain = {"action": 0, "reward": 0.0, "cumulative_reward": 0.0, "nll": NAN, "crps": NAN, "pit": NAN, "brier": NAN}
    records = pd.DataFrame(
        {
            "seed": np.repeat([4, 2], 1000),
            "step": np.tile(steps, 2),
            "cumulative_regret": np.concatenate([steps * 4.0, steps * 2.0]),
        }
    ).assign(**plain)
    found = digest(records)
    assert 72 <= len(found.steps) <= 108
    assert (found.steps[0], found.steps[-1]) == (0, 999)
    assert found.seeds.tolist() == [2, 4]
    np.testing.assert_array_equal(found.regret, np.outer([2.0, 4.0], found.steps))
    np.testing.assert_allclose(found.late, [2.0, 4.0])


def test_regret_per_decision_reaches_a_level_where_it_stays_below():
    steps = np.arange(400)
    per_step = np.where(steps < 100, 1.0, 0.1) + np.where((steps >= 200) & (steps < 210), 5.0, 0.0)
    frame = pd.DataFrame({"seed": 0, "step": steps, "cumulative_regret": per_step.cumsum()})
    plain = {"action": 0, "reward": 0.0, "cumulative_reward": 0.0, "nll": NAN, "crps": NAN, "pit": NAN, "brier": NAN}
    assert digest(frame.assign(**plain)).reaches(0.25) == pytest.approx(210, abs=12)  # not at 100: it rose again
    assert digest(frame.assign(**plain)).reaches(0.01) == np.inf


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
