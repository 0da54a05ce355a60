"""The state of objects as data: everything comes back exactly, and what does not fit is refused with its path."""

import copy
import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vbandits.errors import ConfigError
from vbandits.state import Known, put, take
from vbandits.state.files import read, write
from vbandits.streams import RepeatedStream, Stream
from vbandits.types import Scaling

KNOWN = Known(records=(Scaling,))


class Thing:
    def __init__(self, **parts):
        vars(self).update(parts)


def there_and_back(thing, new, tmp_path):
    write(tmp_path / "thing.safetensors", take(thing, KNOWN), {"name": "thing"})
    state, about = read(tmp_path / "thing.safetensors")
    assert about == {"name": "thing"}
    return put(new, state, KNOWN)


VALUES = {
    "nothing": None,
    "number": 0.1,
    "large": 2**200,
    "truth": True,
    "infinite": -float("inf"),
    "text": "β",
    "tuple": (1, (2.5, None), [3]),
    "deque": deque([1, 2], maxlen=2),
    "dict": {1: "one", "two": 2, (3, "x"): [0.1]},
    "set": {3, 1},
    "scalar": np.float32(0.1),
    "array": np.arange(6, dtype=np.int16).reshape(2, 3).T,
    "truths": np.array([True, False]),
    "empty": np.zeros((2, 0)),
    "half": torch.tensor([1.5, -2], dtype=torch.float16),
    "brain": torch.tensor([[1.5]], dtype=torch.bfloat16),
    "long": torch.tensor(2**62),
    "nan": torch.tensor([float("nan"), -0.0]),
    "no rows": torch.zeros(3, 0, 2, dtype=torch.float64),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back(name, tmp_path):
    value = VALUES[name]
    found = there_and_back(Thing(value=value), Thing(value=None), tmp_path).value
    assert type(found) is type(value)
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        if isinstance(value, torch.Tensor):
            assert found.stride() == value.stride()
            found, value = found.double().numpy(), value.double().numpy()
        assert found.tobytes() == np.asarray(value).tobytes()
    else:
        assert repr(found) == repr(value)


def test_what_shares_memory_shares_it_again(tmp_path):
    matrix = torch.arange(12.0).reshape(3, 4)
    leaf = matrix[:, 1:3].detach().requires_grad_()
    thing = Thing(row=matrix[1], turned=matrix.mT, leaf=leaf, whole=matrix, again=matrix, wide=torch.ones(1).expand(5))
    thing.me = thing
    found = there_and_back(thing, Thing(**dict.fromkeys(vars(thing))), tmp_path)
    assert found.me is found
    assert found.again is found.whole
    found.whole[1, 2] = 100
    assert found.row[2] == found.turned[2, 1] == found.leaf[1, 1] == 100
    assert found.leaf.requires_grad
    assert found.leaf.is_leaf
    assert not found.row.requires_grad
    assert found.turned.stride() == (1, 4)
    assert found.wide.stride() == (0,)


def test_random_numbers_go_on(tmp_path):
    def made():
        return Thing(
            dice=[np.random.default_rng(0), np.random.Generator(np.random.MT19937(0))],
            coins=torch.Generator().manual_seed(0),
            stream=Stream((1, 2), "x"),
            repeated=RepeatedStream((1, 2), "x", device="cpu", dtype=torch.float32),
        )

    def numbers(thing):
        drawn = [own.normal(size=3) for own in thing.dice] + [torch.rand(2, generator=thing.coins)]
        return [torch.as_tensor(part) for part in (*drawn, thing.stream.normal(7), thing.repeated.normal(5))]

    one = made()
    for _ in range(700):  # more than a block
        numbers(one)
    two = there_and_back(one, made(), tmp_path)
    for _ in range(3):
        assert all(map(torch.equal, numbers(one), numbers(two)))


def test_a_network_with_its_optimiser_goes_on(tmp_path):
    def made():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        return Thing(net=net, trained=torch.optim.AdamW(net.parameters()), schedule=lambda: 1)

    def trains(thing, seed):
        for step in range(3):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed + step))
            thing.trained.zero_grad()
            thing.net(x).square().mean().backward()
            thing.trained.step()
        return [*thing.net.parameters(), *thing.net.buffers()]

    one = made()
    trains(one, 0)
    two = there_and_back(one, made(), tmp_path)
    assert all(map(torch.equal, trains(one, 9), trains(two, 9)))


def test_one_scaling_stays_one(tmp_path):
    scaling = Scaling.identity(1, 2)
    found = there_and_back(Thing(a=scaling, b=[scaling]), Thing(a=None, b=[]), tmp_path)
    assert found.a is found.b[0]
    assert torch.equal(found.a.x_scale, scaling.x_scale)


@dataclass
class Sized:
    grows = ("rows",)
    not_saved = ("cache",)
    weights: torch.Tensor
    rows: torch.Tensor
    cache: object = None
    count: int = 0


