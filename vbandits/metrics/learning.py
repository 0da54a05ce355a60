"""What labels were worth: metrics of learning curves, as pure functions of float64 arrays.

Shapes: labels [E], or [R, E] where every seed has its own, are how many labels are known at each of E evaluations, in
their order and never decreasing; the first are those known before anything is bought. Quality [R, E], or [E] of a mean
curve, is the learner's at these evaluations, and higher is better: of an error, pass its negative (only
`area_under_curve` takes it as it is). All differences of quality keep their sign: nothing is clipped.
"""

import numpy as np


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


def cumulative_regret(labels: np.ndarray, quality: np.ndarray, reference: np.ndarray | float) -> np.ndarray:
    """Returns the sum over purchases of labels bought times (reference - quality) [R], never clipped.

    A purchase lies between two evaluations, and its quality is that of the model in use while these labels were bought:
    of the evaluation before it. The quality after the last purchase is not in it: see `simple_regret`.

    Args:
        labels: [E] or [R, E].
        quality: [R, E].
        reference: quality to be compared with, one for all or one per seed [R].
    """
    labels, quality = _checked(labels, quality)
    shortfall = np.asarray(reference, np.float64)[..., None] - quality[..., :-1]
    return (np.diff(labels, axis=-1) * shortfall).sum(-1)


def idle_regret(labels: np.ndarray, quality: np.ndarray, reference: np.ndarray | float) -> np.ndarray:
    """Returns the cumulative regret had the quality stayed as it was before the first purchase [R].

    It is (reference - first quality) times all labels bought, by which cumulative regret is normalised: 1 is to learn
    nothing, 0 is to have the reference's quality from the start; below 0 is to be better than the reference.

    Args:
        labels: [E] or [R, E].
        quality: [R, E].
        reference: one for all or one per seed [R].
    """
    labels, quality = _checked(labels, quality)
    return (np.asarray(reference, np.float64) - quality[..., 0]) * (labels[..., -1] - labels[..., 0])


def simple_regret(quality: np.ndarray, reference: np.ndarray | float) -> np.ndarray:
    """Returns reference minus the last quality [R], for a reference for all or one per seed [R]."""
    return np.asarray(reference, np.float64) - np.asarray(quality, np.float64)[..., -1]


def speed_up(labels: np.ndarray, quality: np.ndarray, random_labels: np.ndarray, random_quality: np.ndarray) -> float:
    """Returns how many times fewer labels a learner needs than one that buys them at random.

    It is the number of labels that random bought in all, divided by the number bought until the learner's curve
    first reaches random's last quality, interpolated between evaluations. NaN if it never does, or if random ends
    no better than it began; infinity if it is there before anything is bought. "First" makes it err upwards on
    noisy curves: random's own tells by how much.

    Args:
        labels: of the learner [E].
        quality: its mean over seeds [E].
        random_labels: [F].
        random_quality: [F].
    """
    (labels, quality), (random_labels, random_quality) = (
        _checked(labels, quality),
        _checked(random_labels, random_quality),
    )
    level = random_quality[-1]
    reached = np.flatnonzero(quality >= level)
    if not reached.size or level <= random_quality[0]:
        return float("nan")
    place = reached[0]
    bought, spent = labels - labels[0], random_labels[-1] - random_labels[0]
    needed = bought[place]
    if place:
        part = (level - quality[place - 1]) / (quality[place] - quality[place - 1])
        needed = bought[place - 1] + part * (bought[place] - bought[place - 1])
    return float(spent / needed) if needed > 0 else float("inf")


def _checked(labels: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as float64, of the quality's shape."""
    labels, quality = np.asarray(labels, np.float64), np.asarray(quality, np.float64)
    if not quality.size or labels.shape not in (quality.shape, quality.shape[-1:]):
        raise ValueError(f"expected labels [E] or [R, E] and quality [R, E], got {labels.shape} and {quality.shape}")
    if (np.diff(labels, axis=-1) < 0).any():
        raise ValueError("labels: expected numbers that never decrease, got fewer at a later evaluation")
    return np.broadcast_to(labels, quality.shape), quality
