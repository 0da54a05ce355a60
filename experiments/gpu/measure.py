"""Measures the suite on a GPU, part by part, and writes one JSON: run by run.sh, which says how.

Parts come in the order of what they are worth. Each has a share of the time; one that fails leaves its traceback, and
the next begins. On "cpu" all sizes are tiny: that tries the script, and measures nothing.
"""

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy import stats

import vbandits
from vbandits.bench.decisions import job_of
from vbandits.bench.training import SMALL, _step
from vbandits.benchmarks.bandits.run import run_job
from vbandits.experiment.resolve import resolve
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ibvi import IBVI
from vbandits.presets import PRESETS

WHOLE = 460.0
"""Seconds for all parts: what is left when it is over is not begun."""
WHEEL = {"id": "vbandits/Wheel-v0", "kwargs": {"delta": 0.5}, "label": "wheel"}
LINEAR = {"id": "vbandits/LinearBandit-v0", "label": "linear"}
SIZES = {
    "cuda": {"seeds": (1, 32, 256, 1024), "steps": (60, 260), "replicas": 64, "same": 300, "times": 50},
    "cpu": {"seeds": (1, 2), "steps": (20, 40), "replicas": 4, "same": 30, "times": 2},
}
Row = dict[str, Any]


def tests(device: str) -> Row:
    """Runs the tests of what holds on a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150)
    return {"passed": ran.returncode == 0, "said": ran.stdout[-1500:] + ran.stderr[-500:]}


def speed(device: str) -> list[Row]:
    """Returns decisions per second of whole jobs, of the agent alone, scoring's share, and memory, by seeds."""
    short, long = SIZES[device]["steps"]
    rows = []
    for preset in ("ibvi", "deterministic"):
        for seeds in SIZES[device]["seeds"]:
            took: dict[int, float] = {}
            spent: dict[int, dict[str, float]] = {}
            for steps in (short, short, long):  # the first is not counted
                work = job_of(preset, seeds, steps, device)
                begin = now(device)
                spent[steps] = run_job(work).seconds
                took[steps] = now(device) - begin
            each = (took[long] - took[short]) / (long - short)
            parts = {part: spent[long][part] - spent[short][part] for part in spent[long]}
            row = {"agent": preset, "seeds": seeds, "seconds per step": each, "decisions per second": seeds / each}
            row["agent alone"] = seeds * (long - short) / parts["agent"]
            row["scoring's share"] = parts["scoring"] / sum(parts.values())
            row["memory in MB"] = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
            rows.append(row)
    return rows


def same(device: str) -> list[Row]:
    """Returns whether regrets on the device have the CPU's distribution, and how far a seed is from itself."""
    rows = []
    for preset in ("ibvi", "deterministic", "neural-linear", "elbo"):
        seeds, steps = SIZES[device]["replicas"], SIZES[device]["same"]
        results = {
            place: vbandits.run([WHEEL, LINEAR], [preset], seeds=seeds, steps=steps, device=place, workers=1)
            for place in dict.fromkeys(("cpu", device))
        }
        for problem in ("wheel", "linear"):
            ours, theirs = (results[place].runs(problem, preset).to_numpy() for place in (device, "cpu"))
            row = {"agent": preset, "environment": problem, "seeds": seeds, "mean": ours.mean(), "cpu": theirs.mean()}
            row["two samples, p"] = stats.ks_2samp(ours, theirs).pvalue
            row["mean difference"] = (ours - theirs).mean()
            row["its standard error"] = (ours - theirs).std() / len(ours) ** 0.5
            rows.append(row)
    return rows


def precision(device: str) -> list[Row]:
    """Returns the time of a training step by how products of float32 are made: in full, as TF32, or from bfloat16."""
    rows = []
    for wanted in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(wanted)
        for name, work in SMALL.items():
            for method, posterior in (("deterministic", Deterministic()), ("ibvi", IBVI())):
                step = _step(work, posterior, device)
                for _ in range(3):
                    step()
                begin = now(device)
                for _ in range(SIZES[device]["times"]):
                    step()
                each = (now(device) - begin) / SIZES[device]["times"]
                rows.append({"precision": wanted, "network": name, "posterior": method, "seconds": each})
        seeds, steps = SIZES[device]["replicas"], SIZES[device]["same"]
        found = vbandits.run([WHEEL], ["ibvi"], seeds=seeds, steps=steps, device=device, workers=1)
        rows.append({"precision": wanted, "regret of ibvi": found.runs("wheel", "ibvi").mean()})
    torch.set_float32_matmul_precision("highest")
    return rows


def showdown(device: str) -> Row:
    """Returns what experiments/showdown.toml takes with 50 seeds, from each of its agents on its first problem."""
    agents = [name for name in PRESETS if "posterior" in PRESETS[name]]
    short, long = SIZES[device]["steps"]
    seconds = {}
    for preset in agents if device == "cuda" else agents[:2]:
        took = []
        for steps in (short, long):
            document = {"name": "showdown", "seeds": 50 if device == "cuda" else 2, "steps": steps, "device": device}
            experiment = resolve({**document, "environments": [WHEEL], "agents": [preset]})
            work = next(job for job in experiment.jobs() if job.method.label == preset)
            begin = now(device)
            run_job(work)
            took.append(now(device) - begin)
        seconds[preset] = took[0] + (took[1] - took[0]) / (long - short) * (2000 - short)
    return {"seconds of 2,000 steps on the wheel": seconds, "seconds of 14 such problems": 14 * sum(seconds.values())}


def now(device: str) -> float:
    """Returns the time of day in seconds, when all work on the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


PARTS: tuple[Callable[[str], Any], ...] = (speed, same, precision, showdown, tests)


def main(out: Path, device: str) -> None:
    """Measures all parts."""
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu: tried, not measured"
    found: Row = {"device": name, "torch": torch.__version__, "python": sys.version.split()[0]}
    begin = time.perf_counter()
    for part in PARTS:
        start = time.perf_counter()
        if start - begin > WHOLE:
            found[part.__name__] = "not begun: the time was over"
        else:
            try:
                found[part.__name__] = part(device)
            except Exception:
                found[part.__name__] = {"failed": traceback.format_exc()}
        found[f"seconds of {part.__name__}"] = round(time.perf_counter() - start, 1)
        print(part.__name__, json.dumps(found[part.__name__], indent=1, default=float), flush=True)
        out.write_text(json.dumps(found, indent=1, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
