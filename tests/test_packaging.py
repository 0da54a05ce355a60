"""What is installed, and how it is imported."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.test_running import vbandits

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_of_the_package_is_declared():
    folders = [ROOT / name for name in ("vbandits", "envs", "agents")]
    found = set()
    for folder in folders:
        for file in folder.rglob("__init__.py"):
            parts = file.parent.relative_to(ROOT).parts
            if not any((ROOT / Path(*parts[:depth])).is_symlink() for depth in range(1, len(parts) + 1)):
                found.add(".".join(parts if parts[0] == "vbandits" else ("vbandits", *parts)))
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.slow
def test_the_folders_at_the_top_are_the_package():
    code = "import envs, vbandits.envs.wheel; assert envs.Wheel is vbandits.envs.wheel.Wheel"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_constraints_name_every_dependency_and_satisfy_its_range():
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    project = PROJECT["project"]
    for text in sum(project["optional-dependencies"].values(), project["dependencies"]):
        requirement = Requirement(text)
        assert pinned[requirement.name.lower()] in requirement.specifier


def test_help_does_not_wait_for_torch():
    heavy = ("torch", "pandas", "seaborn", "matplotlib", "sklearn")
    code = f"import sys, vbandits.cli; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


SHOWN = {
    "--version": PROJECT["project"]["version"],
    "--help": "check",
    "run --help": "--set",
    "tune --help": "--write",
    "list agents": "ibvi",
    "list environments": "Wheel-v0",
    "data list": "digits",
    "theory --list": "null-space",
}


@pytest.mark.parametrize("command", SHOWN)
def test_commands_that_show_something(command, capsys):
    assert vbandits(*command.split()) == 0
    assert SHOWN[command] in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOWN)
def test_commands_that_show_something_from_a_shell(command):
    shown = subprocess.run([sys.executable, "-m", "vbandits", *command.split()], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert SHOWN[command] in shown.stdout


def test_files_stay_short():
    long = [
        path
        for folder in ("vbandits", "envs", "agents", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    ]
    assert long == []
