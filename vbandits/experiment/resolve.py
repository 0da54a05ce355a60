"""From what a user wrote to an experiment: all of it is checked before anything runs, and all errors told at once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Benchmark, Experiment, benchmark, benchmarks
from vbandits.experiment.config import Part
from vbandits.experiment.settings import toml
from vbandits.registry import load, unknown
from vbandits.serialize import digest

ARGUMENT = re.compile(r"([^=]+\.)?kwargs\.[^=]+=")
"""Begins a setting that says which problem is meant."""
SEARCH = "search"
"""Key of a method whose settings are tried, see `vbandits.tuning`."""

COMMA = re.compile(r",(?![^\[]*\])")
"""Between names; those within the brackets of a list are part of a label, as in "MyPolicy weights=[1, 2]"."""
LONGEST = 100
"""Most bytes of a name that is made of those of what is run."""


def read(path: Path) -> dict[str, Any]:
    """Returns the content of an experiment file.

    Raises:
        ConfigError: if it is missing, not TOML, or too deep.
    """
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        message = unknown("experiment file", str(path), near) if near else f"no experiment file {str(path)!r}"
        raise ConfigError(message)
    try:
        return toml(path.read_text(encoding="utf-8"), path)
    except ValueError as error:  # also numbers with more digits than Python reads
        raise ConfigError(f"{path}: expected TOML, got: {error}") from None


def resolve(
    document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
) -> Experiment:
    """Returns the experiment that a document (the content of a file) and `settings` ("section.field=value") describe.

    Args:
        document: with the sections of one benchmark, such as `environments` and `agents`; `benchmark` names one that
            is not ours, "module:name".
        settings: fields that are changed wherever they are.
        data_dir: where data sets lie; without it, the environment variable VBANDITS_DATA says so.

    Raises:
        ConfigError: with all errors of the document.
    """
    chosen = benchmark_of(document)
    if searched := searches(document, chosen):
        raise ConfigError(
            *[
                f"{where}.{SEARCH}: expected no search in a run, got one: `vbandits tune` tries settings"
                for where in searched
            ]
        )
    content = {key: value for key, value in document.items() if key != "benchmark"}
    return load(chosen.config)(content, settings, data_dir).experiment()


def searches(document: Mapping[str, Any], kind: Benchmark) -> list[str]:
    """Returns where the methods of a document are that have a search."""
    section = kind.sections[1]
    entries = document.get(section)
    entries = entries if isinstance(entries, list | tuple) else []
    return [f"{section}[{i}]" for i, entry in enumerate(entries) if isinstance(entry, Mapping) and SEARCH in entry]


def benchmark_of(document: Mapping[str, Any]) -> Benchmark:
    """Returns the benchmark that a document names, or else whose sections it has.

    Raises:
        ConfigError: if there is none, or more than one.
    """
    if "benchmark" in document:
        named = document["benchmark"]
        try:
            return named if isinstance(named, Benchmark) else benchmark(named, imports=True)
        except ValueError as error:
            raise ConfigError(f"benchmark: {error}") from None
    every = benchmarks()
    named = [one for one in every if any(section in document for section in one.sections)]
    if len(named) == 1:
        return named[0]
    wanted = " or ".join(" and ".join(f"[[{section}]]" for section in one.sections) for one in every)
    given = [f"[[{section}]]" for one in named for section in one.sections if section in document]
    errors = [f"experiment: expected either {wanted}, got {' and '.join(given) or 'none of them'}"]
    known = [section for one in every for section in one.sections]
    errors += [
        f"experiment: {unknown('key', key, known)}"
        for key in document
        if key not in known and get_close_matches(key, known, cutoff=0.8)
    ]
    raise ConfigError(*errors)


def select(
    document: Mapping[str, Any], chosen: Mapping[str, str], options: Iterable[str] = (), settings: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns a document of which only what is named of some sections is left: names separated by commas, by section.

    Args:
        document: the content of a file, or nothing: it then becomes an experiment of what is named.
        chosen: names by section.
        options: others that a misspelt section could stand for.
        settings: whose sweeps have labels as well; where the file has no methods, of all presets.

    Raises:
        ConfigError: for a section that the experiment has not, or a name that is in none.
    """
    if not chosen:
        return dict(document)
    own = "benchmark" in document
    known = [section for one in ([benchmark_of(document)] if own else benchmarks()) for section in one.sections]
    if wrong := [section for section in chosen if section not in known]:
        names = [f"--{name}" for name in (*known, *options)]
        raise ConfigError(*[unknown("option", f"--{section}", names) for section in wrong])
    whole = own or any(section in document for section in known)
    one = benchmark_of(document if whole else chosen)
    if wrong := [section for section in chosen if section not in one.sections]:
        has = " and ".join(f"[[{section}]]" for section in one.sections)
        raise ConfigError(
            *[f"--{section}: expected a section of this experiment, which has {has}" for section in wrong]
        )
    if not (whole or one.ad_hoc):
        raise ConfigError(f"--{next(iter(chosen))}: expected an experiment file, got none")
    content = {key: value for key, value in document.items() if key != "benchmark"}
    config, selected = load(one.config)(content, settings), dict(document)
    for section, names in chosen.items():
        entries = document.get(section, [])
        entries = entries if isinstance(entries, list) else []
        if settings and not entries and section == one.sections[1]:
            entries = [{"id": name} for name in load(one.presets)]
        labels = [entry.get("label") for entry in entries if isinstance(entry, Mapping)]
        split = [names] if names in labels else [name.strip() for name in COMMA.split(names) if name.strip()]
        selected[section] = config.filter_entries(section, entries, split)
    return selected


def ad_hoc(document: Mapping[str, Any], settings: Sequence[str] = ()) -> dict[str, Any]:
    """Returns a document without a file as one that is whole: with all methods where none is named, and a name made of
    what is named and of the arguments that `settings` give to problems, such as the file that they are of.

    Raises:
        ConfigError: if it has no problems.
    """
    every = [one for one in benchmarks() if one.ad_hoc]
    found = next((one for one in every if document.get(one.sections[0])), None)
    if found is None:
        ways = [f"--{one.sections[0]} (and --{one.sections[1]})" for one in every]
        raise ConfigError(f"expected an experiment file, or {', or '.join(ways)}, got none of them")
    problems, methods = found.sections
    whole = {**document, methods: document.get(methods) or [{"id": name} for name in load(found.presets)]}
    if "name" in document:
        return whole
    entries = [entry for section in (problems, methods) for entry in document.get(section, [])]
    ids = [entry.name if isinstance(entry, Part) else entry["id"] for entry in entries]
    ids += [text.partition("=")[2] for text in settings if ARGUMENT.match(text)]
    name = "-".join(str(one).rpartition("/")[2].rpartition(":")[2].lower() for one in ids) or "run"
    name = re.sub(r"[^\w.]+", "-", name).strip("-.")
    letters = name.encode(errors="surrogateescape")  # of the command line, which need not be UTF-8
    if len(letters) > LONGEST:  # the rest would not fit into the name of a folder
        name = f"{letters[: LONGEST // 2].decode(errors='ignore')}-and-more-{digest(name)[:8]}"
    return whole | {"name": name}
