"""Any policy as an agent: an object that acts and observes, of one seed or of all seeds of a block at once.

class Mine:
    def __init__(self, seed, arms):  # of what there is, it is given what it asks for by name
        self.random, self.total, self.count = np.random.default_rng(seed), np.zeros(arms), np.ones(arms)

    def act(self, observation):
        index = self.total / self.count + self.random.normal(size=len(self.count)) / self.count
        return int(np.where(observation.mask, index, -np.inf).argmax())

    def observe(self, action, reward):
        self.total[action] += reward
        self.count[action] += 1
"""

import copy
import functools
import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from vbandits.agents.player import Player
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.registry import load, unknown
from vbandits.source_hash import defined, place, plain, reference, source_hash

METHODS = ("act", "observe")
OFFERED = ("arms", "features", "arm_features", "steps")
"""What a policy is made with, if it has parameters of these names, beside its seed or seeds."""
GENERATORS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)


class PolicyObservation(NamedTuple):
    """What a policy sees before a decision, as its environment gave it: nothing is scaled.

    Arrays of NumPy, with an axis of the seeds [R, ...] in front where the policy is batched.

    Attributes:
        step: of the decision, counted from 0.
        mask: which arms are available [A], bool; at least one is.
        context: [D], None where there is none.
        arms: features of each arm [A, F], None where arms have none.
    """

    step: int
    mask: np.ndarray
    context: np.ndarray | None = None
    arms: np.ndarray | None = None

    @classmethod
    def of(cls, observed: Observation, step: int, form: ObservationSpec) -> "PolicyObservation":
        """Returns copies of what was observed [R, ...]."""
        context, arms, mask = (None if part is None else part.cpu().numpy().copy() for part in observed)
        if mask is None:
            known = context if context is not None else arms
            assert known is not None
            mask = np.ones((len(known), form.arms), bool)
        return cls(step, mask, context, arms)

    def at(self, replicas: int | slice) -> "PolicyObservation":
        """Returns what one replica sees, or some."""
        parts = (None if part is None else part[replicas] for part in self[1:])
        return type(self)(self.step, *parts)  # pyright: ignore[reportArgumentType]: there is a mask


