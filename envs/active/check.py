"""Will my active learning work, and what does it lack? What `envs.check` asks where labels are for sale."""

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

from vbandits.envs.active.lane import MASK
from vbandits.envs.active.spaces import POOL, family
from vbandits.envs.findings import CheckReport, words
from vbandits.envs.spec import EnvironmentSpec, open_problem

STEPS = 200
"""Actions that are played at most."""
SEEDS = (0, 1)


class Comparable(gymnasium.Wrapper):
    """An environment for gymnasium's own checker, which knows neither masks nor that NaN is NaN.

    An action that may not be taken becomes the next one that may, and NaN among labels a number.
    """

    def __init__(self, environment: gymnasium.Env) -> None:
        super().__init__(environment)
        self._mask: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._shown(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Plays the action, or the nearest that may be taken."""
        observation, reward, terminated, truncated, info = self.env.step(self._possible(action))
        return self._shown(observation, info), reward, terminated, truncated, info

    def _possible(self, action: Any) -> Any:
        if self._mask is None:
            return action
        chosen, free = [], np.flatnonzero(self._mask).tolist()
        for wanted in np.atleast_1d(action).tolist():
            left = [place for place in free if place not in chosen] or [wanted]
            chosen.append(next((place for place in left if place >= wanted), left[0]))
        return np.array(chosen, np.int64) if np.ndim(action) else np.int64(chosen[0])

    def _shown(self, observation: Any, info: Any) -> Any:
        mask = info.get(MASK) if isinstance(info, dict) else None
        self._mask = None if mask is None else np.array(mask)
        if not isinstance(observation, dict):
            return observation
        labels = {
            name: np.array(np.nan_to_num(part))
            for name, part in observation.items()
            if name in ("labels", "label") and isinstance(part, np.ndarray)
        }
        return observation | labels


class Play(NamedTuple):
    """A short run.

    Attributes:
        seen: observations with the masks, of each step [R, ...].
        contexts: what does not depend on actions: rows that arrived, or, at first alone, labels that are known.
        rewards: [T, R].
        ended: whether the episode did.
        pool: whether it was one.
    """

    seen: list[np.ndarray]
    contexts: list[np.ndarray]
    rewards: np.ndarray
    ended: bool
    pool: bool


def spaces(environment: Any) -> str:
    """Returns what can be bought and seen, in words."""
    seen, actions = environment.observation_space, environment.action_space
    if family(environment) == POOL:
        batch = seen["queried"].shape[0]
        return f"a pool of {seen['labels'].shape[0]:,} rows, of which {batch} at a time can be asked for"
    return f"a stream of rows of {seen['context'].shape[0]} numbers, {actions.n} actions, the last of which asks"


def examine(spec: EnvironmentSpec, report: CheckReport) -> bool:
    """Plays an environment of active learning and adds what is found; returns whether runs accept it."""
    try:
        play = _play(spec, SEEDS)
    except Exception as error:
        report.add("failed", f"a play of at most {STEPS} actions in {len(SEEDS)} lanes: {words(error)}")
        return False
    ends = "the episode ends" if play.ended else "the episode goes on"
    report.add(
        "passed",
        f"{len(play.rewards)} actions in {len(SEEDS)} lanes: observations, masks and rewards are as "
        f"they should be; then {ends}",
    )
    _has_rows(spec, report)
    _can_be_repeated(spec, play, report)
    if play.pool:
        _refuses(spec, report)
    return True


def _play(spec: EnvironmentSpec, seeds: tuple[int, ...]) -> Play:
    """Plays through the very adapter that runs use, actions that may be taken, by chance of each seed's own."""
    environment = open_problem(spec, len(seeds))
    try:
        randoms = [np.random.default_rng(seed) for seed in seeds]
        observation, info = environment.reset(seed=list(seeds))
        seen, contexts, rewards, ended = [_flat(observation, info)], [_inputs(observation)], [], False
        while len(rewards) < STEPS and not ended:
            chosen = [
                random.choice(np.flatnonzero(mask), getattr(environment, "batch", 1), replace=False)
                for random, mask in zip(randoms, info[MASK].cpu().numpy(), strict=True)
            ]
            actions = torch.from_numpy(np.stack(chosen))
            single = getattr(environment, "batch", 1) == 1
            observation, reward, terminated, truncated, info = environment.step(actions[:, 0] if single else actions)
            seen.append(_flat(observation, info))
            contexts.append(_inputs(observation))
            rewards.append(reward.cpu().numpy().copy())
            ended = bool((terminated | truncated).any())
        return Play(seen, contexts, np.stack(rewards), ended, environment.family == POOL)
    finally:
        environment.close()


def _flat(observation: dict[str, torch.Tensor], info: dict[str, torch.Tensor]) -> np.ndarray:
    """Returns an observation with its mask, float64 [R, ...]."""
    parts = [*observation.values(), info[MASK]]
    return np.concatenate([part.cpu().double().numpy().reshape(len(part), -1) for part in parts], 1)


def _inputs(observation: dict[str, torch.Tensor]) -> np.ndarray:
    """Returns what does not depend on actions: the context [R, D], or the labels that are known [R, N]."""
    return observation["context" if "context" in observation else "labels"].cpu().double().numpy()


def _has_rows(spec: EnvironmentSpec, report: CheckReport) -> None:
    environment = open_problem(spec, 1)
    rows, test = len(environment.features), len(environment.test_features)
    kind = f"{environment.classes} classes" if environment.classes else "a regression"
    size = environment.features.shape[1]
    report.add("passed", f"rows: {rows:,} to ask about and {test:,} to be judged on, of {size} numbers; {kind}")
    if environment.targets is None:
        report.add(
            "missing",
            "targets: the environment does not offer the true labels of its rows, without which "
            "learners are judged on the test set alone",
        )
    environment.close()


def _can_be_repeated(spec: EnvironmentSpec, first: Play, report: CheckReport) -> None:
    """Compares runs that should be equal: a second one, one of a lane alone; and two seeds, which should not be."""
    again, alone = _play(spec, SEEDS), _play(spec, SEEDS[:1])
    told = first.contexts[:1] if first.pool else first.contexts
    if not _same(first, again, 0):
        report.add(
            "advice",
            "repeatable: the same seed and actions gave other labels or rewards the second time, so "
            "results cannot be reproduced: draw all random numbers from self.np_random, after "
            "super().reset(seed=seed)",
        )
    elif not (_same(first, again, 1) and _same(first, alone, 0)):
        report.add(
            "advice",
            "repeatable: a seed gave other labels or rewards beside another lane than alone, so "
            "results depend on which seeds run together: keep state and random numbers in the "
            "environment, not in its class or module",
        )
    elif all(np.array_equal(step[0], step[1], equal_nan=True) for step in told):
        report.add(
            "advice",
            f"repeatable: seeds {SEEDS[0]} and {SEEDS[1]} start from the same labels or rows, so "
            "seeds differ in their learners alone: let reset(seed=...) decide",
        )
    else:
        report.add("passed", "repeatable: the same seed and actions give the same labels and rewards")


def _same(one: Play, other: Play, lane: int) -> bool:
    steps = zip(one.seen, other.seen, strict=False)
    return (
        len(one.seen) == len(other.seen)
        and np.array_equal(one.rewards[:, lane], other.rewards[:, lane])
        and all(np.array_equal(a[lane], b[lane], equal_nan=True) for a, b in steps)
    )


def _refuses(spec: EnvironmentSpec, report: CheckReport) -> None:
    """Says whether a labelled row, and a row twice in one action, are refused."""
    environment = spec.single()
    _, info = environment.reset(seed=SEEDS[0])
    mask = np.asarray(info[MASK])
    free, batch = np.flatnonzero(mask), environment.observation_space["queried"].shape[0]
    tries = {"a row without a mark in info['action_mask']": [np.flatnonzero(mask == 0)[0], *free[: batch - 1]]}
    if batch > 1:
        tries["a row twice in one action"] = [free[0], *free[: batch - 1]]
    accepted = []
    for what, rows in tries.items():
        environment.reset(seed=SEEDS[0])
        try:
            environment.step(np.array(rows) if batch > 1 else np.int64(rows[0]))
        except Exception:
            continue
        accepted.append(what)
    environment.close()
    if accepted:
        report.add(
            "advice",
            f"refusals: {' and '.join(accepted)} can be bought, so a faulty learner would go "
            "unnoticed: raise a ValueError",
        )
    else:
        report.add("passed", f"refusals: {' and '.join(tries)} cannot be bought")
