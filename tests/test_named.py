"""An experiment file is code: what it names is called if it is of the right kind, and refused before it is called."""

import importlib
import json
import sys
from pathlib import Path

import gymnasium
import pytest

import vbandits as library
from tests.keeping import FORM
from tests.test_running import vbandits
from vbandits.agents import AgentSpec
from vbandits.agents.agent import Agent
from vbandits.agents.rules import Uniform
from vbandits.agents.saving import keep, write_agent
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve
from vbandits.named import KINDS
from vbandits.registry import load
from vbandits.serialize import digest

LINEAR = "vbandits/LinearBandit-v0"
SMALL = {"name": "small", "seeds": 1, "steps": 5, "environments": [LINEAR], "agents": ["uniform"]}
HARMFUL = [
    "os:system",
    "subprocess:run",
    "subprocess:Popen",
    "shutil:rmtree",
    "builtins:exec",
    "pathlib:Path",
    "importlib:import_module",
    "pickle:loads",
    "runpy:run_path",
    "sys:exit",
    "my_tools:system",
    "my_tools:Popen",
]
TOOLS = """
import functools
from os import system
from subprocess import Popen

import gymnasium
from torch import nn

from vbandits.agents import AgentSpec, Greedy
from vbandits.envs.synthetic import LinearBandit as Linear


def make(arms=2):
    return Linear(arms=arms, num_envs=1, device="cpu")


made = functools.partial(make, arms=3)


def agent():
    return AgentSpec("mine", None, Greedy())


def network(features, outputs):
    return nn.Linear(features, outputs)


def on_step(event):
    pass


class Lacking:
    def reset(self):
        open("executed", "w").close()
"""
INSTALLED = """
from torch import nn
import gymnasium


def anything(command="touch executed"):
    open("executed", "w").close()


def make() -> "gymnasium.Env":
    return gymnasium.make("CartPole-v1")


def network(features: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, outputs))
"""
EVIL = "open('executed', 'w').close()\nBENCHMARK = 1\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a user's modules, beside one of an installed package, and with one that only data name."""
    packages = tmp_path / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "acme_bandits.py").write_text(INSTALLED)
    (tmp_path / "my_tools.py").write_text(TOOLS)
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(packages), *sys.path])
    for name in ("acme_bandits", "my_tools", "evil"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("acme_bandits", "my_tools", "evil"):
        sys.modules.pop(name, None)


def refused(document):
    with pytest.raises(ConfigError) as error:
        resolve(document)
    return " ".join("\n".join(error.value.errors).split())


@pytest.mark.parametrize("what", [kind for kind in KINDS if kind != "benchmark"])
@pytest.mark.parametrize("place", HARMFUL)
def test_what_is_not_of_the_right_kind_is_not_there_to_be_called(place, what):
    with pytest.raises(ValueError, match=rf"{place}: expected an? {what}, a class with .* function that makes one"):
        load(place, what)


PLACES = {
    "environment": lambda name: {"environments": [{"id": name, "kwargs": {"command": "touch executed"}}]},
    "agent": lambda name: {"agents": [name]},
    "policy": lambda name: {"agents": [{"policy": name, "kwargs": {"command": "touch executed"}}]},
    "posterior": lambda name: {"agents": [{"id": "ibvi", "posterior": {"kind": name}}]},
    "rule": lambda name: {"agents": [{"id": "ibvi", "rule": {"kind": name}}]},
    "network": lambda name: {"agents": [{"id": "ibvi", "network": {"kind": name}}]},
    "factory": lambda name: {"agents": [{"id": "ibvi", "network": {"kind": "module", "factory": name}}]},
    "callback": lambda name: {"callbacks": [name]},
    "callback with fields": lambda name: {"callbacks": [{"kind": name, "command": "touch executed"}]},
    "benchmark": lambda name: {"benchmark": name},
}


@pytest.mark.parametrize("name", ["acme_bandits:anything", "os:system"])
@pytest.mark.parametrize("where", PLACES)
def test_a_function_of_another_kind_is_refused_wherever_it_is_named(where, name):
    assert name.partition(":")[2] in refused(SMALL | PLACES[where](name))
    assert not Path("executed").exists()


@pytest.mark.parametrize("kind", ["acquisition", "posterior", "network"])
def test_so_it_is_in_other_benchmarks(kind):
    learner = {"id": "ibvi", "acquisition": "random"} | {kind: {"kind": "acme_bandits:anything"}}
    active = {"name": "small", "seeds": 1, "problems": [{"pool": "digits"}], "learners": [learner]}
    assert "acme_bandits:anything" in refused(active)
    if kind != "acquisition":
        method = {"id": "ibvi", kind: {"kind": "acme_bandits:anything"}}
        assert "acme_bandits:anything" in refused(
            {"name": "small", "seeds": 1, "datasets": ["uci_yacht"], "methods": [method]}
        )
    assert not Path("executed").exists()


def test_a_class_without_the_methods_is_not_made_and_is_told_with_file_and_line():
    said = refused(SMALL | {"environments": ["my_tools:Lacking"]})
    assert "expected an environment, a class with reset and step" in said
    assert "got my_tools:Lacking without step (my_tools.py:" in said


@pytest.mark.parametrize("place", ["my_tools:make", "my_tools:made", "my_tools:Linear", "acme_bandits:make"])
def test_functions_of_ones_own_and_annotated_ones_and_classes_make_environments(place):
    assert callable(load(place, "environment"))


def test_others_are_loaded_too():
    for place, what in (
        ("my_tools:agent", "agent"),
        ("my_tools:network", "network"),
        ("my_tools:on_step", "callback"),
        ("acme_bandits:network", "network"),
        ("torch.nn:Linear", "network"),
        ("vbandits.posteriors.ibvi:IBVI", "posterior"),
    ):
        assert load(place, what) is not None
    assert resolve(SMALL | {"environments": ["CartPole-v1"]}).problems


def test_what_is_given_in_python_is_taken_as_it_is(here):
    acme_bandits = importlib.import_module("acme_bandits")

    def make():
        return gymnasium.make("CartPole-v1")

    make.__module__ = "acme_bandits"  # as if it were installed
    assert resolve(SMALL | {"environments": [make]}).problems
    assert acme_bandits.anything is library.EnvironmentSpec("x", acme_bandits.anything).source


def test_no_path_and_no_relative_module_is_imported():
    for place in ("tests/helpers:preset", "../evil:BENCHMARK", ".evil:BENCHMARK", "evil.:x", ":x", "evil:"):
        with pytest.raises(ValueError, match="expected 'module:name', such as 'my_module:MyClass'"):
            load(place, "environment")
    assert not Path("executed").exists()


def test_naming_a_module_imports_it():
    with pytest.raises(ValueError, match="unknown name in evil"):
        load("evil:Nothing", "environment")
    assert Path("executed").exists()


# A saved agent names code as an experiment file does.


@pytest.mark.parametrize("place", ["acme_bandits:anything", "os:system", "subprocess:Popen"])
@pytest.mark.parametrize("section", ["posterior", "rule", "network", "factory"])
def test_of_a_saved_agent_only_what_is_of_the_right_kind_is_called(place, section, tmp_path):
    agent = Agent(AgentSpec("plain", None, Uniform()), (0,), FORM["contexts"], 1, "cpu")
    write_agent(tmp_path / "agent", keep(agent))
    path = tmp_path / "agent.json"
    about = {name: own for name, own in json.loads(path.read_text()).items() if name != "digest"}
    kind = {"kind": "module", "factory": place} if section == "factory" else {"kind": place}
    about["agent"]["network" if section == "factory" else section] = kind
    if section in ("network", "factory"):
        about["agent"]["posterior"] = {"kind": "deterministic"}
    path.write_text(json.dumps({**about, "digest": digest(about)}))
    with pytest.raises(ConfigError):
        library.load_agent(path)
    assert not Path("executed").exists()


def test_a_check_from_the_command_line_calls_no_other_kind_either(capsys):
    assert vbandits("check", "acme_bandits:anything", "--kwargs.command", "touch executed") in (1, 2)
    shown = capsys.readouterr()
    assert "expected an environment, a class with reset and step" in " ".join((shown.out + shown.err).split())
    assert not Path("executed").exists()
