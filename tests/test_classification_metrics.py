import numpy as np
import pytest
from sklearn import metrics as sklearn

from vbandits.metrics import classification

random = np.random.default_rng(0)
P = random.dirichlet(np.full(4, 0.5), (2, 3, 200))  # two leading axes
Y = random.integers(4, size=(2, 3, 200))
WITH_LABELS = [
    classification.accuracy,
    classification.error,
    classification.negative_log_likelihood,
    classification.brier,
    classification.expected_calibration_error,
    classification.debiased_calibration_error,
]

BY_HAND = np.array([[1.0, 0.0], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55], [0.2, 0.8]])
BY_HAND_Y = np.array([0, 1, 1, 1, 1])
"""Confidences 1, 0.6, 0.7, 0.55, 0.8; only the second row is wrong."""


@pytest.mark.parametrize("replica", [(0, 0), (1, 2)])
def test_metrics_agree_with_scikit_learn_in_every_replica(replica):
    p, y, classes = P[replica], Y[replica], range(4)
    assert classification.accuracy(P, Y)[replica] == sklearn.accuracy_score(y, p.argmax(1))
    log_loss = sklearn.log_loss(y, p, labels=classes)
    assert classification.negative_log_likelihood(P, Y)[replica] == pytest.approx(log_loss, rel=1e-12)
    brier = sklearn.brier_score_loss(y, p, labels=classes, scale_by_half=False)
    assert classification.brier(P, Y)[replica] == pytest.approx(brier, rel=1e-12)


@pytest.mark.parametrize("metric", WITH_LABELS)
def test_replicas_do_not_see_each_other(metric):
    each = [[metric(P[i, j], Y[i, j]) for j in range(3)] for i in range(2)]
    assert metric(P, Y).shape == (2, 3)
    np.testing.assert_allclose(metric(P, Y), each, rtol=1e-13)
    assert len(np.unique(each)) > 1
    np.testing.assert_allclose(metric(P, Y[0, 0]), metric(P, np.broadcast_to(Y[0, 0], Y.shape)), rtol=1e-13)


def test_values_by_hand():
    assert classification.accuracy(BY_HAND, BY_HAND_Y) == 0.8
    assert classification.error(BY_HAND, BY_HAND_Y) == pytest.approx(0.2)
    expected = -np.log([1.0, 0.4, 0.7, 0.55, 0.8]).mean()
    assert classification.negative_log_likelihood(BY_HAND, BY_HAND_Y) == pytest.approx(expected)
    expected = np.mean([0, 2 * 0.6**2, 2 * 0.3**2, 2 * 0.45**2, 2 * 0.2**2])
    assert classification.brier(BY_HAND, BY_HAND_Y) == pytest.approx(expected)


def test_expected_calibration_error_by_hand():
    # five bins: (0.4, 0.6] holds 0.6 (wrong) and 0.55 (right), (0.6, 0.8] holds 0.7 and 0.8, (0.8, 1] holds 1
    gaps = 2 / 5 * abs(0.5 - 0.575) + 2 / 5 * abs(1 - 0.75) + 1 / 5 * abs(1 - 1)
    assert classification.expected_calibration_error(BY_HAND, BY_HAND_Y, bins=5) == pytest.approx(gaps)
    # one bin: the gap of the means
    assert classification.expected_calibration_error(BY_HAND, BY_HAND_Y, bins=1) == pytest.approx(0.8 - 3.65 / 5)


def test_reliability_by_hand():
    curve = classification.reliability(BY_HAND, BY_HAND_Y, bins=5)
    np.testing.assert_array_equal(curve.rows, [0, 0, 2, 2, 1])
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, 0.575, 0.75, 1])
    np.testing.assert_allclose(curve.accuracy, [np.nan, np.nan, 0.5, 1, 1])


