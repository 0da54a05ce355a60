"""Environments as an experiment declares them, and how they are opened."""

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from vbandits.data import Dataset, memory
from vbandits.data.logs import Log, load_log
from vbandits.data.matching import matched
from vbandits.data.pool import Pool
from vbandits.envs.adapter import UserEnvironments
from vbandits.envs.argument_types import type_errors
from vbandits.envs.base import Native
from vbandits.envs.processes import Processes, packed
from vbandits.envs.single import SingleEnvironment
from vbandits.envs.spaces import BANDIT, FAMILIES, ObservationSpec, family
from vbandits.envs.together import Together
from vbandits.registry import ENVIRONMENTS, load, register_environments, unknown
from vbandits.source_hash import LENGTH, plain, reference, source_hash

DATA_DIR = "data_dir"
"""The parameter of a native environment that says where its files lie, on which results do not depend."""
SHOWN = 200
"""Characters of an environment's arguments that a message shows."""
NEAREST = 5
"""Names that are shown for one that is not known: gymnasium's registry holds many more."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """The declaration of an environment.

    Attributes:
        label: how reports call it.
        source: an id of gymnasium's registry ("CartPole-v1"), the same with the module that registers it
            ("my_envs:acme/Ads-v0"), a class or function in a module ("my_envs:Ads"), or the class or function itself.
        kwargs: handed to the environment.
        delay: decisions after which an outcome is known: with 3, that of the first decision before the fifth; none at
            all where nothing is said.
        batch: decisions whose outcomes come together, when that of the last of them is known.
        data_dir: where the files of datasets lie, handed to native environments that take it unless `kwargs` have it;
            results do not depend on it.
        processes: in which the sub-environments of a user's own environment are stepped, for one that is slow; results
            do not depend on it.
        log: decisions that agents have learned from before the first of their own: `id`, options of `load_log`, and
            `arms`, what the log calls the environment's arms, in their order, where names differ. See `data.matching`.
    """

    label: str
    source: str | Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    delay: int | None = None
    batch: int | None = None
    data_dir: str | None = None
    processes: int = 1
    log: Mapping[str, Any] | None = None

    def warm_log(self, environment: Any = None) -> Log | None:
        """Returns the decisions that agents have learned from before the first of their own; None if there are none.

        Args:
            environment: what `open` returned, whose arms and columns the log's become, by the names in its attributes
                `arm_names` and `feature_names` if it has them; without it, it is opened.

        Raises:
            ValueError: if they cannot be read, or are not those of such an environment.
        """
        if self.log is None:
            return None
        if environment is None:
            with contextlib.closing(self.open(1, families=(BANDIT,))) as opened:
                return self.warm_log(opened)
        options = {name: value for name, value in self.log.items() if name not in ("id", "arms")}
        log, form = load_log(self.log["id"], **options, data_dir=self.data_dir), ObservationSpec.of(environment)
        if form.arm_features or form.masked:
            raise ValueError("log: expected an environment whose arms have no features and no mask, got one with them")
        names = (getattr(environment, name, ()) for name in ("arm_names", "feature_names"))
        return matched(log, form.arms, form.features, *names, self.log.get("arms"))

    def known(self, decisions: int) -> int:
        """Returns of how many decisions the outcome is known after so many decisions."""
        batch = self.batch or 1
        return max(decisions - (self.delay or 0), 0) // batch * batch

    def open(self, num_envs: int, device: str = "cpu", families: Sequence[str] = ()) -> Any:
        """Returns the environment with R sub-environments: a vector environment of tensors on the device.

        Args:
            num_envs: R.
            device: of the tensors.
            families: that will do, of "bandit", "pool" and "stream"; by default all.

        Raises:
            ValueError: if there is no such environment, if it cannot be made, or if it is of none of the families.
        """
        environment = self._open(num_envs, device)
        if (found := family(environment)) not in (families or FAMILIES):
            environment.close()
            wanted = ", or ".join(FAMILIES[name] for name in families)
            raise ValueError(f"expected {wanted}, got {FAMILIES[found]}")
        return environment

    def _open(self, num_envs: int, device: str) -> Any:
        native, defaults = self._native()
        if native is not None:
            if self.processes > 1:
                raise ValueError(
                    f"processes: expected 1, got {self.processes}: the sub-environments of {reference(self.source)} "
                    "are one batch of tensors in this process, and need no others"
                )
            made = functools.partial(native, num_envs=num_envs, device=device)
            return self._make(made, self._arguments(native, defaults), native)
        if self.processes > 1:
            packed(self)  # told before work starts, also where there is a single sub-environment
        count = min(self.processes, num_envs)
        return UserEnvironments(Processes(self, num_envs, count) if count > 1 else self.several(num_envs), device)

    def several(self, count: int, start: int = 0) -> Together:
        """Returns sub-environments in this process, the first of them number `start` of all."""
        with contextlib.ExitStack() as opened:
            environments = []
            for _ in range(count):
                environments.append(self.single())
                opened.callback(getattr(environments[-1], "close", lambda: None))
            together = Together(environments, start)
            opened.pop_all()  # nothing failed: from here on they are its to close
            return together

    def single(self) -> Any:
        """Returns one sub-environment as a plain `gymnasium.Env`, the user's own just as it was written.

        Raises:
            ValueError: if there is no such environment, or if it cannot be made.
        """
        native, defaults = self._native()
        if native is not None:
            return self._make(functools.partial(SingleEnvironment, native), self._arguments(native, defaults), native)
        source = resolve(self.source)
        if not isinstance(source, EnvSpec):
            return self._make(source, self.kwargs, source)
        if source.entry_point is None:
            raise ValueError(
                f"expected {source.id} to be registered with an entry_point, or with a "
                "vector_entry_point that is a subclass of vbandits.envs.NativeBandit, got "
                f"{source.vector_entry_point!r}"
            )
        made = functools.partial(gymnasium.make, source, disable_env_checker=True)
        return self._make(made, self.kwargs, _loaded(source.entry_point), also=("max_episode_steps",))

    def _arguments(self, native: Callable[..., Native], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what a native bandit is made with: the data directory only where it is one that looks into it."""
        placed = {DATA_DIR: self.data_dir} if DATA_DIR in (_parameters(native) or ()) else {}
        return {**placed, **defaults, **self.kwargs}

    def _native(self) -> tuple[Callable[..., Native] | None, dict[str, Any]]:
        """Returns what makes a native bandit and the arguments that it is registered with, or None."""
        source = resolve(self.source)
        if not isinstance(source, EnvSpec):
            return (source, {}) if _is_native(source) else (None, {})
        if source.vector_entry_point is None or source.additional_wrappers:
            return None, {}
        vector = _loaded(source.vector_entry_point)
        return (vector, source.kwargs) if _is_native(vector) else (None, {})

    def _make(
        self, maker: Callable[..., Any], kwargs: Mapping[str, Any], takes: Any, also: tuple[str, ...] = ()
    ) -> Any:
        """Calls `maker`, after a look at the parameters of `takes` and their types; `also` names further ones."""
        known, what = _parameters(takes), f"parameter of {reference(self.source)}"
        errors = [unknown(what, name, known) for name in kwargs if known is not None and name not in (*known, *also)]
        if _is_native(takes):
            wrong = type_errors(_unbound(takes).__init__, self.kwargs)
            if errors and not wrong:  # what else is wrong is told with it
                try:
                    maker(**{name: value for name, value in kwargs.items() if name in (*(known or ()), *also)}).close()
                except ValueError as error:
                    wrong = [str(error)]
            errors += wrong
        if errors:
            raise ValueError("; ".join(errors))
        try:
            return maker(**kwargs)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may call exit()
            given = repr(dict(self.kwargs))
            made = f"{reference(self.source)} with {given if len(given) <= SHOWN else given[:SHOWN] + '...'}"
            raise ValueError(f"expected to make {made}, got {type(error).__name__}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Takes a registered environment along: another process has not run the script that registered it."""
        registered = None
        if isinstance(self.source, str) and self.source not in ENVIRONMENTS:
            registered = gymnasium.registry.get(self.source)
        return {**vars(self), "_registered": registered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        registered = state.pop("_registered")
        vars(self).update(state)
        if registered is not None:
            gymnasium.registry.setdefault(registered.id, registered)


def resolve(source: Any) -> Callable[..., Any] | EnvSpec:
    """Returns the class or function that makes an environment, or what is registered under its id.

    Raises:
        ValueError: if there is none, with the nearest name that there is.
    """
    register_environments()
    if not isinstance(source, str):
        if callable(source):
            return source
        raise ValueError(
            f"expected an id, or a class or function that makes an environment, got {source!r}: {instead(source)}"
        )
    module, separator, name = source.partition(":")
    if not separator:
        if source in gymnasium.registry:
            return gymnasium.registry[source]
        raise ValueError(unknown("environment", source, _known(source), "environments"))
    try:
        return load(source, "environment")
    except ValueError as error:
        if module not in sys.modules:  # it is the module that is not there
            raise
        if name in gymnasium.registry:  # importing the module has registered it
            return gymnasium.registry[name]
        if "/" not in name and "-" not in name:
            raise
        what = f"environment, also after importing {module}:"
        raise ValueError(unknown(what, name, _known(name), "environments")) from error


def instead(source: Any) -> str:
    """Returns what to give in the place of an environment that is made already: every seed needs one of its own."""
    made = getattr(source, "spec", None)
    if isinstance(made, EnvSpec):
        kwargs = f" with kwargs = {made.kwargs}" if made.kwargs else ""
        wrapped = ", or a function that makes and wraps it" if made.additional_wrappers else ""
        return f"each seed needs one of its own, so give its id, {made.id!r}{kwargs}{wrapped}"
    if isinstance(source, gymnasium.Env):
        return f"each seed needs one of its own, so give the class {type(source.unwrapped).__name__}, or a function"
    return "give a text, a class or a function"


@dataclass(frozen=True)
class EnvironmentInfo:
    """What a declaration turned out to be when it was opened: kept, so that it need not be opened again to be told.

    Attributes:
        family: "bandit", or of active learning "pool" or "stream".
        observations: the sizes of a bandit's observations; None of active learning.
        notes: what the environment says of itself.
        fingerprint: see `fingerprint`.
        told: from how many logged decisions agents start, and how they were matched, in words; "" if from none.
    """

    family: str
    observations: ObservationSpec | None
    notes: tuple[str, ...]
    fingerprint: dict[str, Any]
    told: str = ""

    @classmethod
    def of(cls, spec: EnvironmentSpec, environment: Any) -> "EnvironmentInfo":
        """Returns it of what `spec.open` returned."""
        found = family(environment)
        observations = ObservationSpec.of(environment) if found == BANDIT else None
        log = spec.warm_log(environment) if found == BANDIT else None
        notes = [*getattr(environment, "notes", ()), *(f"log: {note}" for note in (log.notes if log else ()))]
        told = f"from {len(log):,} logged decisions of {log.name}, {log.matched}" if log else ""
        return cls(found, observations, tuple(notes), fingerprint(spec, environment, log), told)


def fingerprint(spec: EnvironmentSpec, environment: Any = None, log: Log | None = None) -> dict[str, Any]:
    """Returns what identifies an environment, as JSON can hold it.

    Keys: label, source, kwargs (with those that the environment is registered with), delay, batch, and `code`, a short
    hash of each of the user's own files that it comes from, by module, so that an edited environment is not taken for
    the one that ran. Of a native environment that has a `dataset` or `pool` also `data`, a short hash of its rows in
    their order: copies of a published dataset may hold other rows, or the same in another order. Where files lie does
    not count.

    Args:
        spec: its declaration.
        environment: what `spec.open` returned; if it is not at hand, a native one is opened for its rows.
        log: what `spec.warm_log` returned, if it is at hand.
    """
    source = resolve(spec.source)
    registered = source.kwargs if isinstance(source, EnvSpec) else {}
    kwargs, native = {**registered, **spec.kwargs}, spec._native()[0]
    found: dict[str, Any] = {"label": spec.label, "source": reference(spec.source)}
    if native is not None:
        kwargs = _unbound(native).described(kwargs)
        kwargs.pop(DATA_DIR, None)
        if (digest := _data(spec, environment)) is not None:
            found["data"] = digest
    found["kwargs"] = plain(kwargs)
    found |= {"delay": spec.delay or 0, "batch": spec.batch or 1}
    if (log := log or spec.warm_log(environment)) is not None:
        found["log"] = {name: plain(memory.shown(value)) for name, value in (spec.log or {}).items()}
        found["log"] |= {"id": log.name, "data": log.digest()[:LENGTH]}  # of the matched rows: no words of how
    code = {name: digest for name, origin in _origins(spec, source) if (digest := source_hash(origin)) is not None}
    return {**found, "code": code} if code else found


def parameters(source: Any) -> list[str]:
    """Returns the names of the parameters that an environment is known to take; none where they cannot be known."""
    found = made_by(source)
    return [] if found is None else _parameters(found) or []


def made_by(source: Any) -> Any:
    """Returns the class or function that takes the parameters of an environment; None where there is none."""
    try:
        found = resolve(source)
        if isinstance(found, EnvSpec):
            vector = found.vector_entry_point and _loaded(found.vector_entry_point)
            found = vector if _is_native(vector) else _loaded(found.entry_point)
        return found
    except Exception:  # opening the environment will tell what is wrong with it
        return None


def _data(spec: EnvironmentSpec, environment: Any) -> str | None:
    """Returns a short hash of the dataset or pool of a native environment, or None if it has none or cannot be made."""
    if environment is None:
        try:
            with contextlib.closing(spec.open(1)) as opened:
                return _data(spec, opened)
        except ValueError:  # there are no results of it to be told apart
            return None
    rows = getattr(environment, "dataset", None) or getattr(environment, "pool", None)
    return rows.digest()[:LENGTH] if isinstance(rows, Dataset | Pool) else None


def _origins(spec: EnvironmentSpec, source: Callable[..., Any] | EnvSpec) -> list[tuple[str, Any]]:
    """Returns the modules that an environment comes from: where it is written, and where it is registered."""
    entries = [source]
    if isinstance(source, EnvSpec):
        entries = [_loaded(entry) for entry in (source.entry_point, source.vector_entry_point) if entry is not None]
    origins = [(reference(entry).partition(":")[0], entry) for entry in entries]
    if isinstance(spec.source, str) and ":" in spec.source:
        module = spec.source.partition(":")[0]
        origins.append((module, importlib.import_module(module)))
    return origins


def _loaded(entry: Any) -> Any:
    return load(entry) if isinstance(entry, str) else entry


def _is_native(source: Any) -> bool:
    source = _unbound(source)
    return inspect.isclass(source) and issubclass(source, Native)


def _unbound(source: Any) -> Any:
    """Returns a class or function without what `functools.partial` has bound."""
    while isinstance(source, functools.partial):
        source = source.func
    return source


def _parameters(takes: Any) -> list[str] | None:
    """Returns the names of the parameters that a user may give, or None if any name will do."""
    try:
        parameters = inspect.signature(takes).parameters.values()
    except (TypeError, ValueError):  # a class of a compiled module
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    own = ("num_envs", "device") if _is_native(takes) else ()
    return [parameter.name for parameter in parameters if parameter.name not in own]


def _known(name: str) -> list[str]:
    """Returns all ids of ours, and of others' the few that look most like a name, with or without namespace, version
    and capitals."""
    candidates = ENVIRONMENTS if name.startswith("vbandits/") else gymnasium.registry
    spellings: dict[str, str] = {}
    for known in sorted(candidates, key=lambda known: known not in ENVIRONMENTS):
        short = known.rpartition("/")[2].partition("-v")[0].lower()
        for spelling in (known, known.lower(), short):
            spellings.setdefault(spelling, known)
    near = get_close_matches(name, spellings, n=NEAREST) + get_close_matches(name.lower(), spellings, n=NEAREST)
    return [*ENVIRONMENTS, *list(dict.fromkeys(spellings[spelling] for spelling in near))[:NEAREST]]
