"""What cannot run is refused before anything runs, whatever part of a file is wrong, and what ran is shown whole."""

import tomllib
from pathlib import Path

import pytest

from tests.test_running import vbandits
from vbandits.errors import ConfigError, printable, shortened
from vbandits.experiment.benchmark import Keys
from vbandits.experiment.resolve import read, resolve
from vbandits.experiment.store import Store

WHEEL = {"name": "small", "seeds": 2, "steps": 20, "environments": ["vbandits/Wheel-v0"]}

SECTIONS = ["environments", "agents", "datasets", "methods", "problems", "learners"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (
            "posterior = { kind = 'ibvi', prior_scale = inf }",
            "posterior.prior_scale: expected a finite number",
        ),
        ("optimizer = { learning_rate = inf }", "optimizer.learning_rate: expected a finite number, got inf"),
        ("optimizer = { learning_rate = nan }", "optimizer.learning_rate"),
        ("optimizer = { learning_rate = '0.1' }", "optimizer.learning_rate: expected a number, got '0.1'"),
        ("schedule = { every = '5' }", "schedule.every: expected a whole number, got '5'"),
        ("schedule = { every = true }", "schedule.every: expected a whole number, got True"),
        (
            "schedule = { forgetting = { half_life = '7' } }",
            "forgetting.half_life: expected a valid number, got '7'",
        ),
        ("network = { hidden = ['8', 8] }", "network.hidden[0]: expected a whole number, got '8'"),
        ("posterior = { kind = 5 }", "posterior: expected a table of fields, a kind (one of"),
        ('label = "a\\u001b[2J"', "expected a label without control characters"),
    ],
)
def test_what_is_written_is_not_taken_for_something_else(toml, says):
    agent = tomllib.loads(toml)
    with pytest.raises(ConfigError) as refused:
        resolve(WHEEL | {"agents": [{"id": "ibvi", **agent}]})
    assert says in "\n".join(refused.value.errors)


@pytest.mark.parametrize("name", ["delay", "batch", "steps", "block", "recorded"])
def test_counts_that_nothing_can_hold_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}: expected less than or equal to 1000000000000"):
        resolve(WHEEL | {"agents": [], name: 10**30})


def test_more_steps_than_fit_into_memory_are_refused_and_blocks_are_counted():
    with pytest.raises(
        ConfigError, match=r"steps: expected as many as fit into memory, got 100,000,000,000 of 2 seeds"
    ):
        resolve(WHEEL | {"agents": [], "steps": 10**11})
    many = {"agents": [], "seeds": 100_000, "steps": 100_000}
    with pytest.raises(ConfigError, match="100,000 seeds at once"):
        resolve(WHEEL | many | {"block": 100_000, "steps": 10**9})
    assert resolve(WHEEL | many | {"block": 8}).block == 8


def test_fifty_seeds_run_together_where_nothing_is_said():
    unsaid = {name: value for name, value in WHEEL.items() if name != "seeds"}
    experiment = resolve(unsaid | {"agents": [], "device": "cpu"})
    assert experiment.seeds == tuple(range(50))
    assert [len(job.seeds) for job in experiment.jobs()] == [50]  # of the uniform agent


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "expected tables and lists at most 50 levels deep"),
        ("x = " + "[" * 300 + "]" * 300, "expected tables and lists at most 50 levels deep"),
        ("seeds = " + "9" * 5000, "expected TOML, got"),
        ("seeds = 10e", "expected TOML, got"),
        ("seeds = 1000000000\nname = 'x'\nenvironments = ['vbandits/Wheel-v0']", "seeds: expected at most 100,000"),
    ],
)
def test_files_of_any_content_are_refused(here, text, says, capsys):
    Path("small.toml").write_text(text)
    assert vbandits("run", "small.toml", "--agents", "uniform") == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert {path.name for path in here.iterdir()} == {"small.toml"}


@pytest.mark.parametrize(
    "option", ["--agents", "--environments", "--methods", "--datasets", "--problems", "--learners"]
)
@pytest.mark.parametrize("section", ["environments", "agents", "datasets", "methods", "problems", "learners"])
def test_a_filter_on_a_file_that_lacks_sections_is_answered(section, option, capsys):
    Path("small.toml").write_text(f'name = "small"\n{section} = ["nothing-of-this-name"]\n')
    assert vbandits("run", "small.toml", f"--{option}", "neither") == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x = 1\ndef f(:\n", r"SyntaxError: invalid syntax \(broken_{}\.py, line 2\)"),
        (
            "import vbandits\nimport no_such_thing\n",
            r"ModuleNotFoundError: No module named 'no_such_thing' \(broken_{}\.py:2",
        ),
        ("\n\nraise KeyError('here')\n", r"KeyError: 'here' \(broken_{}\.py:3"),
        ("exit(3)\n", r"SystemExit: 3 \(broken_{}\.py:1"),
    ],
)
@pytest.mark.parametrize("section", ["agents", "environments"])
def test_a_module_that_cannot_be_imported_is_told_with_file_and_line(content, says, section):
    name = f"broken_{len(content)}_{section}"
    Path(f"{name}.py").write_text(content)
    with pytest.raises(ConfigError, match=says.replace("broken_{}", name)):
        resolve({**WHEEL, "agents": [], section: [f"{name}:Mine"]})


def test_a_relative_module_is_refused():
    with pytest.raises(ConfigError, match=r"expected 'module:name', such as 'my_module:MyClass', got '\.x:Y'"):
        resolve(WHEEL | {"agents": [".x:Y"]})


HUGE = """
import gymnasium
import numpy as np


class Huge(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 0.5, False, False, {"regret": SIZE}
"""


