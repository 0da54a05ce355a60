"""Shapes in signatures are checked while the tests run; every test has one torch thread, as a worker has."""

from jaxtyping import install_import_hook

# is_pep484_tower: a whole number will do where a real one is expected, as type checkers have it
install_import_hook("vbandits", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import torch  # noqa: E402

torch.set_num_threads(1)
import pytest  # noqa: E402

COLLECTED = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    config.stash[COLLECTED] = [*items]  # before slow tests are deselected


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
