"""Arms with features, arms that are not always there, and how they become rows for a posterior."""

from functools import cache

import arm_envs
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.helpers import preset
from tests.registries import over, product
from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.dry_run import dry_run
from vbandits.agents.encoding import Encoding
from vbandits.agents.rules import UNAVAILABLE, EpsilonGreedy, Greedy, Thompson, Uniform, pick
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.check import check
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.envs.spec import EnvironmentSpec
from vbandits.envs.together import problems
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.linear import Linear
from vbandits.presets import PRESETS

CONTEXT = torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
ARMS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))


def test_a_row_is_a_context_or_an_arm_with_its_context():
    assert torch.equal(Encoding(ObservationSpec(2, 3)).rows(Observation(CONTEXT)), CONTEXT.unsqueeze(1))
    rows = Encoding(ObservationSpec(2, 3, 4)).rows(Observation(CONTEXT, ARMS))
    assert rows.shape == (2, 3, 6)
    for arm in range(3):
        assert torch.equal(rows[:, arm], torch.cat([CONTEXT, ARMS[:, arm]], 1))
    assert torch.equal(Encoding(ObservationSpec(0, 3, 4)).rows(Observation(None, ARMS)), ARMS)


def test_a_disjoint_row_holds_its_arm_in_its_own_block_and_nothing_else():
    encoding = Encoding(ObservationSpec(2, 3, 4), "disjoint")
    rows = encoding.rows(Observation(CONTEXT, ARMS))
    assert (encoding.features, encoding.outputs) == (21, 1)
    for arm in range(3):
        blocks = rows[:, arm].unflatten(1, (3, 7))
        assert torch.equal(blocks[:, arm], torch.cat([CONTEXT, ARMS[:, arm], torch.ones(2, 1)], 1))
        assert not blocks[:, [other for other in range(3) if other != arm]].any()


def test_the_row_and_output_that_a_reward_belongs_to():
    rows, actions = torch.arange(12.0).view(2, 3, 2), torch.tensor([2, 0])
    x, output = Encoding(ObservationSpec(0, 3, 2)).taken(rows, actions)
    assert x.tolist() == [[4, 5], [6, 7]]
    assert output.tolist() == [0, 0]
    x, output = Encoding(ObservationSpec(2, 3)).taken(rows[:, :1], actions)
    assert x.tolist() == [[0, 1], [6, 7]]
    assert output.tolist() == [2, 0]


def test_rows_that_are_far_too_long_are_refused():
    with pytest.raises(ValueError, match=r"at most 10,000 numbers in a row, got 51,000 .*use the encoding 'shared'"):
        Encoding(ObservationSpec(0, 1000, 50), "disjoint")
    with pytest.raises(ValueError, match=r"1,000,000 numbers in all rows of a decision, got 9,000,000"):
        Encoding(ObservationSpec(0, 1000, 8), "disjoint")


def test_one_linear_model_of_blocks_is_a_linear_model_per_arm():
    """Ridge regression falls apart into its blocks, so the greedy agents of both encodings play the same arms."""
    actions = []
    for encoding in ("shared", "disjoint"):  # a block has a constant of its own
        posterior = Linear(intercept=encoding == "shared")
        linear = AgentSpec("it", posterior, Greedy(), standardize=False, encoding=encoding)
        kwargs = {"features": 3, "arms": 4, "noise": 0.5}
        cell = job(EnvironmentSpec("it", "vbandits/LinearBandit-v0", kwargs), linear, (0, 1, 2), 200)
        actions.append(run_job(cell).records["action"].tolist())
    assert actions[0] == actions[1]
    assert len(set(actions[0])) == 4


def test_picks_are_even_among_the_arms_that_are_there():
    grid = (torch.arange(1200, dtype=torch.float64) + 0.5) / 1200
    mask = torch.tensor([False, True, True, False, True]).expand(1200, -1)
    assert pick(grid, 5, mask).bincount(minlength=5).tolist() == [0, 400, 400, 0, 400]
    random = torch.rand(10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pick(random, 7), pick(random, 7, torch.ones(10_000, 7, dtype=torch.bool)))


@pytest.mark.parametrize("rule", [Thompson(), Greedy(), EpsilonGreedy(0.9), Uniform()])
def test_no_rule_plays_an_arm_that_is_not_there(rule):
    random = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = torch.randn(500, 1, 4, generator=torch.Generator().manual_seed(2)) - 5
    values[:, :, 1] = UNAVAILABLE
    played = rule.choose(values, random)
    assert set(played.tolist()) == {0, 2, 3}


