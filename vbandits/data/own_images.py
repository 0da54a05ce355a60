"""A user's own images to classify: arrays as other libraries have them, checked and brought into one form."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from vbandits.data.image_files import scaled
from vbandits.data.images import Images
from vbandits.data.loading import HELD
from vbandits.data.pool import Pool
from vbandits.errors import require
from vbandits.registry import load
from vbandits.source_hash import reference

PARTS = ("train_x", "train_y", "test_x", "test_y")
COLOURS = (1, 3, 4)
"""Channels that images have as a rule."""


def made(source: Any) -> Images:
    """Returns the images that a source is, or makes; the last two that were made stay in memory.

    Args:
        source: arrays (train_x, train_y, test_x, test_y) as a tuple; `Images`; a function without arguments that
            returns either; or the place of any of them, "module:name". Images are [N, H, W] or [N, C, H, W], whole
            numbers from 0 to 255 or others from 0 to 1; labels [N] are whole numbers, truth values or text, whose
            levels, sorted, are the classes.

    Raises:
        ValueError: for anything else.
    """
    found = load(source, "dataset") if isinstance(source, str) else source
    return _called(found) if callable(found) else _checked(reference(source), found)


def require_same(source: Any) -> None:
    """Raises a ValueError where a function makes other images when it is called again, as each process does."""
    found = load(source, "dataset") if isinstance(source, str) else source
    if callable(found) and digest(made(found)) != digest(_called.__wrapped__(found)):
        raise ValueError(
            f"{reference(found)}: expected the same images at each call, got others: draw what is random from a "
            "generator with a seed"
        )


@lru_cache(HELD)
def digest(found: Images) -> str:
    """Returns the SHA-256 of all rows, with what a row is."""
    arrays = (found.train_x, found.train_y, found.test_x, found.test_y)
    return Pool(found.name, *arrays, found.classes, found.shape).digest()


@lru_cache(HELD)
def _called(function: Callable[[], Any]) -> Images:
    return _checked(reference(function), function())


def _checked(name: str, given: Any) -> Images:
    if isinstance(given, Images):
        train_x, test_x = (x.reshape(-1, *given.shape) for x in (given.train_x, given.test_x))
        given = train_x, given.train_y, test_x, given.test_y
    if not (isinstance(given, tuple | list) and len(given) == len(PARTS)):
        raise ValueError(f"{name}: expected Images, or arrays ({', '.join(PARTS)}), got {type(given).__name__}")
    train_x, train_y, test_x, test_y = map(np.asarray, given)
    (train_x, shape), (test_x, other) = _pixels(train_x, f"{name}: train_x"), _pixels(test_x, f"{name}: test_x")
    require(other == shape, f"{name}: test_x", f"images of {shape}, as in train_x", other)
    levels, train_y = np.unique(_labels(train_y, len(train_x), f"{name}: train_y"), return_inverse=True)
    require(len(levels) >= 2, f"{name}: train_y", "at least two classes", levels.tolist())
    test_y = _labels(test_y, len(test_x), f"{name}: test_y")
    if strange := sorted({*test_y.tolist()} - {*levels.tolist()}):
        raise ValueError(f"{name}: test_y: expected classes that are in train_y, got {strange[:10]}")
    return Images(name, shape, len(levels), train_x, train_y, test_x, np.searchsorted(levels, test_y))


def _pixels(x: np.ndarray, what: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Returns images as float32 in [0, 1], flat [N, C*H*W], and their shape."""
    require(x.ndim in (3, 4) and x.size > 0, what, "images [N, H, W] or [N, C, H, W]", x.shape)
    require(x.dtype.kind in "fiub", what, "numbers", x.dtype)
    if x.ndim == 4 and x.shape[3] in COLOURS and x.shape[1] not in COLOURS:
        raise ValueError(f"{what}: expected channels first, [N, C, H, W], got {x.shape}: give x.transpose(0, 3, 1, 2)")
    shape = (x.shape[1] if x.ndim == 4 else 1, *x.shape[-2:])
    whole = x.dtype.kind in "iu"
    low, high, most = x.min(), x.max(), 255 if whole else 1  # NaN fails both comparisons
    if not (low >= 0 and high <= most):
        wanted = "whole numbers from 0 to 255" if whole else "numbers from 0 to 1 (divide by 255?)"
        raise ValueError(f"{what}: expected {wanted}, got {low} to {high}")
    flat = x.reshape(len(x), -1)
    return scaled(flat) if whole else flat.astype(np.float32, copy=False), shape


def _labels(y: np.ndarray, rows: int, what: str) -> np.ndarray:
    """Returns labels [N] as whole numbers or text."""
    require(y.shape == (rows,), what, f"one label for each of {rows:,} images", y.shape)
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y):
        y = y.astype(np.str_)
    require(y.dtype.kind in "biuU", what, "whole numbers, truth values or text", y.dtype)
    return y
