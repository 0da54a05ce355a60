"""`vbandits bench` works: each of its parts, much smaller than it measures. What it measures, it asserts nothing of."""

from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest

from tests.test_running import vbandits
from vbandits import bench

decisions, jobs, labels, measure, training = (  # modules: the package has functions of the same names
    import_module(f"vbandits.bench.{name}") for name in ("decisions", "jobs", "labels", "measure", "training")
)


@pytest.mark.slow
def test_every_part_measures_what_it_says(monkeypatch, capsys):
    monkeypatch.setattr(measure, "REPEATS", 1)
    monkeypatch.setattr(decisions, "SEEDS", (1, 2))
    small = {name: replace(work, replicas=1, batch=4) for name, work in training.WORKS.items()}
    monkeypatch.setattr(training, "WORKS", small)
    monkeypatch.setattr(training, "LARGE", [*small.values()][1])
    monkeypatch.setattr(labels, "SEEDS", 2)
    monkeypatch.setattr(jobs, "JOBS", 4)
    monkeypatch.setattr(labels, "POOL", 100)
    for name, size in {"decisions": {"steps": 30}, "training": {"steps": 1}, "labels": {"queries": 1}}.items():
        monkeypatch.setattr(bench, name, partial(getattr(bench, name), **size))
    assert vbandits("bench") == 0
    shown = capsys.readouterr().out
    for part in (
        "plain loop",
        "ibvi",
        *(name[:9] for name in small),
        "posterior_sampling",
        "ratio",
        "BALD of a pool",
        "4 jobs of 2",
    ):
        assert part in shown
