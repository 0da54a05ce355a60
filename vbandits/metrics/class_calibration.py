"""Calibration of predicted classes: can the probability of the most probable class, the confidence, be trusted?

Shapes and errors are those of `classification`: probabilities [..., N, K], labels [..., N] or [N], metrics [...].
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import fft, optimize, sparse, stats

from vbandits.metrics.classification import (
    checked,
    checked_probabilities,
    correct,
    negative_log_likelihoods,
    of_label,
)

BINS = 15
GRID = 512
"""Cells of the unit interval in which the smooth calibration error sums residuals up."""
HALVINGS = 14
"""Of the interval in which its bandwidth lies: to 1 / 2^14."""
RESAMPLES = 500
"""Test sets drawn for a null band."""


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
    confidence, right = _top(probabilities, labels)
    index = _bins(confidence, bins)
    rows = _total(np.ones_like(confidence), index, bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins
        return Reliability(_total(confidence, index, bins) / rows, _total(right, index, bins) / rows, rows)


def consistency_band(confidence: np.ndarray, rows: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns between which accuracies a bin of a reliability diagram lies if the model is calibrated.

    Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams" (2007): their consistency bars, from the
    binomial distribution of a bin's hits where they resample. Pointwise: of 20 bins of a perfect model, one lies
    outside a band of 95%.

    Args:
        confidence: mean of each bin, of any shape; NaN where a bin is empty.
        rows: how many there are in it; need not be whole.
        level: of the band.
    """
    known = np.isfinite(confidence) & (rows >= 1)
    size = np.where(known, np.round(rows), 1)
    ends = stats.binom.ppf([[(1 - level) / 2], [(1 + level) / 2]], size.ravel(), np.where(known, confidence, 0).ravel())
    low, high = np.where(known.ravel(), ends / size.ravel(), np.nan).reshape(2, *size.shape)
    return low, high


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns sum_b n_b / N |accuracy_b - confidence_b| over the bins of `reliability`, in [0, 1].

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017), equation 3. A perfect model has
    more than 0 where bins hold few rows: `null_band` says how much. It is no proper score: read it beside one.
    """
    confidence, right = _top(probabilities, labels)
    index = _bins(confidence, bins)
    return np.asarray(np.abs(_total(right - confidence, index, bins)).sum(-1) / confidence.shape[-1])


def debiased_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns the expected calibration error without the part that chance makes; it may be below 0.

    The plain error is the sum over rows of residual r_i = hit - confidence times the sign of all residuals of its bin,
    over N: each row helps to choose the sign by which it counts. Here the sign is that of the *other* rows of the bin:

        1 / N sum_i r_i sign(sum_{j in bin of i, j != i} r_j)

    A calibrated model's residuals have mean 0 whatever the others are, and so its error has mean 0 exactly, for any
    number of rows. Of a bin with a gap of d, d (2 P - 1) is left in the mean, where P is the probability that n - 1
    rows show on which side the gap is: all of it where d is twice its standard error, and never more. With r_j in place
    of its sign this is the estimator of the squared error in Kumar, Liang and Ma, "Verified Uncertainty Calibration"
    (2019), and in Lee, Huang, Hassani and Dobriban, "T-Cal" (2023).
    """
    confidence, right = _top(probabilities, labels)
    index, residual = _bins(confidence, bins), right - confidence
    others = np.take_along_axis(_total(residual, index, bins), index, -1) - residual
    return np.asarray((residual * np.sign(others)).mean(-1))


def smooth_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the calibration error with a kernel in place of bins, in [0, 1].

    Błasiok and Nakkiran, "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing" (2023), definition 2: the
    integral of |1 / N sum_i K(t, confidence_i) (hit_i - confidence_i)| over t in [0, 1], where K is a normal density
    reflected at 0 and 1, at the only bandwidth that equals the error itself. It has no bins to choose, and changes
    little where predictions do.

    The reflected kernel is a product in the cosine basis, of which the k-th coefficient falls by exp(-(pi k h)^2 / 2).
    """
    confidence, right = _top(probabilities, labels)
    found = np.full(confidence.shape[:-1], np.nan)
    for place in np.ndindex(found.shape):
        own = confidence[place]
        if np.isfinite(own).all():
            found[place] = _smooth((right[place] - own)[None] @ _cells(own))[0]
    return found


class NullBand(NamedTuple):
    """A calibration error of a perfect model: its mean, and the ends of its central interval, each [...]."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def columns(self, name: str) -> dict[str, np.ndarray]:
        """Returns it as columns of records, of an error of this name."""
        return {f"{name}_null": self.mean, f"{name}_null_low": self.low, f"{name}_null_high": self.high}


