"""A sound policy, and ones with a plausible bug each, beside the law that should catch it."""

from typing import Any

import numpy as np


class Neighbour:
    """Plays the arm whose features are most like those of the arms that paid, with some noise."""

    def __init__(self, seed, arm_features):
        self.random, self.liked = np.random.default_rng(seed), np.zeros(arm_features)

    def act(self, observation) -> Any:
        return int(np.where(observation.mask, self.values(observation) + self.noise(), -np.inf).argmax())

    def values(self, observation):
        return observation.arms @ self.liked

    def noise(self):
        return self.random.normal(size=4)

    def observe(self, action, reward, observation):
        self.liked += 0.1 * reward * observation.arms[action]

    def predict(self, observation, arms):
        return self.values(observation)[arms], np.ones(len(arms))


class Floating(Neighbour):
    def act(self, observation) -> Any:
        return float(super().act(observation))


class Masterful(Neighbour):
    """Does not look at the mask."""

    def act(self, observation):
        return int((self.values(observation) + self.noise()).argmax())


class Global(Neighbour):
    """Draws from the generator that everybody shares."""

    def noise(self):
        return np.random.normal(size=4)  # noqa: NPY002


class Block:
    """Plays all seeds with the random numbers of one generator."""

    batched = True

    def __init__(self, arms):
        self.random, self.arms = np.random.default_rng(0), arms

    def act(self, observation):
        return self.random.integers(self.arms, size=len(observation.mask))

    def observe(self, actions, rewards):
        pass


class Sampling(Neighbour):
    """Predicts from a draw, which moves the numbers on that decide."""

    def predict(self, observation, arms):
        return (self.values(observation) + self.noise())[arms], np.ones(len(arms))


class Certain(Neighbour):
    """Is sure of what it predicts."""

    def predict(self, observation, arms):
        return self.values(observation)[arms], np.zeros(len(arms))


POLICIES = [
    (Floating, "it_plays_arms"),
    (Masterful, "it_never_plays_an_arm_that_is_not_available"),
    (Global, "the_same_seeds_give_the_same_again"),
    (Block, "a_seed_is_the_same_alone_and_in_a_block"),
    (Sampling, "predictions_change_nothing"),
    (Certain, "predictions_change_nothing"),
]
