"""What gymnasium's own checker says of an environment, and how it is spared what it does not know: masks and NaN."""

import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from vbandits.envs.check_report import CheckReport, plain, words

NOT_MEANT = ("is probably too low", "is probably too high", "is different from the unwrapped version")
"""Warnings of gymnasium's checker that say nothing here: contexts are standardised, and wrappers are welcome."""


class Checkable(gymnasium.Wrapper):
    """An environment whose mask is followed: an action that may not be taken becomes the next one that may.

    Among labels NaN becomes a number, as the checker takes no NaN for equal to another.
    """

    def __init__(self, environment: gymnasium.Env) -> None:
        super().__init__(environment)
        self._mask: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._shown(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Plays the action, or the next that may be taken."""
        observation, reward, terminated, truncated, info = self.env.step(self.possible(action))
        return self._shown(observation, info), reward, terminated, truncated, info

    def possible(self, action: Any) -> Any:
        """Returns an action, or the next that may be taken after the last observation."""
        if self._mask is None:
            return action
        start = getattr(self.action_space, "start", 0)
        chosen, free = [], np.flatnonzero(self._mask).tolist()
        for wanted in np.atleast_1d(action - start).tolist():
            left = [place for place in free if place not in chosen] or [wanted]
            chosen.append(next((place for place in left if place >= wanted), left[0]))
        possible = start + np.array(chosen if np.ndim(action) else chosen[0])
        return possible.astype(self.action_space.dtype)[()]

    def _shown(self, observation: Any, info: Any) -> Any:
        parts = observation if isinstance(observation, dict) else {}
        mask = info.get("action_mask", parts.get("mask")) if isinstance(info, dict) else None
        self._mask = None if mask is None else np.array(mask)
        labels = {name: part for name, part in parts.items() if name in ("labels", "label")}
        numbers = {name: np.array(np.nan_to_num(part)) for name, part in labels.items() if isinstance(part, np.ndarray)}
        return parts | numbers if numbers else observation


def passes_gymnasium(environment: gymnasium.Env, report: CheckReport) -> None:
    """Says what gymnasium's own checker finds in an environment, and closes it."""
    failure = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(Checkable(environment), skip_render_check=True, skip_close_check=True)
        except Exception as error:
            failure = words(error)
    report.close(environment)
    told = dict.fromkeys(plain(str(warning.message)) for warning in caught)
    advice = [text for text in told if not any(phrase in text for phrase in NOT_MEANT)]
    for text in advice:
        report.add("advice", f"gymnasium's own checker warns: {text}")
    if failure is not None:
        report.add(
            "advice",
            f"gymnasium's own checker: {failure} (other libraries may need this mended; what runs "
            "here need is checked below)",
        )
    elif not advice:
        report.add("passed", "gymnasium's own checker has nothing to say")
