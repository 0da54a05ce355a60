"""Made-up results of active learning, whose numbers are known in closed form but for noise that can be switched off."""

from typing import Any

import numpy as np
import pandas as pd

from vbandits.benchmarks.active.results import ActiveResults

INITIAL, BATCH = 20, 10
NAN = float("nan")
SECONDS = {"training": 4.0, "querying": 0.5, "environment": 0.25, "evaluation": 1.0}
PURSUITS = {"random": 60.0, "entropy": 40.0, "bald": 30.0, "epig": 25.0, "badge": 35.0}
"""Acquisitions, and over how many labels an error falls to 1/e of what can be learned."""
METHODS = {"ibvi": 0.95, "ensemble": 0.94, "dropout": 0.92, "laplace": 0.91, "deterministic": 0.90}
"""Methods, and the accuracy of their fit to all labels."""


def learners(methods, pursuits):
    return [
        {
            "label": f"{method} {pursuit}",
            "method": method,
            "acquisition_label": pursuit,
            "acquisition": {"kind": "random" if pursuit == "random" else pursuit, "draws": 64},
            "posterior": {"kind": method},
        }
        for method in methods
        for pursuit in pursuits
    ]


def problem(label, task="classes", family="pool", budget=200):
    return {
        "label": label,
        "source": label,
        "kwargs": {},
        "task": task,
        "family": family,
        "budget": budget,
        "initial": INITIAL,
    }


DIGITS = (problem("digits"),)


def played(given, learner, full, pursuit, seeds, noise, rng) -> pd.DataFrame:
    """Records of a learner whose accuracy (or RMSE) nears `full` exponentially from 0.3 (or 5), one row a round."""
    rounds = given["budget"] // BATCH + 1
    shape = (len(seeds), rounds)
    bought = np.broadcast_to(BATCH * np.arange(rounds), shape).astype(float)
    if given["family"] == "stream":  # seeds buy at their own pace, and stop at their own place
        bought = np.minimum(bought, rng.integers(5, 15, (len(seeds), 1)) * BATCH)
    left = np.exp(-bought / PURSUITS[pursuit])
    off = noise * rng.normal(size=shape)
    spare = np.where(bought >= given.get("pool", np.inf), NAN, 0.0)  # no pool is left to be evaluated on
    if given["task"] == "classes":
        accuracy = np.clip(full - (full - 0.3) * left + 0.02 * off, 0, 1)
        values = {
            "accuracy": accuracy,
            "nll": 2 * (1 - accuracy),
            "brier": 1.5 * (1 - accuracy),
            "nll_median": 0.2 * (1 - accuracy),
            "ece": 0.05 + 0.1 * left,
            "ece_debiased": 0.1 * left - 0.01 * np.abs(off),
        }
        scale = {"accuracy": -0.05, "nll": 0.3, "nll_median": 0.1, "brier": 0.1, "ece": 0.05, "ece_debiased": 0.03}
        values |= {"full_accuracy": np.full(shape, full)}
    else:
        rmse = 6 * (1 - full) + (5 - 6 * (1 - full)) * left + 0.05 * off
        values = {"rmse": rmse, "nll": np.log(rmse) + 1.4, "crps": 0.6 * rmse, "coverage_90": 0.9 - 0.2 * left}
        scale = {"rmse": 0.2, "nll": 0.1, "crps": 0.1, "coverage_90": -0.02}
        values |= {"full_rmse": np.full(shape, 6 * (1 - full))}
    values |= {f"pool_{name}": values[name] + shift + spare for name, shift in scale.items()}
    if given["family"] == "stream":
        seen = np.broadcast_to(3 * BATCH * np.arange(rounds), shape).astype(float)
        values |= {"seen": seen, "reward": seen * 0.8 - bought * 0.5 + off}
    index = {
        "problem": given["label"],
        "learner": learner,
        "seed": np.repeat(seeds, rounds),
        "round": np.tile(np.arange(rounds), len(seeds)),
    }
    values = {"labels": INITIAL + bought, "bought": bought, "cost": 2.0 * bought} | values
    return pd.DataFrame(index | {name: value.ravel() for name, value in values.items()})


def results(
    problems: Any = DIGITS,
    methods: Any = ("ibvi", "deterministic"),
    pursuits: Any = ("random", "bald"),
    seeds: Any = range(5),
    failed: Any = (),
    noise: float = 1.0,
    **more: Any,
) -> ActiveResults:
    """Results of every learner on every problem, except for (problem, learner, reason) in `failed`."""
    seeds, entries = list(seeds), learners(methods, pursuits)
    broken = {(place, learner): reason for place, learner, reason in failed}
    cells, frames = [], []
    for number, given in enumerate(problems):
        for entry in entries:
            label, reason = entry["label"], broken.get((given["label"], entry["label"]))
            cell = {"problem": given["label"], "learner": label, "seeds": seeds, "reason": reason}
            if reason is not None:
                cells.append(cell | {"status": "failed", "failures": len(seeds)})
                continue
            cells.append(cell | {"status": "done", "failures": 0, "seconds": SECONDS, "memory_mb": 300.0})
            rng = np.random.default_rng([number, len(label), sum(map(ord, label))])
            full = METHODS[entry["method"]] - 0.02 * number
            frames.append(played(given, label, full, entry["acquisition_label"], seeds, noise, rng))
    records = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    document = {
        "kind": "active",
        "name": "labels",
        "seeds": seeds,
        "problems": list(problems),
        "learners": entries,
        "block": 32,
        "device": "cpu",
        "evaluations": 100,
    } | more
    return ActiveResults(document, cells, records)
