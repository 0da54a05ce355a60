"""What gymnasium allows, and people write: types of actions, ends of episodes, spaces that are no Box."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import vbandits
from vbandits.envs.check import check
from vbandits.envs.spec import EnvironmentInfo, EnvironmentSpec, resolve
from vbandits.envs.together import problems


class Plain(gymnasium.Env):
    """Episodes of three steps; what subclasses change is the corner."""

    observation_space: gymnasium.Space = spaces.Box(-1, 1, (2,))
    action_space: gymnasium.Space = spaces.Discrete(3)
    ending: tuple = (True, False)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age = 0
        return self.seen(), {}

    def step(self, action) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        assert action in self.action_space
        self.age += 1
        over = self.age == 3
        seen = self.last() if over else self.seen()
        return seen, float(self.np_random.random() + int(action)), *self.end(over), {"regret": 2.0 - int(action)}

    def end(self, over) -> tuple[Any, Any]:
        return over, False

    def seen(self) -> Any:
        return self.np_random.random(2).astype(np.float32)

    def last(self) -> Any:
        return self.seen()


def played(kind, steps=8, lanes=2):
    """Observations [T + 1], each as the adapter gives it, and the number of episodes."""
    environment = EnvironmentSpec("it", kind).open(lanes)
    seen, episodes = [environment.reset(seed=list(range(lanes)))[0]], 0
    for step in range(steps):
        observation, _, terminated, truncated, info = environment.step(torch.full((lanes,), step % 2 + 1))
        seen.append(observation)
        assert info["regret"].tolist() == [1.0 - step % 2] * lanes
        episodes += int((terminated | truncated).sum())
    return seen, episodes // lanes


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint16, np.int64])
@pytest.mark.parametrize("start", [0, 1])
def test_actions_are_elements_of_the_users_own_space(kind, start):
    class Typed(Plain):
        action_space = spaces.Discrete(3, start=start, dtype=kind)

        def step(self, action):
            assert isinstance(action, kind)
            return *super().step(action)[:4], {"regret": 2.0 - int(action) + start}

    assert played(Typed)[1] == 2
    assert check(Typed).works
    assert "gymnasium's own checker:" not in str(check(Typed))


class EmptyMask(Plain):
    """After the last step nothing can be done."""

    observation_space = spaces.Dict({"context": spaces.Box(-1, 1, (2,)), "mask": spaces.MultiBinary(3)})

    def seen(self):
        return {"context": super().seen(), "mask": np.ones(3, np.int8)}

    def last(self):
        return {"context": np.zeros(2, np.float32), "mask": np.zeros(3, np.int8)}


class NanAtTheEnd(Plain):
    """After the last step there is no observation."""

    def last(self):
        return np.full(2, np.nan, np.float32)


class NothingAtTheEnd(Plain):
    """The same, in other words."""

    def last(self):
        return None


@pytest.mark.parametrize("kind", [EmptyMask, NanAtTheEnd, NothingAtTheEnd])
def test_the_observation_that_ends_an_episode_need_not_be_anything(kind):
    seen, episodes = played(kind)
    assert episodes == 2
    for observation in seen:
        context = observation["context"] if isinstance(observation, dict) else observation
        assert context.isfinite().all()
        assert (context > 0).all(), "the next episode's first is seen in its place"


@pytest.mark.parametrize("kind", [EmptyMask, NanAtTheEnd])
def test_the_same_before_the_end_is_an_error(kind):
    class Early(kind):
        def seen(self):
            return self.last() if getattr(self, "age", 0) else super().seen()

    with pytest.raises(ValueError, match=r"in step 0 .*(available action in the mask|finite observations)"):
        played(Early)


@pytest.mark.parametrize(
    "as_given",
    [np.bool_, int, float, np.array, lambda over: np.array([over]), torch.tensor, lambda over: torch.tensor([over])],
)
def test_ends_may_be_arrays_that_hold_a_truth_value(as_given):
    class Ends(Plain):
        def end(self, over):
            return as_given(over), as_given(False)

    assert played(Ends)[1] == 2


@pytest.mark.parametrize("given", [np.array([True, False]), "False", None, 2, torch.zeros(2)])
def test_ends_that_are_no_truth_value_are_refused(given):
    class Ends(Plain):
        def end(self, over):
            return over, given

    with pytest.raises(ValueError, match=r"in step 0 .*expected truncated to be True or False, got"):
        played(Ends)


NESTED = spaces.Dict({"who": spaces.Discrete(3, start=1), "where": spaces.Dict({"x": spaces.Box(0, 1, (2,))})})
FLAT = [
    (spaces.Discrete(4), 2, [0, 0, 1, 0]),
    (spaces.Discrete(3, start=5), 5, [1, 0, 0]),
    (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
    (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
    (spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 9, (2,))]), (1, np.array([3.0, 0.5])), [0, 1, 3, 0.5]),
    (NESTED, {"who": 2, "where": {"x": np.array([0.25, 0.5])}}, [0.25, 0.5, 0, 1, 0]),
    (spaces.Dict({"context": spaces.Discrete(2)}), {"context": 1}, [0, 1]),
]


@pytest.mark.parametrize(("space", "given", "expected"), FLAT, ids=[str(space)[:30] for space, _, _ in FLAT])
def test_observations_of_other_spaces_are_flattened_and_it_is_noted(space, given, expected):
    class Other(Plain):
        observation_space = space

        def seen(self):
            return given

    assert problems(Other()) == []
    spec = EnvironmentSpec("it", Other)
    environment = spec.open(2)
    info = EnvironmentInfo.of(spec, environment)
    assert info.observations is not None
    assert info.observations.features == len(expected)
    assert "observations were flattened" in info.notes[0]
    for observation in played(Other)[0]:
        assert observation.tolist() == [expected, expected]
    assert check(Other).works


def test_an_observation_outside_its_space_is_told_in_words():
    class Outside(Plain):
        observation_space = spaces.Discrete(4)

        def seen(self):
            return 4

    with pytest.raises(ValueError, match=r"in reset\(seed=0\): expected an observation in Discrete\(4\), got int 4"):
        played(Outside)


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Sequence(spaces.Discrete(2)), spaces.Discrete(10**9)])
def test_what_cannot_be_numbers_as_many_in_every_observation_is_refused(space):
    class Other(Plain):
        observation_space = space

    assert "turn it into numbers, as many in every observation" in problems(Other())[0]


@pytest.mark.parametrize("name", ["FrozenLake-v1", "Blackjack-v1", "CliffWalking-v1"])
def test_environments_of_gymnasium_with_discrete_observations_run(name):
    report = check(name)
    assert report.works


def test_an_environment_that_is_made_already_is_answered_with_what_to_give():
    made = gymnasium.make("CartPole-v1", sutton_barto_reward=True)
    with pytest.raises(ValueError, match=r"give its id, 'CartPole-v1' with kwargs = \{'sutton_barto_reward': True\}"):
        resolve(made)
    with pytest.raises(ValueError, match="give the class Plain, or a function"):
        resolve(Plain())
    for environments in ([made], [{"id": made}]):
        with pytest.raises(vbandits.ConfigError, match="give its id, 'CartPole-v1'"):
            vbandits.run(environments=environments, agents=["uniform"], steps=2, seeds=1)


def test_a_reward_that_never_varies_is_told():
    class Same(Plain):
        def step(self, action):
            seen, _, terminated, truncated, info = super().step(action)
            return seen, 1.0, terminated, truncated, info

    report = check(Same)
    assert report.works
    assert "rewards: all 128 were 1, whatever was done" in str(report)
    assert "rewards: all" not in str(check(Plain))


class Camera(Plain):
    """Images as cameras give them: height, width, channels."""

    observation_space = spaces.Box(0, 255, (6, 8, 3), np.uint8)

    def seen(self):
        return np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def test_images_are_shown_channel_first_as_networks_take_them():
    environment = EnvironmentSpec("it", Camera).open(2)
    (note,) = environment.notes
    assert "a network's image is [3, 6, 8]" in note
    image = Camera().seen()
    for observation in played(Camera)[0]:
        shown = observation[0].numpy().reshape(3, 6, 8)
        np.testing.assert_array_equal(shown, image.transpose(2, 0, 1))

    class First(Camera):
        observation_space = spaces.Box(0, 255, (3, 6, 8), np.uint8)

        def seen(self):
            return super().seen().transpose(2, 0, 1)

    assert EnvironmentSpec("it", First).open(1).notes == ()
    np.testing.assert_array_equal(played(First)[0][0][0].numpy(), image.transpose(2, 0, 1).ravel())
