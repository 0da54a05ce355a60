"""Replicas some at a time: all of them, in their order, never one alone; and products that are the same for one."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vbandits.blocks import blocks, times


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
