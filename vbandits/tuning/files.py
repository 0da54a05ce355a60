"""What a tuning leaves: a table of all trials, and the presets in the language of vbandits/presets."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from vbandits.experiment import sweeps
from vbandits.experiment.progress import print_line
from vbandits.experiment.results import StoredResults
from vbandits.experiment.store import PRESETS, TRIALS
from vbandits.files import write_text
from vbandits.report.files import harmless
from vbandits.report.formats import MINUS, decimals, interval, number, plural
from vbandits.report.statistics import Interval
from vbandits.tuning.results import TunedMethod, Tuning

WIDTH = 118
"""Most letters in a line of a comment."""


def leave(results: StoredResults, folder: Path, beside: Path | None, console: Console) -> bool:
    """Writes trials.csv and presets.toml into a results folder, and prints what was chosen.

    Args:
        results: of a tuning.
        folder: where they lie.
        beside: where to write the presets as well, unless a method has none.
        console: told where they are.

    Returns:
        Whether every method has a preset.
    """
    tuning = Tuning(results)
    table = trials(tuning).map(lambda cell: harmless(cell) if isinstance(cell, str) else cell)
    write_text(folder / TRIALS, table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    lacking = [method.name for method in tuning.methods if method.chosen is None]
    paths = [folder / PRESETS, *([beside] if beside is not None and not lacking else [])]
    for path in paths:
        write_text(path, presets(tuning))
    Console().print(_table(tuning))
    for name in lacking:
        print_line(console, f"{name}: every setting has a run that is missing or failed, so that none is chosen", "red")
    print_line(console, f"Presets: {', '.join(map(str, paths))}")
    return not lacking


def _table(tuning: Tuning) -> Table:
    table = Table(box=None, pad_edge=False, caption="*: at an edge of what was tried", caption_justify="left")
    heads = (tuning.results.axes[1], words(tuning.headline), "95%", "chosen")
    for place, head in enumerate(heads):
        table.add_column(head, overflow="fold", justify="right" if place == 1 else "left", no_wrap=place < 3)
    for method in tuning.methods:
        if method.chosen is not None:
            value, _, ends = estimate(method.chosen.score).partition(" ")
            table.add_row(method.name, value, ends, sweeps.text(method.chosen.setting, method.edges))
    return table


def trials(tuning: Tuning) -> pd.DataFrame:
    """Returns a row for every trial, the best of a method first.

    Columns: the name of the method; every field that was searched, empty where a method has it not; the score by
    problem; score, its interval, and the difference to the method's best with its interval; failures, seconds, chosen.
    """
    searched = dict.fromkeys(field for method in tuning.methods for field in method.axes)
    rows = []
    for method in tuning.methods:
        for trial, difference in zip(method.trials, method.differences, strict=True):
            fields = {field: toml(trial.setting[field]) if field in trial.setting else "" for field in searched}
            row = {tuning.results.axes[1]: method.name, **fields}
            row |= {f"{tuning.headline} {problem}": score for problem, score in trial.scores.items()}
            row |= _ends("score", trial.score) | _ends("difference", difference)
            row |= {"failures": trial.failures, "seconds": trial.seconds, "chosen": trial is method.chosen}
            rows.append(row)
    return pd.DataFrame(rows)


def _ends(name: str, estimate: Interval) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True))


def presets(tuning: Tuning) -> str:
    """Returns the presets file: the chosen setting of every method, and what it was chosen over."""
    section = plural(tuning.results.axes[1])
    parts = [_head(tuning)]
    for method in tuning.methods:
        lines = [*_about(tuning, method)]
        if method.chosen is not None:
            lines.append(f"[{section}.{_key(method.name)}]")
            lines += [f"{_key(name)} = {toml(value)}" for name, value in method.chosen.preset.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _head(tuning: Tuning) -> str:
    experiment, (problem, method) = tuning.results.experiment, tuning.results.axes
    seeds = experiment["seeds"]
    problems = "; ".join(tuning.problems)
    better = "highest" if tuning.higher else "lowest"
    steps = f"; {experiment['steps']:,} steps" if "steps" in experiment else ""
    lines = [
        f"{plural(method).capitalize()} by name, as the sections of an experiment file; fields that are not named have "
        f"the defaults of their classes. Each is the best of the settings that were tried of it: the one with the "
        f"{better} score, which is the mean over {plural(problem)} of {words(tuning.headline)}. Differences are "
        "paired by seed; brackets are 95% intervals.",
        f"Written by: {experiment['command']}",
        f"vbandits {experiment['versions']['vbandits']}; {tuning.settings} settings of every {method} with a search; "
        f"{len(seeds)} seeds, {min(seeds)} to {max(seeds)}{steps}; {plural(problem)}: {problems}.",
    ]
    return "\n#\n".join(_comment(line) for line in lines)


def _about(tuning: Tuning, method: TunedMethod) -> list[str]:
    """Returns the comment above a preset."""
    if method.chosen is None:
        return [_comment(f"{method.name}: none, as every setting has a run that is missing or failed.")]
    if not method.axes:
        return [_comment(f"Not searched; {_score(method.chosen.score)}.")]
    texts = [_score(method.chosen.score).capitalize()]
    if method.next_best is not None:
        other, difference = method.next_best
        texts.append(
            f"the next best, {other.text}, differs by {estimate(difference, decimals([method.chosen.score[0]]))}"
        )
    if method.edges:
        texts.append(f"at an edge of what was tried: {', '.join(method.edges)}")
    return [_comment("; ".join(texts) + ".")]


def _score(score: Interval) -> str:
    return f"score {estimate(score)}"


def estimate(value: Interval, places: int | None = None) -> str:
    """Returns a number with its interval; the places of three digits by default."""
    middle, low, high = value
    shown = decimals([middle]) if places is None else places
    ends = "" if low == high else interval(low, high, shown)
    return f"{number(middle, shown)} {ends}".replace(MINUS, "-").strip()


def words(column: str) -> str:
    """Returns the name of a column as words."""
    return column.replace("_", " ")


def _comment(text: str) -> str:
    wrapped = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in wrapped)


def toml(value: Any) -> str:
    """Returns a value as TOML on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
