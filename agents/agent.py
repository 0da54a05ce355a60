"""An agent: a posterior, a rule, a memory and a schedule. Concrete, not a hierarchy."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.agents.encoding import Encoding, Kind
from vbandits.agents.memory import Memory, NoiseVariance
from vbandits.agents.rules import UNAVAILABLE, pick
from vbandits.envs.spaces import Form, Observed, next_available
from vbandits.networks import MLP
from vbandits.streams import Stream
from vbandits.types import Optimizer, Posterior, Predictive, Rule, Scaling, Schedule, Task

LIMIT = 1e6
"""A posterior that draws values beyond this, where rewards have variance 1, has diverged: clipping keeps it finite."""


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
        standardize: whether the posterior sees contexts and rewards shifted and scaled to mean 0 and variance 1.
        encoding: how contexts and arms become rows, see `agents.encoding`.
    """

    label: str
    posterior: Posterior | None
    rule: Rule
    network: Any = field(default_factory=MLP)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    standardize: bool = True
    encoding: Kind = "shared"


class Agent:
    """Plays R replicas of a bandit in lockstep. It sees contexts and the rewards of its own actions, nothing else.

    Attributes:
        failed: replicas whose posterior has diverged [R]; they play uniformly from then on.
        state: of the posterior; None without one.
        trained: whether it has learned from anything yet.
    """

    def __init__(
        self,
        spec: AgentSpec,
        seeds: tuple[int, ...],
        form: Form,
        steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = torch.device(device)
        self.encoding = Encoding(form, spec.encoding)
        features, outputs = self.encoding.features, self.encoding.outputs
        network = spec.network.build(features, outputs) if spec.posterior is not None else None
        self.spec = spec
        training = {"schedule": spec.schedule, "optimizer": spec.optimizer}
        self.task = Task(seeds, features, outputs, network, **training, device=device, dtype=dtype)
        self.failed = torch.zeros(len(seeds), dtype=torch.bool, device=device)
        self.state = spec.posterior.init(self.task) if spec.posterior is not None else None
        self._memory = Memory(self.task, steps, spec.standardize, self.encoding.blocks)
        self._scaling = Scaling.identity(len(seeds), features, device, dtype)
        self._noise = NoiseVariance(len(seeds), device)
        self._variance = torch.ones(len(seeds), dtype=dtype, device=device)  # of the noise, in standardised units
        self.trained = False
        self._random = Stream(seeds, "rule", device=device)
        self._initial = self.encoding.tried * spec.schedule.initial_pulls if spec.posterior is not None else 0
        self._learned = 0
        self._next = self._initial or spec.schedule.every  # rows at which the next update is due
        self._limit = LIMIT if spec.standardize else float("inf")
        self._predicted: deque[Tensor | None] = deque()  # of the decisions whose outcomes are not known yet

    @property
    def rows(self) -> int:
        """Outcomes observed so far."""
        return self._memory.rows

    @property
    def decisions(self) -> int:
        """Decisions made so far."""
        return self._memory.decisions

    @property
    def due(self) -> bool:
        """Whether there are new rows, and the schedule asks for an update or the posterior takes rows as they come."""
        if self.spec.posterior is None or self.rows == self._learned:
            return False
        return self.rows >= self._next or self._extends

    @property
    def _extends(self) -> bool:
        """Whether the posterior can take single rows by now."""
        return self.trained and hasattr(self.spec.posterior, "extend")

    def act(self, observation: Tensor | Mapping[str, Tensor]) -> Int64[Tensor, " R"]:
        """Chooses an arm per replica.

        Args:
            observation: contexts [R, D], or a dict of `context` [R, D], `arms` [R, A, F] and `mask` [R, A].
        """
        observed, random = Observed.of(observation), self._random.uniform(3)
        anything = pick(random[:, 2], self.encoding.form.arms, observed.mask)
        if self.spec.posterior is None:
            return anything
        rows = self.encoding.rows(observed)
        if self.decisions < self._initial or (self._initial and not self.trained):  # the first outcomes may come late
            actions = self._in_turn(observed.mask, anything)
            self._remember(rows, actions, None)
            return actions
        x = self._scaling.x(rows.to(self.task.dtype))
        looked_at = self.spec.rule.draws
        values = self.encoding.values(self.spec.posterior.draw(self.state, looked_at + 2)(x))  # [R, S, A]
        choices = values[:, :looked_at]
        if not looked_at:
            choices = self.encoding.values(self.spec.posterior.mean(self.state)(x))
        there = observed.mask
        if there is not None:  # what stands where an arm is absent says nothing of the posterior
            values, choices = (part.where(there.unsqueeze(1), 0) for part in (values, choices))
        self.failed |= ~(values.abs().amax((1, 2)).maximum(choices.abs().amax((1, 2))) < self._limit)
        if there is not None:
            choices = choices.where(there.unsqueeze(1), UNAVAILABLE)
        actions = torch.where(self.failed, anything, self.spec.rule.choose(choices, random[:, :2]))
        # the two draws that the rule did not look at measure the noise, free of its choice of the largest
        lane = torch.arange(len(actions), device=actions.device)
        self._remember(rows, actions, self._scaling.y_shift + self._scaling.y_scale * values[lane, -2:, actions])
        return actions

    def take(self, observation: Tensor | Mapping[str, Tensor], actions: Int64[Tensor, " R"]) -> None:
        """Remembers a decision that was made elsewhere, in place of `act`; `observe` gets its outcome."""
        self._remember(self.encoding.rows(Observed.of(observation)), actions, None)

    def _remember(self, rows: Tensor, actions: Tensor, predicted: Float[Tensor, "R 2"] | None) -> None:
        self._memory.decide(*self.encoding.taken(rows, actions))
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
        if self.spec.posterior is None:
            return
        self._memory.add(rewards)
        predicted = self._predicted.popleft()
        if predicted is not None:
            self._noise.add(rewards, predicted)

    def learn(self) -> None:
        """Updates the posterior on everything observed; where no update is due, it takes what is new if it can.

        Where outcomes have come in batches, it is updated as often as if they had come one by one.
        """
        if self.spec.posterior is None:
            return
        self._learned = self.rows
        if self._extends and self.rows < self._next:
            self.spec.posterior.extend(self.state, self._memory.data(self._scaling, self._variance))
            return
        periods = max((self.rows - self._next) // self.spec.schedule.every + 1, 0)
        self._next += periods * self.spec.schedule.every
        self.trained = True
        self._scaling = self._memory.scaling()
        scale = self._scaling.y_scale[:, 0].double()
        # held until the next update: what is predicted in between must not know outcomes that are not learned from yet
        self._variance = (self._noise.value(scale.square()) / scale.square()).to(self.task.dtype)
        data = self._memory.data(self._scaling, self._variance)
        for _ in range(max(periods, 1)):
            self.spec.posterior.update(self.state, data)

    def predict(self, rows: Float[Tensor, "R N W"], outputs: Int64[Tensor, "R N"]) -> Predictive:
        """Returns the predictive distribution of rewards, in their own units."""
        assert self.spec.posterior is not None, "an agent without a posterior predicts nothing"
        x = self._scaling.x(rows.to(self.task.dtype))
        predictive = self.spec.posterior.predict(self.state, x, outputs, self._variance)
        return predictive.affine(self._scaling.y_shift, self._scaling.y_scale)

    def recent(self, decisions: int) -> tuple[Tensor, Tensor]:
        """Returns the rows [R, N, W] and outputs [R, N] of the last decisions."""
        return self._memory.last(decisions)

    def climate(self) -> tuple[Tensor, Tensor]:
        """Returns mean and standard deviation of the rewards learned from [R, 1]: what a failed replica predicts."""
        return self._scaling.y_shift, self._scaling.y_scale
