"""`vbandits bench` works: each of its parts, much smaller than it measures. What it measures, it asserts nothing of."""

from dataclasses import replace

import pytest

from tests.test_running import vbandits
from vbandits.bench import decisions, labels, measure, training


@pytest.mark.slow
def test_every_part_measures_what_it_says(monkeypatch, capsys):
    monkeypatch.setattr(measure, "REPEATS", 1)
    monkeypatch.setattr(decisions, "LANES", (1, 2))
    small = {name: replace(work, replicas=1, batch=4) for name, work in training.WORKS.items()}
    monkeypatch.setattr(training, "WORKS", small)
    monkeypatch.setattr(training, "LARGE", [*small.values()][1])
    monkeypatch.setattr(labels, "SEEDS", 2)
    monkeypatch.setattr(labels, "POOL", 100)
    for module, name, size in ((decisions, "decisions", 30), (training, "training", 1), (labels, "labels", 1)):
        monkeypatch.setattr(getattr(module, name), "__defaults__", (size,))
    assert vbandits("bench") == 0
    shown = capsys.readouterr().out
    for part in ("plain loop", "ibvi", *(name[:9] for name in small), "posterior_sampling", "ratio", "BALD of a pool"):
        assert part in shown
