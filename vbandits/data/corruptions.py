"""Images made worse, at five severities: what a classifier sees when the world is not its training set.

Ours, in the spirit of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019); numbers are not comparable with theirs. Lengths are fractions of the image's shorter side and
amounts are in units of intensity, so that a severity means the same for small and large images.

Random numbers are the same at every severity, so that more of a corruption is more of the same one.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from vbandits.errors import require
from vbandits.registry import unknown
from vbandits.streams import generator

SEVERITIES = (1, 2, 3, 4, 5)

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""From images [N, C, H, W] float32 in [0, 1], a severity and random numbers to images of the same shape.

Random numbers must be drawn in the order of rows, so that those of a row do not depend on how many follow. What leaves
[0, 1] is clipped by `corrupt`."""


def corrupt(images: np.ndarray, shape: tuple[int, int, int], kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """Returns corrupted copies of images; what happens to row i depends on (seed, kind, severity, i) alone.

    Args:
        images: in [0, 1] [N, C*H*W], flattened channel first.
        shape: (C, H, W).
        kind: a name in `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: of what is random about it.

    Returns:
        float32 in [0, 1] [N, C*H*W].

    Raises:
        ValueError: for another kind or severity, or images of another shape or range.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(unknown("corruption", kind, CORRUPTIONS))
    require(severity in SEVERITIES, "severity", "a whole number from 1 to 5", severity)
    size = int(np.prod(shape))
    flat = images.ndim == 2 and images.shape[1] == size
    require(flat, "images", f"an array [N, {size}], as the shape {shape} asks for", images.shape)
    if not len(images):
        return np.empty((0, size), np.float32)
    low, high = images.min(), images.max()
    require(bool(low >= 0 and high <= 1), "images", "pixels in [0, 1] (divide bytes by 255)", f"{low}..{high}")
    clean = images.reshape(-1, *shape).astype(np.float32, copy=False)
    corrupted = CORRUPTIONS[kind](clean, int(severity), generator(seed, f"corruption {kind}"))
    return corrupted.astype(np.float32, copy=False).clip(0, 1).reshape(images.shape)


def noise(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Adds N(0, std^2) to every value; std is in units of intensity."""
    std = (0.08, 0.16, 0.24, 0.36, 0.5)[severity - 1]
    return images + std * random.standard_normal(images.shape, np.float32)


def impulse(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Turns a fraction of the pixels black or white, all channels of a pixel alike (salt and pepper)."""
    fraction = (0.03, 0.06, 0.12, 0.2, 0.3)[severity - 1]
    pixels = random.random((len(images), 1, *images.shape[2:]), np.float32)
    return np.where(pixels < fraction / 2, np.float32(0), np.where(pixels > 1 - fraction / 2, np.float32(1), images))


def blur(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Convolves with a Gaussian, whose standard deviation is a fraction of the side; the margin goes on outside.

    In images of fewer than some 15 pixels the mild ones are narrower than a pixel, and change next to nothing.
    """
    sigma = (0.02, 0.03, 0.045, 0.06, 0.08)[severity - 1] * _side(images)
    return ndimage.gaussian_filter(images, (0, 0, sigma, sigma), mode="nearest")


def contrast(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Brings each image's values closer to their mean, keeping a fraction of the difference."""
    kept = (0.7, 0.5, 0.35, 0.2, 0.1)[severity - 1]
    mean = images.mean((1, 2, 3), keepdims=True)
    return mean + kept * (images - mean)


def rotation(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Rotates about the centre by up to 45 degrees, one way or the other; what comes in is black."""
    angle = np.deg2rad((9, 18, 27, 36, 45)[severity - 1])
    left = random.random(len(images)) < 0.5
    centre = (np.array(images.shape) - 1) / 2
    rotated = np.empty_like(images)
    for rows, sine in ((left, np.sin(angle)), (~left, -np.sin(angle))):
        turn = np.eye(4)
        turn[2:, 2:] = [[np.cos(angle), -sine], [sine, np.cos(angle)]]
        rotated[rows] = _planes(ndimage.affine_transform, images[rows], turn[1:, 1:], (centre - turn @ centre)[1:])
    return rotated


def shift(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Moves by a fraction of the side in one of eight directions; what comes in is black."""
    distance = (0.04, 0.08, 0.12, 0.16, 0.2)[severity - 1] * _side(images)
    direction = (8 * random.random(len(images))).astype(int)
    shifted = np.empty_like(images)
    for eighth in range(8):
        angle = eighth * np.pi / 4
        offset = 0, distance * np.sin(angle), distance * np.cos(angle)
        shifted[direction == eighth] = _planes(ndimage.shift, images[direction == eighth], offset)
    return shifted


def occlusion(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Covers a rectangle, whose sides are a fraction of the image's, with grey; all of it is inside the image."""
    fraction = (0.15, 0.25, 0.35, 0.45, 0.55)[severity - 1]
    covered = np.True_
    places = random.random((len(images), 2, 1, 1, 1))
    for axis, place in ((2, places[:, 0]), (3, places[:, 1])):
        size = images.shape[axis]
        length = max(round(fraction * size), 1)
        start = np.floor(place * (size - length + 1))
        along = np.arange(size).reshape(-1, *[1] * (3 - axis))
        covered = covered & (along >= start) & (along < start + length)
    return np.where(covered, np.float32(0.5), images)


CORRUPTIONS: dict[str, Corruption] = {
    "blur": blur,
    "contrast": contrast,
    "impulse": impulse,
    "noise": noise,
    "occlusion": occlusion,
    "rotation": rotation,
    "shift": shift,
}


def _side(images: np.ndarray) -> int:
    """Returns the shorter side in pixels."""
    return min(images.shape[2:])


def _planes(transform: Callable[..., np.ndarray], images: np.ndarray, *parameters: object) -> np.ndarray:
    """Resamples every channel of every image alike, bilinearly; `parameters` are for the axes (plane, row, column)."""
    planes = images.reshape(-1, *images.shape[2:])
    return transform(planes, *parameters, order=1, mode="constant", cval=0.0).reshape(images.shape)
