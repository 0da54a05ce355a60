"""`vbandits bench` works: each of its parts, much smaller than it measures. What it measures, it asserts nothing of."""

from dataclasses import replace
from functools import partial
from importlib import import_module

import pandas as pd
import pytest

from tests.test_running import vbandits
from vbandits import bench
from vbandits.benchmarks.bandits.held_out import times
from vbandits.presets import PRESETS

decisions, jobs, labels, measure, training = (  # modules: the package has functions of the same names
    import_module(f"vbandits.bench.{name}") for name in ("decisions", "jobs", "labels", "measure", "training")
)


def test_short_runs_are_evaluated_as_often_as_each_other():
    short, long = (len(times(steps)) for steps in decisions.SHORT)
    assert short == long


@pytest.mark.slow
def test_every_part_measures_what_it_says(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measure, "REPEATS", 2)  # the first may have to load something
    monkeypatch.setattr(decisions, "MORE", {"cpu": (1, 2)})
    monkeypatch.setattr(decisions, "TOGETHER", {"cpu": 2})
    for name in ("WHOLE", "SHORT"):
        monkeypatch.setattr(decisions, name, (20, 100))
    small = {name: replace(work, replicas=1, batch=4) for name, work in training.WORKS.items()}
    monkeypatch.setattr(training, "WORKS", small)
    monkeypatch.setattr(training, "LARGE", [*small.values()][1])
    monkeypatch.setattr(labels, "SEEDS", 2)
    monkeypatch.setattr(labels, "POOL", 100)
    sizes = {"steps": 1}, {"steps": 1}, {"queries": 1}, {"steps": 160, "early": 40}
    for name, size in zip(("posteriors", "training", "labels", "history"), sizes, strict=True):
        monkeypatch.setattr(bench, name, partial(getattr(bench, name), **size))
    monkeypatch.setattr(bench, "jobs", lambda console: jobs.jobs(console, 4))
    assert vbandits("bench", "--full", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    parts = ("plain loop", "posterior_sampling", "BALD of a pool", "4 jobs of 2", *(name[:9] for name in small))
    for part in parts:
        assert part in shown
    saved = {path.stem.split("-")[-1]: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    [figure] = tmp_path.glob("*-cost.svg")
    assert all(f">{name}<" in figure.read_text() for name in ("ibvi-limit", "in proportion to seeds"))
    kinds = {"decisions", "history", "jobs", "labels", "memory", "pool", "posteriors", "training"}
    assert saved.keys() == kinds
    assert (saved["decisions"]["memory in MB"] > 0).sum() == 1
    late = saved["history"].groupby("agent")["step"].max()
    assert (late == 159).all(), "every run was looked at to its end"
    assert saved["history"].groupby("agent")["seconds"].is_monotonic_increasing.all()
    made = saved["decisions"].drop_duplicates(["agent", "seeds"]).set_index(["agent", "seeds"])
    assert {(name, 2) for name in PRESETS} < {*made.index}
    assert (made["decisions per second"] > 0).all()
    ours, theirs = made.loc[("ibvi", 2)], made.loc[("deterministic", 2)]
    assert ours["time over deterministic"] == pytest.approx(
        theirs["decisions per second"] / ours["decisions per second"]
    )
    learning = made.drop(index=["plain loop", "inferno loop"], level="agent", errors="ignore")
    shares = learning[[name for name in learning if name.endswith("share")]]
    assert set(shares) == {"agent's share", "environment's share", "scoring's share"}
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert set(saved["posteriors"]["posterior"]) == set(training.TRAINED)
