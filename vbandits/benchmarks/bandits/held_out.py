"""What an agent believes of contexts that it is never shown, of all arms: its errors there are not its policy's."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vbandits.agents.player import Player
from vbandits.benchmarks.bandits.recorder import PROBABILITY, best_shares
from vbandits.envs.base import HeldOut
from vbandits.experiment.benchmark import Job
from vbandits.metrics import calibration, joint, scores
from vbandits.streams import Stream

TIMES, FEWEST = 8, 16
"""Most times at which an agent is evaluated, and decisions before the first of them."""
BATCHES = 128
"""Of rows that are predicted jointly."""
SCORED, RANKED = 256, 64
"""About how many rewards of a seed are scored, in the first contexts, and by the continuous ranked probability score,
which looks at all pairs of draws. What is without noise is of all contexts."""


def times(steps: int) -> list[int]:
    """Returns the steps, counted from 0, after which an agent is evaluated: the last, and after half of its decisions,
    half of these and so on, down to 16 decisions and at most 8 times. Nothing else tells them."""
    counts = [steps]
    while len(counts) < TIMES and counts[-1] // 2 >= FEWEST:
        counts.append(counts[-1] // 2)
    return [count - 1 for count in reversed(counts)]


class Evaluator:
    """Evaluates an agent at some times, on what its environment holds out. It looks on: nothing is decided by it."""

    def __init__(self, job: Job, agent: Player, environment: Any) -> None:
        self._seeds, self._agent = job.seeds, agent
        self._held_out = getattr(environment, "held_out", lambda seeds, played: None)
        self._times = set(times(job.steps))
        self._rows: list[dict[str, Any]] = []  # columns

    def evaluate(self, step: int) -> None:
        """Evaluates what the agent believes at a step, if it is one of the times and it has learned from anything."""
        if step not in self._times or not self._agent.predicts:
            return
        held = self._held_out(self._seeds, step + 1)
        if held is None:
            return
        with np.errstate(all="ignore"):  # of replicas that have diverged, which are not scored
            found = self._measured(held)
        diverged = self._agent.diverged.cpu().numpy()
        columns = {"seed": list(self._seeds), "step": step, "contexts": held.expected.shape[1]}
        for name, values in found.items():
            columns[name] = _but(diverged, values)
        self._rows.append(columns)

    def frame(self, kept: int) -> pd.DataFrame | None:
        """Returns one row per time and seed, of the first seeds; None if nothing was evaluated."""
        if not self._rows:
            return None
        return pd.concat([pd.DataFrame(columns).head(kept) for columns in self._rows], ignore_index=True)

    def _measured(self, held: HeldOut) -> dict[str, np.ndarray]:
        """Returns what is measured by name, each [R]."""
        values, noise = (part.numpy() for part in self._agent.marginals(held.observed))  # [R, S, N, A] and [R, n, A]
        mask = held.observed.mask
        there = np.ones(held.expected.shape, bool) if mask is None else mask.cpu().numpy()
        cells = there.reshape(len(there), -1)  # [R, N * A], as all that follows
        draws = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).reshape(*cells.shape, -1)
        expected = held.expected.reshape(cells.shape)
        rewards = held.rewards.reshape(len(cells), held.rewards.shape[1], -1)
        noise = np.broadcast_to(noise, held.expected.shape).reshape(cells.shape)
        binary = np.asarray(np.isin(rewards, (0, 1)).all((1, 2)))
        mean = draws.mean(-1)
        own = _Beliefs(draws, mean, noise, cells, binary)
        found = _errors(mean, expected, cells)
        if self._agent.has_draws:
            found |= own.noiseless(expected, self._first("coverage", cells.shape[1]))
        found |= own.rewards(rewards[:, 0], self._first("PIT", cells.shape[1]), held.expected.shape[2])
        found |= _greedy(mean.reshape(there.shape), held.expected, there)
        if not self._agent.has_draws:
            return found
        found |= _thompson(best_shares(torch.from_numpy(values), None if mask is None else mask.cpu()), held, there)
        return found | own.joint(rewards, self._first("batches", BATCHES, joint.ANCHORS + joint.TAU))

    def _first(self, purpose: str, *shape: int) -> np.ndarray:
        """Returns uniform numbers [R, ...], the same ones every time."""
        return Stream(self._seeds, f"held-out {purpose}").uniform(*shape).numpy()


class _Beliefs:
    """Draws of what M cells, arms in contexts, are expected to pay, and scores of them; each replica by itself."""

    def __init__(
        self, draws: np.ndarray, mean: np.ndarray, noise: np.ndarray, there: np.ndarray, binary: np.ndarray
    ) -> None:
        """Takes draws [R, M, S], their mean, the noise variance, which cells are available [R, M], and which replicas
        have rewards in {0, 1} alone [R]."""
        self._draws, self._mean, self._noise, self._there, self._binary = draws, mean, noise, there, binary
        self._sigma = np.sqrt(noise)

    def noiseless(self, expected: np.ndarray, uniform: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the coverage of the expected rewards by the draws alone.

        A truth like the draws has each of the S + 1 ranks among S draws with the same probability, which is what a rank
        becomes uniform by; fewer functions than 64 count as 64 of them.
        """
        below = (self._draws < expected[..., None]).mean(-1)
        rank = calibration.randomised_pit(below * 64 / 65, (below * 64 + 1) / 65, uniform)
        return self._coverages("noiseless", np.where(self._there, rank, np.nan))

    def rewards(self, y: np.ndarray, uniform: np.ndarray, arms: int) -> dict[str, np.ndarray]:
        """Returns scores of new rewards `y` [R, M]."""
        size = y.shape[1]
        some, few = (slice(min(size, max(most // arms, 1) * arms)) for most in (SCORED, RANKED))
        limits = calibration.neighbours(np.concatenate([y, y], 1), size + np.arange(size)[some])  # of all values
        there, draws, sigma, mean, y = (
            part[:, some] for part in (self._there, self._draws, self._sigma, self._mean, y)
        )
        low = high = scores.mixture_cdf(draws, sigma, y)
        if (discrete := ~np.isnan(limits[0])).any():
            low, high = (
                np.where(discrete, scores.mixture_cdf(draws, sigma, np.where(discrete, limit, y)), low)
                for limit in limits
            )
        pit = calibration.randomised_pit(low, high, uniform[:, some])
        binary, probability = self._binary[:, None], np.clip(mean, *PROBABILITY)
        brier, crps = (
            scores.brier(probability, y)[:, few],
            scores.mixture_crps(draws[:, few], sigma[:, few], y[:, few]),
        )
        nll = np.where(binary, scores.bernoulli_nll(probability, y), scores.mixture_nll(draws, sigma, y))
        found = self._coverages("all", np.where(there & ~binary, pit, np.nan))
        crps = _mean(np.where(binary, brier, crps), there[:, few])
        return found | {"all_nll": _mean(nll, there), "all_crps": crps}

    def joint(self, rewards: np.ndarray, uniform: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the joint and the marginal log-loss of batches of rows; `rewards` [R, tau, M] of every cell."""
        rows = np.arange(joint.TAU)
        both, marginal = np.empty((2, len(rewards)))
        for replica, draws in enumerate(self._draws):
            cells = np.flatnonzero(self._there[replica])
            batches = joint.dyads(uniform[replica], len(cells))
            at = batches.take(cells[batches.inputs])  # [B, tau]
            y, f = rewards[replica, rows, at], draws[at].transpose(0, 2, 1)  # [B, tau], [B, S, tau]
            if self._binary[replica]:
                likelihood = -scores.bernoulli_nll(np.clip(f, *PROBABILITY), y[:, None])
            else:
                noise = self._noise[replica, at][:, None]
                likelihood = -0.5 * ((y[:, None] - f) ** 2 / noise + np.log(noise) + scores.LOG_2PI)
            both[replica] = joint.joint_nll(likelihood).mean()
            marginal[replica] = joint.marginal_nll(likelihood).mean()
        return {"joint_nll": both, "marginal_nll": marginal}

    def _coverages(self, name: str, pit: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{name}_{100 * level:.0f}": np.array([calibration.coverage(own, level) for own in pit])
            for level in calibration.LEVELS
        }


def _mean(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Returns the mean of values [R, M] where they are."""
    return np.where(there, values, 0).sum(1) / there.sum(1)


def _errors(mean: np.ndarray, expected: np.ndarray, there: np.ndarray) -> dict[str, np.ndarray]:
    error = mean - expected
    return {"rmse": np.sqrt(_mean(error**2, there)), "bias": _mean(error, there)}


def _greedy(mean: np.ndarray, expected: np.ndarray, there: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what the arm of the largest mean is believed to pay more than it does, and what it loses [R]."""
    greedy = np.where(there, mean, -np.inf).argmax(2)[..., None]
    value, believed = (np.take_along_axis(part, greedy, 2)[..., 0] for part in (expected, mean))
    best = np.where(there, expected, -np.inf).max(2)
    return {"greedy_optimism": (believed - value).mean(1), "greedy_regret": (best - value).mean(1)}


def _thompson(shares: Tensor, held: HeldOut, there: np.ndarray) -> dict[str, np.ndarray]:
    """Returns Thompson probabilities of all arms against whether they are the best, in bins, each [R, 10]."""
    best = np.where(there, held.expected, -np.inf).argmax(2)
    hit = best[..., None] == np.arange(there.shape[2])
    found = [
        calibration.thompson_bins(own[at], hits[at])
        for own, hits, at in zip(shares.double().numpy(), hit, there, strict=True)
    ]
    return {f"thompson_{name}": np.array([getattr(one, name) for one in found]) for name in found[0]._fields}


def _but(diverged: np.ndarray, values: np.ndarray) -> Any:
    """Returns numbers or lists [R, ...] as a column, without those of replicas that have diverged."""
    if values.ndim == 1:
        return np.where(diverged, np.nan, values)
    return [None if lost else own for own, lost in zip(values, diverged, strict=True)]
