"""Metrics of learning curves, against closed forms of curves that are straight, bent once, or steps."""

import numpy as np
import pytest

from vbandits.metrics import learning

LABELS = np.array([10, 20, 40, 110])
LINE = 0.2 + 0.006 * (LABELS - 10)  # from 0.2 to 0.8, evaluated at unequal distances


def test_the_area_of_a_line_is_its_middle_whatever_the_evaluations():
    quality = np.stack([LINE, LINE - 0.1, 1 - LINE])
    np.testing.assert_allclose(learning.area_under_curve(LABELS, quality), [0.5, 0.4, 0.5])
    # a bend: 0 to 1 over the first tenth, then 1
    bent = learning.area_under_curve(np.array([0, 10, 100]), np.array([[0.0, 1, 1]]))
    np.testing.assert_allclose(bent, [0.95])


def test_the_last_quality_is_held_to_the_end_of_a_longer_range():
    # 100 labels at 0.5 on the mean, 100 more at 0.8
    np.testing.assert_allclose(learning.area_under_curve(LABELS, LINE[None], until=210), [0.65])
    np.testing.assert_allclose(learning.area_under_curve(LABELS, LINE[None], until=110), [0.5])
    with pytest.raises(ValueError, match="until: expected at least the last labels, 110, got 100"):
        learning.area_under_curve(LABELS, LINE[None], until=100)


def test_each_seed_may_have_labels_of_its_own():
    labels = np.array([[0, 5, 5, 10], [0, 0, 0, 0]])  # bought nothing in a stretch; nothing at all
    quality = np.array([[0.0, 0.5, 0.7, 0.7], [0.1, 0.3, 0.2, 0.4]])
    np.testing.assert_allclose(learning.area_under_curve(labels, quality), [(5 * 0.25 + 5 * 0.7) / 10, 0.4])
    np.testing.assert_allclose(learning.labels_to(labels, quality, 0.7), [5, np.inf])
    np.testing.assert_allclose(learning.cumulative_regret(labels, quality, 1.0), [5 * 1.0 + 5 * 0.3, 0])


def test_labels_to_a_level_are_those_of_the_first_evaluation_that_has_it():
    quality = np.array([[0.2, 0.9, 0.5, 0.95], [0.2, 0.3, 0.4, 0.5], [0.95, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(learning.labels_to(LABELS, quality, 0.9), [20, np.inf, 10])
    np.testing.assert_array_equal(learning.labels_to(LABELS, quality, 0.91), [110, np.inf, 10])


def test_regret_weighs_the_model_in_use_by_the_labels_bought_under_it():
    quality = np.array([[0.2, 0.5, 0.9, 0.7]])
    expected = 10 * (0.8 - 0.2) + 20 * (0.8 - 0.5) + 70 * (0.8 - 0.9)  # negative parts stay; the last is not in it
    np.testing.assert_allclose(learning.cumulative_regret(LABELS, quality, 0.8), [expected])
    np.testing.assert_allclose(learning.simple_regret(quality, 0.8), [0.1])
    np.testing.assert_allclose(learning.idle_regret(LABELS, quality, 0.8), [100 * 0.6])


def test_normalised_regret_is_one_for_who_learns_nothing_and_a_half_on_a_line():
    flat = np.full((2, 4), 0.3)
    reference = np.array([0.9, 0.7])  # one per seed
    np.testing.assert_allclose(
        learning.cumulative_regret(LABELS, flat, reference), learning.idle_regret(LABELS, flat, reference)
    )
    np.testing.assert_allclose(learning.idle_regret(LABELS, flat, reference), [60, 40])
    labels = np.arange(1001)  # one at a time: (n + 1) / 2n of the way to the reference
    line = labels[None] / 1000
    ratio = learning.cumulative_regret(labels, line, 1.0) / learning.idle_regret(labels, line, 1.0)
    np.testing.assert_allclose(ratio, [1001 / 2000])
    better = learning.cumulative_regret(LABELS, np.full((1, 4), 0.9), 0.8)
    np.testing.assert_allclose(better, [-10])


def test_errors_are_qualities_with_their_sign_changed():
    rmse = np.array([[4.0, 2.0, 1.0, 1.5]])
    np.testing.assert_allclose(learning.cumulative_regret(LABELS, -rmse, -1.0), [10 * 3 + 20 * 1 + 70 * 0])
    np.testing.assert_allclose(learning.simple_regret(-rmse, np.array([-1.0])), [0.5])
    np.testing.assert_array_equal(learning.labels_to(LABELS, -rmse, -2), [20])


def test_speed_up_interpolates_between_evaluations():
    random = 0.1 + 0.004 * (LABELS - 10)  # ends at 0.5 after 100 labels; the line is there after 50
    assert learning.speed_up(LABELS, LINE, LABELS, random) == pytest.approx(2)
    assert learning.speed_up(LABELS, random, LABELS, random) == pytest.approx(1)
    assert np.isnan(learning.speed_up(LABELS, random, LABELS, LINE))
    # random may have bought another number of labels
    assert learning.speed_up(LABELS, LINE, np.array([10, 20]), np.array([0.1, 0.5])) == pytest.approx(0.2)
    assert learning.speed_up(LABELS, LINE + 0.5, LABELS, random) == np.inf  # there before anything was bought
    assert np.isnan(learning.speed_up(LABELS, LINE, LABELS, 0 * LINE + 0.2))  # random learned nothing
    # from the first time that it is reached
    assert learning.speed_up(LABELS, np.array([0, 0.6, 0.2, 0.9]), LABELS, random) == pytest.approx(100 / (10 * 5 / 6))


def test_a_diverged_seed_is_nan_and_leaves_the_others_alone():
    quality = np.stack([LINE, np.where(LABELS == 40, np.nan, LINE)])
    for metric in (learning.area_under_curve, lambda x, y: learning.cumulative_regret(x, y, 1.0)):
        np.testing.assert_array_equal(np.isnan(metric(LABELS, quality)), [False, True])


@pytest.mark.parametrize(
    ("labels", "quality", "message"),
    [
        (LABELS[:3], LINE[None], r"got \(3,\) and \(1, 4\)"),
        (LABELS[::-1], LINE[None], "never decrease"),
        (LABELS[:0], LINE[None, :0], r"got \(0,\) and \(1, 0\)"),
    ],
)
def test_what_is_no_curve_is_refused(labels, quality, message):
    with pytest.raises(ValueError, match=message):
        learning.area_under_curve(labels, quality)
