"""Offline evaluation: policies learn from a part of a log and are evaluated on another; warm starts; every error."""

import numpy as np
import pandas as pd
import pytest
import torch

import vbandits
from tests.logs import DATA, hillstrom, made, open_bandit
from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.rules import EpsilonGreedy, Greedy, Thompson, Uniform
from vbandits.benchmarks.offline.config import LogSpec
from vbandits.benchmarks.offline.results import parts_of, pooled
from vbandits.benchmarks.offline.run import split
from vbandits.data.logs import load_log
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.experiment.resolve import resolve
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.linear import Linear
from vbandits.types import Schedule


def ran(log, policies=("linear-ts",), **options):
    return vbandits.run(logs=[log], policies=list(policies), workers=1, **{"seeds": 4, "folds": 4, **options})


def agent(rule, posterior=None, seeds=(0, 1), arms=3, steps=2000, schedule=None):
    spec = AgentSpec("it", posterior or Linear(), rule, schedule=schedule or Schedule())
    return Agent(spec, seeds, ObservationSpec(2, arms), steps)


def decisions(log, replicas=2):
    context = torch.from_numpy(log.context).expand(replicas, -1, -1)
    return (
        Observation(context.float(), None, None),
        torch.from_numpy(log.action).expand(replicas, -1),
        torch.from_numpy(log.reward).expand(replicas, -1),
    )


def test_a_policy_that_learns_from_a_log_is_worth_what_it_earns_where_the_truth_is_known():
    """The first arm pays 0.9 in half of the contexts and the second in the others: 0.9 at best, 0.43 at random."""
    results = ran(made(4000), ["linear-ts", {"id": "always", "arm": ["0", 2]}])
    summary = results.summary().set_index("policy")
    assert list(summary.index[:1]) == ["linear-ts"]
    assert summary.loc["linear-ts", "dr"] > 0.8
    for estimator in ("dr", "snips", "ips", "replay"):
        assert summary.loc["linear-ts", f"{estimator}_low"] < 0.9
        for arm, truth in (("always 0", 0.5), ("always 2", 0.3), ("uniform", (0.5 + 0.5 + 0.3) / 3)):
            low, high = summary.loc[arm, [f"{estimator}_low", f"{estimator}_high"]]
            assert low < truth < high, (estimator, arm)
    logging = summary.loc["logging"]
    assert logging["dr"] == logging["ips"] == pytest.approx(made(4000).reward.mean(), rel=1e-12)
    assert summary.loc["always 0", "truth"] == made(4000).truth(0)
    assert np.isnan(summary.loc["linear-ts", "truth"])


def test_a_log_that_was_not_uniform_is_weighted():
    results = ran(made(6000, uniform=False), [{"id": "always", "arm": "2"}])
    row = results.summary().set_index("policy").loc["always 2"]
    for estimator in ("dr", "snips", "ips"):
        assert row[f"{estimator}_low"] < 0.3 < row[f"{estimator}_high"]
    assert row["mean_weight"] == pytest.approx(1.0, abs=0.1)
    assert row["largest_weight"] > 3
    assert np.isnan(row["truth"])


def test_seeds_hold_out_rows_that_no_other_has_and_learn_from_the_rest():
    parts = [split(103, seed, 5, 40) for seed in range(10)]
    assert all(len(part.held_out) == 20 and len(part.shown) == 40 for part in parts)
    for first in (0, 5):
        held = np.concatenate([part.held_out for part in parts[first : first + 5]])
        assert len(set(held)) == 100
    for part in parts:
        assert set(part.shown) <= set(part.training)
        assert not set(part.training) & set(part.held_out)
    assert (parts[0].held_out != parts[5].held_out).any()


def test_a_seeds_result_is_its_own():
    log, few = made(200), {"training_rows": 30, "draws": 32}
    alone = ran(log, ["ibvi"], seeds=[3], **few).records
    for others in ({"seeds": 4}, {"seeds": [5, 3]}, {"seeds": [2, 3], "block": 1}):
        records = ran(log, ["ibvi"], **few, **others).records
        own = records[(records["seed"] == 3) & (records["policy"] == "ibvi")].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, alone[alone["policy"] == "ibvi"].reset_index(drop=True), check_exact=True)


