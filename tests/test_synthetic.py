"""What the synthetic problems pay: linear, sparse, neural, without context; and regret against a noisy optimum."""

import gymnasium
import numpy as np
import pytest
import torch

from vbandits.envs import GaussianBandit, LinearBandit, NeuralBandit, SparseLinearBandit, Wheel
from vbandits.envs.base import BLOCK


def everything(environment, seed):
    """Returns one lane's first block: contexts [N, D], expected rewards [N, A] and rewards [N, A]."""
    return next(environment.blocks(seed))


def weights_of(environment, seeds):
    """Returns the weights [seeds, D, A] that give the expected rewards, without remainder."""
    found = []
    for seed in seeds:
        x, expected, *_ = everything(environment, seed)
        weights, *_ = np.linalg.lstsq(x, expected, rcond=None)
        np.testing.assert_allclose(x @ weights, expected, atol=1e-10)
        found.append(weights)
    return np.stack(found)


def test_linear_rewards_are_linear_with_variance_one_and_the_noise_that_is_asked_for():
    variances, noises = [], []
    environment = LinearBandit(features=6, arms=4, noise=0.3)
    for seed in range(100):
        x, expected, rewards, *_ = everything(environment, seed)
        weights, *_ = np.linalg.lstsq(x, expected, rcond=None)
        np.testing.assert_allclose(x @ weights, expected, atol=1e-10)
        np.testing.assert_allclose(np.linalg.norm(weights, axis=0), 1, atol=1e-10)
        variances.append(expected.var(0).mean())
        noises.append((rewards - expected).std())
    assert np.mean(variances) == pytest.approx(1, abs=float(4 * np.std(variances) / 10))
    assert np.mean(noises) == pytest.approx(0.3, abs=float(4 * np.std(noises) / 10))
    assert np.std(variances) < 0.1


def test_weights_are_uniform_on_the_sphere_or_in_the_cube():
    """The mean fourth power of a coordinate, 3 / (D (D + 2)) on the sphere, tells the two apart: here 3 / 8."""
    fourth = {}
    for kind in ("sphere", "cube"):
        weights = weights_of(LinearBandit(features=2, arms=100, weights=kind), range(200))
        np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, atol=1e-9)
        assert abs(weights.mean()) < 4 * np.sqrt(1 / 2 / 40_000), "as often negative as positive"
        fourth[kind] = (weights**4).mean(1).ravel()  # of each of 20,000 arms
    angle = (np.arange(100_000) + 0.5) / 100_000 * np.pi / 4
    in_cube = np.trapezoid((np.cos(angle) ** 4 + np.sin(angle) ** 4) / 2 / np.cos(angle) ** 2, angle)
    exact = {"sphere": 3 / 8, "cube": in_cube}  # the cube's angle has the density 1 / cos^2 up to 45 degrees
    for kind, value in fourth.items():
        assert value.mean() == pytest.approx(exact[kind], abs=4 * value.std() / np.sqrt(value.size))
    assert exact["sphere"] - exact["cube"] > 8 * fourth["cube"].std() / np.sqrt(fourth["cube"].size)


def test_a_few_coordinates_of_each_arm_matter_and_every_one_as_often():
    weights = weights_of(SparseLinearBandit(), range(300))  # [seeds, D, A]
    chosen = np.abs(weights) > 1e-9
    assert (chosen.sum(1) == 3).all()
    assert weights.shape[1:] == (10, 7)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, atol=1e-9)
    frequency = chosen.mean((0, 2))
    assert (abs(frequency - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2100)).all()
    assert (chosen[:, :, 0] != chosen[:, :, 1]).any(1).mean() == pytest.approx(1 - 1 / 120, abs=0.03), "one per arm"
    assert abs(weights[chosen].mean()) < 4 / np.sqrt(chosen.sum())


@pytest.mark.parametrize("weights", ["sphere", "cube"])
def test_an_offset_is_paid_by_every_arm_and_costs_no_regret(weights):
    infos = []
    for offset in (0.0, 100.0):
        environment = LinearBandit(3, offset=offset, weights=weights)
        environment.reset(seed=[0, 1, 2])
        _, reward, *_, info = environment.step(torch.tensor([0, 1, 2]))
        infos.append({**info, "reward": reward})
    plain, moved = infos
    for name in ("reward", "expected_reward", "optimal_expected_reward"):
        np.testing.assert_allclose(moved[name], plain[name] + 100, rtol=1e-6)
    with pytest.raises(ValueError, match="offset: expected a finite number, got inf"):
        LinearBandit(offset=float("inf"))


@pytest.mark.parametrize("make", [LinearBandit, SparseLinearBandit, NeuralBandit, GaussianBandit])
def test_each_arm_has_the_noise_that_is_asked_for(make):
    asked = np.array([0.01, 2.0, 0.5, 0.1])
    blocks = [everything(make(arms=4, noise=asked.tolist()), seed) for seed in range(20)]
    noise = np.concatenate([block.rewards - block.expected for block in blocks])
    np.testing.assert_allclose(noise.std(0), asked, rtol=4 / np.sqrt(2 * len(noise)))


