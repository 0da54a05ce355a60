"""Sweeps: a list where one value is asked for makes one agent, learner, method or problem each."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
import pytest

from tests.registries import over
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve, select
from vbandits.experiment.sweeps import depth, hints_of, labelled, nested, swept
from vbandits.networks import MLP
from vbandits.posteriors.ibvi import IBVI
from vbandits.registry import POSTERIORS, load
from vbandits.tuning.experiment import resolve_tuning

WHEEL = {"id": "vbandits/Wheel-v0", "label": "wheel"}


def experiment(agents, settings=(), environments=(WHEEL,)):
    document = {"name": "sweeps", "steps": 50, "environments": list(environments), "agents": agents}
    return resolve(document, settings)


def learned(agents, settings=()):
    """Returns the agents by label, without the uniform one."""
    return {spec.label: spec for spec in experiment(agents, settings).methods if spec.label != "uniform"}


def refused(*args, **options):
    with pytest.raises(ConfigError) as error:
        experiment(*args, **options)
    return str(error.value)


def test_a_list_in_a_field_makes_an_agent_each():
    found = learned([{"id": "ibvi", "posterior": {"rank": [2, 5, 10]}}])
    assert {label: spec.posterior.rank for label, spec in found.items()} == {
        "ibvi rank=2": 2,
        "ibvi rank=5": 5,
        "ibvi rank=10": 10,
    }
    assert {spec.posterior.prior_scale for spec in found.values()} == {0.5}  # the preset's


def test_several_lists_make_the_product():
    found = learned(
        [{"id": "ibvi", "label": "x", "posterior": {"rank": [2, 5]}, "optimizer": {"learning_rate": [0.01, 0.1]}}]
    )
    assert {label: (spec.posterior.rank, spec.optimizer.learning_rate) for label, spec in found.items()} == {
        "x rank=2 learning_rate=0.01": (2, 0.01),
        "x rank=2 learning_rate=0.1": (2, 0.1),
        "x rank=5 learning_rate=0.01": (5, 0.01),
        "x rank=5 learning_rate=0.1": (5, 0.1),
    }


def test_a_field_that_takes_a_list_is_swept_by_a_list_of_lists():
    one = learned([{"id": "ibvi", "network": {"hidden": [100, 100]}, "posterior": {"layers": ["0", "1"]}}])
    assert [*one] == ["ibvi"]
    assert (one["ibvi"].network.hidden, one["ibvi"].posterior.layers) == ((100, 100), ("0", "1"))
    several = learned([{"id": "ibvi", "network": {"hidden": [[50], [100, 100]]}}])
    assert {label: spec.network.hidden for label, spec in several.items()} == {
        "ibvi hidden=[50]": (50,),
        "ibvi hidden=[100 100]": (100, 100),
    }
    mixed = learned([{"id": "ibvi", "posterior": {"layers": ["last", ["0", "1"]]}}])
    assert [spec.posterior.layers for spec in mixed.values()] == ["last", ("0", "1")]


def test_kinds_ids_and_fields_outside_of_sections_are_swept():
    found = learned([{"id": ["ibvi", "elbo"], "rule": ["greedy", {"kind": "thompson", "temper": 0.5}]}])
    assert [*found] == [
        "ibvi greedy",
        "ibvi (kind=thompson temper=0.5)",
        "elbo greedy",
        "elbo (kind=thompson temper=0.5)",
    ]
    found = learned([{"posterior": {"kind": ["ibvi", "elbo"], "rank": [2, 3]}, "rule": "thompson"}])
    assert [*found] == ["ibvi thompson rank=2", "ibvi thompson rank=3", "elbo thompson rank=2", "elbo thompson rank=3"]
    found = learned([{"id": "linear-ts", "standardize": [True, "arms"]}])
    assert {label: spec.standardize for label, spec in found.items()} == {
        "linear-ts standardize=true": True,
        "linear-ts standardize=arms": "arms",
    }
    found = learned([{"id": "ibvi", "schedule": {"forgetting": {"window": [60, 120]}, "every": 5}}])
    assert {label: spec.schedule.forgetting.window for label, spec in found.items()} == {
        "ibvi window=60": 60,
        "ibvi window=120": 120,
    }
    assert {spec.schedule.every for spec in found.values()} == {5}


def test_what_python_has_in_the_place_of_lists_is_swept():
    found = learned(
        [{"id": "ibvi", "posterior": {"rank": range(2, 4)}, "optimizer": {"learning_rate": np.array([1, 2])}}]
    )
    assert len(found) == 4
    found = learned([{"id": "ibvi", "posterior": [IBVI(rank=2), IBVI(rank=3, layers="last")]}])
    assert [*found] == ["ibvi ibvi rank=2", "ibvi ibvi rank=3 layers=last"]


def test_a_list_that_makes_nothing_or_the_same_twice_is_refused():
    assert (
        "agents[0] (ibvi).posterior.rank: expected a value, or a list of values to try, got an empty list"
        in refused([{"id": "ibvi", "posterior": {"rank": []}}])
    )
    assert "rank: expected each value once, got [2, 2]" in refused([{"id": "ibvi", "posterior": {"rank": [2, 2]}}])
    assert "rank: expected a valid integer, unable to" in refused([{"id": "ibvi", "posterior": {"rank": [2, "x"]}}])


def test_environments_are_swept_by_their_kwargs():
    every = experiment([], environments=[{"id": "vbandits/Wheel-v0", "kwargs": {"delta": [0.5, 0.9]}}]).problems
    assert [problem.label for problem in every] == ["Wheel-v0 delta=0.5", "Wheel-v0 delta=0.9"]
    every = experiment([], environments=[WHEEL | {"kwargs": {"delta": [0.5, 0.9]}, "delay": [0, 10]}]).problems
    assert [(problem.label, problem.environment.delay) for problem in every] == [
        ("wheel delay=0 delta=0.5", 0),
        ("wheel delay=0 delta=0.9", 0),
        ("wheel delay=10 delta=0.5", 10),
        ("wheel delay=10 delta=0.9", 10),
    ]
    noisy = {"id": "vbandits/LinearBandit-v0", "kwargs": {"arms": 2, "noise": [0.1, 0.2]}}  # one for each arm
    assert len(experiment([], environments=[noisy]).problems) == 1
    noisy["kwargs"]["noise"] = [0.1, [0.1, 0.2]]
    assert len(experiment([], environments=[noisy]).problems) == 2


class Coin(gymnasium.Env):
    """Pays with a probability."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, probability: float = 0.5, unknown=None, sides=2):
        self.probability = probability

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(self.np_random.random() < self.probability), True, False, {}