Sized.__module__ = "vbandits.sized"  # as strict as with classes of ours


def sized(**parts):
    return Sized(**{"weights": torch.ones(2, 3), "rows": torch.zeros(2, 0), **parts})


def test_rows_grow_and_caches_stay_behind(tmp_path):
    found = there_and_back(sized(rows=torch.ones(2, 5), cache=lambda: 1, count=3), sized(cache="new"), tmp_path)
    assert (found.rows.shape, found.cache, found.count) == ((2, 5), "new", 3)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"weights": torch.ones(2, 4)}, r"in\.weights: expected a tensor \[2, 3\], got \[2, 4\]"),
        ({"weights": torch.ones(2, 3).double()}, r"in\.weights: expected a tensor of torch.float32, got float64"),
        ({"weights": [1.0]}, r"in\.weights: expected tensor, as a new one has it, got list"),
        ({"weights": None}, r"in\.weights: expected tensor, as a new one has it, got NoneType"),
        ({"rows": torch.zeros(3, 1)}, r"in\.rows: expected a tensor \[2, 0\], got \[3, 1\]"),
        ({"count": "many"}, r"in\.count: expected int, as a new one has it, got str"),
    ],
)
def test_what_does_not_fit_is_refused(parts, message):
    with pytest.raises(ConfigError, match=message):
        put(Thing(**{"in": sized()}), take(Thing(**{"in": sized(**parts)}), KNOWN), KNOWN)


def test_what_a_new_object_has_not_is_refused():
    one = sized()
    one.more = 1
    with pytest.raises(ConfigError, match="expected count, rows, weights, got more too"):
        put(sized(), take(one, KNOWN), KNOWN)
    with pytest.raises(ConfigError, match=r"own: expected what a new object has here or a record, got Thing"):
        put(Thing(own=None), take(Thing(own=Thing()), KNOWN), KNOWN)
    with pytest.raises(ConfigError, match="own: expected Thing, got Sized"):
        put(Thing(own=Thing()), take(Thing(own=sized()), KNOWN), KNOWN)


@pytest.mark.parametrize(
    "value", [object(), np.array(["a"]), open, Path("x"), iter([])], ids=lambda own: str(type(own))
)
def test_what_is_no_data_is_refused(value):
    with pytest.raises(ConfigError, match=r"parts\[0\]: expected"):
        put(Thing(parts=[]), take(Thing(parts=[value]), KNOWN), KNOWN)


def damages(content):
    """Yields trees that are not as they were saved."""
    for change in (
        {"memory": "other"},
        {"shape": [2, 3000]},
        {"offset": 5},
        {"offset": -1},
        {"stride": [3]},
        {"dtype": "float64"},
        {"dtype": "nn"},
        {"is": "magic"},
        {"is": "record", "class": "os:system"},
        {"is": "object", "class": "Popen", "of": {}},
        {"is": "same", "as": "nowhere"},
        {"is": "generator", "state": {"is": "dict", "class": "dict", "of": [["bit_generator", "Evil"]]}},
    ):
        tree = copy.deepcopy(content)
        tree["of"]["weights"] |= change
        yield tree
    yield from ([], {"is": "object"}, {"of": {}})


def test_a_damaged_tree_is_refused_and_nothing_else_happens():
    state = take(sized(), KNOWN)
    for tree in damages(state.tree):
        with pytest.raises(ConfigError):
            put(sized(), type(state)(tree, state.arrays), KNOWN)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "thing.safetensors"
    write(path, take(sized(), KNOWN), {})
    whole = path.read_bytes()
    read(path)
    damaged = [b"", whole[:7], whole[:-1], whole[: len(whole) // 2], whole + b"x", b"\x80\x04." + whole]
    damaged += [bytes(own ^ (place == at) for place, own in enumerate(whole)) for at in range(0, len(whole), 37)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"thing\.safetensors: expected"):
            read(path)
    with pytest.raises(ConfigError, match="missing"):
        read(tmp_path / "missing.safetensors")


def test_another_schema_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vbandits.state.files.SCHEMA", 2)
    write(tmp_path / "new.safetensors", take(sized(), KNOWN), {})
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="expected files of schema 1, got 2"):
        read(tmp_path / "new.safetensors")


def test_nothing_of_it_is_pickled():
    root = Path(__file__).parent.parent
    files = [*root.glob("vbandits/state/*.py"), *root.glob("agents/*.py"), root / "vbandits/files.py"]
    files += [root / "vbandits/experiment/checkpoints.py"]
    assert len(files) > 10
    for path in files:
        text = path.read_text()
        for word in ("pickle", "torch.load", "torch.save", "eval(", "exec(", "joblib", "allow_pickle", "import_module"):
            assert word not in text.replace(".eval()", ""), (path, word)
    assert json.loads("NaN") != json.loads("NaN")  # numbers that are not finite are texts in a tree
    assert take(Thing(value=float("nan")), KNOWN).tree["of"]["value"] == {"is": "float", "value": "nan"}
