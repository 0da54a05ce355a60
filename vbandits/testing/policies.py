"""The laws of a policy, each a function that takes one as runs do: its class, a policy that has not played, or a
`vbandits.PolicySpec` with what it is made from and its parameters."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from vbandits.agents.policy import PolicySpec
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.named import name_of
from vbandits.testing import expect
from vbandits.testing.laws import SEEDS, laws

FORM = ObservationSpec(3, 4, arm_features=2)
MASKED = ObservationSpec(3, 4, arm_features=2, masked=True)
"""What is observed has all that can be: a policy looks at what it needs."""
STEPS, LATE = 40, 5
OWN = (
    "draw every random number from np.random.default_rng(seed), with the seed that it is made with (of a batched one a "
    "generator for each of its `seeds`), and keep all that changes in self"
)


def it_plays_arms(policy: Any) -> None:
    """Law: it can be made, `act` returns an arm (batched: one for each seed), and `observe` takes its outcome, at once
    or some decisions later."""
    for late in (0, LATE):
        play(policy, SEEDS, late=late)


def it_never_plays_an_arm_that_is_not_available(policy: Any) -> None:
    """Law: where `observation.mask` leaves some arms alone, it plays one of these."""
    play(policy, SEEDS, MASKED)


def the_same_seeds_give_the_same_again(policy: Any) -> None:
    """Law: the same seeds, contexts and rewards give the same arms, whatever else has drawn random numbers."""
    expect.same_again("the same seeds to give the same arms again", lambda: play(policy, SEEDS), OWN)


def a_seed_is_the_same_alone_and_in_a_block(policy: Any) -> None:
    """Law: a seed's arms are the same alone as beside other seeds."""
    expect.same_alone(lambda seeds: play(policy, seeds), OWN)


def predictions_change_nothing(policy: Any) -> None:
    """Law: `predict`, if there is one, gives finite means and standard deviations above 0, and what the policy does
    next does not depend on having been asked."""
    if not _spec(policy).player(SEEDS[:1], FORM, STEPS).predicts:
        raise SkipTest("it predicts nothing")
    silent, asked = play(policy, SEEDS), play(policy, SEEDS, predicting=True)
    mend = "draw no random number and remember nothing in predict"
    expect.same("the same arms with and without predictions being asked for", silent, asked, mend)


LAWS = laws(globals())


def play(
    policy: Any, seeds: tuple[int, ...], form: ObservationSpec = FORM, late: int = 0, predicting: bool = False
) -> dict[str, Tensor]:
    """Returns the arms [R, T] of a short run on made-up numbers, which are each seed's own."""
    with _accepted():
        player = _spec(policy).player(seeds, form, STEPS)
    random, waiting, arms = [np.random.default_rng(seed) for seed in seeds], deque(), []
    for step in range(STEPS):
        seen = _observation(random, form)
        with _accepted():
            arms.append(player.act(seen))
            if predicting:
                one = Observation.of({name: part.unsqueeze(1) for name, part in seen.items()})
                player.beliefs(one, arms[-1].unsqueeze(1), [step])
                player.marginals(one)
        pay = np.array([own.normal(size=form.arms) for own in random])
        waiting.append(torch.from_numpy(pay)[torch.arange(len(seeds)), arms[-1]])
        with _accepted():
            if len(waiting) > late:
                player.observe(waiting.popleft())
                player.learn()
    return {"act": torch.stack(arms, 1)}


def _observation(random: list[np.random.Generator], form: ObservationSpec) -> dict[str, Tensor]:
    context = np.array([own.normal(size=form.features) for own in random], np.float32)
    arms = np.array([own.normal(size=(form.arms, form.arm_features)) for own in random], np.float32)
    parts = {"context": torch.from_numpy(context), "arms": torch.from_numpy(arms)}
    if form.masked:
        mask = np.array([own.random(form.arms) < 0.4 for own in random])
        mask[range(len(random)), [own.integers(form.arms) for own in random]] = True
        parts["mask"] = torch.from_numpy(mask.astype(np.int8))
    return parts


def _spec(policy: Any) -> PolicySpec:
    return policy if isinstance(policy, PolicySpec) else PolicySpec(name_of(policy), policy)


@contextmanager
def _accepted() -> Iterator[None]:
    """Makes what a run would refuse, or what the policy raises, an AssertionError."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise AssertionError(str(error)) from error
