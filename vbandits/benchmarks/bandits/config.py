"""A bandit experiment: `[[environments]]` and `[[agents]]`."""

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.dry_run import dry_run
from vbandits.agents.encoding import Encoding, Kind
from vbandits.agents.rules import Thompson, Uniform
from vbandits.benchmarks.bandits import BENCHMARK
from vbandits.benchmarks.bandits.results import BASELINE
from vbandits.benchmarks.environments import EnvironmentEntry, Problem, arguments, short
from vbandits.data import memory
from vbandits.envs.spaces import BANDIT, ObservationSpec
from vbandits.envs.spec import EnvironmentInfo, EnvironmentSpec
from vbandits.experiment.config import Config, Count, Entry, ExperimentFile, Settings, objects, words
from vbandits.experiment.resources import one_thread
from vbandits.networks import MLP
from vbandits.presets import PRESETS
from vbandits.registry import load, unknown
from vbandits.types import Optimizer, Schedule

FEEDBACK = {"delay": 0, "batch": 1}
"""What says when outcomes are known, and what it is where outcomes are known at once."""
Delay = Annotated[int, Field(ge=0, strict=True)]


class TimedEntry(EnvironmentEntry):
    """`[[environments]]` of an experiment file."""

    delay: Delay | None = None
    batch: Count | None = None


class AgentEntry(Entry):
    """`[[agents]]` of an experiment file."""

    id: str | None = None
    label: str | None = None
    posterior: dict[str, Any] | None = None
    rule: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    standardize: Literal[True, False, "arms"] | None = None
    encoding: Kind | None = None


class BanditFile(ExperimentFile):
    """The whole of an experiment file."""

    steps: Count = 1000
    environments: Annotated[list[Any], Field(min_length=1)]
    agents: list[Any] = Field(default_factory=list)
    recorded: Count = 500
    delay: Delay = 0
    batch: Count = 1


