"""An active-learning experiment: `[[problems]]` and `[[learners]]`."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from vbandits.agents.acquisition import Entropy, PosteriorSampling, Random
from vbandits.agents.acquisition.base import CLASSES, REGRESSION, Scored
from vbandits.agents.dry_run import dry_run_learner
from vbandits.agents.learner import LearnerSpec, Training
from vbandits.benchmarks import environments
from vbandits.benchmarks.active import BENCHMARK
from vbandits.benchmarks.environments import EnvironmentEntry, arguments, content_of, declared, short
from vbandits.envs.active.spaces import known_labels
from vbandits.envs.spaces import POOL, STREAM
from vbandits.envs.spec import EnvironmentInfo, EnvironmentSpec
from vbandits.errors import ConfigError
from vbandits.experiment.config import Config, Count, Entry, ExperimentFile, words
from vbandits.experiment.sections import changed, section
from vbandits.experiment.sweeps import Setting, is_list, labelled, plain
from vbandits.networks import MLP
from vbandits.presets import LEARNERS
from vbandits.registry import ACQUISITIONS, find, unknown
from vbandits.types import Optimizer

DEFAULT = "vbandits/PoolActiveLearning-v0"


@dataclass(frozen=True)
class Problem(environments.Problem):
    """An environment of active learning, and what it says of itself.

    Attributes:
        family: "pool" or "stream".
        classes: K; 0 for a regression.
        rounds: steps of an episode at most: purchases from a pool, rows of a stream.
        budget: labels that can be bought; None without a limit.
        initial: labels that are known from the start.
    """

    family: str
    classes: int
    rounds: int
    budget: int | None
    initial: int

    @classmethod
    def of(cls, spec: EnvironmentSpec, environment: Any, info: EnvironmentInfo) -> "Problem":
        """Returns the problem of an environment that is open, and of what it was found to be."""
        classes, budget = environment.classes, environment.budget
        if info.family == STREAM:
            rounds, initial = environment.steps, 0
        else:
            observation, _ = environment.reset(seed=[0])
            rounds, initial = budget // environment.batch, int(known_labels(observation["labels"]).sum())
        return cls(spec, info.fingerprint, info.family, classes, rounds, budget, initial)

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        shown = {name: value for name, value in self.fingerprint.items() if name not in ("delay", "batch")}
        return {
            **shown,
            "task": "classes" if self.classes else "regression",
            "classes": self.classes,
            "family": self.family,
            "rounds": self.rounds,
            "budget": self.budget,
            "initial": self.initial,
        }

    def steps(self, seeds: int) -> int:
        """Returns the steps of its episodes: of a stream's seeds one after another, of a pool's in lockstep."""
        return self.rounds * (seeds if self.family == STREAM else 1)


class ProblemEntry(EnvironmentEntry):
    """`[[problems]]` of an experiment file."""

    id: Any = DEFAULT


class LearnerEntry(Entry):
    """`[[learners]]` of an experiment file: one or many, for each method named, and each acquisition of it."""

    id: str | list[str] | None = None
    acquisition: Any = None
    label: str | None = None
    posterior: Any = None
    network: Any = None
    optimizer: Any = None
    training: Any = None
    candidates: Count | None = None


class ActiveFile(ExperimentFile):
    """The whole of an experiment file."""

    problems: Annotated[list[Any], Field(min_length=1)]
    learners: Annotated[list[Any], Field(min_length=1)]
    evaluations: Count = 100


class ActiveConfig(Config):
    """From the content of a file to an experiment of active learning."""

    benchmark = BENCHMARK
    file = ActiveFile
    options = ("evaluations",)
    no_steps = "how many labels are bought is the budget of a problem: --set kwargs.budget=50"
    apart = ("acquisition", "candidates")
    untuned = MappingProxyType({"optimizer": {}})

    def problems(self, entry: Any, where: str) -> Iterator[EnvironmentSpec]:
        """Yields environments, unless the entry is faulty."""
        ready, data_dir = (entry if isinstance(entry, EnvironmentSpec) else None), self.data_dir
        if ready is not None:
            data_dir, entry = ready.data_dir or data_dir, content_of(ready)
        for setting, parsed in self.entries(ProblemEntry, entry, where):
            for chosen, kwargs in arguments(self, parsed, where, DEFAULT):
                label = labelled(parsed.label or _named(parsed.id, kwargs), setting | chosen)
                made = {"label": label, "source": parsed.id, "kwargs": kwargs, "data_dir": data_dir}
                yield declared(ready, made, parsed)

    def methods(self, entry: Any, where: str) -> Iterator[LearnerSpec]:
        """Yields the learners of an entry: every method with every acquisition; one that is made already takes
        settings."""
        if isinstance(entry, LearnerSpec):
            yield from self._ready(entry, where)
            return
        for setting, parsed in self.entries(LearnerEntry, entry, where, ("candidates",)):
            acquisitions = [found for given in _listed(parsed.acquisition) for found in self._acquisition(given, where)]
            if not _listed(parsed.acquisition):
                self.errors.append(
                    f"{where}.acquisition: expected one or a list of {', '.join(sorted(ACQUISITIONS))}, got none"
                )
            names = parsed.id if isinstance(parsed.id, list) else [parsed.id]
            if parsed.id is None and parsed.posterior is None:
                self.errors.append(f"{where}: expected an id (one of {', '.join(sorted(LEARNERS))}), or a posterior")
                return
            if parsed.label is not None and len(names) > 1:
                self.errors.append(
                    f"{where}.label: expected none with several ids, got {parsed.label!r}: the ids are the labels"
                )
            for name in names:
                if len(names) > 1 and self.settings.aims("learners"):
                    self.settings.aim("learners", {name})
                for made in self._methods(name, parsed, setting, where):
                    for called, acquisition in acquisitions:
                        label = f"{made.method} {called}"
                        yield replace(made, label=label, acquisition=acquisition, acquisition_name=called)

    def _ready(self, spec: LearnerSpec, where: str) -> Iterator[LearnerSpec]:
        """Yields a learner that is made already, with the fields that settings change."""
        name = spec.acquisition_name or type(spec.acquisition).__name__
        method, candidates = spec.method or spec.label, dict(self.settings.of("", {"candidates"}))
        base = {part: getattr(spec, part) for part in ("posterior", "network", "training")}
        base["optimizer"] = spec.optimizer or Optimizer()
        for setting, parts in self.parts(base, {}, LearnerEntry(), where):
            if parts["optimizer"] is base["optimizer"]:
                parts["optimizer"] = spec.optimizer
            names = {"method": labelled(method, setting), "label": labelled(spec.label, setting)}
            yield self._told(changed(spec, {**parts, **candidates, **names, "acquisition_name": name}))

    def _told(self, spec: LearnerSpec) -> LearnerSpec:
        """Returns a learner with an optimizer. Where it trains from scratch and none is given, the learning rate falls
        to zero over the steps of a training, if the preset that it is taken from does not say otherwise."""
        if spec.optimizer is not None:
            return spec
        falling = Optimizer(decay_steps=spec.training.gradient_steps if spec.training.start == "scratch" else 0)
        return replace(spec, **self.told(spec.method, LEARNERS, {"optimizer": falling}, spec.posterior))

    def _acquisition(self, given: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Yields an acquisition and its label, or several with sweeps; it is named, a class, an instance, or a table
        with its kind and fields."""
        content = {"kind": given} if isinstance(given, str) or hasattr(given, "select") else given
        if not isinstance(content, Mapping):
            self.errors.append(
                f"{where}.acquisition: expected a name such as 'bald', or a table with its kind, got {given!r}"
            )
            return
        kind = content.get("kind")
        if not (isinstance(kind, str) or callable(getattr(kind, "select", None))):
            self.errors.append(f"{where}.acquisition: expected a kind such as 'bald', got {kind!r}")
            return
        fields = {name: value for name, value in content.items() if name != "label"}
        for setting, made in section("acquisition", None, fields, self.settings, where, self.errors):
            chosen = {name.rpartition(".")[2]: value for name, value in setting.items()}
            if isinstance(given, Mapping) and given.get("label"):
                yield labelled(str(given["label"]), setting), made
            else:
                yield _acquisition_name({**content, **chosen} if isinstance(given, Mapping) else given), made

    def _methods(self, name: str | None, parsed: LearnerEntry, setting: Setting, where: str) -> Iterator[LearnerSpec]:
        """Yields learners without their acquisition. Where one trains from scratch its learning rate falls to zero over
        the steps of a training, if `decay_steps` does not say otherwise."""
        if name is not None and name not in LEARNERS:
            self.errors.append(f"{where}: {unknown('method of a learner', name, LEARNERS, 'learners')}")
            return
        label = parsed.label or name
        where = f"{where} ({label})" if label else where
        preset = dict(LEARNERS[name]) if name else {}
        optimizer = Optimizer()
        base = {"posterior": None, "network": MLP(), "optimizer": optimizer, "training": Training()}
        named = {*preset.get("optimizer", {}), *(parsed.optimizer if isinstance(parsed.optimizer, Mapping) else {})}
        whole = parsed.optimizer is not None and not isinstance(parsed.optimizer, Mapping)
        given = whole or "decay_steps" in {*named, *dict(self.settings.of("optimizer", {"decay_steps"}))}
        for chosen, parts in self.parts(base, preset, parsed, where):
            training = parts["training"]
            if training.start == "warm" and parts["optimizer"].decay_steps:
                self.errors.append(
                    f"{where}.optimizer.decay_steps: expected 0 for warm training, which goes on after any number of "
                    f"steps, got {parts['optimizer'].decay_steps}"
                )
                return
            if name is None and parsed.optimizer is None and parts["optimizer"] is optimizer:
                parts["optimizer"] = None
            elif training.start == "scratch" and not given:
                parts["optimizer"] = replace(parts["optimizer"], decay_steps=training.gradient_steps)
            called = labelled(label or plain(type(parts["posterior"])), _without_kind(setting | chosen, label))
            nothing = Random()  # until the caller sets it
            spec = LearnerSpec(called, acquisition=nothing, candidates=parsed.candidates, method=called, **parts)
            yield self._told(spec)

    def check(self, problems: list[EnvironmentSpec], methods: list[LearnerSpec]) -> tuple[list[Problem], list[str]]:
        """Opens every environment once, and lets every learner train and buy once in each."""
        self._check_pairs(methods)
        opened, notes, told = [], [], set()
        for spec in problems:
            try:
                environment = spec.open(1, families=(POOL, STREAM))
            except Exception as error:
                self.errors.append(f"problem {spec.label!r}: {words(error)}")
                continue
            try:
                info = EnvironmentInfo.of(spec, environment)
                problem = Problem.of(spec, environment, info)
                notes += [f"{spec.label}: {note}" for note in info.notes]
                for learner in methods:
                    obstacle = _obstacle(problem, environment, learner)
                    if obstacle is not None and (learner.label, obstacle) not in told:
                        told.add((learner.label, obstacle))
                        self.errors.append(f"learner {learner.label!r} with {spec.label!r}: {obstacle}")
                opened.append(problem)
            except Exception as error:
                self.errors.append(f"problem {spec.label!r}: {words(error)}")
            finally:
                environment.close()
        return opened, notes

    def _check_pairs(self, learners: list[LearnerSpec]) -> None:
        """Appends an error for each method that has an acquisition of one name twice, under other labels."""
        pairs: dict[tuple[str, str], list[str]] = {}
        for spec in learners:
            pairs.setdefault((spec.method, spec.acquisition_name), []).append(spec.label)
        for (method, acquisition_name), labels in pairs.items():
            if len(set(labels)) > 1:
                self.errors.append(
                    f"learners: expected every acquisition of the method {method!r} under a name of its own, got "
                    f"{acquisition_name!r} for {' and '.join(map(repr, labels))}: set `acquisition_name`"
                )

    def filter_entries(self, section: str, entries: list[Any], names: list[str]) -> list[Any]:
        """Returns the entries of problems with a label among names, or the learners of a label, method or acquisition.

        Raises:
            ConfigError: for a name that is in none.
        """
        problems = section == self.benchmark.sections[0]
        every = entries if problems else [single for entry in entries for single in _singles(entry)]
        called = [{_problem_name(entry)} if problems else _learner_names(entry) for entry in every]
        known, missing = {str(name) for own in called for name in own}, []
        kept = [entry for entry, own in zip(every, called, strict=True) if own & set(names)]
        for name in (name for name in names if name not in known):
            found = self.parts_of(section, every, name)
            kept += found
            missing += [] if found else [name]
        if missing:
            raise ConfigError(*[f"--{section}: {unknown(section[:-1], name, known)}" for name in missing])
        return kept


