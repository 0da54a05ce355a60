"""A user's policies as a run plays them: what they are given and what they return, checked call by call."""

import inspect
import operator
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.agents.policy import PolicyObservation
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.envs.sub_environment import blamed, shown, wrong
from vbandits.predictive import Normal
from vbandits.source_hash import defined
from vbandits.types import Predictive

TOLD = ("step", "observation")
"""Parameters of `observe` that are given the decision which the outcome belongs to."""


class _Part(NamedTuple):
    """A policy and the replicas that it plays.

    Attributes:
        policy: the user's own.
        replicas: the one, or all of them.
        whose: which they are, for messages.
        written: where the user has written each method, for messages.
    """

    policy: Any
    replicas: int | slice
    whose: str
    written: Mapping[str, str]

    def call(self, method: str, step: int) -> str:
        """Returns what a call is named in messages."""
        return f"{method} at step {step} (counted from 0{self.whose}){self.written[method]}"


class PolicyPlayer:
    """Plays R replicas by a user's policies, see `player.Player`. What is observed waits until `learn`, so that what a
    policy believes stays as it is until its predictions of earlier decisions are scored."""

    has_draws = False
    decisions_at_once = 256

    def __init__(
        self,
        policies: Sequence[Any],
        seeds: tuple[int, ...],
        form: ObservationSpec,
        device: torch.device | str = "cpu",
        *,
        batched: bool = False,
    ) -> None:
        """Takes a policy for each seed, or a single one that is batched."""
        self.form, self.device = form, torch.device(device)
        self.diverged = torch.zeros(len(seeds), dtype=torch.bool, device=self.device)  # none ever does
        self._shape, self._step = (len(seeds),), 0
        methods = [name for name in ("act", "observe", "predict") if hasattr(policies[0], name)]
        written = {name: defined(getattr(policies[0], name)) for name in methods}
        whole = [_Part(policies[0], slice(None), "", written)]
        single = [_Part(one, i, f", seed {seeds[i]}", written) for i, one in enumerate(policies)]
        self._parts = whole if batched else single
        parameters = _names(policies[0].observe)
        self._told = [name for name in TOLD if name in parameters]
        self._name = f"the policy {type(policies[0]).__name__}"
        self._decided: deque[tuple[PolicyObservation, np.ndarray]] = deque()  # whose outcomes are not learned from yet
        self._outcomes: deque[np.ndarray] = deque()

    @property
    def predicts(self) -> bool:
        """Whether the policies have a method `predict`."""
        return callable(getattr(self._parts[0].policy, "predict", None))

    @property
    def due(self) -> bool:
        """Whether there are outcomes that the policies have not been given."""
        return bool(self._outcomes)

    def act(self, observation: Tensor | Mapping[str, Tensor]) -> Int64[Tensor, " R"]:
        """Asks every policy for its arm, or the batched one for all.

        Raises:
            RuntimeError: if the user's code raises anything.
            ValueError: if it is no arm, or not available.
        """
        seen = PolicyObservation.of(Observation.of(observation), self._step, self.form)
        available, actions = seen.mask.copy(), np.empty(self._shape, np.int64)
        for part in self._parts:
            call = part.call("act", self._step)
            with blamed(call, self._name):
                found = part.policy.act(seen.at(part.replicas))
            actions[part.replicas] = self._arms(found, available[part.replicas], call)
        self._decided.append((seen, actions))
        self._step += 1
        return torch.from_numpy(actions).to(self.device)

    def observe(self, rewards: Float[Tensor, " R"]) -> None:
        """Keeps the outcome of the earliest decision that had none yet, for `learn`."""
        self._outcomes.append(rewards.cpu().numpy().astype(np.float64))

    def learn(self) -> None:
        """Gives the policies all outcomes that are new to them, in the order of decisions."""
        while self._outcomes:
            (seen, actions), rewards = self._decided.popleft(), self._outcomes.popleft()
            for part in self._parts:
                own, alone = seen.at(part.replicas), isinstance(part.replicas, int)
                told = {"step": seen.step, "observation": own}
                outcome = actions[part.replicas], rewards[part.replicas]
                with blamed(part.call("observe", seen.step), self._name):
                    part.policy.observe(
                        *((int(outcome[0]), float(outcome[1])) if alone else outcome),
                        **{name: told[name] for name in self._told},
                    )

    def beliefs(
        self, observed: Observation, actions: Int64[Tensor, "R N"], steps: Sequence[int]
    ) -> tuple[Predictive, None]:
        """Returns the normal distributions that the policies predict of the rewards of actions; NaN where they know
        nothing yet."""
        found = [self._predicted(observed, n, step, actions[:, n : n + 1]) for n, step in enumerate(steps)]
        mean, deviation = (torch.cat(own, 1) for own in zip(*found, strict=True))
        return Normal(mean, deviation), None

    def look(self, observed: Observation) -> Float[Tensor, "R S N A"]:
        """Policies tell no draws of functions."""
        raise NotImplementedError("a policy tells no draws of functions, but the marginals of single rewards")

    def marginals(self, observed: Observation) -> tuple[Float[Tensor, "R 1 N A"], Float[Tensor, "R N A"]]:
        """Returns the mean and variance of the rewards of every arm in N decisions, as if they came next."""
        count = next(part for part in observed if part is not None).shape[1]
        every = torch.arange(self.form.arms).expand(*self._shape, -1)
        found = [self._predicted(observed, n, self._step, every) for n in range(count)]
        mean, deviation = (torch.stack(own, 1) for own in zip(*found, strict=True))
        return mean.unsqueeze(1), deviation.square()

    def _predicted(self, observed: Observation, place: int, step: int, arms: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and standard deviation of the rewards of arms [R, n] in one of several decisions."""
        one = Observation(*(None if part is None else part[:, place] for part in observed))
        seen, asked = PolicyObservation.of(one, step, self.form), arms.cpu().numpy()
        available = np.take_along_axis(seen.mask, asked, 1)
        found = np.full((2, *asked.shape), np.nan)
        for part in self._parts:
            call = part.call("predict", step)
            with blamed(call, self._name):
                given = part.policy.predict(seen.at(part.replicas), asked[part.replicas].copy())
            if given is not None:
                found[:, part.replicas] = _moments(given, available[part.replicas], call)
        mean, deviation = torch.from_numpy(found)
        return mean, deviation

    def _arms(self, found: Any, available: np.ndarray, call: str) -> np.ndarray:
        """Returns the arm that `act` returned, or the arms [R], once they are known to be such."""
        last = self.form.arms - 1
        if available.ndim == 1:
            try:
                chosen = np.array(-1 if isinstance(found, bool | np.bool_) else operator.index(found))
            except TypeError:
                raise wrong(call, f"an arm from 0 to {last}, got {shown(found)}: return an int") from None
        else:
            chosen = _array(found)
            if chosen.shape != available.shape[:1] or chosen.dtype.kind not in "iu":
                got = shown(found) if chosen.dtype.kind in "iuO" else f"{shown(found)} of {chosen.dtype}"
                raise wrong(
                    call,
                    f"an arm from 0 to {last} for each of {len(available)} seeds, an array [R] of integers, got {got}",
                )
        if isinstance(found, bool | np.bool_) or (chosen < 0).any() or (chosen > last).any():
            bad = shown(found) if chosen.ndim == 0 else chosen[(chosen < 0) | (chosen > last)][0]
            raise wrong(call, f"an arm from 0 to {last}, got {bad}: arms are counted from 0")
        missing = ~np.take_along_axis(available, chosen[..., None].astype(np.int64), -1)[..., 0]
        if missing.any():
            own = available if chosen.ndim == 0 else available[missing.argmax()]
            raise wrong(
                call,
                f"an arm that is available (of them {np.flatnonzero(own).tolist()}), got "
                f"{np.atleast_1d(chosen)[np.atleast_1d(missing)][0]}: choose where observation.mask is true",
            )
        return chosen


def _moments(given: Any, available: np.ndarray, call: str) -> np.ndarray:
    """Returns mean and standard deviation that `predict` returned, of arms that are available or not, [2, ...]."""
    what = f"means and standard deviations of shape {available.shape}, one for each of the arms asked for"
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise wrong(call, f"a pair of {what}, got {shown(given)}")
    found = [_array(own) for own in given]
    for own, raw in zip(found, given, strict=True):
        if own.shape != available.shape or own.dtype.kind not in "iuf":
            raise wrong(call, f"{what}, got {shown(raw)}")
    mean, deviation = (own.astype(np.float64) for own in found)
    for name, own, sound in (
        ("finite means", mean, np.isfinite(mean)),
        ("finite standard deviations above 0", deviation, np.isfinite(deviation) & (deviation > 0)),
    ):
        if not (sound | ~available).all():
            raise wrong(call, f"{name}, got {own[~sound & available][0]}: return None where nothing is known yet")
    return np.stack([np.where(available, mean, 0), np.where(available, deviation, 1)])


def _array(values: Any) -> np.ndarray:
    try:
        return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except Exception:  # what is ragged, or says that it is an array and is none
        return np.array(None)


def _names(function: Any) -> list[str]:
    try:
        return [*inspect.signature(function).parameters]
    except (TypeError, ValueError):  # of a compiled module
        return []