def test_what_is_held_out_is_seen_by_neither_the_policy_nor_the_model_of_rewards():
    """The direct method is what a policy plays times what the model says: other outcomes there change nothing of it."""
    log, held = made(300), split(300, 1, 4, 5000).held_out
    reward, action, propensity = log.reward.copy(), log.action.copy(), log.propensity.copy()
    reward[held], action[held], propensity[held] = 5 - reward[held], (action[held] + 1) % 3, 0.9
    other = load_log((log.context, action, reward, propensity))
    found = []
    for own in (log, other):
        records = ran({"id": own, "label": "it"}, ["linear-ts", "ibvi"], seeds=[1], draws=32).records
        found.append(records[records["policy"].isin(["linear-ts", "ibvi"])].set_index(["policy", "estimator"])["value"])
    for policy in ("linear-ts", "ibvi"):
        assert found[0][policy, "dm"] == found[1][policy, "dm"]
        assert found[0][policy, "dr"] != found[1][policy, "dr"]


def test_the_interval_of_all_seeds_is_that_of_all_their_rows():
    log = made(4000)
    results = ran(log, [{"id": "always", "arm": "1"}])
    row = results.summary().set_index("policy").loc["always 1"]
    action, reward = log.action, log.reward
    weight = np.where(action == 1, 3.0, 0.0)
    whole = weight * reward
    assert row["ips"] == pytest.approx(whole.mean(), rel=1e-9)
    assert row["ips_error"] == pytest.approx(whole.std(ddof=1) / np.sqrt(4000), rel=0.01)
    assert row["ips_high"] - row["ips_low"] == pytest.approx(2 * 1.96 * row["ips_error"], rel=0.02)
    assert row["effective"] == pytest.approx((action == 1).sum(), rel=1e-9)


def test_more_seeds_than_folds_bring_no_more_rows():
    frame = pd.DataFrame({"value": [1.0] * 8, "error": 0.5, "low": 0.0, "high": 2.0})
    assert pooled("dr", frame, 8)["dr_error"] == pytest.approx(0.5 / np.sqrt(8))
    assert pooled("dr", frame, 2)["dr_error"] == pytest.approx(0.5 / np.sqrt(2))
    assert pooled("dr", frame, 2)["dr_low"] == pytest.approx(1 - 1 / np.sqrt(2))
    results = ran(made(400), [], seeds=8, folds=2)
    rows = results.summary().set_index("policy")
    assert rows.loc["uniform", "rows"] == 400
    assert rows.loc["uniform", "effective"] == pytest.approx(400)


@pytest.mark.parametrize(("seeds", "folds"), [([0, 1, 2], 4), ([0, 4, 8, 12], 4), ([1, 2, 5, 11], 4), (range(12), 8)])
def test_what_seeds_have_in_common_tells_nothing_twice(seeds, folds):
    """Of a mean of means of parts, the variance is that of one value times the mean of squares of how often a row is
    in a part: rows / parts_of in all, on average over the orders of rows."""
    rows, found = folds * 200, np.zeros(folds * 200)
    for seed in seeds:
        found[split(rows, seed, folds, 1).held_out] += 1 / (len(seeds) * rows / folds)
    assert parts_of(list(seeds), folds) == pytest.approx(1 / (np.square(found).sum() * rows / folds), rel=0.05)


def test_a_warm_start_is_what_playing_the_same_arms_would_have_taught():
    log = made(60)
    observed, actions, rewards = decisions(log)
    schedule = Schedule(every=10, initial_pulls=0)
    warm, played = (agent(Thompson(), schedule=schedule, steps=60) for _ in range(2))
    warm.warm_start(observed, actions, rewards)
    assert observed.context is not None
    for row in range(60):
        played._replay.decide(observed.context[:, row], actions[:, row])
        played._predicted.append(None)
        played.observe(rewards[:, row])
        if played.due and played.rows >= played._next:
            played.learn()
    assert warm.rows == warm.decisions == 60
    points = torch.randn(2, 50, 2)
    for arm in range(3):
        outputs = torch.full((2, 50), arm)
        means = [one.model.mean()(one.model.scaling.x(points))[:, 0, :, arm] for one in (warm, played)]
        torch.testing.assert_close(*means, rtol=1e-3, atol=1e-3)
        assert np.isfinite(warm.predict(points, outputs).mean()).all()