def test_a_users_environment_is_swept_where_the_type_of_a_parameter_is_known():
    coin = {"id": Coin, "kwargs": {"probability": [0.1, 0.2], "unknown": [1, 2]}}
    problems = experiment([], environments=[coin]).problems
    assert [problem.environment.kwargs for problem in problems] == [
        {"probability": 0.1, "unknown": [1, 2]},
        {"probability": 0.2, "unknown": [1, 2]},
    ]
    coin["kwargs"] = {"sides": [2, 3]}  # its default is a number
    assert [p.environment.kwargs for p in experiment([], environments=[coin]).problems] == [{"sides": 2}, {"sides": 3}]


def test_learners_and_their_acquisitions_are_swept():
    document = {
        "name": "labels",
        "problems": [{"label": "moons", "kwargs": {"pool": "two_moons", "budget": [5, 10]}}],
        "learners": [
            {
                "id": ["ibvi", "ensemble"],
                "acquisition": ["random", {"kind": "epig", "targets": [10, 20]}],
                "training": {"gradient_steps": [3, 4]},
            }
        ],
    }
    found = resolve(document)
    assert [problem.label for problem in found.problems] == ["moons budget=5", "moons budget=10"]
    labels = [spec.label for spec in found.methods]
    assert len(labels) == 2 * 2 * 3
    assert labels[:4] == [
        "ibvi gradient_steps=3 random",
        "ibvi gradient_steps=3 epig 10",
        "ibvi gradient_steps=3 epig 20",
        "ibvi gradient_steps=4 random",
    ]
    assert [spec.optimizer.decay_steps for spec in found.methods[:4]] == [3, 3, 3, 4]
    chosen = select(document, {"learners": "ibvi gradient_steps=4 random"})
    assert [spec.label for spec in resolve(chosen).methods] == ["ibvi gradient_steps=4 random"]


