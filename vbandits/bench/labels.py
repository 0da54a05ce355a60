"""Active learning: seeds in lockstep against one at a time, and a large pool scored in bounded memory."""

import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from vbandits.agents.acquisition import BALD, Acquisition, PosteriorSampling, Random
from vbandits.agents.acquisition.base import Rows
from vbandits.agents.learner import Inputs, Learner, LearnerSpec
from vbandits.bench.measure import Row, best, memory_of
from vbandits.envs.active.environment import PoolActiveLearning
from vbandits.experiment import resources
from vbandits.posteriors.ibvi import IBVI

SEEDS = 20
POOL, FEATURES, DRAWS = 60_000, 784, 100
ACQUISITIONS: dict[str, Acquisition] = {
    "random": Random(),
    "posterior_sampling": PosteriorSampling(),
    f"bald, {DRAWS} draws": BALD(draws=DRAWS),
}


def labels(console: Console, queries: int = 25) -> list[Row]:
    """Measures and prints the CPU time of buying labels of digits one by one with IBVI, in one seed and in 20 in
    lockstep; returns a row for each acquisition, with how many times faster a seed is in lockstep.

    BALD evaluates a hundred networks at every row of the pool, which fills a core also for one seed; all else does not.
    """
    measures = {
        f"{name}, {count}": _buying(acquisition, count, queries)
        for name, acquisition in ACQUISITIONS.items()
        for count in (1, SEEDS)
    }
    seconds = best(console, measures)
    table = Table(
        "acquisition",
        "one seed, seconds",
        f"{SEEDS} in lockstep, per seed",
        "times as fast",
        title=f"{queries} labels of digits, IBVI trained from scratch after each, one thread",
    )
    rows = []
    for name in ACQUISITIONS:
        alone, together = seconds[f"{name}, 1"], seconds[f"{name}, {SEEDS}"] / SEEDS
        rows.append({"acquisition": name, "alone": alone, "in lockstep": together, "ratio": alone / together})
        table.add_row(name, f"{alone:.2f}", f"{together:.2f}", f"{alone / together:.1f}")
    console.print(table)
    return rows


def large_pool(console: Console) -> list[Row]:
    """Measures and prints the time and the memory that BALD takes for a pool as large as MNIST; returns a row."""
    random = torch.Generator().manual_seed(0)
    inputs = Inputs(torch.randn(POOL, FEATURES, generator=random), torch.randn(10, FEATURES, generator=random), 10)
    learner = Learner(LearnerSpec("bench", IBVI(), BALD(draws=DRAWS)), (0,), inputs)
    learner.add_labels(torch.arange(20).unsqueeze(0), torch.arange(20).unsqueeze(0) % 10)
    learner.fit()
    candidates = torch.arange(20, POOL).unsqueeze(0)
    with resources.one_thread(), console.status("scoring a pool of 60,000 rows"):
        start = time.perf_counter()
        taken = memory_of(lambda: BALD(draws=DRAWS).score(learner.view(Rows(inputs.pool, candidates))))
        seconds = time.perf_counter() - start
    console.print(
        f"BALD of a pool of {POOL:,} x {FEATURES} with {DRAWS} draws, one thread: {seconds:.1f} s, "
        f"{taken:,.0f} MB beside the pool's {inputs.pool.nbytes / 2**20:,.0f} MB"
    )
    return [{"rows": POOL, "features": FEATURES, "draws": DRAWS, "seconds": seconds, "memory in MB": taken}]


def _buying(acquisition: Acquisition, seeds: int, queries: int) -> Callable[[], object]:
    """Returns the work of some seeds: training after every label, querying, and the environment."""
    environment = PoolActiveLearning(seeds, "cpu", pool="digits", budget=queries)
    inputs = Inputs.of(environment)
    spec = LearnerSpec("bench", IBVI(), acquisition)

    def buy() -> None:
        observation, info = environment.reset(seed=list(range(seeds)))
        learner = Learner(spec, tuple(range(seeds)), inputs)
        known = (observation["labels"] >= 0).nonzero()[:, 1].view(seeds, -1)
        learner.add_labels(known, observation["labels"].gather(1, known))
        for _ in range(queries):
            learner.fit()
            rows = learner.query(info["action_mask"], 1)
            observation, _, _, _, info = environment.step(rows[:, 0])
            learner.add_labels(rows, observation["labels"].gather(1, rows))

    return buy
