"""Values that do not fit a native environment's type hints are told in words, all at once; others pass as they are."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from vbandits.envs import Classification
from vbandits.envs.argument_types import type_errors
from vbandits.envs.check import check
from vbandits.envs.spec import EnvironmentSpec
from vbandits.envs.synthetic import LinearBandit

LINEAR = "vbandits/LinearBandit-v0"


class Odd:
    """A type that pydantic does not know."""


def hinted(
    size: int = 1,
    noise: float | Sequence[float] = 0.1,
    shape: tuple[int, int] = (1, 2),
    place: Path | None = None,
    name: str = "it",
    choice: Literal["x", "y"] = "x",
    flag: bool = True,
    odd: Odd | None = None,
    array: np.ndarray | None = None,
    function: Callable[..., Any] = len,
    bare=3,
) -> None:
    """Has a parameter of every sort."""


@pytest.mark.parametrize(
    "given",
    [
        {"size": 3, "noise": 2, "shape": [3, 4], "place": "a/b", "choice": "y", "flag": False},
        {"size": np.int64(3), "noise": np.float32(0.5), "shape": (3, 4), "place": Path("a/b")},
        {"noise": [1, 0.5]},
        {"noise": np.ones(3)},
        {"noise": float("inf")},
        {"odd": 3, "array": "abc", "bare": Odd(), "function": len, "name": Path("a")},
        {"size": Odd()},
        {"unknown": 3},
    ],
)
def test_what_fits_and_what_cannot_be_told_pass(given):
    assert type_errors(hinted, given) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"size": 2.5}, "size: expected a whole number, got 2.5"),
        ({"size": 2.0}, "size: expected a whole number, got 2.0"),
        ({"size": "2"}, "size: expected a whole number, got '2'"),
        ({"size": True}, "size: expected a whole number, got True"),
        ({"noise": "abc"}, "noise: expected a number or a list, got 'abc'"),
        ({"noise": None}, "noise: expected a number or a list, got None"),
        ({"noise": [0.1, "x"]}, "noise[1]: expected a number, got 'x'"),
        ({"name": 2}, "name: expected a text, got 2"),
        ({"choice": "z"}, "choice: expected 'x' or 'y', got 'z'"),
        ({"flag": "maybe"}, "flag: expected true or false, got 'maybe'"),
    ],
)
def test_what_does_not_fit_is_told_in_words(given, told):
    assert type_errors(hinted, given) == [told]


@pytest.mark.parametrize("source", [LINEAR, LinearBandit, functools.partial(LinearBandit, features=4)])
def test_all_faults_of_an_environment_are_told_at_once(source):
    spec = EnvironmentSpec("it", source, {"noise": "abc", "arms": 2.5, "wieghts": "cube"})
    for make in (lambda: spec.open(2), spec.single):
        with pytest.raises(ValueError, match=r"'wieghts'; did you mean 'weights'") as refused:
            make()
        assert "arms: expected a whole number, got 2.5; noise: expected a number or a list, got 'abc'" in str(
            refused.value
        )
    assert "arms: expected a whole number" in str(check(LINEAR, {"arms": "many"}))


def test_a_column_may_have_a_number_for_a_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("0,1,2\n3,5,0\n4,6,1\n5,7,0\n")
    given = {"dataset": str(path), "target": 2, "drop": [1]}
    opened = EnvironmentSpec("it", "vbandits/Classification-v0", given).open(1)
    assert isinstance(opened, Classification)
    assert opened.dataset.features.tolist() == [[3], [4], [5]]
    assert opened.dataset.class_names == ("0", "1")
    for wrong, told in ((3, "unknown target '3'"), (2.5, "target: expected a text or a whole number, got 2.5")):
        with pytest.raises(ValueError, match=told):
            EnvironmentSpec("it", "vbandits/Classification-v0", given | {"target": wrong}).open(1)
    with pytest.raises(ValueError, match=r"drop: expected a list, got 1: write \[1\]"):
        EnvironmentSpec("it", "vbandits/Classification-v0", given | {"drop": 1}).open(1)


def test_what_is_shown_is_what_the_user_gave():
    class Broken(Classification):
        def __init__(self, num_envs=1, device="cpu", *, stake=1.0, data_dir=None):
            raise OSError("no more")

    with pytest.raises(ValueError, match=r"with \{'stake': 2.0\}, got OSError: no more"):
        EnvironmentSpec("it", Broken, {"stake": 2.0}).open(1)
