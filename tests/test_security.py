"""What is executed, and when: an experiment file is code, of the kinds that it names; a results folder is data."""

import ast
import csv
import io
import json
import pickle
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import gymnasium
import pytest

import vbandits as library
from tests.bandit_results import results
from tests.test_running import vbandits
from vbandits.agents import AgentSpec
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store
from vbandits.named import KINDS
from vbandits.registry import load
from vbandits.serialize import digest

ROOT = Path(library.__file__).parent
LINEAR = "vbandits/LinearBandit-v0"
SMALL = {"name": "small", "seeds": 1, "steps": 5, "environments": [LINEAR], "agents": ["uniform"]}
HARMFUL = [
    "os:system",
    "subprocess:run",
    "subprocess:Popen",
    "shutil:rmtree",
    "builtins:exec",
    "pathlib:Path",
    "importlib:import_module",
    "pickle:loads",
    "runpy:run_path",
    "sys:exit",
    "my_tools:system",
    "my_tools:Popen",
]
TOOLS = """
import functools
from os import system
from subprocess import Popen

import gymnasium
from torch import nn

from vbandits.agents import AgentSpec, Greedy
from vbandits.envs.synthetic import LinearBandit as Linear


def make(arms=2):
    return Linear(arms=arms, num_envs=1, device="cpu")


made = functools.partial(make, arms=3)


def agent():
    return AgentSpec("mine", None, Greedy())


def network(features, outputs):
    return nn.Linear(features, outputs)


def on_step(event):
    pass


class Lacking:
    def reset(self):
        open("executed", "w").close()
"""
INSTALLED = """
from torch import nn
import gymnasium


def anything(command="touch executed"):
    open("executed", "w").close()


def make() -> "gymnasium.Env":
    return gymnasium.make("CartPole-v1")


def network(features: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, outputs))
"""
EVIL = "open('executed', 'w').close()\nBENCHMARK = 1\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a user's modules, beside one of an installed package, and with one that only data name."""
    packages = tmp_path / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "acme_bandits.py").write_text(INSTALLED)
    (tmp_path / "my_tools.py").write_text(TOOLS)
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(packages), *sys.path])
    for name in ("acme_bandits", "my_tools", "evil"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("acme_bandits", "my_tools", "evil"):
        sys.modules.pop(name, None)


@pytest.fixture
def out(here):
    """The results folder of a small run."""
    only = ("--environments", LINEAR, "--agents", "uniform", "--seeds", 1, "--steps", 5, "--workers", 1)
    assert vbandits("run", *only, "--out", "out") == 0
    shutil.rmtree("out/report")
    return here / "out"


def refused(document):
    with pytest.raises(ConfigError) as error:
        resolve(document)
    return " ".join("\n".join(error.value.errors).split())


def marker_of(out):
    (path,) = out.glob("cells/*.json")
    return path, json.loads(path.read_text())


# An experiment file names code: only what is of the right kind is called.


@pytest.mark.parametrize("what", [kind for kind in KINDS if kind != "benchmark"])
@pytest.mark.parametrize("place", HARMFUL)
def test_what_is_not_of_the_right_kind_is_not_there_to_be_called(place, what):
    with pytest.raises(ValueError, match=rf"{place}: expected an? {what}, a class with .* function that makes one"):
        load(place, what)


PLACES = {
    "environment": lambda name: {"environments": [{"id": name, "kwargs": {"command": "touch executed"}}]},
    "agent": lambda name: {"agents": [name]},
    "policy": lambda name: {"agents": [{"policy": name, "kwargs": {"command": "touch executed"}}]},
    "posterior": lambda name: {"agents": [{"id": "ibvi", "posterior": {"kind": name}}]},
    "rule": lambda name: {"agents": [{"id": "ibvi", "rule": {"kind": name}}]},
    "network": lambda name: {"agents": [{"id": "ibvi", "network": {"kind": name}}]},
    "factory": lambda name: {"agents": [{"id": "ibvi", "network": {"kind": "module", "factory": name}}]},
    "callback": lambda name: {"callbacks": [name]},
    "callback with fields": lambda name: {"callbacks": [{"kind": name, "command": "touch executed"}]},
    "benchmark": lambda name: {"benchmark": name},
}


@pytest.mark.parametrize("name", ["acme_bandits:anything", "os:system"])
@pytest.mark.parametrize("where", PLACES)
def test_a_function_of_another_kind_is_refused_wherever_it_is_named(where, name):
    assert name.partition(":")[2] in refused(SMALL | PLACES[where](name))
    assert not Path("executed").exists()


@pytest.mark.parametrize("kind", ["acquisition", "posterior", "network"])
def test_so_it_is_in_other_benchmarks(kind):
    learner = {"id": "ibvi", "acquisition": "random"} | {kind: {"kind": "acme_bandits:anything"}}
    active = {"name": "small", "seeds": 1, "problems": [{"pool": "digits"}], "learners": [learner]}
    assert "acme_bandits:anything" in refused(active)
    if kind != "acquisition":
        method = {"id": "ibvi", kind: {"kind": "acme_bandits:anything"}}
        assert "acme_bandits:anything" in refused(
            {"name": "small", "seeds": 1, "datasets": ["uci_yacht"], "methods": [method]}
        )
    assert not Path("executed").exists()


def test_a_class_without_the_methods_is_not_made_and_is_told_with_file_and_line():
    said = refused(SMALL | {"environments": ["my_tools:Lacking"]})
    assert "expected an environment, a class with reset and step" in said
    assert "got my_tools:Lacking without step (my_tools.py:" in said


@pytest.mark.parametrize("place", ["my_tools:make", "my_tools:made", "my_tools:Linear", "acme_bandits:make"])
def test_functions_of_ones_own_and_annotated_ones_and_classes_make_environments(place):
    assert callable(load(place, "environment"))


def test_others_are_loaded_too():
    for place, what in (
        ("my_tools:agent", "agent"),
        ("my_tools:network", "network"),
        ("my_tools:on_step", "callback"),
        ("acme_bandits:network", "network"),
        ("torch.nn:Linear", "network"),
        ("vbandits.posteriors.ibvi:IBVI", "posterior"),
    ):
        assert load(place, what) is not None
    assert resolve(SMALL | {"environments": ["CartPole-v1"]}).problems


def test_what_is_given_in_python_is_taken_as_it_is(here):
    import acme_bandits

    def make():
        return gymnasium.make("CartPole-v1")

    make.__module__ = "acme_bandits"  # as if it were installed
    assert resolve(SMALL | {"environments": [make]}).problems
    assert acme_bandits.anything is library.EnvironmentSpec("x", acme_bandits.anything).source


def test_no_path_and_no_relative_module_is_imported():
    for place in ("tests/helpers:preset", "../evil:BENCHMARK", ".evil:BENCHMARK", "evil.:x", ":x", "evil:"):
        with pytest.raises(ValueError, match="expected 'module:name', such as 'my_module:MyClass'"):
            load(place, "environment")
    assert not Path("executed").exists()


def test_naming_a_module_imports_it():
    with pytest.raises(ValueError, match="unknown name in evil"):
        load("evil:Nothing", "environment")
    assert Path("executed").exists()


# A results folder is data.


def reads(out, *more):
    """Has all that reads a results folder read it; returns the exit codes."""
    codes = [vbandits("report", out, *more), vbandits("compare", out, out, "--out", "compared", *more)]
    codes.append(vbandits("merge", out, out, "--out", "merged", *more))
    for function in (library.load, lambda folder: library.compare(folder, folder)):
        try:
            function(out)
        except ConfigError:
            continue
    return codes


def test_no_module_that_a_results_folder_names_is_imported(out, capsys):
    path = out / "experiment.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"kind": "evil:BENCHMARK"}))
    capsys.readouterr()
    assert set(reads(out)) == {2}
    said = " ".join(capsys.readouterr().err.split())
    assert "expected the module 'evil' of 'evil:BENCHMARK' to be imported already" in said
    assert "--benchmark evil:BENCHMARK" in said
    assert not Path("executed").exists()
    path.write_text(json.dumps(document | {"kind": "os:system"}))  # it is imported, and no benchmark
    assert set(reads(out)) == {2}
    path.write_text(json.dumps(document | {"kind": "evil:BENCHMARK"}))
    assert vbandits("report", out, "--benchmark", "evil:BENCHMARK") == 2  # asked for by the user: imported
    assert Path("executed").exists()


@pytest.mark.parametrize("part", ["environments", "agents"])
def test_nor_are_those_of_its_environments_and_agents(out, part):
    path = out / "experiment.json"
    document = json.loads(path.read_text())
    for entry in document[part]:
        entry["source" if part == "environments" else "posterior"] = "evil:Thing"
    path.write_text(json.dumps(document))
    assert vbandits("report", out) == 0
    assert not Path("executed").exists()


def test_a_marker_cannot_lead_out_of_the_folder(out, here):
    path, marker = marker_of(out)
    secret = here / "secret--x--0-0--0123456789.parquet"
    shutil.copy(path.with_suffix(".parquet"), secret)
    for key in (f"../../{secret.stem}", str(here / secret.stem)):
        path.write_text(json.dumps(marker | {"key": key}))
        assert library.load(out).records.empty
        assert set(reads(out)[:1]) == {0}
    before = sorted(file.name for file in here.iterdir())
    assert sorted({*before} - {"compared", "merged"}) == sorted(
        {"evil.py", "lib", "my_tools.py", "out", secret.name, "__pycache__"} & {*before} | {"out", secret.name}
    )


def test_labels_lead_nowhere(tmp_path):
    label = "../../outside"
    found = results((label,), {label: 0.1, "uniform": 1.0})
    found.report(tmp_path / "deep" / "er" / "report")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["er"]
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["report"]


@pytest.mark.parametrize("ending", [".json", ".parquet"])
def test_links_among_its_files_are_refused(out, here, ending, capsys):
    path, _ = marker_of(out)
    linked = path.with_suffix(ending)
    linked.rename(here / "elsewhere")
    linked.symlink_to(here / "elsewhere")
    assert set(reads(out)) == {2}
    assert "expected a file, got a link" in " ".join(capsys.readouterr().err.split())


def test_a_report_is_not_written_through_links(out, here, capsys):
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious-figure-1.svg").write_text("precious")
    (out / "report").symlink_to(elsewhere)
    assert vbandits("report", out) == 2
    assert "expected a folder to write the report to, got a link" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ConfigError, match="got a link"):
        library.load(out).report()
    (out / "report").unlink()
    (out / "report").mkdir()
    for name in ("figures", "tables"):
        (out / "report" / name).symlink_to(elsewhere)
    (here / "page").write_text("precious")
    for name in ("index.html", "report.md", "summary.csv"):
        (out / "report" / name).symlink_to(here / "page")
    assert vbandits("report", out) == 0
    assert [path.name for path in elsewhere.iterdir()] == ["precious-figure-1.svg"]
    assert (here / "page").read_text() == "precious"


