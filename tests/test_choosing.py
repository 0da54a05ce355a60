"""What `--set` changes and sweeps, and what of it is chosen: policies, labels of sweeps, and what stands at the top."""

import numpy as np
import pytest

from tests.logs import made
from tests.test_sweeps import WHEEL, learned, refused
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import ad_hoc, resolve, select


class Chance:
    """A policy that plays by chance."""

    def __init__(self, seed, arms, chance=0.1, unknown=None):
        self.arms, self.random = arms, np.random.default_rng(seed)

    def act(self, observation):
        return int(self.random.integers(self.arms))

    def observe(self, action, reward):
        pass


def test_a_policy_is_swept_where_the_type_or_the_default_of_a_parameter_is_known():
    swept_alone = {"policy": Chance, "kwargs": {"chance": [0.1, 0.2], "unknown": [1, 2]}}
    assert {label: spec.kwargs for label, spec in learned([swept_alone]).items()} == {
        "Chance chance=0.1 unknown=[1, 2]": {"chance": 0.1, "unknown": [1, 2]},
        "Chance chance=0.2 unknown=[1, 2]": {"chance": 0.2, "unknown": [1, 2]},
    }
    assert [*learned([Chance], ["kwargs.chance=[0.1, 0.2]"])] == ["Chance chance=0.1", "Chance chance=0.2"]
    assert "unknown parameter of" in (message := refused([{"policy": Chance, "kwargs": {"sed": 1}}]))
    assert "did you mean 'seed'? (known: arms, chance, seed, unknown)" in message


def test_a_long_value_has_its_end_in_a_label():
    path = "/a/folder/with/a/long/name/where/files/are/patients.csv"
    (label,) = learned([{"policy": Chance, "kwargs": {"unknown": path}}])
    assert label == f"Chance unknown=…{path[-39:]}"


def test_what_a_setting_sweeps_is_chosen_by_its_label():
    document = {"name": "x", "environments": [WHEEL], "agents": ["ibvi", "elbo"]}

    def chosen(names, *settings, document=document):
        selected = select(document, {"agents": names}, settings=settings)
        return [spec.label for spec in resolve(selected, settings).methods]

    assert chosen("ibvi rank=2", "posterior.rank=[2, 5]") == ["ibvi rank=2", "uniform"]
    assert chosen("ibvi rank=5,elbo", "agents.ibvi.posterior.rank=[2, 5]") == ["ibvi rank=5", "elbo", "uniform"]
    assert chosen("ibvi hidden=[8 8],elbo hidden=[9]", "network.hidden=[[8, 8], [9]]") == [
        "ibvi hidden=[8 8]",
        "elbo hidden=[9]",
        "uniform",
    ]
    policies = document | {"agents": [{"policy": Chance, "kwargs": {"unknown": [[1, 2]]}}, "ibvi"]}
    assert chosen("Chance unknown=[[1, 2]] chance=0.2,ibvi", "kwargs.chance=[0.1, 0.2]", document=policies) == [
        "Chance unknown=[[1, 2]] chance=0.2",
        "ibvi",
        "uniform",
    ]
    assert chosen("ibvi rank=2", "posterior.rank=[2, 5]", document={"name": "x", "environments": [WHEEL]}) == [
        "ibvi rank=2",
        "uniform",
    ]
    both = {"environments": WHEEL["id"], "agents": "ibvi rank=2,linear-ts"}  # no file: of all presets
    whole = ad_hoc(select({}, both, settings=["posterior.rank=[2, 5]"]))
    assert whole["name"] == "wheel-v0-ibvi-rank-2-linear-ts"
    made = resolve(whole, ["posterior.rank=[2, 5]"]).methods
    assert [spec.label for spec in made] == ["ibvi rank=2", "linear-ts", "uniform"]
    with pytest.raises(ConfigError, match="unknown agent 'ibvi rank=7'; did you mean 'ibvi'"):
        chosen("ibvi rank=7", "posterior.rank=[2, 5]")


def test_what_a_file_says_at_its_top_can_be_set():
    document = {"name": "it", "logs": [made()], "policies": [], "folds": 4}
    found = resolve(document, ["training_rows=100", "folds=3", "draws=32", "seeds=[1, 2]"])
    assert found.options == {"folds": 3, "training_rows": 100, "draws": 32}
    assert found.seeds == (1, 2)
    with pytest.raises(ConfigError, match="folds: expected greater than or equal to 2, got 1"):
        resolve(document, ["folds=1"])
    with pytest.raises(ConfigError, match="unknown field 'fold'; did you mean 'folds'"):
        resolve(document, ["fold=3"])


def test_a_log_has_no_steps_and_it_is_said_what_it_has():
    with pytest.raises(ConfigError) as refused:
        resolve({"name": "it", "logs": [made()], "policies": [], "steps": 100})
    (error,) = refused.value.errors
    assert error.startswith("steps: expected none in an experiment with [[logs]] and [[policies]], got 100: ")
    assert error.endswith("--set training_rows=1000")
