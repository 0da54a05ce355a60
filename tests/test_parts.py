"""In Python as in files: a class, an instance, a name and a table of a kind make the same agent; presets as a base."""

import gymnasium
import pytest
from torch import nn

import vbandits
from tests.registries import over
from vbandits.agents import Thompson
from vbandits.agents.acquisition import BALD
from vbandits.agents.learner import LearnerSpec
from vbandits.agents.rules import EpsilonGreedy, Greedy
from vbandits.benchmarks.supervised.config import MethodSpec
from vbandits.envs.spec import EnvironmentSpec
from vbandits.envs.wheel import Wheel
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve
from vbandits.networks import MLP, Module
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.ibvi_limit import IBVILimit
from vbandits.posteriors.linear import Linear
from vbandits.presets import LEARNERS, METHODS, PRESETS, nearest
from vbandits.registry import ACQUISITIONS, NETWORKS, POSTERIORS, RULES, load
from vbandits.types import Optimizer, Schedule

WHEEL = {"id": "vbandits/Wheel-v0", "label": "wheel"}


def make_network(features, outputs):
    return nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, outputs))


class Net(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = nn.Linear(features, outputs)

    def forward(self, x):
        return self.layer(x)


def experiment(*agents, settings=()):
    return resolve({"name": "parts", "steps": 50, "environments": [WHEEL], "agents": list(agents)}, settings)


def agent(given, settings=()):
    return experiment(given, settings=settings).methods[0]


def refused(given):
    with pytest.raises(ConfigError) as error:
        experiment(given)
    return str(error.value)


def forms(name, registry):
    cls = load(registry[name])
    return [name, registry[name], cls, cls(), {"kind": name}, {"kind": cls}, {"kind": registry[name]}]


@over("name", POSTERIORS, quick=["ibvi", "linear"])
def test_all_ways_to_give_a_posterior_make_the_same_agent(name):
    made = [agent({"label": "x", "posterior": form, "rule": Thompson}) for form in forms(name, POSTERIORS)]
    assert all(spec.describe() == made[0].describe() for spec in made)
    assert type(made[0].posterior) is load(POSTERIORS[name])


@over("name", RULES, quick=["epsilon_greedy"])
def test_all_ways_to_give_a_rule_make_the_same_agent(name):
    made = [agent({"label": "x", "posterior": Linear, "rule": form}) for form in forms(name, RULES)]
    assert all(spec.describe() == made[0].describe() for spec in made)
    assert type(made[0].rule) is load(RULES[name])


@over("name", {key: place for key, place in NETWORKS.items() if key == "mlp"}, quick=["mlp"])
def test_all_ways_to_give_a_network_make_the_same_agent(name):
    made = [agent({"id": "ibvi", "network": form}) for form in forms(name, NETWORKS)]
    assert all(spec.describe() == made[0].describe() for spec in made)


@over("name", ACQUISITIONS, quick=["bald", "random"])
def test_all_ways_to_give_an_acquisition_make_the_same_learner(name):
    document = {"name": "x", "problems": [{"kwargs": {"pool": "two_moons", "budget": 2}}], "learners": ["x"]}
    config = load("vbandits.benchmarks.active.config:ActiveConfig")
    for form in forms(name, ACQUISITIONS):
        reader = config(document)
        (spec,) = reader.specs("learners", {"id": "ibvi", "acquisition": form})
        assert not reader.errors
        assert spec.acquisition == load(ACQUISITIONS[name])()
        assert spec.describe()["acquisition"]["kind"] == name


def test_a_table_changes_a_preset_and_an_instance_takes_the_place_of_its_part():
    assert agent({"id": "ibvi", "posterior": {"rank": 20}}).posterior == IBVI(rank=20, prior_scale=0.5)
    assert agent({"id": "ibvi", "posterior": IBVI(rank=20)}).posterior == IBVI(rank=20)
    assert agent({"id": "ibvi", "posterior": {"kind": IBVI(rank=20), "samples": 2}}).posterior == IBVI(
        rank=20, samples=2
    )
    assert agent({"id": "ibvi", "optimizer": Optimizer(0.5)}).optimizer == Optimizer(0.5)
    assert agent({"id": "ibvi", "schedule": Schedule(every=7)}).schedule.every == 7
    assert agent({"id": "ibvi", "rule": "greedy"}).rule == Greedy()


def test_settings_change_instances_too():
    specs = [{"id": "ibvi", "posterior": IBVI(samples=2)}, vbandits.AgentSpec("x", IBVI(samples=2), Thompson())]
    for spec in specs:
        assert agent(spec, ["posterior.rank=20"]).posterior == IBVI(rank=20, samples=2)
    wheel = EnvironmentSpec("w", Wheel, {"delta": 0.5}, delay=3)
    document = {"name": "x", "environments": [wheel], "agents": ["linear-ts"]}
    (problem,) = resolve(document, ["environments.w.kwargs.delta=0.9"]).problems
    assert problem.environment == EnvironmentSpec("w", Wheel, {"delta": 0.9}, delay=3, batch=1)


@pytest.mark.parametrize("network", [make_network, Net, Module(make_network), "tests.test_parts:make_network"])
def test_a_function_or_a_class_of_modules_is_a_network(network):
    spec = agent({"id": "ibvi", "network": network})
    assert isinstance(spec.network, Module)
    assert spec.network.build(3, 2).layers[-1].fan_out == 2
    if not isinstance(network, str):
        alone = vbandits.AgentSpec("ibvi", IBVI(prior_scale=0.5), Thompson(), network=network)
        assert agent(alone).describe() == spec.describe()


def test_a_declaration_takes_classes():
    assert vbandits.AgentSpec("x", IBVI, Thompson, MLP) == vbandits.AgentSpec("x", IBVI(), Thompson(), MLP())
    assert LearnerSpec("x", IBVI, BALD) == LearnerSpec("x", IBVI(), BALD())
    assert MethodSpec("x", IBVI).posterior == IBVI()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": "ibvi", "posterior": 5}, r"posterior: expected a table of fields, a kind (one of deterministic, "),
        ({"id": "ibvi", "posterior": "ibiv"}, "posterior: unknown kind of posterior 'ibiv'; did you mean 'ibvi'?"),
        ({"id": "ibvi", "optimizer": "sgd"}, "optimizer: expected a table of fields, got 'sgd'"),
        ({"id": "ibvi", "network": Net(2, 3)}, "network: expected a function of the numbers of features and outputs"),
        (
            {"id": "ibvi", "posterior": {"kind": IBVI, "rnak": 2}},
            "posterior: unknown field 'rnak'; did you mean 'rank'?",
        ),
    ],
)
def test_what_can_be_no_part_is_refused(entry, message):
    assert message in refused(entry)


