"""What callbacks are told, when, and that nothing depends on them."""

import io
import json
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import vbandits
from tests import following
from tests.helpers import WHEEL, preset
from tests.test_running import vbandits as command
from vbandits import callbacks as ready
from vbandits.api import execute
from vbandits.benchmarks.bandits.run import job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment import observer
from vbandits.experiment.observer import Observer
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store
from vbandits.registry import CALLBACKS

AGENT = {"id": "linear-ts", "schedule": {"initial_pulls": 1}}
BANDITS = {"environments": [WHEEL], "agents": [AGENT], "seeds": 3, "steps": 20}
POOL = {
    "problems": [{"label": "moons", "kwargs": {"pool": "two_moons", "budget": 4}}],
    "learners": [{"id": "ibvi", "acquisition": "bald", "training": {"gradient_steps": 5, "full_steps": 5}}],
    "seeds": 2,
}
STREAM = {
    "problems": [
        {"id": "vbandits/StreamActiveLearning-v0", "label": "s", "kwargs": {"pool": "two_moons", "budget": 3}}
    ],
    "learners": [{"id": "ibvi", "acquisition": "bald", "training": {"gradient_steps": 5, "first": 2}}],
    "seeds": [4, 9],
}
CLASSES = {
    "datasets": [{"id": "digits", "kwargs": {"rows": 60, "validation_rows": 20, "test_rows": 30}}],
    "methods": [{"id": "ibvi", "network": {"kind": "mlp", "hidden": [8]}}],
    "seeds": 2,
    "steps": 120,
    "batch_size": 8,
}


def ran(folder, document, **how):
    """Returns what a run has left in a folder, and what it has printed."""
    console = Console(file=io.StringIO(), width=1000)
    how = {"workers": 1, "command": "test", "console": console} | how
    return execute(resolve({"name": "test", **document}), Store(folder), **how), console.file.getvalue()


def followed(document):
    history = following.History()
    return vbandits.run(**document, workers=1, callbacks=[history]), history


def test_a_decision_is_told_as_it_is_recorded():
    results, history = followed(BANDITS)
    assert [event.job.names["agent"] for event in history.steps] == ["linear-ts"] * 20 + ["uniform"] * 20
    assert [event.step for event in history.steps] == [*range(1, 21)] * 2
    for event in history.steps:
        at = results.records.query("agent == @event.job.names['agent'] and step == @event.step - 1")
        assert event.seeds == event.job.seeds == (0, 1, 2)
        for name in ("action", "reward", "regret", "cumulative_reward", "cumulative_regret"):
            assert event.values[name] == pytest.approx(at.sort_values("seed")[name].to_numpy(), rel=1e-12), name
        assert event.means()["regret"] == pytest.approx(at["regret"].mean())
        assert "action" not in event.means()


def test_learning_and_the_end_are_told_in_their_place():
    results, history = followed(BANDITS)
    assert history.order[-21:] == ["step"] * 20 + ["end"], "the uniform agent learns nothing"
    learned = [event.step for event in history.updates]
    assert learned == sorted(set(learned))
    assert 0 < len(learned) < 20
    before = [history.order[:place].count("step") for place, what in enumerate(history.order) if what == "update"]
    assert before == learned, "after its step, before the next"
    assert all(event.seconds > 0 and event.diverged.tolist() == [False] * 3 for event in history.updates)
    for end, marker in zip(history.ends, results.jobs, strict=True):
        assert end.marker["status"] == "done"
        assert end.marker["key"] == end.job.key == marker["key"]
        own = results.records.query("agent == @end.job.names['agent']").drop(columns=["environment", "agent"])
        pd.testing.assert_frame_equal(end.records, own.reset_index(drop=True), check_dtype=False)
        last = own[own["step"] == 19]["cumulative_regret"].mean()
        assert end.marker["last"]["cumulative_regret"] == pytest.approx(last)


def test_a_seed_that_is_played_twice_is_told_once():
    _, history = followed(BANDITS | {"seeds": [5]})
    assert {values.shape for event in history.steps for values in event.values.values()} == {(1,)}
    assert {event.diverged.shape for event in history.updates} == {(1,)}


