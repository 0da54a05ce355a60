"""A user's own gymnasium environments run unchanged; regret is compared with what is worked out by hand."""

import math

import gymnasium
import numpy as np
import outsider_envs
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces import Box, Discrete

from tests.helpers import preset
from tests.registries import over
from vbandits.agents.agent import AgentSpec
from vbandits.agents.rules import Thompson, Uniform
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.envs.together import problems
from vbandits.posteriors.linear import Linear
from vbandits.presets import PRESETS

UNIFORM = AgentSpec("uniform", None, Uniform())
LINEAR = AgentSpec("linear", Linear(), Thompson())


def play(source, agent=UNIFORM, seeds=(0, 1, 2), steps=40, **kwargs):
    """Runs a cell and returns action, reward, regret and cumulative regret, each [R, T]."""
    cell = job(EnvironmentSpec("it", source, kwargs), agent, tuple(seeds), steps)
    records = run_job(cell).records
    assert len(records) == len(seeds) * steps, "every step is recorded"
    names = ("action", "reward", "regret", "cumulative_regret")
    return [records[name].to_numpy().reshape(len(seeds), steps) for name in names]


def opened(source, lanes=1, **kwargs):
    return EnvironmentSpec("it", source, kwargs).open(lanes)


def ads_by_hand(seed, actions, discount=0.0):
    """What the one-step environment pays, from its random numbers alone."""
    random = np.random.default_rng(seed)
    rewards, regrets = [], []
    for action in actions:
        first, second, _, _ = random.random(4).astype(np.float32)
        rates = [first * (1 - discount), second * (1 - discount), 0.5 * (1 - discount)]
        rewards.append(float(random.random() < rates[action]))
        regrets.append(max(rates) - rates[action])
    return rewards, regrets


@pytest.mark.parametrize("agent", [UNIFORM, LINEAR], ids=["uniform", "linear"])
@pytest.mark.parametrize(
    ("source", "kwargs", "discount"),
    [
        ("acme/Ads-v0", {}, 0.0),
        ("acme/Ads-v0", {"discount": 0.25}, 0.25),
        ("outsider_envs:acme/Ads-v0", {}, 0.0),
        ("outsider_envs:acme/Discounted-v0", {}, 0.5),
        ("outsider_envs:Ads", {"discount": 0.25}, 0.25),
        ("outsider_envs:make_ads", {}, 0.5),
        (outsider_envs.Ads, {"discount": 0.25}, 0.25),
        (lambda discount: outsider_envs.Ads(discount), {"discount": 0.75}, 0.75),
    ],
    ids=[
        "id",
        "id with kwargs",
        "module:id",
        "registered kwargs",
        "module:class",
        "module:function",
        "class",
        "lambda",
    ],
)
def test_one_step_episodes_have_the_regret_of_the_step_and_not_of_the_reset(source, kwargs, discount, agent):
    actions, rewards, regrets, cumulative = play(source, agent, **kwargs)
    for seed in range(3):
        reward, regret = ads_by_hand(seed, actions[seed], discount)
        np.testing.assert_array_equal(rewards[seed], reward)
        np.testing.assert_allclose(regrets[seed], regret, atol=1e-7)
        assert cumulative[seed, -1] == pytest.approx(sum(regret), abs=1e-5)
    assert regrets.max() > 0.01


def test_episodes_of_different_length_go_on_in_every_lane_on_its_own():
    actions, _, regrets, _ = play("acme/Walk-v0", seeds=(3, 4, 5, 6), steps=60)
    ends = []
    for lane, seed in enumerate((3, 4, 5, 6)):
        random, regret, end = np.random.default_rng(seed), [], []
        while len(regret) < 60:
            length = random.integers(2, 9)
            for age in range(1, length + 1):
                end.append(age == length)
                regret.append(0.25 * actions[lane, min(len(regret), 59)] + 10 * (age == length))
        np.testing.assert_array_equal(regrets[lane], regret[:60])
        ends.append(end[:60])
    assert len({tuple(end) for end in ends}) == 4, "the lanes' episodes end at different steps"


def test_the_observation_after_an_episode_is_the_next_context():
    environment = opened("acme/Walk-v0", lanes=2)
    contexts, info = environment.reset(seed=[3, 4])
    assert info == {}
    assert contexts.dtype == torch.float64
    for _ in range(30):
        before = contexts
        contexts, _, terminated, truncated, _ = environment.step(torch.tensor([0, 1]))
        last = before[:, 0] + 1 == before[:, 1]
        assert torch.equal(truncated, last)
        assert not terminated.any()
        assert torch.equal(contexts[:, 0], torch.where(last, 0, before[:, 0] + 1)), "age starts again at 0"


def test_a_seed_plays_the_same_alone_and_in_a_batch():
    alone = [play("acme/Ads-v0", LINEAR, seeds=(seed,))[0][0] for seed in (7, 8)]
    together = play("acme/Ads-v0", LINEAR, seeds=(1, 8, 7))[0]
    np.testing.assert_array_equal(together[2], alone[0])
    np.testing.assert_array_equal(together[1], alone[1])
    assert (alone[0] != alone[1]).any()


