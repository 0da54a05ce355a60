"""An agent: a posterior, a rule, a memory and a schedule. Concrete, not a hierarchy."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vbandits.agents.encoding import Encoding, Kind
from vbandits.agents.model import LIMIT, Model
from vbandits.agents.replay import NoiseVariance, Replay
from vbandits.agents.rules import UNAVAILABLE, asks_for_mean, pick
from vbandits.envs.spaces import Observation, ObservationSpec, next_available
from vbandits.networks import MLP
from vbandits.serialize import described
from vbandits.streams import Stream
from vbandits.types import Optimizer, Posterior, Predictive, Rule, Schedule, Task


@dataclass(frozen=True)
class AgentSpec:
    """The declaration of an agent, as a file or a script gives it.

    Attributes:
        label: how reports call it.
        posterior: of the arms' values; None for an agent that does not learn.
        rule: from draws to an arm.
        network: builds the network of network posteriors for rows of W numbers and K outputs.
        schedule: when it trains.
        optimizer: how it trains.
        standardize: whether the posterior sees contexts and rewards shifted and scaled to mean 0 and variance 1; with
            "arms" the mean and variance of rewards are those of a mixture of all arms in equal parts, so that they do
            not depend on how often each was played; where a row is an arm it is the same as true.
        encoding: how contexts and arms become rows, see `agents.encoding`.
    """

    label: str
    posterior: Posterior | None
    rule: Rule
    network: Any = field(default_factory=MLP)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    standardize: bool | Literal["arms"] = True
    encoding: Kind = "shared"

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON: every section with all its fields, the defaults too."""
        return described(self, ("posterior", "rule", "network", "schedule", "optimizer", "standardize", "encoding"))


