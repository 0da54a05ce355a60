"""Malformed experiment files and command lines: exit code 2 and a message, or an experiment that can run."""

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import fuzzing
from tests.attempts import attempt, surroundings
from tests.fuzzing import FILE, LINEAR, WHOLE, Case, toml
from tests.test_running import vbandits
from vbandits.experiment import sweeps
from vbandits.experiment.resolve import resolve

EXAMPLES = settings(
    deadline=None, database=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=[*HealthCheck]
)


@pytest.fixture
def folder():
    with surroundings() as found:
        yield found


def fuzz(folder, number, examples):
    """Tries so many cases, and returns how many could run."""
    able = []
    fuzzing.parts()  # imports, which draw random numbers, are no part of an example

    @seed(number)
    @settings(EXAMPLES, max_examples=examples)
    @given(fuzzing.cases)
    def check(case):
        wrong, code = attempt(case, folder)
        assert not wrong, wrong
        able.append(code == 0)

    check()
    return sum(able)


@pytest.mark.slow
def test_a_hundred_cases_are_refused_or_can_run(folder):
    assert 2 <= fuzz(folder, 0, 100) <= 90


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 5))
def test_two_thousand_cases_are_refused_or_can_run(folder, number):
    assert fuzz(folder, number, 500) > 10


@pytest.mark.parametrize("document", WHOLE[:2])
def test_the_first_of_them_run(tmp_path, monkeypatch, document):
    monkeypatch.chdir(tmp_path)
    Path(FILE).write_text(toml(document))
    assert vbandits("run", FILE, "--workers", 1) == 0
    assert Path("results/e/report/index.html").is_file()


# What was found, each kind once.


def refusal(folder, capsys, document, *arguments):
    """Returns what is said of a case that is refused."""
    Path(FILE).write_text(toml(document))
    assert vbandits(*(arguments or ("run", FILE))) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("folders", [(), ("one",)])
def test_a_comparison_of_nothing_is_refused(folder, capsys, folders):
    assert not attempt(Case(b"", ("compare", *folders)), folder)[0]
    if not folders:
        assert "expected at least two results folders, got none" in refusal(folder, capsys, {}, "compare")


@pytest.mark.slow
def test_a_thousand_faults_are_not_all_told(folder, capsys):
    rules = [{"kind": f"rule{number}"} for number in range(1000)]
    said = refusal(folder, capsys, {**WHOLE[0], "agents": [{"id": "ibvi", "rule": rules}]})
    assert "and 960 more of these" in said
    assert said.count("error:") == 41


@pytest.mark.parametrize(
    "agents",
    [
        [*range(200_000)],
        [{"id": "ibvi", "posterior": {"rank": [*range(1, 200_000)]}}],
        [{"id": "ibvi", "posterior": {"rank": [*range(1, 300)], "prior_scale": [1.0 + i for i in range(300)]}}],
        [{"id": "ibvi", "posterior": {"rank": [*range(1, 300)]}, "schedule": {"every": [*range(1, 300)]}}],
    ],
)
def test_sweeps_that_make_too_many_are_refused_at_once(folder, capsys, agents):
    assert math.prod((299, 299)) > sweeps.MOST
    said = refusal(folder, capsys, {**WHOLE[0], "agents": agents})
    assert "expected lists that make at most 10,000 together, got lists that make" in said


def test_more_settings_than_can_be_tried_are_refused(folder, capsys):
    search = {f"network.hidden.{place}": [*range(100)] for place in range(5)}
    document = {**WHOLE[0], "environments": [LINEAR], "settings": 10**9, "agents": [{"id": "ibvi", "search": search}]}
    assert "at most 10,000, got 1000000000" in refusal(folder, capsys, document, "tune", FILE)


@pytest.mark.parametrize(
    "document",
    [
        {**WHOLE[0], "agents": [{"id": "ibvi", "schedule": {"gradient_steps": 2**53, "every": 1, "batch_size": 1}}]},
        {**WHOLE[3], "learners": [{**WHOLE[3]["learners"][0], "training": {"gradient_steps": 2**53}}]},
        {
            **WHOLE[3],
            "learners": [{**WHOLE[3]["learners"][0], "acquisition": {"kind": "vote_entropy", "draws": 2**53}}],
        },
        {
            **WHOLE[3],
            "problems": [{"kwargs": {**WHOLE[3]["problems"][0]["kwargs"], "batch": 2}}],
            "learners": [
                {**WHOLE[3]["learners"][0], "acquisition": {"kind": "batch_bald", "samples": 2**53, "exact": 1}}
            ],
        },
        {
            **WHOLE[6],
            "logs": [{"id": "log.csv", "kwargs": {"action": "action", "reward": "reward"}}],
            "policies": [{"id": "ibvi", "schedule": {"gradient_steps": 2**53}}],
        },
    ],
)
def test_a_check_takes_no_longer_where_a_run_would(folder, document):
    resolve(document)


@pytest.mark.parametrize("place", range(7))
def test_what_the_grammar_begins_with_can_run(folder, place):
    document = WHOLE[place]
    arguments = ("tune" if "settings" in document else "run", FILE)
    assert attempt(Case(toml(document).encode(), arguments), folder) == ("", 0)


@pytest.mark.parametrize("option", ["--environments", "--agents", "--name", "--set", "--engine", "--out", "--seeds"])
@pytest.mark.parametrize("file", [(), (FILE,)])
def test_a_command_line_need_not_be_utf_8(folder, option, file):
    for word in ("\udce9", "\udce9" * 300):
        wrong, code = attempt(Case(toml(WHOLE[0]).encode(), ("run", *file, option, word)), folder)
        assert not wrong
        assert code == (0 if option == "--out" and file and len(word) == 1 else 2)
