"""An offline experiment: `[[logs]]` and `[[policies]]`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.dry_run import brief, dry_run
from vbandits.benchmarks.offline import BENCHMARK
from vbandits.data import memory
from vbandits.data.logs import OPTIONS, Log, load_log
from vbandits.envs.spaces import ObservationSpec
from vbandits.experiment.benchmark import benchmark
from vbandits.experiment.config import Config, Count, Entry, ExperimentFile, seeds_of, words
from vbandits.experiment.resources import one_thread
from vbandits.experiment.sweeps import is_list, labelled
from vbandits.presets import PRESETS
from vbandits.registry import load, unknown
from vbandits.source_hash import LENGTH, plain

ALWAYS, LOGGING, UNIFORM = "always", "logging", "uniform"
"""Policies that learn nothing: one arm in all decisions, the one that was logged, and any arm."""


@dataclass(frozen=True)
class LogSpec:
    """The declaration of a log.

    Attributes:
        label: how reports call it.
        source: what `load_log` takes.
        kwargs: options of `load_log`.
        arm_features: whether agents see the features of arms, if the log has any: each arm is then a row.
        data_dir: where its files lie; results do not depend on it.
        digest: of its rows, once it was opened.
    """

    label: str
    source: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    arm_features: bool = False
    data_dir: str | None = None
    digest: str = ""

    def load(self) -> Log:
        """Returns the log."""
        return load_log(self.source, **self.kwargs, data_dir=self.data_dir)

    def form(self, log: Log) -> ObservationSpec:
        """Returns what agents see of it."""
        shown = log.arm_features if self.arm_features else None
        return ObservationSpec(log.context.shape[1], log.arms, 0 if shown is None else shown.shape[1])

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        shown = memory.shown(self.source)
        source = shown.name if isinstance(shown, Log) else plain(shown)
        kwargs = plain(self.kwargs)
        return {
            "label": self.label,
            "id": source,
            "kwargs": kwargs,
            "arm_features": self.arm_features,
            "data": self.digest,
        }

    def steps(self, seeds: int) -> int:
        """Returns the steps of a job: it learns, and is evaluated."""
        return 2


@dataclass(frozen=True)
class PolicySpec:
    """The declaration of a policy.

    Attributes:
        label: how reports call it.
        kind: "agent", which learns from the log, "always", "logging" or "uniform".
        agent: that learns.
        arm: that is always played.
    """

    label: str
    kind: str
    agent: AgentSpec | None = None
    arm: str | None = None

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with all sections of an agent."""
        if self.agent is not None:
            return {**self.agent.describe(), "label": self.label}
        return {"label": self.label, "kind": self.kind, **({} if self.arm is None else {"arm": self.arm})}


class LogEntry(Entry):
    """`[[logs]]` of an experiment file."""

    id: Any
    kwargs: dict[str, Any] = Field(default_factory=dict)
    arm_features: bool = False
    label: str | None = None


class OfflineFile(ExperimentFile):
    """The whole of an experiment file."""

    seeds: Any = 8
    folds: Annotated[int, Field(ge=2, strict=True)] = 8
    training_rows: Count = 5000
    draws: Count = 256
    logs: Annotated[list[Any], Field(min_length=1)]
    policies: list[Any] = Field(default_factory=list)


