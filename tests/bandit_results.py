"""Results of a bandit experiment as a run would leave them: agents whose regret grows by known slopes."""

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.bandits.results import Results

STEPS = 40
NAN = float("nan")


def cell(environment, agent, seeds, status="done", reason=None, failures=0):
    done = {"seconds": {"agent": 1.5, "environment": 0.25, "scoring": 0.5}, "memory_mb": 300.0}
    return {
        "environment": environment,
        "agent": agent,
        "seeds": list(seeds),
        "status": status,
        "reason": reason,
        "failures": failures,
    } | (done if status == "done" else {})


def played(environment, agent, slope, seeds, kind="plain"):
    """Records of an agent whose regret grows by about `slope` a step; kinds: plain, binary, reward (without regret)."""
    rng = np.random.default_rng([len(agent), int(100 * slope)])
    steps = np.arange(STEPS)
    shape = (len(seeds), STEPS)
    regret = slope * rng.uniform(0.9, 1.1, shape)
    reward = (rng.uniform(size=shape) < 0.7) * 1.0 if kind == "binary" else 1 - regret + 0.1 * rng.normal(size=shape)
    predicts = agent != "uniform"
    empty = np.full(shape, NAN)
    probability = 0.6 + 0.2 * rng.uniform(size=shape)
    brier = (probability - reward) ** 2 if kind == "binary" and predicts else empty
    values = {
        "action": np.zeros(shape, dtype=int),
        "reward": reward,
        "regret": empty if kind == "reward" else regret,
        "cumulative_reward": reward.cumsum(1),
        "cumulative_regret": empty if kind == "reward" else regret.cumsum(1),
        "nll": rng.normal(1, 0.1, shape) if predicts else empty,
        "crps": (brier if kind == "binary" else np.abs(rng.normal(size=shape))) if predicts else empty,
        "pit": rng.uniform(size=shape) if predicts and kind != "binary" else empty,
        "brier": brier,
    }
    index = {
        "environment": environment,
        "agent": agent,
        "seed": np.repeat(seeds, STEPS),
        "step": np.tile(steps, len(seeds)),
    }
    return pd.DataFrame(index | {name: value.ravel() for name, value in values.items()})


def described(environments, agents, seeds, **more):
    return {
        "name": "small",
        "seeds": list(seeds),
        "steps": STEPS,
        "environments": [
            {"label": label, "id": "vbandits/Wheel-v0", "kwargs": {"delta": 0.5}} for label in environments
        ],
        "agents": [{"label": label, "posterior": None, "rule": {"kind": "uniform"}} for label in agents],
    } | more


def results(
    environments: Any = ("wheel", "linear"),
    slopes: Any = None,
    seeds: Any = range(5),
    kinds: Any = None,
    failed: Any = (),
    **more: Any,
) -> Results:
    """Results of every agent in every environment, except for (environment, agent, reason) in `failed`."""
    slopes = slopes or {"good": 0.1, "bad": 0.6, "uniform": 1.0}
    broken = {(environment, agent): reason for environment, agent, reason in failed}
    cells, frames = [], []
    for environment in environments:
        for agent, slope in slopes.items():
            if (environment, agent) in broken:
                cells.append(cell(environment, agent, seeds, "failed", broken[environment, agent], len(seeds)))
            else:
                cells.append(cell(environment, agent, seeds))
                frames.append(played(environment, agent, slope, seeds, (kinds or {}).get(environment, "plain")))
    records = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Results(described(environments, slopes, seeds, **more), cells, records)


MIXED = {
    "environments": ("wheel", "digits", "shop"),
    "kinds": {"digits": "binary", "shop": "reward"},
    "failed": (("wheel", "bad", "ValueError: expected a number, got a pear"),),
}


class Words(HTMLParser):
    """Collects what a reader sees, without style."""

    def __init__(self):
        super().__init__()
        self.words, self._hidden = [], False

    def handle_starttag(self, tag, attrs):
        self._hidden = tag in ("style", "script")

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)


def words(html):
    parser = Words()
    parser.feed(html)
    return " ".join(" ".join(parser.words).split())
