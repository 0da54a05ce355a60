"""Measures the suite on a GPU, part by part, and writes one JSON: run by run.sh, which says how.

Parts come in the order of what they are worth. Each has a share of the time; one that fails, or whose time is over,
leaves the rows that it has and a traceback, and the next begins. On "cpu" all sizes are tiny: that tries the script,
and measures nothing.
"""

import json
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from scipy import stats

import vbandits
from vbandits.bench.decisions import job_of
from vbandits.bench.training import SMALL, _step
from vbandits.benchmarks.bandits.run import run_job
from vbandits.experiment import resources
from vbandits.experiment.devices import products
from vbandits.experiment.machine import commit, machine
from vbandits.experiment.resolve import resolve
from vbandits.files import versions
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ibvi import IBVI

SECONDS = {"card": 15, "tests": 75, "speed": 130, "same": 90, "precision": 50, "showdown": 80}
"""Of each part; what one leaves goes to those after it."""
AGAIN = 5.0
"""Seconds until a part whose time is over is interrupted again, where what it calls went on after a failure."""
WHEEL = {"id": "vbandits/Wheel-v0", "kwargs": {"delta": 0.5}, "label": "wheel"}
LINEAR = {"id": "vbandits/LinearBandit-v0", "label": "linear"}
SIZES = {
    "cuda": {"seeds": (1, 32, 256, 1024), "steps": (60, 260), "replicas": 64, "same": 300, "times": 50},
    "cpu": {"seeds": (1, 2), "steps": (20, 40), "replicas": 4, "same": 30, "times": 2},
}
Row = dict[str, Any]


def card(device: str) -> Iterator[Row]:
    """Yields the machine, its card and the versions."""
    memory = torch.cuda.get_device_properties(0).total_memory / 2**20 if device == "cuda" else None
    yield {**machine(), "memory in MB": memory, "CUDA": torch.version.cuda, "commit": commit(), **versions()}


