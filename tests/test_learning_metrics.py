"""Metrics of learning curves, against closed forms of curves that are straight, bent once, or steps."""

import numpy as np
import pytest

from vbandits.metrics import intervals, learning

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


def test_labels_to_a_level_are_those_of_the_first_evaluation_that_has_it():
    quality = np.array([[0.2, 0.9, 0.5, 0.95], [0.2, 0.3, 0.4, 0.5], [0.95, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(learning.labels_to(LABELS, quality, 0.9), [20, np.inf, 10])
    np.testing.assert_array_equal(learning.labels_to(LABELS, quality, 0.91), [110, np.inf, 10])


def test_errors_are_qualities_with_their_sign_changed():
    rmse = np.array([[4.0, 2.0, 1.0, 1.5]])
    np.testing.assert_allclose(learning.simple_regret(-rmse, np.array([-1.0])), [0.5])
    np.testing.assert_allclose(learning.simple_regret(np.array([[0.2, 0.7]]), 0.8), [0.1])
    np.testing.assert_array_equal(learning.labels_to(LABELS, -rmse, -2), [20])


SLOW = 0.2 + 0.003 * (LABELS - 10)
"""A line half as steep as the other: from 0.2 to 0.5."""


def test_labels_saved_are_the_mean_distance_between_curves():
    # of a line twice as steep, half of random's labels: 25 in the mean over the qualities that random went through
    assert learning.labels_saved(LABELS, LINE[None], LABELS, SLOW[None]) == pytest.approx([25])
    assert learning.labels_saved(LABELS, SLOW[None], LABELS, SLOW[None]) == pytest.approx([0])
    # the other way round: as many more up to 0.5, the middle; beyond, all 110 labels count, and random has 60 to 110
    assert learning.labels_saved(LABELS, SLOW[None], LABELS, LINE[None]) == pytest.approx([(-25 - 25) / 2])
    # a learner that never improves: random's mean of 60 against all labels
    assert learning.labels_saved(LABELS, 0 * SLOW[None] + 0.1, LABELS, LINE[None]) == pytest.approx([60 - 110])
    # that bought few, against the most that either bought
    few = np.array([10, 20])
    assert learning.labels_saved(few, np.full((1, 2), 0.1), LABELS, LINE[None]) == pytest.approx([60 - 110])
    # there before anything was bought
    assert learning.labels_saved(LABELS, 0 * LINE[None] + 0.9, LABELS, LINE[None]) == pytest.approx([60 - 10])
    assert np.isnan(learning.labels_saved(LABELS, LINE[None], LABELS, 0 * LINE[None])).all()  # random learned nothing


def test_of_a_curve_that_falls_the_mean_of_what_it_falls_back_to_is_reached():
    bent = np.array([0.2, 0.6, 0.4, 0.8])  # made to rise: 0.2, 0.5, 0.5, 0.8
    flat = np.array([0.2, 0.5, 0.5, 0.8])
    assert learning.labels_saved(LABELS, bent[None], LABELS, flat[None]) == pytest.approx([0])


def test_labels_saved_of_seeds_are_the_pseudo_values_of_the_jackknife():
    shift = np.array([-0.02, 0.0, 0.05])[:, None]
    own, other = LINE + shift, SLOW + shift[::-1]
    found = learning.labels_saved(LABELS, own, LABELS, other)
    whole = learning.labels_saved(LABELS, own.mean(0)[None], LABELS, other.mean(0)[None])[0]
    first = learning.labels_saved(LABELS, own[1:].mean(0)[None], LABELS, other[1:].mean(0)[None])[0]
    assert found[0] == pytest.approx(3 * whole - 2 * first)
    assert found.shape == (3,)
    assert np.ptp(found) > 1
    with pytest.raises(ValueError, match="the same seeds of both, got 3 and 2"):
        learning.labels_saved(LABELS, own, LABELS, other[:2])


def noisy(rng, scale, size):
    """Curves of so many seeds that near 0.95 within `scale` labels, with noise that lasts."""
    labels = np.arange(10, 111, 5)
    noise = np.zeros((size, len(labels)))
    for place in range(1, len(labels)):
        noise[:, place] = 0.8 * noise[:, place - 1] + rng.normal(0, 0.015, size)
    return labels, 0.95 - 0.5 * np.exp(-(labels - 10) / scale) + noise


@pytest.mark.parametrize("size", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_copy_of_random_saves_nothing_and_its_interval_says_so(size):
    rng, found, covered = np.random.default_rng(size), [], []
    for _ in range(600):
        (labels, own), (_, other) = (noisy(rng, 30, size) for _ in range(2))
        saved = learning.labels_saved(labels, own, labels, other)
        low, high = intervals.mean_interval(saved, symmetric=True)
        found.append(saved.mean())
        covered.append(low <= 0 <= high)
    assert abs(np.mean(found)) < 3.5 * np.std(found) / np.sqrt(600)
    assert np.std(found) > 0.5
    assert 0.92 <= np.mean(covered) <= 0.975


def test_a_diverged_seed_is_nan_and_leaves_the_others_alone():
    quality = np.stack([LINE, np.where(LABELS == 40, np.nan, LINE)])
    np.testing.assert_array_equal(np.isnan(learning.area_under_curve(LABELS, quality)), [False, True])
    assert np.isnan(learning.labels_saved(LABELS, quality, LABELS, LINE + np.zeros((2, 1)))).all()  # of mean curves


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
