"""`vbandits bench` and `vbandits theory`: what is computed without an experiment file."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from vbandits.cli.app import FAILED, app


@app.command
def bench(*, full: bool = False, device: Literal["cpu", "cuda"] = "cpu", out: Path = Path("results/bench")) -> int:
    """Measure speed and memory, as ratios within one run: decisions, training steps, jobs. Two minutes at most.

    Parameters
    ----------
    full
        Also more seeds, large networks, long histories and active learning; an hour.
    device
        What decisions and training steps are measured on.
    out
        Folder of the tables, one for each part, named by the time.
    """
    from vbandits import bench
    from vbandits.bench.saving import save
    from vbandits.errors import require_writable

    require_writable(out)
    console = Console()
    parts = {"decisions": bench.decisions(console, device, full)}
    parts["posteriors"] = bench.posteriors(console, device)
    if full:
        parts["training"] = bench.training(console, device)
        parts["history"] = bench.history(console)
        parts["memory"] = bench.memory(console, device)
        parts["labels"] = bench.labels(console)
        parts["pool"] = bench.large_pool(console)
    parts["jobs"] = bench.jobs(console)
    paths = save(parts, out, device)
    for path in paths:
        console.print(f"Table: {path}")
    if full:
        figure = paths[0].with_name(paths[0].name.replace("decisions.csv", "cost.svg"))
        bench.draw(parts, figure)
        console.print(f"Figure: {figure}")
    return 0


@app.command
def theory(
    *,
    out: Path = Path("results/theory"),
    only: str | None = None,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
) -> int:
    """Compute what is claimed about implicit-bias variational inference; exit code 1 if a claim fails.

    Parameters
    ----------
    out
        Folder of the page, its figures and a table of every number.
    only
        Checks to run, by id, separated by commas; all of them by default, which takes a few minutes.
    list_
        List the checks instead.
    """
    from vbandits.experiment.progress import output
    from vbandits.theory import running

    if list_:
        output().print(running.listing())
        return 0
    from vbandits.errors import require_writable

    checks = running.chosen(only)
    require_writable(out)
    outcomes = running.run(checks, Console(stderr=True))
    from vbandits.experiment.progress import print_line
    from vbandits.theory.page import write

    page = write(outcomes, out, shlex.join(["vbandits", *sys.argv[1:]]))
    output().print(running.table(outcomes))
    print_line(Console(stderr=True), f"Page: {page}")
    return 0 if all(outcome.passed for outcome in outcomes) else FAILED