def test_supervised_methods_and_datasets_are_swept():
    document = {
        "name": "classes",
        "steps": 7,
        "datasets": [{"id": "digits", "kwargs": {"rows": [20, 30], "validation_rows": 5, "severities": [1, 3]}}],
        "methods": [
            {"id": "ibvi", "network": {"kind": "mlp", "hidden": [5]}, "posterior": {"samples": [1, 2]}},
            {"id": "temperature-scaled", "network": MLP((5,)), "temperature": [1.0, "fit"]},
        ],
    }
    found = resolve(document)
    assert [problem.label for problem in found.problems] == ["digits rows=20", "digits rows=30"]
    assert [spec.label for spec in found.methods] == [
        "ibvi samples=1",
        "ibvi samples=2",
        "temperature-scaled temperature=1",
        "temperature-scaled temperature=fit",
    ]


def test_a_swept_agent_is_chosen_by_its_label():
    document = {"name": "x", "environments": [WHEEL], "agents": [{"id": "ibvi", "posterior": {"rank": [2, 5]}}, "elbo"]}

    def chosen(names):
        return [spec.label for spec in resolve(select(document, {"agents": names})).methods]

    assert chosen("ibvi rank=5") == ["ibvi rank=5", "uniform"]
    assert chosen("ibvi") == ["ibvi rank=2", "ibvi rank=5", "uniform"]
    for labels in ("ibvi rank=2,elbo", "elbo, ibvi rank=2"):
        assert chosen(labels) == [*labels.replace(", ", ",").split(","), "uniform"]
    whole = resolve(document)
    alone = resolve(select(document, {"agents": "ibvi rank=5"}))
    assert alone.methods[0].describe() == whole.methods[1].describe()


def test_a_search_keeps_its_lists_and_has_no_sweep_beside_it():
    text = """
name = "t"
seeds = 2
steps = 50
settings = 2
environments = [{ id = "vbandits/Wheel-v0", label = "wheel" }]
[[agents]]
id = "ibvi"
search = { "posterior.rank" = [2, 5], "network.hidden" = [[5], [10]] }
"""
    document = tomllib.loads(text)
    assert len([spec for spec in resolve_tuning(document).methods if spec.label != "uniform"]) == 2
    document["agents"][0]["posterior"] = {"prior_scale": [1.0, 2.0]}
    with pytest.raises(ConfigError, match="expected one value of each field beside a search, got a list"):
        resolve_tuning(document)


# --set


def test_a_setting_sweeps():
    assert [*learned(["ibvi"], ["posterior.rank=[2, 5]"])] == ["ibvi rank=2", "ibvi rank=5"]
    assert [*learned(["ibvi"], ["network.hidden=[5, 5]"])] == ["ibvi"]
    assert [problem.label for problem in experiment([], ["kwargs.delta=[0.5, 0.9]"]).problems] == [
        "wheel delta=0.5",
        "wheel delta=0.9",
    ]


def test_the_kind_of_the_networks_can_be_set_for_all():
    digits = {"id": "digits", "kwargs": {"validation_rows": 50}}
    document = {"name": "e", "seeds": 1, "steps": 2, "datasets": [digits], "methods": ["ibvi", "deterministic"]}
    with pytest.raises(ConfigError, match="at least 12 x 12 pixels for LeNet-5"):
        resolve(document)
    made = resolve(document, ["network.kind=mlp", "network.hidden=[7]"]).methods
    assert [method.network for method in made] == [MLP((7,))] * 2
    made = resolve(document, ["methods.ibvi.network.kind=mlp", "methods.deterministic.network.kind=mlp"]).methods
    assert [method.network for method in made] == [MLP()] * 2
    with pytest.raises(ConfigError, match="did you mean 'mlp'"):
        resolve(document, ["network.kind=mpl"])


def test_a_setting_aims_at_one_by_its_label_or_id():
    agents = [{"id": "ibvi"}, {"id": "ibvi", "label": "mine 1.5"}, {"id": "elbo"}]

    def ranks(*settings):
        return [spec.posterior.rank for spec in learned(agents, settings).values()]

    assert ranks() == [5, 5, 5]
    assert ranks("agents.mine 1.5.posterior.rank=7") == [5, 7, 5]
    assert ranks('agents."mine 1.5".posterior.rank=7') == [5, 7, 5]
    assert ranks("agents.'mine 1.5'.posterior.rank = 7") == [5, 7, 5]
    assert ranks("agents.ibvi.posterior.rank=7") == [7, 7, 5]  # of both it is the id
    assert ranks("posterior.rank=3", "agents.elbo.posterior.rank=7") == [3, 3, 7]
    assert ranks("agents.elbo.posterior.rank=7", "posterior.rank=3") == [3, 3, 7]
    swept_alone = learned(agents, ["agents.elbo.posterior.rank=[1, 2]"])
    assert [*swept_alone] == ["ibvi", "mine 1.5", "elbo rank=1", "elbo rank=2"]
    assert learned(agents, ["agents.elbo.standardize=arms"])["elbo"].standardize == "arms"


