"""Decisions per second: seeds in lockstep, presets, and one seed as one writes it by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from vbandits.bench import peers
from vbandits.bench.measure import best, memory_of
from vbandits.benchmarks.bandits.run import run_job
from vbandits.experiment.benchmark import Job
from vbandits.experiment.resolve import resolve
from vbandits.presets import HERE, PRESETS, read

SEEDS = {"cpu": (1, 8, 32), "cuda": (1, 32, 256, 1024)}
MORE = {"cpu": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), "cuda": (1, 4, 16, 64, 256, 512, 1024, 2048, 4096)}
TOGETHER = {"cpu": 32, "cuda": 256}
"""Seeds in lockstep: a few, more, and those with which every preset is measured."""
STEPS = (60, 260)
"""Of a short run and of a long one: the difference of their times is that of decisions, without the beginning."""
SCHEDULE = {"every": 1, "gradient_steps": 1, "batch_size": peers.BATCH}
BOTH = ("deterministic", "ibvi")
Row = dict[str, Any]


def decisions(console: Console, device: str = "cpu", full: bool = False) -> list[Row]:
    """Measures and prints what decisions cost, and returns a row for each agent and number of seeds.

    The task: Wheel, two hidden layers of 50, batches of 64, one step of SGD after each decision. The time is that of
    whole jobs: agent, environment, records and scores, every other decision recorded, as in a run of 1,000 steps.
    """
    seeds, together = (MORE if full else SEEDS)[device], TOGETHER[device]
    presets = PRESETS if full else read("agents", HERE / "agents.toml")
    cases = [(name, count) for count in seeds for name in BOTH]
    cases += [(name, together) for name in presets if (name, together) not in cases]
    found: dict[str, dict[str, float]] = {}
    measures: dict[str, Callable[[], object]] = {}
    for name, count in cases:
        for steps in STEPS:
            key = f"{name} {count} {steps}"
            measures[key] = partial(_timed, job_of(name, count, steps, device), found, key)
    alone = {"plain loop": peers.plain_loop, "inferno loop": peers.inferno_loop}
    loops = {name: [loop(steps) for steps in STEPS] for name, loop in alone.items()}
    for name, works in loops.items():
        measures |= {f"{name} {steps}": work for steps, work in zip(STEPS, works, strict=True) if work is not None}
    seconds = best(console, measures, device=device)

    def each(key: str, count: int) -> float:
        return (seconds[f"{key} {STEPS[1]}"] - seconds[f"{key} {STEPS[0]}"]) / (STEPS[1] - STEPS[0]) / count

    rows = [_row(name, 1, each(name, 1)) for name, works in loops.items() if works[0] is not None]
    for name, count in cases:
        key = f"{name} {count}"
        short, long = (found[f"{key} {steps}"] for steps in STEPS)
        spent = {part: long[part] - short[part] for part in long}
        shares = {part: own / sum(spent.values()) for part, own in spent.items()}
        rows.append(_row(name, count, each(key, count), shares))
    plain = rows[0]["decisions per second"]
    reference = {row["seeds"]: row["decisions per second"] for row in rows if row["agent"] == BOTH[0]}
    for row in rows:
        row["times plain loop"] = row["decisions per second"] / plain
        if row["agent"] in PRESETS:
            row["time over deterministic"] = reference[row["seeds"]] / row["decisions per second"]
    console.print(_table(rows, device))
    largest = job_of("ibvi", max(seeds), STEPS[0], device)
    console.print(
        f"Memory of ibvi, {max(seeds)} seeds, {STEPS[0]} steps: {memory_of(partial(run_job, largest), device):,.0f} MB"
    )
    return rows


def job_of(preset: str, seeds: int, steps: int, device: str = "cpu") -> Job:
    """Returns the job of a preset on the task, all seeds in lockstep."""
    agent = {"id": preset} | ({"schedule": SCHEDULE} if "posterior" in PRESETS[preset] else {})
    document = {
        "name": "bench",
        "seeds": seeds,
        "block": seeds,
        "steps": steps,
        "recorded": steps // 2,
        "device": device,
    }
    experiment = resolve({**document, "environments": [peers.WHEEL], "agents": [agent]})
    return next(job for job in experiment.jobs() if job.method.label == preset)


def _timed(job: Job, found: dict[str, dict[str, float]], key: str) -> None:
    """Runs a job, and keeps the least that each part of it took so far."""
    spent = run_job(job).seconds
    found[key] = {part: min(own, found.get(key, spent)[part]) for part, own in spent.items()}


def _row(agent: str, seeds: int, each: float, shares: dict[str, float] | None = None) -> Row:
    named = {f"{part}'s share": share for part, share in (shares or {}).items()}
    return {"agent": agent, "seeds": seeds, "decisions per second": 1 / each} | named


def _table(rows: list[Row], device: str) -> Table:
    numbers = (
        "decisions per second",
        "times plain loop",
        "time over deterministic",
        "agent's share",
        "scoring's share",
    )
    task = f"Wheel, two hidden layers of 50, batch {peers.BATCH}, a step of SGD after each decision"
    title = f"{task}; whole jobs, {'CPU time of one thread' if device == 'cpu' else device}"
    table = Table(title=title)
    table.add_column("agent", no_wrap=True)
    for head in ("seeds", *numbers):
        table.add_column(head, justify="right")
    forms = ("{:,.0f}", "{:.2f}", "{:.2f}", "{:.0%}", "{:.0%}")
    for row in rows:
        shown = [form.format(row[name]) if name in row else "" for name, form in zip(numbers, forms, strict=True)]
        table.add_row(row["agent"], str(row["seeds"]), *shown)
    return table
