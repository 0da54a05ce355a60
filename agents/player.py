"""What a run asks of whoever plays a bandit: an agent of ours, or a user's own policy."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.types import Predictive


@runtime_checkable
class Player(Protocol):
    """Plays R replicas of a bandit in lockstep.

    Attributes:
        has_draws: whether it tells draws of functions, whole ones over all decisions and arms. If not, `marginals` are
            means and variances of single rewards, and nothing that is joint of several can be said.
    """

    has_draws: bool

    @property
    def form(self) -> ObservationSpec:
        """Of what is observed."""
        ...

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        ...

    @property
    def predicts(self) -> bool:
        """Whether it can be asked by now what it believes of rewards."""
        ...

    @property
    def due(self) -> bool:
        """Whether `learn` is to be called."""
        ...

    @property
    def diverged(self) -> Bool[Tensor, " R"]:
        """Replicas that have failed, and play uniformly."""
        ...

    @property
    def decisions_at_once(self) -> int:
        """Decisions that `beliefs` and `look` should be asked of together, so that memory stays bounded."""
        ...

    def act(self, observation: Tensor | Mapping[str, Tensor]) -> Int64[Tensor, " R"]:
        """Chooses an arm per replica, given what the environment shows."""
        ...

    def observe(self, rewards: Float[Tensor, " R"]) -> None:
        """Takes the outcome of the earliest decision that had none yet. What it believes stays as it is."""
        ...

    def learn(self) -> None:
        """Learns from what it has observed."""
        ...

    def beliefs(
        self, observed: Observation, actions: Int64[Tensor, "R N"], steps: Sequence[int]
    ) -> tuple[Predictive, Float[Tensor, "R S N A"] | None]:
        """Returns the predictive distribution of the rewards of actions in N decisions, in their own units; and draws
        of what every arm is expected to pay in them, if they cost nothing.

        Args:
            observed: in each of the decisions: contexts [R, N, D], arms [R, N, A, F] and mask [R, N, A].
            actions: of the decisions.
            steps: when they were made, counted from 0.
        """
        ...

    def look(self, observed: Observation) -> Float[Tensor, "R S N A"]:
        """Returns draws of what every arm is expected to pay in N decisions, where it `has_draws`."""
        ...

    def marginals(self, observed: Observation) -> tuple[Float[Tensor, "R S N A"], Float[Tensor, "R n A"]]:
        """Returns draws of what every arm is expected to pay in N decisions, and the variance of a reward about them,
        for each of the decisions or one for all of them; float64."""
        ...


@runtime_checkable
class PlayerSpec(Protocol):
    """The declaration of one."""

    @property
    def label(self) -> str:
        """How reports call it."""
        ...

    @property
    def in_lockstep(self) -> bool:
        """Whether its replicas are computed as one batch. A batch of one is multiplied by other kernels than a larger
        one, so that a seed that is alone is then played as two that are the same."""
        ...

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        ...

    def player(
        self, seeds: tuple[int, ...], form: ObservationSpec, steps: int, device: torch.device | str = "cpu"
    ) -> Player:
        """Returns one that has not played yet.

        Args:
            seeds: of the replicas.
            form: of what is observed.
            steps: decisions that each replica makes.
            device: of all tensors.
        """
        ...
