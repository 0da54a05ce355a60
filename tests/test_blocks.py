"""Replicas some at a time: all of them, in their order, never one alone."""

from hypothesis import given
from hypothesis import strategies as st

from vbandits.blocks import blocks


@given(replicas=st.integers(1, 300), size=st.integers(0, 400))
def test_blocks_are_even_and_none_is_of_one_replica(replicas, size):
    found = [range(replicas)[block] for block in blocks(replicas, size)]
    assert [replica for block in found for replica in block] == [*range(replicas)]
    sizes = [len(block) for block in found]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(replicas, max(size, 2))
    assert max(sizes) < 2 * max(size, 2) or len(sizes) == 1
