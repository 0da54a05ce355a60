"""Environments, each broken in one way, and the law that tells so."""

import gymnasium
import numpy as np
import outsider_active
import outsider_envs

from vbandits import EnvironmentSpec


class Ads(gymnasium.Env):
    """Three ads, each worth what one number of the visitor says, and noise; the others are broken."""

    observation_space = gymnasium.spaces.Box(-10, 10, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def context(self):
        return np.append(self.visitor, 0.0).astype(np.float32)

    def arrives(self):
        self.visitor, self.noise = self.np_random.uniform(-1, 1, 3), self.np_random.normal(size=3)
        return self.context()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.arrives(), {}

    def told(self, ad):
        return {"expected_reward": self.visitor[ad], "optimal_expected_reward": self.visitor.max()}

    def step(self, action) -> tuple:
        info, reward = self.told(action), self.visitor[action] + self.noise[action]
        return self.arrives(), reward, False, False, info


class NoiseInContext(Ads):
    def context(self):
        return np.append(self.visitor, self.noise[2]).astype(np.float32)


class FullFeedback(Ads):
    def step(self, action) -> tuple:
        noise = self.noise[1]
        context, *rest = super().step(action)
        context[3] = noise
        return context, *rest


class ExpectsTheFirst(Ads):
    def told(self, ad):
        return super().told(0) | {"optimal_expected_reward": 1.0}


class Dreams(Ads):
    def told(self, ad):
        return super().told(ad) | {"optimal_expected_reward": 1.0}


class NotANumber(Ads):
    def context(self):
        return np.full(4, np.nan, np.float32)


class Untold(Ads):
    def told(self, ad):
        return {}


ENVIRONMENTS = [
    (NoiseInContext, "observations_do_not_tell_outcomes"),
    (FullFeedback, "observations_do_not_tell_outcomes"),
    (ExpectsTheFirst, "expected_rewards_are_the_means_of_rewards"),
    (Dreams, "the_optimum_is_that_of_an_action"),
    (NotANumber, "it_can_be_played"),
    (outsider_envs.Throttle, "it_can_be_played"),
    (EnvironmentSpec("sells twice", outsider_active.Labs, {"fault": "accepts"}), "it_can_be_played"),
    (EnvironmentSpec("tells too much", outsider_active.Labs, {"fault": "more"}), "it_can_be_played"),
    (outsider_envs.Careless, "the_same_seeds_give_the_same_again"),
    (outsider_envs.Shared, "a_seed_is_the_same_alone_and_in_a_block"),
    (outsider_envs.Deaf, "seeds_differ"),
]
