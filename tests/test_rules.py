"""What rules make of draws, beyond the laws that all of them keep."""

import pytest
import torch

from tests.helpers import play, preset
from vbandits.agents.replay import Replay
from vbandits.agents.rules import UNAVAILABLE, Thompson
from vbandits.types import Task


@pytest.mark.parametrize("temper", [0.0, 0.3, 1.0])
def test_a_tempered_draw_is_nearer_to_the_mean(temper):
    random = torch.Generator().manual_seed(0)
    draw, mean = torch.randn(2, 50, 4, generator=random)
    draw[:, 1] = mean[:, 1] = UNAVAILABLE
    chosen = Thompson(temper).choose(torch.stack([draw, mean], 1), torch.rand(50, 2, generator=random))
    nearer = temper * draw + (1 - temper) * mean
    nearer[:, 1] = UNAVAILABLE
    assert torch.equal(chosen, nearer.argmax(1))
    assert torch.equal(chosen, draw.argmax(1)) == (temper == 1)


def test_an_agent_gives_a_tempered_rule_the_mean():
    """Without any of the deviation Thompson sampling is greedy, whatever is drawn."""

    def actions(**rule):
        spec = preset("neural-linear", rule=rule, optimizer={"anchor": 0.0})  # its noise is measured with draws
        return play(spec, (0, 1, 2))["action"].tolist()

    greedy = actions(kind="greedy")
    assert actions(kind="thompson", temper=0.0) == greedy
    assert actions(kind="thompson", temper=1.0) != greedy


def test_arms_in_equal_parts_do_not_care_how_often_each_was_played():
    def scaling(repeats):
        task, rewards = Task((0, 1), 1, 3), torch.tensor([[1.0, 5.0], [2.0, 4.0], [7.0, 9.0]]).double()
        replay = Replay(task, 100, "arms")
        for arm, count in enumerate(repeats):
            for reward in rewards[arm].repeat(count):
                replay.decide(torch.zeros(2, 1), torch.full((2,), arm))
                replay.add(torch.stack([reward, reward]))
        return replay.scaling()

    balanced, skewed = scaling((1, 1, 1)), scaling((1, 4, 20))
    torch.testing.assert_close(skewed.y_shift, balanced.y_shift)
    torch.testing.assert_close(skewed.y_scale, balanced.y_scale)
    everything = torch.tensor([1.0, 5.0, 2.0, 4.0, 7.0, 9.0]).double()
    torch.testing.assert_close(balanced.y_shift, everything.mean().expand(2, 1))
    torch.testing.assert_close(balanced.y_scale, everything.std(correction=0).expand(2, 1))
