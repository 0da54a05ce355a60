"""The laws of an environment, a bandit or active learning, each a function that takes one as runs do: an id,
"module:name", its class or a function that makes it, or a `vbandits.EnvironmentSpec` with its parameters."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from unittest import SkipTest

import gymnasium
import numpy as np
import torch
from torch import Tensor

from vbandits.envs.check import check
from vbandits.envs.spaces import BANDIT, family
from vbandits.envs.spec import EnvironmentSpec
from vbandits.testing import expect
from vbandits.testing.laws import SEEDS, laws

STEPS = 64
MANY = tuple(range(8))
CONTRACT = ("expected_reward", "optimal_expected_reward")
LOOKED_AT = 10
"""Actions whose outcomes are looked for in observations, at most."""
LEAK = 0.99
"""Correlation of what is observed with the noise of a reward, beyond which the one tells the other."""
Source = str | Callable[..., Any] | EnvironmentSpec
OWN = (
    "draw every random number from self.np_random, after super().reset(seed=seed), and keep it and all that changes in "
    "self: not in the class, the module or NumPy's global generator"
)


def it_can_be_played(source: Source) -> None:
    """Law: `vbandits check` says that it works: spaces are those of a bandit or of active learning, observations and
    rewards are in them and finite, regret is never negative where it is told, and a pool sells no label twice."""
    spec = spec_of(source)
    report = check(spec.source, spec.kwargs, spec.data_dir)
    failed = [line.text for line in report.lines if line.status == "failed"]
    failed += [line.text for line in report.lines if line.status == "advice" and line.text.startswith("refusals")]
    works = report.works and not failed
    expect.that(works, "an environment that runs accept", "; ".join(failed), "see `vbandits check`")


def the_same_seeds_give_the_same_again(source: Source) -> None:
    """Law: the same seeds and actions give the same observations and rewards, whatever else has drawn numbers."""
    expect.same_again("the same seeds and actions to give the same again", lambda: play(source, SEEDS).values(), OWN)


def a_seed_is_the_same_alone_and_in_a_block(source: Source) -> None:
    """Law: a seed's observations and rewards are the same alone as beside other seeds."""
    expect.same_alone(lambda seeds: play(source, seeds).values(), OWN, axis=1)


def seeds_differ(source: Source) -> None:
    """Law: seeds are problems of their own, or more of them tell no more than one. Of active learning the start is
    looked at: what is known, or the row that has arrived."""
    found = play(source, SEEDS)
    parts = (found.seen, found.rewards) if found.family == BANDIT else (found.seen[:1],)
    same = all(torch.equal(part[:, :1].expand_as(part).nan_to_num(), part.nan_to_num()) for part in parts)
    expected = "other contexts, rewards or first labels for other seeds"
    expect.that(not same, expected, "the same", "let reset(seed=...) decide")


def expected_rewards_are_the_means_of_rewards(source: Source) -> None:
    """Law: if `info["expected_reward"]` is told, rewards differ from it by chance alone: the sum of the differences, of
    each action or in proportion to what was expected, is within six standard deviations. Regret is made of it."""
    found = told(source, MANY)
    arms = found.actions.squeeze(2)
    parts = {f"action {arm}": (arms == arm).double() for arm in arms.unique().tolist()}
    for what, weight in {**parts, "all actions, the more the more was expected": found.expected}.items():
        noise, size = found.noise * weight, weight.abs().sum()
        near = noise.sum().abs() <= 6 * noise.square().sum().sqrt() + 1e-6 * size
        expected = f"rewards about the expected_reward that is told, of {what}"
        mend = "tell in info the mean of the reward of the very action taken, in the very context that was seen"
        expect.that(near, expected, f"a mean difference of {(noise.sum() / size).item():.4g}", mend)


def the_optimum_is_that_of_an_action(source: Source) -> None:
    """Law: if both are told, `optimal_expected_reward` is the largest `expected_reward` of the actions that can be
    taken: less is a negative regret, more one that nobody can avoid."""
    plays = [told(source, SEEDS, arm, 1) for arm in range(_arms(source))]
    optimum = plays[0].optimum[0]
    if not optimum.isfinite().all():
        raise SkipTest("no optimal_expected_reward is told")
    best = torch.stack([found.expected[0] for found in plays]).amax(0)
    worst, is_best = int((optimum - best).abs().argmax()), torch.allclose(best, optimum, rtol=1e-6, atol=1e-6)
    where = f"{optimum[worst]:.6g} in the first step of seed {SEEDS[worst]}"
    mend = "tell the largest of the expected rewards in the context that was seen, and only over available actions"
    expect.that(is_best, f"an action with the optimal_expected_reward, {where}", f"{best[worst]:.6g} at best", mend)


def observations_do_not_tell_outcomes(source: Source) -> None:
    """Law: nothing that is observed before an action tells the noise of its reward, of whatever action; nor does what
    is observed after it tell that of the actions not taken. Without noise there is nothing to tell."""
    arms = range(_arms(source))[:LOOKED_AT]
    plays = [told(source, SEEDS[:2], arm) for arm in arms]
    seen, noises = plays[0].seen, [found.noise.flatten() for found in plays]
    before, after = seen[:-1].flatten(0, 1), seen[1:].flatten(0, 1)
    for arm, noise in zip(arms, noises, strict=True):
        _expect_no_leak(before, noise, f"the reward of action {arm} before it is taken")
        if arm and _correlation(noises[0].unsqueeze(1), noise).max() < LEAK:  # one noise for all actions is no secret
            _expect_no_leak(after, noise, f"the reward of action {arm} where action 0 was taken")


