"""Jobs for which the memory of a GPU does not suffice: in parts of their seeds they leave what they would have left."""

import importlib
import json
import re
import signal
import weakref
from pathlib import Path

import pandas as pd
import pytest
import torch

import vbandits
from tests.following import History
from tests.test_callbacks import BANDITS, CLASSES, POOL, STREAM, ran
from vbandits.experiment import engine, observer, planning, resources
from vbandits.experiment.benchmark import Outcome, Progress
from vbandits.experiment.parts import Ran, together
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store
from vbandits.report.formats import count

SHORT = {"problems": [STREAM["problems"][0] | {"kwargs": {"pool": "two_moons", "budget": 2, "rows": 12}}]}
PROBLEMS = {"bandits": BANDITS, "pool": POOL, "stream": STREAM | SHORT, "supervised": CLASSES | {"steps": 4}}
RUN = {
    name: importlib.import_module(f"vbandits.benchmarks.{kind}.run")
    for name, kind in {"bandits": "bandits", "pool": "active", "stream": "active", "supervised": "supervised"}.items()
}
KINDS = ["bandits", "pool", "stream", pytest.param("supervised", marks=pytest.mark.slow)]
SEEDS = [4, 9, 0, 7, 2]


class Full(Progress):
    """Ends a job at its first step, as a GPU does whose memory is full."""

    def __init__(self, heard, error):
        self._heard, self._error = heard, error

    def __call__(self, step, values=dict, seeds=None):
        self._heard(step, values, seeds)
        raise self._error

    def update(self, step, diverged):
        return self._heard.update(step, diverged)


def full(seeds):
    return torch.OutOfMemoryError(f"CUDA out of memory with {count(seeds, 'seed')}")


def limited(monkeypatch, module, most, error=full):
    """Gives jobs memory for so many seeds at most, and returns the seeds of every attempt."""
    before, tried = module.run_job, []

    def run_job(job, progress, *more):
        tried.append(job.seeds)
        return before(job, Full(progress, error(len(job.seeds))) if len(job.seeds) > most else progress, *more)

    monkeypatch.setattr(module, "run_job", run_job)
    return tried


def markers(folder):
    return {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder, "cells").glob("*.json"))}


