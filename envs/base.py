"""Native problems, bandits first: gymnasium vector environments whose sub-environments run in lockstep, tensors on the
device."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from vbandits.data import memory
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.streams import generator

BLOCK = 256
"""Steps that a sub-environment makes ahead. A sub-environment's blocks have this length whatever the number of steps
or of sub-environments."""
Tensors = Tensor | dict[str, Tensor]
CONTEXTS, REWARDS = 256, 10
"""Of what is held out: contexts at most, and rewards of every arm in each of them."""


class Block(NamedTuple):
    """The next steps of one sub-environment, T of them; all of an environment's blocks have the same length.

    Attributes:
        contexts: [T, D], or the rows [T] of the environment's pool that are the contexts.
        expected: expected rewards of all arms [T, A].
        rewards: realised rewards of all arms [T, A].
        arms: features of the arms [T, A, F], where they have any.
        mask: which arms are available [T, A], where not all always are; at least one in each step.
    """

    contexts: np.ndarray
    expected: np.ndarray
    rewards: np.ndarray
    arms: np.ndarray | None = None
    mask: np.ndarray | None = None


class HeldOut(NamedTuple):
    """Contexts that are never played, N of them in every sub-environment, and what is true of them.

    Attributes:
        observed: contexts [R, N, D], features of arms [R, N, A, F] and masks [R, N, A], those that there are.
        expected: expected rewards of all arms, without noise [R, N, A].
        rewards: M independent rewards of each [R, M, N, A].
    """

    observed: Observation
    expected: np.ndarray
    rewards: np.ndarray


@dataclass
class Aside:
    """How a problem's twin differs from it: it yields contexts that are held out.

    Attributes:
        number: of the twin, of which each has rewards of its own for the same contexts.
        used: whether its contexts were drawn by what `NativeBandit.random` or `epochs.rows_of` gave.
        dated: whether anything asked for the steps that were played, so that they decide what is held out.
    """

    _played: int
    number: int = 0
    used: bool = False
    dated: bool = False

    @property
    def played(self) -> int:
        """Steps of the problem that were played; that it was asked for is noted in `dated`."""
        self.dated = True
        return self._played


class Native(VectorEnv):
    """A problem of ours: one sub-environment per seed, all in lockstep, tensors on the device.

    Attributes:
        family: the kind of problem: "bandit", or of active learning "pool" or "stream".
        shown: names of attributes that a single sub-environment has as well, tensors as arrays.
    """

    family: ClassVar[str] = "bandit"
    shown: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, num_envs: int, device: torch.device | str, observation: gymnasium.Space, action: gymnasium.Space
    ) -> None:
        """Takes the number of sub-environments R, and what is observed and done in each."""
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.single_observation_space, self.single_action_space = observation, action
        self.observation_space = batch_space(observation, num_envs)
        self.action_space = batch_space(action, num_envs)

    def _seeds(self, seed: int | Sequence[int] | None, *, started: bool) -> list[int] | None:
        """Returns one seed per sub-environment (an int counts up), or None to go on with what has started."""
        if seed is None and started:
            return None
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        seeds = [seed + index for index in range(self.num_envs)] if isinstance(seed, int) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected one seed for each of {self.num_envs} sub-environments, got {len(seeds)}")
        return seeds

    @classmethod
    def described(cls, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments that it is made with as a fingerprint holds them, before they are made plain.

        Of data in memory that is its kind: what it holds is told by the digest of `dataset` or `pool`.
        """
        return {name: memory.shown(value) for name, value in kwargs.items()}