class BanditConfig(Config):
    """From the content of a file to a bandit experiment."""

    benchmark = BENCHMARK
    file = BanditFile
    options = ("steps", "recorded")

    def problems(self, entry: Any, where: str) -> Iterator[EnvironmentSpec]:
        """Yields an environment; delay, batch and data directory are those of the file where it has none of its own."""
        given = {name: getattr(self.parsed, name) for name in FEEDBACK} if self.parsed else {}
        given |= {"data_dir": self.data_dir}
        if isinstance(entry, EnvironmentSpec):
            yield replace(entry, **{name: value for name, value in given.items() if getattr(entry, name) is None})
            return
        parsed = self.entry(TimedEntry, entry, where, FEEDBACK)
        kwargs = parsed and arguments(self, parsed, where, "vbandits/Wheel-v0")
        if kwargs is None:
            return
        feedback = {key: own if (own := getattr(parsed, key)) is not None else given.get(key) for key in FEEDBACK}
        told = {key: value for key, value in feedback.items() if value not in (None, FEEDBACK[key])}
        shown = " ".join(f"{key}={memory.shown(value)}" for key, value in (kwargs | told).items())
        label = parsed.label or f"{short(parsed.id)} {shown}".strip()
        yield EnvironmentSpec(label, parsed.id, kwargs, **{**given, **feedback}, processes=parsed.processes)

    def methods(self, entry: Any, where: str) -> Iterable[AgentSpec]:
        """Returns an agent, unless it is faulty."""
        agent = entry if isinstance(entry, AgentSpec) else self.agent(entry, where)
        return [] if agent is None else [agent]

    def agent(self, entry: Any, where: str) -> AgentSpec | None:
        """Returns the agent that an entry describes, or None if it is faulty."""
        parsed = self.entry(AgentEntry, entry, where, ("standardize", "encoding"))
        if parsed is None:
            return None
        if parsed.id is None and (parsed.posterior is None or parsed.rule is None):
            self.errors.append(
                f"{where}: expected an id (one of {', '.join(sorted(PRESETS))}), or a posterior and a rule"
            )
            return None
        where = f"{where} ({parsed.label or parsed.id})" if parsed.label or parsed.id else where
        try:
            base = self._base(parsed.id) if parsed.id else AgentSpec("", None, Thompson())
        except ValueError as error:
            self.errors.append(f"{where}: {error}")
            return None
        start = {name: getattr(base, name) for name in ("posterior", "rule", "network", "schedule", "optimizer")}
        parts = self.parts(start, {}, parsed, where)
        if parts is None:
            return None
        if parts["posterior"] is None and not isinstance(parts["rule"], Uniform):
            rule = type(parts["rule"]).__name__
            self.errors.append(f"{where}: expected a posterior, which the rule {rule} looks at, got none")
            return None
        return AgentSpec(
            parsed.label or base.label or f"{(parsed.posterior or {}).get('kind')} {(parsed.rule or {}).get('kind')}",
            standardize=base.standardize if parsed.standardize is None else parsed.standardize,
            encoding=parsed.encoding or base.encoding,
            **parts,
        )

    def _base(self, name: str) -> AgentSpec:
        """Returns a preset, or the user's own agent at "module:name"."""
        if name in PRESETS:
            start = {"posterior": None, "network": MLP(), "schedule": Schedule(), "optimizer": Optimizer()}
            return AgentSpec(name, **{**start, **objects(PRESETS[name], start)})
        if ":" not in name:
            raise ValueError(unknown("agent", name, PRESETS))
        made = load(name)
        made = made() if callable(made) else made
        if isinstance(made, Mapping):
            inner = copy.copy(self)
            inner.errors = []
            inner.settings = Settings((), inner.errors)
            spec = inner.agent({"label": name.partition(":")[2], **made}, "agents[0]")
            if spec is None:
                raise ValueError("; ".join(inner.errors))
            return spec
        if not isinstance(made, AgentSpec):
            raise ValueError(f"expected {name!r} to be or return an AgentSpec or a dict of sections, got {made!r}")
        return made

    def default_methods(self, methods: Sequence[AgentSpec]) -> list[AgentSpec]:
        """Returns the uniform agent, which regret is measured by, where it is not there."""
        for agent in methods:
            if agent.label == BASELINE and agent.posterior is not None:
                self.errors.append(
                    f"agents: expected the label {BASELINE!r} on the uniform agent alone, the baseline of regret"
                )
        return [] if BASELINE in [agent.label for agent in methods] else [self._base(BASELINE)]

    def check(self, problems: list[EnvironmentSpec], methods: list[AgentSpec]) -> tuple[list[Problem], list[str]]:
        """Opens every environment once, and makes every agent for each form of observations."""
        opened, forms, notes = [], {}, []
        for spec in problems:
            try:
                with contextlib.closing(spec.open(1, families=(BANDIT,))) as environment:
                    info = EnvironmentInfo.of(spec, environment)
                forms[spec.label] = info.observations
                notes += [f"{spec.label}: {note}" for note in info.notes]
                opened.append(Problem(spec, info.fingerprint))
            except Exception as error:
                self.errors.append(f"environment {spec.label!r}: {words(error)}")
        with one_thread():  # networks are small, and there may be hundreds of them
            for form in dict.fromkeys(forms.values()):
                for agent in methods:
                    try:
                        dry_run(Agent(agent, (0,), form, 1))
                    except Exception as error:
                        self.errors.append(f"agent {agent.label!r} with {form}: {words(error)}")
        steps = self.parsed.steps if self.parsed else 1
        known = [(problem.environment, forms[problem.label]) for problem in opened]
        return opened, [*notes, *_never_learning(known, methods, steps)]


def _never_learning(
    forms: list[tuple[EnvironmentSpec, ObservationSpec]], agents: list[AgentSpec], steps: int
) -> list[str]:
    """Says where agents never come to decide, because the run ends before they have learned from anything."""
    notes: dict[str, list[str]] = {}
    for spec, form in forms:
        for agent in agents:
            if agent.posterior is None:
                continue
            encoding = Encoding(form, agent.encoding)
            pulls = agent.schedule.initial_pulls * encoding.tried
            if pulls >= steps:
                pulled = "each arm in turn" if encoding.known_by_place else "any arm"
                reason = f"with {form.arms} arms, they pull {pulled} for all {steps} steps"
                mend = "raise steps or lower schedule.initial_pulls"
            elif spec.known(steps - 1) < (pulls or agent.schedule.every):
                late = f"a delay of {spec.delay or 0} and batches of {spec.batch or 1}"
                reason = f"with {late}, too few outcomes come in {steps} steps"
                mend = "raise steps or lower delay and batch"
            else:
                continue
            notes.setdefault(f"{reason}, and they never learn: {mend}", []).append(agent.label)
    return [f"{', '.join(dict.fromkeys(labels))}: {note}" for note, labels in notes.items()]
