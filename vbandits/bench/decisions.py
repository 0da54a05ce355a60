"""Decisions per second: seeds in lockstep, presets, and one seed as one writes it by hand."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from vbandits.bench import peers
from vbandits.bench.measure import Row, best, memory_of
from vbandits.benchmarks.bandits.run import run_job
from vbandits.experiment.benchmark import Job
from vbandits.experiment.resolve import resolve
from vbandits.presets import HERE, PRESETS, read

SEEDS = {"cpu": (1, 8, 32), "cuda": (1, 32, 256, 1024)}
MORE = {"cpu": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), "cuda": (1, 4, 16, 64, 256, 512, 1024, 2048, 4096)}
TOGETHER = {"cpu": 32, "cuda": 256}
"""Seeds in lockstep: a few, more, and those with which every preset is measured."""
WHOLE, SHORT = (100, 1000), (64, 127)
"""Steps of two runs: the difference of their times is that of decisions, without the beginning. The first are of runs
as people make them. The second are for presets of which some are slow: both are evaluated three times, see
`benchmarks.bandits.held_out.times`, so that the difference is of decisions alone."""
SCHEDULE = {"every": 1, "gradient_steps": 1, "batch_size": peers.BATCH}
BOTH = ("deterministic", "ibvi")


class Case(NamedTuple):
    """An agent, or a loop, with as many seeds in lockstep, in runs of two lengths."""

    agent: str
    seeds: int
    steps: tuple[int, int]

    def key(self, steps: int) -> str:
        """Returns what a run is called, also where progress is shown."""
        return f"{self.agent}, {self.seeds} seeds, {steps} steps"


def decisions(console: Console, device: str = "cpu", full: bool = False) -> list[Row]:
    """Measures and prints what decisions cost, and returns a row for each agent and number of seeds.

    The task: Wheel, two hidden layers of 50, batches of 64, one step of SGD after each decision. The time is that of
    whole jobs: agent, environment, records and scores; at most every other decision is recorded, as in a run of 1,000.
    """
    seeds, together = (MORE if full else SEEDS)[device], TOGETHER[device]
    presets = PRESETS if full else read("agents", HERE / "agents.toml")
    cases = [Case(name, count, WHOLE) for count in seeds for name in BOTH]
    cases += [Case(name, together, SHORT) for name in (BOTH[0], *(name for name in presets if name not in BOTH))]
    found: dict[str, dict[str, float]] = {}
    measures: dict[str, Callable[[], object]] = {}
    for case in cases:
        for steps in case.steps:
            measures[case.key(steps)] = partial(
                _timed, job_of(case.agent, case.seeds, steps, device), found, case.key(steps)
            )
    alone = {"plain loop": peers.plain_loop, "inferno loop": peers.inferno_loop}
    loops = {Case(name, 1, WHOLE): [loop(steps) for steps in WHOLE] for name, loop in alone.items()}
    loops = {case: works for case, works in loops.items() if works[0] is not None}
    for case, works in loops.items():
        measures |= {case.key(steps): work for steps, work in zip(WHOLE, works, strict=True) if work is not None}
    seconds = best(console, measures, device=device, warm=False)
    rows = [_row(case, seconds, found) for case in (*loops, *cases)]
    _compare(rows)
    console.print(_table(rows, device))
    largest = next(row for row in rows if row["agent"] == "ibvi" and row["seeds"] == max(seeds))
    run = partial(run_job, job_of("ibvi", max(seeds), SHORT[0], device))
    largest["memory in MB"] = memory_of(run, device)
    console.print(f"Memory of ibvi, {max(seeds)} seeds, {SHORT[0]} steps: {largest['memory in MB']:,.0f} MB")
    return rows


def job_of(preset: str, seeds: int, steps: int, device: str = "cpu") -> Job:
    """Returns the job of a preset on the task, all seeds in lockstep."""
    how = {"schedule": SCHEDULE} if "posterior" in PRESETS[preset] else {}
    return on_wheel(preset, how, seeds=seeds, block=seeds, steps=steps, recorded=steps // 2, device=device)


def on_wheel(preset: str, how: Mapping[str, Any], **document: Any) -> Job:
    """Returns the first job of a preset, with what is said of it, on the wheel, in an experiment of these options."""
    agent = {"id": preset, **how}
    experiment = resolve({"name": "bench", **document, "environments": [peers.WHEEL], "agents": [agent]})
    return next(job for job in experiment.jobs() if job.method.label == preset)


def _timed(job: Job, found: dict[str, dict[str, float]], key: str) -> None:
    """Runs a job, and keeps the least that each part of it took so far."""
    spent = run_job(job).seconds
    found[key] = {part: min(own, found.get(key, spent)[part]) for part, own in spent.items()}


def _row(case: Case, seconds: Mapping[str, float], found: Mapping[str, dict[str, float]]) -> Row:
    """Returns what a case's decisions take, and the parts of it."""
    short, long = (case.key(steps) for steps in case.steps)
    decisions = (case.steps[1] - case.steps[0]) * case.seeds
    each = (seconds[long] - seconds[short]) / decisions
    row: Row = {"agent": case.agent, "seeds": case.seeds, "steps": case.steps[1]}
    row |= {"decisions per second": 1 / each}
    if long not in found:
        return row | {"agent alone": 1 / each}
    spent = {part: found[long][part] - found[short][part] for part in found[long]}
    shares = {f"{part}'s share": own / sum(spent.values()) for part, own in spent.items()}
    return row | {"agent alone": 1 / (each * shares["agent's share"])} | shares


def _compare(rows: list[Row]) -> None:
    """Adds to each row how many times the plain loop's decisions per second it makes, as a whole and the agent alone,
    and for how many times the time of the deterministic agent."""
    reference = {(row["seeds"], row["steps"]): row for row in rows if row["agent"] == BOTH[0]}
    for row in rows:
        row["times plain loop"] = row["decisions per second"] / rows[0]["decisions per second"]
        row["agent alone, times plain loop"] = row["agent alone"] / rows[0]["decisions per second"]
        if row["agent"] in PRESETS:
            plain = reference[row["seeds"], row["steps"]]
            row["time over deterministic"] = plain["decisions per second"] / row["decisions per second"]


def _table(rows: list[Row], device: str) -> Table:
    columns = {
        "decisions\nper second": ("decisions per second", "{:,.0f}"),
        "times\nplain": ("times plain loop", "{:.2f}"),
        "agent\nalone": ("agent alone, times plain loop", "{:.2f}"),
        "over\ndeterm.": ("time over deterministic", "{:.2f}"),
        "scoring": ("scoring's share", "{:.0%}"),
    }
    task = f"Wheel, two hidden layers of 50, batch {peers.BATCH}, a step of SGD after each decision"
    title = f"{task}; whole jobs, {'CPU time of one thread' if device == 'cpu' else device}"
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("agent", no_wrap=True)
    for head in ("seeds", "steps", *columns):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        shown = [form.format(row[name]) if name in row else "" for name, form in columns.values()]
        table.add_row(row["agent"], f"{row['seeds']:,}", f"{row['steps']:,}", *shown)
    return table
