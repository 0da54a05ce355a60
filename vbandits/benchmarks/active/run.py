"""One job of an active-learning experiment: a learner buys labels, a block of seeds in lockstep, and is evaluated."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vbandits.agents import saving
from vbandits.agents.learner import Inputs, Learner, LearnerSpec
from vbandits.agents.streaming import StreamLearner
from vbandits.benchmarks.active.evaluation import Evaluator
from vbandits.envs.active.spaces import known_labels, rows_of
from vbandits.envs.spaces import STREAM
from vbandits.errors import ConfigError
from vbandits.experiment.benchmark import UNHEARD, Job, Outcome, Progress
from vbandits.experiment.checkpoints import Checkpoints
from vbandits.experiment.clock import Clock
from vbandits.state import Known, State, put

KNOWN = Known((*saving.KNOWN.declared, Inputs, LearnerSpec), saving.KNOWN.records)
PURPOSES = ("training", "querying", "environment", "evaluation")


def run_job(job: Job, progress: Progress = UNHEARD, checkpoint: Path | None = None) -> Outcome:
    """Plays a job: seeds of a pool in lockstep, those of a stream one after another, for they buy when they like.

    Args:
        job: to play.
        progress: is told every purchase, or every row of a stream.
        checkpoint: file that it goes on from, if it is there, and is written now and then: between two purchases, or
            two seeds of a stream.
    """
    checkpoints = Checkpoints(job, checkpoint, KNOWN)
    outcome = (_streams if job.problem.family == STREAM else _pool)(job, progress, checkpoints)
    outcome.notes = tuple(checkpoints.notes)
    return outcome


class Game:
    """A learner that buys labels of a pool, and what is noted of it.

    Attributes:
        learner: that buys.
        evaluator: of the learner.
        log: of what was measured.
        clock: of where time goes.
        given: labels that are known from the start.
        mask: rows that may be bought next [R, N]; None before the start.
        paid: so far [R], float64.
        purchase: what was bought last, by name.
        measured: what was measured last, by name.
        step: purchases so far.
    """

    def __init__(self, job: Job, seeds: tuple[int, ...], environment: Any) -> None:
        """Starts before any label is known."""
        self.learner = Learner(job.method, seeds, Inputs.of(environment), job.device)
        self.evaluator = Evaluator(self.learner, environment.test_targets, getattr(environment, "targets", None))
        self.log, self.clock = EvaluationLog(), Clock(*PURPOSES)
        self.given = 0
        self.mask: Any = None
        self.paid = torch.zeros(len(seeds), dtype=torch.float64)
        self.purchase: dict[str, Any] = {}
        self.measured: dict[str, Any] = {}
        self.step = 0


def _pool(job: Job, progress: Progress, checkpoints: Checkpoints) -> Outcome:
    """Plays the seeds of a pool in lockstep.

    One that is alone is played as two of which one is kept: products of a batch of one have other last bits.
    """
    seeds = job.seeds * 2 if len(job.seeds) == 1 else job.seeds
    environment = job.problem.environment.open(len(seeds), job.device)
    try:
        game = _begun(job, seeds, environment, progress, checkpoints)
        learner, clock = game.learner, game.clock
        times = _times(job.problem.rounds, job.options["evaluations"])
        for step in range(game.step, job.problem.rounds + 1):
            if learner.due or (step == job.problem.rounds and learner.waiting):
                with progress.update(step, lambda: learner.model.diverged), clock.of("training"):
                    learner.fit()
            if step in times:
                with clock.of("evaluation"):
                    labels = learner.known.shape[1]
                    told = {"round": step, "labels": labels, "bought": labels - game.given, "cost": game.paid.numpy()}
                    scores = game.evaluator.measure(last=step == job.problem.rounds)
                    game.log.add(seeds, told | scores)
                    game.measured = {"evaluated": step, **scores}
            if step:  # what was bought, and what it was good for
                progress(step, partial(dict, game.measured, **game.purchase))
            if step == job.problem.rounds:
                break
            with clock.of("querying"):
                rows = learner.query(game.mask, environment.batch)
            with clock.of("environment"):
                observation, reward, _, _, info = environment.step(_action(rows))
            game.paid, game.mask = game.paid - reward.cpu().double(), info["action_mask"]
            labels = observation["labels"].gather(1, rows)
            learner.add_labels(rows, labels)
            game.purchase = {"row": rows, "label": labels, "labels": learner.known.shape[1], "cost": game.paid}
            game.step = step + 1
            checkpoints.offer(game)
        with clock.of("evaluation"):
            full = _full(environment, learner, game.evaluator)
        diverged = game.evaluator.diverged[: len(job.seeds)].tolist()
        return Outcome(game.log.frame(full, len(job.seeds)), tuple(compress(job.seeds, diverged)), clock.seconds)
    finally:
        environment.close()


def _begun(job: Job, seeds: tuple[int, ...], environment: Any, progress: Progress, checkpoints: Checkpoints) -> Game:
    """Returns a game that goes on from a checkpoint, or begins; the environment is where it is then.

    Environments are not written: they start again with their seeds, and the rows that were bought are bought again.
    Those that then tell other labels have not come back to where they were, and the job begins anew.
    """

    def restored(state: State) -> Game:
        game = put(Game(job, seeds, environment), state, KNOWN, job.device)
        with game.clock.of("environment"):
            _buy_again(game, environment, seeds, progress)
        return game

    if game := checkpoints.resumed(restored):
        return game
    game = Game(job, seeds, environment)
    with game.clock.of("environment"):
        observation, info = environment.reset(seed=list(seeds))
    known = rows_of(known_labels(observation["labels"]), "labels from the start")
    game.learner.add_labels(known, observation["labels"].gather(1, known))
    game.given, game.mask = known.shape[1], info["action_mask"]
    return game


def _buy_again(game: Game, environment: Any, seeds: Sequence[int], progress: Progress) -> None:
    """Brings an environment to where it was, by the rows that were bought.

    Raises:
        ConfigError: if it does not come there.
    """
    observation, info = environment.reset(seed=list(seeds))
    known = game.learner.known
    for rows in known[:, game.given :].split(environment.batch, 1) if game.step else ():
        observation, _, _, _, info = environment.step(_action(rows))
        progress.beat()
    labels = observation["labels"].gather(1, known)
    if not (torch.equal(labels.double(), game.learner.labels) and torch.equal(info["action_mask"], game.mask)):
        raise ConfigError(
            f"expected the environment to tell the same labels of the same rows, got others after {game.step} purchases"
        )


def _action(rows: Tensor) -> Tensor:
    """Returns the action that buys rows [R, b]."""
    return rows if rows.shape[1] > 1 else rows[:, 0]


def _full(environment: Any, learner: Learner, evaluator: Evaluator) -> dict[str, np.ndarray]:
    """Returns the quality of the learner's own fit to all labels of the pool, if the environment tells them."""
    if hasattr(environment, "answers"):
        return evaluator.full(learner.reference(environment.answers()))
    if environment.targets is None:
        return {}
    return evaluator.full(learner.reference(environment.targets.expand(len(learner.known), -1)))


