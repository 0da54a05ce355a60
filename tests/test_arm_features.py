"""Arms with features of their own: what they pay, which are available, and how much memory they take."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers import play, preset
from vbandits.envs import ArmFeaturesBandit
from vbandits.envs.base import BLOCK

SQUARES = {
    "linear": np.square,
    "quadratic": lambda expected: expected / 10,
    "matrix": lambda expected: expected,
    "cosine": lambda expected: np.square(np.arccos(expected) / 3),
}
"""From expected rewards to x^T M x, where M = a a^T, or A^T A for `matrix`; |3 a . x| < pi, so that arccos inverts."""


def stacked(environment, seeds, blocks=1):
    """Returns the blocks of all seeds, joined over time; parts that are not there are left out."""
    found = [block for seed in seeds for block in itertools.islice(environment.blocks(seed), blocks)]
    return {
        name: np.concatenate([getattr(block, name) for block in found])
        for name in found[0]._fields
        if getattr(found[0], name) is not None
    }


def quadratic_form(x, values):
    """Returns the symmetric M with values = x^T M x, exactly, for x [N, F]."""
    size = x.shape[1]
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    inputs = np.column_stack([x[:, i] * x[:, j] for i, j in pairs])
    found, *_ = np.linalg.lstsq(inputs, values, rcond=None)
    np.testing.assert_allclose(inputs @ found, values, atol=1e-5)  # features are float32
    matrix = np.zeros((size, size))
    for (i, j), value in zip(pairs, found, strict=True):
        matrix[i, j] += value / 2
        matrix[j, i] += value / 2
    return matrix


def test_features_are_uniform_on_the_sphere_and_new_for_every_arm_and_step():
    x = stacked(ArmFeaturesBandit(features=6, arms=3), range(20), 2)["arms"].astype(float)
    np.testing.assert_allclose(np.linalg.norm(x, axis=2), 1, atol=1e-6)
    count = x[..., 0].size
    assert (np.abs(x.mean((0, 1))) < 4.5 * np.sqrt(1 / 6 / count)).all()
    second = np.einsum("taf,tag->fg", x, x) / count
    np.testing.assert_allclose(second, np.eye(6) / 6, atol=5 * np.sqrt(1 / 48 / count) * 1.5)
    fourth = (x**4).mean()
    assert fourth == pytest.approx(3 / 48, abs=4 * (x**4).std() / np.sqrt(count)), "3 / (F (F + 2)), of no other law"
    between = np.einsum("tf,tf->t", x[:, 0], x[:, 1])
    following = np.einsum("tf,tf->t", x[1:, 0], x[:-1, 0])
    for cosine in (between, following):
        assert abs(cosine.mean()) < 4 / np.sqrt(6 * len(cosine))
        assert cosine.std() == pytest.approx(np.sqrt(1 / 6), rel=0.05)


@pytest.mark.parametrize("function", SQUARES)
def test_the_function_is_the_one_that_is_named(function):
    forms = []
    environment = ArmFeaturesBandit(features=3, arms=5, function=function)
    for seed in range(200):
        block = next(environment.blocks(seed))
        form = quadratic_form(block.arms.reshape(-1, 3).astype(float), SQUARES[function](block.expected).ravel())
        values = np.linalg.eigvalsh(form)
        assert values[0] > -1e-4
        if function != "matrix":
            np.testing.assert_allclose(values, [0, 0, 1], atol=1e-4)  # a a^T, with a of length 1
        forms.append(form)
    asked = np.eye(3) * (3 if function == "matrix" else 1 / 3)  # E A^T A = F I, E a a^T = I / F
    forms = np.stack(forms)
    assert (np.abs(forms.mean(0) - asked) < 4.5 * forms.std(0) / np.sqrt(len(forms))).all()


def test_linear_rewards_keep_their_sign():
    block = next(ArmFeaturesBandit(features=3, function="linear").blocks(0))
    x, expected = block.arms.reshape(-1, 3).astype(float), block.expected.ravel()
    direction, *_ = np.linalg.lstsq(x, expected, rcond=None)
    np.testing.assert_allclose(x @ direction, expected, atol=1e-6)


@pytest.mark.parametrize("function", SQUARES)
def test_a_shared_context_adds_a_bilinear_term_of_variance_one_and_changes_nothing_else(function):
    squares = []
    for seed in range(60):
        plain = next(ArmFeaturesBandit(features=4, function=function).blocks(seed))
        shared = next(ArmFeaturesBandit(features=4, function=function, context_features=2).blocks(seed))
        np.testing.assert_array_equal(shared.arms, plain.arms)
        added = (shared.expected - plain.expected).ravel()
        np.testing.assert_allclose(shared.rewards - plain.rewards, shared.expected - plain.expected, atol=1e-12)
        inputs = np.einsum("taf,tc->tafc", shared.arms.astype(float), shared.contexts).reshape(-1, 8)
        mixing, *_ = np.linalg.lstsq(inputs, added, rcond=None)
        np.testing.assert_allclose(inputs @ mixing, added, atol=1e-5)
        squares.append(np.square(added).mean())
    assert np.mean(squares) == pytest.approx(1, abs=float(4 * np.std(squares) / np.sqrt(60)))


def test_rewards_have_the_noise_that_is_asked_for():
    parts = stacked(ArmFeaturesBandit(noise=0.3), range(20))
    noise = parts["rewards"] - parts["expected"]
    assert noise.std() == pytest.approx(0.3, rel=4 / np.sqrt(2 * noise.size))


@pytest.mark.parametrize(("arms", "available"), [(4, 0.2), (3, 0.0), (50, 0.3), (2, 0.5)])
def test_arms_are_available_as_often_as_asked_and_at_least_two_are(arms, available):
    mask = stacked(ArmFeaturesBandit(features=2, arms=arms, available=available), range(40))["mask"]
    counts = np.bincount(mask.sum(1), minlength=arms + 1) / len(mask)
    exact = stats.binom.pmf(np.arange(arms + 1), arms, available)
    exact[2] += exact[:2].sum()
    exact[:2] = 0
    np.testing.assert_allclose(counts, exact, atol=4 / np.sqrt(4 * len(mask)))
    assert counts[:2].sum() == 0
    share = (exact * np.arange(arms + 1)).sum() / arms
    np.testing.assert_allclose(mask.mean(0), share, atol=4 / np.sqrt(4 * len(mask)), err_msg="no arm is favoured")


def test_availability_changes_nothing_but_what_is_offered():
    every, some = (stacked(ArmFeaturesBandit(arms=9, available=p), [4], 2) for p in (1.0, 0.5))
    assert set(some) - set(every) == {"mask"}
    for name in every:
        np.testing.assert_array_equal(every[name], some[name])


def test_an_arm_that_is_not_available_pays_what_the_worst_that_is_is_expected_to():
    environment = ArmFeaturesBandit(2, arms=8, available=0.5, noise=0.7, function="linear")
    blocks = [next(environment.blocks(seed)) for seed in (0, 1)]
    observation, _ = environment.reset(seed=[0, 1])
    refused = missed = 0
    for step in range(BLOCK - 1):
        action, observed = step % 8, observation["mask"]
        observation, reward, _, _, info = environment.step(torch.tensor([action, action]))
        for lane, block in enumerate(blocks):
            assert block.mask is not None
            offered, expected = block.mask[step], block.expected[step]
            assert (observed[lane].numpy() == offered).all()
            worst, best = expected[offered].min(), expected[offered].max()
            assert info["optimal_expected_reward"][lane] == best
            assert info["optimal_action"][lane] == np.flatnonzero(offered & (expected == best))[0]
            missed += expected.max() > best
            if offered[action]:
                assert reward[lane] == block.rewards[step, action]
                assert info["expected_reward"][lane] == expected[action]
            else:
                refused += 1
                assert reward[lane] == info["expected_reward"][lane] == worst
    assert refused > 100
    assert missed > 100, "an arm that would have been better was often not to be had"


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({}, {"arms": (2, 4, 20)}),
        ({"context_features": 3}, {"context": (2, 3), "arms": (2, 4, 20)}),
        ({"available": 0.5, "features": 7}, {"arms": (2, 4, 7), "mask": (2, 4)}),
        ({"context_features": 1, "available": 0.0}, {"context": (2, 1), "arms": (2, 4, 20), "mask": (2, 4)}),
    ],
)
def test_an_observation_has_the_parts_that_there_are(kwargs, parts):
    observation, _ = ArmFeaturesBandit(2, **kwargs).reset(seed=[0, 1])
    assert {name: tuple(part.shape) for name, part in observation.items()} == parts
    assert observation["arms"].dtype == torch.float32


def test_a_thousand_arms_take_a_few_megabytes_per_lane():
    lanes = 4
    environment = ArmFeaturesBandit(lanes, arms=1000, features=50, available=0.9)
    tracemalloc.start()
    try:
        observation, _ = environment.reset(seed=list(range(lanes)))
        for _ in range(25):
            observation, *_ = environment.step(observation["mask"].argmax(1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert observation["arms"].shape == (lanes, 1000, 50)
    assert peak < lanes * 10e6  # 256 steps of a lane would take 51 MB
    assert len({len(block.contexts) for block in itertools.islice(environment.blocks(0), 3)}) == 1
    assert peak > 4 * 25 * 8 * 1000, "what NumPy holds is counted"


def test_an_agent_learns_from_features_of_arms():
    """Half of the regret of chance, from the 200th decision to the 300th: a network of the features of an arm."""
    regret = {}
    for name in ("ensemble", "uniform"):
        kwargs = {"arms": 6, "noise": 0.2, "available": 0.7}
        records = play(preset(name), range(4), 301, "vbandits/ArmFeaturesBandit-v0", kwargs, recorded=4)
        at = {step: records.loc[records["step"] == step, "cumulative_regret"].to_numpy().mean() for step in (200, 300)}
        regret[name] = at[300] - at[200]
    assert regret["ensemble"] < 0.5 * regret["uniform"]
