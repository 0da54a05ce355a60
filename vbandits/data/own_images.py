"""A user's own images to classify: arrays as other libraries have them, checked and brought into one form."""

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, TypeGuard

import numpy as np

from vbandits.data.image_files import scaled
from vbandits.data.images import Images
from vbandits.data.loading import HELD
from vbandits.data.precision import unmasked
from vbandits.errors import require
from vbandits.named import name_of
from vbandits.registry import load

PARTS = ("train_x", "train_y", "test_x", "test_y")
COLOURS = (1, 3, 4)
"""Channels that images have as a rule."""
DARK = 0.2
"""Images whose brightest pixel is less, of 1, may have been meant in other units."""
Shape = tuple[int, int, int]


def made(source: Any) -> Images:
    """Returns the images that a source is, or makes; the last two that functions made stay in memory.

    Args:
        source: arrays (train_x, train_y, test_x, test_y), as a tuple or as attributes; `Images`; a function without
            arguments that returns any of them; or the place of one, "module:name". Images are [N, H, W] or
            [N, C, H, W], whole numbers from 0 to 255, others from 0 to 1, or truth values; labels [N] are whole
            numbers, truth values or text, whose levels, sorted, are the classes.

    Raises:
        ValueError: for anything else.
    """
    given = found(source)
    if not callable(given):
        return _checked(called(source), given)
    return (_called if isinstance(given, Hashable) else _called.__wrapped__)(given)


def anew(source: Any) -> Images:
    """Returns the images of a source, of which nothing is remembered.

    Raises:
        ValueError: where a function makes other images when it is called again, as each process does.
    """
    given = found(source)
    _called.cache_clear()  # a function may have become another one since it was called
    images = made(given)
    if callable(given) and _called.__wrapped__(given).digest() != images.digest():
        raise ValueError(
            f"{called(source)}: expected the same images at each call, got others: draw what is random from a "
            "generator with a seed"
        )
    return images


def are_arrays(value: Any) -> TypeGuard[Sequence[Any]]:
    """Returns whether a value can only be meant as arrays."""
    return isinstance(value, tuple | list) and any(hasattr(part, "shape") for part in value)


def described(images: Images) -> str:
    """Returns what images were taken to be."""
    size, high = " x ".join(map(str, images.shape)), float(images.train_x.max())
    dark = ": was another number meant as white?" if high < DARK else ""
    counts = f"{len(images.train_x):,} images to train on and {len(images.test_x):,} to test on"
    return f"{counts}, {size} pixels, {images.classes} classes, the brightest pixel {high:.2g} of 1{dark}"


def called(source: Any) -> str:
    """Returns what images are called that have no label."""
    if isinstance(source, Images):
        return source.name
    return "arrays" if isinstance(source, tuple | list) else name_of(source)


def found(source: Any) -> Any:
    """Returns what is at a place, "module:name"; anything else as it is."""
    return load(source, "dataset") if isinstance(source, str) else source


@lru_cache(HELD)
def _called(function: Callable[[], Any]) -> Images:
    name = name_of(function)
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ValueError(f"{name}: expected a function that needs no arguments, got one with more: {error}") from None
    except ValueError:  # of a compiled function it cannot be known
        pass
    return _checked(name, function())


