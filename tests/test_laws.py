"""Our own registries keep the public laws: every posterior, rule, acquisition and environment, and their variants."""

from unittest import SkipTest

import pytest

from tests.test_active_environments import VARIANTS as ACTIVE_VARIANTS
from tests.test_environments import VARIANTS as BANDIT_VARIANTS
from tests.test_testing import UNPAID
from vbandits import EnvironmentSpec
from vbandits.agents.acquisition import BALD, BatchBALD, Coverage
from vbandits.agents.rules import Thompson
from vbandits.likelihoods import Categorical
from vbandits.posteriors.dropout import Dropout
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.laplace import Laplace
from vbandits.posteriors.swag import SWAG
from vbandits.registry import ACQUISITIONS, ACTIVE, ENVIRONMENTS, POSTERIORS, RULES, load
from vbandits.testing import parametrize_with_checks, posteriors

REGRESSION_ONLY = {"linear", "neural_linear", "ibvi_limit"}
OTHERS = [
    IBVI(family="mean_field", layers="all", prior_scale=0.3),
    IBVI(family="kronecker"),
    IBVI(layers="last", noise_rank=4),
    ELBO(family="low_rank_plus_diagonal"),
    Dropout(rate=0.5),
    Laplace(structure="kronecker"),
]
"""Posteriors whose fields lead to other code than the defaults."""
SNAPSHOTS = SWAG(every=1, snapshots=3)
"""By default the few steps of the laws give it no snapshots."""
BATCHES = [
    BALD(draws=6, batch="power"),
    BALD(draws=6, batch="softmax", coldness=10),
    BALD(draws=6, batch="softrank"),
    BatchBALD(draws=6, exact=4, samples=20),
    Coverage(radius=1.0),
]
"""Likewise acquisitions."""
VARIANTS = [case for case in BANDIT_VARIANTS + ACTIVE_VARIANTS if case[1].get("arms", 0) < 60]  # not the large one


@parametrize_with_checks([*(load(place)() for place in POSTERIORS.values()), SNAPSHOTS])
def test_posteriors(thing, check):
    check(thing)


@pytest.mark.slow
@parametrize_with_checks(OTHERS)
def test_variants_of_posteriors(thing, check):
    check(thing)


@pytest.mark.parametrize("kind", POSTERIORS)
def test_posteriors_take_regressions_and_classes_but_for_those_that_say_so(kind):
    likelihoods = [type(task.likelihood) for task in posteriors.tasks(load(POSTERIORS[kind])())]
    assert (Categorical in likelihoods) == (kind not in REGRESSION_ONLY)
    assert len(likelihoods) == 2 - (kind in REGRESSION_ONLY)


@parametrize_with_checks([*(load(place)() for place in RULES.values()), Thompson(temper=0.5)])
def test_rules(thing, check):
    check(thing)


@parametrize_with_checks([*(load(place)() for place in ACQUISITIONS.values()), *BATCHES])
def test_acquisitions(thing, check):
    check(thing)


@pytest.mark.usefixtures("standins")
@parametrize_with_checks(ENVIRONMENTS)
def test_environments(thing, check):
    held(check, thing, thing)


@pytest.mark.slow
@parametrize_with_checks(EnvironmentSpec(f"{source} variant", source, kwargs) for source, kwargs in VARIANTS)
def test_variants_of_environments(thing, check):
    held(check, thing, thing.source)


def held(check, thing, source):
    """Holds a law against an environment, or sees it say that it cannot be looked at."""
    if source in ACTIVE and check in UNPAID:
        with pytest.raises(SkipTest, match="active learning pays no rewards"):
            check(thing)
    else:
        check(thing)