def test_a_lock_empties_no_file_that_it_leads_to(out, here):
    precious = here / "precious"
    precious.write_text("precious")
    (out / ".lock").unlink(missing_ok=True)
    (out / ".lock").symlink_to(precious)
    only = ("--environments", LINEAR, "--agents", "uniform", "--seeds", 1, "--steps", 5, "--workers", 1)
    assert vbandits("run", *only, "--out", out) == 2
    vbandits("watch", out, "--every", 0.1)
    assert precious.read_text() == "precious"


class Scripts(HTMLParser):
    """All that a page could run or fetch: scripts, handlers, and addresses that are not its own."""

    def __init__(self):
        super().__init__()
        self.scripts, self.handlers, self.addresses = 0, [], []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        links = ("href", "src", "action", "xlink:href", "formaction")
        self.addresses += [value for name, value in attrs if name in links and not (value or "").startswith("#")]
        assert tag not in ("img", "iframe", "object", "embed", "base", "form")


def scripts(html):
    found = Scripts()
    found.feed(html)
    return found


EVILS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</style><svg onload=alert(1)>",
    "]]><iframe src=//evil>",
)


def test_nothing_that_it_holds_becomes_script_in_the_page(tmp_path):
    plain = results(("wheel", "linear"), {"good": 0.1, "uniform": 1.0}, failed=(("wheel", "good", "broke"),))
    usual = scripts(plain.report(tmp_path / "plain").read_text())
    for number, evil in enumerate(EVILS):
        found = results(
            (evil, "linear"), {evil: 0.1, "uniform": 1.0}, failed=((evil, evil, evil),), name=evil, command=evil
        )
        folder = tmp_path / str(number)
        shown = scripts(found.report(folder).read_text())
        assert (shown.scripts, shown.handlers) == (usual.scripts, usual.handlers), evil
        assert set(shown.addresses) <= set(usual.addresses), evil
        for figure in folder.glob("figures/*.svg"):
            drawn = scripts(figure.read_text())
            assert (drawn.scripts, drawn.handlers) == (0, []), evil


