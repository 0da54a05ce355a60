"""An agent: a posterior, a rule, a memory and a schedule. Concrete, not a hierarchy."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vbandits.agents.encoding import Encoding
from vbandits.agents.model import LIMIT, Model
from vbandits.agents.replay import NoiseVariance, Replay
from vbandits.agents.rules import UNAVAILABLE, asks_for_mean, pick
from vbandits.agents.spec import AgentSpec
from vbandits.blocks import at_once
from vbandits.envs.spaces import Observation, ObservationSpec, next_available
from vbandits.likelihoods import at_output
from vbandits.posteriors.common import PREDICTIVE_DRAWS
from vbandits.streams import Stream
from vbandits.types import Functions, Optimizer, Predictive, Task

NUMBERS, WIDE = 2**18, 64
"""Of decisions that are looked at together: numbers in their rows, for every output; and what a row counts at least, as
those of a network's layers do."""
ROWS = {"cpu": 32, "cuda": 256}
"""Rows that functions are evaluated at together: few enough that what a core computes of them stays near it."""
PHI = 0.6180339887498949
"""The golden ratio's part behind the point: its multiples are spread evenly."""


class Agent:
    """Plays R replicas of a bandit in lockstep. It sees contexts and the rewards of its own actions, nothing else.

    Attributes:
        task: what a posterior models here.
        model: of the arms' values; None for an agent that does not learn. Replicas that diverge play uniformly.
    """

    has_draws = True

    def __init__(
        self,
        spec: AgentSpec,
        seeds: tuple[int, ...],
        form: ObservationSpec,
        steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Starts before any decision; `steps` are those that are foreseen, more may come."""
        device = torch.device(device)
        self.spec, self.encoding = spec, Encoding(form, spec.encoding)
        features, outputs = self.encoding.features, self.encoding.outputs
        learns = spec.posterior is not None
        network = spec.network.build(features, outputs) if learns else None
        training = {"schedule": spec.schedule, "optimizer": spec.optimizer or Optimizer()}
        self.task = Task(seeds, features, outputs, network, **training, device=device, dtype=dtype)
        self._standardize = standardize = True if spec.standardize is None else spec.standardize
        limit = LIMIT if standardize else float("inf")
        self.model = Model(spec.posterior, self.task, limit) if spec.posterior is not None else None
        self._replay = Replay(self.task, steps, standardize, self.encoding.blocks)
        self._noise = NoiseVariance(len(seeds), device)
        self._random = Stream(seeds, "rule", device=device)
        self._initial = self.encoding.tried * spec.schedule.initial_pulls if learns else 0
        self._learned = 0
        self._next = self._initial or spec.schedule.every  # rows at which the next update is due
        self._predicted: deque[Tensor | None] = deque()  # of the decisions whose outcomes are not known yet

    @property
    def form(self) -> ObservationSpec:
        """Of what is observed."""
        return self.encoding.form

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        return self.task.device

    @property
    def rows(self) -> int:
        """Outcomes observed so far."""
        return self._replay.rows

    @property
    def decisions(self) -> int:
        """Decisions made so far."""
        return self._replay.decisions

    @property
    def waiting(self) -> int:
        """Decisions whose outcomes are not known yet."""
        return self.decisions - self.rows

    @property
    def number_type(self) -> torch.dtype | None:
        """The type of numbers in which contexts are remembered; None before the first, whose own it is if it has more
        digits than are learned in."""
        return self._replay.number_type

    @property
    def predicts(self) -> bool:
        """Whether it has learned from anything yet, so that it can be asked what it believes of rewards."""
        return self.model is not None and self.model.trained

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
        scaled = self.model.trained or not self._standardize  # else no unit is known yet, of contexts or of rewards
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
        self, observed: Observation, actions: Int64[Tensor, "R N"], steps: Sequence[int] = ()
    ) -> tuple[Predictive, Float[Tensor, "R S N A"] | None]:
        """Returns the predictive distribution of the rewards of actions in N decisions, in their own units.

        Where it is a mixture of draws, it comes with what `look` returns, which then costs nothing; else with None.

        Args:
            observed: in each of the decisions: contexts [R, N, D], arms [R, N, A, F] and mask [R, N, A].
            actions: of the decisions.
            steps: when they were made, on which nothing depends here.
        """
        assert self.model is not None, "an agent without a posterior predicts nothing"
        if self.model.mixes:
            values = self._draws(observed)
            found: Any = self.task.likelihood.predictive(values, actions, self.model.noise)
            return found.affine(self.model.scaling.y_shift, self.model.scaling.y_scale), self._paid(values)
        taken, outputs = self.encoding.taken(self._rows(observed), actions.flatten())
        return self.predict(taken.view(*actions.shape, -1), outputs.view(actions.shape)), None

    def look(self, observed: Observation) -> Float[Tensor, "R S N A"]:
        """Returns draws of what every arm is expected to pay in N decisions, in units of the reward.

        They are those of `Model.look`: what the agent does next does not depend on them.
        """
        assert self.model is not None, "an agent without a posterior has no draws"
        return self._paid(self._draws(observed))

    def marginals(self, observed: Observation) -> tuple[Float[Tensor, "R S N A"], Float[Tensor, "R 1 A"]]:
        """Returns what `look` does, some decisions at a time, and the noise variance; float64."""
        assert self.model is not None, "an agent without a posterior has no draws"
        size, count = self.decisions_at_once, next(part for part in observed if part is not None).shape[1]
        functions = self.model.look()
        found: Tensor | None = None
        for start in range(0, count, size):
            some = (None if part is None else part[:, start : start + size] for part in observed)
            values = self._paid(self._valued(Observation(*some), functions))
            if found is None:  # once: all together may be most of what a job takes
                found = values.new_empty(*values.shape[:2], count, values.shape[3], dtype=torch.float64)
            found[:, :, start : start + size] = values
        assert found is not None, "expected at least one decision"
        return found, self.noise_variance(observed).double().unsqueeze(1)

    def noise_variance(self, observed: Observation) -> Float[Tensor, "R A"]:
        """Returns the variance of each arm's rewards about what it is expected to pay, in units of the reward.

        Args:
            observed: in some decisions; what is predicted in the first tells the noise.
        """
        assert self.model is not None, "an agent without a posterior knows of no noise"
        first = Observation(*(None if part is None else part[:, :1] for part in observed))
        found = []
        for arm in range(self.encoding.form.arms):
            actions = torch.full((len(self.task.seeds), 1), arm, device=self.task.device)
            taken, outputs = self.encoding.taken(self._rows(first), actions.flatten())
            found.append(self.model.noise_variance(taken.unsqueeze(1), outputs.unsqueeze(1)))
        return torch.cat(found, 1)

    @property
    def decisions_at_once(self) -> int:
        """Decisions that should be looked at together, so that memory stays bounded.

        It must not depend on the number of replicas (law 1).
        """
        rows = self.encoding.form.arms if self.encoding.rows_are_arms else 1
        numbers = rows * max(self.encoding.features, WIDE) * self.encoding.outputs
        return max(1, NUMBERS // numbers)

    def _rows(self, observed: Observation) -> Float[Tensor, "RN n W"]:
        """Returns the rows of N decisions of every replica, one decision after another."""
        return self.encoding.rows(Observation(*(None if part is None else part.flatten(0, 1) for part in observed)))

    def _draws(self, observed: Observation, draws: int = PREDICTIVE_DRAWS) -> Float[Tensor, "R S N A"]:
        """Returns draws of what every arm is expected to pay, standardised."""
        assert self.model is not None
        return self._valued(observed, self.model.look(draws))

    def _valued(self, observed: Observation, functions: Functions) -> Float[Tensor, "R S N A"]:
        """Returns what functions say that every arm pays, standardised."""
        assert self.model is not None
        rows = self._rows(observed)
        x = self.model.scaling.x(rows.view(len(self.task.seeds), -1, rows.shape[2])).to(self.task.dtype)
        some = x.split(at_once(ROWS, x.device), 1)
        with torch.no_grad():
            parts = [functions(own) for own in some]
        values = parts[0] if len(parts) == 1 else torch.cat(parts, 2)  # [R, S, N * n, K]
        return values[..., 0].unflatten(2, (-1, self.encoding.form.arms)) if self.encoding.rows_are_arms else values

    def _paid(self, values: Float[Tensor, "R S N A"]) -> Float[Tensor, "R S N A"]:
        """Returns standardised values in units of the reward."""
        assert self.model is not None
        shift, scale = (part[:, None, None] for part in (self.model.scaling.y_shift, self.model.scaling.y_scale))
        return shift + scale * values

    def warm_start(self, observed: Observation, actions: Int64[Tensor, "R N"], rewards: Float[Tensor, "R N"]) -> None:
        """Learns from N decisions that others made, in their order and on its own schedule, before it decides itself.

        They are in its memory as if they were its own, and its initial pulls count as done. A posterior models the
        reward of an arm in a context, whoever chose the arm: nothing is weighted by how likely the choice was.

        Args:
            observed: in each of the decisions: contexts [R, N, D], arms [R, N, A, F] and mask [R, N, A].
            actions: arms that were played.
            rewards: what they paid.

        Raises:
            ValueError: if the agent has decided already.
        """
        if self.decisions:
            raise ValueError(f"expected an agent that has not decided yet, got {self.decisions} decisions")
        if self.model is None or not actions.shape[1]:
            return
        every = self.spec.schedule.every
        self._initial, self._next = 0, every
        for start in range(0, actions.shape[1], every):
            part = slice(start, start + every)
            seen = Observation(*(None if own is None else own[:, part] for own in observed))
            taken, outputs = self.encoding.taken(self._rows(seen), actions[:, part].flatten())
            x, output = taken.view(*actions[:, part].shape, -1), outputs.view(actions[:, part].shape)
            predicted = self._predicted_before(x, output)
            for row in range(x.shape[1]):
                self._replay.decide(x[:, row], output[:, row])
                self._replay.add(rewards[:, start + row])
                if predicted is not None:
                    self._noise.add(rewards[:, start + row], predicted[:, :, row])
            self.learn()

    def _predicted_before(self, x: Tensor, output: Tensor) -> Float[Tensor, "R 2 N"] | None:
        """Returns two draws of what rows [R, N, W] pay at their outputs, which measure the noise; None where no unit
        is known yet."""
        assert self.model is not None
        if not self.model.trained and self.spec.standardize:
            return None
        scaling = self.model.scaling
        with torch.no_grad():
            values = at_output(self.model.draw(2)(scaling.x(x).to(self.task.dtype)), output)
        self.model.guard(values)
        found = scaling.y_shift.unsqueeze(1) + scaling.y_scale.unsqueeze(1) * values
        constant = scaling.y_constant
        return found if constant is None else found.masked_fill(constant.unsqueeze(1), torch.nan)

    def probabilities(self, observed: Observation, draws: int = 256) -> Float[Tensor, "R N A"]:
        """Returns how likely the agent, as it is, is to play each arm in N decisions; it plays none of them.

        Of a rule that does not tell, they are the shares of its choices over so many draws of the posterior, or over
        as many of the equal mixture that the posterior is. What the agent does next does not depend on them.
        """
        arms, sizes = self.encoding.form.arms, next(own for own in observed if own is not None).shape[:2]
        mask = observed.mask
        there = (
            torch.ones(*sizes, arms, dtype=torch.float64, device=self.task.device) if mask is None else mask.double()
        )
        uniform = there / there.sum(2, keepdim=True)
        if self.model is None:
            return uniform
        block, found = max(1, self.decisions_at_once * PREDICTIVE_DRAWS // draws), []
        for start in range(0, sizes[1], block):
            part = Observation(*(None if own is None else own[:, start : start + block] for own in observed))
            found.append(self._chosen(part, draws))
        return torch.where(self.model.diverged[:, None, None], uniform, torch.cat(found, 1))

    def _chosen(self, observed: Observation, draws: int) -> Float[Tensor, "R n A"]:
        """Returns the probabilities of a few decisions."""
        assert self.model is not None
        rule, arms = self.spec.rule, self.encoding.form.arms
        parts = []
        if rule.draws:
            values = self._draws(observed, draws * rule.draws)  # [R, S, n, A]
            draws = values.shape[1] if rule.draws == 1 else draws  # each function of a mixture once
            parts.append(values[:, torch.arange(draws * rule.draws, device=values.device) % values.shape[1]])
        if asks_for_mean(rule):
            mean = self._valued(observed, self.model.mean())
            parts.append(mean.expand(-1, draws, -1, -1))
        # of every repetition what the rule looks at: its draws, and then the mean
        looked = torch.cat([own.unflatten(1, (draws, -1)).transpose(2, 3) for own in parts], 3)  # [R, draws, n, S, A]
        if observed.mask is not None:
            looked = looked.where(observed.mask[:, None, :, None], UNAVAILABLE)
        if hasattr(rule, "probabilities"):
            told: Any = rule
            return told.probabilities(looked[:, 0].flatten(0, 1)).unflatten(0, (len(looked), -1)).double()
        even = (torch.arange(draws, device=looked.device, dtype=torch.float64) + 0.5) / draws
        random = torch.stack([even, even * PHI * draws % 1], 1)  # evenly spread over the unit square
        random = random[None, :, None].expand(*looked.shape[:3], 2).flatten(0, 2)
        actions = rule.choose(looked.flatten(0, 2), random).view(looked.shape[:3])
        return torch.nn.functional.one_hot(actions, arms).double().mean(1)

    def recent(self, decisions: int) -> tuple[Tensor, Tensor]:
        """Returns the rows [R, N, W] and outputs [R, N] of the last decisions."""
        return self._replay.last(decisions)
