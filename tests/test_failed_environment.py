"""An environment of which there are no results says so, and nothing of what it would have told."""

import gymnasium
import numpy as np

import vbandits
from vbandits.experiment.resolve import resolve


class Crash(gymnasium.Env):
    """Tells its regret, and fails after a while."""

    observation_space, action_space = gymnasium.spaces.Box(0, 1, (1,), np.float32), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps > 20:
            raise RuntimeError("out of stock")
        return np.ones(1, np.float32), 0.0, False, False, {"regret": 0.5}


def test_no_results_are_not_taken_for_no_regret(tmp_path):
    results = vbandits.run(
        environments=[Crash, "vbandits/GaussianBandit-v0"], agents=["linear-ts"], seeds=2, steps=60, workers=1
    )
    results.report(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "There are no results here" in page
    assert "Crash is left out: no run of it has a result." in page
    assert "does not tell regret" not in page
    assert "no regret is known there" not in page


def test_a_delay_is_in_the_label_also_where_the_file_says_it():
    document = {"name": "it", "environments": ["vbandits/GaussianBandit-v0"], "agents": ["linear-ts"], "delay": 1}
    assert [spec.label for spec in resolve(document).problems] == ["GaussianBandit-v0 delay=1"]
    assert [spec.label for spec in resolve({**document, "delay": 0}).problems] == ["GaussianBandit-v0"]
