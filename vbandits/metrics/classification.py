"""Metrics of predicted class probabilities, as pure functions of float64 arrays.

Shapes: probabilities are [..., N, K] and sum to 1 over K; labels are [..., N], or [N] where all replicas share them;
metrics are arrays [...], of no axes where there are no leading ones. The leading axes are replicas. Rows that hold a
NaN (of a replica that diverged) make the metrics of their replica NaN, and of no other.

Everything raises a ValueError for shapes that do not fit, for what are no probabilities, and for labels outside 0..K-1.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from vbandits.metrics.scores import mean_absolute

FLOOR = float(np.finfo(np.float64).eps)
"""The least probability whose logarithm is taken: a row costs at most 36.04 nats (as in scikit-learn's log_loss)."""

BINS = 15


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the part of rows whose most probable class, the first of equals, is their label."""
    probabilities, labels = _checked(probabilities, labels)
    return np.asarray(_correct(probabilities, labels).mean(-1))


def error(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the part of rows whose most probable class is not their label: 1 - accuracy."""
    return np.asarray(1 - accuracy(probabilities, labels))


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean of -log of the label's probability, in nats; a probability below `FLOOR` counts as `FLOOR`."""
    probabilities, labels = _checked(probabilities, labels)
    return np.asarray(-np.log(np.maximum(_of_label(probabilities, labels), FLOOR)).mean(-1))


def brier(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean squared distance of the probabilities to the label's unit vector, in [0, 2].

    The sum over all classes (Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950, equation 2):
    with two classes it is twice the squared error of the probability of one.
    """
    probabilities, labels = _checked(probabilities, labels)
    return np.asarray(((probabilities**2).sum(-1) - 2 * _of_label(probabilities, labels) + 1).mean(-1))


class Reliability(NamedTuple):
    """What a reliability diagram shows; each array is [..., B], with NaN for confidence and accuracy in empty bins.

    Attributes:
        confidence: mean of the largest probability of a bin's rows.
        accuracy: part of them whose most probable class is their label.
        rows: how many they are.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    rows: np.ndarray


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Returns confidence and accuracy in B = `bins` bins of equal width.

    Bin b = 1..B holds the rows whose confidence lies in ((b - 1) / B, b / B]: a confidence of 1 is in the last.
    """
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    probabilities, labels = _checked(probabilities, labels)
    confidence = probabilities.max(-1)
    edges = np.arange(1, bins) / bins  # inner ones; k / B rounds as the same fraction of rows does
    index = np.searchsorted(edges, confidence)
    lead = confidence.shape[:-1]
    replica = np.arange(int(np.prod(lead))).reshape(*lead, 1)
    cell = (replica * bins + index).ravel()

    def total(values: np.ndarray | None) -> np.ndarray:
        weights = None if values is None else values.ravel()
        return np.bincount(cell, weights, minlength=replica.size * bins).reshape(*lead, bins)

    rows = total(None)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins
        return Reliability(total(confidence) / rows, total(_correct(probabilities, labels)) / rows, rows)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns sum_b n_b / N |accuracy_b - confidence_b| over the bins of `reliability`, in [0, 1].

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017), equation 3. It is biased
    upwards where bins hold few rows, and is no proper score: read it beside the log likelihood.
    """
    curve = reliability(probabilities, labels, bins)
    gap = np.where(curve.rows > 0, np.abs(curve.accuracy - curve.confidence), 0)
    return np.asarray((curve.rows * gap).sum(-1) / curve.rows.sum(-1))


def debiased_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns the expected calibration error less an estimate of its bias; it may be below 0, and is never clipped.

    A bin of n rows adds a gap d = |accuracy - confidence| to the plain error, but chance alone makes gaps. Were d the
    truth, the gap seen would be |N(d, s^2)|, s^2 = accuracy (1 - accuracy) / n, and its mean E would exceed d by the
    bias: the bin adds d - (E - d) = 2 d - E. Kumar, Liang and Ma, "Verified Uncertainty Calibration" (2019), debias the
    L1 error so, with E by simulation; here it is exact. Bins and weights are the plain error's.
    One such step does not take all bias off: of a calibrated predictor's, the part 2 - sqrt(2) = 0.59 is left, and all
    of it in bins whose rows are all right or all wrong, where s is 0. Where gaps are several s, nothing is left.
    """
    curve = reliability(probabilities, labels, bins)
    gap = np.abs(curve.accuracy - curve.confidence)
    std = np.sqrt(curve.accuracy * (1 - curve.accuracy) / np.maximum(curve.rows, 1))
    expected = np.where(std > 0, mean_absolute(gap, np.where(std > 0, std, 1)), gap)
    debiased = np.where(curve.rows > 0, 2 * gap - expected, 0)
    return np.asarray((curve.rows * debiased).sum(-1) / curve.rows.sum(-1))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Returns the entropy of each row's class, in nats in [0, log K], [..., N]."""
    return special.entr(_probabilities(probabilities)).sum(-1)


def auroc(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Returns the probability that a positive scores higher than a negative, plus half that they tie.

    It is the area under the receiver operating characteristic, exact: the Mann-Whitney statistic from ranks (Hanley and
    McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve", 1982).

    Args:
        positive: scores [..., P].
        negative: scores [..., Q], of the same leading axes.
    """
    positive, negative = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    p, q = positive.shape[-1], negative.shape[-1]
    if positive.shape[:-1] != negative.shape[:-1] or not p or not q:
        raise ValueError(
            f"expected scores [..., P] and [..., Q], neither empty, got {positive.shape}, {negative.shape}"
        )
    ranks = stats.rankdata(np.concatenate([positive, negative], -1), axis=-1)  # NaN for all beside a NaN
    return np.asarray((ranks[..., :p].sum(-1) - p * (p + 1) / 2) / (p * q))


def out_of_distribution_auroc(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Returns how well the predictive entropy tells rows out of distribution (the positive ones) from others.

    1 is perfect and 0.5 is chance (Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples in Neural Networks", 2017, with entropy for their confidence).

    Args:
        inside: probabilities for rows in distribution [..., N, K].
        outside: probabilities for rows out of it [..., M, K].
    """
    return auroc(entropy(outside), entropy(inside))


def _correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns 1.0 where the most probable class is the label, 0.0 elsewhere, NaN for rows of NaN."""
    return np.where(np.isnan(probabilities[..., 0]), np.nan, probabilities.argmax(-1) == labels)


def _of_label(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.take_along_axis(probabilities, labels[..., None], -1)[..., 0]


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities as float64 and the labels of every row."""
    probabilities, labels = _probabilities(probabilities), np.asarray(labels)
    rows, classes = probabilities.shape[:-1], probabilities.shape[-1]
    if labels.shape not in (rows, rows[-1:]):
        raise ValueError(f"labels: expected shape {rows} or {rows[-1:]}, one per row, got {labels.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        got = f"{labels.dtype} in {labels.min()}..{labels.max()}"
        raise ValueError(f"labels: expected whole numbers in 0..{classes - 1}, got {got}")
    return probabilities, np.broadcast_to(labels, rows)


def _probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Returns probabilities [..., N, K] as float64, with rows that hold any NaN all NaN."""
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim < 2 or not all(probabilities.shape[-2:]):
        raise ValueError(f"probabilities: expected an array [..., N, K], not empty, got {probabilities.shape}")
    sums = probabilities.sum(-1, keepdims=True)
    if (probabilities < 0).any() or (np.abs(sums - 1) > 1e-3).any():
        got = f"{np.nanmin(probabilities):.6g} as the least, and sums {np.nanmin(sums):.6g}..{np.nanmax(sums):.6g}"
        raise ValueError(f"probabilities: expected numbers in [0, 1] that sum to 1 over the last axis, got {got}")
    return np.where(np.isnan(sums), np.nan, probabilities)