def test_the_sparse_problems_noise_rises_with_the_arm():
    blocks = [everything(SparseLinearBandit(), seed) for seed in range(20)]
    noise = np.concatenate([block.rewards - block.expected for block in blocks])
    np.testing.assert_allclose(noise.std(0), 0.01 * np.arange(1, 8), rtol=4 / np.sqrt(2 * len(noise)))


def test_neural_rewards_are_not_linear_and_have_variance_one():
    linear, variances, means = [], [], []
    environment = NeuralBandit(features=3, arms=4, hidden=20)
    for seed in range(100):
        x, expected, *_ = everything(environment, seed)
        inputs = np.column_stack([x, np.ones(len(x))])
        weights, *_ = np.linalg.lstsq(inputs, expected, rcond=None)
        linear.append((expected - inputs @ weights).var(0).mean())
        variances.append(expected.var(0).mean())
        means.append(expected.mean(0))
    assert np.mean(linear) > 0.05, "a line leaves something unexplained"
    assert np.mean(variances) == pytest.approx(1, abs=float(4 * np.std(variances) / 10 + 0.005))
    assert np.sqrt(np.mean(np.square(means))) < 0.1, "no arm is better on average: 256 contexts leave 1/16"


def test_gaussian_arms_have_the_means_that_are_given_or_drawn_once():
    given = everything(GaussianBandit(means=[1.0, -2.0, 0.5], noise=0.25), 0)
    np.testing.assert_array_equal(given.contexts, 1.0)
    np.testing.assert_array_equal(given.expected, np.tile([1.0, -2.0, 0.5], (BLOCK, 1)))
    noise = given.rewards - given.expected
    assert noise.std() == pytest.approx(0.25, abs=4 * 0.25 / np.sqrt(2 * noise.size))
    drawn = np.array([everything(GaussianBandit(), seed).expected for seed in range(400)])
    assert (drawn == drawn[:, :1]).all(), "the same at every step"
    means = drawn[:, 0]
    assert means.mean() == pytest.approx(0, abs=4 / np.sqrt(means.size))
    assert means.var() == pytest.approx(1, abs=4 * np.sqrt(2 / means.size))


@pytest.mark.parametrize(
    ("make", "kwargs"),
    [
        (Wheel, {"mean_outer": 2.0, "std": 0.5, "std_outer": 0.7}),
        (LinearBandit, {"noise": [0.5, 1.0, 2.0, 4.0, 8.0]}),
        (SparseLinearBandit, {"noise": 1.0}),
    ],
)
def test_noisy_regret_is_measured_against_what_the_arm_best_by_expectation_would_have_paid(make, kwargs):
    lanes = 32
    environment, plain = make(lanes, noisy_optimum=True, **kwargs), make(lanes, **kwargs)
    blocks = [everything(plain, seed) for seed in range(lanes)]
    environment.reset(seed=list(range(lanes)))
    plain.reset(seed=list(range(lanes)))
    actions = torch.from_numpy(np.random.default_rng(3).integers(environment.arms, size=(BLOCK, lanes)))
    noisy, exact = [], []
    for step, action in enumerate(actions):
        _, reward, _, _, info = environment.step(action)
        other = plain.step(action)
        assert torch.equal(reward, other[1]), "rewards and problems are the same"
        assert "regret" not in other[4]
        best = [blocks[lane].expected[step].argmax() for lane in range(lanes)]
        paid = torch.tensor([blocks[lane].rewards[step, best[lane]] for lane in range(lanes)])
        assert torch.equal(info["regret"], paid - reward)
        noisy.append(info["regret"])
        exact.append(info["optimal_expected_reward"] - info["expected_reward"])
    noisy, exact = torch.stack(noisy), torch.stack(exact)
    assert noisy.min() < -1, "it may be negative"
    difference = noisy - exact
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.numel()), "the mean is the same"
    assert difference.std() > 0.3
    assert (noisy[actions == torch.tensor(np.stack([b.expected.argmax(1) for b in blocks], 1))] == 0).all()


@pytest.mark.parametrize("name", ["vbandits/Wheel-v0", "vbandits/LinearBandit-v0", "vbandits/SparseLinearBandit-v0"])
def test_environments_say_whether_their_regret_may_be_negative(name):
    for noisy in (True, False):
        single = gymnasium.make(name, noisy_optimum=noisy)
        batch = gymnasium.make_vec(name, 2, vectorization_mode="vector_entry_point", noisy_optimum=noisy)
        assert single.metadata["signed_regret"] is batch.metadata["signed_regret"] is noisy
        single.reset(seed=0)
        assert ("regret" in single.step(0)[4]) is noisy
