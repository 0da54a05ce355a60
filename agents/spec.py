"""The declaration of an agent."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from vbandits.agents.encoding import Kind
from vbandits.envs.spaces import ObservationSpec
from vbandits.networks import MLP
from vbandits.serialize import described, instantiate
from vbandits.types import Optimizer, Posterior, Rule, Schedule

if TYPE_CHECKING:
    from vbandits.agents.agent import Agent


@dataclass(frozen=True)
class AgentSpec:
    """The declaration of an agent, as a file or a script gives it.

    Attributes:
        label: how reports call it.
        posterior: of the arms' values, an instance or a class; None for an agent that does not learn.
        rule: from draws to an arm, an instance or a class.
        network: builds the network of network posteriors for rows of W numbers and K outputs; a function of W and K
            that returns an `nn.Module` will do.
        schedule: when it trains.
        optimizer: how it trains. Where it is not given, an experiment takes that of the preset whose posterior is of
            the same kind, and says so; an agent that is made by itself, or that has no such preset, takes the default.
        standardize: whether the posterior sees contexts and rewards shifted and scaled to mean 0 and variance 1; with
            "arms" the mean and variance of rewards are those of a mixture of all arms in equal parts, so that they do
            not depend on how often each was played; where a row is an arm it is the same as true. Where it is not
            given, it is found as the optimizer is, and true else.
        encoding: how contexts and arms become rows, see `agents.encoding`.
    """

    label: str
    posterior: Posterior | None
    rule: Rule
    network: Any = field(default_factory=MLP)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer | None = None
    standardize: bool | Literal["arms"] | None = None
    encoding: Kind = "shared"

    def __post_init__(self) -> None:
        """Makes instances of what is given as a class."""
        instantiate(self, ("posterior", "rule", "network"))

    @property
    def in_lockstep(self) -> bool:
        """Whether all replicas are computed as one batch: they are."""
        return True

    def player(
        self, seeds: tuple[int, ...], form: ObservationSpec, steps: int, device: torch.device | str = "cpu"
    ) -> "Agent":
        """Returns the agent before any decision, see `player.PlayerSpec`."""
        from vbandits.agents.agent import Agent  # which is made from this

        return Agent(self, seeds, form, steps, device)

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON: every section with all its fields, the defaults too."""
        return described(self, ("posterior", "rule", "network", "schedule", "optimizer", "standardize", "encoding"))
