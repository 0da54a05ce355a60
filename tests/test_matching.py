"""Logs that agents start from: their arms and columns are the environment's, by name wherever both have names."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import vbandits
from tests.test_running import vbandits as command
from vbandits.benchmarks.bandits.report import _warm_starts
from vbandits.data.logs import load_log
from vbandits.data.matching import matched
from vbandits.envs import Mushroom, RewardTable
from vbandits.envs.logged import EAT
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store

ROWS = 120


def table():
    """Returns a table of rewards, whose arms are not in the order of the alphabet."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.normal(size=ROWS).round(3), "income": random.normal(size=ROWS).round(3)})
    frame = frame.assign(town=np.where(random.random(ROWS) < 0.5, "Bonn", "Ulm"))
    return frame.assign(visit=frame["age"] > 0, none=0.4, mail=frame["income"] > 0).astype(
        {"visit": float, "mail": float}
    )


def decisions(arms=("visit", "none", "mail")):
    """Returns a log of them, with names of its own for the arms where given."""
    random, frame = np.random.default_rng(1), table()
    played = random.integers(3, size=ROWS)
    paid = frame[["visit", "none", "mail"]].to_numpy()[np.arange(ROWS), played]
    log = frame[["age", "income", "town"]].assign(action=np.array(arms)[played], reward=paid, propensity=1 / 3)
    return log, played


def entry(log, rewards=("visit", "none", "mail"), **more):
    kwargs = {"table": table(), "rewards": list(rewards)}
    return {"id": "vbandits/RewardTable-v0", "label": "t", "kwargs": kwargs, "log": {"id": log, **more}}


def records(*entries):
    """Returns what a run recorded, but for the time it took."""
    results = vbandits.run(environments=[*entries], agents=["linear-ts"], seeds=2, steps=30, workers=1)
    return results.records


def test_names_count_and_not_the_order_of_arms_and_columns():
    log, played = decisions()
    numbers = log.assign(action=played)  # arms by their place among the environment's, which is the truth
    wanted = records(entry(numbers))
    for own in (log, log[["town", "propensity", "income", "action", "reward", "age"]]):
        pd.testing.assert_frame_equal(records(entry(own)), wanted, check_exact=True)
    letters = np.array(["z", "y", "x"])
    pd.testing.assert_frame_equal(
        records(entry(log.assign(action=letters[played]), arms=["z", "y", "x"])), wanted, check_exact=True
    )
    wrong = log.assign(action=np.roll(["visit", "none", "mail"], 1)[played])
    assert not records(entry(wrong)).equals(wanted), "what agents learn from the log changes what they do"


def test_what_an_agent_is_given_is_the_log_in_the_environments_order():
    log, played = decisions()
    (problem,) = resolve({"name": "it", "environments": [entry(log[[*log.columns[::-1]]])], "agents": []}).problems
    found = problem.environment.warm_log()
    assert found.arm_names == ("visit", "none", "mail")
    assert found.feature_names == ("age", "income", "town=Bonn", "town=Ulm")
    np.testing.assert_array_equal(found.action, played)
    np.testing.assert_array_equal(found.context[:, 0], log["age"].to_numpy(np.float32))
    np.testing.assert_array_equal(found.context[:, 3], log["town"] == "Ulm")
    again = resolve({"name": "it", "environments": [entry(log)], "agents": []}).problems[0]
    assert problem.describe()["log"]["data"] == again.describe()["log"]["data"], "the same rows, once in order"
    assert problem.told.endswith("120 logged decisions of data frame, arms by name, columns by name")


def test_no_words_are_part_of_what_results_depend_on(tmp_path, monkeypatch):
    log, played = decisions()
    given = {"name": "it", "environments": [entry(log)], "agents": ["linear-ts"], "seeds": 1, "steps": 10}
    experiment = resolve(given)
    assert experiment.document()["environments"][0]["log"].keys() == {"id", "data"}
    Store(tmp_path / "it").prepare(experiment, "it", overwrite=False)
    monkeypatch.setattr("vbandits.data.matching.NAME", "what they are called")
    again = resolve(given)
    assert again.told != experiment.told
    assert [job.key for job in again.jobs()] == [job.key for job in experiment.jobs()]
    other = resolve(given | {"environments": [entry(log.assign(action=np.roll(played, 1)))]})
    assert {job.key for job in other.jobs()}.isdisjoint(job.key for job in experiment.jobs())
    (line,) = _warm_starts(Store(tmp_path / "it").load())
    assert line == f"t: every agent that learns, {experiment.told['t']}"