def formulas(text):
    """Cells of a table that a spreadsheet would compute."""
    for cell in (cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in "=+-@\t\r"):
        try:
            float(cell or 0)
        except ValueError:
            yield cell


def test_no_table_of_it_holds_a_formula(tmp_path):
    for number, evil in enumerate(("=1+1", "+1+1", "-1+cmd", "@SUM(A1)", "\t=1", '=HYPERLINK("x")')):
        results((evil,), {evil: 0.1, "uniform": 1.0}).report(tmp_path / str(number))
        for table in [tmp_path / str(number) / "summary.csv", *(tmp_path / str(number)).glob("tables/*.csv")]:
            assert [*formulas(table.read_text())] == [], (evil, table.name)


def test_no_message_of_it_obeys_a_terminal(out, capsys):
    path, marker = marker_of(out)
    evil = "\x1b]0;owned\x07\x1b[2J\x00" + "x" * 100_000
    path.write_text(json.dumps(marker | {"status": "failed", "reason": evil, "details": evil, "failures": 1}))
    capsys.readouterr()
    assert vbandits("report", out) == 1
    shown = capsys.readouterr()
    pages = [(out / "report" / name).read_text() for name in ("index.html", "report.md")]
    for text in (shown.err, shown.out, *pages):
        assert not {"\x1b", "\x00", "\x07"} & {*text}
        assert len(text) < 100_000


