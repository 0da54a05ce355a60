"""Images to classify by name, read from their original files or fetched from OpenML, and images of no class at all.

Pixels are float32 in [0, 1], flattened in the order channel, row, column: [N, C*H*W].
"""

import io
import math
import os
import pickle
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from vbandits.data.folder import absent, contents, directory, locate, places, require_all
from vbandits.errors import require
from vbandits.registry import unknown
from vbandits.streams import generator

Split = tuple[np.ndarray, np.ndarray]
"""Raw pixels in 0..255 [N, C*H*W] and labels [N], as they were read."""
HELD = 2
"""Datasets of a kind that stay in memory, as some take gigabytes: one that is learned, and one foreign to it."""


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


@dataclass(frozen=True)
class Published:
    """What was published under a name; every copy is checked against it.

    Attributes:
        name: what we call it.
        url: where its files are.
        openml: its name on OpenML, version 1.
        shape: (C, H, W).
        train: images of each class in the training set [K]. Their sum is the number of rows, and they tell a set from
            another one in files of the same name, and a published order of rows from a shuffled one.
        test: images of each class in the test set [K].
        files: what the original files are called.
        read: returns training and test set from a data directory, or None where there is none of its files.
        flat: whether the files may lie flat in it; not where another dataset's are called the same.
    """

    name: str
    url: str
    openml: str
    shape: tuple[int, int, int]
    train: tuple[int, ...]
    test: tuple[int, ...]
    files: str
    read: Callable[["Published", Path], tuple[Split, Split] | None]
    flat: bool = True


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Images:
    """Returns a dataset by name; the last two stay in memory.

    It is looked for in a data directory, `data_dir` or else what the environment variable VBANDITS_DATA names: there
    the original files lie under their original names, in a folder of the dataset's name or, unless another one's are
    called the same, flat. Where none of them is there, scikit-learn fetches it from OpenML, and keeps it in its own
    cache (`sklearn.datasets.get_data_home`).

    Raises:
        ValueError: for a name that is not in `PUBLISHED`; a data directory that is no folder; files that are damaged,
            not all there, or hold anything but what was published; if there is neither a file nor OpenML.
    """
    if name not in PUBLISHED:
        raise ValueError(unknown("image dataset", name, PUBLISHED))
    return _load(name, directory(data_dir))


@lru_cache(HELD)
def _load(name: str, folder: Path | None) -> Images:
    published = PUBLISHED[name]
    found = None if folder is None else from_folder(published, folder)
    if found is not None:
        return found
    try:
        return from_openml(published)
    except (OSError, ValueError, ImportError) as error:
        why = f"OpenML's {published.openml!r} cannot be had ({error})"
        raise ValueError(absent(name, published.files, published.url, folder, why, flat=published.flat)) from error


def from_folder(published: Published, folder: Path) -> Images | None:
    """Returns what was published from the original files in a data directory, or None where there is none of them.

    Raises:
        ValueError: for files that are damaged, not all there, or hold anything else.
    """
    splits = published.read(published, folder)
    return None if splits is None else _checked(published, f"in {folder}", *splits)


def from_openml(published: Published) -> Images:
    """Returns what was published from OpenML or scikit-learn's cache of it, split by the published order of rows.

    Raises:
        OSError: if OpenML cannot be reached.
        ValueError: if it has something else.
    """
    from sklearn.datasets import fetch_openml

    with quietly():
        bunch: Any = fetch_openml(published.openml, version=1, as_frame=False, n_retries=1)
    pixels, labels, rows = bunch.data, bunch.target.astype(np.int64), sum(published.train)
    splits = (pixels[:rows], labels[:rows]), (pixels[rows:], labels[rows:])
    return _checked(published, f"from OpenML's {published.openml!r}", *splits)


@contextmanager
def quietly() -> Iterator[None]:
    """Lets scikit-learn fetch without its warnings before it tries again; a failure is raised all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _checked(published: Published, source: str, train: Split, test: Split) -> Images:
    """Returns the record of two sets that are what was published."""
    arrays = []
    for part, (pixels, labels), counts in (("training", train, published.train), ("test", test, published.test)):
        where = f"{published.name} {source}, {part} set"
        rows, size = sum(counts), math.prod(published.shape)
        require(pixels.shape == (rows, size), where, f"{rows:,} images of {size:,} pixels", pixels.shape)
        require(labels.shape == (rows,), where, f"{rows:,} labels", labels.shape)
        low, high = int(labels.min()), int(labels.max())
        require(low >= 0 and high < len(counts), where, f"labels in 0..{len(counts) - 1}", f"{low}..{high}")
        got = tuple(np.bincount(labels, minlength=len(counts)).tolist())
        mend = f" (is it another dataset, or out of order? the original is at {published.url})"
        require(got == counts, where, f"{counts} images of the classes{mend}", got)
        arrays += [_scaled(pixels), labels.astype(np.int64)]
    return Images(published.name, published.shape, len(published.train), *arrays)


def _scaled(pixels: np.ndarray) -> np.ndarray:
    scaled = pixels.astype(np.float32)
    scaled /= 255
    return scaled


IDX = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
"""MNIST's files, and those of everything that is published in its manner, with the number of their axes."""