def test_a_warm_agent_decides_at_once_and_goes_on_learning():
    log = made(300)
    warm = agent(Greedy(), steps=310)
    warm.warm_start(*decisions(log))
    context = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    assert warm.act(context).tolist() == [0, 1], "no initial pulls, and the arms that pay there"
    warm.observe(torch.tensor([1.0, 1.0]))
    assert warm.rows == 301
    with pytest.raises(ValueError, match="expected an agent that has not decided yet, got 301 decisions"):
        warm.warm_start(*decisions(log))


def test_probabilities_are_the_shares_of_decisions_and_change_none():
    log = made(200)
    context = torch.tensor([[0.1, 1.0], [-0.2, -1.0]])
    for rule in (Thompson(), EpsilonGreedy(0.5), Uniform()):
        one, other = (agent(rule, steps=500) for _ in range(2))
        for own in (one, other):
            own.warm_start(*decisions(log))
        told = one.probabilities(Observation(context.unsqueeze(1), None, None), 512)
        torch.testing.assert_close(told.sum(2), torch.ones(2, 1, dtype=torch.float64))
        actions = torch.stack([other.act(context) for _ in range(250)])
        assert torch.equal(torch.stack([one.act(context) for _ in range(20)]), actions[:20])
        shares = torch.nn.functional.one_hot(actions, 3).double().mean(0)
        np.testing.assert_allclose(told[:, 0].numpy(), shares.numpy(), atol=4 * 0.5 / np.sqrt(250))
        if not isinstance(rule, Thompson):
            least = rule.epsilon / 3 if isinstance(rule, EpsilonGreedy) else 1 / 3
            assert told.min().item() == pytest.approx(least, rel=1e-9)


