"""`vbandits report`, `vbandits compare` and `vbandits merge`: what is made of results folders."""

import shlex
import sys
from pathlib import Path

from rich.console import Console

from vbandits.cli.app import FAILED, app
from vbandits.cli.running import show


@app.command
def report(folder: Path, *, benchmark: str | None = None) -> int:
    """Write the report of a results folder again.

    Parameters
    ----------
    folder
        What a run left, such as results/quickstart.
    benchmark
        Needed only for a benchmark of your own: the "my_module:NAME" that its experiment file has. A results folder
        names it too, but is data, and reading it runs no code unless you say so here.
    """
    from vbandits.experiment.progress import print_failed
    from vbandits.experiment.store import Store

    _import(benchmark)
    results = Store(folder).load()
    for marker in results.jobs:
        if marker["status"] == "failed":
            print_failed(Console(stderr=True), marker, results.axes)
    return show(results, folder)


@app.command
def watch(folder: Path, *, every: float = 1.0, benchmark: str | None = None) -> int:
    """Show a run while it goes on, also one of another process; exit code 1 if some job failed or is left.

    Parameters
    ----------
    folder
        Results folder of the run, such as results/quickstart.
    every
        Seconds between two looks.
    benchmark
        Needed only for a benchmark of your own: the "my_module:NAME" that its experiment file has.
    """
    from vbandits.experiment.progress import output
    from vbandits.experiment.watching import follow

    _import(benchmark)
    return 0 if follow(folder, output(), every) else FAILED


@app.command
def compare(*folders: Path, out: Path | None = None, benchmark: str | None = None) -> int:
    """Set results folders side by side, paired by seed: two versions of a method, or of the code.

    Parameters
    ----------
    folders
        What runs left, such as results/before results/after: what changed is told against the first.
    out
        Folder of the report; results/compare-NAME-NAME by default.
    benchmark
        Needed only for a benchmark of your own: the "my_module:NAME" that its experiment file has.
    """
    from vbandits.experiment import changes

    _import(benchmark)
    changes.show(folders, out, shlex.join(["vbandits", *sys.argv[1:]]))
    return 0


@app.command
def merge(*folders: Path, out: Path, benchmark: str | None = None) -> int:
    """Make one results folder of several: other seeds, agents or environments of one experiment, from other machines.

    All finished jobs are merged, also those of more than a folder was last asked for; what cannot be is named.

    Parameters
    ----------
    folders
        What runs left, such as results/first results/second.
    out
        The new results folder.
    benchmark
        Needed only for a benchmark of your own: the "my_module:NAME" that its experiment file has.
    """
    from vbandits.experiment.merging import merged

    _import(benchmark)
    return show(merged(folders, out, shlex.join(["vbandits", *sys.argv[1:]])), out)


@app.command
def pack(folder: Path, *, benchmark: str | None = None) -> int:
    """Pack the files of finished jobs into an archive for each problem: thousands of small ones become a few.

    Nothing else changes: runs, reports and merges read them where they are, and other jobs can be added and packed.

    Parameters
    ----------
    folder
        What `vbandits run` left, such as results/quickstart.
    benchmark
        Needed only for a benchmark of your own: the "my_module:NAME" that its experiment file has.
    """
    from vbandits.errors import require_writable
    from vbandits.experiment.locking import locked
    from vbandits.experiment.progress import print_line
    from vbandits.experiment.store import Store
    from vbandits.report.formats import count

    _import(benchmark)
    store = Store(folder)
    store.experiment()  # or it is no results folder
    require_writable(folder)
    with locked(folder):
        packed = store.pack()
    print_line(Console(stderr=True), f"{count(packed, 'job')} packed into {folder / 'packs'}")
    return 0


def _import(benchmark: str | None) -> None:
    """Imports a benchmark of the user's own, which is asked for by name: a folder's word is not enough for that."""
    from vbandits.errors import ConfigError
    from vbandits.experiment.benchmark import benchmark as imported
    from vbandits.experiment.engine import extend_path

    if benchmark is None:
        return
    extend_path([str(Path.cwd())])
    try:
        imported(benchmark, imports=True)
    except ValueError as error:
        raise ConfigError(f"--benchmark: {error}") from None