def test_a_rule_that_ignores_the_mask_is_refused_before_any_work():
    class Stubborn(Thompson):
        def choose(self, values, random):
            return torch.zeros(len(values), dtype=torch.long)

    for form, refused in ((ObservationSpec(2, 3), False), (ObservationSpec(2, 3, masked=True), True)):
        agent = Agent(AgentSpec("it", Linear(), Stubborn()), (0,), form, 1)
        if not refused:
            dry_run(agent)
            continue
        with pytest.raises(ValueError, match=r"Stubborn.choose to return the one arm that is available, 2 .*got 0"):
            dry_run(agent)


def test_initial_pulls_are_in_turn_over_the_arms_that_are_there():
    agent = Agent(preset("linear-ts", schedule={"initial_pulls": 2}), (0, 1), ObservationSpec(1, 3, masked=True), 10)
    masks = torch.tensor([[[1, 1, 1], [0, 1, 1]], [[1, 1, 1], [1, 0, 0]], [[0, 1, 1], [1, 1, 0]]], dtype=torch.int8)
    played = []
    for mask in masks:
        observation = {"context": torch.ones(2, 1), "mask": mask}
        actions = agent.act(observation)
        agent.observe(torch.zeros(2, dtype=torch.float64))
        played.append(actions.tolist())
    assert played == [[0, 1], [1, 0], [2, 0]]


def test_the_order_of_arms_with_features_does_not_matter():
    spec = preset("linear-ts", rule={"kind": "greedy"}, schedule={"initial_pulls": 0, "every": 1})
    plain, turned = (Agent(spec, (0, 1), ObservationSpec(0, 5, 3), 40) for _ in range(2))
    order = torch.tensor([3, 0, 4, 1, 2])
    random = torch.Generator().manual_seed(3)
    for step in range(40):
        arms = torch.randn(2, 5, 3, generator=random)
        if step < 4:  # all values are 0 before anything is known, and the first arm is taken: the same for both
            arms[:, 0] = arms[:, order[0]]
        action, other = plain.act({"arms": arms}), turned.act({"arms": arms[:, order]})
        assert torch.equal(arms[:, order][torch.arange(2), other], arms[torch.arange(2), action])
        assert step < 4 or torch.equal(order[other], action)
        for agent in (plain, turned):
            agent.observe(arms[torch.arange(2), action].sum(1).double())
            agent.learn()


@over("name", PRESETS, quick=["ibvi", "linear-ts", "uniform"])
def test_every_preset_plays_arms_with_features_that_come_and_go(name):
    """Sold-out products raise an error. One function of (context, product) is learned in few decisions."""
    cell = job(EnvironmentSpec("shop", arm_envs.Shop), preset(name), (0, 1, 2), 300)
    outcome = run_job(cell)
    assert outcome.diverged == ()
    last = outcome.records[outcome.records["step"] >= 200]["regret"]
    uniform = run_job(job(cell.problem.environment, preset("uniform"), (0, 1, 2), 300)).records
    assert last.mean() < (2 if name == "uniform" else 0.35) * uniform["regret"].mean()


CASES = [(name, {}) for name in PRESETS] + [
    ("ibvi", {"posterior": {"family": "mean_field", "layers": "all"}}),
    ("ibvi", {"posterior": {"family": "kronecker"}}),
    ("neural-linear", {"rule": {"kind": "greedy"}}),
    ("linear-ts", {"rule": {"kind": "greedy"}}),
]


@cache
def records_of(case, encoding, seeds):
    (name, sections), kwargs = CASES[case], {"function": "cosine", "arms": 40, "available": 0.4, "features": 5}
    environment = EnvironmentSpec("it", "vbandits/ArmFeaturesBandit-v0", kwargs)
    return run_job(job(environment, preset(name, encoding=encoding, **sections), seeds, 32)).records


@product(("case", "encoding", "seeds"), range(len(CASES)), ["shared", "disjoint"], [(3, 4), (1, 2, 3)], ids=str)
def test_a_seed_plays_the_same_alone_where_rows_are_arms(case, encoding, seeds):
    """Products with a single output are where a batch of one would have other last bits."""
    together = records_of(case, encoding, seeds)
    assert together[together["seed"] == 3].reset_index(drop=True).equals(records_of(case, encoding, (3,)))


def test_what_stands_where_an_arm_is_absent_does_not_matter():
    def records(padding):
        cell = job(EnvironmentSpec("shop", arm_envs.Shop, {"padding": padding}), preset("ibvi"), (0, 1), 60)
        outcome = run_job(cell)
        assert outcome.diverged == ()
        return outcome.records

    assert records(0.0).equals(records(1e9))


def test_standardised_blocks_stay_disjoint():
    agent = Agent(
        preset("linear-ts", encoding="disjoint", schedule={"initial_pulls": 4}), (0,), ObservationSpec(1, 3), 12
    )
    contexts = torch.tensor([2.0, 4.0, 6.0, 8.0] * 3)
    for context in contexts:
        agent.act(context.view(1, 1))
        agent.observe(torch.ones(1, dtype=torch.float64))
    agent.learn()
    x = agent._replay.data(agent.model.scaling, agent.model.noise).rows(torch.arange(12).unsqueeze(0)).x[0]  # [12, 6]
    own = (contexts - contexts.mean()) / contexts.std(correction=0)
    for step in range(12):
        expected = torch.zeros(3, 2)
        expected[step % 3] = torch.tensor([own[step], 1.0])
        torch.testing.assert_close(x[step].view(3, 2), expected)


