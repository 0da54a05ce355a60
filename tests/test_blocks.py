"""Replicas some at a time: all of them, in their order, never one alone; and products that are the same for one."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vbandits.blocks import blocks, rows_of, times, values_of


@given(replicas=st.integers(1, 300), size=st.integers(0, 400))
def test_blocks_are_even_and_none_is_of_one_replica(replicas, size):
    found = [range(replicas)[block] for block in blocks(replicas, size)]
    assert [replica for block in found for replica in block] == [*range(replicas)]
    sizes = [len(block) for block in found]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(replicas, max(size, 2))
    assert max(sizes) < 2 * max(size, 2) or len(sizes) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sides", [*itertools.product((1, 7, 50, 100), (1, 5, 64), (1, 4, 630))])
def test_a_model_alone_has_the_bits_that_it_has_beside_others(sides, dtype):
    rows, inner, columns = sides
    random = torch.Generator().manual_seed(0)
    made = [torch.randn(3, *shape, dtype=dtype, generator=random) for shape in ((rows, inner), (inner, columns))]
    bias = torch.randn(3, 1, columns, dtype=dtype, generator=random)
    laid = itertools.product(*([part, part.mT.contiguous().mT] for part in made))
    for (x, weight), shift in itertools.product(laid, (None, bias)):
        whole = times(x, weight, shift)
        torch.testing.assert_close(whole, x @ weight + (0 if shift is None else shift))
        for model in range(3):
            own = slice(model, model + 1)
            assert torch.equal(times(x[own], weight[own], None if shift is None else shift[own]), whole[own])


@pytest.mark.parametrize("groups", [(), (1,), (3,)])
@pytest.mark.parametrize("features", [1, 2, 7])
@pytest.mark.parametrize("lie", ["whole", "part", "shared", "columns", "reversed", "odd"])
def test_rows_and_values_are_those_of_an_index(groups, features, lie):
    replicas, count = 4, 9
    buffer = torch.randn(replicas, count + 3, 2 * features)
    x = {
        "whole": buffer[:, :count, :features].contiguous(),
        "part": buffer[:, :, :features].contiguous()[:, 2 : count + 2],
        "shared": buffer[:1, :count, :features].contiguous().expand(replicas, -1, -1),
        "columns": buffer[:, :count, ::2],
        "reversed": buffer[:, :count, :features].transpose(1, 2).contiguous().transpose(1, 2),
        "odd": torch.randn(replicas * (count * features + 1)).as_strided(
            (replicas, count, features), (count * features + 1, features, 1)
        ),
    }[lie]
    index = torch.randint(count, (5, *groups, replicas)).movedim(0, -1)  # in another order in memory
    replica = torch.arange(replicas).unsqueeze(1)
    assert torch.equal(rows_of(x, index), x[replica, index])
    assert torch.equal(values_of(x[:, :, 0], index), x[:, :, 0][replica, index])
    assert torch.equal(rows_of(x[:, :0], index[..., :0]), x[:, :0][replica, index[..., :0]])
