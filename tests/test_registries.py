"""Nothing drops out of the tests: what is not quick is slow, and every name of a registry has a quick test."""

from pathlib import Path

import pytest

from tests.registries import MADE, cells, cover, over, product
from vbandits.presets import PRESETS
from vbandits.registry import ACQUISITIONS, ENVIRONMENTS, POSTERIORS


def is_slow(param):
    return any(mark.name == "slow" for mark in param.marks)


def test_an_entry_is_quick_or_slow():
    (names, params), _ = over("name", {"a": 1, "b": 2, "c": 3}, quick=["b"]).args, MADE.pop()
    assert names == "name"
    assert [(param.values, is_slow(param)) for param in params] == [(("a",), True), (("b",), False), (("c",), True)]
    with pytest.raises(ValueError, match="z"):
        over("name", ["a", "b"], quick=["z"])


def test_a_product_has_each_row_and_column_among_the_quick():
    mark = product(("one", "other"), "abcde", [1, 2, 3], valid=lambda one, other: (one, other) != ("a", 1))
    MADE.pop()
    quick = [param.values for param in mark.args[1] if not is_slow(param)]
    assert len(mark.args[1]) == 14
    assert len(quick) == 5
    assert {one for one, _ in quick} == {*"abcde"}
    assert {other for _, other in quick} == {1, 2, 3}
    assert cover([("a", 1)]) == [0]


def test_quick_and_slow_tests_together_are_the_whole():
    cells("name", [("a",)], quick=[("a",)])
    for every, quick, params in MADE:
        assert [param.values for param in params] == every
        assert [param.values for param in params if not is_slow(param)] == [cell for cell in every if cell in quick]
        assert quick


@pytest.mark.parametrize("registry", [PRESETS, POSTERIORS, ACQUISITIONS, ENVIRONMENTS])
def test_every_name_has_a_quick_test(registry, collected):
    if {item.path for item in collected} != {*Path(__file__).parent.glob("test_*.py")}:
        pytest.skip("only when all tests are collected")
    quick = [item for item in collected if hasattr(item, "callspec") and not item.get_closest_marker("slow")]
    values = {value for item in quick for value in item.callspec.params.values() if isinstance(value, str)}
    assert [name for name in registry if name not in values] == []
