"""What a check is, and what it found."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vbandits.report.formats import MINUS
from vbandits.report.page import Drawing

Theme = Literal["Linear models", "Bayes and other methods", "Classification", "Sampling and steps", "Widths"]


@dataclass(frozen=True)
class Measure:
    """A number that was measured, and the interval in which it was expected; NaN is in none."""

    name: str
    value: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def passed(self) -> bool:
        """Whether the value is as expected."""
        return bool(self.low <= self.value <= self.high)

    @property
    def measured(self) -> str:
        """The value as text."""
        return written(self.value)

    @property
    def expected(self) -> str:
        """The interval as text."""
        if self.low == self.high:
            return written(self.low)
        if self.low == -math.inf:
            return "" if self.high == math.inf else f"≤ {written(self.high)}"
        if self.high == math.inf:
            return f"≥ {written(self.low)}"
        return f"{written(self.low)} to {written(self.high)}"


@dataclass(frozen=True)
class Finding:
    """What a check measured.

    Attributes:
        measures: all of them; those that expect nothing are for the record.
        draw: makes the figures, when a page is written.
    """

    measures: tuple[Measure, ...]
    draw: Callable[[], list[Drawing]] | None = None

    @property
    def passed(self) -> bool:
        """Whether every measure is as expected; a finding without expectations has not passed."""
        expecting = [measure for measure in self.measures if measure.expected]
        return bool(expecting) and all(measure.passed for measure in expecting)


@dataclass(frozen=True)
class Check:
    """A claim that can be computed.

    Attributes:
        id: what it is called on the command line.
        claim: in words.
        why: the derivation in a line or two, and where a claim holds differently from how it is often put.
        run: computes it; the same result at every call.
        slow: whether it takes more than a few seconds.
    """

    id: str
    theme: Theme
    claim: str
    why: str
    run: Callable[[], Finding]
    slow: bool = False


def written(value: float) -> str:
    """Returns a number in four digits."""
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e5):
        text = f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    else:
        text = f"{value:.4g}"
    return text.replace("-", MINUS)