def test_an_ensembles_probabilities_are_those_of_its_members():
    log = made(100)
    warm = agent(Thompson(), Ensemble(members=4))
    warm.warm_start(*decisions(log))
    told = warm.probabilities(Observation(torch.randn(2, 40, 2), None, None))
    assert set((4 * told).flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_arms_that_are_not_there_have_no_probability():
    one = Agent(AgentSpec("it", Linear(), Thompson()), (0, 1), ObservationSpec(2, 3, masked=True), 100)
    context = torch.randn(2, 30, 2)
    there = torch.ones(2, 30, 3, dtype=torch.bool)
    one.warm_start(
        Observation(context, None, there), torch.randint(3, (2, 30)), torch.randn(2, 30, dtype=torch.float64)
    )
    there[:, :, 1] = False
    told = one.probabilities(Observation(context, None, there))
    assert (told[:, :, 1] == 0).all()
    torch.testing.assert_close(told.sum(2), torch.ones(2, 30, dtype=torch.float64))


def test_agents_of_a_bandit_start_with_what_a_log_has_taught():
    table = pd.DataFrame({"x": np.linspace(-1, 1, 200)}).assign(left=lambda t: t["x"] < 0, right=lambda t: t["x"] > 0)
    log = (
        table[["x"]].to_numpy(),
        np.arange(200) % 2,
        np.where(np.arange(200) % 2, table["right"], table["left"]),
        0.5,
    )
    entry = {
        "id": "vbandits/RewardTable-v0",
        "kwargs": {"table": table.astype(float), "rewards": ["left", "right"]},
        "label": "table",
    }
    cold, warm = (
        vbandits.run(environments=[own], agents=["linear-ts"], seeds=4, steps=60, workers=1)
        for own in (entry, {**entry, "log": {"id": log}})
    )
    regrets = [one.summary().set_index("agent").loc["linear-ts", "cumulative_regret"] for one in (cold, warm)]
    assert regrets[1] < 0.5 * regrets[0]
    assert warm.experiment["environments"][0]["log"]["id"] == "arrays"
    assert warm.experiment["environments"][0]["log"]["data"] == load_log(log).digest()[:16]
    uniform = [one.summary().set_index("agent").loc["uniform", "cumulative_regret"] for one in (cold, warm)]
    assert uniform[0] == uniform[1]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"logs": ["hilstrom"]}, "log 'hilstrom': unknown log 'hilstrom'; did you mean 'hillstrom'"),
        (
            {"policies": ["ibiv"]},
            r"unknown policy 'ibiv'; did you mean 'ibvi'. \(known: always, .*logging, .*uniform\)",
        ),
        ({"policies": [{"id": "always"}]}, r"policies\[0\]: expected the name of the arm that is always played"),
        ({"policies": [{"id": "always", "arm": 1.5}]}, r"policies\[0\]: expected the name of the arm .*, got 1.5"),
        ({"policies": [{"id": "always", "arm": "7"}]}, r"unknown arm '7' \(known: 0, 1, 2\)"),
        ({"policies": [{"id": "uniform", "arm": 1}]}, r"policies\[0\] \(uniform\): unknown key 'arm'"),
        ({"policies": [{"id": "ibvi", "label": "logging"}]}, "expected the label 'logging' on the policy of that name"),
        ({"logs": [{"id": made(), "kwargs": {"rewrd": 1}}]}, r"logs\[0\].kwargs: unknown key 'rewrd'.*'reward'"),
        ({"logs": [{"id": made(), "arm_features": True}]}, "expected features of arms"),
        ({"logs": [made(rows=10)]}, "expected at least two rows in each of 8 folds, got 10 in all"),
        ({"folds": 1}, "folds: expected greater than or equal to 2"),
        ({"checkpoint": 10}, r"checkpoint: expected an experiment whose jobs go on from .*, got one with \[\[logs\]\]"),
        ({"trainig_rows": 5}, "unknown key 'trainig_rows'; did you mean 'training_rows'"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_every_fault_is_told_before_anything_runs(document, told):
    with pytest.raises(vbandits.ConfigError, match=told):
        resolve({"name": "it", "logs": [made()], "policies": ["linear-ts"], **document})


@pytest.mark.parametrize("seeds", [9, "0-8", list(range(9))])
def test_more_seeds_than_folds_are_noted(seeds):
    notes = resolve({"name": "it", "logs": [made()], "policies": [], "seeds": seeds}).notes
    assert any("9 seeds of 8 folds: from the 9th on, rows are evaluated on again" in note for note in notes)


def test_policies_that_learn_nothing_are_known_by_what_they_do_whatever_they_are_called():
    policies = [
        {"id": "uniform", "label": "coin"},
        {"id": "logging", "label": "as was"},
        {"id": "always", "arm": ["0", "1"], "label": "one"},
    ]
    results = ran(made(400), policies)
    assert results.labels("policy") == ["coin", "as was", "one arm=0", "one arm=1"]
    assert results.baseline == "coin"
    assert results.added == ("coin", "as was")
    assert str(results.best("arrays")).startswith("one arm=")


def test_an_experiment_with_other_logs_and_policies_does_not_go_on_in_the_same_folder(tmp_path):
    one = {"logs": [made(100)], "policies": [{"id": "always", "arm": "0"}], "seeds": 2, "out": tmp_path, "workers": 1}
    vbandits.run(**one)
    other = {"logs": [{"id": made(120), "label": "other"}], "policies": [{"id": "always", "arm": "1"}]}
    with pytest.raises(vbandits.ConfigError, match="with none of them"):
        vbandits.run(**(one | other))


def test_what_results_depend_on_is_described():
    (one,) = resolve({"name": "it", "logs": [{"id": made(), "label": "mine"}], "policies": []}).problems
    assert isinstance(one, LogSpec)
    assert one.describe() == {
        "label": "mine",
        "id": "arrays",
        "kwargs": {},
        "arm_features": False,
        "data": made().digest()[:16],
    }


def test_a_log_that_does_not_fit_the_environment_is_refused():
    entry = {"id": "vbandits/RewardTable-v0", "log": {"id": made()}}
    with pytest.raises(vbandits.ConfigError, match=r"contexts of 4 numbers, .* \(a, b, c, d\), got 2 numbers"):
        resolve({"name": "it", "environments": [entry], "agents": []})
    with pytest.raises(vbandits.ConfigError, match=r"environments\[0\].log: unknown key 'rewrad'.*'reward'"):
        resolve({"name": "it", "environments": [{**entry, "log": {"id": made(), "rewrad": "x"}}], "agents": []})
    with pytest.raises(vbandits.ConfigError, match=r"environments\[0\].log: expected an id"):
        resolve({"name": "it", "environments": [{**entry, "log": {"reward": "x"}}], "agents": []})


def test_probabilities_of_ones_own_are_evaluated():
    log = made(3000)
    best = np.where(log.context[:, 0] > 0, 0, 1)
    found = vbandits.evaluate_policy(log, best)
    assert list(found.index) == [
        "doubly robust",
        "self-normalised IPS",
        "inverse propensity",
        "replay",
        "direct method",
    ]
    assert list(found.columns) == ["value", "standard_error", "low", "high", "effective_sample_size"]
    for name in found.index[:4]:
        assert found.loc[name, "low"] < 0.9 < found.loc[name, "high"]
    pd.testing.assert_frame_equal(vbandits.evaluate_policy(log, np.eye(3)[best]), found)
    pd.testing.assert_frame_equal(vbandits.evaluate_policy(log, best.astype(str)), found)
    assert found.attrs == {"largest_weight": 3.0, "mean_weight": pytest.approx(1.0, abs=0.1)}
    truth = np.column_stack([0.1 + 0.8 * (log.context[:, 0] > 0), 0.1 + 0.8 * (log.context[:, 0] < 0)])
    model = np.column_stack([truth, np.full(3000, 0.3)])
    better = vbandits.evaluate_policy(log, best, model)
    assert better.loc["doubly robust", "standard_error"] < found.loc["inverse propensity", "standard_error"] / 2
    for given, told in (
        (best[:9], r"order '0', '1', '2', or the arm of each decision \[3000\], by name .*, got the shape \(9,\)"),
        ("1", r"or the arm of each .* got '1': a policy that always plays one arm is np.full\(3000, '0'\)"),
        (best + 2, r"arms in 0..2, the places of '0', '1', '2', got 2..3: where numbers are names, give them as text"),
        (
            np.full(3000, "mail"),
            r"names of arms \('0', '1', '2'\), or their places as integers, got unknown arm 'mail'",
        ),
    ):
        with pytest.raises(ValueError, match=told):
            vbandits.evaluate_policy(log, given)
    with pytest.raises(ValueError, match=r"model: expected finite numbers \[3000, 3\]"):
        vbandits.evaluate_policy(log, best, truth)


def test_agents_may_see_features_of_arms():
    log = open_bandit()
    rows = np.arange(400)
    small = load_log(
        type(log)(
            "small",
            log.context[rows],
            log.action[rows],
            log.reward[rows],
            log.propensity[rows],
            log.arm_names,
            arm_features=log.arm_features,
        )
    )
    entry = {"id": small, "label": "obd", "arm_features": True}
    results = vbandits.run(logs=[entry], policies=["linear-ts"], seeds=2, folds=2, workers=1, draws=16)
    row = results.summary().set_index("policy").loc["linear-ts"]
    assert np.isfinite(row["ips"])
    assert row["effective"] < 200


@pytest.mark.slow
def test_a_policy_learned_from_hillstroms_log_by_doubly_robust_estimation_and_replay():
    """Arms are as likely as each other, so that replay is right: both agree, and beat sending e-mails at random."""
    hillstrom()
    results = vbandits.run(
        logs=[{"id": "hillstrom"}],
        policies=["linear-ts", {"id": "always", "arm": ["Mens E-Mail", "No E-Mail", "Womens E-Mail"]}],
        seeds=8,
        training_rows=4000,
        data_dir=DATA,
    )
    summary = results.summary().set_index("policy")
    learned = summary.loc["linear-ts"]
    assert abs(learned["dr"] - learned["replay"]) < 2 * np.hypot(learned["dr_error"], learned["replay_error"])
    assert learned["dr_low"] > summary.loc["uniform", "dr_high"]
    for arm in ("Mens E-Mail", "No E-Mail", "Womens E-Mail"):
        row = summary.loc[f"always {arm}"]
        for estimator in ("dr", "snips", "ips", "replay"):
            assert abs(row[estimator] - row["truth"]) < 2 * row[f"{estimator}_error"]
