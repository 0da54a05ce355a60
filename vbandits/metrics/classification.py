"""Metrics of predicted class probabilities, as pure functions of float64 arrays.

Shapes: probabilities are [..., N, K] and sum to 1 over K; labels are [..., N], or [N] where all replicas share them;
metrics are arrays [...], of no axes where there are no leading ones. The leading axes are replicas. Rows that hold a
NaN (of a replica that diverged) make the metrics of their replica NaN, and of no other.

Everything raises a ValueError for shapes that do not fit, for what are no probabilities, and for labels outside 0..K-1.
"""

import numpy as np
from scipy import special, stats

FLOOR = float(np.finfo(np.float64).eps)
"""The least probability whose logarithm is taken: a row costs at most 36.04 nats (as in scikit-learn's log_loss)."""


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the part of rows whose most probable class, the first of equals, is their label."""
    probabilities, labels = checked(probabilities, labels)
    return np.asarray(correct(probabilities, labels).mean(-1))


def error(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the part of rows whose most probable class is not their label: 1 - accuracy."""
    return np.asarray(1 - accuracy(probabilities, labels))


def negative_log_likelihoods(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns -log of each row's probability of its label [..., N], in nats; one below `FLOOR` counts as `FLOOR`."""
    probabilities, labels = checked(probabilities, labels)
    return -np.log(np.maximum(of_label(probabilities, labels), FLOOR))


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean over rows of `negative_log_likelihoods`: a few rows that are surely wrong make most of it."""
    return np.asarray(negative_log_likelihoods(probabilities, labels).mean(-1))


def median_negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the median over rows of `negative_log_likelihoods`, which no few rows move."""
    return np.asarray(np.median(negative_log_likelihoods(probabilities, labels), -1))


def trimmed_negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean of `negative_log_likelihoods` without the tenth of rows at either end."""
    return np.asarray(stats.trim_mean(negative_log_likelihoods(probabilities, labels), 0.1, axis=-1))


def brier(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean squared distance of the probabilities to the label's unit vector, in [0, 2].

    The sum over all classes (Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950, equation 2):
    with two classes it is twice the squared error of the probability of one.
    """
    probabilities, labels = checked(probabilities, labels)
    return np.asarray(((probabilities**2).sum(-1) - 2 * of_label(probabilities, labels) + 1).mean(-1))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Returns the entropy of each row's class, in nats in [0, log K], [..., N]."""
    return special.entr(checked_probabilities(probabilities)).sum(-1)


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


def risk_coverage(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the risk-coverage curve [..., N]: place k - 1 has the error among the k rows of the highest confidence.

    It is the error if all rows but these are left to somebody else (El-Yaniv and Wiener, "On the Foundations of
    Noise-free Selective Classification", 2010). Among equals in confidence, it is the mean over their orders.
    """
    probabilities, labels = checked(probabilities, labels)
    confidence, wrong = probabilities.max(-1), 1 - correct(probabilities, labels)
    curve = np.full(confidence.shape, np.nan)
    for place in np.ndindex(confidence.shape[:-1]):
        if np.isfinite(wrong[place]).all():
            _, level, size = np.unique(-confidence[place], return_inverse=True, return_counts=True)
            errors = np.bincount(level, wrong[place]) / size  # of each level, the surest first
            curve[place] = np.cumsum(np.repeat(errors, size)) / np.arange(1, len(level) + 1)
    return curve


def area_under_risk_coverage(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean error over all coverages, the mean of `risk_coverage`; lower is better.

    Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks" (2017).
    """
    return np.asarray(risk_coverage(probabilities, labels).mean(-1))


def excess_area_under_risk_coverage(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns by how much the area is above that of a confidence which ranks every hit before every miss.

    0 is a confidence that knows its misses, whatever their number is (Geifman, Uziel and El-Yaniv, "Bias-Reduced
    Uncertainty Estimation for Deep Neural Classifiers", 2019).
    """
    curve = risk_coverage(probabilities, labels)
    rows = np.arange(1, curve.shape[-1] + 1)
    hits = np.round(rows[-1] * (1 - curve[..., -1:]))
    return np.asarray(curve.mean(-1) - (np.maximum(rows - hits, 0) / rows).mean(-1))


def correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns 1.0 where the most probable class is the label, 0.0 elsewhere, NaN for rows of NaN."""
    return np.where(np.isnan(probabilities[..., 0]), np.nan, probabilities.argmax(-1) == labels)


def of_label(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the probability of each row's label [..., N]."""
    return np.take_along_axis(probabilities, labels[..., None], -1)[..., 0]


def checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities as float64 and the labels of every row."""
    probabilities, labels = checked_probabilities(probabilities), np.asarray(labels)
    rows, classes = probabilities.shape[:-1], probabilities.shape[-1]
    if labels.shape not in (rows, rows[-1:]):
        raise ValueError(f"labels: expected shape {rows} or {rows[-1:]}, one per row, got {labels.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        got = f"{labels.dtype} in {labels.min()}..{labels.max()}"
        raise ValueError(f"labels: expected whole numbers in 0..{classes - 1}, got {got}")
    return probabilities, np.broadcast_to(labels, rows)


def checked_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Returns probabilities [..., N, K] as float64, with rows that hold any NaN all NaN."""
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim < 2 or not all(probabilities.shape[-2:]):
        raise ValueError(f"probabilities: expected an array [..., N, K], not empty, got {probabilities.shape}")
    sums = probabilities.sum(-1, keepdims=True)
    if (probabilities < 0).any() or (np.abs(sums - 1) > 1e-3).any():
        got = f"{np.nanmin(probabilities):.6g} as the least, and sums {np.nanmin(sums):.6g}..{np.nanmax(sums):.6g}"
        raise ValueError(f"probabilities: expected numbers in [0, 1] that sum to 1 over the last axis, got {got}")
    return np.where(np.isnan(sums), np.nan, probabilities)
