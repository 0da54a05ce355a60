"""The laws of the contract, to run on a posterior, rule, acquisition, policy or environment of your own.

A law is a plain function that takes one thing and raises an AssertionError that says what was expected, what came and
how to mend it. `checks` gives those that apply to a thing; `parametrize_with_checks` makes each of them a test:

    from vbandits.testing import parametrize_with_checks

    @parametrize_with_checks([MyPosterior(), MyRule(), MyAcquisition(), MyPolicy, MyEnvironment])
    def test_the_contract(thing, check):
        check(thing)

Posteriors, rules and acquisitions are given as objects. An environment is given as runs take it: an id, "module:name",
its class or a function that makes it, or a `vbandits.EnvironmentSpec` with its parameters. A policy is given as its
class, as a policy that has not played, or as a `vbandits.PolicySpec`.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from vbandits.agents.dry_run import METHODS
from vbandits.agents.policy import PolicySpec, is_policy
from vbandits.envs.spec import EnvironmentSpec
from vbandits.testing import acquisitions, environments, policies, posteriors, rules

__all__ = ["acquisitions", "checks", "environments", "parametrize_with_checks", "policies", "posteriors", "rules"]


def checks(thing: Any) -> tuple[Callable[[Any], None], ...]:
    """Returns the laws that apply to a thing, by what it offers: `choose` makes it a rule, `select` an acquisition,
    `act` and `observe` a policy, the methods of `vbandits.types.Posterior` a posterior.

    Raises:
        TypeError: if it is none of these and no environment.
    """
    if isinstance(thing, PolicySpec) or is_policy(thing):
        return policies.LAWS
    if isinstance(thing, str | EnvironmentSpec) or (inspect.isclass(thing) and hasattr(thing, "step")):
        return environments.LAWS
    offered = {name for name in (*METHODS, "choose", "select") if callable(getattr(thing, name, None))}
    if inspect.isclass(thing) and offered:
        raise TypeError(
            f"expected an object that has {', '.join(sorted(offered))}, got a class: give {thing.__name__}()"
        )
    kinds = ((posteriors, METHODS), (rules, ("choose",)), (acquisitions, ("select",)))
    found = tuple(law for kind, methods in kinds if offered.intersection(methods) for law in kind.LAWS)
    if not found and not callable(thing):
        raise TypeError(
            "expected a posterior (init, update, draw, mean, predict), a rule (choose), an acquisition (select), a "
            "policy (act, observe), or an environment (an id, a class or a function, or an EnvironmentSpec), got "
            f"{thing!r}"
        )
    return found or environments.LAWS


def parametrize_with_checks(things: Iterable[Any]) -> Any:
    """Makes a test of (thing, check) run once for each law of each thing; it has to call `check(thing)`."""
    import pytest

    pairs = [
        pytest.param(thing, check, id=f"{_name(thing)}-{check.__name__}") for thing in things for check in checks(thing)
    ]
    return pytest.mark.parametrize(("thing", "check"), pairs)


def _name(thing: Any) -> str:
    """Returns what a report of tests calls a thing."""
    known = thing if isinstance(thing, str) else getattr(thing, "__name__", type(thing).__name__)
    return thing.label if isinstance(thing, EnvironmentSpec | PolicySpec) else known
