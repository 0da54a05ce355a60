"""Where an environment comes from: how it is found, what a misspelt one is told, and what identifies it."""

import functools
import importlib
import json
import pickle
import sys
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import outsider_envs
import pandas as pd
import pytest
import torch
from gymnasium import Wrapper
from gymnasium.envs.registration import WrapperSpec
from sklearn.linear_model import LinearRegression

from vbandits.envs.adapter import UserEnvironments
from vbandits.envs.base import BLOCK, Block, Native, NativeBandit
from vbandits.envs.single import SingleEnvironment
from vbandits.envs.spaces import ObservationSpec
from vbandits.envs.spec import EnvironmentInfo, EnvironmentSpec, fingerprint, resolve
from vbandits.envs.wheel import Wheel
from vbandits.registry import ENVIRONMENTS
from vbandits.source_hash import plain, reference, source_hash

register: Any = gymnasium.register  # its types want functions of **kwargs alone


class Coin(NativeBandit):
    """A native bandit of a user's own: heads pays `stake`."""

    def __init__(self, num_envs=1, device="cpu", *, stake=1.0):
        super().__init__(num_envs, device, features=1, arms=2)
        self.stake = stake

    def blocks(self, seed):
        expected = np.tile([0.0, self.stake], (BLOCK, 1))
        return repeat(Block(np.ones((BLOCK, 1)), expected, expected))


class Twice(Wrapper):
    """A wrapper of the registry: doubles the reward."""

    def step(self, action):
        context, reward, terminated, truncated, info = super().step(action)
        return context, 2 * float(reward), terminated, truncated, info


