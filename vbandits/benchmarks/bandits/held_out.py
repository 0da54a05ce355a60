"""What an agent believes of contexts that it is never shown, of all arms: its errors there are not its policy's."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vbandits.agents.player import Player
from vbandits.benchmarks.bandits.recorder import PROBABILITY, best_shares
from vbandits.blocks import blocks, rows_of
from vbandits.envs.base import HeldOut
from vbandits.experiment.benchmark import Job
from vbandits.metrics import calibration, joint, scores
from vbandits.streams import Stream

TIMES, FEWEST = 8, 16
"""Most times at which an agent is evaluated, and decisions before the first of them."""
BATCHES = 128
"""Of rows that are predicted jointly."""
AT_ONCE = 2**23
"""Draws of what arms pay that are scored together: of all replicas they may be more than the memory holds."""
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
        """Returns what is measured by name, each [R]; it is computed where the agent's beliefs are."""
        values, noise = self._agent.marginals(held.observed)  # [R, S, N, A] and [R, n, A]
        parts = [
            self._of_some(own, values[own], noise[own], held)
            for own in blocks(len(values), AT_ONCE // values[0].numel())
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _of_some(self, own: slice, values: Tensor, noise: Tensor, held: HeldOut) -> dict[str, np.ndarray]:
        """Returns what is measured of some replicas."""
        expected, rewards = (torch.from_numpy(part[own]).to(values) for part in held[1:])
        mask = held.observed.mask
        there = torch.ones_like(expected, dtype=torch.bool) if mask is None else mask[own].to(values.device)
        shares = best_shares(values, None if mask is None else there) if self._agent.has_draws else None
        draws = values.flatten(2).transpose(1, 2).contiguous()  # [R, N * A, S]: cells, as all that follows
        mean, cells = draws.mean(2), there.flatten(1)
        binary = ((rewards == 0) | (rewards == 1)).flatten(1).all(1)
        beliefs = _Beliefs(draws, mean, noise.expand_as(expected).flatten(1), cells, binary)
        found = _errors(mean, expected.flatten(1), cells)
        if shares is not None:
            found |= beliefs.noiseless(expected.flatten(1), self._first(own, "coverage", cells.shape[1]))
        uniform = self._first(own, "PIT", cells.shape[1])
        found |= beliefs.rewards(rewards[:, 0].flatten(1), uniform, expected.shape[2])
        found |= _greedy(mean.view_as(expected), expected, there)
        if shares is not None:
            uniform = self._first(own, "batches", BATCHES, joint.ANCHORS + joint.TAU)
            found |= beliefs.joint(rewards.flatten(2), uniform)
        found = {name: part.cpu().numpy() if isinstance(part, Tensor) else part for name, part in found.items()}
        return found if shares is None else found | _thompson(shares, expected, there)

    def _first(self, own: slice, purpose: str, *shape: int) -> np.ndarray:
        """Returns uniform numbers [R, ...] of some replicas, the same ones every time."""
        return Stream(self._seeds[own], f"held-out {purpose}").uniform(*shape).numpy()


class _Beliefs:
    """Draws of what M cells, arms in contexts, are expected to pay, and scores of them; each replica by itself."""

    def __init__(self, draws: Tensor, mean: Tensor, noise: Tensor, there: Tensor, binary: Tensor) -> None:
        """Takes draws [R, M, S], their mean, the noise variance, which cells are available [R, M], and which replicas
        have rewards in {0, 1} alone [R]."""
        self._draws, self._mean, self._noise, self._there, self._binary = draws, mean, noise, there, binary
        self._sigma = noise.sqrt()

    def noiseless(self, expected: Tensor, uniform: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the coverage of the expected rewards by the draws alone.

        A truth like the draws has each of the S + 1 ranks among S draws with the same probability, which is what a rank
        becomes uniform by; fewer functions than 64 count as 64 of them.
        """
        below = (self._draws < expected.unsqueeze(2)).double().mean(2).cpu().numpy()
        rank = calibration.randomised_pit(below * 64 / 65, (below * 64 + 1) / 65, uniform)
        return _coverages("noiseless", rank, self._there)

    def rewards(self, y: Tensor, uniform: np.ndarray, arms: int) -> dict[str, Any]:
        """Returns scores of new rewards `y` [R, M]."""
        size = y.shape[1]
        some, few = (slice(min(size, max(most // arms, 1) * arms)) for most in (SCORED, RANKED))
        given = y.cpu().numpy()
        every = np.concatenate([given, given], 1)  # so that all of them tell the limits
        limits = calibration.neighbours(every, size + np.arange(size)[some])
        there, draws, sigma, mean, y = (
            part[:, some] for part in (self._there, self._draws, self._sigma, self._mean, y)
        )
        low = high = scores.mixture_cdf(draws, sigma, y)
        bounds = [torch.from_numpy(limit).to(y) for limit in limits]
        if (discrete := ~bounds[0].isnan()).any():
            low, high = (
                scores.mixture_cdf(draws, sigma, bound.where(discrete, y)).where(discrete, low) for bound in bounds
            )
        pit = calibration.randomised_pit(low.cpu().numpy(), high.cpu().numpy(), uniform[:, some])
        binary, probability = self._binary.unsqueeze(1), mean.clamp(*PROBABILITY)
        crps = scores.mixture_crps(draws[:, few], sigma[:, few], y[:, few])
        crps = scores.brier(probability, y)[:, few].where(binary, crps)
        nll = scores.bernoulli_nll(probability, y).where(binary, scores.mixture_nll(draws, sigma, y))
        covered = _coverages("all", pit, there & ~binary)
        return covered | {"all_nll": _mean(nll, there), "all_crps": _mean(crps, there[:, few])}

    def joint(self, rewards: Tensor, uniform: np.ndarray) -> dict[str, Tensor]:
        """Returns the joint and the marginal log-loss of batches of rows; `rewards` [R, tau, M] of every cell."""
        order = torch.sort(self._there, stable=True, dim=1, descending=True)
        available = order.indices.cpu().numpy()  # [R, M], those that are there first
        batches = joint.dyads(uniform, self._there.sum(1).cpu().numpy())  # [R, B, ...]
        inputs = np.take_along_axis(available, batches.inputs.reshape(len(available), -1), 1)
        at = torch.from_numpy(batches.take(inputs.reshape(batches.inputs.shape))).to(rewards.device)  # [R, B, tau]
        replica = torch.arange(len(at), device=at.device)[:, None, None]
        y = rewards[replica, torch.arange(joint.TAU, device=at.device), at].unsqueeze(2)  # [R, B, 1, tau]
        f = rows_of(self._draws, at.flatten(1)).view(*at.shape, -1).transpose(2, 3)  # [R, B, S, tau]
        noise = self._noise[replica, at].unsqueeze(2)
        likelihood = (f - y).square_().div_(-2 * noise).sub_(0.5 * (noise.log() + scores.LOG_2PI))
        if (binary := self._binary).any():
            likelihood[binary] = -scores.bernoulli_nll(f[binary].clamp(*PROBABILITY), y[binary].expand_as(f[binary]))
        both, marginal = (nll(likelihood).mean(1) for nll in (joint.joint_nll, joint.marginal_nll))
        return {"joint_nll": both, "marginal_nll": marginal}


def _coverages(name: str, pit: np.ndarray, there: Tensor) -> dict[str, np.ndarray]:
    pit = np.where(there.cpu().numpy(), pit, np.nan)
    return {f"{name}_{100 * level:.0f}": calibration.coverage(pit, level) for level in calibration.LEVELS}


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """Returns the mean of values [R, M] where they are."""
    return values.where(there, 0).sum(1) / there.sum(1)


def _errors(mean: Tensor, expected: Tensor, there: Tensor) -> dict[str, Tensor]:
    error = mean - expected
    return {"rmse": _mean(error.square(), there).sqrt(), "bias": _mean(error, there)}


def _greedy(mean: Tensor, expected: Tensor, there: Tensor) -> dict[str, Tensor]:
    """Returns what the arm of the largest mean is believed to pay more than it does, and what it loses [R]."""
    greedy = mean.where(there, -torch.inf).argmax(2, keepdim=True)
    value, believed = (part.gather(2, greedy)[..., 0] for part in (expected, mean))
    best = expected.where(there, -torch.inf).amax(2)
    return {"greedy_optimism": (believed - value).mean(1), "greedy_regret": (best - value).mean(1)}


def _thompson(shares: Tensor, expected: Tensor, there: Tensor) -> dict[str, np.ndarray]:
    """Returns Thompson probabilities of all arms against whether they are the best, in bins, each [R, 10]."""
    best = expected.where(there, -torch.inf).argmax(2, keepdim=True)
    hit = best == torch.arange(there.shape[2], device=best.device)
    found = [
        calibration.thompson_bins(own[at], hits[at])
        for own, hits, at in zip(*(part.cpu().numpy() for part in (shares.double(), hit, there)), strict=True)
    ]
    return {f"thompson_{name}": np.array([getattr(one, name) for one in found]) for name in found[0]._fields}


def _but(diverged: np.ndarray, values: np.ndarray) -> Any:
    """Returns numbers or lists [R, ...] as a column, without those of replicas that have diverged."""
    if values.ndim == 1:
        return np.where(diverged, np.nan, values)
    return [None if lost else own for own, lost in zip(values, diverged, strict=True)]
