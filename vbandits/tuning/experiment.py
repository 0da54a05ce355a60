"""From a file with searches to an ordinary experiment, in which every setting that is tried is a method."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vbandits.errors import ConfigError
from vbandits.experiment import sweeps
from vbandits.experiment.benchmark import Benchmark, Experiment
from vbandits.experiment.resolve import SEARCH, benchmark_of, resolve, searches, select
from vbandits.experiment.settings import toml
from vbandits.registry import load, unknown
from vbandits.tuning import search

SETTINGS = "settings"
"""Key of an experiment file: how many settings of every method are tried."""
EXAMPLE = 'search = { "optimizer.learning_rate" = [0.003, 0.01, 0.03] }'
Trials = dict[str, dict[str, Any]]
"""What is tried, by the name of a method, as JSON: `axes`, and `trials`, each with its `label`, its `setting`, the
labels of the `methods` that it became (of learners one for each acquisition), and the `preset` that it would make."""


def resolve_tuning(
    document: Mapping[str, Any],
    chosen: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
    data_dir: str | Path | None = None,
    options: Iterable[str] = (),
) -> Experiment:
    """Returns the experiment that tries the settings of every method.

    Args:
        document: the content of an experiment file whose methods have a `search`.
        chosen: names of problems and methods by section, separated by commas; all by default.
        settings: "section.field=value", changed wherever it is, but for what is searched.
        data_dir: where data sets lie.
        options: others that a misspelt section could stand for.

    Raises:
        ConfigError: with all that is wrong.
    """
    kind, content = benchmark_of(document), dict(document)
    section = kind.sections[1]
    wanted = dict(chosen or {})
    if (names := wanted.pop(section, None)) is not None:
        content[section] = _named(section, content.get(section, []), names)
    content = select(content, wanted, options, list(settings))
    if not searches(content, kind):
        raise ConfigError(
            f"{section}: expected one with a search, such as {EXAMPLE}, got none: `vbandits run` runs such a file"
        )
    settings = list(settings)
    tuning, entries = _trials(content, kind, settings)
    plain = {key: value for key, value in content.items() if key != SETTINGS} | {section: entries}
    experiment = resolve(plain, settings, data_dir)
    config = load(kind.config)({key: value for key, value in plain.items() if key != "benchmark"}, settings, data_dir)
    trials = [trial for method in tuning.values() for trial in method["trials"]]
    for entry, trial in zip(entries, trials, strict=True):
        specs = [*config.methods(entry, section)]
        trial["methods"] = [spec.label for spec in specs]
        if len({getattr(spec, "method", spec.label) for spec in specs}) > 1:
            raise ConfigError(
                f"{section} ({trial['label']}): expected one value of each field beside a search, got a list of values "
                f"for {trial['methods']}: write the list into `search`"
            )
    return replace(experiment, tuning={SETTINGS: content[SETTINGS], "methods": tuning})


def _trials(content: Mapping[str, Any], kind: Benchmark, settings: list[str]) -> tuple[Trials, list[dict[str, Any]]]:
    """Returns what is tried, and all of it as entries of a file."""
    section, count, errors = kind.sections[1], content.get(SETTINGS), []
    if type(count) is not int or not 1 <= count <= sweeps.MOST:
        errors.append(
            f"{SETTINGS}: expected how many settings of every method are tried, such as {SETTINGS} = 8, at most "
            f"{sweeps.MOST:,}, got {count!r}"
        )
        count = 1
    errors += [
        f"--set: expected a field of problems, such as kwargs.delta, got {field!r}, which presets would not tell: "
        "write it into the file"
        for field in (text.partition("=")[0].strip() for text in settings)
        if not field.startswith(("kwargs.", f"{kind.sections[0]}."))
    ]
    tuning, entries = {}, []
    for place, given in enumerate(content[section]):
        entry, where = {"id": given} if isinstance(given, str) else given, f"{section}[{place}]"
        name = name_of(entry)
        if name is None:
            errors.append(f"{where}: expected a label, which becomes the name of a preset, got {given!r}")
            continue
        if name in tuning:
            errors.append(f"{where}: expected labels that differ, got {name!r} again: set `label`")
            continue
        where = f"{where} ({name}).{SEARCH}"
        axes = search.axes_of(entry[SEARCH], where, errors) if SEARCH in entry else {}
        errors += [f"{where}: expected fields of a preset, got {field!r}" for field in axes if _apart(field, kind)]
        base = {key: value for key, value in entry.items() if key != SEARCH}
        try:
            chosen = search.choose(axes, count) if axes else [{}]
            made = [search.changed(base, setting) for setting in chosen]
        except ValueError as error:
            errors.append(f"{where}: {error}")
            continue
        made = [{**one, "label": f"{name} {sweeps.text(own)}".strip()} for one, own in zip(made, chosen, strict=True)]
        # what nothing is said of is what the presets that are written will have, not what a preset of today has
        usual = {} if "id" in base else load(kind.config).untuned
        entries += [{**usual, **one} for one in made]
        trials = [
            {"label": one["label"], "setting": own, "preset": preset_of(one, kind)}
            for one, own in zip(made, chosen, strict=True)
        ]
        tuning[name] = {"axes": axes, "trials": trials}
    if errors:
        raise ConfigError(*errors)
    return tuning, entries


def check_replaced(path: Path, experiment: Experiment) -> None:
    """Refuses to write presets over a file that has others.

    Raises:
        ConfigError: if it has a preset that the tuning does not make, or is no file of presets.
    """
    assert experiment.tuning is not None
    try:
        sections = toml(path.read_text(encoding="utf-8"), path)
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigError(f"--write: expected a file of presets, or none yet, got {path}: {error}") from None
    names = {name for section in sections.values() if isinstance(section, dict) for name in section}
    if lost := sorted(names - experiment.tuning["methods"].keys()):
        raise ConfigError(
            f"--write: expected a file whose presets are all made anew, got {path} with {', '.join(lost)}: tune them "
            "as well, or name another file"
        )


def _apart(field: str, kind: Benchmark) -> bool:
    """Returns whether a field is none that a preset sets."""
    return field.partition(".")[0] in ("id", "label", *load(kind.config).apart)


def name_of(entry: Any) -> str | None:
    """Returns what the preset of an entry is called: its label, or else its id."""
    if not isinstance(entry, Mapping):
        return None
    name = entry.get("label") or entry.get("id")
    return name if isinstance(name, str) else None


def preset_of(entry: Mapping[str, Any], kind: Benchmark) -> dict[str, Any]:
    """Returns an entry as a preset: with all that it sets, and what the preset sets that it is made from."""
    presets = load(kind.presets)
    own = {key: value for key, value in entry.items() if key == "id" or not _apart(key, kind)}
    if own.get("id") not in [*presets]:
        return own
    made = dict(presets[own.pop("id")])
    return made | {key: search.merged(made.get(key), value) for key, value in own.items()}


def _named(section: str, entries: Any, names: str) -> list[Any]:
    """Returns the entries with a name among those that commas separate."""
    every = {name_of({"id": entry} if isinstance(entry, str) else entry): entry for entry in entries}
    split = [names] if names in every else [name.strip() for name in names.split(",") if name.strip()]
    if wrong := [name for name in split if name not in every]:
        known = [name for name in every if name is not None]
        raise ConfigError(*[f"--{section}: {unknown(section[:-1], name, known)}" for name in wrong])
    return [entry for name, entry in every.items() if name in split]
