"""How a method is drawn: the same colour and dashes in every figure and table of every report, in light and in dark."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

INK, MUTED, GRID = "#101418", "#5f6b7a", "#dfe3e8"
"""Drawn in these, shown in the page's own colours."""

COLORS = ("#0173b2", "#c26a00", "#00845f", "#b5489b", "#c8321e", "#7a5fc0", "#8a6a3d", "#1f8fb0")
"""At least 3:1 on white, and what the page has for them in the dark at least 3:1 there; dashes tell the rest."""
DASHES = ((), (6.0, 2.0), (1.5, 1.5), (6.0, 1.5, 1.5, 1.5), (3.0, 1.5), (9.0, 2.0, 3.0, 2.0))
SALT = "12927"
"""With which no two presets of a benchmark, nor two acquisitions, are drawn alike."""

VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line"} | {c: f"--color-{i}" for i, c in enumerate(COLORS)}
"""The page's variable for each colour drawn."""


@dataclass(frozen=True)
class Style:
    """Colour, dashes in points, and the page's variable for the colour."""

    color: str
    dashes: tuple[float, ...]

    @property
    def variable(self) -> str:
        """The page's variable of the colour."""
        return VARIABLES[self.color]

    @property
    def linestyle(self) -> str | tuple[float, tuple[float, ...]]:
        """As matplotlib wants it."""
        return (0.0, self.dashes) if self.dashes else "solid"


def styles(labels: Sequence[str], baseline: str = "") -> dict[str, Style]:
    """Returns the style of every label, which its name alone decides; a baseline that acts by chance is grey.

    Where two labels of a report would be drawn alike, the one that comes later in the alphabet takes the next style
    that is free.
    """
    every = [Style(color, dashes) for dashes in DASHES for color in COLORS]
    found, taken = dict[str, int](), set[int]()
    for label in sorted(set(labels) - {baseline}):
        place = _place(label, len(every))
        while place in taken and len(taken) < len(every):  # with more labels than styles, some are drawn alike
            place = (place + 1) % len(every)
        found[label] = place
        taken.add(place)
    shown = {label: every[found[label]] for label in labels if label != baseline}
    return shown | ({baseline: Style(MUTED, (3.0, 3.0))} if baseline in labels else {})


def _place(label: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{SALT}{label}".encode()).digest()[:8], "big") % size
