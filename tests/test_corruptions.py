from itertools import pairwise

import numpy as np
import pytest

from vbandits.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt

KINDS = sorted(CORRUPTIONS)
RANDOM = ["impulse", "noise", "occlusion", "rotation", "shift"]
SHAPE = (3, 20, 24)


def scenes(rows: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Returns smooth random images, brighter in the middle [N, C*H*W]."""
    random, (channels, height, width) = np.random.default_rng(0), shape
    row, column = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    wave = random.uniform(1, 6, (4, rows, channels, 1, 1))
    waves = np.sin(wave[0] * row + wave[2]) * np.cos(wave[1] * column + wave[3])
    return ((waves + 1) / 2 * np.exp(-(row**2) - column**2)).reshape(rows, -1).astype(np.float32)


def points(rows: int, side: int, at: tuple[int, int]) -> np.ndarray:
    """Returns black images with one white pixel [N, side*side]."""
    image = np.zeros((rows, side, side), np.float32)
    image[:, at[0], at[1]] = 1
    return image.reshape(rows, -1)


def centres(images: np.ndarray, side: int) -> np.ndarray:
    """Returns the centre of mass of each image, row and column [N, 2]."""
    images, at = images.reshape(-1, side, side).astype(float), np.arange(side)
    mass = images.sum((1, 2))
    return np.stack([(images.sum(2) @ at) / mass, (images.sum(1) @ at) / mass], 1)


def mean_squares(images: np.ndarray, shape, kind) -> np.ndarray:
    return np.array([((corrupt(images, shape, kind, s) - images) ** 2).mean(dtype=float) for s in SEVERITIES])


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_happens_to_a_row_does_not_depend_on_those_that_follow(kind, severity):
    images = scenes(40)
    before = images.copy()
    corrupted = corrupt(images, SHAPE, kind, severity, seed=3)
    np.testing.assert_array_equal(corrupt(images[:7], SHAPE, kind, severity, seed=3), corrupted[:7])
    np.testing.assert_array_equal(images, before)  # a copy
    assert corrupted.dtype == np.float32
    assert corrupted.shape == images.shape
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    assert ((corrupted != images).any(1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_what_is_random(kind):
    images = scenes(40)
    first, second = (corrupt(images, SHAPE, kind, 3, seed) for seed in (0, 1))
    assert np.array_equal(first, second) == (kind not in RANDOM)


@pytest.mark.parametrize("kind", RANDOM)
def test_rows_differ_in_what_is_random(kind):
    same = np.repeat(scenes(1), 40, 0)
    corrupted = corrupt(same, SHAPE, kind, 3)
    assert len(np.unique(corrupted, axis=0)) >= (2 if kind == "rotation" else 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [SHAPE, (1, 28, 28), (3, 32, 32)])
def test_more_severe_is_farther_from_the_clean_images(kind, shape):
    distance = mean_squares(scenes(200, shape), shape, kind)
    assert (np.diff(distance) > 0).all(), distance
    assert distance[0] > 1e-6


@pytest.mark.parametrize("kind", ["contrast", "impulse", "noise", "occlusion"])
def test_more_severe_is_more_of_the_same_in_every_pixel(kind):
    images = scenes(50)
    distances = [np.abs(corrupt(images, SHAPE, kind, severity) - images) for severity in SEVERITIES]
    for less, more in pairwise(distances):
        assert (more >= less - 1e-6).all()


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"noise"}))
def test_channels_of_grey_images_stay_equal(kind):
    grey = scenes(20, (1, 20, 24))
    colour = corrupt(np.tile(grey, 3), SHAPE, kind, 4).reshape(20, 3, -1)
    for channel in range(3):
        np.testing.assert_allclose(colour[:, channel], corrupt(grey, (1, 20, 24), kind, 4), atol=1e-6)


def test_contrast_has_a_closed_form():
    images = scenes(30)
    variance = images.astype(float).var(1).mean()
    expected = (1 - np.array([0.7, 0.5, 0.35, 0.2, 0.1])) ** 2 * variance
    np.testing.assert_allclose(mean_squares(images, SHAPE, "contrast"), expected, rtol=1e-5)


def test_noise_has_its_standard_deviation():
    grey = np.full((200, 28 * 28), 0.5, np.float32)
    change = corrupt(grey, (1, 28, 28), "noise", 1).astype(float) - 0.5  # 6 standard deviations from being clipped
    assert change.std() == pytest.approx(0.08, rel=0.01)
    assert abs(change.mean()) < 4 * 0.08 / change.size**0.5


def test_impulse_turns_as_many_pixels_black_as_white():
    changed = corrupt(np.full((200, 3 * 28 * 28), 0.5, np.float32), (3, 28, 28), "impulse", 4).reshape(200, 3, -1)
    for value in (0, 1):
        assert (changed == value).mean() == pytest.approx(0.1, rel=0.03)  # 4 standard errors
    assert ((changed == changed[:, :1]).all()).all()  # a pixel's channels alike


def test_blur_spreads_a_point_by_its_width():
    blurred = corrupt(points(1, 41, (20, 20)), (1, 41, 41), "blur", 5).reshape(41, 41).astype(float)
    assert blurred.sum() == pytest.approx(1, rel=1e-5)
    assert blurred.sum(1) @ (np.arange(41) - 20) ** 2 == pytest.approx((0.08 * 41) ** 2, rel=0.01)
    np.testing.assert_allclose(blurred, blurred.T, atol=1e-8)


@pytest.mark.parametrize("kind", ["blur", "contrast"])
def test_even_images_have_nothing_to_lose(kind):
    even = np.full((3, 1440), 0.3, np.float32)
    np.testing.assert_allclose(corrupt(even, SHAPE, kind, 5), even, atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_rotation_turns_a_point_about_the_centre(severity):
    side, middle = 41, 20
    angle = np.deg2rad((9, 18, 27, 36, 45)[severity - 1])
    found = centres(corrupt(points(400, side, (middle, middle + 15)), (1, side, side), "rotation", severity), side)
    expected = middle + 15 * np.array([[np.sin(angle), np.cos(angle)], [-np.sin(angle), np.cos(angle)]])
    distance = np.linalg.norm(found[:, None] - expected, axis=2)
    np.testing.assert_array_less(distance.min(1), 0.3)  # bilinear weights do not keep a point's centre exactly
    assert 160 < (distance.argmin(1) == 0).sum() < 240  # one way or the other, 4 standard errors


def test_rotation_leaves_what_is_round():
    row, column = np.mgrid[-20:21, -20:21]
    disc = np.exp(-(row**2 + column**2) / 50).reshape(1, -1).astype(np.float32)
    np.testing.assert_allclose(corrupt(disc, (1, 41, 41), "rotation", 4), disc, atol=0.01)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shift_moves_by_its_distance_in_eight_directions(severity):
    side = 40
    moved = centres(corrupt(points(800, side, (20, 20)), (1, side, side), "shift", severity), side) - 20
    distance = (0.04, 0.08, 0.12, 0.16, 0.2)[severity - 1] * side
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), distance, rtol=1e-5)
    directions, counts = np.unique(np.round(np.arctan2(*moved.T) / (np.pi / 4), 4) % 8, return_counts=True)
    np.testing.assert_allclose(directions, np.arange(8), atol=1e-3)
    assert counts.min() > 60  # of 100 expected, 4 standard errors


def test_what_comes_in_from_outside_is_black():
    white = np.ones((20, 28 * 28), np.float32)
    turned = corrupt(white, (1, 28, 28), "rotation", 5).reshape(-1, 28, 28)
    assert (turned[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    assert (turned[:, 10:18, 10:18] == 1).all()
    shifted = corrupt(white, (1, 28, 28), "shift", 5)
    assert ((shifted == 0).sum(1) >= 28 * 5).all()  # 5.6 pixels of a side


@pytest.mark.parametrize("severity", SEVERITIES)
def test_occlusion_covers_a_rectangle_of_grey(severity):
    covered = (
        corrupt(np.ones((300, 20 * 24), np.float32), (1, 20, 24), "occlusion", severity).reshape(-1, 20, 24) == 0.5
    )
    height, width = ((3, 4), (5, 6), (7, 8), (9, 11), (11, 13))[severity - 1]
    assert (covered.sum((1, 2)) == height * width).all()
    assert (covered.any(2).sum(1) == height).all()
    assert covered.any((0, 1)).all()  # up to every margin
    assert covered.any((0, 2)).all()


def test_no_rows_are_no_trouble():
    assert corrupt(np.empty((0, 1440), np.float32), SHAPE, "shift", 1).shape == (0, 1440)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "nose"}, "did you mean 'noise'"),
        ({"severity": 0}, "severity: expected a whole number from 1 to 5, got 0"),
        ({"severity": 6}, "got 6"),
        ({"shape": (1, 20, 24)}, r"expected an array \[N, 480\].* got \(2, 1440\)"),
        ({"images": np.zeros((2, 3, 20, 24))}, r"got \(2, 3, 20, 24\)"),
        ({"images": np.full((2, 1440), 255.0)}, r"pixels in \[0, 1\].*255"),
        ({"images": np.full((2, 1440), np.nan)}, r"pixels in \[0, 1\].*nan"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    arguments = {"images": scenes(2), "shape": SHAPE, "kind": "noise", "severity": 1}
    with pytest.raises(ValueError, match=message):
        corrupt(**{**arguments, **change})
