"""A run that is disturbed at random moments leaves the tables of one that was not; at length: python -m tests.chaos."""

import sys

import pytest

from tests import chaos

SEED = 2010
"""Of a round with much in it: a full disk, signals to the head, damaged files, a clock that jumps, a report."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_disturbed_run_leaves_the_tables_of_an_undisturbed_one():
    assert sum(chaos.play(1, SEED).values()) >= 4
