"""Environments that cannot be sent to another process: the rest goes on."""

import threading

import gymnasium
import numpy as np
import pytest

import vbandits


def holding(handle):
    """An environment that holds what cannot be copied, as a connection or an open file."""

    class Holding(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(2, np.float32), {}

        def step(self, action):
            with handle:
                return np.zeros(2, np.float32), float(self.np_random.random()), False, False, {"regret": 0.0}

    return Holding


class Odd:
    """Can be sent, and not be received."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.slow
@pytest.mark.parametrize(("handle", "done"), [(threading.Lock(), True), (Odd(), False)], ids=["lock", "odd"])
def test_what_cannot_go_to_a_worker_stays_or_fails_and_the_rest_goes_on(tmp_path, handle, done):
    environments = [{"id": holding(handle), "label": "held"}, "vbandits/Wheel-v0"]
    results = vbandits.run(environments=environments, agents=["uniform"], seeds=2, steps=6, workers=2, out=tmp_path)
    status = {job["environment"]: job["status"] for job in results.jobs}
    assert status == {"held": "done" if done else "failed", "Wheel-v0": "done"}
    if not done:
        reason = next(job["reason"] for job in results.jobs if job["status"] == "failed")
        assert "cannot be sent to a worker process: ValueError: invalid literal for int()" in reason
