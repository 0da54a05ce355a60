import gc
import gzip
import io
import os
import pickle
import tarfile
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import Bunch

from vbandits.data import PUBLISHED, images
from vbandits.data.fetching import openml_images
from vbandits.data.folder import VARIABLE
from vbandits.data.image_files import CIFAR_ARCHIVE, CIFAR_BATCHES, CIFAR_FOLDER, IDX
from vbandits.data.images import Images
from vbandits.data.loading import from_elsewhere, from_folder
from vbandits.data.record import Published

DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")

TINY = replace(
    PUBLISHED["mnist"],
    name="tiny",
    shape=(1, 2, 3),
    features=6,
    counts=((2, 1),),
    test=(1, 1),
    fetch=openml_images("mnist_784", "tiny", 3),
    sha256=None,
)
TRAIN_X, TRAIN_Y = np.arange(18, dtype=np.uint8).reshape(3, 2, 3) * 15, np.array([0, 1, 0], np.uint8)
TEST_X, TEST_Y = np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.array([1, 0], np.uint8)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX

COLOUR = replace(PUBLISHED["cifar10"], name="colour", shape=(3, 1, 2), features=6, counts=((2, 3),), test=(1, 0))
BATCHES = {
    name: (np.arange(6, dtype=np.uint8)[None] + 10 * number, [[0, 1, 0, 1, 1, 0][number]])
    for number, name in enumerate(CIFAR_BATCHES)
}


def idx(array: np.ndarray) -> bytes:
    """Returns an array in the layout that MNIST is published in."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_tiny(folder: Path, gzipped=False, **changes: bytes) -> Path:
    """Writes the four files of `TINY`, some of them with other bytes."""
    folder.mkdir(exist_ok=True)
    contents = dict(zip(IDX, map(idx, (TRAIN_X, TRAIN_Y, TEST_X, TEST_Y)), strict=True)) | changes
    for name, raw in contents.items():
        path = folder / f"{name}.gz" if gzipped else folder / name
        path.write_bytes(gzip.compress(raw) if gzipped else raw)
    return folder


def batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Returns a batch as CIFAR-10 is published: pickled by Python 2 (protocol 2, byte strings, 0 for False)."""

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + short(b"b") + b"tR"
    dtype = b"cnumpy\ndtype\n(" + short(b"u1") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + short(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    raw = pixels.tobytes()
    state = b"(" + number(1) + b"(" + b"".join(map(number, pixels.shape)) + b"t" + dtype + b"\x89"
    state += b"T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    items = short(b"data") + array + state + short(b"labels") + b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + items + b"u."


def write_colour(folder: Path, **changes: bytes) -> Path:
    """Writes the six batches of `COLOUR`, some of them with other bytes."""
    folder.mkdir(exist_ok=True)
    for name, raw in ({name: batch(*content) for name, content in BATCHES.items()} | changes).items():
        (folder / name).write_bytes(raw)
    return folder


def read(published: Published, folder: Path) -> Images:
    found = from_folder(published, folder)
    assert found is not None
    return images.with_test_set(published, found)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("place", [".", "tiny"])
def test_idx_files_are_read_where_they_lie(tmp_path, gzipped, place):
    write_tiny(tmp_path / place, gzipped)
    found = read(TINY, tmp_path)
    assert (found.name, found.shape, found.classes) == ("tiny", (1, 2, 3), 2)
    np.testing.assert_array_equal(found.train_x, (np.arange(18).reshape(3, 6) * 15 / 255).astype(np.float32))
    np.testing.assert_array_equal(found.test_x, (np.arange(12).reshape(2, 6) / 255).astype(np.float32))
    np.testing.assert_array_equal(found.train_y, [0, 1, 0])
    np.testing.assert_array_equal(found.test_y, [1, 0])
    assert found.train_x.max() == 1  # of 255
    assert {array.dtype for array in (found.train_x, found.test_x)} == {np.dtype(np.float32)}
    assert {array.dtype for array in (found.train_y, found.test_y)} == {np.dtype(np.int64)}


def test_the_folder_of_the_dataset_comes_before_what_lies_flat(tmp_path):
    write_tiny(tmp_path, **{TRAIN_LABELS: b"another dataset"})
    write_tiny(tmp_path / "tiny")
    np.testing.assert_array_equal(read(TINY, tmp_path).train_y, [0, 1, 0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (TRAIN_IMAGES, idx(TRAIN_X)[:-1], r"expected 34 bytes, as it announces 3 x 2 x 3, got 33: it is damaged"),
        (TRAIN_IMAGES, idx(TRAIN_X) + b"!", r"expected 34 bytes.*got 35"),
        (TRAIN_IMAGES, idx(TRAIN_X)[:10], r"got 10: it is damaged"),
        (TRAIN_IMAGES, b"", r"got no bytes"),
        (TRAIN_IMAGES, idx(TRAIN_Y), r"magic number 00000803, got 00000801"),
        (TEST_LABELS, idx(TEST_X), r"magic number 00000801, got 00000803"),
        (TRAIN_IMAGES, idx(TRAIN_X[:2]), r"training set: expected 3 images of 6 pixels, got 2 of 6"),
        (TEST_IMAGES, idx(TEST_X[:, :, :2]), r"test set: expected 2 images of 6 pixels, got 2 of 4"),
        (TEST_LABELS, idx(TEST_Y[:1]), r"test set: expected 2 labels, got 1 "),
        (TEST_LABELS, idx(TEST_Y * 2), r"test set: expected labels in 0..1, got 0..2"),
        (
            TRAIN_LABELS,
            idx(1 - TRAIN_Y),
            r"expected images of the classes 2, 1, got 1, 2 \(is it another dataset",
        ),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_idx_files_of_anything_else_are_refused(tmp_path, name, content, message, gzipped):
    with pytest.raises(ValueError, match=message):
        from_folder(TINY, write_tiny(tmp_path, gzipped, **{name: content}))


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: b"<html>" + raw])
def test_damaged_gzip_files_are_refused(tmp_path, damage):
    path = write_tiny(tmp_path, gzipped=True) / f"{TEST_IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{TEST_IMAGES}.gz: expected a whole file, got: .*download it again"):
        from_folder(TINY, tmp_path)


