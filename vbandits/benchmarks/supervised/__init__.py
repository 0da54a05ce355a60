"""Supervised learning: methods classify images, clean, corrupted and out of distribution."""

from vbandits.experiment.benchmark import Benchmark

BENCHMARK = Benchmark(
    name="supervised",
    axes=("dataset", "method"),
    config="vbandits.benchmarks.supervised.config:SupervisedConfig",
    run="vbandits.benchmarks.supervised.run:run_job",
    results="vbandits.benchmarks.supervised.results:SupervisedResults",
    report="vbandits.benchmarks.supervised.report:report",
    layout="vbandits.benchmarks.supervised.report:LAYOUT",
    presets="vbandits.presets:METHODS",
    live=("error", "nll"),
    resumes=True,
)
