"""One job of an offline experiment: a policy learns from a part of a log, and is evaluated on another."""

from itertools import compress
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from vbandits.agents.agent import Agent
from vbandits.benchmarks.offline.config import ALWAYS, LOGGING, LogSpec, PolicySpec
from vbandits.benchmarks.offline.evaluation import estimates
from vbandits.data.logs import Log
from vbandits.envs.spaces import Observation
from vbandits.experiment.benchmark import UNHEARD, Job, Outcome, Progress
from vbandits.experiment.clock import Clock
from vbandits.metrics import off_policy
from vbandits.metrics.reward_model import RewardModel
from vbandits.streams import generator


class Parts(NamedTuple):
    """Rows of a log that are learned from, those of them that an agent sees, in its order, and those held out."""

    training: np.ndarray
    shown: np.ndarray
    held_out: np.ndarray


def split(rows: int, seed: int, folds: int, training_rows: int) -> Parts:
    """Returns a seed's rows: seeds 0 to folds - 1 hold out parts that have no row in common, so that what they find is
    nearly independent, and the next ones parts of another order."""
    order = generator(seed // folds, "folds of a log").permutation(rows)
    size, place = rows // folds, seed % folds
    held = order[place * size : (place + 1) * size]
    training = np.concatenate([order[: place * size], order[(place + 1) * size :]])
    shown = generator(seed, "rows of a log").permutation(training)[:training_rows]
    return Parts(np.sort(training), shown, np.sort(held))


def run_job(job: Job, progress: Progress = UNHEARD) -> Outcome:
    """Lets a policy learn from training rows and estimates its value on held-out rows, a block of seeds in lockstep.

    The model of rewards of the direct method and of doubly robust estimates is fitted on the training rows, the same
    one for every policy.
    """
    clock, spec, policy = Clock("policy", "estimation"), job.problem, job.method
    log = spec.load()
    parts = [split(len(log), seed, job.options["folds"], job.options["training_rows"]) for seed in job.seeds]
    with clock.of("policy"):
        probabilities, diverged = _probabilities(policy, spec, log, parts, job)
        progress(1)
    with clock.of("estimation"), threadpool_limits(1):  # sums of several threads depend on how many there are
        frames = [
            _records(policy, log, seed, part, None if probabilities is None else probabilities[place])
            for place, (seed, part) in enumerate(zip(job.seeds, parts, strict=True))
        ]
        progress(2)
    return Outcome(pd.concat(frames, ignore_index=True), diverged, clock.seconds)


def _probabilities(
    policy: PolicySpec, spec: LogSpec, log: Log, parts: list[Parts], job: Job
) -> tuple[np.ndarray | None, tuple[int, ...]]:
    """Returns the policy's probabilities on held-out rows [R, N, A], and the seeds that diverged; None of the policy
    that was logged, of which only those of its own choices are known."""
    held = len(parts[0].held_out)
    if policy.kind == LOGGING:
        return None, ()
    if policy.kind == ALWAYS:
        one = np.eye(log.arms)[log.arm(policy.arm)]
        return np.broadcast_to(one, (len(parts), held, log.arms)), ()
    if policy.agent is None:
        return np.full((len(parts), held, log.arms), 1 / log.arms), ()
    # a batch of one is multiplied by other kernels than a larger one, to other last bits
    seeds, own = (job.seeds * 2, parts * 2) if len(parts) == 1 else (job.seeds, parts)
    shown = np.array([part.shown for part in own])
    agent = Agent(policy.agent, seeds, spec.form(log), shown.shape[1], job.device)
    rewards = torch.from_numpy(log.reward[shown]).to(job.device)
    agent.warm_start(
        _observed(spec, log, shown, job.device), torch.from_numpy(log.action[shown]).to(job.device), rewards
    )
    rows = np.array([part.held_out for part in own])
    found = agent.probabilities(_observed(spec, log, rows, job.device), job.options["draws"])
    return found.cpu().numpy()[: len(parts)], tuple(compress(job.seeds, agent.diverged.tolist()))


def _observed(spec: LogSpec, log: Log, rows: np.ndarray, device: str) -> Observation:
    """Returns what is seen in the decisions of rows [R, N]."""
    context = torch.from_numpy(log.context).to(device)[torch.from_numpy(rows).to(device)] if log.context.size else None
    if context is not None and not context.is_floating_point():
        context = context.float()
    arms = None
    if spec.arm_features and log.arm_features is not None:
        arms = torch.from_numpy(log.arm_features).float().to(device).expand(*rows.shape, *log.arm_features.shape)
    return Observation(context, arms, None)


def _records(policy: PolicySpec, log: Log, seed: int, part: Parts, probabilities: np.ndarray | None) -> pd.DataFrame:
    """Returns one row per estimator."""
    rows = part.held_out
    action, reward, propensity = log.action[rows], log.reward[rows], log.propensity[rows]
    if probabilities is None:
        weight = np.ones(len(rows))
        mean = off_policy.inverse_propensity(weight, reward)
        found = dict.fromkeys(("dr", "snips", "ips", "replay"), mean)
    else:
        weight = off_policy.weights(probabilities, action, propensity)
        trained = part.training
        model = RewardModel.fitted(log.context[trained], log.action[trained], log.reward[trained], log.arms)
        found = estimates(probabilities, action, reward, propensity, model.predict(log.context[rows]), seed)
    truth = log.truth(log.arm(policy.arm)) if policy.arm is not None else np.nan
    return pd.DataFrame(
        {
            "seed": seed,
            "estimator": list(found),
            **{name: [getattr(own, name) for own in found.values()] for name in off_policy.Estimate._fields},
            "rows": len(rows),
            "mean_weight": weight.mean(),
            "largest_weight": weight.max(),
            "truth": log.reward.mean() if policy.kind == LOGGING else truth,
        }
    )
