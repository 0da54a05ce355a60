"""What a job holds between two steps, and checkpoints of it, from which it goes on bit for bit."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbandits.agents import saving
from vbandits.agents.agent import Agent
from vbandits.agents.player import Player
from vbandits.benchmarks.bandits.held_out import Evaluator
from vbandits.benchmarks.bandits.recorder import Recorder
from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import Job, Progress
from vbandits.experiment.clock import Clock
from vbandits.files import versions
from vbandits.state import Known, put, take
from vbandits.state.files import read, write

KNOWN = Known((*saving.KNOWN.declared, Job), saving.KNOWN.records)
SHARE = 0.05
"""Most of a job's time that goes into writing checkpoints, however short their interval."""


class Game:
    """An agent that plays, and what is noted of it.

    Attributes:
        agent: that plays.
        recorder: of its decisions.
        evaluator: of what it believes.
        clock: of where time goes.
        contexts: that it is to decide on next.
        waiting: rewards that are not known to it yet.
        step: decisions so far.
    """

    def __init__(self, job: Job, agent: Player, environment: Any) -> None:
        """Starts before the first step."""
        signed = getattr(environment, "metadata", {}).get("signed_regret", False)
        self.agent, self.recorder = agent, Recorder(job, agent, signed)
        self.evaluator = Evaluator(job, agent, environment)
        self.clock = Clock("agent", "environment", "scoring")
        self.contexts: Any = None
        self.waiting: deque[Tensor] = deque()
        self.step = 0


class Checkpoints:
    """The file of a job's checkpoint, and when the next one is due.

    Environments are not written: they start again with their seeds, and the actions that were taken are played again,
    which takes their time but not the agent's. Those that then pay other rewards, or show another context, have not
    come back to where they were, and the job begins anew. So do policies, whose state only they know.

    Attributes:
        notes: what a person should know.
    """

    def __init__(self, job: Job, path: Path | None) -> None:
        """Takes the job, and the file; without one there are no checkpoints."""
        self.notes: list[str] = []
        self._job, self._path = job, path
        self._about = {} if path is None else {"job": job.key, "versions": versions()}
        self._due = time.monotonic() + job.checkpoint

    def begin(self, made: Callable[[bool], Game], environment: Any, seeds: list[int], progress: Progress) -> Game:
        """Returns a game that goes on from the checkpoint, or begins; the environment is where it is then.

        Args:
            made: returns a new game; whether its agent has begun with what a log tells, is said.
            environment: that is played.
            seeds: of its sub-environments.
            progress: is told that the job is alive.
        """
        if self._path is not None and self._path.exists():
            try:
                state, about = read(self._path)
                if about != self._about:
                    raise ConfigError("expected one of this job, made by the versions that are installed, got another")
                game = put(made(False), state, KNOWN, self._job.device)
                _play_again(game, environment, seeds, progress)
                self.notes.append(f"went on from a checkpoint after {game.step} steps")
                return game
            except ConfigError as error:
                self.notes.append(f"began anew, since its checkpoint is of no use: {error}")
        game = made(True)
        if not isinstance(game.agent, Agent):
            self._path = None
        with game.clock.of("environment"):
            game.contexts, _ = environment.reset(seed=seeds)
        return game

    def offer(self, game: Game) -> None:
        """Writes a checkpoint, if one is due."""
        if self._path is None or time.monotonic() < self._due:
            return
        begun = time.monotonic()
        try:
            write(self._path, take(game, KNOWN), self._about)
        except (ConfigError, OSError) as error:
            self.notes.append(f"it has no checkpoints: {error}")
            self._path = None
            return
        now = time.monotonic()
        self._due = now + max(self._job.checkpoint, (now - begun) / SHARE if self._job.checkpoint else 0)


def _play_again(game: Game, environment: Any, seeds: list[int], progress: Progress) -> None:
    """Brings an environment to where it was, by the actions that were taken.

    Raises:
        ConfigError: if it does not come there.
    """
    with game.clock.of("environment"):
        contexts, _ = environment.reset(seed=seeds)
        for step in range(game.step):
            actions, paid = game.recorder.taken(step)
            contexts, rewards, *_ = environment.step(actions)
            if not torch.equal(rewards.to(paid), paid):
                raise ConfigError(
                    f"expected the environment to pay the same for the same seeds and actions, got {rewards.tolist()} "
                    f"instead of {paid.tolist()} in step {step}"
                )
            progress.beat()
    if not _equal(contexts, game.contexts):
        raise ConfigError(f"expected the environment to show the same after {game.step} steps, got another context")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(part, other[name]) for name, part in one.items())
    return torch.equal(one, other)