@pytest.mark.parametrize("bins", [5, 10, 15, 49])
def test_a_confidence_on_an_edge_belongs_to_the_bin_on_its_left(bins):
    for edge in range((bins + 1) // 2 + 1, bins + 1):
        p = np.array([[edge / bins, 1 - edge / bins]])
        count = classification.reliability(p, np.array([0]), bins).rows
        assert count.argmax() == edge - 1, edge
        just_above = np.nextafter(edge / bins, 2)
        if edge < bins:
            count = classification.reliability(np.array([[just_above, 1 - just_above]]), np.array([0]), bins).rows
            assert count.argmax() == edge, edge


def test_fifteen_bins_by_default():
    assert classification.reliability(P, Y).rows.shape == (2, 3, 15)
    expected = classification.expected_calibration_error(P, Y, bins=15)
    np.testing.assert_array_equal(classification.expected_calibration_error(P, Y), expected)


def test_labels_drawn_from_the_probabilities_are_calibrated():
    p = random.dirichlet(np.ones(3), 100_000)
    y = (random.random((100_000, 1)) > p.cumsum(1)[:, :2]).sum(1)
    assert classification.expected_calibration_error(p, y) < 0.01  # 15 bins of standard error below 0.5 / sqrt(n_b)
    assert classification.expected_calibration_error(p, (y + 1) % 3) > 0.2


def drawn(p, rng):
    """Labels that follow probabilities [..., N, 2]."""
    return (rng.random(p.shape[:-1]) < p[..., 1]) * 1


def test_debiased_error_by_hand():
    # one bin of 4 rows, 3 right, confidence 0.9: d = 0.15, s = sqrt(0.75 * 0.25 / 4); the folded mean by simulation
    p, y = np.tile([0.9, 0.1], (4, 1)), np.array([0, 0, 0, 1])
    folded = np.abs(random.normal(0.15, np.sqrt(0.75 * 0.25 / 4), 4_000_000)).mean()
    assert classification.debiased_calibration_error(p, y) == pytest.approx(0.3 - folded, abs=5e-4)
    # all right: no spread, and so nothing to take off
    assert classification.debiased_calibration_error(p, 0 * y) == pytest.approx(0.1)
    # two bins weigh by their rows: 4 as above, and 2 of confidence 0.6, one right
    both = np.concatenate([p, np.tile([0.6, 0.4], (2, 1))])
    other = 0.2 - np.abs(random.normal(0.1, np.sqrt(0.125), 4_000_000)).mean()
    expected = (4 * (0.3 - folded) + 2 * other) / 6
    found = classification.debiased_calibration_error(both, np.append(y, [0, 1]))
    assert found == pytest.approx(expected, abs=5e-4)


def test_of_the_calibrated_the_debiased_error_keeps_the_share_of_bias_that_theory_says():
    # d is |N(0, s^2)|, of mean c s; the folded mean about it is that of |N(0, 2 s^2)|: 2 c s - sqrt(2) c s is left
    one = random.uniform(0.15, 0.85, (1000, 1500))  # some 140 rows in each of ten bins
    p = np.stack([1 - one, one], -1)
    y = drawn(p, random)
    plain, debiased = classification.expected_calibration_error(p, y), classification.debiased_calibration_error(p, y)
    assert debiased.mean() / plain.mean() == pytest.approx(2 - np.sqrt(2), abs=0.02)
    assert debiased.min() < 0  # not clipped


def test_the_bias_taken_off_makes_few_rows_agree_with_many():
    one = random.uniform(0.05, 0.95, (2000, 200))
    y = drawn(np.stack([1 - one, one], -1), random)
    sure = np.where(one > 0.5, one + 0.05, one - 0.05)  # overconfident by 0.05
    p = np.stack([1 - sure, sure], -1)
    plain, debiased = classification.expected_calibration_error(p, y), classification.debiased_calibration_error(p, y)
    assert plain.mean() > 0.05 + 0.02
    assert abs(debiased.mean() - 0.05) < 0.5 * (plain.mean() - 0.05)


def test_of_many_rows_the_debiased_error_is_the_plain_one():
    one = random.uniform(0.05, 0.95, 400_000)
    y = drawn(np.stack([1 - one, one], -1), random)
    sure = np.where(one > 0.5, one + 0.04, one - 0.04)  # overconfident by 0.04
    p = np.stack([1 - sure, sure], -1)
    debiased = classification.debiased_calibration_error(p, y)
    assert debiased == pytest.approx(0.04, abs=0.002)
    assert debiased == pytest.approx(classification.expected_calibration_error(p, y), abs=2e-4)


def test_extremes():
    right, wrong, uniform = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.full((1, 4), 0.25)
    y = np.array([0])
    assert classification.brier(wrong, y) == 2
    assert classification.brier(right, y) == 0
    assert classification.negative_log_likelihood(right, y) == 0
    assert classification.negative_log_likelihood(wrong, y) == pytest.approx(36.0437, abs=1e-4)  # 52 log 2
    assert classification.expected_calibration_error(wrong, y) == 1
    assert classification.negative_log_likelihood(uniform, y) == pytest.approx(np.log(4))
    assert classification.brier(uniform, y) == pytest.approx(0.75)
    assert classification.entropy(uniform)[0] == pytest.approx(np.log(4))
    assert classification.entropy(right)[0] == 0


@pytest.mark.parametrize("levels", [1000, 5])  # few levels: many ties
def test_auroc_agrees_with_scikit_learn(levels):
    positive, negative = (
        random.integers(levels, size=(2, 3, 60)) + levels // 5,
        random.integers(levels, size=(2, 3, 90)),
    )
    found = classification.auroc(positive, negative)
    truth = np.repeat([1, 0], [60, 90])
    for replica in np.ndindex(2, 3):
        scores = np.concatenate([positive[replica], negative[replica]])
        assert found[replica] == pytest.approx(sklearn.roc_auc_score(truth, scores), rel=1e-12)


def test_auroc_by_hand():
    assert classification.auroc(np.array([3.0, 4.0]), np.array([1.0, 2.0, 2.5])) == 1
    assert classification.auroc(np.array([1.0]), np.array([2.0])) == 0
    assert classification.auroc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert classification.auroc(np.array([1.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_uncertain_rows_count_as_out_of_distribution():
    sure, unsure = np.tile([0.98, 0.01, 0.01], (2, 5, 1)), np.tile([0.4, 0.3, 0.3], (2, 7, 1))
    np.testing.assert_array_equal(classification.out_of_distribution_auroc(sure, unsure), [1, 1])
    np.testing.assert_array_equal(classification.out_of_distribution_auroc(unsure, sure), [0, 0])
    np.testing.assert_array_equal(classification.out_of_distribution_auroc(sure, sure[:, :2]), [0.5, 0.5])


def test_a_diverged_replica_is_nan_and_leaves_the_others_alone():
    broken = P.copy()
    broken[0, 1, 17, 2] = np.nan  # a single number
    for metric in WITH_LABELS:
        expected = metric(P, Y)
        expected[0, 1] = np.nan
        np.testing.assert_allclose(metric(broken, Y), expected, err_msg=metric.__name__)
    expected = classification.out_of_distribution_auroc(P, P[:, :, :50])
    expected[0, 1] = np.nan
    np.testing.assert_allclose(classification.out_of_distribution_auroc(broken, P[:, :, :50]), expected)


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (P, Y[..., :5], r"expected shape \(2, 3, 200\) or \(200,\)"),
        (P, Y + 1, r"whole numbers in 0..3, got int64 in 1..4"),
        (P, Y - 1, r"got int64 in -1..2"),
        (P, Y.astype(float), "got float64"),
        (np.log(P), Y, "expected numbers in"),
        (P / 2, Y, "sum to 1 .* sums 0.5..0.5"),
        (P[0, 0, 0], Y[0, 0, :1], r"\[..., N, K\]"),
        (P[:, :, :0], Y[:, :, :0], "not empty"),
    ],
)
@pytest.mark.parametrize("metric", WITH_LABELS)
def test_what_are_no_probabilities_or_labels_is_refused(metric, p, y, message):
    with pytest.raises(ValueError, match=message):
        metric(p, y)


def test_scores_of_different_replicas_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 5\), \(3, 5\)"):
        classification.auroc(np.zeros((2, 5)), np.zeros((3, 5)))
    with pytest.raises(ValueError, match="neither empty"):
        classification.auroc(np.zeros(0), np.zeros(3))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        classification.reliability(P, Y, bins=0)
