"""Calibration of predicted classes, against closed forms, enumeration, scikit-learn and relplot."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from tests.test_classification_metrics import BY_HAND, BY_HAND_Y, P, Y
from vbandits.metrics import class_calibration, classification

random = np.random.default_rng(0)
RELPLOT = ((100, 0.0, 0.064670), (1000, 0.05, 0.035999), (1000, -0.1, 0.109978), (5000, 0.2, 0.205029))
"""Rows (and seed), by how much confidence is above the truth, and `smECE` of Apple's relplot 1.0."""


def binary(confidence, right):
    """Probabilities [..., N, 2] of a confidence, and labels so that the first class is right where `right` is."""
    return np.stack([confidence, 1 - confidence], -1), 1 - np.asarray(right).astype(int)


def test_expected_calibration_error_by_hand():
    # five bins: (0.4, 0.6] holds 0.6 (wrong) and 0.55 (right), (0.6, 0.8] holds 0.7 and 0.8, (0.8, 1] holds 1
    gaps = 2 / 5 * abs(0.5 - 0.575) + 2 / 5 * abs(1 - 0.75) + 1 / 5 * abs(1 - 1)
    assert class_calibration.expected_calibration_error(BY_HAND, BY_HAND_Y, bins=5) == pytest.approx(gaps)
    # one bin: the gap of the means
    assert class_calibration.expected_calibration_error(BY_HAND, BY_HAND_Y, bins=1) == pytest.approx(0.8 - 3.65 / 5)


def test_reliability_by_hand():
    curve = class_calibration.reliability(BY_HAND, BY_HAND_Y, bins=5)
    np.testing.assert_array_equal(curve.rows, [0, 0, 2, 2, 1])
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, 0.575, 0.75, 1])
    np.testing.assert_allclose(curve.accuracy, [np.nan, np.nan, 0.5, 1, 1])