@pytest.fixture
def registered():
    """Registers `Coin` and forgets it afterwards."""
    before = dict(gymnasium.registry)
    single = functools.partial(SingleEnvironment, Coin)
    register("acme/Coin-v0", entry_point=single, vector_entry_point=Coin, kwargs={"stake": 3.0})
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    """A module in a user's folder, which may be written again."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_own_envs.py"
    file.write_text("from outsider_envs import Walk\n\n\nclass Mine(Walk):\n    pass\n")
    yield file
    sys.modules.pop("my_own_envs", None)


def reward_of_heads(environment):
    environment.reset(seed=[0, 1])
    return environment.step(torch.tensor([1, 1]))[1].tolist()


@pytest.mark.parametrize(
    ("source", "kwargs", "stake"),
    [
        (Coin, {}, 1.0),
        (functools.partial(Coin, stake=4.0), {}, 4.0),
        ("acme/Coin-v0", {}, 3.0),
        ("acme/Coin-v0", {"stake": 5.0}, 5.0),
        (f"{__name__}:Coin", {"stake": 2.0}, 2.0),
    ],
    ids=["class", "partial", "id", "id with kwargs", "module:class"],
)
def test_a_native_bandit_of_a_user_runs_natively(registered, source, kwargs, stake):
    spec = EnvironmentSpec("coin", source, kwargs)
    environment = spec.open(2)
    assert isinstance(environment, Coin)
    assert reward_of_heads(environment) == [stake, stake]
    single = spec.single()
    single.reset(seed=0)
    assert single.step(1)[1] == stake


def test_a_native_bandit_that_is_registered_with_wrappers_keeps_them(registered):
    twice = WrapperSpec("Twice", f"{__name__}:Twice", {})
    register(
        "acme/Twice-v0",
        entry_point=functools.partial(SingleEnvironment, Coin),
        vector_entry_point=Coin,
        additional_wrappers=(twice,),
    )
    environment = EnvironmentSpec("coin", "acme/Twice-v0").open(2)
    assert isinstance(environment, UserEnvironments)
    assert reward_of_heads(environment) == [2.0, 2.0]


@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_our_own_ids_open_natively(name):
    environment = EnvironmentSpec("it", name).open(3)
    assert isinstance(environment, Native)
    assert environment.num_envs == 3
    assert f"{type(environment).__module__}:{type(environment).__name__}" == ENVIRONMENTS[name]


@pytest.mark.parametrize(
    ("source", "kwargs", "message"),
    [
        ("vbandits/Whel-v0", {}, "did you mean 'vbandits/Wheel-v0'"),
        ("vbandits/wheel", {}, "did you mean 'vbandits/Wheel-v0'"),
        ("CartPol-v1", {}, "did you mean 'CartPole-v1'"),
        ("Wheel", {}, "vbandits/Wheel-v0"),
        ("acme/Adz-v0", {}, "did you mean 'acme/Ads-v0'"),
        ("outsider_envs:acme/Adz-v0", {}, "after importing outsider_envs: 'acme/Adz-v0'; did you mean 'acme/Ads-v0'"),
        ("outsider_envs:Adz", {}, "did you mean 'Ads'"),
        ("outsider_env:Ads", {}, "no module 'outsider_env'"),
        ("no_such_module:CartPole-v1", {}, "no module 'no_such_module'"),
        ("outsider_envs:Ads", {"discont": 1}, "unknown parameter of outsider_envs:Ads 'discont'; did you mean 'disc"),
        ("acme/Ads-v0", {"discont": 1}, "unknown parameter of acme/Ads-v0 'discont'; did you mean 'discount'"),
        (Wheel, {"nonsense": 1, "delta": 2.0}, "(?s)unknown parameter .*'nonsense'.*delta: expected .*got 2.0"),
        (Wheel, {"num_envs": 3}, "unknown parameter .*'num_envs'"),
        ("outsider_envs:Ads", {"discount": "much"}, "Ads"),
        (outsider_envs.MixedTypesOf, {}, r"expected to make outsider_envs:MixedTypesOf with \{\}, got TypeError"),
    ],
)
def test_what_cannot_be_found_or_made_is_refused_with_the_nearest_name(source, kwargs, message):
    if kwargs.get("discount") == "much":
        source = lambda discount: int(discount)  # noqa: E731
        message = "invalid literal"
    with pytest.raises(ValueError, match=message):
        EnvironmentSpec("it", source, kwargs).open(1)


def test_an_environment_that_is_already_made_is_refused():
    with pytest.raises(ValueError, match="give the class"):
        resolve(outsider_envs.Ads())


def test_an_unknown_id_does_not_list_the_whole_registry():
    with pytest.raises(ValueError, match="unknown environment") as caught:
        EnvironmentSpec("it", "nothing like it").open(1)
    assert "CartPole" not in str(caught.value)
    assert "vbandits/Wheel-v0" in str(caught.value)


def test_a_registered_batch_that_is_not_native_is_refused(registered):
    register("acme/Batch-v0", vector_entry_point=lambda num_envs: None)
    with pytest.raises(ValueError, match="expected acme/Batch-v0 to be registered with an entry_point"):
        EnvironmentSpec("it", "acme/Batch-v0").open(1)


def test_a_registered_environment_travels_to_a_process_that_has_not_registered_it(registered):
    register("acme/Journey-v0", entry_point=outsider_envs.Ads, kwargs={"discount": 0.5})
    sent = pickle.dumps(EnvironmentSpec("it", "acme/Journey-v0", {"discount": 0.25}))
    del gymnasium.registry["acme/Journey-v0"]
    received = pickle.loads(sent)
    assert received == EnvironmentSpec("it", "acme/Journey-v0", {"discount": 0.25})
    assert received.single().unwrapped._discount == 0.25


def test_an_edited_environment_has_another_fingerprint(users_module):
    spec = EnvironmentSpec("mine", "my_own_envs:Mine", {"a": 1})
    first = fingerprint(spec)
    assert first == {
        "label": "mine",
        "source": "my_own_envs:Mine",
        "kwargs": {"a": 1},
        "delay": 0,
        "batch": 1,
        "code": {"my_own_envs": first["code"]["my_own_envs"]},
    }
    assert fingerprint(spec) == first
    users_module.write_text(users_module.read_text() + "# a different reward\n")
    assert fingerprint(spec)["code"] != first["code"]
    sys.modules.pop("my_own_envs")
    by_class = EnvironmentSpec("mine", importlib.import_module("my_own_envs").Mine, {"a": 1})
    assert fingerprint(by_class) == fingerprint(spec)


def test_fingerprints_are_json_and_know_what_is_registered(registered):
    found = fingerprint(EnvironmentSpec("coin", "acme/Coin-v0", {"x": np.arange(2), "f": Wheel, "n": np.float32(0.5)}))
    assert json.loads(json.dumps(found)) == found
    assert found["kwargs"] == {"stake": 3.0, "x": [0, 1], "f": "vbandits.envs.wheel:Wheel", "n": 0.5}
    assert found["source"] == "acme/Coin-v0"
    assert set(found["code"]) == {__name__}


@pytest.mark.parametrize("source", ["vbandits/Wheel-v0", "CartPole-v1", Wheel])
def test_code_that_has_a_version_is_not_hashed(source):
    assert "code" not in fingerprint(EnvironmentSpec("it", source))


def test_the_module_that_registers_counts_beside_the_one_that_defines(users_module):
    users_module.write_text(
        "import gymnasium\n"
        "gymnasium.register('acme/Own-v0', entry_point='outsider_envs:Ads', kwargs={'discount': 0.1})\n"
    )
    try:
        found = fingerprint(EnvironmentSpec("it", "my_own_envs:acme/Own-v0"))
    finally:
        gymnasium.registry.pop("acme/Own-v0", None)
    assert set(found["code"]) == {"outsider_envs", "my_own_envs"}
    assert found["kwargs"] == {"discount": 0.1}


def test_references_name_the_object():
    assert reference("CartPole-v1") == "CartPole-v1"
    assert reference(Wheel) == reference(Wheel()) == "vbandits.envs.wheel:Wheel"
    assert reference(outsider_envs) == "outsider_envs"
    assert reference(outsider_envs.make_ads) == "outsider_envs:make_ads"
    assert reference(functools.partial(Wheel, delta=0.9)) == "vbandits.envs.wheel:Wheel(delta=0.9)"
    assert reference(functools.partial(Wheel, 2, std=0, delta=0.9)).endswith(":Wheel(2, delta=0.9, std=0)")


def test_only_a_users_own_code_is_hashed(tmp_path):
    assert source_hash(Wheel) is source_hash(json) is source_hash(LinearRegression) is source_hash(int) is None
    own = source_hash(outsider_envs)
    assert own is not None
    assert len(own) == 16
    assert source_hash(outsider_envs.Ads) == source_hash(functools.partial(outsider_envs.make_ads)) == own
    assert source_hash(Coin) == source_hash(sys.modules[__name__]) != own
    for folder, digest in (("site-packages", None), ("mine", source_hash(outsider_envs))):
        module = ModuleType("somewhere")
        module.__file__ = str(tmp_path / folder / "somewhere.py")
        Path(module.__file__).parent.mkdir()
        Path(module.__file__).write_bytes(Path(str(outsider_envs.__file__)).read_bytes())
        assert source_hash(module) == digest, "the bytes count, and not the place"
    namespace = {"__name__": "typed_into_a_notebook"}
    exec("def make():\n    pass", namespace)
    assert source_hash(namespace["make"]) is None, "nobody kept its text"


def test_values_are_plain_and_the_same_in_every_process():
    assert plain({1: (2, None), "p": Path("a/b"), "s": {3, 1, 2}}) == {"1": [2, None], "p": "a/b", "s": [1, 2, 3]}
    assert plain(object()) == plain(object()) == "<object object>"
    assert plain(torch.ones(2, 1)) == [[1.0], [1.0]]


def test_an_open_environment_tells_all_that_a_declaration_is_asked_without_being_opened_again(registered, monkeypatch):
    made = []
    monkeypatch.setattr(
        Coin, "__init__", lambda self, *a, _init=Coin.__init__, **k: (made.append(1), _init(self, *a, **k))[1]
    )
    specs = [
        EnvironmentSpec("coin", "acme/Coin-v0"),
        EnvironmentSpec("wine", "vbandits/Classification-v0", {"dataset": "wine"}),
        EnvironmentSpec("pool", "vbandits/PoolActiveLearning-v0", {"budget": 3}),
        EnvironmentSpec("ads", "outsider_envs:Ads"),
    ]
    infos = [EnvironmentInfo.of(spec, spec.open(2)) for spec in specs]
    assert len(made) == 1
    assert [info.fingerprint for info in infos] == [fingerprint(spec) for spec in specs]
    assert ["data" in info.fingerprint for info in infos] == [False, True, True, False]
    assert [info.family for info in infos] == ["bandit", "bandit", "pool", "bandit"]
    assert [info.observations for info in infos] == [
        ObservationSpec(1, 2),
        ObservationSpec(13, 3),
        None,
        ObservationSpec(4, 3),
    ]
    assert any("1,797" in note for note in infos[2].notes)


@pytest.mark.parametrize("name", ["vbandits/Wheel-v0", "vbandits/PoolActiveLearning-v0"])
def test_a_native_id_is_one_reference_that_gymnasium_can_write_down(name):
    spec = gymnasium.spec(name)
    again = pickle.loads(pickle.dumps(spec))
    for made in (gymnasium.make(name), gymnasium.make(again), gymnasium.make(type(spec).from_json(spec.to_json()))):
        assert isinstance(made.unwrapped, SingleEnvironment)
        observation, _ = made.reset(seed=3)
        assert observation in made.observation_space
    assert isinstance(gymnasium.make_vec(name, 2, vectorization_mode="vector_entry_point"), Native)
    with pytest.raises(AttributeError, match="no attribute 'Whel'"):
        importlib.import_module("vbandits.envs.single").Whel  # noqa: B018


@dataclass
class Holder:
    model: Any
    name: str = "it"


class Chain:
    def __init__(self, model):
        self.model, self.me = model, self


@pytest.mark.parametrize("wrapped", [lambda model: model, Holder, Chain], ids=["itself", "dataclass", "cycle"])
def test_models_that_look_alike_and_hold_other_numbers_are_different_sources(wrapped):
    """Their text is the same: results of the one must not be taken for those of the other."""
    frame = pd.DataFrame({"x": np.arange(100.0)})
    for one, same, other in (
        (torch.nn.Linear(2, 1),) * 2 + (torch.nn.Linear(2, 1),),
        [LinearRegression().fit([[0.0], [1.0]], [0.0, slope]) for slope in (1.0, 1.0, 2.0)],
        [Chain(own) for own in (frame, frame.copy(), frame + (frame == 50))],
    ):
        assert plain(wrapped(one)) == plain(wrapped(pickle.loads(pickle.dumps(same))))
        assert plain(wrapped(one)) != plain(wrapped(other))


def test_a_dataclass_of_numbers_is_its_text():
    assert plain(Holder(3)) == "Holder(model=3, name='it')"