def test_missing_idx_files_are_named(tmp_path):
    write_tiny(tmp_path)
    (tmp_path / TRAIN_LABELS).unlink()
    with pytest.raises(ValueError, match=f"{tmp_path}.*lecun.*got all but {TRAIN_LABELS}"):
        from_folder(TINY, tmp_path)


@pytest.mark.parametrize("place", [".", "colour", CIFAR_FOLDER])
def test_cifar_batches_are_read_in_their_order(tmp_path, place):
    write_colour(tmp_path / place)
    found = read(COLOUR, tmp_path)
    expected = (np.arange(6) + 10 * np.arange(5)[:, None]) / 255
    np.testing.assert_array_equal(found.train_x, expected.astype(np.float32))
    np.testing.assert_array_equal(found.test_x, ((np.arange(6) + 50) / 255).astype(np.float32)[None])
    np.testing.assert_array_equal(found.train_y, [0, 1, 0, 1, 1])
    assert found.train_y.dtype == np.int64


def pack(folder: Path) -> Path:
    """Packs the batches as they are published, and in an order that is not theirs."""
    source = write_colour(folder / "source")
    with tarfile.open(folder / CIFAR_ARCHIVE, "w:gz") as archive:
        for name in sorted(CIFAR_BATCHES, reverse=True):
            archive.add(source / name, f"{CIFAR_FOLDER}/{name}")
    return folder / CIFAR_ARCHIVE


