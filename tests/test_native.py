"""A native bandit of one's own is told what its blocks lack or have too much."""

import re
from itertools import repeat

import numpy as np
import pytest

from vbandits.envs.base import Block, NativeBandit
from vbandits.envs.check import check

ARMS, MASK = np.ones((4, 3, 2)), np.ones((4, 3), bool)
CLOSED = MASK.copy()
CLOSED[2] = False


class Own(NativeBandit):
    """Says one thing of its arms, and yields another."""

    def __init__(self, num_envs=1, device="cpu", *, arm_features=0, masked=False, arms=None, mask=None):
        super().__init__(num_envs, device, features=1, arms=3, arm_features=arm_features, masked=masked)
        self.parts = arms, mask

    def blocks(self, seed):
        expected = np.random.default_rng(seed).normal(size=(4, 3))
        return repeat(Block(np.ones((4, 1)), expected, expected, *self.parts))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arm_features": 2}, "expected blocks with arms, as super().__init__ was given arm_features=2, got none"),
        ({"arms": ARMS}, "expected blocks without arms, as super().__init__ was given arm_features=0, got some"),
        ({"masked": True}, "expected blocks with mask, as super().__init__ was given masked=True, got none"),
        ({"mask": MASK}, "expected blocks without mask, as super().__init__ was given masked=False, got some"),
        ({"masked": True, "mask": CLOSED}, "at least one available arm in each step, got none in step 2 of a block"),
    ],
)
def test_blocks_hold_what_was_announced_or_are_refused(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Own(2, **given).reset(seed=[0, 1])
    report = check(Own, given)
    assert not report.works
    assert message in " ".join(line.text for line in report.lines if line.status == "failed")


@pytest.mark.parametrize("given", [{}, {"arm_features": 2, "arms": ARMS}, {"masked": True, "mask": MASK}])
def test_blocks_that_hold_what_was_announced_are_played(given):
    assert check(Own, given).works
