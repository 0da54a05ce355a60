"""A job that does not fit into the memory of a GPU is run in parts of its seeds that do, one after another."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from vbandits.experiment import resources
from vbandits.experiment.benchmark import Job, Outcome
from vbandits.experiment.isolation import isolated
from vbandits.experiment.observer import Observer
from vbandits.experiment.store import Store

SPLIT = "its seeds did not fit into the memory together: it was run in {} parts"


@dataclass(frozen=True)
class Ran:
    """What a job, or a part of it, leaves.

    Attributes:
        seeds: how many it had.
        outcome: what its benchmark says.
        memory: the most that was in use, in MB.
        last: means over seeds of what was told last.
    """

    seeds: int
    outcome: Outcome
    memory: float
    last: dict[str, float]


def run(job: Job, observer: Observer, store: Store) -> Ran:
    """Runs a job, all seeds at once; if they do not fit into memory half as many, and again half as many, down to one.

    A seed's result is its own: the parts leave what the whole would have left, but for last digits of a GPU, which
    depend on what is computed together. How many fit is found out anew in every run, and a run that goes on knows the
    job by all its seeds. Checkpoints are of parts, and stay until all have ended.

    Raises:
        torch.OutOfMemoryError: if one seed alone does not fit.
    """
    size, left, ended = len(job.seeds), job.seeds, list[Ran]()
    while left:
        part = job if size == len(job.seeds) else replace(job, seeds=left[:size], whole=job.seeds)
        observer.begin(part, len(job.seeds) - len(left))
        with isolated(), resources.one_thread():
            resources.reset(job.device)  # also of what an attempt that failed has left
            try:
                outcome = part.run(observer, store.checkpoint(_name(part)))
            except Exception as error:
                if len(part.seeds) == 1 or not resources.exhausted(error):
                    raise
                size = half(len(part.seeds))
                continue
            ended.append(Ran(len(part.seeds), outcome, resources.peak(job.device), observer.last()))
        left = left[size:]
    return together(ended)


def half(seeds: int) -> int:
    """Returns how many of so many seeds are tried next where they do not fit into memory."""
    return (seeds + 1) // 2


def forget(job: Job, observer: Observer, store: Store) -> None:
    """Removes the checkpoints of a job, and those of parts of it; a job on a GPU may once have run in such."""
    of_parts = store.jobs.glob(f"{job.key}.seeds-*") if observer.in_parts or job.device != "cpu" else ()
    for path in (store.checkpoint(job.key), *of_parts):
        path.unlink(missing_ok=True)


def _name(part: Job) -> str:
    return part.key if not part.whole else f"{part.key}.seeds-{part.seeds[0]}-{part.seeds[-1]}"


def together(parts: Sequence[Ran]) -> Ran:
    """Returns what the whole of a job leaves that was run in parts."""
    outcomes, seeds = [part.outcome for part in parts], sum(part.seeds for part in parts)
    keep = _keeping([own.keep for own in outcomes if own.keep is not None])
    if len(parts) == 1:
        return replace(parts[0], outcome=replace(outcomes[0], keep=keep))
    held_out = [own.held_out for own in outcomes if own.held_out is not None]
    outcome = Outcome(
        pd.concat([own.records for own in outcomes], ignore_index=True),
        tuple(seed for own in outcomes for seed in own.diverged),
        dict(sum((Counter(own.seconds) for own in outcomes), Counter())),
        pd.concat(held_out, ignore_index=True) if held_out else None,
        keep,
        (*dict.fromkeys(note for own in outcomes for note in own.notes), SPLIT.format(len(parts))),
        len(parts),
    )
    told = [name for name in parts[0].last if all(name in part.last for part in parts)]
    last = {name: sum(part.seeds * part.last[name] for part in parts) / seeds for name in told}
    return Ran(seeds, outcome, max(part.memory for part in parts), last)


def _keeping(keep: Sequence[Callable[[Path], None]]) -> Callable[[Path], None] | None:
    """Returns what writes what was trained in each part, to files of its own, in the place of those of more parts."""

    def write(path: Path) -> None:
        number = len(keep) + 1
        while (about := path.with_name(f"{path.name}.part{number}.json")).exists():
            about.unlink()
            about.with_suffix(".safetensors").unlink(missing_ok=True)
            number += 1
        for number, own in reversed([*enumerate(keep, 1)]):  # the first last: where it is, all are
            own(path if number == 1 else path.with_name(f"{path.name}.part{number}"))

    return write if keep else None
