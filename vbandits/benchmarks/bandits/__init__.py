"""Contextual bandits: agents play environments, and are compared by regret, calibration and cost."""

from vbandits.experiment.benchmark import Benchmark

BENCHMARK = Benchmark(
    name="bandits",
    axes=("environment", "agent"),
    config="vbandits.benchmarks.bandits.config:BanditConfig",
    run="vbandits.benchmarks.bandits.run:run_job",
    results="vbandits.benchmarks.bandits.results:Results",
    report="vbandits.benchmarks.bandits.report:report",
    layout="vbandits.benchmarks.bandits.report:LAYOUT",
    presets="vbandits.presets:PRESETS",
    live=("cumulative_regret", "cumulative_reward"),
    baseline="uniform",
    resumes=True,
)
