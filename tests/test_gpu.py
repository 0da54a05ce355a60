"""What holds on a GPU; most is skipped where there is none."""

import json
import runpy
import time
from pathlib import Path

import pytest
import torch

import vbandits
from tests.registries import over
from vbandits.agents.agent import AgentSpec
from vbandits.agents.rules import Thompson
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment import engines
from vbandits.experiment.devices import products
from vbandits.graphs import Replayed
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.dropout import Dropout
from vbandits.posteriors.elbo import ELBO
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.presets import PRESETS
from vbandits.training import Parameters
from vbandits.types import Optimizer, Schedule

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@on_gpu
@over("preset", PRESETS, quick=[*PRESETS])
def test_every_preset_runs(preset):
    found = vbandits.run("vbandits/Wheel-v0", preset, seeds=8, steps=40, device="cuda", workers=1)
    assert {one["status"] for one in found.jobs} == {"done"}
    assert found.summary()["failures"].sum() == 0


@on_gpu
@pytest.mark.parametrize("anchor", [0.0, 0.1])
@pytest.mark.parametrize(
    "posterior", [Deterministic(), IBVI(), Ensemble(3), Dropout(), ELBO()], ids=lambda one: type(one).__name__
)
def test_steps_that_are_replayed_are_those_that_are_not(posterior, anchor, monkeypatch):
    schedule, optimizer = Schedule(every=1, gradient_steps=2), Optimizer(anchor=anchor)
    spec = AgentSpec("one", posterior, Thompson(), schedule=schedule, optimizer=optimizer)
    work = job(EnvironmentSpec("wheel", "vbandits/Wheel-v0"), spec, range(16), 60, device="cuda")
    replayed = []
    monkeypatch.setattr(
        Replayed, "_record", lambda self, *inputs, before=Replayed._record: replayed.append(before(self, *inputs))
    )
    ours = run_job(work).records
    assert replayed
    monkeypatch.setattr(
        Parameters,
        "step",
        lambda self, gradient, optimizer, batch, *more, pull: self.descend(gradient(batch, *more), optimizer, pull),
    )
    plain = run_job(work).records
    assert ours["action"].tolist() == plain["action"].tolist()
    torch.testing.assert_close(torch.tensor(ours["nll"]), torch.tensor(plain["nll"]), rtol=0, atol=0, equal_nan=True)


@on_gpu
def test_the_full_precision_is_that_of_float32_and_the_others_are_not():
    chance = torch.Generator("cuda").manual_seed(0)
    x, y = (torch.randn(512, 512, device="cuda", generator=chance) for _ in range(2))
    images, kernels = x.view(16, 16, 32, 32), y[:, :400].reshape(-1)[: 16 * 16 * 25].view(16, 16, 5, 5)
    exact = x.double() @ y.double(), torch.nn.functional.conv2d(images.double(), kernels.double())
    error = {}
    for precision in ("highest", "high", "medium"):
        with products("cuda", precision):
            found = x @ y, torch.nn.functional.conv2d(images, kernels)
        error[precision] = [float((own - all_of_it).abs().mean()) for own, all_of_it in zip(found, exact, strict=True)]
    assert max(error["highest"]) < 1e-4  # sums of 400 to 512 products, of the size of 20
    assert 1e-3 < error["high"][0] <= error["medium"][0] < 0.5


@on_gpu
def test_a_job_that_does_not_fit_into_memory_is_run_in_parts():
    how = {"seeds": 512, "steps": 60, "device": "cuda", "workers": 1}
    whole = vbandits.run("vbandits/Wheel-v0", "ibvi", **how)
    (job,) = (own for own in whole.jobs if own["agent"] == "ibvi")
    room = 0.6 * job["memory_mb"] * 2**20
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
    try:
        found = vbandits.run("vbandits/Wheel-v0", "ibvi", **how)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    (own,) = (own for own in found.jobs if own["agent"] == "ibvi")
    assert own["status"] == "done"
    assert own["key"] == job["key"]
    assert own["parts"] > 1
    assert own["memory_mb"] * 2**20 <= room
    ours, theirs = (one.records[["agent", "seed", "step"]] for one in (found, whole))
    assert ours.equals(theirs)
    assert found.runs("Wheel-v0", "ibvi").mean() == pytest.approx(whole.runs("Wheel-v0", "ibvi").mean(), rel=0.1)