class Coin(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)


def test_an_environment_that_is_made_already_is_told_what_to_give():
    for made, instead in (
        (Coin(), "give the class Coin"),
        (gymnasium.make("CartPole-v1"), "give its id, 'CartPole-v1'"),
    ):
        with pytest.raises(ConfigError, match=instead):
            vbandits.run([made], ["linear-ts"], seeds=1, steps=10)


# presets as a base


def test_a_preset_is_what_its_name_is_in_an_experiment():
    for name in PRESETS:
        spec = vbandits.preset(name)
        assert spec.describe() == agent(name).describe(), name


def test_a_preset_has_what_is_changed_and_keeps_the_rest():
    spec = vbandits.preset("ibvi-limit", "mine", network=make_network, posterior={"doubt": 7.0})
    assert spec == vbandits.AgentSpec(
        "mine",
        IBVILimit(doubt=7.0),
        Thompson(temper=0.5),
        Module(make_network),
        optimizer=Optimizer(0.01, anchor=1.0),
        standardize="arms",
    )
    assert agent(spec) is spec


def test_learners_and_methods_have_presets_too():
    learner = vbandits.preset("ibvi", benchmark="active", acquisition=BALD)
    assert learner.label == "ibvi BALD"
    assert (learner.optimizer, learner.acquisition) == (Optimizer(0.03, decay_steps=200), BALD())
    method = vbandits.preset("ibvi-low-rank", "x", benchmark="supervised", steps=70, network=MLP)
    assert method == MethodSpec("x", IBVI(rank=20), MLP(), Optimizer(0.05, decay_steps=70))


def test_a_preset_that_is_none_says_so():
    with pytest.raises(ConfigError, match="unknown agent 'ibiv'; did you mean 'ibvi'"):
        vbandits.preset("ibiv")
    with pytest.raises(ConfigError, match=r"unknown key 'postreior'; did you mean 'posterior'"):
        vbandits.preset("ibvi", postreior={"rank": 2})
    with pytest.raises(ConfigError, match=r"expected one, got 2: ibvi rank=2, ibvi rank=5"):
        vbandits.preset("ibvi", posterior={"rank": [2, 5]})
    with pytest.raises(ConfigError, match=r"acquisition: expected one or a list of"):
        vbandits.preset("ibvi", benchmark="active")


