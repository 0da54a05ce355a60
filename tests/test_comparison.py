"""Which methods are told apart: against scipy and enumeration, and how often it errs, by simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from vbandits.metrics import comparison, intervals

NAN = float("nan")


def skewed(rng, shape):
    return rng.lognormal(size=shape)


def gaussian(rng, shape):
    return rng.normal(size=shape)


def test_pairs_are_compared_by_one_sided_t_tests():
    losses = np.random.default_rng(0).normal(size=(4, 9)) + np.arange(4)[:, None] * 0.3
    p = comparison.paired_p(losses)
    for i, j in itertools.permutations(range(4), 2):
        assert p[i, j] == pytest.approx(stats.ttest_rel(losses[i], losses[j], alternative="greater").pvalue)
    np.testing.assert_array_equal(np.diag(p), 1)


def test_a_method_leaves_the_set_only_if_some_other_beats_it():
    rng = np.random.default_rng(1)
    hardness = rng.uniform(0, 100, 20)  # a seed that is hard for both is no evidence for either
    losses = np.stack([hardness, hardness + rng.normal(0.1, 1, 20), hardness + rng.normal(3, 1, 20)])
    assert comparison.confidence_set(losses).tolist() == [True, True, False]
    # the lowest mean, from a single lucky seed, tells nobody apart; the steady second excludes the third
    lucky = np.stack([np.append(np.full(19, 5.0), -95.0), np.full(20, 1.0), np.full(20, 2.0) + 0.1 * np.arange(20) % 2])
    assert lucky.mean(1).argmin() == 0
    assert comparison.confidence_set(lucky).tolist() == [True, True, False]


def test_the_set_is_corrected_for_the_number_of_methods():
    """A difference with a p-value between 0.05 / 9 and 0.05 excludes one of two, and not one of ten."""
    difference = np.random.default_rng(2).normal(size=20)
    difference += 2.2 * stats.sem(difference) - difference.mean()  # t = 2.2, p = 0.02
    pair = np.stack([np.zeros(20), difference])
    assert comparison.confidence_set(pair).tolist() == [True, False]
    assert comparison.confidence_set(pair, 0.99).tolist() == [True, True]
    crowd = np.concatenate([pair, np.random.default_rng(3).normal(0, 30, (8, 20))])
    assert comparison.confidence_set(crowd)[1]


def test_the_set_at_its_edges():
    steady = np.arange(6.0)
    assert comparison.confidence_set(np.stack([steady, steady])).tolist() == [True, True]
    assert comparison.confidence_set(np.stack([steady, steady + 0.1])).tolist() == [True, False]
    noise = 0.1 * steady * 3 - 0.3 * steady  # rounding, which is no difference
    assert noise.any()
    assert comparison.confidence_set(np.stack([steady, steady + noise, steady - noise])).all()
    broken = np.stack([np.full(6, NAN), steady, np.append(steady[:5], NAN) - 50])
    assert comparison.confidence_set(broken).tolist() == [False, True, False]
    assert comparison.confidence_set(broken[:1]).tolist() == [False]
    assert comparison.confidence_set(np.array([[1.0], [5.0], [NAN]])).tolist() == [True, True, False]
    assert comparison.confidence_set(np.empty((2, 0))).tolist() == [False, False]


def test_a_paired_difference_has_the_interval_of_its_mean():
    own, reference = np.random.default_rng(4).normal(size=(2, 12))
    mean, *ends = comparison.paired_difference(own, reference)
    assert mean == pytest.approx((own - reference).mean())
    assert tuple(ends) == intervals.mean_interval(own - reference, symmetric=True)
    assert np.isnan(comparison.paired_difference(np.append(own[:-1], NAN), reference)).all()
    assert comparison.paired_difference(own[:1], own[:1])[0] == 0
    assert np.isnan(comparison.paired_difference(own[:1], own[:1])[1:]).all()


def test_ranks_count_the_methods_that_are_told_apart():
    rng = np.random.default_rng(5)
    losses = np.array([3.0, 1, 1, 9])[:, None] + 0.1 * rng.normal(size=(4, 10))
    assert comparison.rank_intervals(losses).tolist() == [[3, 3], [1, 2], [1, 2], [4, 4]]
    losses[0, 3] = NAN
    assert comparison.rank_intervals(losses).tolist() == [[4, 4], [1, 2], [1, 2], [3, 3]]
    losses[1] = NAN
    assert comparison.rank_intervals(losses).tolist() == [[3, 4], [3, 4], [1, 1], [2, 2]]
    assert comparison.rank_intervals(losses[:, :1]).tolist() == [[1, 3], [4, 4], [1, 3], [1, 3]]


def test_pairs_are_corrected_by_holm():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(
        comparison._holm(p), [0.03, 0.06, 0.06, 0.02]
    )  # 4 x 0.005, 3 x 0.01, 2 x 0.03, then 0.06


def test_ranks_over_problems_show_how_far_their_choice_decides():
    alone = np.array([[1.0, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3], [1, 2, NAN, 1]])
    assert comparison.problem_rank_intervals(alone).tolist() == [[1, 1], [2, 2], [3, 3], [4, 4]]
    # better by a little on seven of eight, and far worse on one: without that it is first (0.875^8 = 34% of draws)
    scores = np.array([[0.9] * 7 + [9.0], [1.0] * 8])
    assert comparison.problem_rank_intervals(scores).tolist() == [[1, 2], [1, 2]]
    assert comparison.problem_rank_intervals(scores, 0.2).tolist() == [[2, 2], [1, 1]]
    twins = np.array([[1.0, 2], [2, 1], [1, 2]])  # on the second problem alone they share the second rank
    assert comparison.problem_rank_intervals(twins).tolist() == [[1, 2], [1, 3], [1, 2]]
    assert comparison.problem_rank_intervals(np.full((2, 3), NAN)).tolist() == [[1, 2], [1, 2]]


def test_profiles_are_shares_of_runs():
    runs = np.array([[1.0, 5], [2, NAN], [3, 7], [4, 8]])
    share, low, high = comparison.performance_profile(runs, np.array([0.0, 2, 6, 9, np.inf]))
    np.testing.assert_allclose(share, [0, 2 / 8, 5 / 8, 7 / 8, 7 / 8])
    assert (low <= share).all()
    assert (share <= high).all()
    assert (low[0], high[0]) == (0, 0)
    alone = comparison.performance_profile(runs[:1], np.array([2.0]))
    assert alone[0] == 0.5
    assert np.isnan(alone[1:]).all()


def test_seeds_of_a_profile_are_resampled_in_each_problem():
    """A problem always reached and one never reached are a share of one half without any doubt."""
    thresholds = np.array([1.0])
    apart = comparison.performance_profile(np.tile([0.0, 2.0], (10, 1)), thresholds)
    assert [end[0] for end in apart] == [0.5, 0.5, 0.5]
    _, low, high = comparison.performance_profile(np.repeat([0.0, 2.0], 20)[:, None], thresholds)
    expected = stats.binom.ppf([0.025, 0.975], 40, 0.5) / 40
    np.testing.assert_allclose([low[0], high[0]], expected, atol=1 / 40)


def test_improvement_is_the_mann_whitney_statistic_of_each_problem():
    rng = np.random.default_rng(6)
    own, other = rng.integers(0, 6, (8, 3)).astype(float), rng.integers(1, 7, (11, 3)).astype(float)
    expected = np.mean([stats.mannwhitneyu(other[:, i], own[:, i]).statistic / 88 for i in range(3)])
    p, low, high = comparison.probability_of_improvement(own, other)
    assert p == pytest.approx(expected)
    assert low < p < high
    back = comparison.probability_of_improvement(other, own)
    assert back[0] == pytest.approx(1 - p)
    np.testing.assert_allclose(back[1:], (1 - high, 1 - low), atol=0.03)
    others = comparison.probability_of_improvement(own[:, 1:], other[:, 1:])[0]
    own[:, 0] = NAN  # a failed run loses to any other
    assert comparison.probability_of_improvement(own, other)[0] == pytest.approx(2 / 3 * others)
    assert comparison.probability_of_improvement(own[:, :1], own[:, :1]) == (0.5, 0.5, 0.5)
    assert np.isnan(comparison.probability_of_improvement(own[:1], other)[1:]).all()


def test_the_interval_of_an_improvement_is_the_bootstraps():
    rng = np.random.default_rng(7)
    own, other = rng.normal(size=(20, 1)), rng.normal(0.7, 1, (20, 1))
    found = comparison.probability_of_improvement(own, other)[1:]
    expected = stats.bootstrap(
        (own[:, 0], other[:, 0]),
        lambda x, y, axis: (x[..., :, None] < y[..., None, :]).mean((-1, -2)),
        method="percentile",
        n_resamples=2000,
        rng=rng,
    ).confidence_interval
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_critical_differences_are_friedmans_and_wilcoxons():
    rng = np.random.default_rng(8)
    scores = np.array([0.0, 0.3, 3.0, 3.2])[:, None] + rng.normal(size=(4, 14))
    found = comparison.critical_difference(scores)
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores).pvalue)
    np.testing.assert_allclose(found.ranks, np.mean([stats.rankdata(column) for column in scores.T], axis=0))
    assert [set(clique) for clique in found.cliques] == [{0, 1}, {2, 3}]
    for i, j in itertools.product((0, 1), (2, 3)):
        assert stats.wilcoxon(scores[i] - scores[j]).pvalue < 0.05 / 6
    pair = comparison.critical_difference(scores[:2])
    assert pair.p == pytest.approx(stats.wilcoxon(scores[0] - scores[1]).pvalue)


def test_cliques_are_the_largest_groups_of_neighbours():
    """One that is told apart from neither side joins both; a group within a group is not shown."""
    steps = np.array([2.0, 1.0, 0.0, 9.0])[:, None] + 1.5 * np.random.default_rng(0).normal(size=(4, 14))
    near, other, far = (stats.wilcoxon(steps[i] - steps[j]).pvalue for i, j in ((0, 1), (1, 2), (0, 2)))
    assert min(near, other) > 0.05
    assert 6 * far < 0.05
    assert comparison.critical_difference(steps).cliques == ((2, 1), (1, 0))
    equal = np.concatenate([steps[:1] + 0.01 * np.random.default_rng(3).normal(size=(3, 14)), steps[3:]])
    assert [set(clique) for clique in comparison.critical_difference(equal).cliques] == [{0, 1, 2}]
    assert comparison.critical_difference(equal[:3]).p > 0.05  # then no pair is told apart
    assert len(comparison.critical_difference(equal[:3]).cliques) == 1


def test_few_problems_tell_nothing_and_equal_scores_neither():
    for problems, apart in ((1, False), (5, False), (6, True)):
        scores = np.array([[0.0], [1.0]]) + np.arange(problems)
        assert comparison.critical_difference(scores).cliques == (() if apart else ((0, 1),))
    equal = comparison.critical_difference(np.ones((3, 8)))
    assert (equal.p, equal.cliques) == (1.0, ((0, 1, 2),))
    assert equal.ranks.tolist() == [2, 2, 2]
    alone = comparison.critical_difference(np.ones((1, 8)))
    assert (alone.ranks.tolist(), alone.cliques) == ([1], ())
    with pytest.raises(ValueError, match="1 that are not finite"):
        comparison.critical_difference(np.array([[1.0, NAN], [1, 2]]))


@pytest.mark.parametrize(("effect", "expected"), [(0.5, 34), (0.8, 15), (0.2, 199)])
def test_seeds_to_tell_are_those_of_cohens_tables(effect, expected):
    """G*Power has these sizes for a two-sided paired t test at 0.05 with power 0.8."""
    differences = np.random.default_rng(10).normal(size=30)
    differences = (differences - differences.mean()) / differences.std(ddof=1)
    assert comparison.seeds_to_tell(3 * (differences - effect)) == expected
    assert comparison.seeds_to_tell(differences + effect, most=expected) == expected
    assert comparison.seeds_to_tell(differences + effect, most=expected - 1) is None


def test_seeds_to_tell_at_their_edges():
    assert comparison.seeds_to_tell(np.full(5, 0.1)) == 2
    assert comparison.seeds_to_tell(np.array([1.0, 1.0, 1 + 1e-9])) == 2
    for values in (np.zeros(5), np.array([-1.0, 1.0]), np.array([1.0]), np.array([1.0, NAN])):
        assert comparison.seeds_to_tell(values) is None


def test_failed_runs_have_the_worst_loss_of_their_problem():
    runs = np.array([[[1.0, NAN, NAN], [2, 6, NAN]], [[NAN, 4, np.inf], [0, 5, NAN]]])
    filled, failed = comparison.imputed(runs)
    np.testing.assert_array_equal(filled, [[[1, 6, NAN], [2, 6, NAN]], [[2, 4, NAN], [0, 5, NAN]]])
    np.testing.assert_array_equal(failed, ~np.isfinite(runs))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 20])
@pytest.mark.parametrize("draw", [gaussian, skewed])
def test_the_truly_best_stays_in_the_set(draw, seeds):
    """Each of 12 equal agents is a truly best one; seeds are as hard for one as for the other."""
    rng = np.random.default_rng(11)
    found = np.array([comparison.confidence_set(draw(rng, (12, seeds)) + draw(rng, seeds)) for _ in range(4000)])
    lost, complete = 100 * (~found).mean(0), 100 * found.all(1).mean()
    print(f"{seeds} {draw.__name__} seeds, 12 equal agents: one is lost in {lost.mean():.2f}%, none in {complete:.0f}%")
    assert lost.max() <= 5


@pytest.mark.slow
@pytest.mark.parametrize("draw", [gaussian, skewed])
def test_rank_intervals_hold_for_all_agents_at_once(draw):
    """Of 12 agents, some equal: an agent's ranks are all those that its ties allow."""
    rng = np.random.default_rng(12)
    means = np.array([0, 0, 0, 0.3, 0.3, 0.6, 0.6, 0.6, 1.0, 1.5, 1.5, 3.0])[:, None]
    first, last = stats.rankdata(means[:, 0], "min"), stats.rankdata(means[:, 0], "max")
    held, equal, width = [], [], []
    for _ in range(4000):
        noise = draw(rng, (12, 20)) + draw(rng, 20)
        found = comparison.rank_intervals(means + noise)
        held.append(((found[:, 0] <= first) & (found[:, 1] >= last)).all())
        equal.append((comparison.rank_intervals(noise) == [1, 12]).all())
        width.append(np.ptp(found, axis=1).mean())
    percent = [100 * np.mean(one) for one in (held, equal)]
    print(
        f"Ranks of 12, 20 {draw.__name__} seeds: {percent[0]:.1f}%, {np.mean(width):.1f} wide; equal {percent[1]:.1f}%"
    )
    assert min(percent) >= 93
    assert np.mean(width) < (8 if draw is gaussian else 10)  # they tell something: 11 would be nothing


