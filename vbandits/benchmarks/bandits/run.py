"""One job of a bandit experiment: an agent plays an environment, all seeds of a block in lockstep."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vbandits.agents import saving
from vbandits.agents.agent import Agent
from vbandits.agents.player import PlayerSpec
from vbandits.benchmarks.bandits import BENCHMARK
from vbandits.benchmarks.bandits.game import KNOWN, Game, begin
from vbandits.benchmarks.environments import Problem
from vbandits.data.logs import Log
from vbandits.envs.base import HeldOut
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.envs.spec import EnvironmentSpec, fingerprint
from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import UNHEARD, Job, Outcome, Progress
from vbandits.experiment.checkpoints import Checkpoints


def job(
    environment: EnvironmentSpec,
    agent: PlayerSpec,
    seeds: Sequence[int],
    steps: int,
    recorded: int = 500,
    device: str = "cpu",
) -> Job:
    """Returns a job without an experiment.

    Args:
        environment: to play.
        agent: that plays.
        seeds: in lockstep.
        steps: decisions of each seed.
        recorded: decisions that are recorded and scored, evenly spaced; the ends of the last 500 come on top.
        device: "cpu" or "cuda".
    """
    problem = Problem(environment, fingerprint(environment))
    return Job(BENCHMARK, problem, agent, tuple(seeds), {"steps": steps, "recorded": recorded}, device)


def run_job(job: Job, progress: Progress = UNHEARD, checkpoint: Path | None = None) -> Outcome:
    """Plays a job from its first step to its last.

    Args:
        job: to play.
        progress: is told every step.
        checkpoint: file that it goes on from, if it is there, and is written now and then.
    """
    environment = opened = job.problem.environment.open(len(job.seeds), job.device)
    played, checkpoints = job, Checkpoints(job, checkpoint, KNOWN)
    if len(job.seeds) == 1 and job.method.in_lockstep:
        environment, played = DuplicatedEnv(environment), replace(job, seeds=job.seeds * 2)
    try:
        log, form = job.problem.environment.warm_log(opened), ObservationSpec.of(environment)
        steps = job.steps + (0 if log is None else len(log))

        def made(warm: bool) -> Game:
            agent = job.method.player(played.seeds, form, steps, job.device)
            if warm and log is not None:
                agent.warm_start(*logged_decisions(log, len(played.seeds), job.device))
            return Game(played, agent, environment)

        game = begin(checkpoints, made, environment, list(played.seeds), job.device, progress)
        with frozen():
            play(environment, game, played, progress, checkpoints)
        with game.clock.of("scoring"):
            records = game.recorder.frame()
        kept = records.head(len(records) * len(job.seeds) // len(played.seeds))
        diverged = tuple(compress(job.seeds, game.agent.diverged.tolist()))
        outcome = Outcome(kept, diverged, game.clock.seconds, game.evaluator.frame(len(job.seeds)))
        if job.save:
            outcome.keep = _kept(game, job, checkpoints.notes)
        return replace(outcome, notes=tuple(checkpoints.notes))
    finally:
        environment.close()


def logged_decisions(log: Log, replicas: int, device: str) -> tuple[Observation, torch.Tensor, torch.Tensor]:
    """Returns what was seen, done and paid in the decisions of a log, the same in every replica."""
    context, action, reward = (
        torch.from_numpy(part).to(device).expand(replicas, *part.shape)
        for part in (log.context, log.action, log.reward)
    )
    return Observation(context if context.is_floating_point() else context.float(), None, None), action, reward


def _kept(game: Game, job: Job, notes: list[str]) -> Callable[[Path], None] | None:
    """Returns what writes the agent as it is after the run, when it knows all rewards and has learned from them."""
    agent = game.agent
    assert isinstance(agent, Agent), "what cannot be kept is refused before anything runs"
    for rewards in game.waiting:
        agent.observe(rewards)
    if agent.due:
        agent.learn()
    try:
        kept = saving.keep(agent, job.seeds, names=job.names, key=job.key)
    except ConfigError as error:
        notes.append(f"the agent cannot be kept: {error}")
        return None
    return partial(saving.write_agent, kept=kept)


class DuplicatedEnv:
    """An environment of one sub-environment, shown as two that are the same.

    A batch of one is multiplied by other kernels than a larger one, to other last bits, and one flipped action moves a
    whole run: a seed that is alone in its block is played as a batch of two, of which one is kept.
    """

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self.metadata = environment.metadata
        self.single_observation_space = environment.single_observation_space
        self.single_action_space = environment.single_action_space
        self.close = environment.close
        if hasattr(environment, "held_out"):
            self.held_out = self._held_out

    def reset(self, *, seed: list[int]) -> tuple[Any, dict[str, Any]]:
        """Starts the problem of the first seed."""
        observation, info = self._environment.reset(seed=seed[:1])
        return _doubled(observation), info

    def step(self, actions: torch.Tensor) -> tuple[Any, ...]:
        """Plays the first action."""
        return tuple(_doubled(part) for part in self._environment.step(actions[:1]))

    def _held_out(self, seeds: Sequence[int], played: int) -> HeldOut | None:
        """Returns what the environment holds out for the first seed."""
        found = self._environment.held_out(seeds[:1], played)
        if found is None:
            return None
        observed = Observation(*(None if part is None else _doubled(part) for part in found.observed))
        return HeldOut(observed, *(np.concatenate([part, part]) for part in found[1:]))


def _doubled(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _doubled(value) for name, value in part.items()}
    return torch.cat([part, part])


@contextmanager
def frozen() -> Iterator[None]:
    """Freezes live objects so that the garbage collector skips them: they outlive the loop anyway."""
    if gc.get_freeze_count():  # the caller's, to be left as it is
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def play(environment: Any, game: Game, job: Job, progress: Progress, checkpoints: Checkpoints) -> None:
    """The loop: context, action, outcome. The agent gets contexts and its own rewards; `info` is the recorder's.

    Outcomes reach the agent when the environment's declaration says so (`EnvironmentSpec.known`), at once by default.
    """
    agent, recorder, clock = game.agent, game.recorder, game.clock
    for step in range(game.step, job.steps):
        with clock.of("agent"):
            actions = agent.act(game.contexts)
        with clock.of("environment"):
            following, rewards, _, _, info = environment.step(actions)
        with clock.of("scoring"):
            recorder.add(step, game.contexts, actions, rewards, info)
        game.waiting.append(rewards)
        last = step + 1 == job.steps
        with clock.of("agent"):
            while len(game.waiting) > step + 1 - job.problem.environment.known(step + 1):
                agent.observe(game.waiting.popleft())
        with clock.of("scoring"):
            if agent.due or last:
                recorder.score()  # by the beliefs that decided, before they change
            with progress.evaluation():
                game.evaluator.evaluate(step)
        progress(step + 1, partial(recorder.happened, step))
        if agent.due and not last:
            with progress.update(step + 1, lambda: agent.diverged), clock.of("agent"):
                agent.learn()
        game.contexts, game.step = following, step + 1
        if not last:
            checkpoints.offer(game)
