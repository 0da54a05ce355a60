"""A bandit experiment: `[[environments]]` and `[[agents]]`."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from vbandits.agents.agent import AgentSpec
from vbandits.agents.encoding import Encoding, Kind
from vbandits.agents.player import PlayerSpec
from vbandits.agents.policy import PolicySpec, is_policy
from vbandits.agents.rules import Thompson, Uniform
from vbandits.agents.saving import keep_in_trial
from vbandits.benchmarks.bandits import BENCHMARK
from vbandits.benchmarks.bandits.rehearsal import rehearse
from vbandits.benchmarks.bandits.results import BASELINE
from vbandits.benchmarks.environments import EnvironmentEntry, Problem, arguments, content_of, declared, short
from vbandits.data import memory
from vbandits.data.logs import OPTIONS
from vbandits.envs.spaces import BANDIT, ObservationSpec
from vbandits.envs.spec import EnvironmentInfo, EnvironmentSpec
from vbandits.experiment import resources
from vbandits.experiment.config import MOST, Config, Count, Entry, ExperimentFile, seeds_of, words
from vbandits.experiment.resources import one_thread
from vbandits.experiment.sections import changed
from vbandits.experiment.settings import Settings
from vbandits.experiment.sweeps import Setting, hints_of, labelled, plain, swept
from vbandits.named import name_of
from vbandits.networks import MLP
from vbandits.presets import PRESETS
from vbandits.registry import load, unknown
from vbandits.serialize import objects
from vbandits.types import Optimizer, Schedule

FEEDBACK = {"delay": 0, "batch": 1}
"""What says when outcomes are known, and what it is where outcomes are known at once."""
Delay = Annotated[int, Field(ge=0, le=MOST, strict=True)]


class TimedEntry(EnvironmentEntry):
    """`[[environments]]` of an experiment file."""

    delay: Delay | None = None
    batch: Count | None = None
    log: Any = None


class AgentEntry(Entry):
    """`[[agents]]` of an experiment file."""

    id: str | None = None
    label: str | None = None
    posterior: Any = None
    rule: Any = None
    network: Any = None
    schedule: Any = None
    optimizer: Any = None
    standardize: Literal[True, False, "arms"] | None = None
    encoding: Kind | None = None
    policy: Any = None
    kwargs: dict[str, Any] | None = None


OF_AGENTS = ("id", "posterior", "rule", "network", "schedule", "optimizer", "standardize", "encoding")
"""Keys of an entry of agents that a policy has not."""


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
    untuned = MappingProxyType({"optimizer": {}, "standardize": True})
    names = ("label", "id", "policy")
    keeps = True

    def problems(self, entry: Any, where: str) -> Iterator[EnvironmentSpec]:
        """Yields environments; delay, batch and data directory are those of the file where one has none of its own."""
        given = {name: getattr(self.parsed, name) for name in FEEDBACK} if self.parsed else {}
        given |= {"data_dir": self.data_dir}
        ready = entry if isinstance(entry, EnvironmentSpec) else None
        if ready is not None:
            own = {name: value for name in given if (value := getattr(entry, name)) is not None}
            given, entry = given | own, content_of(entry)
        for setting, parsed in self.entries(TimedEntry, entry, where, FEEDBACK):
            feedback = {key: own if (own := getattr(parsed, key)) is not None else given.get(key) for key in FEEDBACK}
            log = parsed.log if parsed.log is None or isinstance(parsed.log, Mapping) else {"id": parsed.log}
            if log is not None and "id" not in log:
                self.errors.append(f"{where}.log: expected an id, a file or data, and options, got {log!r}")
                return
            known = ("id", "arms", *OPTIONS)
            if wrong := [unknown("key", str(name), known) for name in log or () if name not in known]:
                self.errors.extend(f"{where}.log: {error}" for error in wrong)
                return
            told = {key: value for key, value in feedback.items() if value not in (None, FEEDBACK[key])}
            for chosen, kwargs in arguments(self, parsed, where, "vbandits/Wheel-v0"):
                shown = " ".join(f"{key}={memory.called(value)}" for key, value in (kwargs | told).items())
                named = labelled(parsed.label, setting | chosen) if parsed.label else None
                label = named or f"{short(parsed.id)} {shown}".strip()
                made = {"label": label, "source": parsed.id, "kwargs": kwargs, **given, **feedback}
                made |= {} if log is None else {"log": log}
                yield declared(ready, made, parsed)

    def methods(self, entry: Any, where: str) -> Iterator[PlayerSpec]:
        """Yields the agents or policies that an entry describes, unless it is faulty; an agent that is made already
        takes settings."""
        if isinstance(entry, PolicySpec):
            yield entry
            return
        ready = entry if isinstance(entry, AgentSpec) else None
        if ready is None and not isinstance(entry, Mapping | str) and (is_policy(entry) or callable(entry)):
            entry = {"policy": entry}
        content = {"label": ready.label} if ready is not None else entry
        for setting, parsed in self.entries(AgentEntry, content, where, ("standardize", "encoding")):
            if parsed.policy is None and parsed.id is not None and _names_policy(parsed.id):
                parsed = parsed.model_copy(update={"policy": parsed.id, "id": None})
            if parsed.policy is not None:
                yield from self._policies(parsed, setting, where)
            elif parsed.kwargs is not None:
                self.errors.append(f"{where}.kwargs: expected them beside a policy alone, got no policy")
            else:
                yield from self._agents(ready, parsed, setting, where)

    def _agents(self, ready: AgentSpec | None, parsed: AgentEntry, setting: Setting, where: str) -> Iterator[AgentSpec]:
        """Yields an agent for each combination of the values of the sweeps of its sections."""
        if ready is None and parsed.id is None and (parsed.posterior is None or parsed.rule is None):
            self.errors.append(
                f"{where}: expected an id (one of {', '.join(sorted(PRESETS))}), or a posterior and a rule"
            )
            return
        name = parsed.label or parsed.id
        where = f"{where} ({name})" if name else where
        try:
            base = ready or (self._base(parsed.id) if parsed.id else AgentSpec("", None, Thompson()))
        except ValueError as error:
            self.errors.append(f"{where}: {error}")
            return
        start: dict[str, Any] = {name: getattr(base, name) for name in ("posterior", "rule", "network", "schedule")}
        optimizer = base.optimizer or Optimizer()
        start |= {"optimizer": optimizer}
        for chosen, parts in self.parts(start, {}, parsed, where):
            if parts["posterior"] is None and not isinstance(parts["rule"], Uniform):
                rule = type(parts["rule"]).__name__
                self.errors.append(f"{where}: expected a posterior, which the rule {rule} looks at, got none")
                return
            if parts["optimizer"] is optimizer and parsed.optimizer is None:
                parts["optimizer"] = base.optimizer
            parts |= {"standardize": base.standardize if parsed.standardize is None else parsed.standardize}
            parts |= {"encoding": parsed.encoding or base.encoding}
            label = _label(parsed, base, parts, setting | chosen)
            spec = changed(ready, {"label": label, **parts}) if ready is not None else AgentSpec(label, **parts)
            defaults = {"optimizer": Optimizer(), "standardize": True}
            untold = {name: value for name, value in defaults.items() if getattr(spec, name) is None}
            yield changed(spec, self.told(label, PRESETS, untold, spec.posterior, spec.rule))

    def _policies(self, parsed: AgentEntry, setting: Setting, where: str) -> Iterator[PolicySpec]:
        """Yields a policy for each combination of the values of the sweeps of its kwargs, unless it is faulty."""
        name = parsed.label or name_of(parsed.policy)
        where = f"{where} ({name})"
        if others := [name for name in OF_AGENTS if getattr(parsed, name) is not None]:
            self.errors.append(f"{where}: expected kwargs and a label beside a policy, got {', '.join(others)} too")
            return
        spec = PolicySpec(name, parsed.policy, parsed.kwargs or {})
        if problems := spec.problems():
            self.errors.extend(f"{where}: {problem}" for problem in problems)
            return
        kwargs = (parsed.kwargs or {}) | dict(self.settings.of("kwargs", {*(parsed.kwargs or {}), *spec.parameters()}))
        hints = hints_of(spec.origin) if callable(spec.origin) else {}
        for chosen, own in swept(kwargs, hints, f"{where}.kwargs", self.errors):
            shown = " ".join([name, *(f"{key}={memory.called(value)}" for key, value in own.items())])
            label = labelled(parsed.label, setting | chosen) if parsed.label else shown
            yield PolicySpec(label, parsed.policy, own)

    def _base(self, name: str) -> AgentSpec:
        """Returns a preset, or the user's own agent at "module:name"."""
        if name in PRESETS:
            start = {"posterior": None, "network": MLP(), "schedule": Schedule(), "optimizer": Optimizer()}
            start |= {"standardize": True}
            return AgentSpec(name, **{**start, **objects(PRESETS[name], start)})
        if ":" not in name:
            raise ValueError(unknown("agent", name, PRESETS, "agents"))
        made = load(name, "agent")
        made = made() if callable(made) else made
        if isinstance(made, Mapping):
            inner = copy.copy(self)
            inner.errors = []
            inner.settings = Settings((), inner.errors)
            specs = [*inner.methods({"label": name.partition(":")[2], **made}, "agents[0]")]
            if inner.errors or len(specs) != 1:
                raise ValueError("; ".join(inner.errors) or f"expected {name!r} to be one agent, got {len(specs)}")
            made = specs[0]
        if not isinstance(made, AgentSpec):
            raise ValueError(f"expected {name!r} to be or return an AgentSpec or a dict of sections, got {made!r}")
        return made

    def default_methods(self, methods: Sequence[PlayerSpec]) -> list[AgentSpec]:
        """Returns the uniform agent, which regret is measured by, where it is not there."""
        for agent in methods:
            if agent.label == BASELINE and getattr(agent, "posterior", agent) is not None:
                self.errors.append(
                    f"agents: expected the label {BASELINE!r} on the uniform agent alone, the baseline of regret"
                )
        return [] if BASELINE in [agent.label for agent in methods] else [self._base(BASELINE)]

    def check(self, problems: list[EnvironmentSpec], methods: list[PlayerSpec]) -> tuple[list[Problem], list[str]]:
        """Opens every environment once, and rehearses every agent and policy for each form of observations."""
        opened, forms, notes, silent = [], {}, [], {}
        for spec in problems:
            try:
                with contextlib.closing(spec.open(1, families=(BANDIT,))) as environment:
                    info = EnvironmentInfo.of(spec, environment)
                forms[spec.label] = info.observations
                _require_agents(spec, methods)
                notes += [f"{spec.label}: {note}" for note in info.notes]
                opened.append(Problem(spec, info.fingerprint, told=info.told))
            except Exception as error:
                self.errors.append(f"environment {spec.label!r}: {words(error)}")
        with one_thread():  # networks are small, and there may be hundreds of them
            for form in dict.fromkeys(forms.values()):
                for agent in methods:
                    try:
                        silent[agent.label] = not rehearse(agent, form).predicts
                        if self.parsed and self.parsed.save and isinstance(agent, AgentSpec):
                            keep_in_trial(agent.player((0,), form, 1))
                    except Exception as error:
                        self.errors.append(f"agent {agent.label!r} with {form}: {words(error)}")
        steps = self.parsed.steps if self.parsed else 1
        own = [agent.label for agent in methods if not isinstance(agent, AgentSpec)]
        if self.parsed and self.parsed.save and own:
            notes.append(f"save: {', '.join(own)}: policies of your own are not kept, the agents are")
        if self.parsed:
            together = min(self.parsed.at_once, len(seeds_of(self.parsed.seeds, [])))
            self.errors += too_large(together, steps)
        known = [(problem.environment, forms[problem.label]) for problem in opened]
        names = [label for label, predicts_nothing in silent.items() if predicts_nothing and label != BASELINE]
        if names:
            notes.append(f"{', '.join(names)}: no predictions, and so no scores of any")
        return opened, [*notes, *_never_learning(known, methods, steps)]


