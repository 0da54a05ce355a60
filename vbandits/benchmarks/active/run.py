"""One job of an active-learning experiment: a learner buys labels, a block of seeds in lockstep, and is evaluated."""

from collections.abc import Mapping
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
import torch

from vbandits.agents.learner import Inputs, Learner
from vbandits.agents.streaming import StreamLearner
from vbandits.benchmarks.active.evaluation import Evaluator
from vbandits.envs.active.spaces import known_labels, rows_of
from vbandits.envs.spaces import STREAM
from vbandits.experiment.benchmark import UNHEARD, Job, Outcome, Progress
from vbandits.experiment.clock import Clock

PURPOSES = ("training", "querying", "environment", "evaluation")


def run_job(job: Job, progress: Progress = UNHEARD) -> Outcome:
    """Plays a job: seeds of a pool in lockstep, those of a stream one after another, for they buy when they like."""
    clock = Clock(*PURPOSES)
    if job.problem.family == STREAM:
        played = [_stream(job, seed, place, clock, progress) for place, seed in enumerate(job.seeds)]
        records = pd.concat([records for records, _ in played], ignore_index=True)
        diverged = [failed for _, failed in played]
    else:
        records, diverged = _pool(job, clock, progress)
    return Outcome(records, tuple(compress(job.seeds, diverged)), clock.seconds)


def _pool(job: Job, clock: Clock, progress: Progress) -> tuple[pd.DataFrame, list[bool]]:
    """Plays the seeds of a pool in lockstep; returns records, and which seeds diverged.

    One that is alone is played as two of which one is kept: products of a batch of one have other last bits.
    """
    seeds = job.seeds * 2 if len(job.seeds) == 1 else job.seeds
    environment = job.problem.environment.open(len(seeds), job.device)
    try:
        learner = Learner(job.method, seeds, Inputs.of(environment), job.device)
        evaluator = Evaluator(learner, environment.test_targets, getattr(environment, "targets", None))
        times = _times(job.problem.rounds, job.options["evaluations"])
        log = EvaluationLog(seeds)
        with clock.of("environment"):
            observation, info = environment.reset(seed=list(seeds))
        known = rows_of(known_labels(observation["labels"]), "labels from the start")
        learner.add_labels(known, observation["labels"].gather(1, known))
        paid = torch.zeros(len(seeds), dtype=torch.float64)
        purchase, measured = {}, {}
        for step in range(job.problem.rounds + 1):
            if learner.due or (step == job.problem.rounds and learner.waiting):
                with progress.update(step, lambda: learner.model.diverged), clock.of("training"):
                    learner.fit()
            if step in times:
                with clock.of("evaluation"):
                    bought = learner.known.shape[1] - known.shape[1]
                    told = {"round": step, "labels": learner.known.shape[1], "bought": bought, "cost": paid.numpy()}
                    scores = evaluator.measure(last=step == job.problem.rounds)
                    log.add(told | scores)
                    measured = {"evaluated": step, **scores}
            if step:  # what was bought, and what it was good for
                progress(step, partial(dict, measured, **purchase))
            if step == job.problem.rounds:
                break
            with clock.of("querying"):
                rows = learner.query(info["action_mask"], environment.batch)
            with clock.of("environment"):
                observation, reward, _, _, info = environment.step(rows if environment.batch > 1 else rows[:, 0])
            paid = paid - reward.cpu().double()
            labels = observation["labels"].gather(1, rows)
            learner.add_labels(rows, labels)
            purchase = {"row": rows, "label": labels, "labels": learner.known.shape[1], "cost": paid}
        with clock.of("evaluation"):
            full = _full(environment, learner, evaluator)
        return log.frame(full, len(job.seeds)), evaluator.diverged[: len(job.seeds)].tolist()
    finally:
        environment.close()


def _full(environment: Any, learner: Learner, evaluator: Evaluator) -> dict[str, np.ndarray]:
    """Returns the quality of the learner's own fit to all labels of the pool, if the environment tells them."""
    if hasattr(environment, "answers"):
        return evaluator.full(learner.reference(environment.answers()))
    if environment.targets is None:
        return {}
    return evaluator.full(learner.reference(environment.targets.expand(len(learner.known), -1)))


def _stream(job: Job, seed: int, place: int, clock: Clock, progress: Progress) -> tuple[pd.DataFrame, bool]:
    """Plays the stream of one seed, to its end or that of its environment; its curves begin with the first training.

    Returns records, and whether the seed diverged.
    """
    environment = job.problem.environment.open(1, job.device)
    try:
        player = StreamLearner(job.method, seed, environment, job.device)
        learner, log = player.learner, EvaluationLog((seed,))
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
                log.add(told | scores)
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
        return log.frame({}, 1), bool(evaluator.diverged.any())
    finally:
        environment.close()


class EvaluationLog:
    """What was measured, row by row."""

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self._seeds = seeds
        self._rows: list[pd.DataFrame] = []

    def add(self, measured: Mapping[str, Any]) -> None:
        """Takes what was measured of all seeds by name, each [R] or one for all."""
        self._rows.append(pd.DataFrame({"seed": list(self._seeds), **measured}))

    def frame(self, constant: Mapping[str, np.ndarray], kept: int) -> pd.DataFrame:
        """Returns all rows of the first seeds, with what is the same in each, by seed."""
        parts = [part.assign(**constant).head(kept) for part in self._rows]
        return pd.concat(parts, ignore_index=True)


def _times(rounds: int, evaluations: int) -> set[int]:
    """Returns the rounds after which learners are evaluated: the start, the end, and evenly between."""
    return set(np.linspace(0, rounds, min(evaluations, rounds) + 1).round().astype(int).tolist())
