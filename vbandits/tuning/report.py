"""The report of a tuning: the setting that was chosen of every method, and what it was chosen from."""

from collections.abc import Mapping
from functools import partial

from vbandits.experiment import sweeps
from vbandits.experiment.made import facts_of, settings
from vbandits.experiment.report import failures_of, warnings_of
from vbandits.experiment.results import StoredResults
from vbandits.report import palette, tables, texts
from vbandits.report.formats import DASH, TIMES, count, decimals, plural
from vbandits.report.page import Facts, Item, Report, Section
from vbandits.report.palette import Style
from vbandits.report.statistics import NOTHING
from vbandits.report.tables import Column, Entry, Head, Table
from vbandits.tuning import figures
from vbandits.tuning.files import words
from vbandits.tuning.results import TunedMethod, Tuning


def report(results: StoredResults) -> Report:
    """Returns the report of a tuning."""
    tuning, experiment = Tuning(results), results.experiment
    problem, method = results.axes
    names = [one.name for one in tuning.methods]
    styles, anchors = palette.styles(names), {name: f"{method}-{i}" for i, name in enumerate(names, 1)}
    failures = failures_of(results)
    warnings = warnings_of(results, failures, ", and a setting that lacks one cannot be chosen", "")
    if tuning.unscored:
        left_out = ", ".join(tuning.unscored)
        warnings.append(f"{left_out}: no {words(tuning.headline)} is known there, and the score is without it.")
    warnings += [f"{one.name}: no setting can be chosen." for one in tuning.methods if one.chosen is None]
    quantities = [count(len(names), method), f"{tuning.settings} settings", count(len(tuning.problems), problem)]
    return Report(
        name=str(experiment["name"]),
        lead=f" {TIMES} ".join([*quantities, count(len(experiment["seeds"]), "seed")]),
        warnings=warnings,
        failures=failures,
        opening=[Section("Chosen", "chosen", [_chosen(tuning, anchors), *_notes(tuning)])],
        sections=[_section(tuning, one, styles[one.name], anchors[one.name]) for one in tuning.methods if one.axes],
        definitions=_definitions(tuning),
        facts=facts_of(results, _facts(tuning)),
        settings=[
            ("What was searched", [(one.name, _searched(one)) for one in tuning.methods if one.axes]),
            (
                plural(problem).capitalize(),
                [(entry["label"], settings(entry)) for entry in experiment[plural(problem)]],
            ),
        ],
        styles=styles,
    )


def _chosen(tuning: Tuning, anchors: Mapping[str, str]) -> Table:
    """Returns a row for every method: the setting that was chosen, and whether the choice mattered."""
    methods = tuning.methods
    scores = [NOTHING if one.chosen is None else one.chosen.score for one in methods]
    differences = [NOTHING if one.next_best is None else one.next_best[1] for one in methods]
    chosen = [DASH if one.chosen is None else sweeps.text(one.chosen.setting, one.edges) for one in methods]
    columns: list[Column] = [
        (Head("Score", words(tuning.headline)), tables.numbers(scores, decimals)),
        (Head("Next best", "difference"), tables.numbers(differences, _places(scores))),
        (Head("Tied", "settings"), [Entry(f"{sum(one.tied)} of {len(one.trials)}") for one in methods]),
        (Head("Setting", "* at an edge"), [Entry(text or "as it is", words=True) for text in chosen]),
        tables.failures(sum(trial.failures for trial in one.trials) for one in methods),
        (Head("Seconds", "all settings"), tables.numbers([one.seconds for one in methods], 0)),
    ]
    return tables.table([one.name for one in methods], columns, tuning.results.axes[1].capitalize())


def _places(scores: list[tuple[float, float, float]]) -> int:
    """Returns the decimals of scores, which their differences share."""
    return decimals([score[0] for score in scores])


def _notes(tuning: Tuning) -> list[str]:
    problem, method = tuning.results.axes
    return [
        f"A score is the mean over {plural(problem)} of {words(tuning.headline)}; "
        f"{'higher' if tuning.higher else 'lower'} is better. Tied are the best setting of a {method} and those that "
        "these seeds do not tell from it. A value with an asterisk is the smallest or the largest that was tried: a "
        "better one may lie beyond."
    ]


def _section(tuning: Tuning, method: TunedMethod, style: Style, anchor: str) -> Section:
    title = f"Score: {words(tuning.headline)}, mean over {plural(tuning.results.axes[0])}"
    drawn = partial(figures.panels, method, style, title, anchor)
    items: list[Item] = [*([drawn] if method.chosen is not None else []), _settings(tuning, method)]
    return Section(method.name, anchor, items)


def _settings(tuning: Tuning, method: TunedMethod) -> Table:
    """Returns a row for every setting, the best first."""
    trials, columns = method.trials, []
    for field in method.axes:
        section, _, name = field.rpartition(".")
        columns.append((Head(name, section), [Entry(sweeps.plain(trial.setting[field])) for trial in trials]))
    scores = [trial.score for trial in trials]
    places = _places(scores)
    columns.append((Head("Score", words(tuning.headline)), tables.numbers(scores, places, method.tied)))
    columns.append((Head("Difference", "to the best"), tables.numbers(method.differences, places)))
    for problem in tuning.problems:
        columns.append((Head(problem), tables.numbers([trial.scores[problem] for trial in trials], decimals)))
    columns.append(tables.failures(trial.failures for trial in trials))
    columns.append((Head("Seconds"), tables.numbers([trial.seconds for trial in trials], 0)))
    labels = ["chosen" if trial is method.chosen else str(place) for place, trial in enumerate(trials, 1)]
    return tables.table(labels, columns, "Rank")


def _definitions(tuning: Tuning) -> Facts:
    return [
        (
            "Score",
            f"The mean over {plural(tuning.results.axes[0])} of {words(tuning.headline)}, each with the same weight, "
            "as the report of a run has it. A setting of which a run failed or is missing has none, and cannot be "
            "chosen.",
        ),
        (
            "Difference",
            "The score of a setting less that of the best one of its method, paired by seed. The best one of several "
            "looks a little better than it is.",
        ),
        texts.intervals(
            "In bold are the best setting and those whose difference to it has an interval that includes 0."
        ),
        texts.failures("their runs go on", "A setting with one cannot be chosen."),
        ("Seconds", "Wall time of all jobs of a setting, or of all settings, whatever it was spent on."),
    ]


def _facts(tuning: Tuning) -> dict[str, str | None]:
    experiment = tuning.results.experiment
    return {
        "Budget": f"{tuning.settings} settings of every {tuning.results.axes[1]} with a search: all of its grid, or a "
        "Latin hypercube in it, the same ones whenever it is run",
        "Steps": f"{experiment['steps']:,}" if "steps" in experiment else None,
    }


def _searched(method: TunedMethod) -> Facts:
    return [(field, ", ".join(map(sweeps.plain, values))) for field, values in method.axes.items()]
