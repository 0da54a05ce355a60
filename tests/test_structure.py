"""Who imports whom: arrows between packages point one way."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"vbandits": ROOT / "vbandits", "vbandits.envs": ROOT / "envs", "vbandits.agents": ROOT / "agents"}
BENCHMARKS = "vbandits.benchmarks"


def modules() -> Iterator[tuple[str, Path]]:
    """Yields every module of the package with its file, each once."""
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if package != "vbandits" or parts[0] not in ("envs", "agents"):
                yield ".".join([package, *(part for part in parts if part != "__init__")]), path


@cache
def imports(path: Path) -> frozenset[str]:
    """Returns the modules of ours that a file imports, also inside functions; not for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ignored = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in ignored:
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import) and id(node) not in ignored:
            found |= {name.name for name in node.names}
    return frozenset(name for name in found if name.split(".")[0] == "vbandits")


def package(module: str) -> str:
    """Returns the package that a module counts as: a benchmark, a folder, or itself where it lies at the top."""
    parts = module.split(".")
    return ".".join(parts[: 3 if module.startswith(f"{BENCHMARKS}.") else 2])


def arrows() -> dict[str, set[str]]:
    """Returns the packages that each package imports from."""
    known = {package(module) for module, _ in modules()}
    found: dict[str, set[str]] = {one: set() for one in known}
    for module, path in modules():
        targets = {package(name) if package(name) in known else "vbandits" for name in imports(path)}
        found[package(module)] |= targets - {package(module)}
    return found


def test_no_packages_import_each_other_in_a_circle():
    graph = arrows()
    done: set[str] = set()

    def visit(one: str, path: tuple[str, ...]) -> None:
        assert one not in path, " -> ".join([*path[path.index(one) :], one])
        if one not in done:
            for other in sorted(graph[one]):
                visit(other, (*path, one))
            done.add(one)

    for one in sorted(graph):
        visit(one, ())


ABOVE = {
    "vbandits.cli": (BENCHMARKS,),
    "vbandits.api": (BENCHMARKS,),
    "vbandits.catalogue": (BENCHMARKS,),
    "vbandits.report": ("vbandits.experiment", BENCHMARKS, "vbandits.envs", "vbandits.agents", "vbandits.data"),
    "vbandits.experiment": (BENCHMARKS, "vbandits.envs", "vbandits.agents", "vbandits.data"),
    "vbandits.data": ("vbandits.envs", "vbandits.agents", "vbandits.experiment"),
    "vbandits.posteriors": ("vbandits.envs", "vbandits.agents", "vbandits.experiment", BENCHMARKS),
    "vbandits.networks": ("vbandits.posteriors", "vbandits.envs", "vbandits.agents"),
    "vbandits.metrics": ("vbandits.report", "vbandits.experiment", "vbandits.posteriors"),
    "vbandits.envs": ("vbandits.agents", "vbandits.experiment", BENCHMARKS, "vbandits.report"),
    "vbandits.agents": ("vbandits.experiment", BENCHMARKS, "vbandits.report"),
}
"""What stands above a package, which it must not know."""


@pytest.mark.parametrize("lower", ABOVE)
def test_a_package_knows_nothing_of_what_stands_above_it(lower):
    known = {
        (module, name)
        for module, path in modules()
        if f"{module}.".startswith(f"{lower}.")
        for name in imports(path)
        if f"{name}.".startswith(tuple(f"{upper}." for upper in ABOVE[lower]))
    }
    assert known == set()


def test_a_benchmark_knows_no_other():
    for module, path in modules():
        if module.startswith(f"{BENCHMARKS}.") and package(module).count(".") == 2:
            others = {package(name) for name in imports(path) if name.startswith(f"{BENCHMARKS}.")}
            assert others <= {package(module), f"{BENCHMARKS}.environments"}, module


def test_environments_hold_no_reader_of_datasets():
    readers = ("csv", "gzip", "pickle", "tarfile", "pyarrow", "sklearn", "pandas")
    for path in (ROOT / "envs").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        found |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name for name in found if name.split(".")[0] in readers}, path