def test_integers_in_one_lane_do_not_turn_fractions_of_another_into_zero():
    _, rewards, regrets, _ = play(outsider_envs.MixedTypes, LINEAR, seeds=(0, 1, 2, 3), steps=20)
    np.testing.assert_array_equal(regrets, np.tile([[1.0], [0.5], [1.0], [0.5]], 20))
    np.testing.assert_array_equal(rewards, 1.0)


def test_what_a_lane_does_not_tell_is_unknown_and_not_zero():
    _, _, regrets, cumulative = play(outsider_envs.Forgetful, seeds=(0, 1, 2), steps=6)
    unknown = math.nan
    np.testing.assert_allclose(regrets[0], [0.4] * 6)
    np.testing.assert_array_equal(regrets[1], [unknown] * 6)
    np.testing.assert_allclose(regrets[2], [0.4, unknown] * 3)
    np.testing.assert_allclose(cumulative[0, -1], 2.4)
    assert np.isnan(cumulative[1:, -1]).all(), "a sum with an unknown part is unknown"


@pytest.mark.parametrize("agent", [UNIFORM, LINEAR], ids=["uniform", "linear"])
def test_action_spaces_that_start_at_one_are_honoured(agent):
    actions, rewards, regrets, _ = play(outsider_envs.FromOne, agent)
    assert set(np.unique(actions)) == {0, 1, 2}
    np.testing.assert_array_equal(rewards, actions + 1)
    np.testing.assert_array_equal(regrets, 2 - actions)


def test_images_are_flattened_and_no_regret_is_invented():
    environment = opened(outsider_envs.Images, lanes=2)
    assert environment.single_observation_space.shape == (12,)
    first, _ = environment.reset(seed=[0, 1])
    second, rewards, *_, info = environment.step(torch.tensor([0, 1]))
    assert torch.equal(first, torch.arange(12.0).repeat(2, 1)), (
        "the first context survives the environment's own buffer"
    )
    assert torch.equal(second, first + 1)
    assert rewards.tolist() == [0.5, 0.5]
    assert rewards.dtype == info["regret"].dtype == torch.float64
    assert info["regret"].isnan().all()
    assert np.isnan(play(outsider_envs.Images, LINEAR, steps=20)[2]).all()


@over("name", PRESETS, quick=["ibvi", "linear-ts", "ensemble"])
def test_no_agent_can_peek_into_info(name):
    """The answer is in every info. Whoever plays otherwise with it than without has looked."""
    agent = preset(name)
    with_answers, rewards, regrets, _ = play(outsider_envs.TellTale, agent, steps=60)
    without, same_rewards, unknown, _ = play(outsider_envs.TellTale, agent, steps=60, answers=False)
    np.testing.assert_array_equal(with_answers, without)
    np.testing.assert_array_equal(rewards, same_rewards)
    np.testing.assert_array_equal(regrets, 1 - rewards)
    assert np.isnan(unknown).all()
    assert rewards.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / rewards.size))


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("raises", RuntimeError, r"raised KeyError in step 57 .*seed 1\): 'user 4711'"),
        ("shape", ValueError, r"step 57 .*expected an observation of shape \(3,\).*got \(4,\)"),
        ("hole", ValueError, r"step 57 .*expected finite observations.*got nan"),
        ("nan", ValueError, r"step 57 .*seed 1\): expected a finite reward, got nan"),
        ("inf", ValueError, r"step 57 .*expected a finite reward, got inf"),
        ("word", ValueError, r"step 57 .*expected info\['regret'\] to be a number, got str '0.5'"),
        ("negative", ValueError, r"step 57 .*expected a regret of at least 0, got -0.5"),
        ("four", ValueError, r"step 57 .*expected an observation, a reward, .*got a tuple of 4"),
    ],
)
def test_faults_name_the_step_and_the_seed(fault, kind, message):
    with pytest.raises(kind, match=message):
        play(outsider_envs.Faulty, seeds=(1, 2), steps=58, fault=fault)
    regrets = play(outsider_envs.Faulty, seeds=(1, 2), steps=57, fault=fault)[2]  # all is well before
    np.testing.assert_array_equal(regrets, 0.5)


def test_the_users_own_error_stays_the_cause():
    with pytest.raises(RuntimeError) as caught:
        play(outsider_envs.Faulty, steps=60)
    assert isinstance(caught.value.__cause__, KeyError)


def test_rounding_below_zero_is_no_regret():
    class Rounded(outsider_envs.FromOne):
        def step(self, action):
            return *super().step(action)[:4], {"expected_reward": 0.3, "optimal_expected_reward": 0.3 - 1e-9}

    environment = opened(Rounded)
    environment.reset(seed=[0])
    assert environment.step(torch.tensor([0]))[4]["regret"].tolist() == [0.0]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("kind", [np.float32, float])
