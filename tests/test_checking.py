"""Annotations are checked while tests run: wrong types, wrong shapes, and axes that do not agree within a call."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from tests.checking import checked
from vbandits.likelihoods import at_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHER: Any = "no number"


@checked
def scaled(x: Float[Tensor, "R N"], by: Float[Tensor, " N"], power: float = 1.0) -> Float[Tensor, "R N"]:
    return x * by**power


@checked
def wrong(x: Float[Tensor, "R N"]) -> Float[Tensor, "R N"]:
    return x.mT


@checked
def outer(offset: int) -> "Callable[[int], int]":
    @checked
    def inner(value: int) -> int:
        return value + offset if offset else OTHER

    return inner


@checked
def unknown(figure: "Figure", count: int) -> "list[Figure]":
    return [figure] * count


@checked
def parts(x: Float[Tensor, "R N"] | None, *rest: Float[Tensor, " N"], **named: int) -> list[Float[Tensor, " N"]]:
    return [*rest]


@checked
def counted(limit: int) -> Iterator[int]:
    yield from range(limit)


@checked
def tabled(tables: Mapping[tuple[str, str], pd.DataFrame]) -> int:
    return len(tables)


@checked
@dataclass(frozen=True)
class Point:
    x: float
    at: Float[Tensor, " N"]

    @property
    @checked
    def size(self) -> int:
        return OTHER if self.x else 2

    @classmethod
    @checked
    def of(cls, x: float) -> "Point":
        return cls(x, torch.ones(2))


@checked
@dataclass(frozen=True)
class Named(Point):
    @checked
    def moved(self, by: Float[Tensor, " N"]) -> "Named":
        return Named(self.x, self.at + by)


ONES = torch.ones(3, 2)


def test_what_is_right_passes():
    assert torch.equal(scaled(ONES, torch.full((2,), 3.0), 2), ONES * 9)  # a whole number where a real one is expected
    assert torch.equal(scaled(torch.ones(5, 4), by=torch.ones(4)), torch.ones(5, 4))  # every call has its own axes
    assert outer(1)(2) == 3
    assert outer(5)(2) == 7  # the checks of one inner function do not hold the variables of another
    assert unknown("anything", 2) == ["anything"] * 2
    assert len(parts(None, torch.ones(2), torch.ones(2), count=3)) == 2
    assert [*counted(3)] == [0, 1, 2]
    assert tabled({1: 2}) == 1  # as configured
    assert Point.of(2).at.shape == (2,)
    assert Named(1.0, torch.ones(3)).moved(torch.ones(3)).at.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda: scaled(ONES, torch.ones(3)),
        lambda: scaled(ONES.int(), torch.ones(2)),
        lambda: scaled(ONES, torch.ones(2), "2"),
        lambda: scaled(torch.ones(2), torch.ones(2)),
        lambda: wrong(ONES),
        lambda: outer("1"),
        lambda: outer(1)("2"),
        lambda: outer(0)(2),
        lambda: unknown(None, "2"),
        lambda: unknown(None, None),
        lambda: parts(ONES, torch.ones(2), torch.ones(3)),
        lambda: parts(None, count="3"),
        lambda: counted("3"),
        lambda: tabled([]),
        lambda: Point("1", torch.ones(2)),
        lambda: Point(1.0, torch.ones(2, 2)),
        lambda: Point.of(2).size,
        lambda: Named("1", torch.ones(2)),
        lambda: Named(1.0, torch.ones(2)).moved(torch.ones(2).int()),
    ],
)
def test_what_is_wrong_is_refused(call):
    outer(1)(2)  # the first of the inner functions is checked, and so are those after it
    with pytest.raises(TypeError, match=r"violat|Type-check error"):
        call()


def test_the_library_is_checked():
    values, output = torch.ones(2, 5, 3, 4), torch.zeros(2, 3).long()
    assert at_output(values, output).shape == (2, 5, 3)
    with pytest.raises(TypeError, match="violat"):
        at_output(values, torch.zeros(1, 3).long())


def test_a_checked_function_looks_as_it_did():
    assert scaled.__name__ == "scaled"
    assert scaled.__module__ == __name__
    assert scaled.__annotations__["power"] is float