def _label(parsed: AgentEntry, base: AgentSpec, parts: Mapping[str, Any], setting: Setting) -> str:
    """Returns what an agent is called: by its label, or by the id that it is made from, or else by its kinds; and by
    what was chosen of it from several values."""
    if label := parsed.label or base.label:
        return labelled(label, {key: one for key, one in setting.items() if key != "id" or parsed.label})
    kinds = [plain(type(parts[name])) for name in ("posterior", "rule")]
    own = {key: one for key, one in setting.items() if key.removesuffix(".kind") not in ("posterior", "rule")}
    return labelled(" ".join(kinds), own)


def _names_policy(name: str) -> bool:
    """Says whether "module:name" is a policy, and not an agent; what it is instead, or what is wrong, is told later."""
    try:
        return ":" in name and is_policy(load(name))
    except Exception:
        return False


def too_large(seeds: int, steps: int) -> list[str]:
    """Returns what is wrong where actions, rewards and regret of one job alone are more than the memory holds."""
    needed, there = 32 * seeds * steps, resources.installed_memory()
    if needed <= there:
        return []
    sizes = [f"{amount / 1e9:,.1f} GB" for amount in (needed, there)]
    return [
        f"steps: expected as many as fit into memory, got {steps:,} of {seeds:,} seeds at once, which take {sizes[0]} "
        f"of {sizes[1]} before an agent has learned anything: lower steps, or the seeds in a `block`"
    ]


def _require_agents(spec: EnvironmentSpec, methods: Sequence[PlayerSpec]) -> None:
    """Raises a ValueError for policies where agents start from a log, which they cannot learn from."""
    others = [method.label for method in methods if not isinstance(method, AgentSpec)]
    if spec.log is not None and others:
        raise ValueError(f"log: expected agents, which can start from a log, got the policies {', '.join(others)}")


def _never_learning(
    forms: list[tuple[EnvironmentSpec, ObservationSpec]], agents: list[PlayerSpec], steps: int
) -> list[str]:
    """Says where agents never come to decide, because the run ends before they have learned from anything."""
    notes: dict[str, list[str]] = {}
    for spec, form in forms:
        for agent in agents:
            if not isinstance(agent, AgentSpec) or agent.posterior is None or spec.log is not None:
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