def test_a_purchase_is_told_with_what_it_was_good_for():
    results, history = followed(POOL)
    assert [event.step for event in history.steps] == [1, 2, 3, 4]
    for event in history.steps:
        assert event.values["row"].shape == event.values["label"].shape == (2, 1)
        at = results.records.query("round == @event.step").sort_values("seed")
        assert event.values["evaluated"].tolist() == [event.step] * 2
        assert event.values["accuracy"].tolist() == at["accuracy"].tolist()
        assert event.values["labels"].tolist() == at["labels"].tolist()
    assert [event.step for event in history.updates] == [0, 1, 2, 3, 4]
    assert history.ends[0].marker["last"]["accuracy"] == pytest.approx(history.steps[-1].values["accuracy"].mean())


@pytest.mark.slow
def test_a_stream_is_told_seed_by_seed():
    results, history = followed(STREAM)
    seeds = [event.seeds for event in history.steps]
    assert set(seeds) == {(4,), (9,)}
    assert seeds == sorted(seeds), "one after another"
    steps = [event.step for event in history.steps]
    assert steps == sorted(set(steps))
    for seed in (4, 9):
        queried = sum(int(event.values["queried"][0]) for event in history.steps if event.seeds == (seed,))
        assert queried == results.records.query("seed == @seed")["labels"].max()


@pytest.mark.slow
def test_gradient_steps_are_told_as_they_are_taken():
    results, history = followed(CLASSES)
    assert [event.step for event in history.steps] == [event.step for event in history.updates] == [40, 80, 120]
    clean = results.records.query("corruption == 'none'")
    assert history.ends[0].marker["last"]["error"] == pytest.approx(clean["error"].mean())


@pytest.mark.slow
@pytest.mark.parametrize("document", [BANDITS, POOL, CLASSES], ids=["bandits", "pool", "supervised"])
def test_nothing_that_a_callback_does_changes_a_byte(document, tmp_path):
    plain, _ = ran(tmp_path / "plain", document)
    spoilt, said = ran(tmp_path / "spoilt", document | {"callbacks": [following.Vandal]})
    assert "failed" not in said, "it could do all that it tried"
    assert [marker["key"] for marker in plain.jobs] == [marker["key"] for marker in spoilt.jobs]
    for marker, other in zip(plain.jobs, spoilt.jobs, strict=True):
        assert marker["sha256"] == other["sha256"]
        assert marker["last"] == other["last"]
    fingerprints = [results.experiment["fingerprint"] for results in (plain, spoilt)]
    assert fingerprints[0] == fingerprints[1]


def test_nothing_is_copied_where_nobody_listens(tmp_path, monkeypatch):
    copies = []
    monkeypatch.setattr(observer, "copied", lambda values, seeds: copies.append(values) or {})
    monkeypatch.setattr(observer, "INTERVAL", 1e9)
    work = job(EnvironmentSpec("wheel", WHEEL), preset("linear-ts"), (0, 1), 30)
    work.run(Observer(work, tmp_path / "progress"))
    assert copies == []
    work.run(Observer(work, tmp_path / "progress", [following.Counts]))
    assert len(copies) == 30


def test_an_error_in_a_callback_is_told_once_and_the_job_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results, said = ran("out", BANDITS | {"callbacks": [following.Breaks]})
    assert [marker["status"] for marker in results.jobs] == ["done", "done"]
    assert said.count("no network") == 1, "of both jobs"
    line = 1 + Path(following.__file__).read_text().splitlines().index('            raise RuntimeError("no network")')
    assert f"tests.following:Breaks.on_step failed with RuntimeError: no network (following.py:{line}" in said
    assert Path("called").read_text() == "2", "its other methods are called"


def test_a_callback_that_cannot_be_made_is_told(tmp_path):
    class Unmade:
        def __init__(self, needed):
            pass

        on_step = __init__

    results, said = ran(tmp_path / "out", BANDITS | {"callbacks": [Unmade]})
    assert "Unmade failed with TypeError" in said
    assert all(marker["status"] == "done" for marker in results.jobs)


@pytest.mark.slow
def test_workers_have_an_instance_for_every_job_and_finished_jobs_tell_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = BANDITS | {"callbacks": ["tests.following:Counts"], "log": "run.jsonl", "block": 2}
    results, _ = ran("out", document, workers=2)
    counted = {path.stem: path.read_text() for path in Path().glob("*.counted")}
    assert counted == {marker["key"]: "20 done" for marker in results.jobs}
    assert len(counted) == 4
    lines = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    for key in counted:
        own = [line for line in lines if line["key"] == key]
        assert [line["step"] for line in own if line["event"] == "step"] == [*range(1, 21)]
        assert [line["event"] for line in own].index("job_end") == len(own) - 1
    ran("out", document, workers=2)
    assert len(Path("run.jsonl").read_text().splitlines()) == len(lines)