def uuid():
    """Which GPU a process is on, after a while."""
    time.sleep(2.0)
    return str(torch.cuda.get_device_properties(0).uuid)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_workers_are_on_gpus_of_their_own():
    how = {"seeds": 4, "block": 1, "steps": 20, "device": "cuda"}
    found = vbandits.run("vbandits/Wheel-v0", "ibvi", **how)
    assert {one["status"] for one in found.jobs} == {"done"}
    with engines.opened("local", 2, None, "cuda") as engine:
        found = [engine.submit(uuid) for _ in range(2)]
        assert len({own.result(timeout=60) for own in found}) == 2


class Recorded:
    """Stands in for a graph: replays a function on the inputs that were there when it was recorded."""

    def __init__(self, function, inputs):
        self.function, self.inputs = function, inputs

    def replay(self):
        self.function(*self.inputs)


def test_what_is_replayed_gets_the_inputs_of_each_call_and_other_shapes_are_launched(monkeypatch):
    def record(self, inputs):
        self._inputs = tuple(own.clone() for own in inputs)
        self._graph = Recorded(self._function, self._inputs)

    monkeypatch.setattr(Replayed, "_record", record)
    total, seen = torch.zeros(3), []

    def add(x, y):
        seen.append(x.shape)
        total.add_(x.sum() * y)

    step = Replayed(add)
    for number in range(6):
        step(torch.full((4,), float(number)), torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(total, 60 * torch.tensor([1.0, 2.0, 3.0]))
    step(torch.ones(7), torch.ones(3))
    torch.testing.assert_close(total, 60 * torch.tensor([1.0, 2.0, 3.0]) + 7)
    assert seen == [(4,)] * 6 + [(7,)]


@pytest.fixture
def script():
    """The names of the script that measures a GPU."""
    return runpy.run_path(str(Path(__file__).parent.parent / "experiments" / "gpu" / "measure.py"))


def test_a_part_of_the_script_that_fails_or_takes_too_long_leaves_what_it_has(script, tmp_path, monkeypatch):
    def card(device):
        yield {"on": device}
        time.sleep(60)

    def tests(device):
        yield {"a": 1}
        raise ValueError("broken")

    def speed(device):
        yield {"b": 2}

    monkeypatch.setitem(script["main"].__globals__, "PARTS", (card, tests, speed))
    monkeypatch.setitem(script["main"].__globals__, "SECONDS", {"card": 0.2, "tests": 60, "speed": 60})
    assert script["main"](tmp_path / "gpu.json", "cpu") == 1
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["card"]["rows"] == [{"on": "cpu"}]
    assert "the time of this part is over" in found["card"]["failed"]
    assert found["tests"]["rows"] == [{"a": 1}]
    assert "ValueError: broken" in found["tests"]["failed"]
    assert found["speed"] == {"rows": [{"b": 2}]}


def test_the_script_says_where_there_is_no_gpu(script, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert script["main"](tmp_path / "gpu.json", "cuda") == 1
    assert json.loads((tmp_path / "gpu.json").read_text()) == {"device": "not measured: there is no GPU"}


@pytest.mark.slow
def test_the_script_that_measures_a_gpu_is_ready(script, tmp_path):
    assert sum(script["SECONDS"].values()) < 460
    assert {part.__name__ for part in script["PARTS"]} == script["SECONDS"].keys()
    parts = [part for part in script["PARTS"] if part.__name__ != "tests"]
    script["main"].__globals__["PARTS"] = parts
    assert script["main"](tmp_path / "gpu.json", "cpu") == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {part.__name__ for part in parts} < found.keys()
    assert all(found[part.__name__]["rows"] for part in parts)
    assert {row["seeds"] for row in found["speed"]["rows"]} == {1, 2}
    assert {row["a seed less itself on the CPU"] for row in found["same"]["rows"]} == {0.0}
