"""How rows lose their weight with age, for problems that change while they are learned."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor


@dataclass(frozen=True)
class Forgetting:
    """How rows lose their weight with age, for problems that change; one of the two.

    Networks draw their minibatches in proportion to the weights, exact regressions weight the rows of their sums. These
    let rows fade whenever they sum all anew, as often as new rows are a share of the memory (`agents.replay.GROWTH`);
    rows that are added meanwhile have the weight 1. What standardises rows does not forget.

    Attributes:
        half_life: rows after which a row's weight has halved.
        window: rows that are kept; older ones have no weight.
    """

    half_life: Annotated[float, Field(ge=0.1, le=1e9, strict=True)] | None = None
    window: Annotated[int, Field(ge=1, strict=True)] | None = None
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if (self.half_life is None) == (self.window is None):
            raise ValueError(
                f"expected either half_life or window, got {self.half_life} and {self.window}: say "
                "forgetting = { half_life = 300 } or forgetting = { window = 500 }"
            )

    @property
    def rows(self) -> int:
        """The last rows that have a weight of 2^-10 or more."""
        return self.window if self.window is not None else math.ceil(10 * cast(float, self.half_life))

    @property
    def memory(self) -> float:
        """The sum of the weights of rows without end."""
        return self.count(math.inf)

    def count(self, rows: float) -> float:
        """Returns the sum of the weights of so many rows."""
        if self.window is not None:
            return float(min(rows, self.window))
        return (1 - self.decay**rows) / (1 - self.decay)

    @property
    def decay(self) -> float:
        """What a weight is multiplied by with each row that comes; a window has none."""
        return 1.0 if self.half_life is None else 0.5 ** (1 / self.half_life)

    def weights(self, age: Tensor) -> Tensor:
        """Returns the weights of rows by their age, in rows since, which must be less than `rows`."""
        return self.decay ** age.double()

    def ages(self, uniform: Float[Tensor, "*B"], rows: int) -> Int64[Tensor, "*B"]:
        """Turns uniform numbers in [0, 1) into ages below `rows`, in proportion to the weights."""
        rows = min(rows, self.rows)
        if self.half_life is None:
            return (uniform * rows).long().clamp_(max=rows - 1)
        kept = 1 - self.decay**rows
        return (torch.log1p(-uniform * kept) / math.log(self.decay)).long().clamp_(max=rows - 1)
