"""How a method is drawn: the same colour and dashes in every figure and table, in light and in dark."""

from collections.abc import Sequence
from dataclasses import dataclass

INK, MUTED, GRID = "#101418", "#5f6b7a", "#dfe3e8"
"""Drawn in these, shown in the page's own colours."""

COLORS = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#d55e00", "#56b4e9", "#ca9161")
"""Told apart by colour-blind readers (seaborn's "colorblind" without grey, pink and yellow); dashes tell the rest."""
DASHES = ((), (6.0, 2.0), (1.5, 1.5), (6.0, 1.5, 1.5, 1.5))

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
    """Returns the style of every label, by its place; a baseline, which acts by chance, is grey and dashed."""
    others = [label for label in labels if label != baseline]
    found = {
        label: Style(COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)]) for i, label in enumerate(others)
    }
    return found | ({baseline: Style(MUTED, (3.0, 3.0))} if baseline in labels else {})
