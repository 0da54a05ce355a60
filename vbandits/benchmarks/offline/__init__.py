"""Offline evaluation: what policies would have earned, from logs of decisions that others made by chance."""

from vbandits.experiment.benchmark import Benchmark

BENCHMARK = Benchmark(
    name="offline",
    axes=("log", "policy"),
    config="vbandits.benchmarks.offline.config:OfflineConfig",
    run="vbandits.benchmarks.offline.run:run_job",
    results="vbandits.benchmarks.offline.results:OfflineResults",
    report="vbandits.benchmarks.offline.report:report",
    layout="vbandits.benchmarks.offline.report:LAYOUT",
    presets="vbandits.presets:PRESETS",
)
