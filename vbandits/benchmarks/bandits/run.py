"""One job of a bandit experiment: an agent plays an environment, all seeds of a block in lockstep."""

import gc
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.benchmarks.bandits import BENCHMARK
from vbandits.benchmarks.environments import Problem
from vbandits.envs.spaces import ObservationSpec
from vbandits.envs.spec import EnvironmentSpec, fingerprint
from vbandits.experiment.benchmark import Job, Outcome, Progress
from vbandits.experiment.clock import Clock
from vbandits.metrics import regret as regrets
from vbandits.metrics import scores

PROBABILITY = (1e-3, 1 - 1e-3)
"""Range of the probability of a reward of 1, so that a single certain error is not infinitely bad."""


def job(
    environment: EnvironmentSpec,
    agent: AgentSpec,
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


def run_job(job: Job, progress: Progress = lambda step: None) -> Outcome:
    """Plays a job from its first step to its last."""
    environment = job.problem.environment.open(len(job.seeds), job.device)
    played = job
    if len(job.seeds) == 1:
        environment, played = DuplicatedEnv(environment), replace(job, seeds=job.seeds * 2)
    try:
        agent = Agent(job.method, played.seeds, ObservationSpec.of(environment), job.steps, job.device)
        recorder = Recorder(played, agent, environment.metadata.get("signed_regret", False))
        with frozen():
            clock = play(environment, agent, played, recorder, progress)
        records = recorder.frame()
        kept = records.head(len(records) * len(job.seeds) // len(played.seeds))
        return Outcome(kept, int(agent.diverged[: len(job.seeds)].sum()), clock.seconds)
    finally:
        environment.close()


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

    def reset(self, *, seed: list[int]) -> tuple[Any, dict[str, Any]]:
        """Starts the problem of the first seed."""
        observation, info = self._environment.reset(seed=seed[:1])
        return _doubled(observation), info

    def step(self, actions: torch.Tensor) -> tuple[Any, ...]:
        """Plays the first action."""
        return tuple(_doubled(part) for part in self._environment.step(actions[:1]))


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


def play(environment: Any, agent: Agent, job: Job, recorder: "Recorder", progress: Progress) -> Clock:
    """The loop: context, action, outcome. The agent gets contexts and its own rewards; `info` is the recorder's.

    Outcomes reach the agent when the environment's declaration says so (`EnvironmentSpec.known`), at once by default.
    """
    clock, waiting = Clock("agent", "environment", "scoring"), deque()
    with clock.of("environment"):
        contexts, _ = environment.reset(seed=list(job.seeds))
    for step in range(job.steps):
        with clock.of("agent"):
            actions = agent.act(contexts)
        with clock.of("environment"):
            following, rewards, _, _, info = environment.step(actions)
        recorder.add(step, actions, rewards, info)
        waiting.append(rewards)
        last = step + 1 == job.steps
        with clock.of("agent"):
            while len(waiting) > step + 1 - job.problem.environment.known(step + 1):
                agent.observe(waiting.popleft())
        if agent.due or last:
            with clock.of("scoring"):
                recorder.score(agent)  # by the beliefs that decided, before they change
        if agent.due and not last:
            with clock.of("agent"):
                agent.learn()
        contexts = following
        progress(step + 1)
    return clock


class Recorder:
    """Keeps what happened, and scores predictions made before outcomes were learned from (prequentially)."""

    def __init__(self, job: Job, agent: Agent, signed: bool = False) -> None:
        """Takes what is played, and whether regret may be negative in single steps."""
        self._job, self._signed = job, signed
        grid = np.linspace(0, job.steps - 1, min(job.options["recorded"], job.steps)).round().astype(int)
        ends = [job.steps - 1, max(job.steps - 1 - regrets.LAST, 0)]  # what the summary is made from
        self.steps = np.unique(np.append(grid, ends))
        shape = (len(job.seeds), job.steps)
        device = agent.task.device
        self._actions = torch.zeros(shape, dtype=torch.long, device=device)
        self._rewards = torch.zeros(shape, dtype=torch.float64, device=device)
        self._regret = torch.zeros(shape, dtype=torch.float64, device=device)
        self._scores = {
            name: np.full((len(job.seeds), len(self.steps)), np.nan) for name in ("nll", "crps", "pit", "mean")
        }
        self._scored = 0

    def add(self, step: int, actions: torch.Tensor, rewards: torch.Tensor, info: dict[str, Any]) -> None:
        """Records a step of all replicas."""
        self._actions[:, step] = actions
        self._rewards[:, step] = rewards
        self._regret[:, step] = regrets.from_info(info)

    def score(self, agent: Agent) -> None:
        """Scores the recorded decisions since the last call, all made and predicted by the posterior as it is now."""
        start, self._scored = self._scored, agent.decisions
        columns = np.flatnonzero((self.steps >= start) & (self.steps < agent.decisions))
        if agent.model is None or not (agent.model.trained and len(columns)):
            return
        x, outputs = agent.recent(agent.decisions - start)
        rows = torch.as_tensor(self.steps[columns] - start, device=outputs.device)
        predictive = agent.predict(x[:, rows], outputs[:, rows])
        y = self._rewards[:, start + rows].cpu().numpy()
        found, diverged = scores.of_predictive(predictive, y), agent.model.diverged.cpu().numpy()
        for name, values in scores.with_normal(found, diverged, *agent.model.fallback_prediction(), y).items():
            self._scores[name][:, columns] = values

    def frame(self) -> pd.DataFrame:
        """Returns one row per seed and recorded step."""
        rewards, regret = self._rewards.cpu().numpy(), self._regret.cpu().numpy()
        regret = regret if self._signed else regrets.check(regret)
        if not np.isfinite(rewards).all():
            raise ValueError("expected finite rewards, got NaN or infinity")
        kept = {
            "step": np.broadcast_to(self.steps, (len(self._job.seeds), len(self.steps))),
            "action": self._actions.cpu().numpy()[:, self.steps],
            "reward": rewards[:, self.steps],
            "regret": regret[:, self.steps],
            "cumulative_reward": rewards.cumsum(1)[:, self.steps],
            "cumulative_regret": regret.cumsum(1)[:, self.steps],
        } | self._final_scores(rewards)
        seeds = np.repeat(np.asarray(self._job.seeds), len(self.steps))
        return pd.DataFrame({"seed": seeds} | {name: values.ravel() for name, values in kept.items()})

    def _final_scores(self, rewards: np.ndarray) -> dict[str, np.ndarray]:
        """Scores rewards in {0, 1} as Bernoulli: where a seed has seen no other reward up to and with this one."""
        binary = np.logical_and.accumulate((rewards == 0) | (rewards == 1), axis=1)[:, self.steps]
        y, probability = rewards[:, self.steps], np.clip(self._scores["mean"], *PROBABILITY)
        brier = scores.brier(probability, y)
        return {
            "nll": np.where(binary, scores.bernoulli_nll(probability, y), self._scores["nll"]),
            "crps": np.where(binary, brier, self._scores["crps"]),
            "pit": np.where(binary, np.nan, self._scores["pit"]),
            "brier": np.where(binary, brier, np.nan),
        }