def _problem_name(entry: Any) -> str:
    """Returns the label of an entry of a file's problems."""
    content = entry if isinstance(entry, Mapping) else {"id": entry}
    kwargs = content.get("kwargs")
    return str(
        content.get("label") or _named(content.get("id", DEFAULT), kwargs if isinstance(kwargs, Mapping) else {})
    )


def _named(source: Any, kwargs: Mapping[str, Any]) -> str:
    """Returns a label: the pool's name, of a file with its target, the id in front where it is not the usual one."""
    pool, target = kwargs.get("pool"), kwargs.get("target")
    parts = [] if source == DEFAULT and pool is not None else [short(source)]
    parts += [] if pool is None else [Path(pool).name if isinstance(pool, str) else "pool"]
    return " ".join([*parts, *([str(target)] if target is not None else [])])


def _singles(entry: Any) -> list[Any]:
    """Returns an entry of a file's learners as entries of one method and one acquisition each."""
    if not isinstance(entry, Mapping):
        return [entry]
    acquisitions = [{"acquisition": one} for one in _listed(entry.get("acquisition"))] or [{}]
    ids = [{"id": one} for one in _listed(entry.get("id"))] or [{}]
    return [{**entry, **one, **acquisition} for one in ids for acquisition in acquisitions]


def _learner_names(entry: Any) -> set[str]:
    """Returns what the learner of such an entry is called: by its label, its method, or its acquisition."""
    if not isinstance(entry, Mapping):
        return set()
    posterior = entry.get("posterior")
    kind = posterior.get("kind") if isinstance(posterior, Mapping) else posterior
    kind = kind if isinstance(kind, str) or kind is None else plain(kind if inspect.isclass(kind) else type(kind))
    method = entry.get("label") or entry.get("id") or kind
    acquisition = _acquisition_name(entry.get("acquisition"))
    return {f"{method} {acquisition}", str(method), acquisition}


def _acquisition_name(given: Any) -> str:
    """Returns what an acquisition of a file is called: by its name or label, or else all its fields."""
    if isinstance(given, Mapping):
        return str(given.get("label") or " ".join(map(_word, given.values())))
    return given if isinstance(given, str) else _word(given)


def _word(value: Any) -> str:
    """Returns a value as a label has it; a class or an instance by the name of its class."""
    if isinstance(value, str | int | float | list | tuple) or value is None:
        return str(value)
    return value.__name__ if inspect.isclass(value) else type(value).__name__


def _without_kind(setting: Setting, label: str | None) -> Setting:
    """Returns what was chosen without the kind of the posterior, where the label is that kind."""
    return {key: one for key, one in setting.items() if label or key.removesuffix(".kind") != "posterior"}


def _listed(value: Any) -> Sequence[Any]:
    return [] if value is None else value if is_list(value) else [value]


def _obstacle(problem: Problem, environment: Any, learner: LearnerSpec) -> str | None:
    """Returns what keeps a learner from a problem, or None."""
    task = CLASSES if problem.classes else REGRESSION
    name = learner.acquisition_name or type(learner.acquisition).__name__
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
        dry_run_learner(learner, environment)
    except Exception as error:
        return words(error)
    return None
