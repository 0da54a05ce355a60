"""Which settings of a method are tried, and what they are called."""

import math
from collections import Counter

import numpy as np
import pytest

from vbandits.experiment import sweeps
from vbandits.tuning import search


@pytest.mark.parametrize("sizes", [(8,), (2, 4), (9,), (3, 3), (4, 3, 2), (2, 2, 2, 2), (5, 4, 3, 2), (30, 2)])
def test_so_many_different_settings_are_chosen_always_the_same_and_every_value_about_as_often(sizes):
    axes = {f"field{axis}": [f"value{i}" for i in range(size)] for axis, size in enumerate(sizes)}
    chosen = search.choose(axes, 8)
    assert chosen == search.choose(axes, 8)
    assert len({tuple(setting.values()) for setting in chosen}) == len(chosen) == 8
    for field, values in axes.items():
        counts = Counter(setting[field] for setting in chosen)
        assert set(counts) <= set(values)
        times = [counts[value] for value in values]
        assert max(times) <= math.ceil(8 / len(values))
        assert min(times) >= math.floor(8 / len(values))


def test_a_hypercube_is_no_diagonal():
    """Values of two axes go together by chance alone: for eight values each, the ranks are hardly correlated."""
    chosen = search.choose({"a": list(range(8)), "b": list(range(8)), "c": list(range(8))}, 8)
    ranks = np.array([list(setting.values()) for setting in chosen])
    assert (np.abs(np.corrcoef(ranks.T)[np.triu_indices(3, 1)]) < 0.9).all()


def test_a_grid_that_is_hardly_larger_is_filled_up_with_what_is_rare():
    axes = {name: [0, 1] for name in "abcd"}
    chosen = search.choose(axes, 15)
    assert len({tuple(setting.values()) for setting in chosen}) == 15
    assert all(Counter(setting[name] for setting in chosen)[0] in (7, 8) for name in "abcd")


def test_edges_are_the_ends_of_numbers_alone():
    axes = {"rate": [0.3, 0.01, 0.1], "kind": ["a", "b"], "mixed": [True, "arms"], "switch": [False, True], "one": [1]}
    setting = {"rate": 0.3, "kind": "a", "mixed": True, "switch": True, "one": 1}
    assert search.edges(axes, setting) == ["rate"]
    assert search.edges(axes, {**setting, "rate": 0.1}) == []


def test_a_setting_in_few_words():
    assert sweeps.text({"posterior.rank": 5, "optimizer.learning_rate": 0.01, "standardize": True}) == (
        "rank=5 learning_rate=0.01 standardize=true"
    )
    assert sweeps.text({"posterior.kind": "a", "rule.kind": "b"}) == "posterior.kind=a rule.kind=b"
    assert sweeps.text({"schedule.forgetting": {"kind": "window", "rows": 300}}) == "forgetting=(kind=window rows=300)"
    assert sweeps.text({"a.x": 1, "b.y": 2}, marked=["b.y"]) == "x=1 y=2*"


def test_a_section_keeps_its_fields_unless_its_kind_changes():
    entry = {"posterior": {"kind": "ibvi", "rank": 3}}
    assert search.changed(entry, {"posterior": {"prior_scale": 2.0}})["posterior"] == {
        **entry["posterior"],
        "prior_scale": 2.0,
    }
    assert search.changed(entry, {"posterior": {"kind": "elbo"}})["posterior"] == {"kind": "elbo"}
    assert search.changed(entry, {"network.hidden": [8]})["network"] == {"hidden": [8]}
    assert entry == {"posterior": {"kind": "ibvi", "rank": 3}}
