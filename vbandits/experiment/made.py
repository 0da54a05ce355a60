"""How an experiment was made, in words: its command and machine, the settings of every method, and how they differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vbandits.experiment.benchmark import FULL
from vbandits.experiment.extend import asked
from vbandits.experiment.results import StoredResults
from vbandits.report import tables
from vbandits.report.formats import DASH, count, plural
from vbandits.report.page import Facts, Item
from vbandits.report.tables import Column, Entry, Head
from vbandits.serialize import digest, flattened

LONGEST = 40
"""Most letters of a setting in a table."""


def facts_of(results: StoredResults, more: Mapping[str, str | None]) -> Facts:
    """Returns how an experiment was made, with `more` of its benchmark; what it does not tell is left out."""
    experiment = results.experiment
    seconds = sum(sum(job["seconds"].values()) for job in results.jobs if job["status"] == "done")
    known = {
        "Command": experiment.get("command"),
        "Earlier commands": " · ".join(str(one.get("command")) for one in experiment.get("history", ())) or None,
        "Begun": experiment.get("started"),
        "Duration": f"{duration(seconds)} of all jobs together" if seconds else None,
        "Seeds": seeds_text(experiment["seeds"]),
        **more,
        "Lockstep": f"blocks of at most {count(experiment['block'], 'seed')}" if experiment.get("block") else None,
        "Device": experiment.get("device"),
        "Precision": experiment.get("precision", FULL) if experiment.get("device") == "cuda" else None,
        "Machine": _pairs(experiment.get("machine")),
        "Versions": _pairs(experiment.get("versions")),
        "Commit": experiment.get("commit")
        or ("unknown: vbandits was installed, not run from a checkout" if "commit" in experiment else None),
        "Fingerprint": experiment.get("fingerprint"),
    }
    return [(name, str(value)) for name, value in known.items() if value]


def remarks(results: StoredResults) -> list[str]:
    """Returns what a reader should know of how results came about: of several versions, or under an edited name."""
    experiment, told = results.experiment, []
    used: dict[str, Counter[str]] = {}
    for job in results.jobs:
        made = {**(job.get("versions") or {}), "commit": job.get("commit"), "device": job.get("device")}
        for name, value in made.items():
            used.setdefault(name, Counter())[str(value)] += value is not None
    several = [
        f"{name} " + ", ".join(f"{value} ({count(jobs, 'job')})" for value, jobs in sorted((+found).items()))
        for name, found in used.items()
        if len(+found) > 1
    ]
    if several:
        told.append(f"The results were not all made by the same code: {'; '.join(several)}.")
    own = results.folder is not None and "compared" not in experiment
    if own and ("edited" in experiment or experiment.get("fingerprint") != digest(asked(experiment))):
        told.append(
            "experiment.json was edited after the run: it is not what the run wrote. Jobs are shown where they are of "
            "the experiment as it is there now; the same run writes it anew."
        )
    return told


def settings(entry: Mapping[str, Any]) -> Facts:
    """Returns the configuration of a problem or a method: a line per section, every field of it."""
    return [(str(name), _pairs(value) or "none") for name, value in entry.items() if name != "label"]


def _pairs(value: Any) -> str:
    """Returns "name value · name value" for a mapping, and anything else as it is."""
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    return "" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items()) + ")"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(entry) for entry in value) + "]"
    return str(value)


def differing(entries: Sequence[Mapping[str, Any]], what: str) -> list[Item]:
    """Returns a table of the settings in which methods differ; nothing where there is one, or none differs."""
    flat = {str(entry["label"]): dict(flattened(entry)) for entry in entries}
    names = dict.fromkeys(name for own in flat.values() for name in own if name != "label")
    kept = [name for name in names if len({str(own.get(name)) for own in flat.values()}) > 1]
    if len(flat) < 2 or not kept:
        return []
    columns: list[Column] = [
        (Head(name.rpartition(".")[2], name.rpartition(".")[0]), [Entry(_shown(own, name)) for own in flat.values()])
        for name in kept
    ]
    return [tables.table(list(flat), columns, what.capitalize(), f"Settings in which {plural(what)} differ")]


def _shown(own: Mapping[str, Any], name: str) -> str:
    text = _plain(own[name]) if name in own else DASH
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def seeds_text(seeds: Sequence[int]) -> str:
    """Returns "0–15" for consecutive seeds, and a list for others."""
    consecutive = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}{DASH}{seeds[-1]}" if consecutive else ", ".join(map(str, seeds))


def duration(seconds: float) -> str:
    """Returns "1.5 h" or "12 min" or "3.2 s"."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