@pytest.mark.slow
def test_paired_differences_cover():
    rng = np.random.default_rng(13)
    for draw in (gaussian, skewed):
        held = []
        for _ in range(6000):
            own, reference = draw(rng, (2, 20)) + 10 * rng.normal(size=20)
            _, low, high = comparison.paired_difference(own + 1, reference)
            held.append(low <= 1 <= high)
        print(f"Paired differences of 20 {draw.__name__} seeds: {100 * np.mean(held):.1f}%")
        assert 93 <= 100 * np.mean(held) <= (97 if draw is gaussian else 99)


def test_seeds_to_tell_are_found_from_below():
    """Far beyond what is needed the noncentral t has no value in places: it once made 27 seeds 5,010."""
    difference = np.concatenate([np.full(8, 0.2), np.full(8, 0.9)])
    found = [comparison.seeds_to_tell(difference, level) for level in (0.1, 0.05, 0.02, 0.0167, 0.01)]
    assert found == sorted(found)
    assert max(found) < 20
    for effect in np.geomspace(0.05, 2, 60):
        own = effect + np.array([-1.0, 1.0, -1.0, 1.0])
        seeds = comparison.seeds_to_tell(own, 0.0167)
        assert seeds == pytest.approx(2 + 10.4 * own.var(ddof=1) / effect**2, rel=0.25, abs=4)


def test_profiles_and_improvement_do_not_depend_on_how_much_is_in_memory(monkeypatch):
    own, other = np.random.default_rng(4).normal(size=(2, 6, 3))
    thresholds = np.linspace(-2, 2, 9)
    whole = *comparison.performance_profile(own, thresholds), comparison.probability_of_improvement(own, other)
    monkeypatch.setattr(comparison, "KEPT", 0)
    monkeypatch.setattr(intervals, "KEPT", 0)
    pieces = *comparison.performance_profile(own, thresholds), comparison.probability_of_improvement(own, other)
    for one, another in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, another)