class Agent:
    """Plays R replicas of a bandit in lockstep. It sees contexts and the rewards of its own actions, nothing else.

    Attributes:
        task: what a posterior models here.
        model: of the arms' values; None for an agent that does not learn. Replicas that diverge play uniformly.
    """

    def __init__(
        self,
        spec: AgentSpec,
        seeds: tuple[int, ...],
        form: ObservationSpec,
        steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = torch.device(device)
        self.spec, self.encoding = spec, Encoding(form, spec.encoding)
        features, outputs = self.encoding.features, self.encoding.outputs
        learns = spec.posterior is not None
        network = spec.network.build(features, outputs) if learns else None
        training = {"schedule": spec.schedule, "optimizer": spec.optimizer}
        self.task = Task(seeds, features, outputs, network, **training, device=device, dtype=dtype)
        limit = LIMIT if spec.standardize else float("inf")
        self.model = Model(spec.posterior, self.task, limit) if spec.posterior is not None else None
        self._replay = Replay(self.task, steps, spec.standardize, self.encoding.blocks)
        self._noise = NoiseVariance(len(seeds), device)
        self._random = Stream(seeds, "rule", device=device)
        self._initial = self.encoding.tried * spec.schedule.initial_pulls if learns else 0
        self._learned = 0
        self._next = self._initial or spec.schedule.every  # rows at which the next update is due
        self._predicted: deque[Tensor | None] = deque()  # of the decisions whose outcomes are not known yet

    @property
    def rows(self) -> int:
        """Outcomes observed so far."""
        return self._replay.rows

    @property
    def decisions(self) -> int:
        """Decisions made so far."""
        return self._replay.decisions

    @property
    def due(self) -> bool:
        """Whether there are new rows, and the schedule asks for an update or the posterior takes rows as they come."""
        if self.model is None or self.rows == self._learned:
            return False
        return self.rows >= self._next or self.model.can_condition

    @property
    def diverged(self) -> Bool[Tensor, " R"]:
        """Replicas that play uniformly because their posterior has diverged."""
        if self.model is None:
            return torch.zeros(len(self.task.seeds), dtype=torch.bool, device=self.task.device)
        return self.model.diverged

    def act(self, observation: Tensor | Mapping[str, Tensor]) -> Int64[Tensor, " R"]:
        """Chooses an arm per replica.

        Args:
            observation: contexts [R, D], or a dict of `context` [R, D], `arms` [R, A, F] and `mask` [R, A].
        """
        observed, random = Observation.of(observation), self._random.uniform(3)
        anything = pick(random[:, 2], self.encoding.form.arms, observed.mask)
        if self.model is None:
            return anything
        rows = self.encoding.rows(observed)
        if self.decisions < self._initial or (self._initial and not self.model.trained):  # first outcomes may come late
            actions = self._in_turn(observed.mask, anything)
            self._remember(rows, actions, None)
            return actions
        scaling, looked_at = self.model.scaling, self.spec.rule.draws
        x = scaling.x(rows).to(self.task.dtype)
        values = self.encoding.values(self.model.draw(looked_at + 2)(x))  # [R, S, A]
        choices = values[:, :looked_at]
        if asks_for_mean(self.spec.rule):
            choices = torch.cat([choices, self.encoding.values(self.model.mean()(x)).to(choices)], 1)
        there = observed.mask
        if there is not None:  # what stands where an arm is absent says nothing of the posterior
            values, choices = (part.where(there.unsqueeze(1), 0) for part in (values, choices))
        scaled = self.model.trained or not self.spec.standardize  # else no unit is known yet, of contexts or of rewards
        if scaled:
            self.model.guard(values, choices)
        if there is not None:
            choices = choices.where(there.unsqueeze(1), UNAVAILABLE)
        actions = torch.where(self.model.diverged, anything, self.spec.rule.choose(choices, random[:, :2]))
        # the two draws that the rule did not look at measure the noise, free of its choice of the largest
        replica = torch.arange(len(actions), device=actions.device)
        predicted = scaling.y_shift + scaling.y_scale * values[replica, -2:, actions]
        if scaling.y_constant is not None:
            predicted = predicted.masked_fill(scaling.y_constant, torch.nan)
        self._remember(rows, actions, predicted if scaled else None)
        return actions

    def _remember(self, rows: Tensor, actions: Tensor, predicted: Float[Tensor, "R 2"] | None) -> None:
        self._replay.decide(*self.encoding.taken(rows, actions))
        self._predicted.append(predicted)

    def _in_turn(self, mask: Tensor | None, anything: Tensor) -> Tensor:
        """Returns each arm in turn, or the next one that is available; any arm where they are not known by place."""
        if not self.encoding.known_by_place:
            return anything
        arms = self.encoding.form.arms
        if mask is None:
            return torch.full_like(anything, self.decisions % arms)
        return next_available(self.decisions % arms, mask)

    def observe(self, rewards: Float[Tensor, " R"]) -> None:
        """Takes the outcome of the earliest decision that had none yet; it is learned from at the next `learn`."""
        if self.model is None:
            return
        self._replay.add(rewards)
        predicted = self._predicted.popleft()
        if predicted is not None:
            self._noise.add(rewards, predicted)

    def learn(self) -> None:
        """Updates the posterior on everything observed; where no update is due, it takes what is new if it can.

        Where outcomes have come in batches, it is updated as often as if they had come one by one.
        """
        if self.model is None:
            return
        self._learned = self.rows
        if self.model.can_condition and self.rows < self._next:
            self.model.condition_on(self._replay.data(self.model.scaling, self.model.noise))
            return
        periods = max((self.rows - self._next) // self.spec.schedule.every + 1, 0)
        self._next += periods * self.spec.schedule.every
        # held until the next update: what is predicted in between must not know outcomes that are not learned from yet
        scaling = self._replay.scaling()
        noise = self._noise.standardised(scaling.y_scale[:, 0]).to(self.task.dtype)
        self.model.update(self._replay.data(scaling, noise), times=max(periods, 1))

    def predict(self, rows: Float[Tensor, "R N W"], outputs: Int64[Tensor, "R N"]) -> Predictive:
        """Returns the predictive distribution of rewards, in their own units."""
        assert self.model is not None, "an agent without a posterior predicts nothing"
        return self.model.predict(self.model.scaling.x(rows).to(self.task.dtype), outputs)

    def beliefs(
        self, observed: Observation, actions: Int64[Tensor, "R N"]
    ) -> tuple[Predictive, Float[Tensor, "R S N A"]]:
        """Returns what is believed of N decisions by now, in units of the reward; nothing that is done depends on it.

        Args:
            observed: in each of the decisions: contexts [R, N, D], arms [R, N, A, F] and mask [R, N, A].
            actions: of the decisions.

        Returns:
            The predictive distribution of the rewards of the actions, and draws of what every arm is expected to pay.
        """
        assert self.model is not None, "an agent without a posterior believes nothing"
        replicas, count = actions.shape
        flat = Observation(*(None if part is None else part.flatten(0, 1) for part in observed))
        rows = self.encoding.rows(flat)  # [R * N, n, W]
        x = self.model.scaling.x(rows.view(replicas, -1, rows.shape[2])).to(self.task.dtype)  # [R, N * n, W]
        with torch.no_grad():
            values = self.model.look()(x)  # [R, S, N * n, K]
        if self.encoding.rows_are_arms:
            values = values[..., 0].unflatten(2, (count, -1))
        shift, scale = (part[:, None, None] for part in (self.model.scaling.y_shift, self.model.scaling.y_scale))
        if self.model.mixes:
            found: Any = self.task.likelihood.predictive(values, actions, self.model.noise)
            predictive = found.affine(self.model.scaling.y_shift, self.model.scaling.y_scale)
        else:
            taken, outputs = self.encoding.taken(rows, actions.flatten())
            predictive = self.predict(taken.view(replicas, count, -1), outputs.view(replicas, count))
        return predictive, shift + scale * values

    def recent(self, decisions: int) -> tuple[Tensor, Tensor]:
        """Returns the rows [R, N, W] and outputs [R, N] of the last decisions."""
        return self._replay.last(decisions)
