"""The laws of a decision rule (`vbandits.types.Rule`), each a function that takes one."""

import torch
from torch import Tensor

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.dry_run import dry_run
from vbandits.agents.rules import UNAVAILABLE, asks_for_mean
from vbandits.envs.spaces import ObservationSpec
from vbandits.posteriors.linear import Linear
from vbandits.testing import expect
from vbandits.testing.laws import accepted, laws
from vbandits.types import Rule

REPLICAS, ARMS = 64, 5


def it_chooses_an_arm_for_every_replica(rule: Rule) -> None:
    """Law: `choose` gives int64 [R] from 0 to A - 1, whatever R, A and the two uniform numbers."""
    draws = getattr(rule, "draws", None)
    sound = isinstance(draws, int) and draws >= 0
    expect.that(sound, "draws, a number of draws of at least 0", draws, "set it in the class")
    for replicas, arms in ((1, 2), (REPLICAS, ARMS)):
        values, random = _values(rule, replicas, arms)
        for numbers in (random, torch.zeros_like(random), torch.full_like(random, 1 - 2**-53)):
            _chosen(rule, values, numbers)


def it_never_chooses_an_arm_that_is_not_available(rule: Rule) -> None:
    """Law: an arm whose value is -inf in every draw is not chosen; at least one arm has another value."""
    values, random = _values(rule)
    there = torch.rand(REPLICAS, ARMS, generator=torch.Generator().manual_seed(1)) < 0.4
    there[torch.arange(REPLICAS), torch.arange(REPLICAS) % ARMS] = True
    there[:ARMS] = torch.eye(ARMS, dtype=torch.bool)  # each arm alone
    chosen = _chosen(rule, values.where(there.unsqueeze(1), UNAVAILABLE), random)
    wrong = int((~there.gather(1, chosen.unsqueeze(1))).sum())
    got = f"{wrong} of {REPLICAS} whose value is -inf in every draw"
    mend = "leave them out before anything else: the mean, spread or range of -inf is NaN, which is the largest of all"
    expect.that(not wrong, "arms that are available", got, mend)


def it_decides_by_its_arguments_alone(rule: Rule) -> None:
    """Law: the same values and uniform numbers give the same arms at every call."""
    mend = "take chance from `random`, the two uniform numbers of each replica, and remember nothing"
    expect.same_again("the same arms at every call", lambda: {"choose": _chosen(rule, *_values(rule))}, mend)


def a_replica_decides_alone(rule: Rule) -> None:
    """Law: a replica's arm is the same alone and beside others."""
    values, random = _values(rule)
    together = _chosen(rule, values, random)
    alone = torch.cat([_chosen(rule, values[r : r + 1], random[r : r + 1]) for r in range(REPLICAS)])
    mend = "look at the values and numbers of each replica by itself"
    expect.same("a replica's arm to be the same alone", {"choose": together}, {"choose": alone}, mend)


def arms_have_no_order(rule: Rule) -> None:
    """Law: where arms change places, choices change with them; where chance decides, how often it chooses which."""
    replicas, values = 4000, _values(rule, 1)[0]
    random = torch.rand(replicas, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    one, other = (
        _chosen(rule, part.expand(replicas, -1, -1), random).bincount(minlength=ARMS)
        for part in (values, values.flip(2))
    )
    same = (one - other.flip(0)).abs().max() < 0.06 * replicas  # five standard deviations of the difference
    got = f"frequencies {one.tolist()}, and {other.flip(0).tolist()} where the arms stand in reverse"
    mend = "choose by values[:, :, arm], and return the arm's place in the order given"
    expect.that(same, "arms to be chosen by their values", got, mend)


def it_leaves_its_arguments_as_they_were(rule: Rule) -> None:
    """Law: values and uniform numbers are not written into; the agent goes on to use them."""
    values, random = _values(rule)
    given = {"values": values, "random": random}
    expect.untouched("what `choose` is given to be", given, lambda: _chosen(rule, values, random))


def it_plays_in_an_agent(rule: Rule) -> None:
    """Law: an agent that has this rule and an exact posterior passes what every agent is asked before a run."""
    with accepted():
        dry_run(Agent(AgentSpec("it", Linear(), rule), (0,), ObservationSpec(2, ARMS, masked=True), 10))


LAWS = laws(globals())


def _values(rule: Rule, replicas: int = REPLICAS, arms: int = ARMS) -> tuple[Tensor, Tensor]:
    """Returns values [R, S, A] and uniform numbers [R, 2]."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(replicas, rule.draws + asks_for_mean(rule), arms, generator=random)
    return values, torch.rand(replicas, 2, generator=random, dtype=torch.float64)


def _chosen(rule: Rule, values: Tensor, random: Tensor) -> Tensor:
    """Returns the arms chosen [R], once they are seen to be arms."""
    replicas, _, arms = values.shape
    chosen = rule.choose(values, random)
    expect.choices("choose", chosen, (replicas,), "[R]", arms, "values are [R, S, A]: choose along the last")
    return chosen
