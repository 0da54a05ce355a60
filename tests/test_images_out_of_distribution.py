"""Images of other things than a network was trained on: tiles, photographs and other datasets."""

from dataclasses import replace

import numpy as np
import pytest

from tests.test_images import TINY, TRAIN_Y, idx, write_tiny
from vbandits.data import PUBLISHED, images
from vbandits.data.image_files import IDX
from vbandits.data.images import Images


def blank(shape: tuple[int, int, int], test_x: np.ndarray | None = None, name="blank") -> Images:
    """Returns a dataset of one's own, of which only the test images matter."""
    x, y = np.zeros((1, int(np.prod(shape))), np.float32), np.zeros(1, np.int64)
    return Images(name, shape, 2, x, y, x if test_x is None else test_x, y)


def test_tiles_are_those_of_a_test_image_in_another_order():
    tile = np.arange(30 * 16, dtype=np.float32).reshape(30, 1, 4, 4) / 480  # each tile has its own value
    colour = np.concatenate([tile, tile / 2], 1).repeat(2, 2).repeat(3, 3)  # [30, 2, 8, 12]
    dataset = blank((2, 8, 12), colour.reshape(30, -1))
    shuffled = images.out_of_distribution("tiles", dataset, 30).reshape(30, 2, 8, 12)
    corners = shuffled[:, :, ::2, ::3]
    np.testing.assert_array_equal(shuffled, corners.repeat(2, 2).repeat(3, 3))  # tiles are whole
    np.testing.assert_array_equal(corners[:, 1], corners[:, 0] / 2)  # channels stay together
    orders = np.round(corners[:, 0].reshape(30, 16) * 480).astype(int)
    sources = orders[:, 0] // 16
    assert sorted(sources) == list(range(30))  # each test image once
    np.testing.assert_array_equal(np.sort(orders, 1), sources[:, None] * 16 + np.arange(16))
    assert len(np.unique(orders % 16, axis=0)) == 30  # each in an order of its own


def test_photos_are_crops_of_photographs():
    from sklearn.datasets import load_sample_images

    photos = np.stack(load_sample_images().images) / 255
    whole = photos[:, :424, :640].reshape(2, 106, 4, 160, 4, 3).mean((2, 4)).transpose(0, 3, 1, 2)  # at a quarter
    crops = images.out_of_distribution("photos", blank((3, 106, 160)), 60).reshape(60, 3, 106, 160)
    matches = np.abs(crops[:, None] - whole).max((2, 3, 4)) < 1e-5
    assert (matches.sum(0) > 0).all()  # at this scale and size, the crop is the photograph
    assert matches.sum() < 60


def test_grey_photos_are_those_in_colour():
    grey = images.out_of_distribution("photos", blank((1, 28, 28)), 50)
    colour = images.out_of_distribution("photos", blank((3, 28, 28)), 50).reshape(50, 3, -1)
    np.testing.assert_allclose(grey, np.einsum("ncp,c->np", colour, [0.299, 0.587, 0.114]), atol=1e-6)
    assert len(np.unique(grey, axis=0)) == 50
    assert grey.std() > 0.1


@pytest.mark.parametrize("name", ["photos", "tiles", "other"])
@pytest.mark.usefixtures("no_network")
def test_fewer_images_out_of_distribution_are_the_first_of_more(tmp_path, name, monkeypatch):
    test_x = np.random.default_rng(0).integers(256, size=(40, 8, 8)).astype(np.uint8)
    pair = replace(TINY, name="other", shape=(1, 8, 8), features=64, test=(20, 20))
    monkeypatch.setitem(PUBLISHED, "other", pair)
    write_tiny(
        tmp_path / "other",
        **dict(
            zip(
                IDX,
                map(idx, (np.zeros((3, 8, 8), np.uint8), TRAIN_Y, test_x, np.arange(40, dtype=np.uint8) % 2)),
                strict=True,
            )
        ),
    )
    dataset = blank((1, 8, 8), test_x.reshape(40, 64).astype(np.float32) / 255)

    def some(rows, seed=0):
        return images.out_of_distribution(name, dataset, rows, seed, data_dir=tmp_path)

    found = some(40)
    assert (found.dtype, found.shape) == (np.float32, (40, 64))
    np.testing.assert_array_equal(some(7), found[:7])
    assert not np.array_equal(some(7, seed=1), found[:7])
    if name == "other":
        np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(dataset.test_x, axis=0))


@pytest.mark.parametrize(
    ("name", "dataset", "rows", "message"),
    [
        ("tile", blank((1, 8, 8)), 1, "did you mean 'tiles'"),
        ("tiles", blank((1, 8, 8)), 0, "rows: expected at least 1, got 0"),
        ("tiles", blank((1, 8, 8)), 2, "at most the 1 of the test set, got 2"),
        ("tiles", blank((1, 8, 10)), 1, r"divisible by 4, got \(8, 10\)"),
        ("photos", blank((2, 8, 8)), 1, "1 channel .* got 2"),
        ("photos", blank((1, 200, 8)), 1, r"a size of at most \(106, 160\), got \(200, 8\)"),
        ("mnist", blank((1, 28, 28), name="mnist"), 1, "a dataset other than 'mnist' itself"),
        ("mnist", blank((3, 32, 32)), 1, r"images of shape \(3, 32, 32\), as in 'blank', got \(1, 28, 28\)"),
    ],
)
def test_what_is_not_out_of_distribution_is_refused(name, dataset, rows, message):
    with pytest.raises(ValueError, match=message):
        images.out_of_distribution(name, dataset, rows)
