"""What a bandit run records for calibration: of its decisions, and of contexts that are held out."""
# pyright: reportOptionalSubscript=false

from dataclasses import replace
from functools import cache

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from tests.helpers import preset
from tests.registries import over
from vbandits.agents.agent import AgentSpec
from vbandits.agents.rules import Thompson
from vbandits.benchmarks.bandits.held_out import times
from vbandits.benchmarks.bandits.recorder import best_shares
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs import AbruptBandit, ArmFeaturesBandit, Classification, LinearBandit, Wheel
from vbandits.envs.base import Block, NativeBandit
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment.store import Store
from vbandits.metrics import calibration
from vbandits.posteriors.linear import Linear
from vbandits.predictive import Mixture, StudentT, joined
from vbandits.presets import PRESETS

LINEAR = "vbandits/LinearBandit-v0"


@cache
def ran(name, environment=LINEAR, seeds=(0, 1, 2), steps=120, recorded=500, **kwargs):
    return run_job(job(EnvironmentSpec("it", environment, kwargs), preset(name), seeds, steps, recorded))


def lists(column):
    return np.stack(column.dropna())


@pytest.mark.parametrize("name", ["linear-ts", "ibvi", "ensemble"])
def test_every_decision_has_its_mean_its_variances_and_the_best_arm(name):
    records = ran(name).records
    known = records["nll"].notna()
    assert known.groupby(records["step"]).all().idxmax() == 25  # each of five arms is pulled five times before
    for column in ("mean", "aleatoric", "epistemic"):
        assert (records[column].notna() == known).all()
    assert (records.loc[known, ["aleatoric", "epistemic"]] > 0).all(axis=None)
    assert ((records["regret"] == 0) == (records["action"] == records["optimal"])).all()
    late = records[records["step"] >= 80]
    squared = (late["reward"] - late["mean"]).pow(2).mean()
    assert 0.2 < squared / (late["aleatoric"] + late["epistemic"]).mean() < 2.5
    assert np.corrcoef(late["mean"], late["reward"])[0, 1] > 0.3


def test_thompson_probabilities_are_of_at_most_64_decisions_and_sum_to_1():
    shares = lists(ran("ibvi").records["thompson"])
    assert shares.dtype == np.float32
    assert 3 * 30 < len(shares) <= 3 * 64
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert ((shares > 0) & (shares < 1)).any()
    assert ran("uniform").records["thompson"].isna().all()
    assert (ran("uniform").records["optimal"] >= 0).all()


def test_arms_that_are_not_there_are_the_best_in_no_draw():
    values = torch.tensor([[[[3.0, 2.0, 1.0]], [[0.0, 2.0, 1.0]]]])  # [1, 2, 1, 3]
    assert best_shares(values, None).tolist() == [[[0.5, 0.5, 0.0]]]
    assert best_shares(values, torch.tensor([[[False, True, True]]])).tolist() == [[[0.0, 1.0, 0.0]]]
    records = ran("linear-ts", "vbandits/ArmFeaturesBandit-v0", available=0.5).records.dropna(subset=["thompson"])
    shares, at = lists(records["thompson"]), np.arange(len(records))
    assert (shares[at, records["action"]] > 0).mean() > 0.9
    assert (shares == 0).mean() > 0.3


def test_variances_add_up_to_that_of_the_prediction():
    df, noise, scale = (torch.tensor([[value]]).double() for value in (5.0, 1.0, 2.0))
    aleatoric, epistemic = StudentT(df, 0 * df, scale, noise).variances()
    assert aleatoric + epistemic == pytest.approx(stats.t.var(5, scale=2))
    assert aleatoric / epistemic == pytest.approx(1 / 3)
    assert np.isinf(StudentT(0 * df + 2, 0 * df, scale, noise).variances()[0]).all()
    values = torch.tensor([[[1.0], [3.0]]])
    for spread in (None, torch.tensor([[0.5]])):
        own = 0.0 if spread is None else 0.5
        found = Mixture(values, torch.tensor([[2.0]]), spread).affine(torch.ones(1, 1), torch.full((1, 1), 3.0))
        assert found.variances() == (pytest.approx(9 * (2 - own)), pytest.approx(9 * (1 + own)))


def test_predictions_of_one_kind_are_scored_together():
    one, two = (Mixture(torch.rand(2, 3, size), torch.rand(2, size) + 1) for size in (1, 4))
    y = np.random.default_rng(0).normal(size=(2, 5))
    whole = joined([one, two]).crps(y)
    np.testing.assert_allclose(whole, np.concatenate([one.crps(y[:, :1]), two.crps(y[:, 1:])], 1))
    assert joined([one, Mixture(torch.rand(2, 2, 1), torch.ones(2, 1))]) is None
    assert joined([one, replace(two, spread=two.variance)]) is None