def assert_same(found, expected):
    """The tables of two runs are the same, and so is what their markers say of seeds."""
    pd.testing.assert_frame_equal(found.records[[*expected.records]], expected.records, check_exact=True)
    for place in expected.held_out:
        pd.testing.assert_frame_equal(found.held_out[place], expected.held_out[place], check_exact=True)
    for ours, own in zip(found.jobs, expected.jobs, strict=True):
        for name in ("key", "seeds", "diverged", "failures", "steps", "status"):
            assert ours[name] == own[name]
        assert ours["seconds"].keys() == own["seconds"].keys()
        if found.experiment.get("problems", [{}])[0].get("label") != "s":  # of a stream, what the last seed has told
            assert ours["last"] == pytest.approx(own["last"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_in_parts_leaves_what_the_whole_would_have_left(kind, tmp_path, monkeypatch):
    document = PROBLEMS[kind] | {"seeds": SEEDS}
    whole, _ = ran(tmp_path / "whole", document)
    tried = limited(monkeypatch, RUN[kind], 2)
    found, _ = ran(tmp_path / "parts", document)
    assert_same(found, whole)
    jobs = len(whole.jobs)
    assert tried == [(4, 9, 0, 7, 2), (4, 9, 0), (4, 9), (0, 7), (2,)] * jobs
    assert [own["parts"] for own in markers(tmp_path / "parts").values()] == [3] * jobs
    assert not [name for own in markers(tmp_path / "whole").values() for name in own if name == "parts"]
    told = ran(tmp_path / "parts", document)[1]
    assert "none is computed again" in told
    assert len(tried) == 5 * jobs


@pytest.mark.parametrize("kind", KINDS)
def test_the_progress_of_a_job_in_parts_counts_the_steps_of_all_seeds(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(observer, "INTERVAL", 0)
    limited(monkeypatch, RUN[kind], 2)
    states, write = [], Path.write_text

    def write_text(path, text, **how):
        if path.suffix == ".progress":
            states.append(json.loads(text))
        return write(path, text, **how)

    monkeypatch.setattr(Path, "write_text", write_text)
    history = History()
    results, _ = ran(tmp_path, PROBLEMS[kind] | {"seeds": SEEDS, "callbacks": [history]})
    key = results.jobs[0]["key"]
    steps = [own["step"] for own in states if own["key"] == key]
    first, second, *counted = steps  # of attempts that failed
    assert counted == sorted(counted)
    assert first <= counted[-1]
    assert second <= counted[-1]
    assert counted[-1] == states[0]["steps"] == results.jobs[0]["steps"]
    assert {tuple(own["seeds"]) for own in states} == {tuple(SEEDS)}
    heard = [own for own in history.steps if own.job.key == key]
    failed = 2 if kind == "stream" else sum(len(own.seeds) > 2 for own in heard)  # of attempts
    parts = heard[failed:]
    told = [own.step for own in parts]
    assert told == sorted(set(told)), "callbacks are told of rising steps"
    assert told[-1] == heard[0].job.steps
    later = [*dict.fromkeys(seed for own in parts for seed in own.seeds)]
    assert later == SEEDS
    assert all(len(values) == len(own.seeds) for own in heard for values in own.values.values())
    assert len(history.ends) == len(results.jobs)


def test_a_run_that_is_stopped_goes_on_within_a_part(tmp_path, monkeypatch):
    document = BANDITS | {"seeds": SEEDS, "checkpoint": 0}
    whole, _ = ran(tmp_path / "whole", document)
    limited(monkeypatch, RUN["bandits"], 2)
    before = observer.Observer.__call__

    def stopped(self, step, *told):
        if self._part.seeds == (0, 7) and step == 12:
            raise KeyboardInterrupt
        before(self, step, *told)

    with monkeypatch.context() as patch:
        patch.setattr(observer.Observer, "__call__", stopped)
        patch.setattr(engine.signal, "getsignal", lambda _: signal.default_int_handler)  # as where Ctrl-C is heard
        with pytest.raises(KeyboardInterrupt):
            ran(tmp_path / "parts", document)
    cells = tmp_path / "parts" / "cells"
    assert len([*cells.glob("*.seeds-4-9.checkpoint.safetensors")]) == 1
    assert len([*cells.glob("*.seeds-0-7.checkpoint.safetensors")]) == 1
    found, _ = ran(tmp_path / "parts", document)
    assert not [*cells.glob("*checkpoint*")]
    assert_same(found, whole)
    notes = [note for own in markers(tmp_path / "parts").values() for note in own["notes"]]
    split = "its seeds did not fit into the memory together: it was run in 3 parts"
    assert [note for note in notes if note != split] == [
        f"went on from a checkpoint after {step} steps" for step in (19, 11)
    ]
    assert notes.count(split) == len(found.jobs)


def test_agents_of_a_job_in_parts_are_kept(tmp_path, monkeypatch):
    how = {"seeds": SEEDS, "save": True}
    ran(tmp_path / "whole", BANDITS | how)
    limited(monkeypatch, RUN["bandits"], 2)
    ran(tmp_path / "parts", BANDITS | how)
    ran(tmp_path / "more", BANDITS | how | {"seeds": [1]})
    vbandits.merge(tmp_path / "parts", tmp_path / "more", out=tmp_path / "all")
    context = torch.randn(2).numpy()
    for seed in SEEDS:
        agents = [
            vbandits.load_agent(tmp_path / name, agent="linear-ts", seed=seed) for name in ("whole", "parts", "all")
        ]
        assert {agent.seeds for agent in agents} == {(seed,)}
        expected, *others = [agent.predict(context).mean.tolist() for agent in agents]
        assert others == [expected, expected]
    names = sorted(path.name for path in (tmp_path / "parts" / "agents").glob("*linear-ts*"))
    endings = [re.sub(r".*--[0-9a-f]{10}", "", name) for name in names]
    assert endings == sorted(f"{part}.{kind}" for part in ("", ".part2", ".part3") for kind in ("json", "safetensors"))
    monkeypatch.undo()
    for table in (tmp_path / "parts" / "cells").glob("*.parquet"):
        table.write_bytes(b"damaged")
    ran(tmp_path / "parts", BANDITS | how)
    assert not [*(tmp_path / "parts" / "agents").glob("*.part*")], "the whole is in the place of the parts"
    assert vbandits.load_agent(tmp_path / "parts", agent="linear-ts", seed="all").seeds == tuple(SEEDS)


def test_what_an_attempt_has_held_is_free_when_the_next_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "PAUSE", 0)  # as on a GPU, all objects are looked through each time
    held = []

    def run_job(job, progress, *_):
        assert [own() for own in held] == [None] * len(held)
        model = torch.nn.Linear(2, 2)
        model.itself = [model]
        held.append(weakref.ref(model))
        progress(1, lambda: {"reward": model.weight})
        raise full(len(job.seeds))

    monkeypatch.setattr(RUN["bandits"], "run_job", run_job)
    results, _ = ran(tmp_path, BANDITS | {"agents": ["linear-ts"], "seeds": SEEDS})
    assert "CUDA out of memory with 1 seed" in results.jobs[0]["reason"]
    assert len(held) == 4 * len(results.jobs)


def test_where_not_even_one_seed_fits_the_job_fails(tmp_path, monkeypatch):
    tried = limited(monkeypatch, RUN["bandits"], 0)
    results, _ = ran(tmp_path, BANDITS | {"agents": ["linear-ts"]})
    assert {own["status"] for own in results.jobs} == {"failed"}
    assert "CUDA out of memory with 1 seed" in results.jobs[0]["reason"]
    assert tried[:3] == [(0, 1, 2), (0, 1), (0,)]
    assert {path.suffix for path in (tmp_path / "cells").iterdir()} == {".json"}


def test_other_errors_are_not_tried_again(tmp_path, monkeypatch):
    tried = limited(monkeypatch, RUN["bandits"], 2, lambda seeds: RuntimeError("CUDA error: an illegal address"))
    results, _ = ran(tmp_path, BANDITS)
    assert {own["status"] for own in results.jobs} == {"failed"}
    assert tried == [(0, 1, 2)] * 2


def test_what_comes_of_a_full_memory_is_known():
    error, other = RuntimeError("while a graph is recorded"), RuntimeError("another")
    error.__context__ = full(1)
    assert resources.exhausted(full(1))
    assert resources.exhausted(error)
    assert not resources.exhausted(other)
    other.__cause__ = other
    assert not resources.exhausted(other), "an error may be its own cause"


def test_what_parts_took_is_summed_by_purpose():
    parts = [Ran(1, Outcome(pd.DataFrame(), (), own), 1.0, {}) for own in ({"agent": 1.0}, {"agent": 2.0, "own": 3.0})]
    assert together(parts).outcome.seconds == {"agent": 3.0, "own": 3.0}


def test_a_plan_counts_on_parts(tmp_path, monkeypatch):
    experiment = resolve({"name": "x", **BANDITS, "seeds": SEEDS, "device": "cpu"})
    missing = planning.missing(experiment, Store(tmp_path / "out"))
    tried = limited(monkeypatch, RUN["bandits"], 2)
    found = planning.plan(missing, 1)
    assert not found.failed
    assert min(found.seconds.values()) > 0
    assert tried[:3] == [(4, 9, 0, 7, 2), (4, 9, 0), (4, 9)]
    monkeypatch.setattr(planning._Watch, "seconds", lambda *_: 6.0)
    again = planning.plan(missing, 1)
    assert {*again.seconds.values()} == {6.0 / 2 * 5}, "two seeds take six seconds, five take more"
