"""Runs checks one after the other, and shows what they found."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vbandits.errors import ConfigError
from vbandits.experiment import resources
from vbandits.experiment.progress import print_line
from vbandits.registry import unknown
from vbandits.report.page import Drawing
from vbandits.theory import bayes, linear, logistic, methods, sampling, toy, widths
from vbandits.theory.check import Check, Measure

CHECKS: tuple[Check, ...] = (
    *linear.CHECKS,
    *bayes.CHECKS,
    *methods.CHECKS,
    *toy.CHECKS,
    *logistic.CHECKS,
    *sampling.CHECKS,
    *widths.CHECKS,
)


@dataclass(frozen=True)
class Outcome:
    """A check's measures and figures, or why it could not be computed."""

    check: Check
    measures: tuple[Measure, ...]
    drawings: tuple[Drawing, ...]
    passed: bool
    seconds: float
    error: str = ""


def chosen(ids: str | None) -> tuple[Check, ...]:
    """Returns the checks with these ids, separated by commas, or all.

    Raises:
        ConfigError: for an id that no check has.
    """
    if ids is None:
        return CHECKS
    names = [name.strip() for name in ids.split(",") if name.strip()]
    known = [check.id for check in CHECKS]
    errors = [unknown("check", name, known) for name in names if name not in known]
    if errors or not names:
        raise ConfigError(*errors or ["--only: expected ids of checks, got none: see vbandits theory --list"])
    return tuple(check for check in CHECKS if check.id in names)


def run(checks: Iterable[Check], console: Console) -> list[Outcome]:
    """Runs checks on one thread, and says how far it is."""
    checks = tuple(checks)
    outcomes = []
    with resources.one_thread(), console.status("") as status:
        for i, check in enumerate(checks):
            status.update(f"{check.id} ({i + 1} of {len(checks)})")
            outcomes.append(outcome(check))
            last = outcomes[-1]
            verdict = "as expected" if last.passed else last.error or "not as expected"
            style = "" if last.passed else "red"
            print_line(console, f"[{i + 1}/{len(checks)}] {check.id}: {verdict}, {last.seconds:.1f} s", style)
    return outcomes


def outcome(check: Check) -> Outcome:
    """Runs a check; one that raises has not passed, and keeps no other from running."""
    start = time.perf_counter()
    try:
        finding = check.run()
        drawings = tuple(finding.draw()) if finding.draw else ()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return Outcome(check, (), (), False, time.perf_counter() - start, reason)
    return Outcome(check, finding.measures, drawings, finding.passed, time.perf_counter() - start)


def table(outcomes: Sequence[Outcome]) -> Table:
    """Returns claims, what was measured and what was expected, for a terminal."""
    shown = Table("check", "claim", "measured", "expected", "as expected", box=SIMPLE)
    for each in outcomes:
        verdict = "yes" if each.passed else "[red]no[/red]"
        shown.add_row(each.check.id, f"[bold]{escape(each.check.claim)}[/bold]", "", "", verdict)
        if each.error:
            shown.add_row("", escape(each.error), "", "", "", style="red")
        for measure in each.measures:
            if measure.expected:
                style = "" if measure.passed else "red"
                shown.add_row("", escape(measure.name), measure.measured, measure.expected, "", style=style)
        shown.add_section()
    return shown


def listing() -> Table:
    """Returns ids and claims."""
    shown = Table("check", "theme", "claim", box=None, pad_edge=False)
    for check in CHECKS:
        shown.add_row(check.id, check.theme, escape(check.claim))
    return shown
