"""`vbandits list`, `check` and `data`: what there is, and whether it works."""

from pathlib import Path

from cyclopts import App
from rich.console import Console

from vbandits.cli.app import FAILED, app

data = App(name="data", help="List, fetch and verify the datasets of bandits and methods.")
app.command(data)


@app.command(name="list")
def list_(what: str | None = None, *names: str) -> None:
    """List what can be named in an experiment file, with its fields, their defaults, what they allow and mean.

    Parameters
    ----------
    what
        One of posteriors, rules, networks, acquisitions, environments; the presets: agents, learners, methods; datasets
        (as `vbandits data list`). Without it, these are listed.
    names
        Of what is listed, such as ibvi; by default all.
    """
    from vbandits import catalogue
    from vbandits.experiment.progress import print_rows

    if what is None:
        print_rows(catalogue.choices())
        return
    if what == "datasets":
        list_data(*names)
        return
    print_rows(catalogue.rows(what, names))


@app.command
def check(id: str, *, kwargs: dict[str, str] | None = None, data_dir: Path | None = None) -> int:
    """Say whether an environment will work, and what it lacks for regret; exit code 1 if it will not work.

    Parameters
    ----------
    id
        Such as my_envs:acme/Ads-v0, with my_envs.py in the current folder.
    kwargs
        Handed to the environment: --kwargs.delta 0.9.
    data_dir
        Where the files of datasets lie; by default what the environment variable VBANDITS_DATA names.
    """
    from vbandits.envs.check import check as check_environment
    from vbandits.experiment.engine import extend_path
    from vbandits.experiment.settings import parse

    extend_path([str(Path.cwd())])
    found = check_environment(
        id, {name: parse(value, f"--kwargs.{name}") for name, value in (kwargs or {}).items()}, data_dir
    )
    print(found)
    return 0 if found.works else FAILED


@data.command(name="list")
def list_data(*names: str, data_dir: Path | None = None) -> None:
    """List the datasets: their size, where they are found here, and how the others are to be had.

    Parameters
    ----------
    names
        Such as mushroom; by default all.
    data_dir
        Where files lie; by default what the environment variable VBANDITS_DATA names.
    """
    from vbandits.data import inventory
    from vbandits.experiment.progress import print_line, print_rows

    rows = inventory.listing(data_dir, names)
    print_rows([{name: value for name, value in row.items() if name != inventory.TO_HAVE} for row in rows])
    for row in rows:
        if row[inventory.TO_HAVE]:
            print_line(Console(), f"{row['dataset']}: {row[inventory.TO_HAVE]}")


@data.command
def fetch(*names: str) -> int:
    """Fetch datasets from OpenML or scikit-learn into its cache, and check them; exit code 1 if one cannot be had.

    Parameters
    ----------
    names
        Such as mushroom.
    """
    from vbandits.data import inventory
    from vbandits.experiment.progress import print_outcomes

    return 0 if print_outcomes(Console(), inventory.fetch(names)) else FAILED


@data.command
def verify(*names: str, data_dir: Path | None = None) -> int:
    """Read datasets and check them against what was published; exit code 1 if one is missing, damaged or another.

    Parameters
    ----------
    names
        Such as mushroom; by default all that are found.
    data_dir
        Where files lie; by default what the environment variable VBANDITS_DATA names.
    """
    from vbandits.data import inventory
    from vbandits.experiment.progress import print_outcomes

    return 0 if print_outcomes(Console(), inventory.verify(names, data_dir)) else FAILED
