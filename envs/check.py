"""Will my environment work, and what does it lack? The same questions for any source, answered in plain words."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Dict

from vbandits.envs.active.user import MASK
from vbandits.envs.bandit import CONTRACT
from vbandits.envs.check_report import CheckReport, words
from vbandits.envs.gymnasium_check import passes_gymnasium
from vbandits.envs.spaces import BANDIT, POOL, STREAM, Observation, ObservationSpec, family, next_available
from vbandits.envs.spec import EnvironmentSpec, resolve
from vbandits.envs.together import problems
from vbandits.metrics import regret as regrets
from vbandits.source_hash import reference

STEPS, ACTIVE_STEPS = 64, 200
"""Of a bandit, and at most of an episode of active learning."""
SEEDS = (0, 1)


def check(
    source: Any, kwargs: Mapping[str, Any] | None = None, data_dir: str | os.PathLike[str] | None = None
) -> CheckReport:
    """Says whether runs accept an environment, and what it lacks for results that can be repeated and understood.

    A bandit or active learning: which of the two is told by what is observed.

    Args:
        source: an id, "module:id", "module:name", or a class or function, as in `EnvironmentSpec`.
        kwargs: handed to the environment.
        data_dir: where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
    """
    report = CheckReport(reference(source))
    try:
        resolve(source)
    except Exception as error:
        report.add("failed", f"cannot be found: {words(error)}")
        return report
    where = None if data_dir is None else os.fspath(data_dir)
    spec = EnvironmentSpec("check", source, dict(kwargs or {}), data_dir=where)
    if not _can_be_made(spec, report):
        return report
    passes_gymnasium(spec.single(), report)
    try:
        played = play(spec, SEEDS)
    except Exception as error:
        report.add("failed", f"play of {len(SEEDS)} seeds: {words(error)}")
        return report
    report.works = True
    ends = f"{played.episodes} episodes ended" if played.episodes else "no episode ended"
    text = f"{len(played.rewards)} steps with {len(SEEDS)} seeds: observations and rewards are as they should be"
    report.add("passed", f"{text}; {ends}")
    _can_be_repeated(spec, played, report)
    kind = family(played.environment)
    if kind == BANDIT:
        _pays_differently(played, report)
        _has_regret(played, report)
    else:
        _has_rows(played.environment, report)
    if kind == POOL:
        _refuses(spec, report)
    return report


class Play(NamedTuple):
    """A short run.

    Attributes:
        environment: that was played, closed.
        seen: observations with all their parts and masks of actions [T + 1, R, ...].
        rewards: [T, R].
        regret: [T, R]; NaN where it is not known.
        episodes: how many ended.
    """

    environment: Any
    seen: np.ndarray
    rewards: np.ndarray
    regret: np.ndarray
    episodes: int

    def same(self, place: int, other: "Play", other_place: int) -> bool:
        """Returns whether the seed at one place saw what that at a place of another play saw."""
        mine = (self.seen[:, place], self.rewards[:, place], self.regret[:, place])
        others = (other.seen[:, other_place], other.rewards[:, other_place], other.regret[:, other_place])
        return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(mine, others, strict=True))


def play(spec: EnvironmentSpec, seeds: tuple[int, ...]) -> Play:
    """Plays an environment through the adapter that runs use: steps of a bandit, or an episode of active learning.

    All seeds choose by the same chance, and so differ only where the environment does.
    """
    environment = spec.open(len(seeds))
    try:
        bandit, episodes = family(environment) == BANDIT, 0
        choose = _every_arm(environment) if bandit else _by_chance(environment)
        observation, info = environment.reset(seed=list(seeds))
        seen, rewards, regret = [_flat(observation, info)], [], []
        while len(rewards) < (STEPS if bandit else ACTIVE_STEPS) and (bandit or not episodes):
            observation, reward, terminated, truncated, info = environment.step(choose(observation, info))
            seen.append(_flat(observation, info))
            rewards.append(_array(reward))
            regret.append(_array(regrets.from_info(info)) if bandit else np.full(len(seeds), np.nan))
            episodes += int((terminated | truncated).sum())
        paid, lost = np.stack(rewards), np.stack(regret)
        if not environment.metadata.get("signed_regret", False):
            lost = regrets.check(lost.T, paid.T).T
        return Play(environment, np.stack(seen), paid, lost, episodes)
    finally:
        environment.close()


def _every_arm(environment: Any) -> Callable[[Any, Any], torch.Tensor]:
    """Returns what chooses every arm as soon as possible, in an order of chance."""
    arms = int(environment.single_action_space.n)
    random = np.random.default_rng(0)
    order = iter(np.concatenate([random.permutation(arms) for _ in range(-(-STEPS // arms))]).tolist())

    def choose(observation: Any, info: Any) -> torch.Tensor:
        arm, mask = next(order), Observation.of(observation).mask
        return torch.full((environment.num_envs,), arm) if mask is None else next_available(arm, mask)

    return choose


def _by_chance(environment: Any) -> Callable[[Any, Any], torch.Tensor]:
    """Returns what chooses actions that may be taken, by chance."""
    randoms = [np.random.default_rng(0) for _ in range(environment.num_envs)]
    batch = getattr(environment, "batch", 1)

    def choose(observation: Any, info: Any) -> torch.Tensor:
        free = [np.flatnonzero(mask) for mask in _array(info[MASK])]
        chosen = [random.choice(rows, batch, replace=False) for random, rows in zip(randoms, free, strict=True)]
        return torch.from_numpy(np.stack(chosen)).reshape((-1,) if batch == 1 else (-1, batch))

    return choose


def _flat(observation: Any, info: Any) -> np.ndarray:
    """Returns an observation with all its parts, and the mask of actions in the info, float64 [R, ...]."""
    parts = [observation] if isinstance(observation, torch.Tensor) else [*observation.values()]
    parts += [info[MASK]] if MASK in info else []
    return np.concatenate([_array(part).astype(np.float64).reshape(len(part), -1) for part in parts], 1)


def _array(values: torch.Tensor) -> np.ndarray:
    return values.cpu().numpy().copy()


def _can_be_made(spec: EnvironmentSpec, report: CheckReport) -> bool:
    """Returns whether there is an environment whose spaces are those of a bandit or of active learning."""
    try:
        environment = spec.single()
    except Exception as error:
        report.add("failed", f"cannot be made: {words(error)}")
        return False
    report.add("passed", "found, and can be made")
    found = problems(environment)
    for problem in found:
        report.add("failed", f"spaces: {problem}")
    if not found:
        report.add(
            "passed", f"spaces: {SPACES[family(environment)](environment.observation_space, environment.action_space)}"
        )
    report.close(environment)
    return not found


def _bandit_spaces(seen: Any, actions: Any) -> str:
    """Returns what can be done and seen, in words."""
    form = ObservationSpec.from_spaces(seen, actions)
    context = seen.spaces.get("context") if isinstance(seen, Dict) else seen
    parts = [f"a bandit with {actions.n} actions" + (f", counted from {actions.start}" if actions.start else "")]
    if context is not None:
        flat = f" (of shape {context.shape}, flattened)" if len(context.shape or ()) != 1 else ""
        parts.append(f"contexts of {_numbers(form.features)}{flat}")
    if form.arm_features:
        parts.append(f"arms of {_numbers(form.arm_features)} each")
    if form.masked:
        parts.append("a mask of those available")
    return "; ".join(parts)


def _numbers(count: int) -> str:
    return f"{count} number{'s' * (count > 1)}"


def _pool_spaces(seen: Any, actions: Any) -> str:
    batch = seen["queried"].shape[0]
    return f"a pool of {seen['labels'].shape[0]:,} rows, of which {batch} at a time can be asked for"


def _stream_spaces(seen: Any, actions: Any) -> str:
    return f"a stream of rows of {_numbers(seen['context'].shape[0])}, {actions.n} actions, the last of which asks"


SPACES = {BANDIT: _bandit_spaces, POOL: _pool_spaces, STREAM: _stream_spaces}


def _can_be_repeated(spec: EnvironmentSpec, first: Play, report: CheckReport) -> None:
    """Compares runs that should be equal: a second one, one of a seed alone; and two seeds, which should not be."""
    again, alone = play(spec, SEEDS), play(spec, SEEDS[:1])
    what, then = "contexts", "more seeds tell no more than one"
    if family(first.environment) != BANDIT:
        what, then = "labels", "seeds differ in their learners alone"
    if not first.same(0, again, 0):
        report.add(
            "advice",
            f"repeatable: the same seed and actions gave other {what} or rewards the second time, so results cannot be "
            "reproduced: draw all random numbers from self.np_random, after super().reset(seed=seed)",
        )
    elif not (first.same(1, again, 1) and first.same(0, alone, 0)):
        report.add(
            "advice",
            f"repeatable: a seed gave other {what} or rewards beside another seed than alone, so results depend on "
            "which seeds run together: keep state and random numbers in the environment, not in its class or module",
        )
    elif first.same(0, first, 1):
        report.add(
            "advice",
            f"repeatable: seeds {SEEDS[0]} and {SEEDS[1]} gave the same {what} and rewards, so {then}: let "
            "reset(seed=...) decide the problem",
        )
    else:
        report.add("passed", f"repeatable: the same seed and actions give the same {what} and rewards")


def _pays_differently(first: Play, report: CheckReport) -> None:
    paid = np.unique(first.rewards)
    if len(paid) == 1:
        report.add(
            "advice",
            f"rewards: all {first.rewards.size} were {paid[0]:.4g}, whatever was done: there is nothing to learn, and "
            "agents will differ by chance alone. Let the reward depend on the action, at once and not only later",
        )


def _has_regret(first: Play, report: CheckReport) -> None:
    known, total = int(np.isfinite(first.regret).sum()), first.regret.size
    if known == total:
        report.add("passed", f"regret: known at all {total} steps, never negative, at most {first.regret.max():.4g}")
        return
    told = sum((Counter(one.told) for one in getattr(first.environment, "sub_environments", ())), Counter())
    absent = [key for key in CONTRACT[1:] if not told[key]]
    if known:
        text = f"known at {known} of {total} steps only, so cumulative regret will be empty from the first gap on"
    elif len(absent) == 2:
        text = "the environment offers no expected_reward/optimal_expected_reward: it will be reported by reward alone"
    elif absent:
        other = next(key for key in CONTRACT[1:] if key not in absent)
        text = f"the environment offers {other} but no {absent[0]}: it will be reported by reward alone"
    else:
        text = "what the environment offers is never known at the same step: it will be reported by reward alone"
    report.add(
        "missing",
        f"regret: {text}. Where they are known, return the expected rewards of the action taken and of the best one in "
        "the info of every step, or info['regret'], their difference",
    )


def _has_rows(environment: Any, report: CheckReport) -> None:
    rows, test = len(environment.features), len(environment.test_features)
    kind = f"{environment.classes} classes" if environment.classes else "a regression"
    size = environment.features.shape[1]
    report.add("passed", f"rows: {rows:,} to ask about and {test:,} to be evaluated on, of {size} numbers; {kind}")
    if environment.targets is None:
        report.add(
            "missing",
            "targets: the environment does not offer the true labels of its rows, without which "
            "learners are evaluated on the test set alone",
        )


def _refuses(spec: EnvironmentSpec, report: CheckReport) -> None:
    """Says whether a pool refuses a labelled row, and a row twice in one action."""
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
            f"refusals: {' and '.join(accepted)} can be bought, so a faulty learner would go unnoticed: raise a "
            "ValueError",
        )
    else:
        report.add("passed", f"refusals: {' and '.join(tries)} cannot be bought")