@pytest.mark.parametrize(
    ("change", "more", "told"),
    [
        (
            {"action": ("a", "b", "c")},
            {},
            r"arms that the environment has \(visit, none, mail\), got a, b, c, .*arms",
        ),
        ({"action": ("visit", "none", "post")}, {}, r"of which post is not among them: say which is which with arms ="),
        ({"action": ("visit", "none", "post")}, {"arms": ["visit", "none"]}, "each of the environment's 3 arms"),
        ({"action": ("visit", "none", "post")}, {"arms": ["visit", "none", "mail"]}, "listed in arms .* of which post"),
        ({"action": ("visit", "none", "mail"), "age": "years"}, {}, r"alone has age; the log alone has years: rename"),
        ({"action": ("visit", "none", "mail"), "town": None}, {}, r"environment alone has town=Bonn, town=Ulm: rename"),
        (
            {"action": ("a", "none", "mail"), "age": "years"},
            {},
            r"of which a is not .*; and .* alone has years",
        ),
        ({"action": ("visit", "none", "mail"), "more": 1.0}, {}, r"the log alone has more: .* drop = \[...\]"),
    ],
    ids=["other arms", "one other arm", "too few told", "not told", "renamed", "without", "both", "one more"],
)
def test_what_cannot_be_matched_is_refused_with_the_names_of_both(change, more, told):
    log, _ = decisions(change.pop("action"))
    for name, new in change.items():
        if isinstance(new, str):
            log = log.rename(columns={name: new})
        else:
            log = log.drop(columns=name) if new is None else log.assign(**{name: np.arange(ROWS) % 7 + new})
    with pytest.raises(vbandits.ConfigError, match=told):
        resolve({"name": "it", "environments": [entry(log, **more)], "agents": []})


def test_levels_that_a_log_never_saw_and_arms_that_it_never_played_may_be_missing():
    log, _ = decisions()
    some = log[(log["town"] == "Ulm") & (log["action"] != "none")]
    experiment = resolve({"name": "it", "environments": [entry(some)], "agents": []})
    found = experiment.problems[0].environment.warm_log()
    assert found.context.shape == (len(some), 4)
    assert not found.context[:, 2].any()
    assert found.context[:, 3].all()
    assert found.arm_names == ("visit", "none", "mail")
    (note,) = [note for note in experiment.notes if "agents start" in note]
    assert f"from the {len(some):,} decisions of " in note
    assert "never played: none" in note
    assert "0 in all its rows: town=Bonn" in note


def test_without_names_positions_count_and_this_is_said_in_terminal_and_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(40, 2)).round(3), columns=["a", "b"])
    frame.assign(action=np.where(np.arange(40) % 2, "left", "right"), reward=frame["a"], propensity=0.5).to_csv(
        "log.csv", index=False
    )
    (tmp_path / "plain_env.py").write_text(
        "import gymnasium, numpy as np\n"
        "class Plain(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-9, 9, (2,))\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed)\n"
        "        return np.zeros(2, np.float32), {}\n"
        "    def step(self, action):\n"
        "        return self.np_random.normal(size=2).astype(np.float32), float(action), False, False, {}\n"
    )
    (tmp_path / "it.toml").write_text(
        'name = "it"\nsteps = 20\nseeds = 2\nagents = ["linear-ts"]\n[[environments]]\nid = "plain_env:Plain"\n'
        'label = "plain"\nlog = "log.csv"\n'
    )
    assert command("run", "it.toml", "--out", "out", "--workers", 1) == 0
    told = " ".join(capsys.readouterr().err.split())
    says = "arms by position, as the environment has no names of them (left is arm 0, right is arm 1)"
    assert told.count(says) == 1
    assert "log: agents start from the 40 decisions of log.csv: arms by position" in told
    assert "columns by position, as the environment has no names of them" in told
    page = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "from 40 logged decisions of log.csv, arms by position, columns by position" in page


