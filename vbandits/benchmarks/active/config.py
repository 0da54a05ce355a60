"""An active-learning experiment: `[[problems]]` and `[[learners]]`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.agents.acquisition import Entropy, PosteriorSampling, Random
from vbandits.agents.acquisition.base import CLASSES, REGRESSION, Scored
from vbandits.agents.learner import LearnerSpec, Training
from vbandits.agents.rehearsal import rehearse_learner
from vbandits.benchmarks.active.experiment import ActiveExperiment, Problem
from vbandits.envs.active.spaces import STREAM, family, known_labels
from vbandits.envs.spec import EnvironmentSpec, open_problem, parameters
from vbandits.errors import ConfigError
from vbandits.experiment import config as common
from vbandits.experiment.config import Count, Entry, Name, Settings, check_labels, numbered, section, validate, words
from vbandits.networks import MLP
from vbandits.registry import ACQUISITIONS, LEARNERS, find, unknown
from vbandits.types import Optimizer

DEFAULT = "vbandits/PoolActiveLearning-v0"
SECTIONS = ("posterior", "network", "optimizer", "training")


class ProblemEntry(Entry):
    """`[[problems]]` of an experiment file."""

    id: Any = DEFAULT
    kwargs: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None


class LearnerEntry(Entry):
    """`[[learners]]` of an experiment file: one or many, for each method named, and each acquisition of it."""

    id: str | list[str] | None = None
    acquisition: Any = None
    label: str | None = None
    posterior: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    candidates: Count | None = None


class ActiveFile(Entry):
    """The whole of an experiment file."""

    name: Name
    seeds: Any = 8
    problems: Annotated[list[Any], Field(min_length=1)]
    learners: Annotated[list[Any], Field(min_length=1)]
    evaluations: Count = 100
    block: Count = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"


def resolve(
    document: Mapping[str, Any], settings: Iterable[str] = (), data_dir: str | Path | None = None
) -> ActiveExperiment:
    """Returns the active-learning experiment that a document (the content of a file) and `settings` describe.

    Raises:
        ConfigError: with all faults of the document.
    """
    faults: list[str] = []
    file = validate(ActiveFile, dict(document), "", faults)
    overrides = Settings(settings, faults)
    folder = common.folder_of(data_dir)
    # also where the document as a whole is faulty, to tell all faults at once
    environments = [_environment(entry, i, folder, overrides, faults) for i, entry in numbered(document, "problems")]
    learners = [spec for i, entry in numbered(document, "learners") for spec in _learners(entry, i, overrides, faults)]
    overrides.check(faults)
    seeds = common.seeds_of(document.get("seeds", 8), faults)
    device = common.device_of(file.device, faults) if file else "cpu"
    known = [spec for spec in environments if spec is not None]
    check_labels("problems", known, faults)
    check_labels("learners", learners, faults)
    _check_pairs(learners, faults)
    problems, notes = _try(known, learners, faults)
    if faults or file is None:
        raise ConfigError(faults)
    return ActiveExperiment(
        file.name, seeds, tuple(problems), tuple(learners), file.evaluations, file.block, device, tuple(notes)
    )


def _environment(
    entry: Any, index: int, data_dir: str | None, settings: Settings, faults: list[str]
) -> EnvironmentSpec | None:
    where = f"problems[{index}]"
    if isinstance(entry, EnvironmentSpec):
        return replace(entry, data_dir=entry.data_dir or data_dir)
    parsed = common.entry(ProblemEntry, {"id": entry} if not isinstance(entry, Mapping) else entry, where, faults)
    if parsed is None:
        return None
    if not (isinstance(parsed.id, str) or callable(parsed.id)):
        faults.append(f"{where}.id: expected an id such as {DEFAULT!r}, got {parsed.id!r}")
        return None
    kwargs = dict(parsed.kwargs)
    kwargs |= dict(settings.of("kwargs", {*kwargs, *parameters(parsed.id)}))
    label = parsed.label or _named(parsed.id, kwargs)
    return EnvironmentSpec(label, parsed.id, kwargs, data_dir=data_dir)


def _named(source: Any, kwargs: Mapping[str, Any]) -> str:
    """Returns a label: the pool's name, of a file with its target, the id in front where it is not the usual one."""
    pool, target = kwargs.get("pool"), kwargs.get("target")
    parts = [] if source == DEFAULT and pool is not None else [common.short(source)]
    parts += [] if pool is None else [Path(pool).name if isinstance(pool, str) else "pool"]
    return " ".join([*parts, *([str(target)] if target is not None else [])])


