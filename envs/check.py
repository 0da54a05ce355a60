"""Will my environment work, and what does it lack? The same questions for any source, answered in plain words."""

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Dict
from gymnasium.utils.env_checker import check_env

from vbandits.envs.lanes import CONTRACT, GymnasiumLanes, problems
from vbandits.envs.spaces import Form, Observed, next_available
from vbandits.envs.spec import EnvironmentSpec, resolve
from vbandits.metrics.regret import from_info
from vbandits.provenance import reference

STEPS = 64
SEEDS = (0, 1)
Status = Literal["passed", "advice", "missing", "failed"]
NOT_MEANT = ("is probably too low", "is probably too high", "is different from the unwrapped version")
"""Warnings of gymnasium's checker that say nothing here: contexts are standardised, and wrappers are welcome."""


class Line(NamedTuple):
    """One finding: "passed", "advice" (works, could be better), "missing" (works without) or "failed"."""

    status: Status
    text: str


@dataclass
class CheckReport:
    """What was found about an environment.

    Attributes:
        name: the environment's source.
        lines: the findings, in the order in which they were made.
        works: whether runs accept the environment. It may fail gymnasium's own checker and work all the same.
    """

    name: str
    lines: list[Line] = field(default_factory=list)
    works: bool = False

    def add(self, status: Status, text: str) -> None:
        """Appends a finding."""
        self.lines.append(Line(status, text))

    def __str__(self) -> str:
        width = max(len(status) for status in ("passed", "advice", "missing", "failed"))
        found = [f"  {line.status:<{width}}  {line.text}" for line in self.lines]
        verdict = "It works." if self.works else "It does not work yet: mend what failed, then check again."
        return "\n".join([self.name, *found, verdict])


def check(
    source: Any, kwargs: Mapping[str, Any] | None = None, data_dir: str | os.PathLike[str] | None = None
) -> CheckReport:
    """Says whether runs accept an environment, and what it lacks for regret and for results that can be repeated.

    Args:
        source: an id, "module:id", "module:name", or a class or function, as in `EnvironmentSpec`.
        kwargs: handed to the environment.
        data_dir: where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
    """
    report = CheckReport(reference(source))
    try:
        resolve(source)
    except Exception as error:
        report.add("failed", f"cannot be found: {_words(error)}")
        return report
    where = None if data_dir is None else os.fspath(data_dir)
    spec = EnvironmentSpec("check", source, dict(kwargs or {}), data_dir=where)
    if not _can_be_made(spec, report):
        return report
    _passes_gymnasium(spec, report)
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


def _can_be_made(spec: EnvironmentSpec, report: CheckReport) -> bool:
    try:
        environment = spec.single()
    except Exception as error:
        report.add("failed", f"cannot be made: {_words(error)}")
        return False
    report.add("passed", "found, and can be made")
    found = problems(environment)
    for problem in found:
        report.add("failed", f"spaces: {problem}")
    if not found:
        report.add("passed", f"spaces: {_spaces(environment)}")
    _close(environment, report)
    return not found


def _spaces(environment: Any) -> str:
    """Returns what can be done and seen, in words."""
    actions, space = environment.action_space, environment.observation_space
    form = Form.from_spaces(space, actions)
    context = space.spaces.get("context") if isinstance(space, Dict) else space
    parts = [f"{actions.n} actions" + (f", counted from {actions.start}" if actions.start else "")]
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


def _close(environment: Any, report: CheckReport) -> None:
    try:
        environment.close()
    except Exception as error:
        text = f"close: {_words(error)}"
        if Line("advice", text) not in report.lines:
            report.add("advice", text)


def _passes_gymnasium(spec: EnvironmentSpec, report: CheckReport) -> None:
    environment = spec.single()
    failure = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(environment, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            failure = _words(error)
    _close(environment, report)
    told = dict.fromkeys(_plain(str(warning.message)) for warning in caught)
    advice = [text for text in told if not any(phrase in text for phrase in NOT_MEANT)]
    for text in advice:
        report.add("advice", f"gymnasium's own checker warns: {text}")
    if failure is not None:
        report.add("advice", f"gymnasium's own checker: {failure} (other libraries may need this mended; what runs "
                             "here need is checked below)")  # fmt: skip
    elif not advice:
        report.add("passed", "gymnasium's own checker has nothing to say")


def _can_be_played(spec: EnvironmentSpec, report: CheckReport) -> Play | None:
    what = f"{STEPS} steps in {len(SEEDS)} lanes"
    try:
        play = _play(spec, SEEDS)
    except Exception as error:
        report.add("failed", f"{what}: {_words(error)}")
        return None
    ends = f"{play.episodes} episodes ended" if play.episodes else "no episode ended"
    report.add("passed", f"{what}: observations and rewards are as they should be; {ends}")
    return play


def _can_be_repeated(spec: EnvironmentSpec, first: Play, report: CheckReport) -> None:
    """Compares runs that should be equal: a second one, one of a lane alone; and two seeds, which should not be."""
    again, alone = _play(spec, SEEDS), _play(spec, SEEDS[:1])
    if not _same(_lane(first, 0), _lane(again, 0)):
        report.add("advice", "repeatable: the same seed and actions gave other contexts or rewards the second time, so "
                             "results cannot be reproduced: draw all random numbers from self.np_random, after "
                             "super().reset(seed=seed)")  # fmt: skip
    elif not (_same(_lane(first, 1), _lane(again, 1)) and _same(_lane(first, 0), _lane(alone, 0))):
        report.add("advice", "repeatable: a seed gave other contexts or rewards beside another lane than alone, so "
                             "results depend on which seeds run together: keep state and random numbers in the "
                             "environment, not in its class or module")  # fmt: skip
    elif _same(_lane(first, 0), _lane(first, 1)):
        report.add("advice", f"repeatable: seeds {SEEDS[0]} and {SEEDS[1]} gave the same contexts and rewards, so more "
                             "seeds tell no more than one: let reset(seed=...) decide the problem")  # fmt: skip
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
    report.add("missing", f"regret: {text}. Where they are known, return the expected rewards of the action taken and "
                          "of the best one in the info of every step, or info['regret'], their difference")  # fmt: skip


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


def _words(error: Exception) -> str:
    expected = isinstance(error, ValueError | AssertionError | RuntimeError)
    return _plain(str(error) if expected and str(error) else f"{type(error).__name__}: {error}")


def _plain(text: str) -> str:
    """Returns a message without colours, "WARN:" and line breaks."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)
    return re.sub(r"\s+", " ", text).strip().removeprefix("WARN: ")