def test_a_setting_aims_at_one_environment():
    environments = [{"id": "vbandits/Wheel-v0", "kwargs": {"delta": 0.5}}, WHEEL]
    for name in ("wheel", '"wheel"'):
        problems = experiment([], [f"environments.{name}.kwargs.delta=0.9"], environments).problems
        assert [problem.environment.kwargs for problem in problems] == [{"delta": 0.5}, {"delta": 0.9}]
    problems = experiment([], ["environments.Wheel-v0 delta=0.5.kwargs.std=0.1"], environments).problems
    assert [problem.environment.kwargs for problem in problems] == [{"delta": 0.5, "std": 0.1}, {}]
    assert experiment([], ["environments.wheel.delay=3"], environments).problems[1].environment.delay == 3


def test_a_setting_aims_at_one_learner_of_many():
    document = {
        "name": "labels",
        "problems": [{"kwargs": {"pool": "two_moons", "budget": 5}}],
        "learners": [{"id": ["ibvi", "ensemble"], "acquisition": ["random", "bald"]}],
    }
    found = resolve(document, ["learners.ensemble.optimizer.learning_rate=0.5"])
    assert [spec.optimizer.learning_rate for spec in found.methods] == [0.03, 0.03, 0.5, 0.5]


def test_a_setting_that_aims_at_nothing_says_what_there_is():
    assert "unknown agent 'ibiv'; did you mean 'ibvi'? (known: ibvi)" in refused(
        ["ibvi"], ["agents.ibiv.posterior.rank=7"]
    )
    message = refused(["ibvi"], ["agents.ibvi.posterior.rnak=7"])
    assert "unknown field of agent 'ibvi' 'posterior.rnak'; did you mean 'posterior.rank'?" in message
    message = refused(["ibvi"], ["environments.wheel.kwargs.dleta=7"])
    assert "unknown field of environment 'wheel' 'kwargs.dleta'; did you mean 'kwargs.delta'?" in message


# what decides


class Plain:
    """A class that nothing is known of."""


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, 0),
        (Annotated[float, "x"], 0),
        (str | None, 0),
        (Literal["a", "b"], 0),
        (Literal["a"] | tuple[str, ...], 1),
        (tuple[int, ...], 1),
        (list[list[int]], 2),
        (float | Sequence[float], 1),
        (dict[str, list[int]], 0),
        (Path | str, 0),
        (MLP, 0),
        (Any, np.inf),
        (object, np.inf),
        (Plain, np.inf),
        (list, np.inf),
        (np.ndarray, np.inf),
    ],
)
def test_how_deep_lists_lie_in_values_of_a_type(hint, expected):
    assert depth(hint) == expected


def test_how_deep_lists_lie_in_a_value():
    assert [nested(value) for value in (1, "ab", [], [1], (1, [2]), [[[]]])] == [0, 0, 1, 1, 2, 3]


@over("name", POSTERIORS, quick=["ibvi", "linear", "laplace"])
def test_every_field_of_every_posterior_can_be_swept(name):
    cls = load(POSTERIORS[name])
    hints, default = hints_of(cls), cls()
    for field in fields(cls):
        value = getattr(default, field.name)
        several = [value, [value, "x"] if depth(hints[field.name]) else "x"]
        assert depth(hints[field.name]) < 2, field.name
        made = [content[field.name] for _, content in swept({field.name: several}, hints, name, [])]
        assert made == several, field.name


@dataclass
class Inner:
    width: int = 1


def test_labels_are_readable():
    assert labelled("x", {"posterior.rank": 2, "standardize": True}) == "x rank=2 standardize=true"
    assert labelled("x", {"a.rate": 0.10, "b.rate": 2}) == "x a.rate=0.1 b.rate=2"
    assert labelled("x", {"rule.kind": "greedy", "id": "y"}) == "x greedy y"
    assert labelled("x", {"network.inner": Inner(2)}) == "x inner=Inner width=2"
