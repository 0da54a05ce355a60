"""Agents that outlive a run: `vbandits.load_agent`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbandits.agents.agent import Agent
from vbandits.agents.saving import Kept, keep, read_about, read_agent, restore, write_agent
from vbandits.envs.spaces import Observation
from vbandits.errors import ConfigError, shortened

AGENTS = "agents"
"""Folder of the agents in a results folder."""
SHOWN = 100
"""Letters of what was given that a message shows."""
HALVINGS, DOUBLINGS = 60, 200
"""Of the search for a quantile."""


@dataclass(frozen=True)
class Prediction:
    """What an agent expects actions to pay, in units of the reward; each [n], or [R, n] of all seeds.

    Attributes:
        mean: expected reward.
        std: standard deviation of the reward, its noise included.
        low: lower end of the interval of the reward.
        high: its upper end.
        doubt: standard deviation of the expected reward alone: what more data would take away.
    """

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray
    doubt: np.ndarray


def opened(
    path: Path, wanted: Mapping[str, str | None], seed: Any, device: str | None, keys: Collection[str] | None = None
) -> "TrainedAgent":
    """Returns an agent that was kept.

    Args:
        path: of its file, or of the results folder of a run with `save`.
        wanted: labels by axis, where a folder holds several; None for any.
        seed: which of its seeds, None for the first, or "all".
        device: "cpu" or "cuda"; by default the one that it was trained on, if it is there.
        keys: of the jobs whose agents count, where a folder holds others; by default all.

    Raises:
        ConfigError: if there is no such agent, or its files are not what was written.
    """
    if path.is_dir():
        path = _chosen(path, wanted, seed, keys)
    elif any(label is not None for label in wanted.values()):
        raise ConfigError(f"{path}: expected a results folder where {' or '.join(wanted)} is given, got a file")
    kept = read_agent(path)
    if device is None:
        device = "cuda" if kept.about["device"] == "cuda" and torch.cuda.is_available() else "cpu"
    return TrainedAgent(restore(kept, device), kept, seed)


def _chosen(folder: Path, wanted: Mapping[str, str | None], seed: Any, keys: Collection[str] | None) -> Path:
    """Returns the file of the one agent in a results folder that has the labels and the seed wanted."""
    files = sorted((folder / AGENTS).glob("*.json"))
    if not files:
        raise ConfigError(f"{folder}: expected agents of a run with `save = true`, got none")
    about = {path: own for path in files if (own := read_about(path)) and (keys is None or own.get("key") in keys)}
    named = {
        path: own
        for path, own in about.items()
        if all(label is None or own["names"].get(axis) == label for axis, label in wanted.items())
    }
    found = [path for path, own in named.items() if seed in (None, "all") or seed in own["seeds"]]
    if named and not found:
        others = [f"{' · '.join(own['names'].values())} (seeds {_listed(own['seeds'])})" for own in named.values()]
        raise ConfigError(f"{folder}: seed: expected one that was kept, of {'; '.join(others)}, got {seed!r}")
    labels = {tuple(about[path]["names"].values()) for path in found}
    if len(labels) == 1 and (len(found) == 1 or seed is None):  # blocks of seeds: the first
        return min(found, key=lambda path: about[path]["seeds"][0])
    known = [f"{' · '.join(own['names'].values())} (seeds {_listed(own['seeds'])})" for own in about.values()]
    given = ", ".join(f"{name}={value!r}" for name, value in [*wanted.items(), ("seed", seed)] if value is not None)
    raise ConfigError(
        f"{folder}: expected one agent, got {len(found)} for {given or 'no name'}: give environment, agent or seed of "
        f"{'; '.join(known)}"
    )


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


class TrainedAgent:
    """An agent outside a run: NumPy in, NumPy out. Printed, it says what it is, and which seed of which.

    Attributes:
        about: where it comes from: its declaration, seeds, step, versions, as its file has them.
        seeds: those that are played: one, or all.
    """

    def __init__(self, agent: Agent, kept: Kept, seed: Any = None) -> None:
        self._agent, self.about = agent, kept.about
        own = [int(one) for one in kept.about["seeds"]]
        if seed not in (None, "all") and seed not in own:
            raise ConfigError(f"seed: expected one of {_listed(own)}, or 'all' of them, got {seed!r}")
        self._all = seed == "all"
        self.seeds = tuple(own) if self._all else (own[0] if seed is None else int(seed),)
        self._places = [agent.task.seeds.index(one) for one in self.seeds]

    def __repr__(self) -> str:
        spec, own = self._agent.spec, self.about["seeds"]
        learns = "none" if spec.posterior is None else type(spec.posterior).__name__
        others = f" of {_listed(own)} (load_agent(..., seed=...) takes another)" if len(self.seeds) < len(own) else ""
        waiting = f", {self.waiting:,} of them without a reward yet" if self.waiting else ""
        where = "".join(f", {axis} {name!r}" for axis, name in self.about.get("names", {}).items() if axis != "agent")
        return (
            f"TrainedAgent {self.label!r}: posterior {learns}, rule {type(spec.rule).__name__}{where}, "
            f"seed{'s' if len(self.seeds) > 1 else ''} {_listed(self.seeds)}{others}, {self.steps:,} decisions{waiting}"
        )

    @property
    def label(self) -> str:
        """How it is called."""
        return self._agent.spec.label

    @property
    def steps(self) -> int:
        """Decisions so far."""
        return self._agent.decisions

    @property
    def waiting(self) -> int:
        """Decisions whose rewards it has not been told yet."""
        return self._agent.waiting

    @property
    def diverged(self) -> Any:
        """Whether it plays at random, because its posterior has diverged."""
        found = self._agent.diverged.cpu().numpy()[self._places]
        return found if self._all else bool(found[0])

    def act(self, observation: Any) -> Any:
        """Returns the action for what is observed, counted from 0.

        Args:
            observation: the context [D], or a dict of `context` [D], `arms` [A, F] and `mask` [A], those that the
                environment has; numbers, not scaled.

        Raises:
            ValueError: if it has another form than what the agent was trained on.
        """
        actions = self._agent.act(self._seen(observation)).cpu().numpy()[self._places]
        return actions if self._all else int(actions[0])

    def observe(self, rewards: Any) -> None:
        """Takes the reward of the earliest decision that has none yet, and learns if it is time to.

        Args:
            rewards: one, or those of several decisions [n], the earliest first, which are learned from together.

        Raises:
            ValueError: if they are not finite, or more than there are decisions without.
        """
        columns = self._rewards(rewards)
        if self._agent.model is None:
            return
        if columns.shape[1] > self.waiting:
            raise ValueError(
                f"rewards: expected at most {self.waiting}, one for each decision that has none yet, got "
                f"{columns.shape[1]}: call act before each of them"
            )
        for column in columns.T:
            self._agent.observe(self._spread(torch.from_numpy(column.copy())))
        if self._agent.due:
            self._agent.learn()

    def _rewards(self, rewards: Any) -> np.ndarray:
        """Returns rewards of n decisions, for each of the seeds that are played [R, n]."""
        try:
            given = np.asarray(rewards, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"rewards: expected numbers, got {shortened(repr(rewards), SHOWN)}") from None
        count = len(self.seeds)
        if self._all and (given.shape[:1] != (count,) or given.ndim > 2):
            raise ValueError(
                f"rewards: expected the shape ({count},), one for each of the seeds {_listed(self.seeds)}, or "
                f"({count}, n) of n decisions, got the shape {given.shape}: give every seed its own, or load one seed"
            )
        if not self._all and given.ndim > 1:
            raise ValueError(
                f"rewards: expected one number, or the shape (n,) of n decisions, got the shape {given.shape}: give a "
                "number for each decision, the earliest first"
            )
        if not np.isfinite(given).all():
            wrong = given[~np.isfinite(given)][0]
            raise ValueError(f"rewards: expected finite numbers, got {wrong}: give what the decision paid, or wait")
        return given.reshape(count, -1)

    def predict(self, observation: Any, actions: Any = None, level: float = 0.9) -> Prediction:
        """Returns what actions are expected to pay. It changes nothing: what is decided next is the same without.

        Args:
            observation: as for `act`.
            actions: which [n], or one; by default all.
            level: of the interval, which leaves as much out on both sides.

        Raises:
            ValueError: for an agent that has no posterior, or has not learned from anything yet.
        """
        model = self._agent.model
        if model is None or not model.trained:
            what = "no posterior" if model is None else "one that has not learned from any reward yet"
            raise ValueError(f"expected an agent that predicts, got {what}")
        if not 0 < level < 1:
            raise ValueError(f"level: expected a number between 0 and 1, got {level}")
        arms = self._agent.encoding.form.arms
        chosen = torch.arange(arms) if actions is None else torch.as_tensor(np.atleast_1d(actions))
        if chosen.dim() != 1 or chosen.dtype.is_floating_point or not ((chosen >= 0) & (chosen < arms)).all():
            raise ValueError(f"actions: expected numbers from 0 to {arms - 1}, got {actions!r}")
        count, device = len(chosen), self._agent.task.device
        seen = Observation.of(self._seen(observation))
        repeated = Observation(
            *(None if part is None else part.unsqueeze(1).expand(-1, count, *part.shape[1:]) for part in seen)
        )
        every = chosen.to(device).expand(len(self._agent.task.seeds), -1)
        return self._told(self._agent.beliefs(repeated, every)[0], level)

    def save(self, path: str | Path) -> None:
        """Writes it to PATH.safetensors and PATH.json, from which `load_agent` goes on as if it had never stopped."""
        told = {name: self.about[name] for name in ("names", "key") if name in self.about}
        write_agent(Path(path), keep(self._agent, self.seeds, **told))

    def _told(self, found: Any, level: float) -> Prediction:
        with np.errstate(all="ignore"):  # of replicas that have diverged
            mean, (noise, doubt) = found.mean(), found.variances()
            std = np.sqrt(noise + doubt)
            low, high = (quantile(found, mean, std, side) for side in ((1 - level) / 2, (1 + level) / 2))
        parts = (np.asarray(part)[self._places] for part in (mean, std, low, high, np.sqrt(doubt)))
        return Prediction(*(part if self._all else part[0] for part in parts))

    def _seen(self, observation: Any) -> Tensor | dict[str, Tensor]:
        """Returns an observation as the agent has it, the same for every replica where one seed is played."""
        form, first = self._agent.encoding.form, (len(self.seeds),) if self._all else ()
        shapes = {"context": (form.features,)} if form.features else {}
        shapes |= {"arms": (form.arms, form.arm_features)} if form.arm_features else {}
        shapes |= {"mask": (form.arms,)} if form.masked else {}
        given = observation if form.nested else {"context": observation}
        if not isinstance(given, Mapping) or given.keys() != shapes.keys():
            got = f"a dict of {', '.join(given)}" if isinstance(given, Mapping) else type(given).__name__
            raise ValueError(f"observation: expected a dict of {', '.join(shapes)}, got {got}")
        parts = {}
        for name, shape in shapes.items():
            values = np.asarray(given[name])
            wanted = f"observation: expected {name} of finite numbers of shape {(*first, *shape)}"
            if values.shape != (*first, *shape):
                each = f", one row for each of the seeds {_listed(self.seeds)}" if self._all else ""
                raise ValueError(f"{wanted}{each}, got the shape {values.shape}")
            if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
                raise ValueError(f"{wanted}, got {shortened(repr(values), SHOWN)}")
            values = values.reshape(len(self.seeds), *shape)
            if name == "mask":
                if not values.any(-1).all():
                    raise ValueError("observation: expected a mask with an available action, got none")
                parts[name] = self._spread(torch.from_numpy(values.astype(bool)))
                continue
            kind = np.float32 if values.dtype == np.float32 else np.float64
            found = self._spread(torch.from_numpy(values.astype(kind)))
            parts[name] = found.to(self._agent.number_type or found.dtype)
        return parts if form.nested else parts["context"]

    def _spread(self, values: Tensor) -> Tensor:
        """Returns values of the seeds that are played for all replicas: the others, which are independent of them, are
        given the first one's."""
        place = torch.zeros(len(self._agent.task.seeds), dtype=torch.long)
        place[self._places] = torch.arange(len(self._places))
        return values[place].to(self._agent.task.device)


def quantile(found: Any, mean: np.ndarray, std: np.ndarray, probability: float) -> np.ndarray:
    """Returns where predictive distributions [R, N] reach a probability, by halving; NaN where they have no mean."""
    step = np.where(np.isfinite(std) & (std > 0), std, 1.0)
    low, high = mean - step, mean + step
    for _ in range(DOUBLINGS):
        short, far = found.cdf(low) > probability, found.cdf(high) < probability
        if not (short.any() or far.any()):
            break
        step = 2 * step
        low, high = np.where(short, mean - step, low), np.where(far, mean + step, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = found.cdf(middle) < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(np.isfinite(mean), (low + high) / 2, np.nan)