LAWS = laws(globals())


class Play(NamedTuple):
    """A short run of R seeds, float64.

    Attributes:
        family: "bandit", or "pool" or "stream" of active learning.
        seen: observations, with masks [T + 1, R, D].
        actions: [T, R, b].
        rewards: [T, R].
        expected: reward of the action taken [T, R], of what `told` gives.
        optimum: largest expected reward [T, R], likewise; NaN where it is not told.
    """

    family: str
    seen: Tensor
    actions: Tensor
    rewards: Tensor
    expected: Tensor = torch.empty(0)
    optimum: Tensor = torch.empty(0)

    @property
    def noise(self) -> Tensor:
        """Rewards less what was expected [T, R]."""
        return self.rewards - self.expected

    def values(self) -> dict[str, Tensor]:
        """Returns what is seen and paid, by name."""
        return {"observations": self.seen, "rewards": self.rewards}


class Listening(gymnasium.Wrapper):
    """Keeps what the `info` of every step tells of expected rewards, NaN where it tells nothing."""

    def __init__(self, environment: gymnasium.Env) -> None:
        super().__init__(environment)
        self.told: list[list[float]] = []

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Plays the action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.told.append([float(np.asarray(info.get(key, np.nan)).item()) for key in CONTRACT])
        return observation, reward, terminated, truncated, {}


def spec_of(source: Source) -> EnvironmentSpec:
    """Returns an environment as runs declare it."""
    return source if isinstance(source, EnvironmentSpec) else EnvironmentSpec("it", source)


def play(source: Source, seeds: Sequence[int], arm: int | None = None, steps: int = STEPS) -> Play:
    """Plays so many steps, or an episode of active learning, through the very adapter that runs use.

    Every step takes an arm, or the next that is available; by default one by chance, that no other seeds change.
    """
    with contextlib.closing(spec_of(source).open(len(seeds))) as environment:
        kind, batch = family(environment), getattr(environment, "batch", 1)
        chances = [np.random.default_rng(0 if kind == BANDIT else seed) for seed in seeds]
        observation, mask = _observed(environment, *environment.reset(seed=list(seeds)))
        seen, taken, paid, ended = [observation], [], [], False
        while len(paid) < steps and not ended:
            available = [np.flatnonzero(own) for own in mask]
            if arm is None:
                chosen = [random.choice(own, batch, False) for random, own in zip(chances, available, strict=True)]
            else:
                chosen = [own[[own.searchsorted(arm) % len(own)]] for own in available]
            taken.append(torch.from_numpy(np.stack(chosen)))
            played = environment.step(taken[-1][:, 0] if batch == 1 else taken[-1])
            observation, reward, terminated, truncated, info = played
            observation, mask = _observed(environment, observation, info)
            seen.append(observation)
            paid.append(reward.cpu().double().clone())
            ended = kind != BANDIT and bool((terminated | truncated).any())
    return Play(kind, torch.stack(seen), torch.stack(taken), torch.stack(paid))


def told(source: Source, seeds: Sequence[int], arm: int | None = None, steps: int = STEPS) -> Play:
    """Returns a play of a bandit with what `info` told of expected rewards.

    Raises:
        SkipTest: if it does not tell them: pytest and unittest then say that the law could not be looked at.
    """
    _arms(source)
    lone: list[Listening] = []

    def listening() -> Listening:
        lone.append(Listening(spec_of(source).single()))
        return lone[-1]

    found = play(listening, seeds, arm, steps)
    expected, optimum = torch.tensor([one.told for one in lone], dtype=torch.float64).unbind(2)
    if not expected.isfinite().all():
        raise SkipTest("no expected_reward is told at every step")
    return found._replace(expected=expected.T, optimum=optimum.T)


def _arms(source: Source) -> int:
    """Returns the number of actions of a bandit."""
    with contextlib.closing(spec_of(source).single()) as environment:
        if family(environment) != BANDIT:
            raise SkipTest("active learning pays no rewards")
        return int(environment.action_space.n)


def _observed(environment: Any, observation: Any, info: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Returns an observation with all its parts and the mask [R, D], and which actions can be taken [R, A]."""
    parts = dict(observation) if isinstance(observation, Mapping) else {"observation": observation}
    shown = [*parts.values(), *([info["action_mask"]] if "action_mask" in info else [])]
    mask = info.get("action_mask", parts.get("mask"))
    if mask is None:
        mask = torch.ones(environment.num_envs, int(environment.single_action_space.n))
    return torch.cat([part.cpu().double().reshape(len(part), -1) for part in shown], 1), mask.cpu()


def _expect_no_leak(seen: Tensor, noise: Tensor, what: str) -> None:
    found = _correlation(seen, noise)
    place = int(found.argmax())
    got = f"number {place} of the observation, whose correlation with its noise is {found[place]:.4f}"
    expect.that(found[place] < LEAK, f"observations that do not tell {what}", got, "leave it out of the observation")


def _correlation(seen: Tensor, noise: Tensor) -> Tensor:
    """Returns the absolute correlation of each number that is seen [n, D] with the noise [n]; 0 if one is constant."""
    centred, own = seen - seen.mean(0), noise - noise.mean()
    sizes = centred.square().sum(0).sqrt() * own.square().sum().sqrt()
    varies = sizes > 1e-12
    return ((centred * own.unsqueeze(1)).sum(0).abs() / sizes.where(varies, 1)).where(varies, 0)