# what nothing is said of


def test_the_nearest_preset_has_the_posterior_in_common():
    assert nearest(PRESETS, IBVI(), Thompson()) == "ibvi"
    assert nearest(PRESETS, IBVI(layers="last", noise_rank=10), Thompson()) == "ibvi-noise-aware"
    assert nearest(PRESETS, Deterministic(), Greedy()) == "deterministic"
    assert nearest(PRESETS, Deterministic(), EpsilonGreedy()) == "epsilon-greedy"
    assert nearest(PRESETS, Net(1, 1)) is None
    for presets in (PRESETS, LEARNERS, METHODS):
        for name, content in presets.items():
            if "posterior" in content and not name.endswith("-forgetting"):
                cls = load(POSTERIORS[content["posterior"]["kind"]])
                posterior = cls(**{key: value for key, value in content["posterior"].items() if key != "kind"})
                rule = content.get("rule", {}).get("kind")
                found = nearest(presets, posterior, rule and load(RULES[rule])())
                assert presets[found]["posterior"] == content["posterior"], name


def test_an_agent_without_an_optimizer_has_the_tuned_one_and_says_so():
    forms = [
        vbandits.AgentSpec("x", IBVILimit(), Thompson()),
        {"label": "x", "posterior": IBVILimit, "rule": Thompson},
        {"label": "x", "posterior": {"kind": "ibvi_limit"}, "rule": {"kind": "thompson"}},
    ]
    for form in forms:
        found = experiment(form)
        spec = found.methods[0]
        assert (spec.optimizer, spec.standardize) == (Optimizer(0.01, anchor=1.0), "arms")
        assert found.notes == (
            "x: not given, and therefore as in the preset 'ibvi-limit': standardize=arms learning_rate=0.01 anchor=1",
        )
    preset = vbandits.preset("ensemble")
    assert agent(vbandits.AgentSpec("x", Ensemble(), Thompson())).optimizer == preset.optimizer != Optimizer()


def test_what_is_given_is_never_changed():
    default = {"optimizer": Optimizer(), "standardize": True}
    for form in (
        vbandits.AgentSpec("x", IBVILimit(), Thompson(), **default),
        {"label": "x", "posterior": IBVILimit, "rule": Thompson, **default},
        {"label": "x", "posterior": IBVILimit, "rule": Thompson, "optimizer": {}, "standardize": True},
    ):
        found = experiment(form)
        assert (found.methods[0].optimizer, found.methods[0].standardize) == (Optimizer(), True)
        assert found.notes == ()
    assert agent({"id": "ibvi-limit", "optimizer": {"learning_rate": 0.02}}).optimizer == Optimizer(0.02, anchor=1.0)


def test_an_optimizer_that_is_neither_given_nor_tuned_is_noted():
    found = experiment(vbandits.AgentSpec("x", Unknown(), Thompson()))
    assert found.methods[0].optimizer == Optimizer()
    (note,) = found.notes
    assert note.startswith("x: its optimizer is neither given nor tuned, since no preset has a posterior of this kind")
    assert experiment(vbandits.AgentSpec("x", Unknown(), Thompson(), optimizer=Optimizer())).notes == ()


class Unknown(IBVI):
    """A posterior of a user's own, which no preset has."""


def test_learners_and_methods_without_an_optimizer_have_the_tuned_one():
    document = {
        "name": "x",
        "problems": [{"kwargs": {"pool": "two_moons", "budget": 2}}],
        "learners": [LearnerSpec("a", Ensemble(), BALD()), {"posterior": Ensemble, "acquisition": "bald"}],
    }
    found = resolve(document)
    assert [spec.optimizer for spec in found.methods] == [Optimizer(0.1, decay_steps=200)] * 2
    assert len(found.notes) == 2
    document = {
        "name": "x",
        "steps": 9,
        "datasets": [{"id": "digits", "kwargs": {"rows": 20, "validation_rows": 5}}],
        "methods": [MethodSpec("a", Ensemble(), MLP((3,))), {"posterior": Ensemble, "network": MLP((3,))}],
    }
    assert [spec.optimizer for spec in resolve(document).methods] == [Optimizer(0.2, decay_steps=9)] * 2
