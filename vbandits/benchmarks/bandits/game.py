"""What a job holds between two steps, and how it goes on from a checkpoint of it."""

from collections import deque
from collections.abc import Callable, Mapping
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
from vbandits.experiment.checkpoints import Checkpoints
from vbandits.experiment.clock import Clock
from vbandits.state import Known, State, put

KNOWN = Known((*saving.KNOWN.declared, Job), saving.KNOWN.records)


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


def begin(
    checkpoints: Checkpoints,
    made: Callable[[bool], Game],
    environment: Any,
    seeds: list[int],
    device: str,
    progress: Progress,
) -> Game:
    """Returns a game that goes on from a checkpoint, or begins; the environment is where it is then.

    Environments are not written: they start again with their seeds, and the actions that were taken are played again,
    which takes their time but not the agent's. Those that then pay other rewards, or show another context, have not
    come back to where they were, and the job begins anew. So do policies, whose state only they know.

    Args:
        checkpoints: of the job.
        made: returns a new game; whether its agent has begun with what a log tells, is said.
        environment: that is played.
        seeds: of its sub-environments.
        device: on which the agent computes.
        progress: is told that the job is alive.
    """

    def restored(state: State) -> Game:
        game = put(made(False), state, KNOWN, device)
        _play_again(game, environment, seeds, progress)
        return game

    if game := checkpoints.resumed(restored):
        return game
    game = made(True)
    if not isinstance(game.agent, Agent):
        checkpoints.forgo()
    with game.clock.of("environment"):
        game.contexts, _ = environment.reset(seed=seeds)
    return game


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
