"""What a job costs beside its own work: handing it out, writing and reading back what it leaves."""

import tempfile
import time

from rich.console import Console

from vbandits import api
from vbandits.bench.measure import Row
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store

JOBS = 1_000
STEPS = 2


def jobs(console: Console, count: int = JOBS) -> list[Row]:
    """Measures and prints the CPU time per job of an experiment of many tiny jobs, in this process; returns a row."""
    document = {"name": "bench", "seeds": count // 2, "block": 1, "steps": STEPS}
    experiment = resolve({**document, "environments": ["vbandits/LinearBandit-v0"], "agents": ["epsilon-greedy"]})
    with tempfile.TemporaryDirectory(prefix="vbandits-") as folder, console.status("running tiny jobs"):
        start = time.process_time()
        with open(f"{folder}/log", "w", encoding="utf-8") as log:
            quiet = Console(file=log)
            found = api.execute(experiment, Store(f"{folder}/out"), command="", workers=1, console=quiet).jobs
        seconds = time.process_time() - start
    own = sum(sum(job["seconds"].values()) for job in found)
    each = 1_000 * (seconds - own) / len(found)
    console.print(f"{len(found):,} jobs of {STEPS} decisions: {each:.1f} ms of CPU time per job beside its decisions")
    return [{"jobs": len(found), "steps": STEPS, "ms per job": each}]