class Played:
    """What is noted of the seeds of a stream that have been played.

    Attributes:
        log: of what was measured.
        clock: of where time goes.
        diverged: of each seed, whether it has.
        step: rows that have come.
    """

    def __init__(self) -> None:
        """Starts before the first seed."""
        self.log, self.clock = EvaluationLog(), Clock(*PURPOSES)
        self.diverged: list[bool] = []
        self.step = 0


def _streams(job: Job, progress: Progress, checkpoints: Checkpoints) -> Outcome:
    """Plays the streams of all seeds."""
    played = checkpoints.resumed(lambda state: put(Played(), state, KNOWN)) or Played()
    for place in range(len(played.diverged), len(job.seeds)):
        played.diverged.append(_stream(job, place, played, progress))
        played.step = (place + 1) * job.problem.rounds
        checkpoints.offer(played)
    return Outcome(played.log.frame({}, 1), tuple(compress(job.seeds, played.diverged)), played.clock.seconds)


def _stream(job: Job, place: int, played: Played, progress: Progress) -> bool:
    """Plays the stream of one seed, to its end or that of its environment; its curves begin with the first training.

    Returns whether the seed diverged.
    """
    seed, clock = job.seeds[place], played.clock
    environment = job.problem.environment.open(1, job.device)
    try:
        player = StreamLearner(job.method, seed, environment, job.device)
        learner = player.learner
        evaluator, times = (
            Evaluator(learner, environment.test_targets),
            _times(job.problem.rounds, job.options["evaluations"]),
        )
        earned = paid = 0.0
        measured = {}

        def note(step: int, seen: int, last: bool = False) -> None:
            nonlocal measured
            with clock.of("evaluation"):
                known = learner.known.shape[1]
                told = {"round": step, "seen": seen, "labels": known, "bought": known, "cost": paid, "reward": earned}
                scores = evaluator.measure(last)
                played.log.add((seed,), told | scores)
                measured = {"evaluated": seen, **scores}

        with clock.of("environment"):
            observation, info = environment.reset(seed=[seed])
        for step in range(1, job.problem.rounds + 1):
            with clock.of("querying"):
                left = int(observation["budget_left"][0]) if info["action_mask"][0, environment.query] else 0
                action = player.decide(observation["context"][0], left)
            with clock.of("environment"):
                observation, reward, terminated, truncated, info = environment.step(torch.tensor([action]))
            earned, taken = earned + float(reward[0]), place * job.problem.rounds + step
            over = bool(terminated[0] | truncated[0]) or step == job.problem.rounds
            if action == environment.query:
                paid -= float(reward[0])
                player.add_label(float(observation["label"].flatten()[0]))
            if (learner.due and action == environment.query) or (over and learner.waiting):
                begun = learner.model.trained
                with progress.update(taken, lambda: learner.model.diverged), clock.of("training"):
                    player.fit()
                if not begun:
                    note(0, step)
            if (step in times or over) and learner.model.trained:
                note(step, step, over)
            happened = {"queried": action == environment.query, "labels": learner.known.shape[1], "round": step}
            progress(taken, partial(dict, measured, **happened, cost=paid, reward=earned), (seed,))
            if over:
                break
        return bool(evaluator.diverged.any())
    finally:
        environment.close()


class EvaluationLog:
    """What was measured, row by row."""

    def __init__(self) -> None:
        self._rows: list[dict[str, np.ndarray]] = []  # each of it [R]

    def add(self, seeds: Sequence[int], measured: Mapping[str, Any]) -> None:
        """Takes what was measured of seeds by name, each [R] or one for all."""
        measured = {"seed": seeds, **measured}
        self._rows.append({name: np.broadcast_to(value, len(seeds)).copy() for name, value in measured.items()})

    def frame(self, constant: Mapping[str, np.ndarray], kept: int) -> pd.DataFrame:
        """Returns all rows, each of its first seeds, with what is the same in each, by seed."""
        parts = [pd.DataFrame({**part, **constant}).head(kept) for part in self._rows]
        return pd.concat(parts, ignore_index=True)


def _times(rounds: int, evaluations: int) -> set[int]:
    """Returns the rounds after which learners are evaluated: the start, the end, and evenly between."""
    return set(np.linspace(0, rounds, min(evaluations, rounds) + 1).round().astype(int).tolist())
