"""An agent: a posterior, a rule, a memory and a schedule. Concrete, not a hierarchy."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.agents.memory import Memory, NoiseVariance
from vbandits.agents.rules import pick
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
        network: builds the network of network posteriors for D features and K outputs.
        schedule: when it trains.
        optimizer: how it trains.
        standardize: whether the posterior sees contexts and rewards shifted and scaled to mean 0 and variance 1.
    """

    label: str
    posterior: Posterior | None
    rule: Rule
    network: Any = field(default_factory=MLP)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    standardize: bool = True


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
        features: int,
        arms: int,
        steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = torch.device(device)
        network = spec.network.build(features, arms) if spec.posterior is not None else None
        self.spec = spec
        training = {"schedule": spec.schedule, "optimizer": spec.optimizer}
        self.task = Task(seeds, features, arms, network, **training, device=device, dtype=dtype)
        self.failed = torch.zeros(len(seeds), dtype=torch.bool, device=device)
        self.state = spec.posterior.init(self.task) if spec.posterior is not None else None
        self._memory = Memory(self.task, steps, spec.standardize)
        self._scaling = Scaling.identity(len(seeds), features, device, dtype)
        self._noise = NoiseVariance(len(seeds), device)
        self._variance = torch.ones(len(seeds), dtype=dtype, device=device)  # of the noise, in standardised units
        self.trained = False
        self._random = Stream(seeds, "rule", device=device)
        self._initial = arms * spec.schedule.initial_pulls if spec.posterior is not None else 0
        self._limit = LIMIT if spec.standardize else float("inf")
        self._predicted: Tensor | None = None

    @property
    def due(self) -> bool:
        """Whether the schedule asks for an update now, or the posterior takes every row as it comes."""
        if self.spec.posterior is None or self._memory.rows == 0:
            return False
        return self._memory.rows >= self._initial and (self._scheduled or self._extends)

    @property
    def _scheduled(self) -> bool:
        """Whether a whole number of the schedule's periods has passed since the initial pulls."""
        return (self._memory.rows - self._initial) % self.spec.schedule.every == 0

    @property
    def _extends(self) -> bool:
        """Whether the posterior can take single rows by now."""
        return self.trained and hasattr(self.spec.posterior, "extend")

    def act(self, contexts: Float[Tensor, "R D"]) -> Int64[Tensor, " R"]:
        """Chooses an arm per replica."""
        random = self._random.uniform(3)
        anything = pick(random[:, 2], self.task.outputs)
        if self.spec.posterior is None:
            return anything
        if self._memory.rows < self._initial:
            return torch.full_like(anything, self._memory.rows % self.task.outputs)
        x = self._scaling.x(contexts.to(self.task.dtype).unsqueeze(1))
        looked_at = self.spec.rule.draws
        values = self.spec.posterior.draw(self.state, looked_at + 2)(x)[:, :, 0]  # [R, S, A]
        choices = values[:, :looked_at] if looked_at else self.spec.posterior.mean(self.state)(x)[:, :, 0]
        self.failed |= ~(values.abs().amax((1, 2)).maximum(choices.abs().amax((1, 2))) < self._limit)
        actions = torch.where(self.failed, anything, self.spec.rule.choose(choices, random[:, :2]))
        # the two draws that the rule did not look at measure the noise, free of its choice of the largest
        lane = torch.arange(len(actions), device=actions.device)
        predicted = values[lane, -2:, actions]
        self._predicted = self._scaling.y_shift + self._scaling.y_scale * predicted  # [R, 2]
        return actions

    def observe(
        self, contexts: Float[Tensor, "R D"], actions: Int64[Tensor, " R"], rewards: Float[Tensor, " R"]
    ) -> None:
        """Remembers the outcome of the last action; it is learned from at the next `learn`."""
        self._memory.add(contexts, actions, rewards)
        if self._predicted is not None:
            self._noise.add(rewards, self._predicted)
            self._predicted = None

    def learn(self) -> None:
        """Updates the posterior on everything remembered; where no update is due, it takes what is new if it can."""
        if self.spec.posterior is None:
            return
        if self._extends and not self._scheduled:
            self.spec.posterior.extend(self.state, self._memory.data(self._scaling, self._variance))
            return
        self.trained = True
        self._scaling = self._memory.scaling()
        scale = self._scaling.y_scale[:, 0].double()
        # held until the next update: what is predicted in between must not know outcomes that are not learned from yet
        self._variance = (self._noise.value(scale.square()) / scale.square()).to(self.task.dtype)
        self.spec.posterior.update(self.state, self._memory.data(self._scaling, self._variance))

    def predict(self, contexts: Float[Tensor, "R N D"], actions: Int64[Tensor, "R N"]) -> Predictive:
        """Returns the predictive distribution of rewards, in their own units."""
        assert self.spec.posterior is not None, "an agent without a posterior predicts nothing"
        x = self._scaling.x(contexts.to(self.task.dtype))
        predictive = self.spec.posterior.predict(self.state, x, actions, self._variance)
        return predictive.affine(self._scaling.y_shift, self._scaling.y_scale)

    def recent(self, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the last contexts [R, N, D], actions [R, N] and rewards [R, N]."""
        return self._memory.last(rows)

    def climate(self) -> tuple[Tensor, Tensor]:
        """Returns mean and standard deviation of the rewards learned from [R, 1]: what a failed replica predicts."""
        return self._scaling.y_shift, self._scaling.y_scale
