"""Runs that are disturbed at random moments leave the tables of one that was not; at length: python -m tests.chaos."""

import sys

import pytest

from tests import chaos


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_disturbed_runs_leave_the_tables_of_an_undisturbed_one():
    assert sum(chaos.play(3, seed=0).values()) >= 3