def test_the_cifar_archive_equals_its_batches(tmp_path):
    pack(tmp_path)
    unpacked = read(COLOUR, tmp_path / "source")
    packed = read(COLOUR, tmp_path)
    for name in ("train_x", "train_y", "test_x", "test_y"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(unpacked, name))


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"<html>" + raw])
def test_a_damaged_archive_is_refused(tmp_path, damage):
    path = pack(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{CIFAR_ARCHIVE}: expected a whole .tar.gz archive.*download it again"):
        from_folder(COLOUR, tmp_path)


def test_batches_that_newer_pythons_pickled_are_read_too(tmp_path):
    pixels, labels = BATCHES["test_batch"]
    write_colour(tmp_path, test_batch=pickle.dumps({b"data": pixels, b"labels": labels}, protocol=3))
    np.testing.assert_array_equal(read(COLOUR, tmp_path).test_y, [0])


class Intruder:
    """Unpickles to a call of a function that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_cannot_run_code(tmp_path):
    trace = tmp_path / "trace"
    content = {b"data": Intruder(trace), b"labels": [0]}
    write_colour(tmp_path, test_batch=pickle.dumps(content))
    with pytest.raises(ValueError, match=r"test_batch: expected a batch of CIFAR-10.*no place in a batch"):
        from_folder(COLOUR, tmp_path)
    assert not trace.exists()
    pickle.load(io.BytesIO(pickle.dumps(Intruder(trace))))
    assert trace.exists()  # it would have, otherwise


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(*BATCHES["test_batch"])[:-30], "expected a batch of CIFAR-10, a Python pickle, got"),
        (b"<html>", "expected a batch of CIFAR-10"),
        (pickle.dumps({b"data": 1}, protocol=2), "expected a batch of CIFAR-10"),
        (batch(BATCHES["test_batch"][0], [0, 1]), r"expected 1 labels, got \(2,\)"),
        (batch(BATCHES["test_batch"][0][0], [0]), r"expected data of unsigned bytes"),
        (batch(BATCHES["test_batch"][0][:, :3], [0]), r"expected 1 images of 6 pixels, got 1 of 3"),
        (batch(BATCHES["test_batch"][0], [7]), r"expected labels in 0..1, got 7..7"),
        (batch(BATCHES["test_batch"][0], [1]), r"expected images of the classes 1, 0, got 0, 1"),
    ],
)
def test_batches_of_anything_else_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        from_folder(COLOUR, write_colour(tmp_path, test_batch=content))


def test_missing_batches_are_named(tmp_path):
    (write_colour(tmp_path) / "data_batch_3").unlink()
    with pytest.raises(ValueError, match=r"toronto.*got all but data_batch_3"):
        from_folder(COLOUR, tmp_path)


def test_openml_is_split_by_the_published_order(monkeypatch):
    asked = {}

    def fetch(name, **kwargs):
        asked.update(kwargs, name=name)
        labels = np.array(["0", "1", "0", "1", "0"], object)  # as OpenML has them
        return Bunch(data=np.concatenate([TRAIN_X, TEST_X]).reshape(5, 6).astype(float), target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    found = images.with_test_set(TINY, from_elsewhere(TINY))
    assert (asked["name"], asked["version"]) == ("mnist_784", 1)
    np.testing.assert_array_equal(found.train_x, TRAIN_X.reshape(3, 6).astype(np.float32) / 255)
    np.testing.assert_array_equal(found.test_x, TEST_X.reshape(2, 6).astype(np.float32) / 255)
    np.testing.assert_array_equal(found.train_y, TRAIN_Y)
    with pytest.raises(ValueError, match=r"OpenML's 'mnist_784'.*expected 1 images of 6 pixels, got"):
        from_elsewhere(replace(TINY, test=(1, 0)))


@pytest.fixture
def registered(monkeypatch, no_network):
    """Two small datasets by name, and no network."""
    monkeypatch.setitem(PUBLISHED, "tiny", TINY)
    monkeypatch.setitem(PUBLISHED, "other", replace(TINY, name="other"))


@pytest.mark.usefixtures("registered")
def test_a_data_directory_is_an_argument_or_else_the_environments(tmp_path, monkeypatch):
    write_tiny(tmp_path / "one")
    write_tiny(tmp_path / "two", **{TRAIN_IMAGES: idx(TRAIN_X[::-1])})
    monkeypatch.setenv(VARIABLE, str(tmp_path / "one"))
    first = images.load("tiny")
    second = images.load("tiny", tmp_path / "two")
    np.testing.assert_array_equal(first.train_x, second.train_x[::-1])
    assert images.load("tiny", str(tmp_path / "one")) is first  # read once
    monkeypatch.setenv(VARIABLE, str(tmp_path / "two"))
    assert images.load("tiny") is second
    seen = weakref.ref(first)
    del first
    images.load("other", tmp_path / "one")
    gc.collect()
    assert seen() is None, "two stay in memory"


@pytest.mark.usefixtures("registered")
def test_what_is_nowhere_is_refused_with_all_that_can_be_done(tmp_path, monkeypatch):
    files = rf"expected {TRAIN_IMAGES}\[.gz\], .*{TEST_LABELS}\[.gz\]"
    mend = r"no network.*Download from http://yann.lecun.com.*into DIRECTORY/tiny, set VBANDITS_DATA=DIRECTORY"
    with pytest.raises(ValueError, match=f"{files}.*VBANDITS_DATA is not set; .*{mend}"):
        images.load("tiny")
    with pytest.raises(ValueError, match=f"{files}.*nothing of it in {tmp_path}; .*{mend}"):
        images.load("tiny", tmp_path)
    with pytest.raises(ValueError, match="unknown image dataset 'tinny'; did you mean 'tiny'"):
        images.load("tinny")
    with pytest.raises(ValueError, match=r"data_dir: expected a folder that exists, got '.*nowhere'"):
        images.load("tiny", tmp_path / "nowhere")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="VBANDITS_DATA: expected a folder that exists"):
        images.load("tiny")


def test_published_rows():
    assert {name: (p.size, sum(p.test), p.classes) for name, p in PUBLISHED.items() if p.shape} == {
        "mnist": (60_000, 10_000, 10),
        "fashion_mnist": (60_000, 10_000, 10),
        "cifar10": (50_000, 10_000, 10),
    }


@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason=f"needs MNIST's files in {DATA}/mnist")
def test_mnist_is_as_published(tmp_path):
    mnist = images.load("mnist", DATA)
    assert (mnist.train_x.shape, mnist.test_x.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(mnist.train_y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.train_y[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_y[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train_x.mean(dtype=float) == pytest.approx(0.1307, abs=5e-5)  # the constants that everybody uses
    assert mnist.train_x.std(dtype=float) == pytest.approx(0.3081, abs=5e-5)
    assert from_folder(PUBLISHED["fashion_mnist"], DATA / "mnist") is None  # its files have the same names
    (tmp_path / "fashion_mnist").symlink_to(DATA / "mnist")
    with pytest.raises(ValueError, match=r"is it another dataset.*zalando"):
        images.load("fashion_mnist", tmp_path)
