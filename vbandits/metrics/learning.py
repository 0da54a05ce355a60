"""What labels were worth: metrics of learning curves, as pure functions of float64 arrays.

Shapes: labels [E], or [R, E] where every seed has its own, are how many labels are known at each of E evaluations, in
their order and never decreasing; the first are those known before anything is bought. Quality [R, E], or [E] of a mean
curve, is the learner's at these evaluations, and higher is better: of an error, pass its negative (only
`area_under_curve` takes it as it is). All differences of quality keep their sign: nothing is clipped.
"""

import numpy as np
from scipy import optimize

FLAT = 1e-9
"""A curve does not rise if it does by less than this part of itself: by rounding."""


def area_under_curve(labels: np.ndarray, quality: np.ndarray, until: float | None = None) -> np.ndarray:
    """Returns the mean quality over the labels bought [R]: the area under the curve divided by their range.

    Trapezoids between evaluations; in units of the quality. Where nothing is bought, it is the last quality.

    Args:
        labels: [E] or [R, E].
        quality: [R, E].
        until: labels at which the range ends, no fewer than the last; the last quality is held up to there, so that
            learners that stop early are compared over the same range. Without it, the range ends at the last labels.
    """
    labels, quality = _checked(labels, quality)
    last = labels[..., -1] if until is None else np.full(labels.shape[:-1], float(until))
    held = last - labels[..., -1]
    if (held < 0).any():
        raise ValueError(f"until: expected at least the last labels, {labels[..., -1].max():g}, got {until:g}")
    area = np.trapezoid(quality, labels, axis=-1) + held * quality[..., -1]
    width = last - labels[..., 0]
    return np.where(width > 0, area / np.where(width > 0, width, 1), quality[..., -1])


def labels_to(labels: np.ndarray, quality: np.ndarray, level: float) -> np.ndarray:
    """Returns the labels known at the first evaluation whose quality is at least a level [R]; infinity where none is.

    Args:
        labels: [E] or [R, E].
        quality: [R, E].
        level: in units of the quality.
    """
    labels, quality = _checked(labels, quality)
    return np.where(quality >= level, labels, np.inf).min(-1)


def simple_regret(quality: np.ndarray, reference: np.ndarray | float) -> np.ndarray:
    """Returns reference minus the last quality [R], for a reference for all or one per seed [R]."""
    return np.asarray(reference, np.float64) - np.asarray(quality, np.float64)[..., -1]


def labels_saved(
    labels: np.ndarray, quality: np.ndarray, random_labels: np.ndarray, random_quality: np.ndarray
) -> np.ndarray:
    """Returns how many labels fewer than random a learner needs for the same quality, by seed [R]; the mean estimates.

    It is the horizontal distance between the mean curves of random and of the learner, at each quality that random
    went through from its first to its last evaluation, averaged over these qualities. Where the learner is behind, it
    is negative; a quality that it never has counts as reached with the most labels that either bought, so that the true
    loss is larger. Curves are made to rise before (isotonic regression), so that noise helps neither to be early.

    Seeds have the jackknife's pseudo-values R f(all) - (R - 1) f(all but this one) (Tukey, 1958; Efron and Tibshirani,
    "An Introduction to the Bootstrap", 1993, chapter 11), of which intervals and paired differences are made as of any
    other measure; a single seed has f itself. NaN where random's curve does not rise, or a curve holds a NaN.

    Args:
        labels: of the learner [E].
        quality: [R, E].
        random_labels: [F].
        random_quality: [R, F], of the same seeds.
    """
    (labels, quality), (random_labels, random_quality) = (
        _checked(labels, quality),
        _checked(random_labels, random_quality),
    )
    size = len(quality)
    if len(random_quality) != size:
        raise ValueError(f"expected the same seeds of both, got {size} and {len(random_quality)}")

    def found(kept: np.ndarray) -> float:
        return _distance(labels[0], quality[kept].mean(0), random_labels[0], random_quality[kept].mean(0))

    whole = found(np.ones(size, bool))
    if size == 1:
        return np.array([whole])
    others = np.array([found(kept) for kept in ~np.eye(size, dtype=bool)])
    return size * whole - (size - 1) * (others if np.isfinite(others).all() else np.full(size, np.nan))


def _distance(labels: np.ndarray, quality: np.ndarray, random_labels: np.ndarray, random_quality: np.ndarray) -> float:
    """Returns the mean horizontal distance between two curves [E] and [F] over the qualities of the second, exactly."""
    if not (np.isfinite(quality).all() and np.isfinite(random_quality).all()):
        return float("nan")
    own, other = (optimize.isotonic_regression(values).x for values in (quality, random_quality))
    low, high = other[0], other[-1]
    if high - low <= FLAT * max(abs(low), abs(high)):
        return float("nan")
    bends = np.unique(np.clip(np.concatenate([own, other]), low, high))
    middle, width = (bends[1:] + bends[:-1]) / 2, np.diff(bends)  # both curves are straight between two bends
    most = max(labels[-1], random_labels[-1])
    saved = np.interp(middle, other, random_labels) - np.interp(middle, own, labels, right=most)
    return float(saved @ width / (high - low))


def _checked(labels: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as float64, of the quality's shape."""
    labels, quality = np.asarray(labels, np.float64), np.asarray(quality, np.float64)
    if not quality.size or labels.shape not in (quality.shape, quality.shape[-1:]):
        raise ValueError(f"expected labels [E] or [R, E] and quality [R, E], got {labels.shape} and {quality.shape}")
    if (np.diff(labels, axis=-1) < 0).any():
        raise ValueError("labels: expected numbers that never decrease, got fewer at a later evaluation")
    return np.broadcast_to(labels, quality.shape), quality
