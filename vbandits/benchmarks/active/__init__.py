"""Active learning: learners buy labels of pools and streams, and are compared by what the labels were worth."""

from vbandits.experiment.benchmark import Benchmark

BENCHMARK = Benchmark(
    name="active",
    axes=("problem", "learner"),
    config="vbandits.benchmarks.active.config:ActiveConfig",
    run="vbandits.benchmarks.active.run:run_job",
    results="vbandits.benchmarks.active.results:ActiveResults",
    report="vbandits.benchmarks.active.report:report",
    layout="vbandits.benchmarks.active.report:LAYOUT",
    presets="vbandits.presets:LEARNERS",
    ad_hoc=False,
    live=("accuracy", "rmse", "nll"),
    resumes=True,
)
