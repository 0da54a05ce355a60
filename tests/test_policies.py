"""Any policy is an agent: what it is given, what it may return, how it is scored, and what is refused."""

import importlib
import json
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import vbandits
from tests.test_running import vbandits as command
from vbandits import PolicySpec
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment.resolve import resolve
from vbandits.testing import parametrize_with_checks

FOLDER = Path(__file__).parent.parent / "experiments"
sys.path.append(str(FOLDER))
examples = importlib.import_module("heuristic_policy")
sys.path.remove(str(FOLDER))
LINEAR, ARMS = "vbandits/LinearBandit-v0", "vbandits/ArmFeaturesBandit-v0"


class Diary:
    """Plays the arm whose turn it is, and keeps everything that it is given."""

    written: list = []  # noqa: RUF012 (a policy is copied and made anew, and its diary is to be found)

    def __init__(self, seed, arms, features, arm_features, steps):
        self.seed, self.arms = seed, arms
        self.written.append(("made", seed, arms, features, arm_features, steps))

    def act(self, observation):
        self.written.append(("act", self.seed, observation))
        return next(arm % self.arms for arm in range(observation.step, 1000) if observation.mask[arm % self.arms])

    def observe(self, action, reward, step, observation):
        self.written.append(("observe", self.seed, action, reward, step, observation))


@pytest.fixture
def diary(monkeypatch):
    monkeypatch.setattr(Diary, "written", [])
    return Diary


class Sure:
    """Plays the first arm, and predicts what it is told to."""

    def __init__(self, mean=0.25, deviation=1.5, known_from=0):
        self.mean, self.deviation, self.known_from = mean, deviation, known_from

    def act(self, observation):
        return 0

    def observe(self, action, reward):
        pass

    def predict(self, observation, arms):
        if observation.step < self.known_from:
            return None
        return np.full(len(arms), self.mean) + 0.01 * observation.step, np.full(len(arms), self.deviation)


def played(policy, seeds=(3, 5), steps=30, environment=LINEAR, kwargs=None, recorded=500, **more):
    spec = policy if isinstance(policy, PolicySpec) else PolicySpec("mine", policy)
    return run_job(job(EnvironmentSpec("it", environment, kwargs or {}, **more), spec, seeds, steps, recorded))


def test_a_policy_is_made_with_the_sizes_that_it_asks_for(diary):
    played(diary, environment=ARMS, kwargs={"arms": 6, "context_features": 3})
    made = [entry[1:] for entry in diary.written if entry[0] == "made"]
    observation = next(entry[2] for entry in diary.written if entry[0] == "act")
    assert made == [(seed, 6, 3, observation.arms.shape[1], 30) for seed in (3, 5)]
    assert observation.arms.shape[0] == 6
    assert observation.context.shape == (3,)


def test_a_policy_sees_the_raw_observation_and_the_step(diary):
    records = played(diary, environment=ARMS, kwargs={"arms": 5, "context_features": 3, "available": 0.5}).records
    environment = EnvironmentSpec("it", ARMS, {"arms": 5, "context_features": 3, "available": 0.5}).open(2)
    first, _ = environment.reset(seed=[3, 5])
    seen = [entry[2] for entry in diary.written if entry[0] == "act" and entry[1] == 5]
    assert [one.step for one in seen] == list(range(30))
    np.testing.assert_array_equal(seen[0].arms, first["arms"][1])
    np.testing.assert_array_equal(seen[0].mask, first["mask"][1].bool())
    assert seen[0].mask.dtype == bool
    taken = records.loc[records["seed"] == 5, "action"].to_numpy()
    assert all(one.mask[arm] for one, arm in zip(seen, taken, strict=True))
    assert len(set(taken)) > 1


