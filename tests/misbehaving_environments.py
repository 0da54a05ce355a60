"""Environments that misbehave at their thirtieth step, each in a way of its own; gymnasium and NumPy, nothing else."""

import os
import signal
import sys
import threading
import time
import warnings

import gymnasium
import numpy as np

CONTEXT = np.linspace(-1, 1, 3, dtype=np.float32)
FINE = (CONTEXT, 0.5, False, False, {"regret": 0.5})


class Misbehaves(gymnasium.Env):
    """Is fine until its thirtieth step, which does what `how` names."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    age = 0

    def __init__(self, how):
        self.how = how

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return CONTEXT, {}

    def step(self, action):
        self.age += 1
        return FINE if self.age < 30 else {**FAILS, **HARMLESS}[self.how](self)


def changed(place, value):
    """Returns a step that is fine but for one of its five parts."""
    return lambda _: (*FINE[:place], value, *FINE[place + 1 :])


def then_fine(does):
    """Returns a step that does something, and is fine."""
    return lambda environment: (does(environment), FINE)[1]


def raises(error):
    def step(_):
        raise error

    return step


def other_space(environment):
    environment.observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    return changed(0, np.zeros(4, np.float32))(environment)


def deep(environment):
    return deep(environment)


FAILS = {
    "an error": raises(RuntimeError("the feed went away")),
    "an error without words": raises(AssertionError()),
    "a huge error": raises(ValueError("x" * 10**7)),
    "exit": lambda _: sys.exit(0),
    "interrupt": raises(KeyboardInterrupt()),
    "no exception": raises(BaseException("neither")),
    "os._exit": lambda _: os._exit(0),
    "segfault": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda _: time.sleep(600),
    "recursion": deep,
    "NaN reward": changed(1, float("nan")),
    "infinite reward": changed(1, float("inf")),
    "text for a reward": changed(1, "much"),
    "rewards": changed(1, np.array([0.5, 0.5])),
    "NaN context": changed(0, CONTEXT * np.nan),
    "other shape": changed(0, np.zeros(5, np.float32)),
    "other space": other_space,
    "nothing": lambda _: None,
    "four parts": lambda _: FINE[:4],
}
"""What fails a job, with a reason."""
HARMLESS = {
    "prints": then_fine(lambda _: print("x" * 10**6)),
    "closes its output": then_fine(lambda _: sys.stdout.close()),
    "threads": then_fine(lambda _: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()),
    "leaks": then_fine(lambda environment: setattr(environment, "kept", np.ones(10**6))),
    "the same array": then_fine(lambda _: CONTEXT.__setitem__(0, 0.0)),
    "global state": then_fine(lambda _: (np.random.seed(0), os.chdir("/"), os.environ.update(A="b"))),  # noqa: NPY002
    "warns": then_fine(lambda _: warnings.warn("do not do this", stacklevel=1)),
    "signals": then_fine(lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
}
"""What must be no matter to anybody."""
