"""`vbandits plan` tells what a run will take, and changes nothing."""

import math
import time
import tomllib
from pathlib import Path

import pytest

from tests.test_running import EXPERIMENT, written
from vbandits.api import execute
from vbandits.cli import main
from vbandits.errors import ConfigError
from vbandits.experiment import planning
from vbandits.experiment.benchmark import Outcome
from vbandits.experiment.planning import Cost, Missing, _Enough, _product, _scheduled, _Watch, plan
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store

WHEEL = {"name": "small", "seeds": 2, "steps": 20, "environments": ["vbandits/Wheel-v0"], "device": "cpu"}


def said(capsys, *arguments):
    """Returns the exit code of `vbandits plan`, and what it printed."""
    with pytest.raises(SystemExit) as exit_:
        main(["plan", *map(str, arguments)])
    return exit_.value.code, capsys.readouterr().out


@pytest.fixture
def clock(monkeypatch):
    """Has time pass only where it is said to."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    return now


def test_it_counts_what_is_missing_and_writes_nothing(tmp_path, monkeypatch, capsys):
    file = written(tmp_path, monkeypatch, EXPERIMENT)
    monkeypatch.setattr(planning, "SECONDS", 0.05)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    code, shown = said(capsys, file)
    assert code == 0
    assert "small: 6 jobs for 24 runs" in shown
    for part in ("time: about", "memory: about", "disk: about", "ibvi", "linear-ts", "uniform"):
        assert part in shown
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    part = {**tomllib.loads(EXPERIMENT), "seeds": 3, "agents": ["linear-ts"]}
    execute(resolve(part), Store("results/small"), command="", workers=1)
    there = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    # three seeds of two methods on two problems
    assert "6 jobs for 12 runs, one per seed, 12 runs need none" in said(capsys, file)[1]
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == there


def test_nothing_to_do_takes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    execute(resolve(WHEEL | {"agents": ["linear-ts"]}), Store("there"), command="", workers=1)
    options = ["--environments", "vbandits/Wheel-v0", "--agents", "linear-ts", "--seeds", "2", "--steps", "20"]
    code, shown = said(capsys, *options, "--out", "there")
    assert (code, "nothing to run" in shown, "time" in shown) == (0, True, False)


@pytest.mark.parametrize(
    "document",
    [
        {
            "problems": [{"kwargs": {"pool": "two_moons", "budget": 4, "rows": 50, "test_rows": 50}}],
            "learners": [{"id": "deterministic", "acquisition": ["random", "bald"], "training": {"full_steps": 5}}],
        },
        {"datasets": ["digits"], "methods": [{"id": "deterministic", "network": {"kind": "mlp"}}], "steps": 20},
    ],
    ids=["active", "supervised"],
)
def test_other_benchmarks_are_planned_alike(document, monkeypatch):
    monkeypatch.setattr(planning, "SECONDS", 0.05)
    experiment = resolve({"name": "it", "seeds": 2, "device": "cpu", **document})
    found = plan(Missing([*experiment.jobs()]), 2)
    assert not found.failed
    assert found.wall > 0
    assert found.memory > 50
    assert found.disk


def test_a_job_costs_its_beginning_and_its_later_steps(clock):
    watch = _Watch("cpu", planning.SECONDS)
    for step, when in ((1, 0.5), (2, 0.51), (3, 0.52), (4, 0.72), (6, 1.12)):
        clock[0] = when
        watch(step)
    clock[0] = 2.1
    with pytest.raises(_Enough):
        watch(8)
    assert watch.seconds(100, False) == pytest.approx(0.5 + (2.1 - 0.72) / 4 * 99)
    assert watch.seconds(100, True) == pytest.approx(2.1)


def test_evaluations_are_counted_by_doublings(clock):
    def evaluated_at(*times):
        clock[0] = 0.0
        watch = _Watch("cpu")
        for step in range(1, 41):
            clock[0] += 0.01 + (0.3 if step % 10 == 0 else 0.0)  # learning is of the steps, however rare
            with watch.evaluation():
                clock[0] += 0.5 if step in times else 0.0
            watch(step)
        return watch.seconds(1000, False)

    plain = 0.01 + (20 * 0.01 + 2 * 0.3) / 20 * 999
    assert evaluated_at() == pytest.approx(plain)
    assert evaluated_at(8, 16, 32) == pytest.approx(plain + 0.5 * math.log2(1000 / 20))


def test_one_step_and_none_are_told_apart(clock):
    watch = _Watch("cpu", planning.SECONDS)
    assert watch.seconds(10, False) is None
    clock[0] = 30.0
    with pytest.raises(_Enough):
        watch.beat()
    clock[0] = 31.0
    with pytest.raises(_Enough):
        watch(2)
    assert watch.seconds(10, False) == pytest.approx(155.0)


def test_the_longest_job_is_waited_for():
    assert _scheduled([1, 1, 1, 1], 2) == 2
    assert _scheduled([1, 1, 10], 2) == 11
    assert _scheduled([3], 4) == 3


def test_a_pair_that_was_not_seen_costs_what_its_halves_say():
    own = _product(Cost(6.0, 700.0), Cost(4.0, 600.0), Cost(2.0, 500.0))
    assert own == Cost(12.0, 800.0)
    assert _product(Cost(None, None), Cost(4.0, 600.0), Cost(2.0, 500.0)) is None


def test_all_seeds_and_jobs_count(monkeypatch):
    """Every job takes a second for each of its steps, however many its seeds are."""
    monkeypatch.setattr(planning, "_measured", lambda job, failed: Cost(float(job.steps), 100.0))
    monkeypatch.setattr(planning, "_size", lambda job: 1000.0)
    experiment = resolve(WHEEL | {"agents": ["ibvi", "linear-ts"], "seeds": 6, "block": 4})
    found = plan(Missing([*experiment.jobs()]), 2)
    # of a block of four and one of two seeds: three methods
    assert found.seconds == {"ibvi": 40.0, "linear-ts": 40.0, "uniform": 40.0}
    assert found.wall == 60.0
    assert (found.memory, found.disk) == (100.0, 18_000.0)


def test_finished_jobs_tell_their_cost(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "_measured", lambda job, failed: pytest.fail(f"{job.key} was measured"))
    monkeypatch.setattr(planning, "_size", lambda job: None)
    store = Store(tmp_path)
    execute(resolve(WHEEL | {"agents": ["linear-ts"]}), store, command="", workers=1)
    spent = {marker["agent"]: sum(marker["seconds"].values()) for marker in store.markers()}
    more = resolve(WHEEL | {"agents": ["linear-ts"], "seeds": [0, 1, 2, 3]})
    missing = planning.missing(more, store)
    assert (len(missing.jobs), missing.there) == (2, 4)
    assert plan(missing, 1).seconds == pytest.approx(spent)  # of as many seeds again
    assert planning.missing(more, store, overwrite=True) == Missing([*more.jobs()])  # another experiment goes
    same = resolve(WHEEL | {"agents": ["linear-ts"]})
    assert planning.missing(same, store, overwrite=True).jobs == []  # the same one stays
    half = [planning.missing(more, store, (part, 2)) for part in (1, 2)]
    assert [(len(one.jobs), one.there) for one in half] == [(1, 2), (1, 2)]


def test_a_method_that_takes_no_step_in_time_is_told_of(monkeypatch):
    monkeypatch.setattr(planning, "_measured", lambda job, failed: Cost(None, 100.0))
    monkeypatch.setattr(planning, "_size", lambda job: None)
    experiment = resolve(WHEEL | {"agents": ["linear-ts"]})
    found = plan(Missing([*experiment.jobs()]), 1)
    assert found.unknown == ("linear-ts", "uniform")
    assert "linear-ts took no step within 20 s, and is not counted" in [*planning.shown(found, experiment, Path())]


def test_a_pair_whose_halves_are_unknown_is_measured_itself(monkeypatch):
    def measured(job, failed):
        if (job.problem.label, job.method.label) == ("b", "linear-ts"):
            failed["b · linear-ts"] = "ValueError: [/x]"
            return Cost(None, None)
        return Cost({"ibvi": 3.0, "linear-ts": 2.0, "uniform": 1.0}[job.method.label], 100.0)

    monkeypatch.setattr(planning, "_measured", measured)
    monkeypatch.setattr(planning, "_size", lambda job: None)
    environments = [{"id": "vbandits/Wheel-v0", "label": name} for name in ("a", "b")]
    experiment = resolve(WHEEL | {"environments": environments, "agents": ["ibvi", "linear-ts"]})
    found = plan(Missing([*experiment.jobs()]), 1)
    assert found.seconds == {"ibvi": 6.0, "linear-ts": 2.0, "uniform": 2.0}
    assert (found.unknown, [*found.failed]) == ((), ["b · linear-ts"])
    assert r"b · linear-ts cannot begin: ValueError: \[/x]" in [*planning.shown(found, experiment, Path())]


@pytest.mark.parametrize(("costly", "taken"), [(10.0, 500.0), (1.5, 1.5 * 2)])
def test_every_method_is_measured_on_a_problem_that_is_costly(costly, taken, monkeypatch):
    """A method may take far more of it than what it takes of the first."""
    seconds = {
        ("a", "ibvi"): 1.0,
        ("a", "linear-ts"): 2.0,
        ("a", "uniform"): 0.1,
        ("b", "ibvi"): costly,
        ("b", "linear-ts"): 500.0,
        ("b", "uniform"): 0.1,
    }
    monkeypatch.setattr(
        planning, "_measured", lambda job, failed: Cost(seconds[job.problem.label, job.method.label], 100.0)
    )
    monkeypatch.setattr(planning, "_size", lambda job: None)
    environments = [{"id": "vbandits/Wheel-v0", "label": name} for name in ("a", "b")]
    experiment = resolve(WHEEL | {"environments": environments, "agents": ["ibvi", "linear-ts"]})
    assert plan(Missing([*experiment.jobs()]), 1).seconds["linear-ts"] == 2.0 + taken


def test_jobs_that_are_left_need_not_begin_with_what_is_typical(tmp_path, monkeypatch):
    """Of the first problem one method is left, of the second another block as well."""
    monkeypatch.setattr(planning, "_measured", lambda job, failed: Cost(1.0, 100.0))
    monkeypatch.setattr(planning, "_size", lambda job: None)
    store, environments = Store(tmp_path), [{"id": "vbandits/Wheel-v0", "label": name} for name in ("a", "b")]
    document = WHEEL | {"environments": environments, "agents": ["ibvi", "linear-ts"], "seeds": 4, "block": 2}
    part = WHEEL | {"environments": environments[:1], "agents": ["ibvi"], "seeds": 4, "block": 2}
    execute(resolve(part), store, command="", workers=1)
    missing = planning.missing(resolve(document), store)
    assert {(job.problem.label, job.method.label) for job in missing.jobs if job.problem.label == "a"} == {
        ("a", "linear-ts")
    }
    assert sum(plan(missing, 1).seconds.values()) > 6.0


def test_a_folder_of_something_else_is_refused_as_a_run_refuses_it(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="expected a results folder or an empty one"):
        planning.missing(resolve(WHEEL | {"agents": []}), Store(tmp_path))


def test_what_cannot_begin_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = planning.Job.run

    def broken(job, *args) -> Outcome:
        if job.method.label == "linear-ts":
            raise ValueError("no such luck")
        return run(job, *args)

    monkeypatch.setattr(planning.Job, "run", broken)
    options = ["--environments", "vbandits/Wheel-v0", "--agents", "linear-ts", "--seeds", "1", "--steps", "10"]
    code, shown = said(capsys, *options)
    assert code == 1
    assert "linear-ts cannot begin: ValueError: no such luck" in " ".join(shown.split())


def test_an_invalid_file_is_refused_before_anything_is_calibrated(tmp_path, monkeypatch, capsys):
    file = written(tmp_path, monkeypatch, EXPERIMENT.replace("steps = 60", "steps = -1"))
    monkeypatch.setattr(planning, "plan", lambda *args: pytest.fail("it was calibrated"))
    assert said(capsys, file)[0] == 2


def test_jobs_of_the_same_content_are_measured_once(monkeypatch):
    measured = []

    def counted(job, failed):
        measured.append((job.problem.label, job.method.label, len(job.seeds)))
        return Cost(1.0, 1.0)

    monkeypatch.setattr(planning, "_measured", counted)
    monkeypatch.setattr(planning, "_size", lambda job: None)
    environments = [{"id": "vbandits/Wheel-v0", "label": name} for name in ("a", "b", "c")]
    experiment = resolve(
        WHEEL | {"environments": environments, "agents": ["ibvi", "linear-ts"], "seeds": 3, "block": 2}
    )
    assert len(plan(Missing([*experiment.jobs()]), 1).jobs) == 18
    # of as many seeds three methods on the first problem, and two more problems
    assert len(measured) == len({*measured}) == 2 * 5
    assert [count for *_, count in measured].count(2) == 5