def test_means_in_float32_may_differ_by_rounding_at_any_scale(scale, kind):
    class Single(gymnasium.Env):
        """The best of a product of all arms, the own from the product of a row: other last bits."""

        observation_space, action_space = Box(-10, 10, (20,)), Discrete(5)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            if seed is not None:
                self.weights = (scale * self.np_random.normal(size=(5, 20))).astype(np.float32)
            self.x = self.np_random.normal(size=20).astype(np.float32)
            return self.x, {}

        def step(self, action):
            every = self.weights @ self.x
            if int(action) == every.argmax():
                below.append(float(every.max() - np.sum(self.weights[action] * self.x)))
            means = {"expected_reward": np.sum(self.weights[action] * self.x), "optimal_expected_reward": every.max()}
            return self.x, 0.0, True, False, {key: kind(value) for key, value in means.items()}

    below = []
    regrets = play(Single, steps=200)[2]
    assert min(below) < 0
    assert regrets.min() == 0
    assert regrets.max() > scale


def test_a_wrong_optimum_is_found_where_rewards_are_tiny():
    class Tiny(outsider_envs.FromOne):
        def step(self, action):
            return *super().step(action)[:4], {"expected_reward": 3e-7, "optimal_expected_reward": 2e-7}

    with pytest.raises(ValueError, match=r"in step 0 .*regret of at least 0, got -1e-07"):
        play(Tiny)


def test_regret_that_is_given_goes_before_the_difference():
    class Both(outsider_envs.FromOne):
        def step(self, action):
            info = {"regret": 0.125, "expected_reward": 1.0, "optimal_expected_reward": 3.0}
            return *super().step(action)[:4], info

    np.testing.assert_array_equal(play(Both)[2], 0.125)


def test_problems_of_spaces_are_told_all_at_once_in_plain_words():
    (only,) = problems(outsider_envs.Throttle())
    assert only.startswith("expected a Discrete action space, got Box(-1.0, 1.0, (1,), float32)")
    with pytest.raises(ValueError, match=r"at least 2 actions, got Discrete\(1\).*; expected a Box .*got Text\("):
        opened(outsider_envs.Lone)
    with pytest.raises(ValueError, match=r"expected a gymnasium\.Env, got a builtins\.dict"):
        opened(dict)
    assert problems(outsider_envs.Ads()) == []


def test_a_mask_by_its_usual_name_is_told_to_be_renamed():
    class Masked(outsider_envs.FromOne):
        observation_space = spaces.Dict({"context": spaces.Box(0, 1, (1,)), "action_mask": spaces.MultiBinary(3)})

    (only,) = problems(Masked())
    assert only.startswith("expected the mask of available actions to be called mask, got action_mask: rename it")
    Masked.observation_space = spaces.Dict({**Masked.observation_space.spaces, "price": spaces.Box(0, 1, (1,))})
    rename, other = problems(Masked())
    assert "rename it" in rename
    assert "got price too" in other
    Masked.observation_space = spaces.Dict({**Masked.observation_space.spaces, "mask": spaces.MultiBinary(3)})
    (both,) = problems(Masked())
    assert "got action_mask, price too" in both


def test_a_function_that_returns_one_environment_twice_is_refused():
    with pytest.raises(ValueError, match="expected a new environment for each seed"):
        opened(outsider_envs.same_again, lanes=2)


def test_lanes_of_different_size_are_refused():
    sizes = iter([2, 3])

    class Growing(outsider_envs.Deaf):
        def __init__(self):
            self.action_space = outsider_envs.spaces.Discrete(next(sizes))

    with pytest.raises(ValueError, match="same number of actions"):
        opened(Growing, lanes=2)


def test_environments_are_closed_also_when_a_later_one_cannot_be_made():
    closed = []

    class Counted(outsider_envs.Deaf):
        made = 0

        def __init__(self):
            Counted.made += 1
            if Counted.made == 3:
                raise OSError("no more")

        def close(self):
            closed.append(self)

    with pytest.raises(ValueError, match="OSError: no more"):
        opened(Counted, lanes=3)
    assert len(closed) == 2
    Counted.made = 10
    opened(Counted, lanes=3).close()
    assert len(closed) == 5


def test_a_registered_environment_makes_no_noise(recwarn):
    opened("CartPole-v0", lanes=2).close()  # gymnasium would say that there is a newer version
    play("CartPole-v1", LINEAR, steps=30)
    play("acme/Images-v0", LINEAR, steps=10)  # gymnasium's checker would object to its buffer
    assert not recwarn.list


def test_time_limits_and_other_wrappers_of_the_registry_hold():
    environment = opened("acme/Walk-v0", max_episode_steps=1)
    environment.reset(seed=[0])
    for _ in range(5):
        _, _, _, truncated, _ = environment.step(torch.tensor([0]))
        assert truncated.all()
