"""A benchmark that an outsider brings, all in one file: Poisson regression. It knows nothing of bandits or networks."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.linear_model import PoissonRegressor

from vbandits.experiment.benchmark import Benchmark, Job, Outcome, Progress
from vbandits.experiment.config import Config, Count, Entry, ExperimentFile
from vbandits.experiment.report import Costs, ProblemTable, assemble, comparison, problem_sections
from vbandits.experiment.results import StoredResults, estimated
from vbandits.report import palette, texts
from vbandits.report.page import Item, Report
from vbandits.report.terminal import Column, Layout

BENCHMARK = Benchmark(
    name=f"{__name__}:BENCHMARK",
    axes=("count", "model"),
    config=f"{__name__}:PoissonConfig",
    run=f"{__name__}:run",
    results=f"{__name__}:PoissonResults",
    report=f"{__name__}:report",
    layout=f"{__name__}:LAYOUT",
    presets=f"{__name__}:PRESETS",
)
PRESETS = {"ridge": {"alpha": 1.0}, "mean": {"alpha": 1e6}}
BLOCKS = 4
"""Parts of the rows that a model is fitted on, one after another; a step each."""


@dataclass(frozen=True)
class Counts:
    """Rows whose target is a number of events, Poisson with the rate exp(slope * x)."""

    label: str
    slope: float
    rows: int

    def describe(self) -> dict[str, Any]:
        return asdict(self)

    def steps(self, seeds: int) -> int:
        return BLOCKS

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        x = random.standard_normal((2 * self.rows, 1))
        return x, random.poisson(np.exp(self.slope * x[:, 0]))


@dataclass(frozen=True)
class Model:
    label: str
    alpha: float

    def describe(self) -> dict[str, Any]:
        return asdict(self)


class CountEntry(Entry):
    id: str
    slope: float = 1.0
    rows: Count = 40


class ModelEntry(Entry):
    id: str
    label: str | None = None
    alpha: Annotated[float, Field(ge=0)] | None = None


class PoissonFile(ExperimentFile):
    counts: Annotated[list[Any], Field(min_length=1)]
    models: Annotated[list[Any], Field(min_length=1)]


class PoissonConfig(Config):
    benchmark = BENCHMARK
    file = PoissonFile

    def problems(self, entry: Any, where: str) -> Iterator[Counts]:
        if (parsed := self.entry(CountEntry, entry, where, ("slope", "rows"))) is not None:
            yield Counts(parsed.id, parsed.slope, parsed.rows)

    def methods(self, entry: Any, where: str) -> Iterator[Model]:
        parsed = self.entry(ModelEntry, entry, where)
        if parsed is None:
            return
        if parsed.id not in PRESETS:
            self.errors.append(f"{where}: expected one of {', '.join(PRESETS)}, got {parsed.id!r}")
            return
        yield Model(parsed.label or parsed.id, PRESETS[parsed.id]["alpha"] if parsed.alpha is None else parsed.alpha)

    def check(self, problems: list[Counts], methods: list[Model]) -> tuple[list[Counts], list[str]]:
        return problems, [f"{problem.label}: fewer than 20 rows" for problem in problems if problem.rows < 20]


def run(job: Job, progress: Progress) -> Outcome:
    rows, start = [], time.perf_counter()
    for seed in job.seeds:
        x, y = job.problem.draw(seed)
        known = job.problem.rows
        for step in range(1, BLOCKS + 1):
            kept = slice(0, known * step // BLOCKS)
            model = PoissonRegressor(alpha=job.method.alpha).fit(x[kept], y[kept])
            rate = model.predict(x[known:])
            deviance = float(np.mean(rate - y[known:] * np.log(rate)))
            rows.append({"seed": seed, "step": step, "nll": deviance})
            progress(step)
    return Outcome(pd.DataFrame(rows), (), {"fitting": time.perf_counter() - start})


@dataclass(frozen=True, repr=False)
class PoissonResults(StoredResults):
    benchmark: ClassVar = BENCHMARK.name
    shown: ClassVar = ("count", "model", "seeds", "nll")
    losses: ClassVar = ("nll",)
    seconds: ClassVar = {"seconds": "fitting"}

    def loss(self, problem: str, method: str, column: str) -> pd.Series:
        part: Any = self.parts[problem, method]
        return part[part["step"] == BLOCKS].set_index("seed")[column]

    def measured(self, problem: str, method: str) -> dict[str, Any]:
        known = (problem, method) in self.parts
        return estimated("nll", self.loss(problem, method, "nll").to_numpy() if known else np.empty(0))


LAYOUT = Layout((Column("nll", "NLL", 1), Column("failures", "failed", 2, places=0)), "NLL: on new rows", "nll")


def report(results: PoissonResults) -> Report:
    styles = palette.styles(results.labels("model"))

    def items(label: str, anchor: str) -> list[Item]:
        table = ProblemTable(results, label)
        table.add("nll", "NLL", "nats")
        table.ended()
        return [comparison(results), table.table("On new rows")]

    totals = results.costs("seconds").assign(rate=results.costs("seconds")["seconds"])
    columns = (("seconds", "Fitting", "seconds"), ("memory_mb", "Memory", "MB at most"))
    costs = Costs(totals, columns, {"seconds": None}, "Fitting", rate="rate", per="experiment", what="time of fitting")
    definitions = [("NLL", "Negative log-likelihood up to a constant."), texts.cost("fitting")]
    problems = problem_sections(results, items)
    return assemble(results, problems=problems, trust=[], costs=costs, definitions=definitions, styles=styles)
