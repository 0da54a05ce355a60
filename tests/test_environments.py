"""Laws that every native environment keeps, and what each of them pays."""

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from vbandits.envs import (
    AbruptBandit,
    ArmFeaturesBandit,
    Classification,
    DriftingBandit,
    GaussianBandit,
    HeteroscedasticBandit,
    LinearBandit,
    LogisticBandit,
    NeuralBandit,
    SparseLinearBandit,
    Wheel,
)
from vbandits.envs.base import BLOCK
from vbandits.envs.spec import EnvironmentSpec
from vbandits.metrics.regret import from_info
from vbandits.registry import BANDITS

STEPS = BLOCK + 50
"""Enough to need a second block."""
VARIANTS = [
    ("vbandits/Wheel-v0", {"noisy_optimum": True}),
    ("vbandits/AbruptBandit-v0", {"period": 3}),
    ("vbandits/ArmFeaturesBandit-v0", {"arms": 6, "available": 0.4}),
    ("vbandits/ArmFeaturesBandit-v0", {"function": "cosine", "context_features": 3}),
    ("vbandits/ArmFeaturesBandit-v0", {"arms": 60, "features": 200, "context_features": 2, "available": 0.1}),
    ("vbandits/LinearBandit-v0", {"arms": 3, "noise": [0.1, 0.2, 3.0], "weights": "cube", "noisy_optimum": True}),
]
"""Parameters that lead to other code than the defaults."""
every_id = pytest.mark.parametrize(("name", "kwargs"), [*((name, {}) for name in BANDITS), *VARIANTS])
pytestmark = pytest.mark.usefixtures("standins")  # the laws hold of small files as well, and need no others


def actions_for(environment, lanes, steps=STEPS):
    return torch.from_numpy(np.random.default_rng(5).integers(environment.single_action_space.n, size=(steps, lanes)))


def flat(observation):
    """Returns an observation [R, ...] as float64 [R, D], whatever its parts; their names must come in one order."""
    parts = observation if isinstance(observation, dict) else {"context": observation}
    assert list(parts) == [name for name in ("context", "arms", "mask") if name in parts]
    return torch.cat([torch.as_tensor(part).double().flatten(1) for part in parts.values()], 1)


def flat_lane(observation):
    """Returns an observation of one lane as float64 [D]."""
    parts = observation if isinstance(observation, dict) else {"context": observation}
    return flat({name: part[None] for name, part in parts.items()})[0]


def play(environment, seeds, actions):
    """Returns flattened observations [T + 1, R, D], rewards, expected and optimal rewards, and regret [T, R]."""
    observation, info = environment.reset(seed=list(seeds))
    assert info == {}, "nothing is told before an action is taken"
    seen, outcomes = [flat(observation)], []
    for action in actions:
        observation, rewards, terminated, truncated, info = environment.step(action)
        assert not (terminated | truncated).any()
        seen.append(flat(observation))
        outcomes.append([rewards, info["expected_reward"], info["optimal_expected_reward"], from_info(info)])
    return torch.stack(seen), *(torch.stack(column) for column in zip(*outcomes, strict=True))


def payable(block):
    """Returns what each arm is expected to pay [T, A]: where it is not available, as little as any that is."""
    if block.mask is None:
        return block.expected
    available = np.asarray(block.mask, bool)
    worst = np.where(available, block.expected, np.inf).min(1, keepdims=True)
    return np.where(available, block.expected, worst)


def everything(environment, seed):
    """Returns one lane's first block: contexts [N, D], expected rewards [N, A] and rewards [N, A]."""
    return next(environment.blocks(seed))


@every_id
@pytest.mark.filterwarnings("ignore:.*infinit")
def test_gymnasiums_checker_accepts_a_single_lane(name, kwargs):
    environment = gymnasium.make(name, **kwargs)
    check_env(environment.unwrapped, skip_render_check=True)
    environment.reset(seed=0)
    observation, reward, _, _, info = environment.step(environment.action_space.sample())
    assert observation in environment.observation_space
    assert type(reward) is type(info["expected_reward"]) is float


@every_id
def test_gymnasium_makes_a_batch_whose_observations_are_in_its_space(name, kwargs):
    environment = gymnasium.make_vec(name, 3, vectorization_mode="vector_entry_point", **kwargs)
    observation, _ = environment.reset(seed=[4, 5, 6])
    arrays = {name: part.numpy() for name, part in observation.items()} if isinstance(observation, dict) else None
    assert (observation.numpy() if arrays is None else arrays) in environment.observation_space
    own = EnvironmentSpec("it", name, kwargs).open(3)
    assert torch.equal(flat(observation), flat(own.reset(seed=[4, 5, 6])[0]))


