"""A problem of your own, from nothing to a report: which of today's articles does a reader see first?

Some thirty articles are known; a few of them are on offer at any time, and each is described by its topics. A reader
has tastes of her own, which the environment knows and an agent has to learn from clicks. Clicks are known an hour
later, some hundred readers on.

It is a plain `gymnasium.Env`: nothing of vbandits is needed to write it. From the folder of this file:

    vbandits check custom_environment:News
    vbandits run custom_environment.toml
    python custom_environment.py
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

READER, TOPICS = 3, 5
"""Numbers that describe a reader and an article."""


class News(gymnasium.Env):
    """One reader after another; an action is an article, and the reward 1 for a click, else 0.

    An observation has three parts, under names that every agent knows; each may be left out:
        context: what all arms share [D], here the reader;
        arms: a row for each arm [A, F], here the topics of each article;
        mask: 1 for each arm that can be chosen now, here the articles on offer.
    """

    def __init__(self, articles: int = 30, on_offer: int = 8) -> None:
        self.articles, self.on_offer = articles, on_offer
        self.action_space = spaces.Discrete(articles)
        self.observation_space = spaces.Dict(
            context=spaces.Box(-np.inf, np.inf, (READER,), np.float32),
            arms=spaces.Box(-np.inf, np.inf, (articles, TOPICS), np.float32),
            mask=spaces.MultiBinary(articles),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Starts with the first reader. A seed decides the problem: articles, tastes, readers and clicks."""
        super().reset(seed=seed)  # self.np_random: every random number comes from it, so that a seed can be repeated
        self.topics = self.np_random.standard_normal((self.articles, TOPICS)).astype(np.float32)
        self.tastes = self.np_random.standard_normal((READER, TOPICS))
        return self._next_reader(), {}

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Shows an article, and goes on to the next reader."""
        clicks = 1 / (1 + np.exp(2 - self.topics @ self.tastes.T @ self.reader))  # probability of each article
        reward = float(self.np_random.random() < clicks[action])
        # for the report alone, no agent sees it: from these two comes the regret. Leave them out if you do not know
        info = {"expected_reward": clicks[action], "optimal_expected_reward": clicks[self.mask].max()}
        return self._next_reader(), reward, False, False, info

    def _next_reader(self) -> dict[str, np.ndarray]:
        self.reader = self.np_random.standard_normal(READER).astype(np.float32)
        self.mask = np.zeros(self.articles, bool)
        self.mask[self.np_random.choice(self.articles, self.on_offer, replace=False)] = True
        return {"context": self.reader, "arms": self.topics.copy(), "mask": self.mask.astype(np.int8)}


if __name__ == "__main__":
    import vbandits

    results = vbandits.run(environments=[News], agents=["ibvi", "ensemble", "linear-ts"], delay=100, out="results/news")
    print(results)
    print(results.report())