def _learners(entry: Any, index: int, settings: Settings, faults: list[str]) -> Iterator[LearnerSpec]:
    """Yields the learners of an entry: every method with every acquisition."""
    where = f"learners[{index}]"
    if isinstance(entry, LearnerSpec):
        acquired = entry.acquired or type(entry.acquisition).__name__
        yield replace(entry, method=entry.method or entry.label, acquired=acquired)
        return
    entry = {"id": entry} if isinstance(entry, str) else entry
    if isinstance(entry, Mapping):
        entry = {**entry, **dict(settings.of("", {"candidates"}))}
    parsed = common.entry(LearnerEntry, entry, where, faults)
    if parsed is None:
        return
    acquisitions = [_acquisition(given, where, settings, faults) for given in _listed(parsed.acquisition)]
    if not acquisitions:
        faults.append(f"{where}.acquisition: expected one or a list of {', '.join(sorted(ACQUISITIONS))}, got none")
    names = parsed.id if isinstance(parsed.id, list) else [parsed.id]
    if parsed.id is None and parsed.posterior is None:
        faults.append(f"{where}: expected an id (one of {', '.join(sorted(LEARNERS))}), or a posterior")
        return
    if parsed.label is not None and len(names) > 1:
        faults.append(f"{where}.label: expected none with several ids, got {parsed.label!r}: the ids are the labels")
    for name in names:
        made = _method(name, parsed, where, settings, faults)
        for found in acquisitions:
            if made is not None and found is not None:
                acquired, acquisition = found
                yield replace(made, label=f"{made.method} {acquired}", acquisition=acquisition, acquired=acquired)