def test_a_failing_job_ends_too(tmp_path):
    history = following.History()
    broken = BANDITS | {"environments": ["tests.following:Stops"], "steps": 100, "callbacks": [history]}
    results, _ = ran(tmp_path / "out", broken)
    assert {marker["status"] for marker in results.jobs} == {"failed"}
    assert [end.marker["reason"] for end in history.ends] == [marker["reason"] for marker in results.jobs]
    assert all(end.records is None for end in history.ends)


@pytest.mark.slow
def test_the_log_is_thin_whole_and_of_one_schema(tmp_path):
    long = BANDITS | {"steps": 400, "callbacks": [{"kind": "log", "path": tmp_path / "log", "points": 10}]}
    results, _ = ran(tmp_path / "out", long)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    for marker in results.jobs:
        own = [line for line in lines if line["key"] == marker["key"]]
        steps = [line["step"] for line in own if line["event"] == "step"]
        assert steps == [*range(40, 401, 40)]
        assert sum(line["event"] == "update" for line in own) <= 11
        assert own[-1]["event"] == "job_end"
        assert own[-1]["last"] == marker["last"]
        assert own[-2]["mean"]["cumulative_regret"] == pytest.approx(marker["last"]["cumulative_regret"])
    common = {"schema", "event", "time", "key", "benchmark", "environment", "agent", "seeds", "steps"}
    assert all(common <= line.keys() and line["schema"] == 1 for line in lines)


def test_what_is_no_callback_is_refused_with_all_else(tmp_path):
    wrong = [
        "tests.following:NoMethods",
        "tests.following:Histry",
        "tensorbord",
        {"kind": "log", "path": str(tmp_path / "nowhere" / "log")},
        {"kind": "tensorboard", "folders": "x"},
    ]
    with pytest.raises(ConfigError) as error:
        resolve({"name": "test", **BANDITS, "callbacks": wrong, "agents": ["linear-tz"]})
    told = "\n".join(error.value.errors)
    for place in range(5):
        assert f"callbacks[{place}]" in told
    for hint in (
        "did you mean 'History'",
        "did you mean 'tensorboard'",
        "on_job_end",
        "folder that exists",
        "linear-ts",
    ):
        assert hint in told
    with pytest.raises(ConfigError, match="expected a list"):
        resolve({"name": "test", **BANDITS, "callbacks": "tensorboard"})


@pytest.mark.slow
def test_what_cannot_go_to_workers_is_refused_and_copies_are_noted(tmp_path):
    history = following.History()
    _, said = ran(tmp_path / "out", BANDITS | {"callbacks": [history]}, workers=2)
    assert "tests.following:History: 2 worker processes have copies" in said
    assert history.order == []
    history.lock = threading.Lock()
    with pytest.raises(ConfigError, match="History: expected what can be sent to 2 worker processes"):
        ran(tmp_path / "other", BANDITS | {"callbacks": [history]}, workers=2)


def test_a_file_and_the_command_line_name_callbacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    writes = 'with open("said", "a") as file:\n        file.write(f"{event.step} ")\n'
    Path("mine.py").write_text(f"def said(event):\n    {writes}")
    Path("it.toml").write_text(
        f'name = "it"\nseeds = 1\nsteps = 3\ncallbacks = ["tests.following:Counts"]\n[[environments]]\nid = "{WHEEL}"\n'
        '[[agents]]\nid = "uniform"\n'
    )
    given = ("--callback", "mine:said", "--log", "run.jsonl")
    assert command("run", "it.toml", "--workers", 1, *given) == 0
    assert len(list(Path().glob("*.counted"))) == 1
    assert Path("said").read_text() == "1 2 3 "
    assert Path("run.jsonl").read_text().count('"event": "step"') == 3
    assert command("run", "it.toml", "--workers", 1) == 0, "the same experiment, which is finished"
    assert Path("said").read_text() == "1 2 3 "


class Recorder(ModuleType):
    """A module that notes every call of its functions, and of the objects that they return."""

    def __init__(self, name, calls):
        super().__init__(name)
        self._calls = calls

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def noted(*args, **kwargs):
            self._calls.append((name, args, kwargs))
            return self

        return noted


MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
SENDS = {"tensorboard": "add_scalar", "wandb": "log", "mlflow": "log_metrics", "trackio": "log"}
ENDS = {
    "tensorboard": ("close", (), {}),
    "wandb": ("finish", (), {"exit_code": 0}),
    "mlflow": ("end_run", ("FINISHED",), {}),
    "trackio": ("finish", (), {}),
}
KINDS = {"tensorboard": "TensorBoard", "wandb": "WandB", "mlflow": "MLflow", "trackio": "Trackio"}
BEGINS = {"tensorboard": "SummaryWriter", "wandb": "init", "mlflow": "start_run", "trackio": "init"}


@pytest.mark.parametrize("name", MODULES)
def test_an_adapter_sends_a_run_for_every_job(name, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, MODULES[name], Recorder(name, calls))
    monkeypatch.chdir(tmp_path)
    results, said = ran("out", BANDITS | {"callbacks": [name]})
    assert "failed" not in said
    assert [called for called, *_ in calls].count(BEGINS[name]) == 2
    assert [call for call in calls if call[0] == ENDS[name][0]] == [ENDS[name]] * 2
    last = [marker["last"]["cumulative_regret"] for marker in results.jobs]
    if name == "tensorboard":
        sent = [args for called, args, _ in calls if called == "add_scalar" and args[0] == "cumulative_regret"]
        assert [args[2] for args in sent] == [*range(1, 21)] * 2
        assert [args[1] for args in sent if args[2] == 20] == last
        folders = [args[0] for called, args, _ in calls if called == "SummaryWriter"]
        assert folders == [str(tmp_path / "runs" / marker["key"]) for marker in results.jobs]
    else:
        sent = [(args[0], kwargs["step"]) for called, args, kwargs in calls if called == SENDS[name]]
        assert [step for _, step in sent] == [*range(1, 21)] * 2
        assert [values["cumulative_regret"] for values, step in sent if step == 20] == last
        begun = [kwargs for called, _, kwargs in calls if called == BEGINS[name]]
        label = begun[0]["run_name" if name == "mlflow" else "name"]
        assert label == "Wheel-v0 · linear-ts · seeds 0-2"


def test_an_adapter_sends_what_is_known_at_the_end_alone(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "wandb", Recorder("wandb", calls))
    results, _ = ran(tmp_path / "out", CLASSES | {"callbacks": [ready.WandB(project="mine")]})
    sent = [(args[0], kwargs["step"]) for called, args, kwargs in calls if called == "log"]
    assert sent == [(results.jobs[0]["last"], 120)]
    assert calls[0][2]["project"] == "mine"


@pytest.mark.parametrize("name", MODULES)
def test_a_package_that_is_missing_is_named_before_the_run(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    given = {"callbacks": [name, {"kind": name, "points": 3}, getattr(ready, KINDS[name])()]}
    with pytest.raises(ConfigError) as refused:
        ran(tmp_path / "out", BANDITS | given)
    for place, error in enumerate(refused.value.errors):
        assert error.startswith(f"callbacks[{place}]: {KINDS[name]} needs the package {name}: pip install {name} (")
    assert len(refused.value.errors) == 3
    assert not (tmp_path / "out").exists()


def test_every_callback_that_has_a_name_is_one():
    for place in CALLBACKS.values():
        assert place.partition(":")[2] in ready.__all__


def test_values_that_are_not_finite_have_no_mean():
    values = {"a": np.array([1.0, np.nan]), "b": np.array([1.0, 2.0]), "c": np.array([[1.0]]), "d": np.array([1, 2])}
    event = ready.Step(ready.JobInfo("k", "bandits", {}, (0, 1), 1, "cpu"), 1, (0, 1), values)
    assert event.means() == {"b": 1.5}


@pytest.mark.parametrize(
    ("names", "lacks"),
    [
        ({"package": "no_such_package"}, "Own needs the package no_such_package: pip install no_such_package"),
        ({"package": "no-such-package", "module": "no.such"}, "Own needs the package no-such-package: pip install"),
        ({"package": "json"}, ""),
        ({}, ""),
    ],
)
def test_a_tracker_of_ones_own_says_what_it_needs(names, lacks):
    own = type("Own", (ready.Tracker,), names)
    given = {"name": "test", **BANDITS, "callbacks": [own]}
    if lacks:
        with pytest.raises(ConfigError, match=rf"callbacks\[0\]: {lacks}"):
            resolve(given)
    else:
        assert resolve(given).callbacks