@dataclass(frozen=True)
class PolicySpec:
    """The declaration of a policy.

    A policy is an object with `act(observation)`, which is given a `PolicyObservation` and returns an arm, counted from
    0, and `observe(action, reward)`, which takes an outcome. With feedback that comes late it is called later:
    parameters `step` and `observation` are given the decision that the outcome belongs to. There is one object for
    each seed; or a single one for all of a block, if its class has `batched = True` or is made with `seeds`: arrays
    then have the axis of seeds in front, and `act` returns one arm for each of them [R].

    `predict(observation, arms)`, if there is one, returns the mean and the standard deviation of the reward of each of
    some arms [n] (batched: [R, n]) of a decision, or None where it does not know yet: normal distributions, which are
    scored like an agent's predictive distribution. It is asked of arms that are not available, too, and must not change
    what the policy does.

    Attributes:
        label: how reports call it.
        source: its class, a function that makes one, either as "module:name", or a policy that has not played, which
            each seed gets a copy of. Parameters called `seed` (`seeds` if it is batched), `arms` (their number),
            `features`, `arm_features` and `steps` are given what they are.
        kwargs: other arguments that it is made with.
    """

    label: str
    source: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    can_be_kept: ClassVar = False
    """A user's own object cannot be written as data alone."""

    @property
    def origin(self) -> Any:
        """The class, function or object itself.

        Raises:
            ValueError: if there is none at "module:name".
        """
        return load(self.source, "policy") if isinstance(self.source, str) else self.source

    @property
    def batched(self) -> bool:
        """Whether one object plays all seeds of a block."""
        try:
            origin = self.origin
        except Exception:  # what is wrong with it is told by `problems`
            return False
        told = getattr(origin.func if isinstance(origin, functools.partial) else origin, "batched", None)
        return bool(told) if told is not None else not _ready(origin) and "seeds" in _parameters(origin)[0]

    @property
    def in_lockstep(self) -> bool:
        """Whether all replicas are computed as one batch."""
        return self.batched

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with a short hash of each of the user's files that it comes from, by module."""
        origin = self.origin
        described = {"label": self.label, "policy": reference(self.source), "kwargs": plain(self.kwargs)}
        if _ready(origin):
            described["state"] = plain(getattr(origin, "__dict__", {}))
        named = [origin, *(value for value in self.kwargs.values() if callable(value))]
        code = {reference(one).partition(":")[0]: found for one in named if (found := source_hash(one)) is not None}
        return described | ({"code": code} if code else {})

    def player(
        self, seeds: tuple[int, ...], form: ObservationSpec, steps: int, device: torch.device | str = "cpu"
    ) -> Player:
        """Returns the policy before any decision, see `player.PlayerSpec`.

        Raises:
            ValueError: if it cannot be made, with all that is wrong.
        """
        from vbandits.agents.policy_player import PolicyPlayer

        if problems := self.problems():
            raise ValueError("; ".join(problems))
        sizes = dict(zip(OFFERED, (form.arms, form.features, form.arm_features, steps), strict=True))
        own = [{"seeds": seeds}] if self.batched else [{"seed": seed} for seed in seeds]
        made = [self._made(sizes | one) for one in own]
        for name in METHODS:
            if not callable(getattr(made[0], name, None)):
                raise ValueError(
                    f"expected {reference(self.source)} to make a policy, with the methods {' and '.join(METHODS)}, "
                    f"got a {type(made[0]).__name__} without {name}{defined(self.origin)}"
                )
        if len({id(one) for one in made}) < len(made):
            raise ValueError(
                f"expected a new policy for each seed, got the same object twice: create it inside "
                f"{reference(self.source)}{defined(self.origin)}"
            )
        return PolicyPlayer(made, seeds, form, device, batched=self.batched)

    def parameters(self) -> list[str]:
        """Returns the names of what it can be made with, but for its seed."""
        origin = self.origin
        return [] if _ready(origin) else [name for name in _parameters(origin)[0] if name not in ("seed", "seeds")]

    def problems(self) -> list[str]:
        """Returns what is wrong with the declaration, as far as it can be told without making a policy."""
        try:
            origin = self.origin
        except ValueError as error:
            return [str(error)]
        if _ready(origin):
            return self._problems_of_object(origin)
        if not callable(origin) or (inspect.isclass(origin) and not is_policy(origin)):
            lacks = [name for name in METHODS if not callable(getattr(origin, name, None))]
            got = f"{origin!r}" if not inspect.isclass(origin) else f"{origin.__name__}{defined(origin)}"
            return [
                f"expected a policy, a class with the methods {' and '.join(METHODS)} or a function that makes one, "
                f"got {got} without {' and '.join(lacks)}"
            ]
        (parameters, any_name), name = _parameters(origin), reference(self.source)
        seeding = "seeds" if self.batched else "seed"
        errors = [
            f"expected no {name} in kwargs, got {self.kwargs[name]!r}: a parameter {seeding} is given what it is"
            for name in ("seed", "seeds")
            if name in self.kwargs
        ]
        wrong = [] if any_name else [given for given in self.kwargs if given not in (*parameters, "seed", "seeds")]
        errors += [unknown(f"parameter of {name}", given, parameters) for given in wrong]
        told = (seeding, *OFFERED)
        errors += [
            f"expected a value for the parameter {own!r} of {name}, got none: set it in kwargs (a run tells "
            f"{', '.join(told)} by itself){defined(origin)}"
            for own, parameter in parameters.items()
            if own not in (*self.kwargs, *told) and parameter.default is parameter.empty
        ]
        return errors

    def _problems_of_object(self, policy: Any) -> list[str]:
        name = type(policy).__name__
        instead = f"give the class {name}, or a function that makes one, with a parameter seed"
        held = [own for own, value in getattr(policy, "__dict__", {}).items() if isinstance(value, GENERATORS)]
        errors = [
            f"expected a policy whose seeds draw random numbers of their own, got one that is made, whose {own} all of "
            f"them would share: {instead}{defined(type(policy))}"
            for own in held
        ]
        if self.kwargs:
            errors.append(f"expected no kwargs for a policy that is made, got {dict(self.kwargs)}: {instead}")
        try:
            copy.deepcopy(policy)
        except Exception as error:
            errors.append(
                f"expected a policy that each seed can have a copy of, got {type(error).__name__}: {error}: {instead}"
            )
        return errors

    def _made(self, offered: Mapping[str, Any]) -> Any:
        """Returns a new policy, given of what is offered what it asks for."""
        origin = self.origin
        if _ready(origin):
            return copy.deepcopy(origin)
        asked = {name: value for name, value in offered.items() if name in _parameters(origin)[0]}
        try:
            return origin(**{**asked, **self.kwargs})
        except Exception as error:
            made = f"{reference(self.source)} with {dict(self.kwargs)}" if self.kwargs else reference(self.source)
            got = f"{type(error).__name__}: {error} {place(error)}".rstrip()
            raise ValueError(f"expected to make {made}, got {got}") from error


def is_policy(thing: Any) -> bool:
    """Says whether a class or an object is a policy: it has `act` and `observe`."""
    return all(callable(getattr(thing, name, None)) for name in METHODS)


def _ready(origin: Any) -> bool:
    """Says whether it is a policy that is made already."""
    return not inspect.isclass(origin) and is_policy(origin)


def _parameters(maker: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Returns the parameters that can be given by name, and whether any other name will do as well."""
    try:
        found = inspect.signature(maker).parameters
    except (TypeError, ValueError):  # a class of a compiled module
        return {}, True
    named = {name: one for name, one in found.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return named, any(one.kind is one.VAR_KEYWORD for one in found.values())
