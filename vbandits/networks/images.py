"""The shape of images that come as flat rows."""

import math
from dataclasses import replace
from typing import Any

Image = tuple[int, int, int]
"""Channels, height, width."""

KNOWN: dict[int, Image] = {784: (1, 28, 28), 3072: (3, 32, 32)}


def with_image(network: Any, image: Image | None) -> Any:
    """Returns the configuration of a network for images of a shape: its own, where it has one, else the one given."""
    if image is not None and getattr(network, "image", image) is None:
        return replace(network, image=image)
    return network


def shape_of(features: int, image: Image | None) -> Image:
    """Returns the shape of images of so many features, the one given if it fits.

    Raises:
        ValueError: if it does not fit, or none is given and none is known.
    """
    shape = image or KNOWN.get(features)
    if shape is None or math.prod(shape) != features:
        given = "none" if shape is None else " x ".join(map(str, shape))
        raise ValueError(f"expected image = [channels, height, width] with {features} values in all, got {given}")
    return shape
