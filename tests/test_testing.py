"""The public laws: each plausible bug is caught by the law that names it, and sound things keep every law."""

import subprocess
import sys
from unittest import SkipTest

import outsider_active
import pytest

from tests.broken import ACQUISITIONS, POSTERIORS, RULES, Farthest, UpperBound, Walking
from tests.broken_environments import ENVIRONMENTS, Ads
from tests.broken_policies import POLICIES, Neighbour
from vbandits import EnvironmentSpec
from vbandits.testing import acquisitions, checks, environments, parametrize_with_checks, policies, posteriors, rules

BUGS = [
    *((posteriors, bug(), law) for bug, law in POSTERIORS),
    *((rules, bug(), law) for bug, law in RULES),
    *((acquisitions, bug(), law) for bug, law in ACQUISITIONS),
    *((environments, bug, law) for bug, law in ENVIRONMENTS),
    *((policies, bug, law) for bug, law in POLICIES),
]
UNPAID = (
    environments.expected_rewards_are_the_means_of_rewards,
    environments.the_optimum_is_that_of_an_action,
    environments.observations_do_not_tell_outcomes,
)
"""Laws that cannot be looked at in active learning."""


def name(part):
    if isinstance(part, EnvironmentSpec):
        return part.label
    return getattr(part, "__name__", type(part).__name__).rpartition(".")[2] if not isinstance(part, str) else part


@pytest.mark.parametrize(("kind", "bug", "law"), BUGS, ids=name)
def test_a_bug_is_caught_by_the_law_that_names_it(kind, bug, law):
    with pytest.raises(AssertionError, match=r"expected .* got .*"):
        getattr(kind, law)(bug)


@parametrize_with_checks(
    [Walking(), UpperBound(), Farthest(), Ads, Neighbour, EnvironmentSpec("labs", outsider_active.Labs)]
)
def test_what_the_bugs_were_put_into_keeps_every_law(thing, check):
    if name(thing) == "labs" and check in UNPAID:
        with pytest.raises(SkipTest, match="active learning pays no rewards"):
            check(thing)
    else:
        check(thing)


def test_every_law_catches_a_bug():
    laws = {law.__name__ for kind in (posteriors, rules, acquisitions, environments, policies) for law in kind.LAWS}
    assert laws == {law for _, _, law in BUGS}


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Farthest, r"expected an object that has select, got a class: give Farthest\(\)"),
        (object(), "expected a posterior .*, a rule .*, an acquisition .*, or an environment .*, got <object"),
    ],
)
def test_what_keeps_no_laws_is_refused(thing, message):
    with pytest.raises(TypeError, match=message):
        checks(thing)


def test_pytest_is_not_needed_but_for_the_decorator():
    code = "import sys, vbandits.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
