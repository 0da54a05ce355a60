"""The original files of images to classify: MNIST's manner of publishing, and CIFAR-10's."""

import io
import math
import pickle
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vbandits.data.folder import contents
from vbandits.data.record import Dataset
from vbandits.errors import require

Split = tuple[np.ndarray, np.ndarray]
"""Raw pixels in 0..255 [N, C*H*W] and labels [N], as they were read."""


def pictures(name: str, train: Split, test: Split) -> Dataset:
    """Returns the dataset of a training and a test set; pixels become float32 in [0, 1]."""
    (x, y), held_out = ((scaled(pixels), labels.astype(np.int64)) for pixels, labels in (train, test))
    pixels = tuple(f"pixel {number}" for number in range(x.shape[1]))
    classes = tuple(map(str, range(y.max(initial=-1) + 1)))
    return Dataset(name, x, y, pixels, classes, ("training rows alone", "pixels in [0, 1]"), test=held_out)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Returns bytes as float32 in [0, 1]."""
    found = pixels.astype(np.float32)
    found /= 255
    return found


IDX = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
"""MNIST's files, and those of everything that is published in its manner, with the number of their axes."""


def idx(paths: Sequence[Path], name: str) -> Dataset:
    """Reads the four idx files."""
    train_x, train_y, test_x, test_y = (_idx(path, axes) for path, axes in zip(paths, IDX.values(), strict=True))
    return pictures(name, (train_x.reshape(len(train_x), -1), train_y), (test_x.reshape(len(test_x), -1), test_y))


def _idx(path: Path, axes: int) -> np.ndarray:
    """Returns the bytes of an idx file with their shape.

    The format (http://yann.lecun.com/exdb/mnist): two zeros, 8 for unsigned bytes, the number of axes; the length of
    each axis (big-endian, four bytes each); the bytes themselves.
    """
    raw = contents(path)
    magic, header = bytes([0, 0, 8, axes]), 4 + 4 * axes
    if raw[:4] != magic:
        raise ValueError(f"{path}: expected an idx file, magic number {magic.hex()}, got {raw[:4].hex() or 'no bytes'}")
    shape = tuple(np.frombuffer(raw[4:header].ljust(4 * axes, b"\0"), ">u4").tolist())
    size = header + math.prod(shape)
    if len(raw) != size:
        announced = f"{size:,} bytes, as it announces {' x '.join(map(str, shape))}"
        raise ValueError(f"{path}: expected {announced}, got {len(raw):,}: it is damaged")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


CIFAR_FOLDER, CIFAR_ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
CIFAR_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def cifar_batches(paths: Sequence[Path]) -> Dataset:
    """Reads the six batches."""
    return _cifar([_batch(path, contents(path)) for path in paths])


def cifar_archive(paths: Sequence[Path]) -> Dataset:
    """Reads the six batches from the archive as it is downloaded; one pass, as gzip cannot jump."""
    path = paths[0]
    wanted = {f"{CIFAR_FOLDER}/{name}": name for name in CIFAR_BATCHES}
    try:
        with tarfile.open(path, "r:gz") as archive:
            found = ((member.name, archive.extractfile(member)) for member in archive if member.name in wanted)
            raw = {wanted[name]: entry.read() for name, entry in found if entry}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole .tar.gz archive, got {error}") from error
    if missing := ", ".join(name for name in CIFAR_BATCHES if name not in raw):
        raise ValueError(f"{path}: expected all of {', '.join(CIFAR_BATCHES)}, got all but {missing}")
    return _cifar([_batch(path / name, raw.pop(name)) for name in CIFAR_BATCHES])


def _cifar(batches: Sequence[Split]) -> Dataset:
    pixels, labels = zip(*batches[:-1], strict=True)
    return pictures("cifar10", (np.concatenate(pixels), np.concatenate(labels)), batches[-1])


def _batch(path: Path, raw: bytes) -> Split:
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
