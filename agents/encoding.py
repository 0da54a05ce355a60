"""From what is observed to the rows that a posterior knows: one row per decision, or one per arm."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.envs.spaces import Observation, ObservationSpec

Kind = Literal["shared", "disjoint"]
LARGEST, LARGEST_DECISION = 10_000, 1_000_000
"""Most numbers in a row, and in all the rows of a decision of one replica."""


@dataclass(frozen=True)
class Encoding:
    """How an observation becomes rows of inputs, and an arm an output or a row.

    "shared": contexts alone are one row, with an output per arm, so that arms share all layers but the last. Where arms
    have features, each arm is a row (context, features of the arm), and there is one output: one function for all arms.

    "disjoint": each arm is a row of A blocks, all zero but the arm's own, which holds (context, features of the arm,
    1), and there is one output: LinUCB's disjoint model, as NeuralUCB encodes it (Zhou, Li and Gu, 2020), but for the
    1, which gives each arm a constant. Standardising shifts and scales what is in the arm's own block.

    Attributes:
        form: of the observations.
        kind: one of the two.
    """

    form: ObservationSpec
    kind: Kind = "shared"

    def __post_init__(self) -> None:
        rows = self.form.arms if self.rows_are_arms else 1
        for size, most, what in (
            (self.features, LARGEST, "a row"),
            (rows * self.features, LARGEST_DECISION, "all rows of a decision"),
        ):
            if self.kind == "disjoint" and size > most:
                raise ValueError(
                    f"expected at most {most:,} numbers in {what}, got {size:,} (disjoint encoding of {self.form.arms} "
                    "arms): use the encoding 'shared', or fewer arms or features"
                )

    @property
    def rows_are_arms(self) -> bool:
        """Whether each arm is a row of its own."""
        return self.kind == "disjoint" or bool(self.form.arm_features)

    @property
    def outputs(self) -> int:
        """K."""
        return 1 if self.rows_are_arms else self.form.arms

    @property
    def features(self) -> int:
        """Numbers in a row, W."""
        own = self.form.features + self.form.arm_features
        return (own + 1) * self.blocks if self.kind == "disjoint" else own

    @property
    def blocks(self) -> int:
        """Of how many blocks a row is made."""
        return self.form.arms if self.kind == "disjoint" else 1

    @property
    def known_by_place(self) -> bool:
        """Whether an arm is the same arm in every step: each must then be tried."""
        return self.kind == "disjoint" or not self.form.arm_features

    @property
    def tried(self) -> int:
        """How many arms initial pulls are of: each, or all together where they are not known by place."""
        return self.form.arms if self.known_by_place else 1

    def rows(self, observed: Observation) -> Float[Tensor, "R n W"]:
        """Returns the rows of a decision: one, or one per arm."""
        if not self.rows_are_arms:
            assert observed.context is not None
            return observed.context.unsqueeze(1)
        parts = [] if observed.context is None else [observed.context.unsqueeze(1).expand(-1, self.form.arms, -1)]
        parts += [] if observed.arms is None else [observed.arms]
        own = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        if self.kind == "shared":
            return own
        blocks = own.new_zeros(len(own), self.form.arms, self.form.arms, own.shape[2] + 1)
        arm = torch.arange(self.form.arms, device=own.device)
        blocks[:, arm, arm, :-1] = own
        blocks[:, arm, arm, -1] = 1
        return blocks.flatten(2)

    def values(self, functions: Float[Tensor, "R S n K"]) -> Float[Tensor, "R S A"]:
        """Returns the values of all arms from those of the rows of a decision."""
        return functions[..., 0] if self.rows_are_arms else functions[:, :, 0]

    def taken(
        self, rows: Float[Tensor, "R n W"], actions: Int64[Tensor, " R"]
    ) -> tuple[Float[Tensor, "R W"], Int64[Tensor, " R"]]:
        """Returns the row and the output that the reward of an action is the target of."""
        if not self.rows_are_arms:
            return rows[:, 0], actions
        return rows[torch.arange(len(rows), device=rows.device), actions], torch.zeros_like(actions)
