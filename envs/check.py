"""Will my environment work, and what does it lack? The same questions for any source, answered in plain words."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Dict

from vbandits.envs.active import check as active
from vbandits.envs.active.spaces import BANDIT, family
from vbandits.envs.findings import CheckReport, close, passes_gymnasium, words
from vbandits.envs.lanes import CONTRACT, GymnasiumLanes
from vbandits.envs.spaces import Form, Observed, next_available
from vbandits.envs.spec import EnvironmentSpec, resolve, unplayable
from vbandits.metrics.regret import from_info
from vbandits.source_hash import reference

STEPS = 64
SEEDS = (0, 1)


def check(
    source: Any, kwargs: Mapping[str, Any] | None = None, data_dir: str | os.PathLike[str] | None = None
) -> CheckReport:
    """Says whether runs accept an environment, and what it lacks for regret and for results that can be repeated.

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
    kind = _can_be_made(spec, report)
    if kind is None:
        return report
    if kind != BANDIT:
        passes_gymnasium(lambda: active.Comparable(spec.single()), report)
        report.works = active.examine(spec, report)
        return report
    passes_gymnasium(spec.single, report)
    play = _can_be_played(spec, report)
    if play is None:
        return report
    report.works = True
    _can_be_repeated(spec, play, report)
    _has_regret(play, report)
    return report


class Play(NamedTuple):
    """A short run, and what the environment told of the regret.

    Attributes:
        contexts: with features of arms and mask, where there are any [T + 1, R, ...].
        rewards: [T, R].
        regret: [T, R].
        told: how often each key of the contract was in `info`.
        episodes: how many ended.
    """

    contexts: np.ndarray
    rewards: np.ndarray
    regret: np.ndarray
    told: dict[str, int]
    episodes: int


def _can_be_made(spec: EnvironmentSpec, report: CheckReport) -> str | None:
    """Returns the kind of problem, or None if there is none."""
    try:
        environment = spec.single()
    except Exception as error:
        report.add("failed", f"cannot be made: {words(error)}")
        return None
    report.add("passed", "found, and can be made")
    found, kind = unplayable(environment), family(environment)
    for problem in found:
        report.add("failed", f"spaces: {problem}")
    if not found:
        report.add("passed", f"spaces: {_spaces(environment) if kind == BANDIT else active.spaces(environment)}")
    close(environment, report)
    return None if found else kind


def _spaces(environment: Any) -> str:
    """Returns what can be done and seen, in words."""
    actions, space = environment.action_space, environment.observation_space
    form = Form.from_spaces(space, actions)
    context = space.spaces.get("context") if isinstance(space, Dict) else space
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


def _can_be_played(spec: EnvironmentSpec, report: CheckReport) -> Play | None:
    what = f"{STEPS} steps in {len(SEEDS)} lanes"
    try:
        play = _play(spec, SEEDS)
    except Exception as error:
        report.add("failed", f"{what}: {words(error)}")
        return None
    ends = f"{play.episodes} episodes ended" if play.episodes else "no episode ended"
    report.add("passed", f"{what}: observations and rewards are as they should be; {ends}")
    return play


def _can_be_repeated(spec: EnvironmentSpec, first: Play, report: CheckReport) -> None:
    """Compares runs that should be equal: a second one, one of a lane alone; and two seeds, which should not be."""
    again, alone = _play(spec, SEEDS), _play(spec, SEEDS[:1])
    if not _same(_lane(first, 0), _lane(again, 0)):
        report.add(
            "advice",
            "repeatable: the same seed and actions gave other contexts or rewards the second time, so "
            "results cannot be reproduced: draw all random numbers from self.np_random, after "
            "super().reset(seed=seed)",
        )
    elif not (_same(_lane(first, 1), _lane(again, 1)) and _same(_lane(first, 0), _lane(alone, 0))):
        report.add(
            "advice",
            "repeatable: a seed gave other contexts or rewards beside another lane than alone, so "
            "results depend on which seeds run together: keep state and random numbers in the "
            "environment, not in its class or module",
        )
    elif _same(_lane(first, 0), _lane(first, 1)):
        report.add(
            "advice",
            f"repeatable: seeds {SEEDS[0]} and {SEEDS[1]} gave the same contexts and rewards, so more "
            "seeds tell no more than one: let reset(seed=...) decide the problem",
        )
    else:
        report.add("passed", "repeatable: the same seed and actions give the same contexts and rewards")


def _has_regret(play: Play, report: CheckReport) -> None:
    known, total = int(np.isfinite(play.regret).sum()), play.regret.size
    if known == total:
        report.add("passed", f"regret: known at all {total} steps, never negative, at most {play.regret.max():.4g}")
        return
    absent = [key for key in CONTRACT[1:] if not play.told[key]]
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
        f"regret: {text}. Where they are known, return the expected rewards of the action taken and "
        "of the best one in the info of every step, or info['regret'], their difference",
    )


def _play(spec: EnvironmentSpec, seeds: tuple[int, ...]) -> Play:
    """Plays through the very adapter that runs use: every action as soon as possible, in an order of chance."""
    environment = spec.open(len(seeds))
    try:
        arms = int(environment.single_action_space.n)
        random = np.random.default_rng(0)
        actions = np.concatenate([random.permutation(arms) for _ in range(-(-STEPS // arms))])[:STEPS]
        observation, _ = environment.reset(seed=list(seeds))
        seen, rewards, regret = [_seen(observation)], [], []
        for action in actions:
            mask = Observed.of(observation).mask
            chosen = torch.full((len(seeds),), int(action)) if mask is None else next_available(int(action), mask)
            observation, reward, _, _, info = environment.step(chosen)
            seen.append(_seen(observation))
            rewards.append(_array(reward))
            regret.append(_array(from_info(info)))
        lanes = environment.lanes if isinstance(environment, GymnasiumLanes) else []
        told = {str(key): sum(lane.told[key] for lane in lanes) for key in CONTRACT}
        episodes = sum(lane.episodes for lane in lanes)
        return Play(np.stack(seen), np.stack(rewards), np.stack(regret), told, episodes)
    finally:
        environment.close()


def _seen(observation: Any) -> np.ndarray:
    """Returns an observation with all its parts [R, ...]."""
    if isinstance(observation, torch.Tensor):
        return _array(observation)
    return np.concatenate([_array(part).reshape(len(part), -1) for part in observation.values()], 1)


def _array(values: torch.Tensor) -> np.ndarray:
    return values.cpu().numpy().copy()


def _lane(play: Play, lane: int) -> tuple[np.ndarray, ...]:
    return play.contexts[:, lane], play.rewards[:, lane], play.regret[:, lane]


def _same(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