def tests(device: str) -> Iterator[Row]:
    """Runs the tests of what holds on a GPU."""
    options = ["-q", "-o", "addopts=", "-m", "not slow", "-p", "no:cacheprovider"]  # without plugins
    command = [sys.executable, "-m", "pytest", *options, "tests/test_gpu.py"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    yield {"passed": ran.returncode == 0, "said": ran.stdout[-1500:] + ran.stderr[-500:]}
    ran.check_returncode()


def speed(device: str) -> Iterator[Row]:
    """Yields decisions per second of whole jobs, of the agent alone, scoring's share, and memory, by seeds."""
    short, long = SIZES[device]["steps"]
    one: dict[str, float] = {}
    for seeds in SIZES[device]["seeds"]:
        for preset in ("ibvi", "deterministic"):
            took: dict[int, float] = {}
            spent: dict[int, dict[str, float]] = {}
            for steps in (short, short, long):  # the first is not counted
                work = job_of(preset, seeds, steps, device)
                resources.reset(device)
                begin = resources.now(device)
                spent[steps] = run_job(work).seconds
                took[steps] = resources.now(device) - begin
            each = (took[long] - took[short]) / (long - short)
            parts = {part: spent[long][part] - spent[short][part] for part in spent[long]}
            row = {"agent": preset, "seeds": seeds, "seconds per step": each, "decisions per second": seeds / each}
            row["time over that of one seed"] = each / one.setdefault(preset, each)
            row["agent alone"] = seeds * (long - short) / parts["agent"]
            row["scoring's share"] = parts["scoring"] / sum(parts.values())
            row["memory in MB"] = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
            yield row


def same(device: str) -> Iterator[Row]:
    """Yields whether regrets have the distribution of the CPU's, of other seeds, and how far a seed is from itself."""
    count, steps = SIZES[device]["replicas"], SIZES[device]["same"]
    places = {"ours": (device, 0), "itself": ("cpu", 0), "others": ("cpu", count)}
    for preset in ("ibvi", "deterministic", "neural-linear", "elbo"):
        results = {
            name: vbandits.run([WHEEL, LINEAR], [preset], range(first, first + count), steps, device=place, workers=1)
            for name, (place, first) in places.items()
        }
        for problem in ("wheel", "linear"):
            regret = {name: own.runs(problem, preset).to_numpy() for name, own in results.items()}
            difference = regret["ours"] - regret["itself"]
            row = {"agent": preset, "environment": problem, "seeds": count, "mean": regret["ours"].mean()}
            row["CPU, other seeds"] = regret["others"].mean()
            row["two samples, p"] = stats.ks_2samp(regret["ours"], regret["others"]).pvalue
            row["a seed less itself on the CPU"] = difference.mean()
            row["its standard error"] = difference.std() / count**0.5
            yield row


def precision(device: str) -> Iterator[Row]:
    """Yields the time of a training step by how products of float32 are made: in full, as TF32, or from bfloat16."""
    for wanted in ("highest", "high", "medium"):
        for name, work in SMALL.items():
            for method, posterior in (("deterministic", Deterministic()), ("ibvi", IBVI())):
                with products(device, wanted):
                    step = _step(work, posterior, device)
                    for _ in range(3):
                        step()
                    begin = resources.now(device)
                    for _ in range(SIZES[device]["times"]):
                        step()
                    each = (resources.now(device) - begin) / SIZES[device]["times"]
                yield {"precision": wanted, "network": name, "posterior": method, "seconds": each}
        seeds, steps = SIZES[device]["replicas"], SIZES[device]["same"]
        how: dict[str, Any] = {"device": device, "precision": wanted, "workers": 1}
        found = vbandits.run([WHEEL], ["ibvi"], seeds=seeds, steps=steps, **how)
        yield {"precision": wanted, "regret of ibvi": found.runs("wheel", "ibvi").mean()}


def showdown(device: str) -> Iterator[Row]:
    """Yields what experiments/showdown.toml takes with 50 seeds, from each of its agents on the wheel."""
    document = tomllib.loads(Path(__file__).parents[1].joinpath("showdown.toml").read_text(encoding="utf-8"))
    agents, problems = [entry["id"] for entry in document["agents"]], len(document["environments"])
    short, long = SIZES[device]["steps"]
    seconds = {}
    for preset in agents if device == "cuda" else agents[:2]:
        took = []
        for steps in (short, long):
            how = {"name": "showdown", "seeds": 50 if device == "cuda" else 2, "steps": steps, "device": device}
            experiment = resolve({**how, "environments": [WHEEL], "agents": [preset]})
            work = next(job for job in experiment.jobs() if job.method.label == preset)
            begin = resources.now(device)
            run_job(work)
            took.append(resources.now(device) - begin)
        seconds[preset] = took[0] + (took[1] - took[0]) / (long - short) * (document["steps"] - short)
        yield {"agent": preset, f"seconds of {document['steps']} steps": seconds[preset]}
    yield {"problems": problems, "minutes of as many problems like this one": problems * sum(seconds.values()) / 60}


PARTS: tuple[Callable[[str], Iterator[Row]], ...] = (card, tests, speed, same, precision, showdown)


def measured(part: Callable[[str], Iterator[Row]], device: str, seconds: float) -> Row:
    """Returns the rows of a part; with the traceback of what ended it where it failed, or its time was over."""

    def interrupt(*_: Any) -> None:
        raise TimeoutError("the time of this part is over")

    rows: list[Row] = []
    found: Row = {"rows": rows}
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), AGAIN)
        rows.extend(part(device))
    except Exception:
        signal.setitimer(signal.ITIMER_REAL, 0)
        found["failed"] = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return found


def main(out: Path, device: str) -> int:
    """Measures all parts; exit code 1 where something failed, or there is no GPU."""
    found: Row = {"device": device}
    if device == "cuda" and not torch.cuda.is_available():
        found["device"] = "not measured: there is no GPU"
        print(found["device"])
    begin = end = time.perf_counter()
    for part in PARTS if found["device"] == device else ():
        end += SECONDS[part.__name__]
        start = time.perf_counter()
        found[part.__name__] = measured(part, device, end - start)
        found[f"seconds of {part.__name__}"] = round(time.perf_counter() - start, 1)
        print(part.__name__, json.dumps(found[part.__name__], indent=1, default=float), flush=True)
        found["seconds"] = round(time.perf_counter() - begin, 1)
        out.write_text(json.dumps(found, indent=1, default=float) + "\n", encoding="utf-8")
    out.write_text(json.dumps(found, indent=1, default=float) + "\n", encoding="utf-8")
    return int("seconds" not in found or any("failed" in own for own in found.values() if isinstance(own, dict)))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
