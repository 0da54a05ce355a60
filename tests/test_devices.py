"""What jobs on a GPU are given and keep, as far as it shows without one."""

import os
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.test_engines import DASK
from vbandits import preset
from vbandits.api import workers_for
from vbandits.benchmarks.bandits.run import job
from vbandits.cli import main
from vbandits.envs.spec import EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment import engines, planning
from vbandits.experiment.benchmark import Benchmark, Keys, Outcome
from vbandits.experiment.devices import VISIBLE, one_gpu, products
from vbandits.experiment.engines.local import Processes
from vbandits.experiment.machine import machine
from vbandits.experiment.made import facts_of
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store

DOCUMENT = {"name": "small", "seeds": 2, "steps": 20, "environments": ["vbandits/Wheel-v0"], "agents": ["linear-ts"]}


def switches():
    """Returns how torch makes products, and whether convolutions take TF32."""
    return torch.get_float32_matmul_precision(), str(torch.backends.cudnn.allow_tf32)


def run_switches(job, progress):
    """Runs a job that leaves no more than how it makes products."""
    return Outcome(pd.DataFrame(), (), {}, notes=switches())


@pytest.fixture
def gpu(monkeypatch):
    """Has resolving believe that there is a GPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)


def one(device, precision):
    spec = EnvironmentSpec("wheel", "vbandits/Wheel-v0")
    made = replace(job(spec, preset("linear-ts"), range(2), 5, device=device), precision=precision)
    return replace(made, benchmark=Benchmark("x", ("a", "b"), "", "tests.test_devices:run_switches", "", "", "", ""))


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("highest", ("highest", "False")), ("high", ("high", "True")), ("medium", ("medium", "True"))],
)
def test_a_job_on_a_gpu_has_its_precision_and_the_process_its_own(precision, expected):
    before = switches()
    assert one("cuda", precision).run().notes == expected
    assert switches() == before
    with pytest.raises(KeyError), products("cuda", precision):
        raise KeyError
    assert switches() == before


def test_a_job_on_a_cpu_leaves_products_as_they_are():
    assert one("cpu", "medium").run().notes == switches()


def test_the_full_precision_leaves_keys_as_they_were_and_another_has_its_own():
    problems, methods = [{"label": "a"}], [{"label": "b"}]
    keys = [Keys(problems, methods, [5], "cuda", *more).of("a", "b", [0, 1]) for more in ((), ("highest",), ("high",))]
    assert keys[0] == keys[1] == "a--b--0-1--d3a024c30c"
    assert keys[2] != keys[0]


def test_the_experiment_tells_a_precision_that_is_not_the_full_one(gpu):
    plain, high = (resolve(DOCUMENT | more) for more in ({}, {"precision": "high"}))
    assert "precision" not in plain.document()
    assert high.document()["precision"] == "high"
    for experiment in (plain, high):
        work = next(iter(experiment.jobs()))
        document = experiment.document()
        assert Keys.read(document).of(work.problem.label, work.method.label, work.seeds) == work.key
    assert {work.precision for work in high.jobs()} == {"high"}
    assert resolve(DOCUMENT, ["precision=medium"]).precision == "medium"


def test_on_a_cpu_a_file_with_a_precision_runs_in_full_and_says_so(tmp_path, capsys):
    experiment = resolve(DOCUMENT | {"device": "cpu", "precision": "high"})
    assert experiment.document() == resolve(DOCUMENT | {"device": "cpu"}).document()
    assert any(note.startswith("precision: 'high' is for products on a GPU") for note in experiment.notes)
    options = ["--environments", "vbandits/Wheel-v0", "--agents", "uniform", "--seeds", "2", "--steps", "5"]
    with pytest.raises(SystemExit):
        main(["run", *options, "--device", "cpu", "--precision", "high", "--out", str(tmp_path)])
    assert "precision: 'high' is for products on a GPU" in capsys.readouterr().err
    results = Store(tmp_path).load()
    assert "Precision" not in dict(facts_of(results, {}))
    there = replace(results, experiment=results.experiment | {"device": "cuda"})
    assert dict(facts_of(there, {}))["Precision"] == "highest"


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="precision: expected 'highest', 'high' or 'medium', got 'low'"):
        resolve(DOCUMENT | {"precision": "low"})


@pytest.fixture
def gpus(gpu, monkeypatch):
    """Has everybody believe that there are two GPUs."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv(VISIBLE, raising=False)