class Harm:
    def __reduce__(self):
        return open, ("executed", "w")


def test_no_file_of_it_is_unpickled(out, here):
    path, marker = marker_of(out)
    harmful = pickle.dumps(Harm())
    path.with_suffix(".parquet").write_bytes(harmful)
    path.with_suffix(".held-out.parquet").write_bytes(harmful)
    (out / "cells" / f"{path.stem}.checkpoint.safetensors").write_bytes(harmful)
    path.write_text(json.dumps({name: own for name, own in marker.items() if name != "sha256"}))
    reads(out)
    only = ("--environments", LINEAR, "--agents", "uniform", "--seeds", 1, "--steps", 5, "--workers", 1)
    vbandits("run", *only, "--out", out)
    assert not (here / "executed").exists()


def test_nothing_in_the_library_unpickles_or_executes_a_file():
    """Between processes of one run objects travel as pickles, and CIFAR-10 is published as one, of arrays alone."""
    allowed = {"envs/processes.py": {"cloudpickle.loads"}, "data/image_files.py": {"pickle.Unpickler"}}
    risky = {"load", "loads", "Unpickler", "read_pickle"}
    for file in ROOT.rglob("*.py"):
        found = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in risky:
                found |= {f"{node.value.id}.{node.attr}"} & {
                    f"{module}.{name}"
                    for module in ("pickle", "cloudpickle", "torch", "joblib", "marshal", "shelve", "pd", "yaml")
                    for name in risky
                }
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.add(node.func.id)
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                found |= set() if isinstance(node.value, ast.Constant) and node.value.value is False else {"allow"}
        name = file.relative_to(ROOT).as_posix()
        assert found <= allowed.get(name, set()), name


# A saved agent names code as an experiment file does.


@pytest.mark.parametrize("place", ["acme_bandits:anything", "os:system", "subprocess:Popen"])
@pytest.mark.parametrize("section", ["posterior", "rule", "network", "factory"])
def test_of_a_saved_agent_only_what_is_of_the_right_kind_is_called(place, section, tmp_path):
    from tests.keeping import FORM
    from vbandits.agents.agent import Agent
    from vbandits.agents.rules import Uniform
    from vbandits.agents.saving import keep, write_agent

    agent = Agent(AgentSpec("plain", None, Uniform()), (0,), FORM["contexts"], 1, "cpu")
    write_agent(tmp_path / "agent", keep(agent))
    path = tmp_path / "agent.json"
    about = {name: own for name, own in json.loads(path.read_text()).items() if name != "digest"}
    kind = {"kind": "module", "factory": place} if section == "factory" else {"kind": place}
    about["agent"]["network" if section == "factory" else section] = kind
    if section in ("network", "factory"):
        about["agent"]["posterior"] = {"kind": "deterministic"}
    path.write_text(json.dumps({**about, "digest": digest(about)}))
    with pytest.raises(ConfigError):
        library.load_agent(path)
    assert not Path("executed").exists()


def test_a_results_folder_of_a_store_is_what_these_tests_read(out):
    assert [marker["status"] for marker in Store(out).markers()] == ["done"]
