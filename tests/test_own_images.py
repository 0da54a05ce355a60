"""A user's own images in a supervised experiment: by place, as a function, and as objects."""

import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import vbandits
from tests.test_running import vbandits as command
from tests.test_supervised import DOCUMENT
from tests.test_supervised_refusals import faults
from vbandits.data import own_images
from vbandits.data.images import Images
from vbandits.data.splits import DatasetSpec, Options, load
from vbandits.errors import ConfigError
from vbandits.experiment.store import Store

X, Y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8)
SMALL = {"rows": 200, "validation_rows": 50, "corrupted_rows": 0}
METHODS = [{"id": "deterministic", "network": {"kind": "mlp", "hidden": [8]}}]


def digits():
    return X[:1000] / 16, Y[:1000], X[1000:] / 16, Y[1000:]


class Unhashable:
    def __init__(self, images):
        self.images = images

    def __eq__(self, other):
        return self is other

    def __call__(self):
        return self.images


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
        (np.flip(np.flip(bytes_[train], 1), 1), Y[train].tolist(), bytes_[test].copy(order="F"), Y[test]),
        tuple(map(torch.from_numpy, (bytes_[train], Y[train], bytes_[test], Y[test]))),
        (torch.tensor(bytes_[train] / 255, requires_grad=True), Y[train], bytes_[test] / 255, Y[test]),
        SimpleNamespace(train_x=bytes_[train], train_y=Y[train], test_x=bytes_[test], test_y=Y[test]),
        base,
        lambda: base,
        Unhashable(base),
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
    masks = own_images.made((colours > 9, [True, False], colours[:1] > 9, [True]))
    assert masks.train_x.max() == 1
    kept = own_images.made(Images("kept", (3, 4, 5), 4, masks.train_x, np.array([0, 2]), masks.test_x, np.array([3])))
    assert (kept.name, kept.classes, kept.test_y.tolist()) == ("kept", 4, [3])
    np.testing.assert_allclose(found.train_x[1, 20], colours[1, 1, 0, 0] / 255)


def changed(place, value):
    parts = [np.zeros((4, 2, 2)), np.array([0, 1, 0, 1]), np.zeros((2, 2, 2)), np.array([0, 1])]
    parts[place] = np.asarray(value)
    return tuple(parts)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, r"int: expected four arrays \(train_x, train_y, test_x, test_y\), or Images, got int"),
        ((1, 2), "expected four arrays .*, got tuple of 2"),
        (lambda: None, "got NoneType"),
        (lambda number: None, "needs no arguments, got one with more: missing a required argument: 'number'"),
        (changed(0, np.zeros((4, 4))), r"train_x: expected images \[N, H, W\] or \[N, C, H, W\], got \(4, 4\)"),
        (changed(0, np.zeros((0, 2, 2))), "train_x: expected images"),
        (changed(0, np.full((4, 2, 2), 16.0)), r"from 0 to 1 \(divide by the number of white\), got 16.0 to 16.0"),
        (changed(0, np.full((4, 2, 2), np.nan)), "train_x: expected numbers, got NaN in 4 images"),
        (changed(2, np.full((2, 2, 2), -1)), "test_x: expected numbers of the same kind as train_x, float64, got"),
        (lambda: (np.ma.masked_equal(np.eye(2)[None].repeat(4, 0), 1), *changed(0, 0)[1:]), "NaN in 4"),
        (changed(0, np.full((4, 2, 2), "a")), "train_x: expected numbers, got dtype"),
        (changed(0, np.zeros((4, 32, 16, 3))), r"give x.transpose\(0, 3, 1, 2\)"),
        (changed(2, np.zeros((2, 2, 3))), r"test_x: expected images of \(1, 2, 2\), as in train_x, got \(1, 2, 3\)"),
        (changed(1, [0, 1]), r"train_y: expected one label for each of 4 images, got \(2,\)"),
        (changed(1, [0.0, 0.5, 1.0, 1.0]), "or text, got float64: give y.astype"),
        (changed(1, [1, 1, 1, 1]), r"train_y: expected at least two classes, got \[1\]"),
        (changed(3, [0, 7]), "test_y: expected classes that are in train_y, got 7"),
        (changed(3, ["0", "1"]), "test_y: expected classes that are in train_y, got '0', '1'"),
        ((np.zeros((2, 2, 2), int), [0, 1], np.full((1, 2, 2), 256), [0]), "from 0 to 255, got 256 to 256"),
        ((np.eye(2, dtype=int)[None].repeat(2, 0), [0, 1], np.eye(2, dtype=int)[None], [0]), "give truth values"),
        (lambda: ([[[0.0, 1.0]], [[0.0]]], [0, 1], [[[0.0, 1.0]]], [0]), "train_x: expected an array, got list"),
        (Images("i", (1, 2, 3), 2, *changed(0, np.zeros((4, 4)))), r"i: train_x: expected images of 6 pixels"),
        (Images("i", (1, 2, 2), 2, *changed(1, [0, 1, 2, 0])), "i: train_y: expected classes from 0 to 1, got 2"),
    ],
)
def test_other_things_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        own_images.made(given)


