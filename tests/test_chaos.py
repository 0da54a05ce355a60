"""A run that is disturbed at random moments leaves the tables of one that was not; at length: python -m tests.chaos."""

import subprocess
import sys

import pytest

from tests import chaos

SEED = 2010
"""Of a round with much in it: a full disk, signals to the head, damaged files, a clock that jumps, a report."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_disturbed_run_leaves_the_tables_of_an_undisturbed_one():
    assert sum(chaos.play(1, SEED).values()) >= 4


@pytest.mark.parametrize("read", ["time.time()", "time.time_ns() / 1e9"])
def test_the_clock_of_a_disturbed_run_jumps(tmp_path, read):
    disturbed = chaos.Round(tmp_path, 0)

    def now() -> float:
        command = [sys.executable, "-c", f"import time; print({read})"]
        return float(subprocess.run(command, env=disturbed.environment, capture_output=True, check=True).stdout)

    before = now()
    disturbed.hours.write_text(str(-2 * 3600))
    assert -7200 <= now() - before < -3600