@pytest.mark.parametrize(("delay", "batch"), [(0, 1), (4, 1), (2, 5)])
def test_an_outcome_comes_with_the_decision_that_it_belongs_to(diary, delay, batch):
    records = played(diary, delay=delay, batch=batch).records
    own = records[records["seed"] == 3].set_index("step")
    told = [entry for entry in diary.written if entry[:2] == ("observe", 3)]
    known = (29 - delay) // batch * batch  # what is known before the last decision
    assert [entry[4] for entry in told] == list(range(known))
    for _, _, action, reward, step, observation in told:
        assert (action, reward) == (own["action"][step], own["reward"][step])
        assert observation.step == step
    # an outcome is told after the decisions that it came too late for, and before the next
    decisions, order = 0, []
    for entry in diary.written:
        if entry[1] == 3 and entry[0] == "act":
            decisions += 1
        elif entry[1] == 3 and entry[0] == "observe":
            order.append((entry[4], decisions))
    assert order == [(step, -(-(step + 1) // batch) * batch + delay) for step in range(known)]


def test_what_a_policy_does_to_its_observation_stays_with_it(diary):
    class Vandal(Diary):
        def act(self, observation):
            arm = super().act(observation)
            observation.context[:] = 0
            observation.mask[:] = False
            return arm

    Vandal.written = []
    changed, kept = played(Vandal).records, played(diary).records
    assert changed.equals(kept)


def test_predictions_are_scored_as_those_of_agents_are():
    outcome = played(Sure, steps=40)
    own, held = outcome.records, outcome.held_out.iloc[-2:]
    mean, y = 0.25 + 0.01 * own["step"], own["reward"]
    np.testing.assert_allclose(own["mean"], mean)
    np.testing.assert_allclose(own["nll"], -stats.norm.logpdf(y, mean, 1.5))
    np.testing.assert_allclose(own["pit"], stats.norm.cdf(y, mean, 1.5))
    z = (y - mean) / 1.5
    crps = 1.5 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - np.pi**-0.5)
    np.testing.assert_allclose(own["crps"], crps)
    assert own[["aleatoric", "epistemic"]].isna().all(axis=None), "a policy does not tell them apart"
    assert own["thompson"].isna().all()
    # held out: every arm, as if it came next
    environment = EnvironmentSpec("it", LINEAR).open(2)
    truth = environment.held_out((3, 5), 40)
    np.testing.assert_allclose(held["bias"], 0.25 + 0.4 - truth.expected.mean((1, 2)))
    y = truth.rewards[:, 0].reshape(2, -1)[:, : 256 // 5 * 5]
    np.testing.assert_allclose(held["all_nll"], -stats.norm.logpdf(y, 0.65, 1.5).mean(1))
    assert not {"joint_nll", "noiseless_90", "thompson_rows"} & set(held), "nothing joint can be said of marginals"


def test_what_is_not_known_yet_is_not_scored():
    own = played(partial(Sure, known_from=10)).records
    assert own.loc[own["step"] < 10, ["nll", "crps", "pit", "mean"]].isna().all(axis=None)
    assert own.loc[own["step"] >= 10, ["nll", "crps", "pit", "mean"]].notna().all(axis=None)


def test_late_outcomes_do_not_change_the_step_that_is_predicted():
    own = played(Sure, delay=7, batch=3).records
    np.testing.assert_allclose(own["mean"], 0.25 + 0.01 * own["step"])


class Walk:
    """A batched policy that is not a class attribute's: each seed walks by itself."""

    batched = True

    def __init__(self, seeds, arms):
        self.random, self.arms = [np.random.default_rng(seed) for seed in seeds], arms
        self.calls = 0

    def act(self, observation) -> Any:
        assert observation.context.shape == (len(self.random), 10)
        assert observation.mask.shape == (len(self.random), self.arms)
        return [own.integers(self.arms) for own in self.random]

    def observe(self, actions, rewards):
        assert actions.shape == rewards.shape == (len(self.random),)

    def predict(self, observation, arms):
        return np.cos(arms), np.ones(arms.shape)


class Step:
    """The same of one seed."""

    def __init__(self, seed, arms):
        self.random, self.arms = np.random.default_rng(seed), arms

    def act(self, observation) -> Any:
        return self.random.integers(self.arms)

    def observe(self, action, reward):
        pass

    def predict(self, observation, arms):
        return np.cos(arms), np.ones(arms.shape)


def test_a_batched_policy_is_the_same_as_one_for_each_seed():
    one, other = played(Walk), played(Step)
    assert one.records.equals(other.records)
    assert one.held_out.equals(other.held_out)


@pytest.mark.parametrize("policy", [Walk, Step])
def test_a_seed_is_the_same_alone(policy):
    block, alone = played(policy, (3, 5)), played(policy, (5,))
    for one, other in ((block.records, alone.records), (block.held_out, alone.held_out)):
        assert one is not None
        assert other is not None
        assert one[one["seed"] == 5].reset_index(drop=True).equals(other.reset_index(drop=True))


def test_a_service_is_asked_once_for_all_seeds(monkeypatch):
    calls = []
    monkeypatch.setattr(examples, "service", lambda contexts, masks: calls.append(contexts.shape) or [0] * len(masks))
    played(examples.Service, range(6), steps=12)
    assert calls == [(6, 10)] * 12


def make(seeds, arms):
    return Walk(seeds, arms)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (Step, "Step"),
        (make, "make"),
        (partial(Sure, mean=1.0), "Sure"),
        (Sure(), "Sure"),
        ({"policy": Sure, "kwargs": {"mean": 2.0}}, "Sure mean=2.0"),
        ({"policy": "tests.test_policies:Step", "label": "mine"}, "mine"),
        ("tests.test_policies:Step", "Step"),
        ({"id": "tests.test_policies:Step", "label": "mine"}, "mine"),
        (PolicySpec("own", Step), "own"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_policy_is_accepted_wherever_an_agent_is(given, label):
    results = vbandits.run(environments=[LINEAR], agents=[given], seeds=2, steps=5, workers=1)
    assert results.labels("agent") == [label, "uniform"]
    assert results.summary()["failures"].sum() == 0


def test_what_results_depend_on_is_in_the_experiment(tmp_path, monkeypatch):
    module = tmp_path / "my_policy.py"
    text = "class Mine:\n    def __init__(self, bold=1.0): ...\n    def act(self, o): return 0\n"
    text += "    def observe(self, action, reward): ..."
    module.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    described = [PolicySpec("x", "my_policy:Mine", {"bold": bold}).describe() for bold in (1.0, 2.0)]
    assert described[0] == {
        "label": "x",
        "policy": "my_policy:Mine",
        "kwargs": {"bold": 1.0},
        "code": {"my_policy": described[0]["code"]["my_policy"]},
    }
    assert described[0] != described[1]
    module.write_text(text + "\n# changed\n")
    assert PolicySpec("x", "my_policy:Mine").describe()["code"] != described[0]["code"]
    assert Sure(3.0).__dict__ == PolicySpec("x", Sure(3.0)).describe()["state"]


@pytest.mark.slow
def test_a_policy_that_cannot_be_sent_stays_in_this_process():
    lock = threading.Lock()

    class Holding(Step):
        def act(self, observation):
            with lock:
                return super().act(observation)

    results = vbandits.run(environments=[LINEAR], agents=[Holding, "linear-ts"], seeds=2, steps=6, workers=2)
    assert {job["status"] for job in results.jobs} == {"done"}


def test_cost_is_the_agents():
    class Slow(Step):
        def act(self, observation):
            threading.Event().wait(0.01)
            return super().act(observation)

    seconds = played(Slow, steps=10).seconds
    assert seconds["agent"] > 2 * 10 * 0.01
    assert seconds["environment"] < 0.1


def test_what_predicts_nothing_is_told_before_the_run():
    document = {"name": "it", "environments": [LINEAR], "agents": [examples.BestSoFar, Sure, "uniform"]}
    assert resolve(document).notes == ("BestSoFar: no predictions, and so no scores of any",)


@pytest.mark.slow
def test_reports_say_which_predict_nothing(tmp_path):
    agents = [Step, Sure, {"policy": examples.BestSoFar, "label": "silent"}]
    results = vbandits.run(environments=[LINEAR], agents=agents, seeds=3, steps=40, workers=1)
    results.report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "silent: no predictions, and so no scores of any." in text
    assert "nan" not in text.lower()
    only = vbandits.run(environments=[LINEAR], agents=[examples.BestSoFar], seeds=3, steps=40, workers=1)
    page = only.report(tmp_path / "only").read_text()
    assert "BestSoFar: no predictions, and so no scores of any." in page
    assert "observed coverage" not in page


def test_the_heuristics_to_copy_learn():
    def regret(policy, **more):
        records = played(policy, range(4), 400, recorded=2, **more).records
        return records.groupby("seed")["cumulative_regret"].max().mean()

    gaussian = {"environment": "vbandits/GaussianBandit-v0"}
    assert regret(examples.BestSoFar, **gaussian) < 0.5 * regret(partial(examples.BestSoFar, chance=1.0), **gaussian)
    assert regret(examples.Neighbours) < 0.8 * regret(partial(examples.BestSoFar, chance=1.0))


def test_a_policy_of_mabwiser_plays_and_learns():
    pytest.importorskip("mabwiser")
    outcome = played(examples.LinUCB, range(2), 200, recorded=4)
    uniform = played(partial(examples.BestSoFar, chance=1.0), range(2), 200, recorded=4)
    last = [one.records.groupby("seed")["cumulative_regret"].max().mean() for one in (outcome, uniform)]
    assert last[0] < 0.5 * last[1]


@parametrize_with_checks([examples.BestSoFar, examples.Service, Walk, Step, Sure(), PolicySpec("made", make)])
def test_sound_policies_keep_the_laws(thing, check):
    if check.__name__ == "predictions_change_nothing" and thing in (examples.BestSoFar, examples.Service):
        pytest.skip("they predict nothing")
    if isinstance(thing, Sure | PolicySpec) or thing in (Walk, Step):
        if check.__name__ == "it_never_plays_an_arm_that_is_not_available":
            pytest.skip("they do not look at masks")
        if thing is not Step and not isinstance(thing, Sure):
            pytest.skip("written for ten features")
    check(thing)


@pytest.mark.slow
def test_the_file_beside_them_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    chosen = ("--seeds", 2, "--steps", 40, "--workers", 1, "--out", tmp_path / "out")
    assert command("run", FOLDER / "heuristic_policy.toml", *chosen) == 0
    found = json.loads((tmp_path / "out" / "experiment.json").read_text())["agents"]
    assert [entry["label"] for entry in found] == ["best so far", "neighbours", "service", "linear-ts", "uniform"]
    assert found[0]["kwargs"] == {"chance": 0.05}
    scores = vbandits.load(tmp_path / "out").summary().groupby("agent")["nll"].count()
    assert scores.to_dict() == {"best so far": 0, "linear-ts": 1, "neighbours": 2, "service": 0, "uniform": 0}
    few = ("--agents", "heuristic_policy:BestSoFar", *chosen[:-1], tmp_path / "few")
    assert command("run", FOLDER / "heuristic_policy.toml", *few) == 0
    assert [entry["kwargs"] for entry in vbandits.load(tmp_path / "few").experiment["agents"][:1]] == [{"chance": 0.05}]