@pytest.mark.parametrize("size", ["1e308", "1e200"])
def test_a_regret_that_overflows_fails_its_jobs_and_the_others_are_reported(size, here):
    name = f"huge_{len(size)}"
    Path(f"{name}.py").write_text(HUGE.replace("SIZE", size))
    both = ("--environments", f"{name}:Huge,vbandits/LinearBandit-v0", "--agents", "uniform")
    assert vbandits("run", *both, "--seeds", 2, "--steps", 20, "--out", "out", "--workers", 1) == 1
    page = Path("out/report/report.md").read_text()
    assert "at most 1e+150 in size" in page
    assert "LinearBandit-v0" in page


def test_messages_are_bounded_and_obey_no_terminal(here, capsys):
    text = "\\\\x1b[2J\\\\x00" + "a" * 5_000_000 + "the end"
    raised = HUGE.replace('{"regret": SIZE}', f"exec('raise RuntimeError(\"{text}\")')")
    Path("loud_envs.py").write_text(raised)
    only = ("--environments", "loud_envs:Huge", "--agents", "uniform", "--seeds", 1, "--steps", 2)
    assert vbandits("run", *only, "--out", "out", "--workers", 1) == 1
    (marker,) = [own for own in Store("out").markers() if own["agent"] == "uniform"]
    assert len(marker["reason"]) <= 2_000
    assert len(marker["details"]) <= 20_000
    said = capsys.readouterr().err
    pages = [path.read_text() for path in (Path("out/report/index.html"), Path("out/report/report.md"))]
    for shown in (marker["reason"], marker["details"], said, *pages):
        assert not {"\x1b", "\x00"} & set(shown)
    assert len(said) < 10_000
    assert "the end" in marker["reason"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "e.toml", "--device", "EVIL"),
        ("run", "e.toml", "--EVIL"),
        ("EVIL",),
        ("run", "e.toml", "--workers", "EVIL"),
    ],
)
def test_command_lines_are_repeated_without_what_a_terminal_obeys(here, capsys, arguments):
    assert vbandits(*(word.replace("EVIL", "\x1b[2J\x9b" + "a" * 100_000) for word in arguments)) == 2
    said = capsys.readouterr().err
    assert "aaa" in said
    assert not {"\x1b", "\x9b"} & set(said)
    assert len(said) < 10_000


def test_shortened_texts_keep_both_ends():
    assert shortened("abc", 3) == "abc"
    found = shortened("a" * 500 + "b" * 500, 100)
    assert len(found) <= 100
    assert found.startswith("aaa")
    assert found.endswith("bbb")
    assert "940 letters left out" in found
    assert printable("a\nb\tc\x1b\x00\x9b\udce9é") == "a\nb\tc\ufffd\ufffd\ufffd\ufffdé"


def test_names_of_files_fit_into_a_folder_whatever_their_letters():
    for letter in ("a", "é", "ア", "\U0001d538"):
        label = letter * 300
        keys = Keys([{"label": label}], [{"label": label}], [], "cpu")
        key = keys.of(label, label, [2**63 - 2, 2**63 - 1])
        assert len(f"{key}.held-out.parquetabcdefgh.temporary".encode()) <= 255
        assert label[:20] in key


def test_labels_that_are_formulas_are_text_in_tables(here):
    label = "=1+1"
    document = WHEEL | {"environments": [{"id": "vbandits/Wheel-v0", "label": label}], "agents": []}
    Path("small.toml").write_text(
        'name = "small"\nseeds = 2\nsteps = 20\n[[environments]]\nid = "vbandits/Wheel-v0"\nlabel = "=1+1"\n'
    )
    assert read(Path("small.toml"))["environments"] == document["environments"]
    assert vbandits("run", "small.toml", "--workers", 1) == 0
    summary = Path("results/small/report/summary.csv").read_text()
    assert "\n'=1+1,uniform," in summary


def test_a_folder_that_is_not_utf_8_holds_results(here):
    name = b"caf\xe9".decode(errors="surrogateescape")
    only = ("--environments", "vbandits/LinearBandit-v0", "--agents", "uniform", "--seeds", 1, "--steps", 5)
    assert vbandits("run", *only, "--out", name, "--workers", 1) == 0
    assert vbandits("report", name) == 0
    assert Path(name, "report", "index.html").stat().st_size > 5_000


def test_a_folder_that_was_left_at_once_is_gone_on_with(here):
    only = ("--environments", "vbandits/LinearBandit-v0", "--agents", "uniform", "--seeds", 1, "--steps", 5)
    Path("out/cells").mkdir(parents=True)
    Path("out/.lock").touch()
    Path("out/experiment.jsonabc.temporary").write_text("{")
    assert vbandits("run", *only, "--out", "out", "--workers", 1) == 0
    Path("out/experiment.json").unlink()
    assert vbandits("run", *only, "--out", "out", "--workers", 1) == 0
    Path("mine/cells").mkdir(parents=True)
    Path("mine/cells/neuron.parquet").write_text("precious")
    assert vbandits("run", *only, "--out", "mine") == 2
    assert Path("mine/cells/neuron.parquet").read_text() == "precious"


def test_overwrite_follows_no_link(here):
    only = ("--environments", "vbandits/LinearBandit-v0", "--agents", "uniform", "--seeds", 1)
    assert vbandits("run", *only, "--steps", 5, "--out", "out", "--workers", 1) == 0
    Path("out/cells").rename("big")
    Path("out/cells").symlink_to("../big")
    before = {path.name: path.read_bytes() for path in Path("big").iterdir()}
    assert vbandits("run", *only, "--steps", 4, "--out", "out", "--overwrite", "--workers", 1) == 0
    assert {path.name: path.read_bytes() for path in Path("big").iterdir()} == before
    assert not Path("out/cells").is_symlink()
    assert len([*Path("out/cells").glob("*.json")]) == 1