def test_workers_see_one_gpu_each_and_take_turns(gpus, monkeypatch):
    assert [one_gpu(worker, "cuda") for worker in range(3)] == [{VISIBLE: "0"}, {VISIBLE: "1"}, {VISIBLE: "0"}]
    monkeypatch.setenv(VISIBLE, "3, GPU-8932f937,1")  # torch sees two of them, the first ones
    assert [one_gpu(worker, "cuda")[VISIBLE] for worker in range(3)] == ["3", "GPU-8932f937", "3"]
    assert one_gpu(1, "cpu") == {}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert one_gpu(1, "cuda") == {}


def test_there_is_a_worker_for_every_gpu(gpus, monkeypatch):
    experiment = resolve(DOCUMENT)
    assert experiment.device == "cuda"
    assert workers_for(experiment, 9, None) == 2
    assert workers_for(experiment, 1, None) == 1
    assert workers_for(experiment, 9, 5) == 5
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert workers_for(experiment, 9, None) == 1


def seen(file=None):
    """What a process is to do: a function of the standard library, and what tells which GPU it sees, once a file is
    there."""
    waits = f"while [ ! -e {file} ]; do sleep 0.01; done; " if file else ""
    return subprocess.getoutput, f"{waits}echo ${VISIBLE}"


def test_processes_have_a_gpu_each_and_one_that_takes_the_place_of_another_has_its_gpu(gpus, tmp_path):
    with closing(Processes("cuda")) as processes:
        begun = [processes.submit(*seen(tmp_path / "first")) for _ in range(3)]
        (tmp_path / "first").touch()
        assert [own.result(timeout=60) for own in begun] == ["0", "1", "0"]
        kept = processes.submit(*seen(tmp_path / "last"))
        with pytest.raises(Exception, match="terminated"):
            processes.submit(os._exit, 3).result(timeout=60)
        also = processes.submit(*seen(tmp_path / "last"))
        assert processes.submit(*seen()).result(timeout=60) == "1", "the GPU of the one that has died"
        (tmp_path / "last").touch()
        assert [own.result(timeout=60) for own in (kept, also)] == ["0", "0"]


@pytest.mark.parametrize("name", ["local", pytest.param("dask", marks=[DASK, pytest.mark.slow])])
def test_jobs_of_an_engine_are_on_different_gpus(gpus, name, tmp_path):
    with engines.opened(name, 2, None, "cuda") as engine:
        found = [engine.submit(*seen(tmp_path / f"{name}{number}")) for number in range(2)]
        for number in range(2):
            (tmp_path / f"{name}{number}").touch()
        assert {own.result(timeout=60) for own in found} == {"0", "1"}
    with engines.opened(name, 2, None, "cpu") as engine:
        assert engine.submit(*seen()).result(timeout=60) == ""


def test_a_plan_tells_the_memory_of_one_gpu(gpus):
    experiment = resolve(DOCUMENT)
    jobs = [*experiment.jobs()]

    def told(workers):
        lines = planning.shown(planning.Plan(jobs, workers, memory=2048.0), experiment, Path("out"))
        return next(line for line in lines if str(line).startswith("memory"))

    assert told(1) == "memory: about 2,048 MB for the largest job"
    assert told(2) == "memory: about 2,048 MB for the largest job on each of 2 GPUs"
    assert told(3) == "memory: about 2,048 MB for the largest job, 4.0 GB with 2 workers on each of 2 GPUs"


def test_the_machine_tells_how_many_gpus_there_are(gpus, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Card")
    assert machine()["gpu"] == "2 x Card"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert machine()["gpu"] == "Card"
