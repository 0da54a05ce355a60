"""The report of active learning: what it says, and its page."""

from dataclasses import dataclass

from vbandits.benchmarks.active import figures as active_figures
from vbandits.benchmarks.active import tables as active_tables
from vbandits.benchmarks.active.figures import Lines, Panels
from vbandits.benchmarks.active.results import ActiveResults
from vbandits.benchmarks.active.tables import Standing
from vbandits.report import figures, statistics, wording
from vbandits.report.common import Chapter, Report, Section, common_parts
from vbandits.report.page import Drawing, fill
from vbandits.report.palette import GRID, INK
from vbandits.report.tables import Table

LEARNING, PREDICTIONS = "What labels were worth", "Predictions at the end"
MAPS = {
    "accuracy": "Mean accuracy over labels, %, by method and acquisition",
    "rmse": "Mean RMSE over labels, by method and acquisition",
}
OVERALL_MAP = "Mean regret over problems, % of learning nothing, by method and acquisition"


@dataclass(frozen=True)
class ActiveReport(Report):
    """Everything that the report says: over all problems, where there are several, and problem by problem."""

    overall: list[tuple[str, Table]]
    notes: list[str]
    sections: list[Section]

    @property
    def opening(self) -> list[Chapter]:
        """What comes first: the learners over all problems."""
        return [Chapter("Overall", [], self.overall, self.notes)] if self.overall else []

    @property
    def chapters(self) -> list[Chapter]:
        """The problems."""
        return [section.chapter for section in self.sections]


def report(results: ActiveResults) -> ActiveReport:
    """Returns the report of an experiment."""
    seeds = len(results.experiment["seeds"])
    labels = results.labels("problem")
    anchors = {label: f"problem-{place}" for place, label in enumerate(labels, 1)}
    order = active_tables.standing(results)
    overall = _overall(results, order, anchors) if len(labels) > 1 and order.problems else []
    return ActiveReport(
        **common_parts(results, "", ", and predict by chance"),
        cost=active_tables.cost_table(results),
        definitions=wording.ACTIVE_DEFINITIONS,
        overall=overall,
        notes=_overall_notes(results, order, seeds) if overall else [],
        sections=[
            Section(label, anchors[label], _tables(results, label), _notes(results, label, seeds)) for label in labels
        ],
    )


def _overall(results: ActiveResults, order: Standing, anchors: dict[str, str]) -> list[tuple[str, Table]]:
    heat = active_tables.overall_map(results, order)
    ranking = active_tables.overall_table(results, order, anchors)
    return [*([(OVERALL_MAP, heat)] if heat else []), ("All learners" if heat else "", ranking)]


def _overall_notes(results: ActiveResults, order: Standing, seeds: int) -> list[str]:
    notes = [
        wording.RANKED_LEARNERS,
        f"{wording.BOLD_LEARNER} {wording.TIED_LEARNERS}" if seeds > 1 else wording.ONE_SEED_LEARNERS,
    ]
    missing = [label for label in results.labels("problem") if label not in order.problems]
    return [*notes, f"{', '.join(missing)}: no regret is known there."] if missing else notes


def _notes(results: ActiveResults, problem: str, seeds: int) -> list[str]:
    if not any(place == problem for place, _ in results.traces):
        return [wording.NO_RESULTS]
    by = "mean accuracy, the highest" if results.measure(problem) == "accuracy" else "mean RMSE, the lowest"
    bold = f"{wording.BOLD_LEARNER} {wording.TIED_LEARNERS}" if seeds > 1 else wording.ONE_SEED_LEARNERS
    return [f"Ordered by {by} first. {bold}"]


def _tables(results: ActiveResults, problem: str) -> list[tuple[str, Table]]:
    heat, scores = active_tables.area_map(results, problem), active_tables.prediction_table(results, problem)
    tables = [(MAPS[results.measure(problem)], heat)] if heat and scores else []
    tables.append((LEARNING, active_tables.learning_table(results, problem)))
    return [*tables, (PREDICTIONS, scores)] if scores else tables


def render(report: ActiveReport, results: ActiveResults) -> str:
    """Returns the page."""
    how, totals = active_figures.lines(results), active_tables.cost(results)
    look, bars = how.learner_looks(), None
    if statistics.exists(totals, "seconds"):
        others, heading = {"querying_seconds": INK, "rest_seconds": GRID}, "Training (coloured), querying (black), rest"
        own = totals.assign(seconds=totals["training_seconds"])
        drawn = figures.cost(own, look, "cost", others, heading, "training over all problems")
        bars = Drawing(drawn.svg, wording.CAPTIONS["cost_learners"])
    drawings = {section.label: _drawings(results, section, how) for section in report.sections}
    return fill("active.html.j2", report, look=look, drawings=drawings, cost=bars, captions=_captions(drawings))


def _drawings(results: ActiveResults, section: Section, how: Lines) -> dict[str, list[Panels]]:
    """Returns the figures of a problem by the title of the table that they follow."""
    label, salt = section.label, section.anchor
    return {
        LEARNING: active_figures.curves_of(results, label, how, salt),
        PREDICTIONS: active_figures.calibration_of(results, label, how, salt),
    }


def _captions(drawings: dict[str, dict[str, list[Panels]]]) -> dict[str, str]:
    """Returns the captions of all panels by their keys."""
    every = [panels for own in drawings.values() for group in own.values() for panels in group]
    return {panels.caption: wording.CAPTIONS[panels.caption] for panels in every}