def test_a_rule_that_looks_at_several_draws_is_tried_with_a_mask():
    class Two(Thompson):
        draws = 2

    dry_run(Agent(AgentSpec("it", Deterministic(), Two()), (0,), ObservationSpec(2, 3, masked=True), 1))


def test_a_context_with_a_mask_keeps_an_output_per_arm():
    cell = job(EnvironmentSpec("it", arm_envs.SoldOut), preset("linear-ts"), (0, 1), 60)
    records = run_job(cell).records
    assert set(records["action"]) == {0, 1, 3}, "the third is never there, the second every other time"
    assert (records[records["action"] == 1]["step"] % 2 == 1).all()
    assert records[records["step"] > 40]["regret"].mean() < 0.2


@pytest.mark.parametrize(("with_context", "with_mask"), [(True, True), (False, True), (True, False), (False, False)])
def test_the_checker_knows_features_of_arms_and_masks(with_context, with_mask):
    report = check(arm_envs.Shop, {"with_context": with_context, "with_mask": with_mask})
    text = str(report)
    assert report.works, text
    assert "arms of 3 numbers each" in text
    assert ("contexts of 2 numbers" in text) == with_context
    assert ("a mask of those available" in text) == with_mask
    others = [line.status for line in report.lines if "sold out" not in line.text]  # gymnasium's own ignores masks
    assert set(others) == {"passed"}, text


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nothing", r"step 2 .*at least one available action in the mask, got none"),
        ("two", r"step 2 .*a mask of 0 and 1, got 2"),
        ("key", r"step 2 .*the keys context, mask, as the observation space says, got a dict with context"),
        ("shape", r"step 2 .*an observation's mask of shape \(4,\), .*got \(3,\)"),
    ],
)
def test_faults_of_a_mask_are_named(fault, message):
    environment = EnvironmentSpec("it", arm_envs.SoldOut, {"fault": fault}).open(1)
    environment.reset(seed=[0])
    for _ in range(2):
        environment.step(torch.tensor([0]))
    with pytest.raises(ValueError, match=message):
        environment.step(torch.tensor([0]))
    assert not check(arm_envs.SoldOut, {"fault": fault}).works


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"context": spaces.Box(0, 1, (2,)), "age": spaces.Discrete(3)}, "keys context, arms, mask alone, got age too"),
        ({"mask": spaces.MultiBinary(4)}, "a context or arms in .*, got neither"),
        ({"context": spaces.Text(3)}, "the context to be a Box"),
        ({"arms": spaces.Box(0, 1, (3, 2))}, r"arms to be a Box of shape \(4, F\), a row for each action"),
        ({"context": spaces.Box(0, 1, (2,)), "mask": spaces.MultiBinary(5)}, r"mask to be MultiBinary\(4\)"),
    ],
)
def test_spaces_that_do_not_fit_are_refused_in_plain_words(parts, message):
    class Wrong(gymnasium.Env):
        observation_space, action_space = spaces.Dict(parts), spaces.Discrete(4)

    assert len(problems(Wrong())) == 1
    with pytest.raises(ValueError, match=message):
        EnvironmentSpec("it", Wrong).open(1)


def test_an_encoding_is_chosen_in_a_file_and_a_misspelt_one_refused():
    document = {"name": "it", "environments": ["vbandits/Wheel-v0"], "agents": [{"id": "ibvi", "encoding": "disjoint"}]}
    spec = resolve(document).methods[0]
    assert spec.encoding == "disjoint"
    assert resolve(document, ["encoding=shared"]).methods[0].encoding == "shared"
    with pytest.raises(ConfigError, match="encoding: expected 'shared' or 'disjoint'"):
        resolve({**document, "agents": [{"id": "ibvi", "encoding": "joint"}]})


def test_regret_counts_available_arms_alone():
    """What the environment says of its optimum reaches the records, worked out again here from its random numbers."""
    records = run_job(job(EnvironmentSpec("shop", arm_envs.Shop), preset("uniform"), (4,), 25)).records
    shop, regrets = arm_envs.Shop(), []
    observation, _ = shop.reset(seed=4)
    for action in records["action"]:
        expected = observation["arms"] @ np.array([1.0, -0.5, 0.25])
        regrets.append(expected[observation["mask"] == 1].max() - expected[action])
        shop.step(action)
        observation, _ = shop.reset()
    np.testing.assert_allclose(records["regret"], regrets, atol=1e-6)
    assert min(regrets) == 0 < max(regrets)