class NativeBandit(Native):
    """A bandit that never ends, one sub-environment per seed. Subclasses write `blocks` and call `__init__` with the
    sizes. Where `blocks` takes its generators from `random`, agents are evaluated on `held_out` contexts as well.

    An episode has no end: `terminated` and `truncated` stay False, and the observation that `step` returns is the next
    context. `info` carries `expected_reward`, `optimal_expected_reward` and `optimal_action` of the action just taken,
    each [R]. Observations [R, D] are of `number_type` and rewards [R] float64, on `device`. Where arms have features or
    are not always available, observations are dicts with `context` [R, D], `arms` [R, A, F] and `mask` [R, A] (int8),
    those of them that there are. An arm that is not available pays what the worst available one is expected to pay.

    Attributes:
        number_type: of contexts and of features of arms; np.float64 in a subclass whose numbers need more digits than
            float32 has, as time stamps do, or float64 where the pool is.
        form: of the observations.
        aside: of a twin that yields what is held out; None while it is played.
        noisy_optimum: whether `info["regret"]` is the reward that the best arm (by expectation) would have paid in this
            step, less the reward: as some published numbers have it. It has the same mean, and may be negative.
    """

    number_type: Any = np.float32

    def __init__(
        self,
        num_envs: int,
        device: torch.device | str,
        *,
        features: int,
        arms: int,
        arm_features: int = 0,
        masked: bool = False,
        pool: np.ndarray | None = None,
        noisy_optimum: bool = False,
    ) -> None:
        """Takes the sizes D, A and F, and the pool [N, D] that all sub-environments gather their contexts from, if
        there is one.

        A pool of any number type is held once, on the device.
        """
        if pool is not None and pool.dtype == np.float64:
            self.number_type = np.float64
        self.noisy_optimum = noisy_optimum
        self.aside: Aside | None = None
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": [],
            "signed_regret": noisy_optimum,
        }
        self.features, self.arms = features, arms
        self.form = ObservationSpec(features, arms, arm_features, masked)
        super().__init__(num_envs, device, self.form.space(self.number_type), gymnasium.spaces.Discrete(arms))
        self._pool = None if pool is None else torch.from_numpy(pool).to(self.device)
        self._steps_of: list[Iterator[Block]] = []
        self._every = torch.arange(num_envs, device=self.device)
        self._arms = self._mask = None
        self._step = self._length = 0
        self._held: tuple[Sequence[int], HeldOut] | None = None  # of which seeds, where steps do not decide it

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yields one sub-environment's steps, block after block, for ever. `seed` decides everything."""
        raise NotImplementedError

    def random(self, seed: int, purpose: str) -> np.random.Generator:
        """Returns a seed's random numbers for "contexts", "rewards" (or another purpose), or for the "problem" itself.

        All but those of the problem are others where contexts are held out.
        """
        if self.aside is None or purpose == "problem":
            return generator(seed, f"environment {purpose}")
        if purpose == "rewards":
            return generator(seed, f"environment rewards held out {self.aside.number}")
        self.aside.used = True
        return generator(seed, f"environment {purpose} held out")

    def held_out(self, seeds: Sequence[int], played: int) -> HeldOut | None:
        """Returns contexts that are never played, the same ones at every call with the same seeds.

        What is true of them is so after a number of steps, if the problem changes. Of a dataset they are the rows that
        come last, without those that were played. None if there are none, or `blocks` does not use `random`.
        """
        if self._held is not None and self._held[0] == tuple(seeds):
            return self._held[1]
        twins = [copy.copy(self) for _ in range(REWARDS)]
        for number, twin in enumerate(twins):
            twin.aside = Aside(played, number)
        first, paid = [], []
        for seed in seeds:
            own = [twin._beginning(seed) for twin in twins]
            if own[0] is None or not all(twin.aside and twin.aside.used for twin in twins):
                return None
            first.append(own[0])
            paid.append([block.rewards for block in own])  # of the others no more is needed
        context = None
        if self.features and self._pool is None:
            context = self._stacked([block.contexts for block in first], self.number_type)
        elif self.features:
            context = self._gathered(self._stacked([block.contexts for block in first], np.int64))
        arms = self._stacked([block.arms for block in first], self.number_type) if self.form.arm_features else None
        mask = self._stacked([block.mask for block in first], np.int8).bool() if self.form.masked else None
        held = HeldOut(Observation(context, arms, mask), np.array([block.expected for block in first]), np.array(paid))
        if not any(twin.aside.dated for twin in twins if twin.aside):
            self._held = tuple(seeds), held
        return held

    def _beginning(self, seed: int) -> Any:
        """Returns the first steps of a sub-environment as one block, or None if there are none."""
        parts, count = [], 0
        for block in self.blocks(seed):
            parts.append(self._checked(block))
            count += len(block.expected)
            if count >= CONTEXTS:
                break
        if not count:
            return None
        return Block(*(None if own[0] is None else np.concatenate(own)[:CONTEXTS] for own in zip(*parts, strict=True)))

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensors, dict[str, Any]]:
        """Starts the problems of the given seeds, one per sub-environment (an int counts up); without seeds, goes on
        to the next context of the problems that are there."""
        seeds = self._seeds(seed, started=bool(self._steps_of))
        if seeds is None:
            self._advance()
        else:
            self._steps_of = [self.blocks(own) for own in seeds]
            self._refill()
        return self._observation(), {}

    def step(self, actions: Tensor) -> tuple[Tensors, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Plays `actions` [R] and goes on to the next contexts."""
        actions = torch.as_tensor(actions, device=self.device)
        reward = self._rewards[self._every, self._step, actions]
        expected = self._expected[:, self._step]
        if self._mask is not None:  # what is not available pays as the worst that is, which may be the best as well
            expected = expected.where(self._mask[:, self._step].bool(), -torch.inf)
        optimum = expected.max(1)
        info = {
            "expected_reward": self._expected[self._every, self._step, actions],
            "optimal_expected_reward": optimum.values,
            "optimal_action": optimum.indices,
        }
        if self.noisy_optimum:
            info["regret"] = self._rewards[self._every, self._step, optimum.indices] - reward
        self._advance()
        never = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        return self._observation(), reward, never, never, info

    def _observation(self) -> Tensors:
        context = self._contexts[:, self._step]
        if self._pool is not None:
            context = self._gathered(context)
        parts = {"context": context} if self.features else {}
        parts |= {
            name: part[:, self._step] for name, part in (("arms", self._arms), ("mask", self._mask)) if part is not None
        }
        return parts if self.form.nested else context

    def _gathered(self, rows: Tensor) -> Tensor:
        """Returns rows of the pool."""
        assert self._pool is not None
        return self._pool[rows].to(torch.float64 if self.number_type == np.float64 else torch.float32)

    def _advance(self) -> None:
        self._step += 1
        if self._step == self._length:
            self._refill()

    def _refill(self) -> None:
        self._step = 0
        blocks = [self._checked(next(blocks)) for blocks in self._steps_of]
        self._length = len(blocks[0].expected)
        kind = self.number_type if self._pool is None else np.int64
        self._contexts = self._stacked([block.contexts for block in blocks], kind)
        self._expected = self._stacked([block.expected for block in blocks], np.float64)
        self._rewards = self._stacked([block.rewards for block in blocks], np.float64)
        if self.form.arm_features:
            self._arms = self._stacked([block.arms for block in blocks], self.number_type)
        if self.form.masked:
            self._mask = self._stacked([block.mask for block in blocks], np.int8)
            available = self._mask.bool()
            worst = self._expected.where(available, torch.inf).amin(2, keepdim=True)
            self._expected, self._rewards = (part.where(available, worst) for part in (self._expected, self._rewards))

    def _checked(self, block: Block) -> Block:
        """Returns a block that has what the form says, and nothing else.

        Raises:
            ValueError: if it has not, or if no arm is available in some step.
        """
        form = self.form
        for name, part, told, size in (
            ("arms", block.arms, f"arm_features={form.arm_features}", form.arm_features),
            ("mask", block.mask, f"masked={form.masked}", int(form.masked)),
        ):
            if (part is not None) != bool(size):
                wanted, got = ("with", "none") if size else ("without", "some")
                raise ValueError(
                    f"{type(self).__name__}.blocks: expected blocks {wanted} {name}, as super().__init__ "
                    f"was given {told}, got {got}: change the one or the other"
                )
        if block.mask is not None and not np.any(block.mask, 1).all():
            step = int(np.argmin(np.any(block.mask, 1)))
            raise ValueError(
                f"{type(self).__name__}.blocks: expected a mask with at least one available arm in each "
                f"step, got none in step {step} of a block"
            )
        return block

    def _stacked(self, parts: Sequence[Any], kind: Any) -> Tensor:
        return torch.from_numpy(np.stack(parts).astype(kind, copy=False)).to(self.device)
