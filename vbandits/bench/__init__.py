"""`vbandits bench`: speed and memory as ratios within one run."""

from vbandits.bench.decisions import decisions
from vbandits.bench.figure import draw
from vbandits.bench.history import history
from vbandits.bench.jobs import jobs
from vbandits.bench.labels import labels, large_pool
from vbandits.bench.training import memory, posteriors, training

__all__ = ["decisions", "draw", "history", "jobs", "labels", "large_pool", "memory", "posteriors", "training"]