@every_id
def test_a_lane_of_eight_is_the_single_environment(name, kwargs):
    batch = EnvironmentSpec("it", name, kwargs).open(8)
    seeds = [11, 3, 7, 0, 2**31, 5, 1, 8]
    actions = actions_for(batch, 8)
    seen, rewards, expected, optimal, regret = play(batch, seeds, actions)
    single = gymnasium.make(name, **kwargs)
    for lane in (0, 4, 7):
        observation, _ = single.reset(seed=seeds[lane])
        for step in range(STEPS):
            assert torch.equal(flat_lane(observation), seen[step, lane])
            observation, reward, _, _, info = single.step(int(actions[step, lane]))
            assert reward == rewards[step, lane]
            assert info["expected_reward"] == expected[step, lane]
            assert info["optimal_expected_reward"] == optimal[step, lane]
            assert from_info(info) == regret[step, lane]
    if name != "vbandits/GaussianBandit-v0":
        assert (seen[:, 0] != seen[:, 1]).any(), "seeds differ"
    assert (rewards[:, 0] != rewards[:, 1]).any()


@every_id
def test_the_same_seeds_give_the_same_problem_again(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(2)
    actions = actions_for(environment, 2)
    first = play(environment, (4, 9), actions)
    again = play(environment, (4, 9), actions)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


@every_id
def test_a_short_run_is_the_beginning_of_a_long_one(name, kwargs):
    long, short = (EnvironmentSpec("it", name, kwargs).open(2) for _ in range(2))
    actions = actions_for(long, 2, 3 * BLOCK)
    for one, other in zip(play(long, (1, 2), actions), play(short, (1, 2), actions[:100]), strict=True):
        assert torch.equal(one[: len(other)], other)


@every_id
def test_all_blocks_of_an_environment_have_the_same_length(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(1)
    arms = int(environment.single_action_space.n)
    lengths = set()
    for seed in (0, 1):
        for block in itertools.islice(environment.blocks(seed), 3):
            length = len(block.contexts)
            assert block.expected.shape == block.rewards.shape == (length, arms)
            lengths.add(length)
    assert len(lengths) == 1


@every_id
def test_actions_do_not_change_what_follows(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(1)
    seen, _, _, optimal, _ = play(environment, (3,), torch.zeros(STEPS, 1, dtype=torch.long))
    others, _, _, other_optimal, _ = play(environment, (3,), torch.ones(STEPS, 1, dtype=torch.long))
    assert torch.equal(seen, others)
    assert torch.equal(optimal, other_optimal)


@every_id
def test_a_reset_without_seed_goes_on_with_the_same_problem(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(2)
    seen, _, expected, _, _ = play(environment, (1, 2), actions := actions_for(environment, 2, 20))
    environment.reset(seed=[1, 2])
    environment.step(actions[0])
    following, _ = environment.reset()
    assert torch.equal(flat(following), seen[2]), "one context is skipped, the problem stays"
    info = environment.step(actions[2])[4]
    assert torch.equal(info["expected_reward"], expected[2])


@every_id
def test_no_action_beats_the_optimum_and_one_reaches_it(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(3)
    environment.reset(seed=[0, 1, 2])
    arms = int(environment.single_action_space.n)
    expected = [payable(next(environment.blocks(seed))) for seed in (0, 1, 2)]
    for step in range(40):
        info = environment.step(torch.tensor([step % arms] * 3))[4]
        for lane in range(3):
            assert info["optimal_expected_reward"][lane] == expected[lane][step].max()
            assert info["expected_reward"][lane] == expected[lane][step][step % arms]
            assert expected[lane][step][info["optimal_action"][lane]] == expected[lane][step].max()


@every_id
def test_rewards_have_the_mean_that_is_told(name, kwargs):
    """Of every arm, over many problems and steps: within 5 standard errors."""
    environment = EnvironmentSpec("it", name, kwargs).open(1)
    blocks = [next(environment.blocks(seed)) for seed in range(40)]
    noise = np.concatenate([block.rewards - block.expected for block in blocks])
    assert (np.abs(noise.mean(0)) <= 5 * noise.std(0) / np.sqrt(len(noise))).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Wheel(delta=1.7), "delta: expected a radius between 0 and 1, got 1.7"),
        (lambda: Wheel(std=-1.0), "std"),
        (lambda: Wheel(std=float("inf")), "std, std_outer: expected finite standard deviations of at least 0"),
        (lambda: Wheel(std_outer=float("inf")), "std, std_outer: expected finite"),
        (lambda: Wheel(std_outer=float("nan")), "std, std_outer: expected finite"),
        (lambda: LinearBandit(noise=float("inf")), "noise: expected a standard deviation, finite and at least 0"),
        (lambda: AbruptBandit(noise=float("inf")), "noise: expected a standard deviation, finite"),
        (lambda: ArmFeaturesBandit(noise=float("inf")), "noise: expected a standard deviation, finite"),
        (lambda: LinearBandit(arms=1), "arms: expected at least 2, got 1"),
        (lambda: LinearBandit(features=0), "features: expected at least 1, got 0"),
        (lambda: GaussianBandit(means=[1.0]), "arms: expected at least 2, got 1"),
        (lambda: NeuralBandit(hidden=0), "hidden: expected at least 1, got 0"),
        (lambda: NeuralBandit(noise=-0.1), "noise: expected a standard deviation"),
        (lambda: LinearBandit(arms=3, noise=[0.1, -0.1, 0.2]), "noise: expected a standard deviation"),
        (lambda: LinearBandit(arms=3, noise=[0.1, 0.2]), "noise: expected one number, or one for each of 3 arms"),
        (lambda: LinearBandit(weights="ball"), "weights: expected sphere or cube, got 'ball'"),
        (lambda: SparseLinearBandit(features=4, nonzero=5), "nonzero: expected from 1 to all 4 features, got 5"),
        (lambda: LogisticBandit(scale=0.0), "scale: expected a finite number above 0, got 0.0"),
        (lambda: LogisticBandit(bias=float("nan")), "bias: expected a finite number, got nan"),
        (
            lambda: HeteroscedasticBandit(quiet=2.0, loud=1.0),
            r"quiet, loud: expected 0 <= quiet <= loud, got \(2.0, 1.0\)",
        ),
        (lambda: AbruptBandit(period=0), "period: expected at least 1 step, got 0"),
        (lambda: DriftingBandit(rate=-0.1), "rate: expected a finite number of at least 0, got -0.1"),
        (lambda: DriftingBandit(noise=-0.1), "noise: expected a standard deviation"),
        (lambda: ArmFeaturesBandit(function="sine"), "function: expected one of linear, quadratic, matrix, cosine"),
        (lambda: ArmFeaturesBandit(arms=1), "arms: expected at least 2, got 1"),
        (lambda: ArmFeaturesBandit(features=0), "features: expected at least 1, got 0"),
        (lambda: ArmFeaturesBandit(noise=-1.0), "noise: expected a standard deviation"),
        (lambda: ArmFeaturesBandit(context_features=-1), "context_features: expected at least 0, got -1"),
        (lambda: ArmFeaturesBandit(available=1.5), "available: expected a probability, got 1.5"),
        (lambda: Classification(dataset="digit"), "unknown dataset 'digit'; did you mean 'digits'"),
        (lambda: Wheel(num_envs=2).reset(seed=[1, 2, 3]), "one seed for each of 2 sub-environments, got 3"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("delta", "per_step"), [(0.5, 29.41), (0.7, 20.05), (0.9, 7.570), (0.95, 3.963), (0.99, 0.936)]
)
def test_the_wheels_regret_of_uniform_play(delta, per_step):
    """Inside: 1.2 - (1.2 + 4) / 5 = 0.16. Beyond: 50 - (50 + 1.2 + 3) / 5 = 39.16, with probability 1 - delta^2."""
    exact = 0.16 * delta**2 + 39.16 * (1 - delta**2)
    assert exact == pytest.approx(per_step, abs=0.006)
    environment = Wheel(64, delta=delta)
    actions = torch.from_numpy(np.random.default_rng(1).integers(5, size=(400, 64)))
    *_, regret = play(environment, range(64), actions)
    error = regret.std() / np.sqrt(regret.numel())
    assert abs(regret.mean() - exact) < 4 * error
    assert error < 0.02 * exact + 0.1


def test_the_wheel_pays_by_region():
    """Riquelme et al.: the geometry is worked out again here, from the contexts that agents see."""
    blocks = (everything(Wheel(delta=0.6), seed)[:3] for seed in range(200))
    x, expected, rewards = (np.concatenate(part) for part in zip(*blocks, strict=True))
    beyond = np.hypot(x[:, 0], x[:, 1]) > 0.6
    assert np.hypot(x[:, 0], x[:, 1]).max() <= 1
    deviation = np.sqrt(0.36 * 0.64 / len(x))
    assert (~beyond).mean() == pytest.approx(0.36, abs=4 * deviation), "contexts are uniform in the disc"
    regions = {
        1: (x[:, 0] > 0) & (x[:, 1] > 0),
        2: (x[:, 0] > 0) & (x[:, 1] < 0),
        3: (x[:, 0] < 0) & (x[:, 1] > 0),
        4: (x[:, 0] < 0) & (x[:, 1] < 0),
    }
    for arm in range(5):
        special = beyond & regions[arm] if arm else np.zeros(len(x), bool)
        for rows, mean, std in ((special, 50.0, 0.01), (~special, 1.0 if arm else 1.2, 0.05)):
            if rows.any():
                assert (expected[rows, arm] == mean).all()
                paid = rewards[rows, arm]
                assert paid.mean() == pytest.approx(mean, abs=4 * std / np.sqrt(len(paid)))
                assert paid.std() == pytest.approx(std, abs=4 * std / np.sqrt(2 * len(paid)))


@pytest.mark.parametrize(("dataset", "size"), [("wine", 178), ("breast_cancer", 569), ("digits", 1797)])
def test_classification_goes_through_every_row_before_any_returns(dataset, size):
    environment = Classification(2, dataset=dataset)
    data = environment.dataset
    assert len(data.features) == size
    known = {}
    for row, features in enumerate(data.features):
        known.setdefault(features.tobytes(), []).append(row)
    contexts, *_ = play(environment, (1, 2), torch.zeros(2 * size, 2, dtype=torch.long))
    orders = [
        [known[context.float().numpy().tobytes()][0] for context in contexts[: 2 * size, lane]] for lane in range(2)
    ]
    every = sorted(known[features.tobytes()][0] for features in data.features)
    for order in orders:
        assert sorted(order[:size]) == every
        assert sorted(order[size:]) == every
        assert order[:size] != order[size:], "reshuffled"
    assert orders[0] != orders[1], "each seed has an order of its own"


def test_classes_are_long_tailed_as_published():
    plain, tailed = (Classification(dataset="iris", imbalance=imbalance) for imbalance in (1.0, 10.0))
    labels = tailed.dataset.labels
    assert labels is not None
    np.testing.assert_array_equal(np.bincount(labels), [50, round(50 / np.sqrt(10)), 5])
    assert tailed.arms == 3
    every = {row.tobytes() for row in plain.dataset.features}
    assert {row.tobytes() for row in tailed.dataset.features} <= every, "rows of the dataset"
    assert "71 of 150 rows" in tailed.notes[0]
    again = Classification(dataset="iris", imbalance=10.0)
    np.testing.assert_array_equal(again.dataset.features, tailed.dataset.features)
    played = next(tailed.blocks(3))
    np.testing.assert_array_equal(played.expected.argmax(1), labels[played.contexts])
    assert played.contexts.max() < 71
    assert not plain.notes


def test_a_class_that_is_rare_already_is_not_cut_and_none_is_empty():
    sizes = np.bincount(Classification(dataset="wine").dataset.labels)  # 59, 71, 48
    cut = np.bincount(Classification(dataset="wine", imbalance=1.2).dataset.labels)
    np.testing.assert_array_equal(sizes, [59, 71, 48])
    np.testing.assert_array_equal(cut, [59, 71, 48])
    assert np.bincount(Classification(dataset="wine", imbalance=1000.0).dataset.labels).tolist() == [2, 71, 1]
    with pytest.raises(ValueError, match=r"imbalance: expected a finite ratio of at least 1, got 0\.5"):
        Classification(dataset="wine", imbalance=0.5)


def test_classification_pays_for_the_rows_class_and_for_no_other():
    environment = Classification(dataset="wine", reward_right=3.0, reward_wrong=-2.0)
    rows, expected, rewards, *_ = everything(environment, 0)
    by_hand = np.full((BLOCK, 3), -2.0)
    labels = environment.dataset.labels
    assert labels is not None
    by_hand[np.arange(BLOCK), labels[rows]] = 3.0
    context, _ = environment.reset(seed=0)
    for row in rows:
        np.testing.assert_array_equal(context[0].numpy(), environment.dataset.features[row])
        context, *_ = environment.step(torch.tensor([0]))
    np.testing.assert_array_equal(expected, by_hand)
    np.testing.assert_array_equal(rewards, by_hand)


@pytest.mark.parametrize(
    ("name", "whole", "real"),
    [
        ("vbandits/Wheel-v0", {"mean_base": 1, "std": 0}, {"mean_base": 1.0, "std": 0.0}),
        (
            "vbandits/Classification-v0",
            {"dataset": "wine", "reward_wrong": 0, "reward_right": 0.5},
            {"dataset": "wine", "reward_wrong": 0.0, "reward_right": 0.5},
        ),
        ("vbandits/GaussianBandit-v0", {"means": [0, 0.5], "noise": 1}, {"means": [0.0, 0.5], "noise": 1.0}),
        ("vbandits/LinearBandit-v0", {"arms": 2, "noise": [1, 0.5]}, {"arms": 2, "noise": [1.0, 0.5]}),
    ],
)
def test_a_whole_number_means_the_same_as_a_real_one(name, whole, real):
    rewards = []
    for kwargs in (whole, real):
        environment = gymnasium.make_vec(name, 3, vectorization_mode="vector_entry_point", **kwargs)
        environment.reset(seed=[0, 1, 2])
        rewards.append([environment.step(torch.tensor([step % 2] * 3))[1].tolist() for step in range(40)])
    assert rewards[0] == rewards[1]
    assert any(reward % 1 for row in rewards[0] for reward in row)
