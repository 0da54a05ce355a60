"""An environment that changes its process for good: the other jobs' bytes are those of a run without it."""

import contextlib
import locale
import os
import random
import signal
import socket
import sys
import warnings

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch

import vbandits
from vbandits.experiment.isolation import isolated

CHECKED = "VBANDITS_BEARTYPE" in os.environ
"""Whether annotations are checked, for which beartype takes from Python's random numbers at every call."""
LINEAR = {"id": "vbandits/LinearBandit-v0", "label": "other"}
AGENT = {"id": "deterministic", "network": {"hidden": [8]}, "schedule": {"every": 5, "gradient_steps": 3}}


with isolated():  # libraries set themselves up when they are first asked
    pass


def signals():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


MISCHIEF = {
    "precision of products": lambda: torch.set_float32_matmul_precision("medium"),
    "default type": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "threads": lambda: torch.set_num_threads(2),
    "random numbers of torch": lambda: torch.manual_seed(5),
    "random numbers of NumPy": lambda: np.random.seed(5),  # noqa: NPY002
    "random numbers of Python": lambda: random.seed(5),
    "error states": lambda: np.seterr(all="raise"),
    "print options": lambda: np.set_printoptions(precision=1),
    "warnings": lambda: warnings.simplefilter("error"),
    "folder": lambda: os.chdir("/"),
    "variables": lambda: os.environ.update(OMP_NUM_THREADS="7", NEW_ONE="1"),
    "path": lambda: sys.path.clear(),
    "recursion": lambda: sys.setrecursionlimit(500),
    "signals": signals,
    "sockets": lambda: socket.setdefaulttimeout(0.01),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "mask of new files": lambda: os.umask(0o077),
    "output": lambda: setattr(sys, "stdout", None),
}


def state():
    """Everything that is kept, in a form that can be compared."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "torch": (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        "flags": (torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "threads": torch.get_num_threads(),
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),  # noqa: NPY002
        "Python's random": None if CHECKED else random.getstate(),
        "numpy": (np.geterr(), np.get_printoptions()),
        "warnings": list(warnings.filters),
        "system": (os.getcwd(), dict(os.environ), mask, socket.getdefaulttimeout(), locale.setlocale(locale.LC_ALL)),
        "python": (list(sys.path), sys.getrecursionlimit(), sys.stdout),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    }


@pytest.mark.parametrize("does", MISCHIEF.values(), ids=MISCHIEF)
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_changed_is_put_back(does, fails):
    before = state()
    with isolated():  # so that a test that fails leaves nothing either
        with contextlib.suppress(KeyError), isolated():
            does()
            if fails:
                raise KeyError("it")
        after = state()
    assert {name for name in before if before[name] != after[name]} == set()


def test_it_is_seen_here_what_each_changes():
    unseen = set()
    for name, does in MISCHIEF.items():
        with isolated():
            before = state()
            does()
            changed = state() != before
        unseen |= set() if changed else {name}
    already = {"default device", "locale", "gradients", "warnings"}  # those that are so where tests run
    assert unseen <= already | ({"random numbers of Python"} if CHECKED else set())


class Mischief(gymnasium.Env):
    """Does all of it at its third step, but for what ends its own job."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(3)
    age = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.age += 1
        if self.age == 3:
            for name, does in MISCHIEF.items():
                if name != "path":
                    does()
        return np.zeros(3, np.float32), float(self.np_random.random()), False, False, {"regret": 0.5}


def test_other_jobs_are_the_same_beside_it():
    alone = vbandits.run([LINEAR], [AGENT], seeds=2, steps=15, workers=1)
    beside = vbandits.run([{"id": Mischief, "label": "it"}, LINEAR], [AGENT], seeds=2, steps=15, workers=1)
    others = [job for job in beside.jobs if job["environment"] == "other"]
    assert {job["status"] for job in others} == {"done"}
    found = beside.records[beside.records["environment"] == "other"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, alone.records.reset_index(drop=True), check_exact=True)


def test_what_modules_set_up_for_good_is_left_where_they_are_imported(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("NEW_ONE", "0")
    with isolated(imports=True):
        os.environ["NEW_ONE"] = "1"
        sys.path.append("elsewhere")
        os.chdir("/")
    assert (os.environ["NEW_ONE"], sys.path[-1]) == ("1", "elsewhere")
    assert os.getcwd() != "/"


def test_a_rehearsal_leaves_nothing_either(tmp_path):
    class AtOnce(Mischief):
        def reset(self, *, seed=None, options=None):
            torch.set_default_dtype(torch.float64)
            return super().reset(seed=seed)

        def __init__(self):
            torch.set_grad_enabled(False)
            np.random.seed(3)  # noqa: NPY002

    before = state() | {"random": np.random.get_state()[1].tolist()}  # noqa: NPY002
    vbandits.run([AtOnce], ["uniform"], seeds=1, steps=2)
    after = state() | {"random": np.random.get_state()[1].tolist()}  # noqa: NPY002
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"Python's random"}, "which checks of annotations take from, some of them in every test"