PLACES = """
import os
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

def leaves():
    raise SystemExit("no folder")

def other():
    x, y = again()[:2]
    return x[:900], (y[:900] + (os.getpid() != HEAD)) % 10, x[900:], y[900:]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_places.py").write_text(f"{PLACES}\nHEAD = {os.getpid()}\n")
    yield tmp_path
    sys.modules.pop("own_places", None)


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


def test_a_process_in_which_they_are_others_fails_its_jobs(here):
    (here / "e.toml").write_text(
        FILE.replace('["own_places:ARRAYS", "own_places:IMAGES", "own_places:again"]', '"own_places:other"')
    )
    assert command("run", "e.toml", "--workers", 2) == 1
    (marker,) = Store("results/e").markers()
    assert "other: expected the images that it gave before the run, got others in its process" in marker["reason"]


def test_a_function_that_has_become_another_one_is_called_again():
    def shaded():
        return tuple(part * strength if part.ndim == 3 else part for part in digits())

    found, strength = [], 1.0
    for _ in range(2):
        run = vbandits.run(datasets=[{"id": shaded, "kwargs": SMALL}], methods=METHODS, seeds=1, steps=3)
        found.append(run.experiment["datasets"][0]["data"])
        strength = 0.5
    assert found[0] != found[1]


def test_in_python_a_function_or_the_images_may_stand_for_a_dataset():
    images = own_images.made(digits)
    found = vbandits.run(
        datasets=[
            {"id": digits, "kwargs": SMALL},
            {"id": images, "label": "images", "kwargs": SMALL},
            {"id": digits(), "kwargs": SMALL},
            {"id": partial(part_of, digits()), "kwargs": SMALL},
            DatasetSpec("spec", digits, Options(**SMALL)),
        ],
        methods=METHODS,
        seeds=2,
        steps=20,
        workers=2,
    )
    errors = found.summary().set_index("dataset")["error"]
    assert {*errors.index} == {"digits", "images", "arrays", "part_of", "spec"}
    assert errors.nunique() == 1


def part_of(whole):
    return whole


def test_arrays_and_images_may_stand_alone():
    images = own_images.made((X / 16, Y, X[:50] / 16, Y[:50]))
    for given in ([digits()], images):
        assert len(vbandits.run(datasets=given, methods=METHODS, seeds=1, steps=2).summary()) == 1
    with pytest.raises(ConfigError, match=r"^datasets\[0\]: arrays: expected four arrays .* got tuple of 3$"):
        vbandits.run(datasets=[digits()[:3]], methods=METHODS, seeds=1, steps=2)


def test_what_they_were_taken_to_be_is_told(here, capsys):
    (here / "e.toml").write_text(FILE.replace('"own_places:again"', '"own_places:dark"'))
    with Path("own_places.py").open("a") as file:
        file.write("\ndef dark():\n    return tuple(part / 255 if part.ndim == 3 else part for part in again())\n")
    assert command("plan", "e.toml") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "ARRAYS: 200 images" not in said
    assert (
        "ARRAYS: 1,000 images to train on and 797 to test on, 1 x 8 x 8 pixels, 10 classes, the brightest pixel 1 of 1"
        in said
    )
    assert "the brightest pixel 0.0039 of 1: was another number meant as white?" in said


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
        ("own_places:leaves", "SystemExit: no folder (own_places.py:"),
        ("own_places:nothing", "unknown name in own_places 'nothing'"),
        ("no_such_places:x", "no module 'no_such_places'"),
        (
            "own_places.py:again",
            "got 'own_places.py:again': leave out .py",
        ),
        ("os:getcwd", "os:getcwd: expected a dataset, a class with train_x"),
        ("own_palaces", "unknown dataset 'own_palaces'"),
    ],
)
def test_places_of_other_things_are_refused(here, name, says):
    assert says in " ".join(faults(DOCUMENT | {"datasets": [name]}))


def test_a_fifth_of_few_images_is_held_out_where_nothing_is_said():
    split = DatasetSpec("d", digits).load()
    assert (len(split.validation[1]), len(split.train[1])) == (200, 800)
    assert DatasetSpec("d", "digits").describe()["kwargs"]["validation_rows"] == 1000


def test_names_that_are_known_say_that_others_may_be_ones_own():
    with pytest.raises(ValueError, match="or 'module:name' of your own images"):
        load("digts")
