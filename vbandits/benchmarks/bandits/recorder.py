"""What a bandit run leaves: its decisions, and scores of predictions made before outcomes were learned from."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vbandits.agents.player import Player
from vbandits.envs.spaces import Observation
from vbandits.experiment.benchmark import Job
from vbandits.metrics import calibration, scores
from vbandits.metrics import regret as regrets
from vbandits.predictive import joined
from vbandits.streams import Stream

PROBABILITY = (1e-3, 1 - 1e-3)
"""Range of the probability of a reward of 1, so that a single certain error is not infinitely bad."""
SCORES = ("mean", "aleatoric", "epistemic", "nll", "crps", "pit")
THOMPSON = 64
"""Most decisions of a run whose Thompson probabilities are kept: an agent that learns from every decision has to be
drawn from for each of them."""


class Recorder:
    """Keeps what happened, and scores predictions made before outcomes were learned from (prequentially).

    Attributes:
        steps: the decisions that are recorded [G].
    """

    def __init__(self, job: Job, agent: Player, signed: bool = False) -> None:
        """Takes what is played, and whether regret may be negative in single steps."""
        self._job, self._agent, self._signed = job, agent, signed
        grid = np.linspace(0, job.steps - 1, min(job.options["recorded"], job.steps)).round().astype(int)
        ends = [job.steps - 1, max(job.steps - 1 - regrets.LAST, 0)]  # what the summary is made from
        self.steps = np.unique(np.append(grid, ends))
        shape, recorded = (len(job.seeds), job.steps), (len(job.seeds), len(self.steps))
        device = agent.device
        self._actions = torch.zeros(shape, dtype=torch.long, device=device)
        self._optimal = torch.full(shape, -1, dtype=torch.long, device=device)
        self._rewards = torch.zeros(shape, dtype=torch.float64, device=device)
        self._regret = torch.zeros(shape, dtype=torch.float64, device=device)
        self._column = {step: column for column, step in enumerate(self.steps.tolist())}
        self._waiting: dict[int, Observation] = {}  # decisions to be scored, and what was seen in them
        self._drawn = set(self.steps[:: -(-len(self.steps) // THOMPSON)].tolist())
        self._predicted: list[tuple[np.ndarray, Any]] = []
        self._scored = np.zeros(recorded, dtype=bool)
        self._summed = 0, *(torch.zeros(shape[0], dtype=torch.float64, device=device) for _ in range(2))
        self._thompson = np.full((*recorded, agent.form.arms), np.nan, dtype=np.float32)

    def add(self, step: int, contexts: Any, actions: Tensor, rewards: Tensor, info: dict[str, Any]) -> None:
        """Records a step of all replicas."""
        self._actions[:, step] = actions
        self._rewards[:, step] = rewards
        self._regret[:, step] = regrets.from_info(info)
        if "optimal_action" in info:
            self._optimal[:, step] = info["optimal_action"]
        if step in self._column and self._agent.predicts:
            self._waiting[step] = Observation.of(contexts)

    def happened(self, step: int) -> dict[str, Tensor]:
        """Returns what happened in a step, the last one that was recorded, by name, each [R].

        Sums go on from those of the last call: a run is summed once, step by step, however often it is asked for.
        """
        since, *sums = self._summed
        parts = self._reward_and_regret(slice(since, step + 1))
        rewards, regret = (
            torch.cat([total.unsqueeze(1), part], 1).cumsum(1)[:, -1] for total, part in zip(sums, parts, strict=True)
        )
        self._summed = step + 1, rewards, regret
        reward, own = self._reward_and_regret(step)
        return {
            "action": self._actions[:, step],
            "reward": reward,
            "regret": own,
            "cumulative_reward": rewards,
            "cumulative_regret": regret,
        }

    def _reward_and_regret(self, steps: int | slice) -> tuple[Tensor, Tensor]:
        return self._rewards[:, steps], self._regret[:, steps]

    def taken(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the actions and the rewards [R] of a step that was recorded."""
        return self._actions[:, step], self._rewards[:, step]

    def score(self) -> None:
        """Takes the agent's beliefs of the recorded decisions since the last call, all made by what it believes now."""
        waiting, self._waiting = self._waiting, {}
        steps = list(waiting)
        size = self._agent.decisions_at_once
        for start in range(0, len(steps), size):
            self._believed(steps[start : start + size], [waiting[step] for step in steps[start : start + size]])

    def _believed(self, steps: list[int], seen: list[Observation]) -> None:
        columns, sound = np.array([self._column[step] for step in steps]), ~self._agent.diverged.cpu().numpy()
        predictive, values = self._agent.beliefs(_stacked(seen), self._actions[:, steps], steps)
        self._predicted.append((columns, predictive))
        self._scored[:, columns] = sound[:, None]
        chosen = [place for place, step in enumerate(steps) if step in self._drawn]
        if chosen and self._agent.has_draws:
            observed = _stacked([seen[place] for place in chosen])
            values = self._agent.look(observed) if values is None else values[:, :, chosen]
            found = best_shares(values, observed.mask).cpu().numpy()
            self._thompson[np.ix_(sound, columns[chosen])] = found[sound]

    def frame(self) -> pd.DataFrame:
        """Returns one row per seed and recorded step."""
        rewards, regret = self._rewards.cpu().numpy(), self._regret.cpu().numpy()
        if not np.isfinite(rewards).all():
            raise ValueError("expected finite rewards, got NaN or infinity")
        regret = regret if self._signed else regrets.check(regret, rewards)
        kept = {
            "step": np.broadcast_to(self.steps, (len(self._job.seeds), len(self.steps))),
            "action": self._actions.cpu().numpy()[:, self.steps],
            "reward": rewards[:, self.steps],
            "regret": regret[:, self.steps],
            "cumulative_reward": rewards.cumsum(1)[:, self.steps],
            "cumulative_regret": regret.cumsum(1)[:, self.steps],
            "optimal": self._optimal.cpu().numpy()[:, self.steps],
        } | self._scores(rewards)
        seeds = np.repeat(np.asarray(self._job.seeds), len(self.steps))
        flat = self._thompson.reshape(-1, self._thompson.shape[2])
        thompson = [None if missing else own for own, missing in zip(flat, np.isnan(flat[:, 0]), strict=True)]
        columns = {"seed": seeds} | {name: values.ravel() for name, values in kept.items()}
        return pd.DataFrame(columns | {"thompson": pd.Series(thompson, dtype=object)})

    def _scores(self, rewards: np.ndarray) -> dict[str, np.ndarray]:
        """Returns all scores [R, G].

        Rewards in {0, 1} are scored as Bernoulli, where a seed has seen no other reward up to and with this one.
        """
        found = {name: np.full(self._scored.shape, np.nan) for name in SCORES}
        limits = calibration.neighbours(rewards, self.steps)
        uniform = Stream(self._job.seeds, "randomised PIT").uniform(rewards.shape[1]).numpy()[:, self.steps]
        whole = joined([predictive for _, predictive in self._predicted]) if self._predicted else None
        parts = self._predicted
        if whole is not None:
            parts = [(np.concatenate([columns for columns, _ in parts]), whole)]
        with np.errstate(all="ignore"):  # of replicas that have diverged, which are not scored
            for columns, predictive in parts:
                own = _scored(predictive, rewards[:, self.steps[columns]], [part[:, columns] for part in limits])
                low, high = own.pop("ends")
                own["pit"] = calibration.randomised_pit(low, high, uniform[:, columns])
                for name, values in own.items():
                    found[name][:, columns] = np.where(self._scored[:, columns], values, np.nan)
        binary = np.logical_and.accumulate((rewards == 0) | (rewards == 1), axis=1)[:, self.steps]
        as_one = [torch.from_numpy(part) for part in (np.clip(found["mean"], *PROBABILITY), rewards[:, self.steps])]
        nll, brier = (score(*as_one).numpy() for score in (scores.bernoulli_nll, scores.brier))
        found["nll"] = np.where(binary, nll, found["nll"])
        found["crps"], found["brier"] = np.where(binary, brier, found["crps"]), np.where(binary, brier, np.nan)
        found["pit"] = np.where(binary, np.nan, found["pit"])
        return found