def _check_pairs(learners: list[LearnerSpec], faults: list[str]) -> None:
    """Appends a fault for each method that has an acquisition of one name twice, under other labels."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for spec in learners:
        pairs.setdefault((spec.method, spec.acquired), []).append(spec.label)
    for (method, acquired), labels in pairs.items():
        if len(set(labels)) > 1:
            faults.append(
                f"learners: expected every acquisition of the method {method!r} under a name of its own, got "
                f"{acquired!r} for {' and '.join(map(repr, labels))}: set `acquired`"
            )


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if common.is_list(value) else [value]


def _acquisition(given: Any, where: str, settings: Settings, faults: list[str]) -> tuple[str, Any] | None:
    """Returns an acquisition and its label; it is named, or a table with its kind and fields."""
    content = {"kind": given} if isinstance(given, str) else given
    if not isinstance(content, Mapping):
        if callable(getattr(given, "select", None)):
            return type(given).__name__, given
        faults.append(f"{where}.acquisition: expected a name such as 'bald', or a table with its kind, got {given!r}")
        return None
    content = dict(content)
    label = content.pop("label", None)
    if not isinstance(content.get("kind"), str):
        faults.append(f"{where}.acquisition: expected a kind such as 'bald', got {content.get('kind')!r}")
        return None
    before = len(faults)
    made = section("acquisition", None, content, settings, where, faults)
    name = given if isinstance(given, str) else label or " ".join(map(str, given.values()))
    return None if len(faults) > before else (str(name), made)


def _method(
    name: str | None, parsed: LearnerEntry, where: str, settings: Settings, faults: list[str]
) -> LearnerSpec | None:
    """Returns a learner without its acquisition. Where it trains from scratch its learning rate falls to zero over the
    steps of a training, if `decay_steps` does not say otherwise."""
    if name is not None and name not in LEARNERS:
        faults.append(f"{where}: {unknown('method of a learner', name, LEARNERS)}")
        return None
    label = parsed.label or name or str((parsed.posterior or {}).get("kind"))
    where, before = f"{where} ({label})", len(faults)
    preset = dict(LEARNERS[name]) if name else {}
    try:
        base = {"posterior": None, "network": MLP(), "optimizer": Optimizer(), "training": Training()}
        base |= common.preset(preset)
        parts = {part: section(part, base[part], getattr(parsed, part), settings, where, faults) for part in SECTIONS}
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None
    if len(faults) > before:
        return None
    training, optimizer = parts["training"], parts["optimizer"]
    given = {*preset.get("optimizer", {}), *(parsed.optimizer or {}), *dict(settings.of("optimizer", {"decay_steps"}))}
    if training.start == "warm" and optimizer.decay_steps:
        faults.append(
            f"{where}.optimizer.decay_steps: expected 0 for warm training, which goes on after any number of "
            f"steps, got {optimizer.decay_steps}"
        )
        return None
    if training.start == "scratch" and "decay_steps" not in given:
        parts["optimizer"] = replace(optimizer, decay_steps=training.gradient_steps)
    nothing = Random()  # until the caller sets it
    return LearnerSpec(label, acquisition=nothing, candidates=parsed.candidates, method=label, **parts)


def _try(
    environments: list[EnvironmentSpec], learners: list[LearnerSpec], faults: list[str]
) -> tuple[list[Problem], list[str]]:
    """Opens every environment with one lane, and lets every learner train and buy once in each.

    Returns the problems, and what they say of themselves.
    """
    problems, notes, told = [], [], set()
    for spec in environments:
        try:
            environment = open_problem(spec, 1)
        except Exception as error:
            faults.append(f"problem {spec.label!r}: {words(error)}")
            continue
        try:
            problem = _problem(spec, environment)
            notes += [f"{spec.label}: {note}" for note in getattr(environment, "notes", ())]
            for learner in learners:
                fault = _fault(problem, environment, learner)
                if fault is not None and (learner.label, fault) not in told:
                    told.add((learner.label, fault))
                    faults.append(f"learner {learner.label!r} with {spec.label!r}: {fault}")
            problems.append(problem)
        except Exception as error:
            faults.append(f"problem {spec.label!r}: {words(error)}")
        finally:
            environment.close()
    return problems, notes


def _problem(spec: EnvironmentSpec, environment: Any) -> Problem:
    kind = family(environment)
    if kind == STREAM:
        return Problem(spec, kind, environment.classes, environment.steps, environment.budget, 0)
    observation, _ = environment.reset(seed=[0])
    initial = int(known_labels(observation["labels"]).sum())  # of one lane
    return Problem(
        spec, kind, environment.classes, environment.budget // environment.batch, environment.budget, initial
    )


def _fault(problem: Problem, environment: Any, learner: LearnerSpec) -> str | None:
    """Returns what keeps a learner from a problem, or None."""
    task, name = (CLASSES if problem.classes else REGRESSION), learner.acquired or type(learner.acquisition).__name__
    if not hasattr(learner.acquisition, "tasks"):
        return f"expected the acquisition {name} to have `tasks`, such as frozenset({{'classes'}}), got none"
    if not problem.classes and isinstance(learner.acquisition, Entropy) and learner.acquisition.batch == "power":
        return (
            f"expected scores that are not negative for the batch 'power', got {name}, whose densities can have a "
            "negative entropy: use 'softmax' or 'softrank'"
        )
    if task not in learner.acquisition.tasks:
        able = sorted(known for known, place in ACQUISITIONS.items() if task in find("", known, ACQUISITIONS).tasks)
        asked, other = ("classes", "a regression") if problem.classes else ("a regression", "classes")
        return f"expected an acquisition for {asked} (one of {', '.join(able)}), got {name}, which is for {other}"
    if problem.family == STREAM and not isinstance(learner.acquisition, Scored):
        return f"expected an acquisition that scores each row by itself for a stream, got {name}, which compares rows"
    if (
        problem.family == STREAM
        and problem.budget == problem.rounds
        and not isinstance(learner.acquisition, PosteriorSampling)
    ):
        return "expected a budget of fewer labels than rows, got one that buys them all: set kwargs.budget"
    try:
        rehearse_learner(learner, environment)
    except Exception as error:
        return words(error)
    return None
