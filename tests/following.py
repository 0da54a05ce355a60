"""Callbacks as a user writes them, in a module of their own, so that they reach worker processes."""

from pathlib import Path

import gymnasium
import numpy as np


class History:
    """Keeps what it is told."""

    def __init__(self):
        self.steps, self.updates, self.ends, self.order = [], [], [], []

    def on_step(self, event):
        self.steps.append(event)
        self.order.append("step")

    def on_update(self, event):
        self.updates.append(event)
        self.order.append("update")

    def on_job_end(self, event):
        self.ends.append(event)
        self.order.append("end")


class Vandal:
    """Writes to everything that it is given."""

    def on_step(self, event):
        for values in event.values.values():
            if values.flags.owndata:
                values.setflags(write=True)
                values.fill(7)
        object.__setattr__(event, "values", None)
        object.__setattr__(event.job, "seeds", ())

    def on_update(self, event):
        event.diverged.setflags(write=True)
        event.diverged[:] = True

    def on_job_end(self, event):
        event.records["seed"] = -1
        event.marker.clear()


class Counts:
    """Writes what it has seen of its job to a file of the job's own, at the end."""

    def __init__(self):
        self.steps = 0

    def on_step(self, event):
        self.steps += 1

    def on_job_end(self, event):
        Path(f"{event.job.key}.counted").write_text(f"{self.steps} {event.marker['status']}")


class Breaks:
    def __init__(self):
        self.called = 0

    def on_step(self, event):
        self.called += 1
        if event.step == 2:
            raise RuntimeError("no network")

    def on_job_end(self, event):
        Path("called").write_text(str(self.called))


class NoMethods:
    pass


class Stops(gymnasium.Env):
    """An environment that fails after what a check plays of it."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        if self.steps == 57:
            raise RuntimeError("the feed went away")
        self.steps += 1
        return np.zeros(2, np.float32), float(action), False, False, {"regret": 2.0 - action}
