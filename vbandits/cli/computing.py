"""`vbandits bench` and `vbandits theory`: what is computed without an experiment file."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from vbandits.cli.app import FAILED, app


@app.command
def bench() -> None:
    """Measure speed and memory, as ratios within one run: decisions, training steps, labels, jobs."""
    from vbandits.bench import decisions, jobs, labels, large_pool, memory, training

    console = Console()
    decisions(console)
    training(console)
    labels(console)
    memory(console)
    large_pool(console)
    jobs(console)


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