def test_what_the_log_calls_the_arms_can_be_told_where_the_environment_has_no_names():
    frame = pd.DataFrame({"x": [0.1, 0.2], "action": ["b", "a"], "reward": 1.0, "propensity": 0.5})
    found = matched(load_log(frame), 3, 1, told=["c", "b", "a"])
    assert found.action.tolist() == [1, 2]
    assert found.arm_names == ("c", "b", "a")
    assert found.matched == "arms by name, columns by position"


@pytest.mark.usefixtures("standins")
def test_the_arms_of_a_named_environment_are_known_by_what_they_do():
    environment = Mushroom()
    log = load_log((np.zeros((2, environment.features)), ["eat", "leave"], np.ones(2), 0.5))
    found = matched(log, environment.arms, environment.features, environment.arm_names)
    assert found.action.tolist() == [EAT, 1 - EAT]


@pytest.mark.parametrize(
    ("names", "own", "places", "how"),
    [
        ([0, 1, 2], ("b", "c", "a"), [0, 1, 2], "number"),
        ([0, 2, 2], ("b", "c", "a"), [0, 2, 2], "number"),
        ([1, 2, 3], ("b", "c", "a"), [0, 1, 2], "position"),
        ([1, 2, 3], ("3", "2", "1"), [2, 1, 0], "name"),
        (["b", "a", "c"], (), [1, 0, 2], "position"),
        (["b", "a", "c"], ("0", "1", "2"), [1, 0, 2], "position"),
        (["b", "a", "c"], None, [1, 0, 2], "position"),
        (["2", "01", "1"], (), [2, 0, 1], "position"),
        ([1, 0, 2], np.array([2, 1, 0]), [1, 2, 0], "name"),
        (["b", "a", "c"], np.array(["c", "b", "a"]), [1, 2, 0], "name"),
        ([2, 0, 1], (), [2, 0, 1], "number"),
    ],
)
def test_numbers_are_those_of_arms_where_no_arm_is_called_so(names, own, places, how):
    frame = pd.DataFrame({"x": [0.1, 0.2, 0.3], "action": names, "reward": 1.0, "propensity": 0.5})
    found = matched(load_log(frame), 3, 1, own, ("x",))
    assert found.action.tolist() == places
    assert found.matched == f"arms by {how}, columns by name"


def test_arms_that_differ_in_zeros_alone_are_not_one_arm():
    frame = pd.DataFrame({"x": [0.1, 0.2], "action": ["01", "1"], "reward": 1.0, "propensity": 0.5})
    with pytest.raises(ValueError, match=r"expected the 3 arms of the environment, got 2 \(01, 1\)"):
        matched(load_log(frame), 3, 1)


@pytest.mark.parametrize(
    ("attribute", "names", "told"),
    [
        ("arm_names", ("visit", "none"), r"a name for each of the 3 arms of the environment, .* got 2 \(visit, none\)"),
        ("arm_names", ("visit", "none", "mail", "post"), "each of the 3 arms of the environment, .* got 4"),
        ("arm_names", np.array(["visit", "none", "none"]), r"all different, got 3 \(visit, none, none\)"),
        ("arm_names", "abc", r"each of the 3 arms of the environment, all different, got 1 \(abc\)"),
        ("feature_names", ("age", "income", "town=Bonn"), "each of the 4 columns of the environment, .* got 3"),
    ],
)
def test_names_that_are_not_one_for_each_arm_or_column_are_refused(attribute, names, told, monkeypatch):
    log, _ = decisions()
    monkeypatch.setattr(RewardTable, attribute, property(lambda self: names, lambda self, own: None), raising=False)
    with pytest.raises(vbandits.ConfigError, match=f"environment 't': {attribute}: expected .*{told}"):
        resolve({"name": "it", "environments": [entry(log)], "agents": []})


def test_features_of_arms_do_not_stay_in_the_order_of_the_log():
    features = np.arange(3.0)[:, None]
    frame = pd.DataFrame({"x": [0.1, 0.2, 0.3], "action": ["a", "b", "c"], "reward": 1.0, "propensity": 0.5})
    log = replace(load_log(frame), arm_features=features)
    assert matched(log, 3, 1, ("c", "b", "a")).arm_features is None
