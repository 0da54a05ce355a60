"""What laws expect, with a message that says what came and how to mend it."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbandits.testing.laws import SEEDS

Values = Mapping[str, Tensor]
GLOBAL = (
    "keep every random number in the state, from a generator for each replica that is seeded by its seed "
    "(vbandits.streams.Stream gives them), never in the module or from torch's and NumPy's own"
)
"""How to mend what differs from run to run."""
ALONE = (
    "compute every replica by itself: no generator, mean, norm or batch statistic that all replicas share, losses "
    "summed over R (differences near 1e-16 come from sums whose order depends on R)"
)
"""How to mend what depends on the replicas beside it."""


def that(holds: object, expected: str, got: object, mend: str) -> None:
    """Raises an AssertionError with what was expected, what came and how to mend it, unless the law holds."""
    if not holds:
        raise AssertionError(f"expected {expected}, got {got}: {mend}")


def shape(what: str, values: Any, wanted: tuple[int, ...], letters: str) -> None:
    """Expects a tensor or an array of a shape, whose axes have the letters of `vbandits.types`."""
    found = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
    that(found == wanted, f"{what} to give {letters} = {list(wanted)}", found, "the axes come in the order R, S, N, K")


def choices(what: str, chosen: Any, wanted: tuple[int, ...], letters: str, count: int, mend: str) -> None:
    """Expects int64 numbers of a shape, each of one of `count` things."""
    shape(what, chosen, wanted, letters)
    that(chosen.dtype == torch.int64, f"{what} to give int64", chosen.dtype, "argmax, indices and .long() give it")
    inside = bool(((chosen >= 0) & (chosen < count)).all())
    that(inside, f"{what} to give numbers from 0 to {count - 1}", chosen.unique().tolist(), mend)


def finite(what: str, values: Tensor) -> None:
    """Expects no NaN and nothing infinite."""
    count = int((~values.isfinite()).sum())
    that(not count, f"finite values of {what}", f"{count} that are not", "mind log(0), 0 / 0 and overflow")


def same(expected: str, one: Values, other: Values, mend: str, tolerance: float = 0.0) -> None:
    """Expects equal values by name; to the last bit where there is no tolerance."""
    for name, values in one.items():
        found, size = other[name], list(values.shape)
        that(values.shape == found.shape, expected, f"{name} {list(found.shape)} in place of {size}", mend)
        bits = (values == found) | values.isnan()
        if not (torch.allclose(values, found, rtol=tolerance, atol=tolerance) if tolerance else bits.all()):
            apart = (values.double() - found.double()).abs().max().item()
            that(False, expected, f"other values of {name}, apart by up to {apart:.3g}", mend)


def same_alone(find: Callable[[tuple[int, ...]], Values], mend: str, axis: int = 0) -> None:
    """Expects what is found of some seeds, along an axis, to be the same of each seed by itself."""
    together = find(SEEDS)
    for place, seed in enumerate(SEEDS):
        own = {name: part.narrow(axis, place, 1) for name, part in together.items()}
        same(f"seed {seed} to be the same alone as among {SEEDS}", own, find((seed,)), mend)


def same_again(expected: str, find: Callable[[], Values], mend: str) -> None:
    """Expects the same at a second call, with other seeds of the global generators of torch, NumPy and Python."""
    states, found = (np.random.get_state(), random.getstate()), []  # noqa: NPY002 (not ours: to be kept)
    try:
        with torch.random.fork_rng(devices=[]):
            for seed in (0, 1):
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                found.append(find())
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
    same(expected, found[0], found[1], mend)


def untouched(what: str, given: Values, use: Callable[[], object]) -> None:
    """Expects tensors to be the same after their use as before."""
    before = {name: part.clone() for name, part in given.items()}
    use()
    mend = "work on a copy: no method that ends in _ and no assignment to its parts"
    same(f"{what} left as it was", before, given, mend)