@pytest.mark.parametrize("bins", [5, 10, 15, 49])
def test_a_confidence_on_an_edge_belongs_to_the_bin_on_its_left(bins):
    for edge in range((bins + 1) // 2 + 1, bins + 1):
        p = np.array([[edge / bins, 1 - edge / bins]])
        count = class_calibration.reliability(p, np.array([0]), bins).rows
        assert count.argmax() == edge - 1, edge
        just_above = np.nextafter(edge / bins, 2)
        if edge < bins:
            count = class_calibration.reliability(np.array([[just_above, 1 - just_above]]), np.array([0]), bins).rows
            assert count.argmax() == edge, edge


def test_fifteen_bins_by_default():
    assert class_calibration.reliability(P, Y).rows.shape == (2, 3, 15)
    expected = class_calibration.expected_calibration_error(P, Y, bins=15)
    np.testing.assert_array_equal(class_calibration.expected_calibration_error(P, Y), expected)


def test_labels_drawn_from_the_probabilities_are_calibrated():
    p = random.dirichlet(np.ones(3), 100_000)
    y = (random.random((100_000, 1)) > p.cumsum(1)[:, :2]).sum(1)
    assert class_calibration.expected_calibration_error(p, y) < 0.01  # 15 bins of standard error below 0.5 / sqrt(n_b)
    assert class_calibration.expected_calibration_error(p, (y + 1) % 3) > 0.2


def drawn(p, rng):
    """Labels that follow probabilities [..., N, 2]."""
    return (rng.random(p.shape[:-1]) < p[..., 1]) * 1


def test_debiased_error_by_hand():
    # three hits and a miss at 0.9: residuals 0.1, 0.1, 0.1, -0.9; the others of a hit sum to -0.7, of the miss to 0.3
    p, y = binary(np.full(4, 0.9), [1, 1, 1, 0])
    assert class_calibration.debiased_calibration_error(p, y) == pytest.approx((-0.3 - 0.9) / 4)
    # all right: all on one side
    assert class_calibration.debiased_calibration_error(p, 0 * y) == pytest.approx(0.1)
    # a row alone in its bin has nobody who tells its sign, but counts among the rows
    both, labels = binary(np.append(np.full(4, 0.9), 0.55), np.array([1, 1, 1, 1, 0]))
    assert class_calibration.debiased_calibration_error(both, labels) == pytest.approx(0.1 * 4 / 5)


def test_of_the_calibrated_the_debiased_error_has_mean_zero_exactly():
    confidence = np.array([0.55, 0.6, 0.85, 0.9, 0.95, 0.97, 0.7])
    outcomes = np.array([*product([0, 1], repeat=7)])
    chance = np.where(outcomes == 1, confidence, 1 - confidence).prod(1)
    p, y = binary(np.broadcast_to(confidence, outcomes.shape), outcomes)
    assert chance @ class_calibration.debiased_calibration_error(p, y, bins=5) == pytest.approx(0, abs=1e-15)
    assert chance @ class_calibration.expected_calibration_error(p, y, bins=5) > 0.1


@pytest.mark.parametrize(("rows", "low"), [(200, 0.016), (1000, 0.035), (10_000, 0.048)])
def test_debiased_error_keeps_what_is_no_chance(rows, low):
    truth = random.uniform(0.35, 0.94, (2_000_000 // rows, rows))
    p, y = binary(truth + 0.05, random.random(truth.shape) < truth)
    three = np.stack([p[..., 0], 0.5 * p[..., 1], 0.5 * p[..., 1]], -1)  # so that 0.4 is the most probable
    found = class_calibration.debiased_calibration_error(three, y).mean()
    assert low < found < 0.051
    assert class_calibration.expected_calibration_error(three, y).mean() > found


@pytest.mark.parametrize(("rows", "over", "expected"), RELPLOT)
def test_smooth_error_agrees_with_relplot(rows, over, expected):
    rng = np.random.default_rng(rows)
    confidence = rng.uniform(0.5, 1, rows)
    p, y = binary(confidence, rng.random(rows) < np.clip(confidence - over, 0, 1))
    assert class_calibration.smooth_calibration_error(p, y) == pytest.approx(expected, abs=1e-3)


def test_smooth_error_of_a_single_confidence_is_its_gap():
    p, y = binary(np.full(40, 0.83), np.arange(40) % 2)
    assert class_calibration.smooth_calibration_error(p, y) == pytest.approx(0.33, abs=2e-4)
    # two opposite gaps at a distance: a bandwidth h that mixes them, at which error and h agree
    far, labels = binary(np.repeat([0.52, 0.98], 25), np.repeat([1, 0], [13 + 2, 25 + 10]))
    assert 0 < class_calibration.smooth_calibration_error(far, labels) < 0.5


def test_null_band_of_one_bin_is_the_binomial():
    p, _ = binary(np.full(50, 0.8), np.ones(50))
    band = class_calibration.null_band(p, resamples=20_000)
    gaps, chance = np.abs(np.arange(51) / 50 - 0.8), stats.binom.pmf(np.arange(51), 50, 0.8)
    assert band.mean == pytest.approx(gaps @ chance, rel=0.02)
    order = np.argsort(gaps)
    upper = gaps[order][np.searchsorted(chance[order].cumsum(), 0.975)]
    assert (band.low, band.high) == pytest.approx((0, upper), abs=1e-9)
    smooth = class_calibration.null_band(p, smooth=True, resamples=2000)
    assert smooth.mean == pytest.approx(band.mean, rel=0.05)  # of a single confidence, both are its gap


@pytest.mark.parametrize(
    ("smooth", "metric"),
    [
        (False, class_calibration.expected_calibration_error),
        (True, class_calibration.smooth_calibration_error),
    ],
)
def test_null_band_holds_perfect_models_and_leaves_out_others(smooth, metric):
    p = random.dirichlet(np.full(5, 0.3), 300)
    band = class_calibration.null_band(p, smooth=smooth)
    p = np.broadcast_to(p, (2000, *p.shape))
    labels = (random.random((2000, 300, 1)) > p.cumsum(-1)[..., :4]).sum(-1)
    errors = metric(p, labels)
    assert ((errors >= band.low) & (errors <= band.high)).mean() == pytest.approx(0.95, abs=0.025)
    assert errors.mean() == pytest.approx(band.mean, rel=0.05)
    sharp = p[:200] ** 2 / (p[:200] ** 2).sum(-1, keepdims=True)  # overconfident
    assert (metric(sharp, labels[:200]) > class_calibration.null_band(sharp[0], smooth=smooth).high).mean() > 0.95


def test_null_band_narrows_with_rows_and_each_replica_has_its_own():
    few, many = (class_calibration.null_band(P[:, :, :rows]) for rows in (50, 200))
    assert few.mean.shape == (2, 3)
    assert (few.high - few.low > many.high - many.low).all()
    alone = class_calibration.null_band(P[1, 2])
    np.testing.assert_array_equal([alone.mean, alone.low, alone.high], [part[1, 2] for part in many])
    broken = P.copy()
    broken[0, 1, 3, 0] = np.nan
    assert np.isnan(class_calibration.null_band(broken).high).tolist() == [[False, True, False], [False] * 3]


def test_consistency_band_is_the_binomials():
    low, high = class_calibration.consistency_band(np.array([[0.9, np.nan, 1.0]]), np.array([[40, 0, 7]]))
    np.testing.assert_allclose(low, [[stats.binom.ppf(0.025, 40, 0.9) / 40, np.nan, 1]])
    np.testing.assert_allclose(high, [[stats.binom.ppf(0.975, 40, 0.9) / 40, np.nan, 1]])


SCORES = (
    (class_calibration.log_score_parts, classification.negative_log_likelihood),
    (class_calibration.brier_parts, classification.brier),
)


@pytest.mark.parametrize(("parts", "score"), SCORES)
def test_parts_sum_to_the_score_and_no_increasing_map_of_confidence_leaves_less(parts, score):
    p = random.dirichlet(np.full(4, 0.5), (3, 200))
    y = np.where(random.random((3, 200)) < 0.6, p.argmax(-1), random.integers(4, size=(3, 200)))
    calibration, refinement = parts(p, y)
    np.testing.assert_allclose(calibration + refinement, score(p, y), rtol=1e-12)
    assert (calibration > 0).all()
    top = np.eye(4)[p.argmax(-1)]
    confidence = p.max(-1, keepdims=True)
    levels = np.sort(random.uniform(0.01, 0.99, (300, 6)), axis=1)
    steps = np.sort(random.uniform(0.25, 1, (300, 5)), axis=1)
    for heights, edges in zip(levels, steps, strict=True):
        mapped = heights[np.searchsorted(edges, confidence)]
        changed = np.where(top == 1, mapped, p * (1 - mapped) / (1 - confidence))
        assert (score(changed, y) >= refinement - 1e-12).all()


def test_parts_of_two_classes_agree_with_isotonic_regression():
    truth = random.uniform(0.4, 0.95, 500)
    confidence = np.round(0.5 + 0.5 * truth, 2)  # with equals
    right = random.random(500) < truth
    p, y = binary(confidence, right)
    after = IsotonicRegression(out_of_bounds="clip").fit(confidence, right).predict(confidence)
    log = -np.log(np.where(right, after, 1 - after)).mean()
    assert class_calibration.log_score_parts(p, y).refinement == pytest.approx(log, rel=1e-9)
    squared = 2 * ((after - right) ** 2).mean()
    assert class_calibration.brier_parts(p, y).refinement == pytest.approx(squared, rel=1e-9)


@pytest.mark.parametrize(("parts", "score"), SCORES)
def test_parts_of_one_confidence_are_in_closed_form(parts, score):
    p, y = binary(np.full(40, 0.9), np.arange(40) < 28)  # right in 0.7 of rows
    p, y = np.insert(p, 2, 0.0, -1), y
    divergence = 0.7 * np.log(0.7 / 0.9) + 0.3 * np.log(0.3 / 0.1)
    expected = divergence if score is classification.negative_log_likelihood else 2 * 0.2**2
    assert parts(p, y).calibration == pytest.approx(expected, rel=1e-9)
    perfect, labels = binary(np.full(40, 0.7), np.arange(40) < 28)
    assert parts(perfect, labels).calibration == pytest.approx(0, abs=1e-12)
    sure, labels = binary(np.ones(10), np.arange(10) < 9)  # a sure miss costs at most log FLOOR
    assert parts(sure, labels).refinement == pytest.approx(
        -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) if score is classification.negative_log_likelihood else 2 * 0.09
    )