def _scored(predictive: Any, y: np.ndarray, limits: list[np.ndarray]) -> dict[str, Any]:
    """Returns the scores of predictions at rewards `y` [R, N], and the ends of their intervals of probability.

    Where a reward is continuous, there are no `limits`, and both ends are the probability of at most the reward.
    """
    nothing = np.full_like(y, np.nan)
    told = hasattr(predictive, "variances")
    aleatoric, epistemic = predictive.variances() if told else (nothing, nothing)
    ends = [np.asarray(predictive.cdf(y))] * 2
    if (discrete := ~np.isnan(limits[0])).any():
        ends = [np.where(discrete, predictive.cdf(np.where(discrete, limit, y)), ends[0]) for limit in limits]
    return {
        "mean": np.asarray(predictive.mean()),
        "aleatoric": aleatoric,
        "epistemic": epistemic,
        "nll": np.asarray(predictive.nll(y)),
        "crps": np.asarray(predictive.crps(y)),
        "ends": ends,
    }


def _stacked(seen: list[Observation]) -> Observation:
    """Returns observations [R, ...] of several decisions as one [R, N, ...]."""
    return Observation(*(None if own[0] is None else torch.stack(own, 1) for own in zip(*seen, strict=True)))


def best_shares(values: Tensor, mask: Tensor | None) -> Tensor:
    """Returns in how many of the draws of all arms' values [R, S, N, A] each arm is the best, as a part of 1 [R, N, A].

    It is the probability with which Thompson sampling plays it. Arms that a mask [R, N, A] lacks are not played.
    """
    if mask is not None:
        values = values.where(mask.unsqueeze(1), -torch.inf)
    best = values.argmax(3).transpose(1, 2)  # [R, N, S]
    counts = torch.zeros(values[:, 0].shape, dtype=torch.float32, device=values.device)
    return counts.scatter_add_(2, best, torch.ones_like(best, dtype=torch.float32)) / values.shape[1]