def _idx_files(published: Published, folder: Path) -> tuple[Split, Split] | None:
    """Reads the four idx files, each as it is or gzipped, all in one folder."""
    paths = locate(IDX, places(folder, [published.name], flat=published.flat), published.url)
    if paths is None:
        return None
    train_x, train_y, test_x, test_y = (_read_idx(paths[name], axes) for name, axes in IDX.items())
    return (train_x.reshape(len(train_x), -1), train_y), (test_x.reshape(len(test_x), -1), test_y)


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """Returns the bytes of an idx file with their shape.

    The format (http://yann.lecun.com/exdb/mnist): two zeros, 8 for unsigned bytes, the number of axes; the length of
    each axis (big-endian, four bytes each); the bytes themselves.
    """
    try:
        raw = contents(path)
    except ValueError as error:
        raise ValueError(f"{error}; download it again") from error
    magic, header = bytes([0, 0, 8, axes]), 4 + 4 * axes
    if raw[:4] != magic:
        raise ValueError(f"{path}: expected an idx file, magic number {magic.hex()}, got {raw[:4].hex() or 'no bytes'}")
    shape = tuple(np.frombuffer(raw[4:header].ljust(4 * axes, b"\0"), ">u4").tolist())
    size = header + math.prod(shape)
    if len(raw) != size:
        announced = f"{size:,} bytes, as it announces {' x '.join(map(str, shape))}"
        raise ValueError(f"{path}: expected {announced}, got {len(raw):,}: it is damaged; download it again")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


CIFAR_FOLDER, CIFAR_ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
CIFAR_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def _cifar_files(published: Published, folder: Path) -> tuple[Split, Split] | None:
    """Reads the six batches, from their folder or else from the archive as it is downloaded."""
    found = places(folder, [published.name])
    for place in (*(place / CIFAR_FOLDER for place in found), *found):
        batches = {name: (place / name).read_bytes() for name in CIFAR_BATCHES if (place / name).is_file()}
        if batches:
            return _cifar_splits(published, place, batches)
    for place in found:
        if (place / CIFAR_ARCHIVE).is_file():
            return _cifar_splits(published, place / CIFAR_ARCHIVE, _untar(place / CIFAR_ARCHIVE))
    return None


def _untar(path: Path) -> dict[str, bytes]:
    """Returns the batches in the archive by name; one pass, as gzip cannot jump."""
    wanted = {f"{CIFAR_FOLDER}/{name}": name for name in CIFAR_BATCHES}
    try:
        with tarfile.open(path, "r:gz") as archive:
            found = ((member.name, archive.extractfile(member)) for member in archive if member.name in wanted)
            return {wanted[name]: entry.read() for name, entry in found if entry}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole .tar.gz archive, got {error}; download it again") from error


def _cifar_splits(published: Published, source: Path, raw: dict[str, bytes]) -> tuple[Split, Split]:
    require_all(CIFAR_BATCHES, raw, source, published.url)
    batches = [_read_batch(source / name, raw.pop(name)) for name in CIFAR_BATCHES]
    pixels, labels = zip(*batches[:-1], strict=True)
    return (np.concatenate(pixels), np.concatenate(labels)), batches[-1]


def _read_batch(path: Path, raw: bytes) -> Split:
    try:
        batch = _BatchUnpickler(io.BytesIO(raw), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.array(batch[b"labels"], np.int64)
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path}: expected a batch of CIFAR-10, a Python pickle, got {error!r}") from error
    whole = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 2
    require(whole, str(path), "data of unsigned bytes [N, C*H*W]", getattr(pixels, "dtype", type(pixels)))
    require(labels.shape == pixels.shape[:1], str(path), f"{len(pixels)} labels", labels.shape)
    return pixels, labels


class _BatchUnpickler(pickle.Unpickler):
    """Unpickles arrays, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns one of the three things that a pickled array needs."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # the same function, wherever this version of NumPy keeps it
        if module == "numpy" and name in ("ndarray", "dtype"):
            return np.ndarray if name == "ndarray" else _dtype
        raise pickle.UnpicklingError(f"{module}.{name}, which has no place in a batch of images")


def _dtype(name: bytes | str, align: int = 0, copy: int = 0) -> np.dtype:
    """What Python 2 pickled passes 0 and 1 for False and True, of which NumPy now warns."""
    return np.dtype(name.decode() if isinstance(name, bytes) else name, align=bool(align), copy=bool(copy))


_mnist = partial(Published, shape=(1, 28, 28), files=", ".join(f"{name}[.gz]" for name in IDX), read=_idx_files)
_ALL = (
    _mnist(
        name="mnist",
        url="http://yann.lecun.com/exdb/mnist (mirror: https://ossci-datasets.s3.amazonaws.com/mnist/)",
        openml="mnist_784",
        train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ),
    _mnist(
        name="fashion_mnist",
        url="https://github.com/zalandoresearch/fashion-mnist",
        openml="Fashion-MNIST",
        train=(6000,) * 10,
        test=(1000,) * 10,
        flat=False,
    ),
    Published(
        name="cifar10",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        openml="CIFAR_10",
        shape=(3, 32, 32),
        train=(5000,) * 10,
        test=(1000,) * 10,
        files=f"{CIFAR_ARCHIVE} (or {CIFAR_FOLDER}, what is in it)",
        read=_cifar_files,
    ),
)
PUBLISHED = {published.name: published for published in _ALL}
"""Datasets by name: handwritten digits (LeCun, Bottou, Bengio and Haffner, 1998) and clothes (Xiao, Rasul and Vollgraf,
2017) in grey, and small photographs in red, green and blue (Krizhevsky, 2009)."""


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
        name: "tiles", "photos" or a name in `PUBLISHED`.
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
    if name not in PUBLISHED:
        raise ValueError(unknown("kind of images out of distribution", name, ["photos", "tiles", *PUBLISHED]))
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
    for photo in map(_scaled, bunch.images):
        for zoom in ZOOMS:
            height, width = (size // zoom for size in photo.shape[:2])
            squares = photo[: height * zoom, : width * zoom].reshape(height, zoom, width, zoom, 3)
            reduced.append(squares.mean((1, 3)))
    return reduced
