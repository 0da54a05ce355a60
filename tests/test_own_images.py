"""A user's own images in a supervised experiment: by place, as a function, and as objects."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import vbandits
from tests.test_running import vbandits as command
from tests.test_supervised import DOCUMENT
from tests.test_supervised_refusals import faults
from vbandits.data import own_images
from vbandits.data.images import Images
from vbandits.data.splits import DatasetSpec, Options, load

X, Y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8)
SMALL = {"rows": 200, "validation_rows": 50, "corrupted_rows": 0}
METHODS = [{"id": "deterministic", "network": {"kind": "mlp", "hidden": [8]}}]


def digits():
    return X[:1000] / 16, Y[:1000], X[1000:] / 16, Y[1000:]


def test_forms_of_the_same_images_are_the_same_images():
    train, test = slice(1000), slice(1000, None)
    bytes_ = np.round(X * 15.9375).astype(np.uint8)  # 16 becomes 255
    names = np.array([f"class {number}" for number in Y])
    base = own_images.made((bytes_[train] / 255, Y[train], bytes_[test] / 255, Y[test]))
    assert base.shape == (1, 8, 8)
    assert base.classes == 10
    forms = [
        (bytes_[train], Y[train], bytes_[test], Y[test]),
        [bytes_[train][:, None], Y[train].astype(np.uint8), bytes_[test][:, None].astype(np.int64), Y[test]],
        (bytes_[train] / 255, names[train], bytes_[test] / 255, names[test].astype(object)),
        (bytes_[train] / 255, Y[train] * 5 - 3, bytes_[test] / 255, Y[test] * 5 - 3),
        base,
        lambda: base,
    ]
    for form in forms:
        found = own_images.made(form)
        for name in own_images.PARTS:
            np.testing.assert_allclose(getattr(found, name), getattr(base, name), rtol=1e-6, err_msg=name)
        assert found.train_x.dtype == np.float32
        assert found.train_y.dtype == found.test_y.dtype == np.int64
    colours = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    found = own_images.made((colours, [0, 1], colours[:1], [1]))
    assert found.shape == (3, 4, 5)
    np.testing.assert_allclose(found.train_x[1, 20], colours[1, 1, 0, 0] / 255)


def changed(place, value):
    parts = [np.zeros((4, 2, 2)), np.array([0, 1, 0, 1]), np.zeros((2, 2, 2)), np.array([0, 1])]
    parts[place] = np.asarray(value)
    return tuple(parts)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, r"int: expected Images, or arrays \(train_x, train_y, test_x, test_y\), got int"),
        ((1, 2), "expected Images, or arrays"),
        (lambda: None, "got NoneType"),
        (changed(0, np.zeros((4, 4))), r"train_x: expected images \[N, H, W\] or \[N, C, H, W\], got \(4, 4\)"),
        (changed(0, np.zeros((0, 2, 2))), "train_x: expected images"),
        (changed(0, np.full((4, 2, 2), 1.5)), r"from 0 to 1 \(divide by 255\?\), got 1.5 to 1.5"),
        (changed(0, np.full((4, 2, 2), np.nan)), "from 0 to 1"),
        (changed(2, np.full((2, 2, 2), -1)), "test_x: expected whole numbers from 0 to 255, got -1 to -1"),
        (changed(0, np.full((4, 2, 2), "a")), "train_x: expected numbers, got dtype"),
        (changed(0, np.zeros((4, 32, 16, 3))), r"give x.transpose\(0, 3, 1, 2\)"),
        (changed(2, np.zeros((2, 2, 3))), r"test_x: expected images of \(1, 2, 2\), as in train_x, got \(1, 2, 3\)"),
        (changed(1, [0, 1]), r"train_y: expected one label for each of 4 images, got \(2,\)"),
        (changed(1, [0.0, 0.5, 1.0, 1.0]), "train_y: expected whole numbers, truth values or text, got dtype"),
        (changed(1, [1, 1, 1, 1]), r"train_y: expected at least two classes, got \[1\]"),
        (changed(3, [0, 7]), r"test_y: expected classes that are in train_y, got \[7\]"),
    ],
)
def test_other_things_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        own_images.made(given)


PLACES = """
import numpy as np
from tests.test_own_images import digits
from vbandits.data.images import Images

ARRAYS = digits()
IMAGES = Images("d", (1, 8, 8), 10, ARRAYS[0].reshape(-1, 64), ARRAYS[1], ARRAYS[2].reshape(-1, 64), ARRAYS[3])

def again():
    return tuple(part[::-1] if part.ndim == 1 else part for part in digits())

def random():
    return np.random.default_rng().random((20, 2, 2)), np.arange(20) % 2, np.zeros((2, 2, 2)), [0, 1]

def broken():
    raise OSError("no such file")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_places.py").write_text(PLACES)
    yield tmp_path
    monkeypatch.delitem(__import__("sys").modules, "own_places", raising=False)


FILE = """
name = "e"
seeds = 2
steps = 20

[[datasets]]
id = ["own_places:ARRAYS", "own_places:IMAGES", "own_places:again"]
kwargs = { rows = 200, validation_rows = 50, corrupted_rows = 0 }

[[methods]]
id = "deterministic"
network = { kind = "mlp", hidden = [8] }
"""


def test_a_run_takes_them_by_place_and_goes_on(here, capsys):
    (here / "e.toml").write_text(FILE)
    assert command("run", "e.toml", "--workers", 2) == 0
    errors = vbandits.load("results/e").summary().set_index("dataset")["error"]
    assert {*errors.index} == {"ARRAYS", "IMAGES", "again"}
    assert errors["ARRAYS"] == errors["IMAGES"] != errors["again"]
    capsys.readouterr()
    assert command("run", "e.toml", "--workers", 1) == 0
    assert "there already" in capsys.readouterr().err


def test_in_python_a_function_or_the_images_may_stand_for_a_dataset():
    images = own_images.made(digits)
    found = vbandits.run(
        datasets=[
            {"id": digits, "kwargs": SMALL},
            {"id": images, "label": "images", "kwargs": SMALL},
            DatasetSpec("spec", digits, Options(**SMALL)),
        ],
        methods=METHODS,
        seeds=2,
        steps=20,
    )
    errors = found.summary().set_index("dataset")["error"]
    assert {*errors.index} == {"digits", "images", "spec"}
    assert errors.nunique() == 1


def test_what_is_recorded_of_them_tells_their_rows():
    described = DatasetSpec("d", digits).describe()
    assert described["id"].endswith("test_own_images:digits")
    other = own_images.made(digits)
    moved = Images(other.name, other.shape, 10, other.train_x[::-1], other.train_y, other.test_x, other.test_y)
    assert described["data"] == DatasetSpec("d", other).describe()["data"]
    assert described["data"] != DatasetSpec("d", moved).describe()["data"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("own_places:random", "expected the same images at each call, got others"),
        ("own_places:broken", "no such file (own_places.py:"),
        ("own_places:nothing", "unknown name in own_places 'nothing'"),
        ("no_such_places:x", "no module 'no_such_places'"),
        ("os:getcwd", "os:getcwd: expected a dataset, a class with train_x"),
        ("own_palaces", "unknown dataset 'own_palaces'"),
    ],
)
def test_places_of_other_things_are_refused(here, name, says):
    assert says in " ".join(faults(DOCUMENT | {"datasets": [name]}))


def test_names_that_are_known_say_that_others_may_be_ones_own():
    with pytest.raises(ValueError, match="or 'module:name' of your own images"):
        load("digts")
