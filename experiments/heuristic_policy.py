"""Policies to copy: two heuristics written by hand, a service that is asked once for all seeds, and one of MABWiser.

A policy is any object with `act` and `observe`. It is made with what it asks for by name: `seed`, `arms` (how many),
`features`, `arm_features`, `steps`, and the `kwargs` of the experiment file. Run them with

    vbandits run experiments/heuristic_policy.toml
"""

import numpy as np


class BestSoFar:
    """Plays the arm with the best mean so far, and now and then any. It looks at no context and predicts nothing."""

    def __init__(self, seed, arms, chance=0.1):
        self.random, self.chance = np.random.default_rng(seed), chance
        self.total, self.count = np.zeros(arms), np.zeros(arms)

    def act(self, observation):
        """Plays the arm with the best mean, or any."""
        available = np.flatnonzero(observation.mask)
        if self.random.random() < self.chance:
            return self.random.choice(available)
        mean = np.divide(self.total, self.count, out=np.full_like(self.total, np.inf), where=self.count > 0)
        return available[mean[available].argmax()]

    def observe(self, action, reward):
        """Counts what came of it."""
        self.total[action] += reward
        self.count[action] += 1


class Neighbours:
    """Believes that an arm pays what it paid in the most similar situations, and adds what it does not know."""

    def __init__(self, seed, arms, neighbours=10, explore=1.0):
        self.random = np.random.default_rng(seed)
        self.neighbours, self.explore = neighbours, explore
        self.seen = [[] for _ in range(arms)]  # of each arm: contexts and rewards

    def act(self, observation):
        """Plays the arm that it hopes most of."""
        mean, deviation = self._believed(observation.context, range(len(self.seen)))
        index = mean + self.explore * deviation + 1e-9 * self.random.random(len(mean))
        return int(np.where(observation.mask, index, -np.inf).argmax())

    def observe(self, action, reward, observation):
        """Remembers the situation, which with late feedback is not the last one."""
        self.seen[action].append((observation.context, reward))

    def predict(self, observation, arms):
        """Returns mean and standard deviation of the reward of each of some arms: it is scored by them."""
        return None if not all(self.seen) else self._believed(observation.context, arms)

    def _believed(self, context, arms):
        found = np.array([self._of(context, arm) for arm in arms])
        return found[:, 0], found[:, 1]

    def _of(self, context, arm):
        if not self.seen[arm]:
            return 0.0, 10.0
        contexts, rewards = map(np.array, zip(*self.seen[arm], strict=True))
        nearest = np.abs(contexts - context).sum(1).argsort(kind="stable")[: self.neighbours]
        return rewards[nearest].mean(), (rewards[nearest].std() + 1) / np.sqrt(1 + len(nearest))


def service(contexts, masks):
    """Stands in for a slow service: arms [R] for contexts [R, D] and masks [R, A], those of all seeds in one call."""
    scores = np.stack([np.cos(arm + contexts.sum(1)) for arm in range(masks.shape[1])], 1)
    return np.where(masks, scores, -np.inf).argmax(1)


class Service:
    """Asks the service once in every step, for all seeds that are played together."""

    batched = True

    def act(self, observation):
        """Plays what the service says, an arm for each seed."""
        return service(observation.context, observation.mask)

    def observe(self, actions, rewards):
        """Tells the service nothing."""


class LinUCB:
    """That of MABWiser (pip install mabwiser): any of its learning policies is wrapped in this way."""

    def __init__(self, seed, arms, alpha=1.0):
        from mabwiser.mab import MAB, LearningPolicy

        self.mab, self.trained = MAB(list(range(arms)), LearningPolicy.LinUCB(alpha=alpha), seed=seed), False

    def act(self, observation):
        """Plays the arm of the largest bound; the first there is, until anything is known."""
        if not self.trained:
            return int(np.flatnonzero(observation.mask)[0])
        expected = self.mab.predict_expectations([observation.context])
        return max(np.flatnonzero(observation.mask).tolist(), key=expected.get)

    def observe(self, action, reward, observation):
        """Learns from one outcome."""
        learn, self.trained = self.mab.partial_fit if self.trained else self.mab.fit, True
        learn([action], [reward], [observation.context])