@over("name", PRESETS, quick=["ibvi", "linear-ts", "ensemble", "ibvi-limit"])
def test_what_is_scored_changes_nothing_that_is_done(name):
    every, few = (ran(name, recorded=count).records for count in (500, 3))
    assert len(few) < len(every)
    both = every.merge(few, on=["seed", "step"], suffixes=("", "_few"))
    assert len(both) == len(few)
    for column in ("action", "reward", "cumulative_reward", "cumulative_regret"):
        assert (both[column] == both[f"{column}_few"]).all()


def test_times_are_halved_from_the_last_step():
    assert times(1000) == [30, 61, 124, 249, 499, 999]
    assert times(10) == [9]
    assert len(times(10**6)) == 8
    assert times(10**6)[-1] == 10**6 - 1


@pytest.mark.parametrize("name", ["ibvi", "linear-ts", "ensemble"])
def test_what_is_held_out_of_a_seed_is_the_same_alone_and_in_a_block(name):
    alone, block = ran(name, seeds=(1,)).held_out, ran(name).held_out
    own = block[block["seed"] == 1].reset_index(drop=True)
    assert alone.equals(own)
    assert own["step"].tolist() == [29, 59, 119]
    assert not own["rmse"].equals(block[block["seed"] == 2].reset_index(drop=True)["rmse"])
    assert own["rmse"].iloc[-1] < own["rmse"].iloc[0]
    assert (own["greedy_regret"] >= 0).all()
    rows = lists(own["thompson_rows"])
    assert rows.sum(1).tolist() == [256 * 5] * 3