def null_band(
    probabilities: np.ndarray, level: float = 0.95, smooth: bool = False, resamples: int = RESAMPLES, bins: int = BINS
) -> NullBand:
    """Returns where the calibration error of a perfect model lies, with these confidences and as many rows.

    An error in this range is no evidence that the model is miscalibrated. Consistency resampling (Bröcker and Smith,
    2007): hits are drawn with the probability that the model gives them, and the error is computed again.

    Args:
        probabilities: [..., N, K].
        level: part of perfect models that lie inside.
        smooth: of `smooth_calibration_error`, not `expected_calibration_error`.
        resamples: test sets drawn, always the same ones.
        bins: of `expected_calibration_error`.
    """
    confidence = checked_probabilities(probabilities).max(-1)
    found = np.full((3, *confidence.shape[:-1]), np.nan)
    for place in np.ndindex(confidence.shape[:-1]):
        own = np.sort(confidence[place])
        if not np.isfinite(own).all():
            continue
        random = np.random.default_rng(0)
        parts = _cells(own) if smooth else _members(own, bins)
        block = max(1, 2_000_000 // len(own))  # at most 16 MB at a time
        sums = [
            ((random.random((min(block, resamples - start), len(own))) < own) - own) @ parts
            for start in range(0, resamples, block)
        ]
        drawn = np.concatenate(sums)
        errors = _smooth(drawn) if smooth else np.abs(drawn).sum(1) / len(own)
        found[:, *place] = errors.mean(), *np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    return NullBand(*map(np.asarray, found))


class Parts(NamedTuple):
    """The two parts of a proper score, each [...]; their sum is the score.

    Attributes:
        calibration: what the best recalibration of confidence would take off; 0 of a perfect model but for chance.
        refinement: what would be left: of a model that is calibrated, how little it tells the rows apart.
    """

    calibration: np.ndarray
    refinement: np.ndarray


def log_score_parts(probabilities: np.ndarray, labels: np.ndarray) -> Parts:
    """Returns the calibration and the refinement part of `negative_log_likelihood`, in nats.

    DeGroot and Fienberg, "The Comparison and Evaluation of Forecasters" (1983); for every proper score Bröcker,
    "Reliability, sufficiency, and the decomposition of proper scores" (2009). Refinement is the score of the
    recalibrated model. With K classes a recalibration of all probabilities at once cannot be estimated from a test set,
    so it is the confidence that is recalibrated, by the increasing function that makes the score least (isotonic
    regression, as Dimitriadis, Gneiting and Jordan, "Stable reliability diagrams for probabilistic classifiers",
    2021), and the other classes keep their proportions. The identity is one such function, so calibration is never
    below 0; as the function is fitted to these very rows, a perfect model has some hundredths of a nat with N in the
    hundreds, and it falls with N.
    """
    probabilities, labels = checked(probabilities, labels)
    confidence, right = probabilities.max(-1), correct(probabilities, labels)
    score = negative_log_likelihoods(probabilities, labels)
    # of a miss, the rest is shared out as before: -log(p_y / (1 - confidence)) stays, and -log(1 - confidence) changes
    before = _binary_log(confidence, right)
    after = _binary_log(_recalibrated(confidence, right, np.ones_like(confidence)), right)
    calibration = np.asarray((before - after).mean(-1))
    return Parts(calibration, np.asarray(score.mean(-1) - calibration))


def brier_parts(probabilities: np.ndarray, labels: np.ndarray) -> Parts:
    """Returns the calibration and the refinement part of `brier`, recalibrated as in `log_score_parts`.

    With c for confidence, q for the proportions of the other classes and s = sum q^2, a row costs, but for what does
    not depend on c, (1 + s) (c - t)^2 where t = 1 of a hit and (s - q_y) / (1 + s) of a miss: the best increasing
    function of confidence is the isotonic regression of t with weights 1 + s, cut to [0, 1].
    """
    probabilities, labels = checked(probabilities, labels)
    confidence, right = probabilities.max(-1), correct(probabilities, labels)
    rest = 1 - confidence  # where there is none, a label that was missed counts as the only other class
    share = np.where(rest > 0, 1 / np.where(rest > 0, rest, 1), 0)
    spread = np.where(rest > 0, np.maximum((probabilities**2).sum(-1) - confidence**2, 0) * share**2, 1)
    missed = np.where(rest > 0, of_label(probabilities, labels) * share, 1)
    weights = 1 + spread
    target = np.where(right == 1, 1, (spread - missed) / weights)
    after = _recalibrated(confidence, np.where(np.isnan(right), np.nan, target), weights)
    calibration = (weights * ((confidence - target) ** 2 - (after - target) ** 2)).mean(-1)
    score = ((probabilities**2).sum(-1) - 2 * of_label(probabilities, labels) + 1).mean(-1)
    return Parts(np.asarray(calibration), np.asarray(score - calibration))


def _binary_log(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns -log of the probability given to being right or wrong, cut off as the score is."""
    found = np.where(right == 1, confidence, 1 - confidence)
    return np.where(np.isnan(right), np.nan, -np.log(np.maximum(found, np.finfo(np.float64).eps)))


def _recalibrated(confidence: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the increasing function of confidence that is nearest to targets, in [0, 1]; all are [..., N]."""
    found = np.full(confidence.shape, np.nan)
    for place in np.ndindex(confidence.shape[:-1]):
        if np.isfinite(target[place]).all():
            _, level = np.unique(confidence[place], return_inverse=True)  # equals get equal values
            mass = np.bincount(level, weights[place])
            mean = np.bincount(level, weights[place] * target[place]) / mass
            found[place] = np.clip(optimize.isotonic_regression(mean, weights=mass).x, 0, 1)[level]
    return found


def _top(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the confidence of each row, and whether it is right [..., N]."""
    probabilities, labels = checked(probabilities, labels)
    return probabilities.max(-1), correct(probabilities, labels)


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Returns the bin of each row, from 0."""
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    edges = np.arange(1, bins) / bins  # inner ones; k / B rounds as the same fraction of rows does
    return np.searchsorted(edges, confidence)


def _total(values: np.ndarray, index: np.ndarray, bins: int) -> np.ndarray:
    """Returns the sum of values [..., N] by bin [..., B]."""
    lead = values.shape[:-1]
    replica = np.arange(int(np.prod(lead))).reshape(*lead, 1)
    return np.bincount((replica * bins + index).ravel(), values.ravel(), replica.size * bins).reshape(*lead, bins)


def _members(confidence: np.ndarray, bins: int) -> sparse.csr_array:
    """Returns which bin each row is in [N, B], as 0 and 1."""
    rows = np.arange(len(confidence))
    return sparse.csr_array((np.ones(len(rows)), (rows, _bins(confidence, bins))), shape=(len(rows), bins))


def _cells(confidence: np.ndarray) -> sparse.csr_array:
    """Returns by which weights rows belong to the two cells of the grid whose middles are nearest [N, GRID], over N."""
    position = np.clip(confidence * GRID - 0.5, 0, GRID - 1)
    left = np.minimum(position.astype(int), GRID - 2)
    part, rows = position - left, np.arange(len(confidence))
    data = np.concatenate([1 - part, part]) / len(confidence)
    return sparse.csr_array((data, (np.tile(rows, 2), np.concatenate([left, left + 1]))), shape=(len(rows), GRID))


def _smooth(residual: np.ndarray) -> np.ndarray:
    """Returns the smooth error of residuals summed up in cells [B, GRID]: [B]."""
    basis, waves = fft.dct(residual, axis=1), np.pi * np.arange(GRID)
    low, high = np.zeros(len(residual)), np.ones(len(residual))
    for _ in range(HALVINGS):  # the error falls as the bandwidth grows
        middle = (low + high) / 2
        smoothed: Any = fft.idct(basis * np.exp(-0.5 * (waves * middle[:, None]) ** 2), axis=1)
        below = np.abs(smoothed).sum(1) < middle
        low, high = np.where(below, low, middle), np.where(below, middle, high)
    return high