def _checked(name: str, given: Any) -> Images:
    shape = classes = None
    if isinstance(given, Images):
        name, shape, classes = given.name, given.shape, given.classes
    if all(hasattr(given, part) for part in PARTS):
        given = tuple(getattr(given, part) for part in PARTS)
    if not (isinstance(given, tuple | list) and len(given) == len(PARTS)):
        got = f"{type(given).__name__} of {len(given)}" if isinstance(given, tuple | list) else type(given).__name__
        raise ValueError(f"{name}: expected four arrays ({', '.join(PARTS)}), or Images, got {got}")
    what = [f"{name}: {part}" for part in PARTS]
    train_x, train_y, test_x, test_y = map(_array, given, what)
    train_x, test_x = _pictures(train_x, what[0], shape), _pictures(test_x, what[2], shape)
    shape = train_x.shape[1:]
    require(test_x.shape[1:] == shape, what[2], f"images of {shape}, as in train_x", test_x.shape[1:])
    whole = [x.dtype.kind in "iu" for x in (train_x, test_x)]
    require(len({*whole}) == 1, what[2], f"numbers of the same kind as train_x, {train_x.dtype}", test_x.dtype)
    pixels = [_pixels(train_x, what[0]), _pixels(test_x, what[2])]
    if whole[0] and train_x.max() == 1:
        raise ValueError(f"{what[0]}: expected whole numbers from 0 to 255, got 0 and 1 alone: give truth values")
    train_y, test_y = _labels(train_y, len(train_x), what[1]), _labels(test_y, len(test_x), what[3])
    levels = np.unique(train_y) if classes is None else np.arange(classes)
    require(len(levels) >= 2, what[1], "at least two classes", levels.tolist())
    known = "that are in train_y" if classes is None else f"from 0 to {classes - 1}"
    for y, own in ((train_y, what[1]), (test_y, what[3])):
        if strange := sorted({*y.tolist()} - {*levels.tolist()}, key=repr):
            raise ValueError(f"{own}: expected classes {known}, got {', '.join(map(repr, strange[:10]))}")
    labels = [np.searchsorted(levels, y) for y in (train_y, test_y)]
    return Images(name, shape, len(levels), pixels[0], labels[0], pixels[1], labels[1])


def _array(given: Any, what: str) -> np.ndarray:
    try:
        return unmasked(given.detach() if hasattr(given, "detach") else given)
    except Exception as error:
        raise ValueError(f"{what}: expected an array, got {type(given).__name__}: {error}") from error


def _pictures(x: np.ndarray, what: str, shape: Shape | None) -> np.ndarray:
    """Returns images [N, C, H, W] as they are; flat ones [N, C*H*W] have a shape."""
    if shape is not None and x.ndim == 2:
        require(x.shape[1] == math.prod(shape), what, f"images of {math.prod(shape)} pixels, {shape}", x.shape)
        return x.reshape(len(x), *shape)
    require(x.ndim in (3, 4) and x.size > 0, what, "images [N, H, W] or [N, C, H, W]", x.shape)
    if x.ndim == 4 and x.shape[3] in COLOURS and x.shape[1] not in COLOURS:
        raise ValueError(f"{what}: expected channels first, [N, C, H, W], got {x.shape}: give x.transpose(0, 3, 1, 2)")
    return x if x.ndim == 4 else x[:, None]


def _pixels(x: np.ndarray, what: str) -> np.ndarray:
    """Returns images as float32 in [0, 1], flat [N, C*H*W]."""
    require(x.dtype.kind in "fiub", what, "numbers", x.dtype)
    whole = x.dtype.kind in "iu"
    low, high = x.min(), x.max()
    if np.isnan(high):
        raise ValueError(
            f"{what}: expected numbers, got NaN in {np.isnan(x).reshape(len(x), -1).any(1).sum():,} images"
        )
    if low < 0 or high > (255 if whole else 1):
        wanted = "whole numbers from 0 to 255" if whole else "numbers from 0 to 1 (divide by the number of white)"
        raise ValueError(f"{what}: expected {wanted}, got {low} to {high}")
    flat = x.reshape(len(x), -1)
    return scaled(flat) if whole else flat.astype(np.float32, copy=False)


def _labels(y: np.ndarray, rows: int, what: str) -> np.ndarray:
    """Returns labels [N] as whole numbers or text."""
    require(y.shape == (rows,), what, f"one label for each of {rows:,} images", y.shape)
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y):
        y = y.astype(np.str_)
    if y.dtype.kind not in "biuU":
        raise ValueError(f"{what}: expected whole numbers, truth values or text, got {y.dtype}: give y.astype(int)?")
    return y