PROBLEMS = {
    "wheel": lambda: Wheel(2),
    "linear": lambda: LinearBandit(2),
    "arms": lambda: ArmFeaturesBandit(2, available=0.5, context_features=2),
    "wine": lambda: Classification(2, dataset="wine"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_contexts_that_are_held_out_are_never_played(name):
    environment = PROBLEMS[name]()
    observation, _ = environment.reset(seed=[3, 4])
    played, rewards = [], []
    for _ in range(100):
        played.append(observation["context"] if isinstance(observation, dict) else observation)
        observation, reward, *_ = environment.step(torch.zeros(2, dtype=torch.long))
        rewards.append(reward)
    held = environment.held_out([3, 4], 100)
    count = 78 if name == "wine" else 256
    assert held.observed.context.shape[:2] == (2, count)
    assert held.rewards.shape == (2, 10, *held.expected.shape[1:])
    for replica in range(2):
        seen = {tuple(own[replica].tolist()) for own in played}
        assert not seen & {tuple(own) for own in held.observed.context[replica].tolist()}
    again = environment.held_out([4], 100)
    np.testing.assert_array_equal(again.expected[0], held.expected[1])
    fresh = PROBLEMS[name]()  # that they were asked for changes nothing that is played
    fresh.reset(seed=[3, 4])
    assert torch.equal(
        torch.stack([fresh.step(torch.zeros(2, dtype=torch.long))[1] for _ in range(100)]), torch.stack(rewards)
    )


def test_what_is_true_of_them_is_the_problem_that_is_played():
    environment = LinearBandit(1, noise=0.5)
    held = environment.held_out([5], 10)
    weights = environment.function(environment.random(5, "problem"))
    np.testing.assert_allclose(held.expected[0], weights(held.observed.context[0].double().numpy()), atol=1e-6)
    noise = held.rewards[0] - held.expected[0]
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert np.corrcoef(noise.reshape(10, -1))[np.triu_indices(10, 1)] == pytest.approx(np.zeros(45), abs=0.12)


def test_a_problem_that_changes_is_held_out_as_it_stands():
    environment = AbruptBandit(1, period=50)
    before, same, after = (environment.held_out([0], played) for played in (49, 50, 51))
    np.testing.assert_array_equal(before.observed.context, after.observed.context)
    np.testing.assert_array_equal(before.expected, same.expected)
    assert np.abs(before.expected - after.expected).max() > 0.1


def test_what_steps_do_not_decide_is_made_once():
    environment, changing = LinearBandit(2), AbruptBandit(1, period=50)
    held = environment.held_out([0, 1], 10)
    assert environment.held_out([0, 1], 20) is held
    np.testing.assert_array_equal(environment.held_out([1, 0], 20).expected[::-1], held.expected)
    assert changing.held_out([0], 10) is not changing.held_out([0], 10)


def test_rows_of_a_dataset_are_used_up():
    environment = Classification(1, dataset="wine")
    assert environment.held_out([0], 178) is None
    assert environment.held_out([0], 177).expected.shape == (1, 1, 3)
    held = ran("linear-ts", "vbandits/Classification-v0", dataset="wine", steps=200).held_out
    assert held["contexts"].unique().tolist() == [153, 128, 78]
    assert held["all_90"].isna().all()  # rewards are 0 or 1
    assert held["all_nll"].notna().all()


class Unknown(NativeBandit):
    """Draws its contexts in a way of its own."""

    def __init__(self, num_envs=1, device="cpu"):
        super().__init__(num_envs, device, features=1, arms=2)

    def blocks(self, seed):
        random = np.random.default_rng(seed)
        while True:
            expected = random.normal(size=(4, 2))
            yield Block(np.ones((4, 1)), expected, expected)


def test_where_contexts_cannot_be_told_apart_nothing_is_held_out():
    assert Unknown().held_out([0], 1) is None
    assert ran("linear-ts", Unknown).held_out is None
    assert ran("uniform").held_out is None


class Own(gymnasium.Env):
    """A user's environment, with or without contexts that it holds out, right or wrong."""

    observation_space, action_space = spaces.Box(-9, 9, (2,)), spaces.Discrete(2, start=1)

    def __init__(self, held="right"):
        self.held = held
        if held == "none":
            self.held_out = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal(size=2).astype(np.float32)
        return self.x, {}

    def step(self, action):
        reward = float(self.x[action - 1] + 0.1 * self.np_random.normal())
        return self.reset()[0], reward, True, False, {}

    def held_out(self, contexts, rewards):
        random = np.random.default_rng(7)
        x = random.normal(size=(contexts, 2)).astype(np.float32)
        paid = x + 0.1 * random.normal(size=(rewards, contexts, 2))
        return list(x), x, paid[:1] if self.held == "wrong" else paid


def test_a_users_environment_may_hold_out_contexts():
    found, without = (ran("linear-ts", Own, steps=80, held=held) for held in ("right", "none"))
    assert found.held_out["contexts"].unique().tolist() == [256]
    assert found.held_out["rmse"].iloc[-1] < 0.1
    assert without.held_out is None
    pd.testing.assert_frame_equal(found.records, without.records)
    with pytest.raises(ValueError, match=r"held_out\(256, 10\): expected finite numbers of shape \(10, 256, 2\)"):
        ran("linear-ts", Own, steps=80, held="wrong")


def test_the_store_keeps_what_is_held_out_and_who_diverged(tmp_path):
    work = job(EnvironmentSpec("it", LINEAR), preset("linear-ts"), (0, 1, 2), 40)
    store = Store(tmp_path)
    store.jobs.mkdir()
    outcome = replace(run_job(work), diverged=(2,))
    marker = store.finish(work, outcome, 1.0)
    assert (marker["failures"], marker["diverged"]) == (1, [2])
    read = pd.read_parquet(store.jobs / f"{work.key}.held-out.parquet")
    np.testing.assert_array_equal(lists(read["thompson_hits"]), lists(outcome.held_out["thompson_hits"]))
    assert read["joint_nll"].equals(outcome.held_out["joint_nll"])


@pytest.mark.slow
def test_the_exact_posterior_is_calibrated_and_one_that_is_too_sure_is_not():
    """Weights on the sphere are nearly those of the prior N(0, 1 / D), and the noise is known."""
    found = {}
    for name, factor in (("exact", 1.0), ("sure", 8.0)):
        posterior = Linear(2.5 * factor, 1000.0, 1000 * 0.25 / factor, intercept=False)
        spec = AgentSpec(name, posterior, Thompson(), standardize=False)
        found[name] = run_job(job(EnvironmentSpec("it", LINEAR, {"noise": 0.5}), spec, range(48), 240))
    gaps = {}
    for name, outcome in found.items():
        known = outcome.records.dropna(subset=["thompson"])
        hit = known["optimal"].to_numpy()[:, None] == np.arange(5)
        bins = calibration.thompson_bins(lists(known["thompson"]).astype(float), hit)
        gaps[name] = np.nansum(bins.rows * np.abs(bins.hits - bins.probability)) / bins.rows.sum()
    assert gaps["exact"] < 0.02 < 2 * gaps["exact"] + 0.02 < gaps["sure"] + 0.02
    exact, sure = (found[name].held_out.groupby("step").mean(numeric_only=True) for name in ("exact", "sure"))
    for level in calibration.LEVELS:
        name = f"noiseless_{100 * level:.0f}"
        assert exact[name].to_numpy() == pytest.approx(level, abs=0.035)
        assert (sure[name] < level - 0.1).all()
        assert exact[f"all_{100 * level:.0f}"].to_numpy() == pytest.approx(level, abs=0.035)
    assert (exact["joint_nll"] < exact["marginal_nll"]).all()
    assert (exact["joint_nll"] < sure["joint_nll"]).all()
    assert (exact["greedy_optimism"].abs() < 0.05).all()