class OfflineConfig(Config):
    """From the content of a file to an offline experiment."""

    benchmark = BENCHMARK
    file = OfflineFile
    options = ("folds", "training_rows", "draws")
    no_steps = "how many rows policies learn from is training_rows: --set training_rows=1000"

    def problems(self, entry: Any, where: str) -> Iterator[LogSpec]:
        """Yields a log, unless it is faulty."""
        if isinstance(entry, LogSpec):
            yield entry
            return
        given = entry if isinstance(entry, Mapping) and "id" in entry else {"id": entry}
        parsed = self.entry(LogEntry, given, where, ("arm_features",))
        if parsed is None:
            return
        kwargs = parsed.kwargs | dict(self.settings.of("kwargs", OPTIONS))
        if wrong := [unknown("key", name, OPTIONS) for name in sorted(kwargs.keys() - set(OPTIONS))]:
            self.errors.extend(f"{where}.kwargs: {error}" for error in wrong)
            return
        named = parsed.id if isinstance(parsed.id, str) else memory.shown(parsed.id)
        named = named if isinstance(named, str) else getattr(named, "name", "log")
        told = [str(kwargs[name]) for name in ("reward", "policy", "campaign") if name in kwargs]
        yield LogSpec(parsed.label or " ".join([named, *told]), parsed.id, kwargs, parsed.arm_features, self.data_dir)

    def methods(self, entry: Any, where: str) -> Iterator[PolicySpec]:
        """Yields the policies of an entry, unless it is faulty: of `always` one for each arm that it names."""
        content = {"id": entry} if isinstance(entry, str) else entry
        kind = content.get("id") if isinstance(content, Mapping) else None
        if isinstance(entry, PolicySpec):
            yield entry
        elif kind in (LOGGING, UNIFORM) and isinstance(content, Mapping):
            self._only(content, ("id", "label"), where)
            yield PolicySpec(str(content.get("label", kind)), kind)
        elif kind == ALWAYS and isinstance(content, Mapping):
            self._only(content, ("id", "label", "arm"), where)
            given, label = content.get("arm", ()), content.get("label")
            arms = given if is_list(given) else [given]
            if not arms or not all(isinstance(arm, str | int) for arm in arms):
                self.errors.append(
                    f"{where}: expected the name of the arm that is always played, or a list of them, arm = ..., got "
                    f"{given if arms else 'none'!r}"
                )
                return
            for arm in arms:
                told = labelled(str(label), {"arm": arm} if len(arms) > 1 else {}) if label else f"always {arm}"
                yield PolicySpec(told, ALWAYS, arm=str(arm))
        elif isinstance(kind, str) and kind not in PRESETS and ":" not in kind:
            self.errors.append(f"{where}: {unknown('policy', kind, [*PRESETS, ALWAYS, LOGGING, UNIFORM])}")
        else:
            for agent in self._agents().methods(entry, where):
                if isinstance(agent, AgentSpec):
                    yield PolicySpec(agent.label, "agent", agent)
                else:
                    self.errors.append(
                        f"{where}: expected an agent, whose probabilities can be told, got the policy {agent.label!r}: "
                        "give its probabilities to vbandits.evaluate_policy"
                    )

    def _agents(self) -> Config:
        """Returns what reads agents, as the bandits have them; their errors and settings are those of this file."""
        reader = load(benchmark("bandits").config)({"name": "agents", "environments": [{}]})
        reader.errors, reader.settings = self.errors, self.settings
        return reader

    def _only(self, content: Mapping[str, Any], known: Sequence[str], where: str) -> None:
        wrong = sorted(content.keys() - set(known))
        self.errors.extend(f"{where} ({content['id']}): {unknown('key', str(name), known)}" for name in wrong)

    def default_methods(self, methods: Sequence[PolicySpec]) -> list[PolicySpec]:
        """Returns the uniform policy and the one that was logged, which others are measured by, where they are not
        there."""
        kinds = {policy.kind for policy in methods}
        labels = {policy.label for policy in methods}
        missing = [kind for kind in (UNIFORM, LOGGING) if kind not in kinds]
        for kind in missing:
            if kind in labels:
                self.errors.append(f"policies: expected the label {kind!r} on the policy of that name alone")
        return [PolicySpec(kind, kind) for kind in missing if kind not in labels]

    def check(self, problems: list[LogSpec], methods: list[PolicySpec]) -> tuple[list[LogSpec], list[str]]:
        """Opens every log, looks for the arms that are named, and makes every agent for each form of observations."""
        opened, notes, forms = [], [], {}
        folds = self.parsed.folds if self.parsed else 2
        for spec in problems:
            try:
                log = spec.load()
                if len(log) < 2 * folds:
                    raise ValueError(f"expected at least two rows in each of {folds} folds, got {len(log)} in all")
                if spec.arm_features and log.arm_features is None:
                    raise ValueError("expected features of arms, as arm_features = true says, got none")
                for policy in methods:
                    if policy.arm is not None:
                        log.arm(policy.arm)
                forms[spec.form(log)] = None
                notes += [f"{spec.label}: {note}" for note in log.notes]
                opened.append(
                    LogSpec(
                        spec.label, spec.source, spec.kwargs, spec.arm_features, spec.data_dir, log.digest()[:LENGTH]
                    )
                )
            except Exception as error:
                self.errors.append(f"log {spec.label!r}: {words(error)}")
        with one_thread():
            for form in forms:
                for policy in methods:
                    try:
                        if policy.agent is not None:
                            dry_run(Agent(brief(policy.agent), (0,), form, 1))
                    except Exception as error:
                        self.errors.append(f"policy {policy.label!r} with {form}: {words(error)}")
        seeds = len(seeds_of(self.document.get("seeds", 8), []))
        if seeds > folds:
            notes.append(
                f"{seeds} seeds of {folds} folds: from the {folds + 1}th on, rows are evaluated on again, and "
                "intervals over seeds are too narrow: raise folds"
            )
        return opened, notes
