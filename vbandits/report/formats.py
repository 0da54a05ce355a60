"""Numbers as text: a column has one number of decimals, and what does not exist is a dash."""

from collections.abc import Iterable

import numpy as np

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
MOST_DECIMALS = 4


def decimals(values: Iterable[float]) -> int:
    """Returns how many decimals show three digits of the middle value of a column; one more for much smaller ones."""
    known = np.abs([value for value in values if np.isfinite(value) and value != 0])
    if not known.size:
        return 0
    middle, smallest = 2 - np.floor(np.log10(np.median(known))), 1 - np.floor(np.log10(known.min()))
    return int(np.clip(max(middle, min(smallest, middle + 1)), 0, MOST_DECIMALS))


def percent_decimals(values: Iterable[float]) -> int:
    """Returns how many decimals show a column of percentages: one, or two where there is one below 1."""
    return 2 if any(0 < value < 1 for value in values) else 1


def number(value: float, places: int) -> str:
    """Returns a number with thousands separators and a true minus; a dash for NaN."""
    if np.isnan(value):
        return DASH
    if np.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{places}f}" if abs(value) < 1e7 else f"{value:.2e}"
    return text.removeprefix("-") if not text.strip("-0.,") else text.replace("-", MINUS)


def interval(low: float, high: float, places: int) -> str:
    """Returns "[low, high]", or nothing where there is no interval."""
    return "" if np.isnan(low) or np.isnan(high) else f"[{number(low, places)}, {number(high, places)}]"


def count(quantity: int, singular: str, several: str = "") -> str:
    """Returns "1 seed" or "2 seeds"."""
    return f"{quantity:,} {singular if quantity == 1 else several or plural(singular)}"


def plural(word: str) -> str:
    """Returns the plural of a noun: seeds, policies."""
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"


def compact(value: float) -> str:
    """Returns a short number for an axis: 1,500 or 25k or 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            divisor = 1e3 if unit == "k" else size
            return f"{value / divisor:g}{unit}".replace("-", MINUS)
    return f"{value:,.10g}".replace("-", MINUS)


def shortened(label: str, longest: int) -> str:
    """Returns a label cut to so many letters; what stands in brackets at its end tells it from others, and stays."""
    if len(label) <= longest:
        return label
    own, bracket, end = label.rpartition(" (")
    if bracket and label.endswith(")") and len(end) < longest - 6:
        return f"{own[: longest - len(end) - 3]}… ({end}"
    return f"{label[: longest - 1]}…"
