"""What jobs on a GPU are given and keep, as far as it shows without one."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from vbandits import preset
from vbandits.benchmarks.bandits.run import job
from vbandits.cli import main
from vbandits.envs.spec import EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Benchmark, Keys, Outcome
from vbandits.experiment.devices import products
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
