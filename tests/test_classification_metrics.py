import numpy as np
import pytest
from sklearn import metrics as sklearn

from vbandits.metrics import class_calibration, classification

random = np.random.default_rng(0)
P = random.dirichlet(np.full(4, 0.5), (2, 3, 200))  # two leading axes
Y = random.integers(4, size=(2, 3, 200))


def log_calibration(p, y):
    return class_calibration.log_score_parts(p, y).calibration


def brier_calibration(p, y):
    return class_calibration.brier_parts(p, y).calibration


WITH_LABELS = [
    classification.accuracy,
    classification.error,
    classification.negative_log_likelihood,
    classification.brier,
    classification.median_negative_log_likelihood,
    classification.trimmed_negative_log_likelihood,
    classification.area_under_risk_coverage,
    classification.excess_area_under_risk_coverage,
    class_calibration.expected_calibration_error,
    class_calibration.debiased_calibration_error,
    class_calibration.smooth_calibration_error,
    log_calibration,
    brier_calibration,
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


def test_extremes():
    right, wrong, uniform = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.full((1, 4), 0.25)
    y = np.array([0])
    assert classification.brier(wrong, y) == 2
    assert classification.brier(right, y) == 0
    assert classification.negative_log_likelihood(right, y) == 0
    assert classification.negative_log_likelihood(wrong, y) == pytest.approx(36.0437, abs=1e-4)  # 52 log 2
    assert class_calibration.expected_calibration_error(wrong, y) == 1
    assert classification.negative_log_likelihood(uniform, y) == pytest.approx(np.log(4))
    assert classification.brier(uniform, y) == pytest.approx(0.75)
    assert classification.entropy(uniform)[0] == pytest.approx(np.log(4))
    assert classification.entropy(right)[0] == 0


def test_the_median_and_the_trimmed_mean_are_of_rows():
    costs = -np.log(np.take_along_axis(P, Y[..., None], -1)[..., 0])
    np.testing.assert_allclose(classification.median_negative_log_likelihood(P, Y), np.median(costs, -1))
    middle = np.sort(costs, -1)[..., 20:-20].mean(-1)
    np.testing.assert_allclose(classification.trimmed_negative_log_likelihood(P, Y), middle)


def test_risk_coverage_by_hand():
    # by confidence: 1 (right), 0.8, 0.7 (right), 0.6 (wrong), 0.55 (right)
    curve = classification.risk_coverage(BY_HAND, BY_HAND_Y)
    np.testing.assert_allclose(curve, [0, 0, 0, 1 / 4, 1 / 5])
    area = classification.area_under_risk_coverage(BY_HAND, BY_HAND_Y)
    assert area == pytest.approx(0.45 / 5)
    # had the miss been the least confident: only the last place has an error, 1 / 5
    assert classification.excess_area_under_risk_coverage(BY_HAND, BY_HAND_Y) == pytest.approx((0.45 - 0.2) / 5)


def test_equals_in_confidence_count_as_in_any_order():
    p, y = np.tile([0.7, 0.3], (10, 1)), np.array([0] * 7 + [1] * 3)
    np.testing.assert_allclose(classification.risk_coverage(p, y), np.full(10, 0.3))
    np.testing.assert_allclose(classification.risk_coverage(p, y[::-1]), np.full(10, 0.3))


def test_a_confidence_that_knows_its_misses_has_no_excess_area():
    confidence = np.linspace(0.99, 0.51, 50)
    p, y = np.stack([confidence, 1 - confidence], -1), (np.arange(50) >= 41) * 1
    assert classification.excess_area_under_risk_coverage(p, y) == pytest.approx(0, abs=1e-15)
    chance = classification.excess_area_under_risk_coverage(p, random.permutation(y))
    assert chance > 0.05


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
        class_calibration.reliability(P, Y, bins=0)
