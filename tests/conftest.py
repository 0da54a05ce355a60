"""Shapes in signatures are checked while the tests run; every test has one torch thread, as a worker has."""

import gc
import os
from pathlib import Path

import pytest

from tests import checking

ROOT = Path(__file__).parent.parent
COLLECTED = pytest.StashKey[list[pytest.Item]]()


def pytest_configure(config):
    """Has shapes and types checked: by default where shapes are named, with slow tests or on request everywhere."""
    everywhere = config.option.markexpr != "not slow" or os.environ.get("VBANDITS_BEARTYPE") == "all"
    checking.install("vbandits" if everywhere else modules_that_name_shapes())


def modules_that_name_shapes():
    files = [file for folder in ("vbandits", "envs", "agents") for file in (ROOT / folder).rglob("*.py")]
    names = [file.relative_to(ROOT).with_suffix("").parts for file in files if "from jaxtyping" in file.read_text()]
    return sorted(".".join(parts if parts[0] == "vbandits" else ("vbandits", *parts)) for parts in names)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    import torch  # here: the process that only hands out tests does not wait for it

    torch.set_num_threads(1)
    config.stash[COLLECTED] = [*items]  # before slow tests are deselected


def pytest_collection_finish():
    """Has the garbage collector pass over what was imported and collected: it stays, and is most of what there is."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def collected(request):
    """All tests that were collected, quick and slow."""
    return request.config.stash[COLLECTED]


@pytest.fixture(scope="session")
def standin_files(tmp_path_factory):
    """A data directory with small files in the place of published ones, and what is published of them, by name."""
    from tests import standins

    folder = tmp_path_factory.mktemp("data")
    return folder, standins.write(folder)


@pytest.fixture
def standins(standin_files, monkeypatch):
    """Has every dataset that is published in files be a small stand-in; returns the data directory."""
    from vbandits.data import PUBLISHED
    from vbandits.data.folder import VARIABLE

    folder, published = standin_files
    for name, record in published.items():
        monkeypatch.setitem(PUBLISHED, name, record)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def no_network(monkeypatch):
    from urllib.error import URLError

    from vbandits.data.folder import VARIABLE

    def fail(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    monkeypatch.setattr("sklearn.datasets.fetch_covtype", fail)
    monkeypatch.delenv(VARIABLE, raising=False)
