"""Images to classify by name, with their test set, and images of no class at all.

Pixels are float32 in [0, 1], flattened in the order channel, row, column: [N, C*H*W].
"""

import os
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from vbandits.data import loading
from vbandits.data.catalogue import PUBLISHED
from vbandits.data.image_files import scaled
from vbandits.data.pool import Pool
from vbandits.data.record import Dataset, Published
from vbandits.errors import require
from vbandits.registry import unknown
from vbandits.streams import generator


@dataclass(frozen=True, eq=False)
class Images:
    """Images to classify; the arrays are shared by all who load them: do not write to them.

    Attributes:
        name: the dataset's.
        shape: channels, height and width (C, H, W).
        classes: K.
        train_x: float32 in [0, 1] [N, C*H*W], channel first.
        train_y: int64 in 0..K-1 [N].
        test_x: like `train_x`.
        test_y: like `train_y`.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def digest(self) -> str:
        """Returns the SHA-256 of all rows, with types and shapes, and of what a row is: that of a pool of them."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        arrays = (self.train_x, self.train_y, self.test_x, self.test_y)
        return Pool(self.name, *arrays, self.classes, self.shape).digest()


def names() -> list[str]:
    """Returns the names of all published images."""
    return [name for name, published in PUBLISHED.items() if published.shape]


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Images:
    """Returns images by name, from where `vbandits.data.load` finds them; the last two stay in memory.

    Raises:
        ValueError: for a name that is not in `names()`; as `vbandits.data.load`.
    """
    if name not in names():
        raise ValueError(unknown("image dataset", name, names()))
    return with_test_set(PUBLISHED[name], loading.load(name, data_dir))


@lru_cache(loading.HELD)
def with_test_set(published: Published, found: Dataset) -> Images:
    """Returns a dataset of images as such."""
    assert published.shape is not None
    assert found.labels is not None
    assert found.test is not None
    return Images(published.name, published.shape, published.classes, found.features, found.labels, *found.test)


GRID = 4  # tiles along each side of an image
ZOOMS = (1, 2, 3, 4)  # pixels of a photograph, along a side, that become one pixel of a crop
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, in grey (ITU-R BT.601)


def out_of_distribution(
    name: str, images: Images, rows: int, seed: int = 0, data_dir: str | os.PathLike[str] | None = None
) -> np.ndarray:
    """Returns float32 images [rows, C*H*W] in [0, 1], of the shape of `images`, that belong to none of its classes.

    Ours, without a network: "tiles" are test images of `images` cut into 4 x 4 tiles, which are shuffled (the same
    pixels, no object); "photos" are crops, at four scales, of the two photographs that come with scikit-learn. Or the
    test images of another dataset of the same shape, by name. The first rows are the same however many are asked for;
    those from a test set are drawn from it without replacement.

    Args:
        name: "tiles", "photos" or a name in `names()`.
        images: the dataset to be outside of.
        rows: how many.
        seed: of the choice of test images, tiles and crops.
        data_dir: as in `load`, for the name of a dataset.

    Raises:
        ValueError: for another name; for `images` itself; for another shape; for more rows than there are.
    """
    require(rows >= 1, "rows", "at least 1", rows)
    random = generator(seed, f"images out of distribution: {name}")
    if name == "photos":
        return _photos(images.shape, rows, random)
    if name == "tiles":
        return _tiles(_some(images.test_x, rows, random), images.shape, random)
    if name not in names():
        raise ValueError(unknown("kind of images out of distribution", name, ["photos", "tiles", *names()]))
    require(name != images.name, "name", f"a dataset other than {images.name!r} itself", name)
    shape = PUBLISHED[name].shape
    require(shape == images.shape, name, f"images of shape {images.shape}, as in {images.name!r}", shape)
    return _some(load(name, data_dir).test_x, rows, random)


def _some(x: np.ndarray, rows: int, random: np.random.Generator) -> np.ndarray:
    """Returns rows of `x` at random; all are put in order, so that fewer are the first of more."""
    require(rows <= len(x), "rows", f"at most the {len(x):,} of the test set", rows)
    return x[random.permutation(len(x))[:rows]]


def _tiles(x: np.ndarray, shape: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    """Shuffles the tiles of each image [N, C*H*W]."""
    channels, height, width = shape
    require(height % GRID == width % GRID == 0, "tiles", f"a height and width divisible by {GRID}", (height, width))
    tiles = x.reshape(-1, channels, GRID, height // GRID, GRID, width // GRID).transpose(0, 2, 4, 1, 3, 5)
    tiles = tiles.reshape(len(x), GRID * GRID, channels, height // GRID, width // GRID)
    order = random.random((len(x), GRID * GRID)).argsort(1)
    tiles = np.take_along_axis(tiles, order[..., None, None, None], 1)
    tiles = tiles.reshape(-1, GRID, GRID, channels, height // GRID, width // GRID).transpose(0, 3, 1, 4, 2, 5)
    return tiles.reshape(x.shape)


def _photos(shape: tuple[int, int, int], rows: int, random: np.random.Generator) -> np.ndarray:
    """Crops the photographs, each image at a place and a scale of its own."""
    channels, height, width = shape
    require(channels in (1, 3), "photos", "1 channel (grey) or 3 (red, green, blue)", channels)
    sources = _photographs()
    tallest, widest = map(min, zip(*(source.shape[:2] for source in sources), strict=True))
    require(height <= tallest and width <= widest, "photos", f"a size of at most {tallest, widest}", (height, width))
    which, *place = random.random((rows, 3)).T
    crops = np.empty((rows, *shape), np.float32)
    for index, source in enumerate(sources):
        source = source.transpose(2, 0, 1) if channels == 3 else (source @ LUMINANCE)[None]
        windows = np.lib.stride_tricks.sliding_window_view(source, (height, width), axis=(1, 2))
        mine = (which * len(sources)).astype(int) == index
        top, left = ((at[mine] * size).astype(int) for at, size in zip(place, windows.shape[1:3], strict=True))
        crops[mine] = windows[:, top, left].swapaxes(0, 1)
    return crops.reshape(rows, -1).clip(0, 1)


@cache
def _photographs() -> list[np.ndarray]:
    """Returns a Chinese temple and a flower at each scale, [H, W, 3] in [0, 1], by averaging squares of pixels."""
    from sklearn.datasets import load_sample_images

    bunch: Any = load_sample_images()
    reduced = []
    for photo in map(scaled, bunch.images):
        for zoom in ZOOMS:
            height, width = (size // zoom for size in photo.shape[:2])
            squares = photo[: height * zoom, : width * zoom].reshape(height, zoom, width, zoom, 3)
            reduced.append(squares.mean((1, 3)))
    return reduced
