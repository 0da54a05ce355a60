"""A results folder is data: nothing in it is executed, leads out of it, or becomes script in what is shown of it."""

import ast
import csv
import io
import json
import pickle
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vbandits as library
from tests.bandit_results import results
from tests.test_running import vbandits
from vbandits.errors import ConfigError

ROOT = Path(library.__file__).parent
LINEAR = "vbandits/LinearBandit-v0"
ONLY = ("--environments", LINEAR, "--agents", "uniform", "--seeds", 1, "--steps", 5, "--workers", 1)
EVIL = "open('executed', 'w').close()\nBENCHMARK = 1\n"


@pytest.fixture
def out(tmp_path, monkeypatch):
    """The results folder of a small run, beside a module that only data name."""
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    assert vbandits("run", *ONLY, "--out", "out") == 0
    shutil.rmtree("out/report")
    yield tmp_path / "out"
    sys.modules.pop("evil", None)


@pytest.fixture
def here(tmp_path):
    return tmp_path


def marker_of(out):
    (path,) = out.glob("cells/*.json")
    return path, unsealed(path)


def unsealed(path):
    """Returns what a JSON file says without its checksum, which whoever writes it could make as well."""
    return {name: own for name, own in json.loads(path.read_text()).items() if name != "digest"}


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
    document = unsealed(path)
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
    document = unsealed(path)
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
    assert {path.name for path in here.iterdir()} - {"compared", "merged"} == {"evil.py", "out", secret.name}


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
    assert vbandits("run", *ONLY, "--out", out) == 2
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


@pytest.mark.slow
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
    vbandits("run", *ONLY, "--out", out)
    assert not (here / "executed").exists()


def test_nothing_in_the_library_unpickles_or_executes_a_file():
    """Between processes of one run objects travel as pickles, and CIFAR-10 is published as one, of arrays alone."""
    between = {name: {"cloudpickle.loads"} for name in ("envs/processes.py", "experiment/engine.py")}
    allowed = between | {"data/image_files.py": {"pickle.Unpickler"}}
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
