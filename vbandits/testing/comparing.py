"""What the laws have in common: comparisons whose message says what to mend, and global randomness that is not used."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

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


def expect(holds: object, expected: str, got: object, mend: str) -> None:
    """Raises an AssertionError with what was expected, what came and how to mend it, unless the law holds."""
    if not holds:
        raise AssertionError(f"expected {expected}, got {got}: {mend}")


def expect_shape(what: str, values: Any, shape: tuple[int, ...], letters: str) -> None:
    """Expects a tensor or an array of a shape, whose axes have the letters of `vbandits.types`."""
    found = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
    expect(found == shape, f"{what} to give {letters} = {list(shape)}", found, "the axes come in the order R, S, N, K")


def expect_same(
    expected: str, one: Mapping[str, Tensor], other: Mapping[str, Tensor], mend: str, tolerance: float = 0.0
) -> None:
    """Expects equal values by name; to the last bit where there is no tolerance."""
    for name, values in one.items():
        if tolerance:
            equal = torch.allclose(values, other[name], rtol=tolerance, atol=tolerance)
        else:
            equal = values.shape == other[name].shape and bool(((values == other[name]) | values.isnan()).all())
        expect(equal, expected, f"other values of {name}, {_by(values, other[name])}", mend)


def _by(one: Tensor, other: Tensor) -> str:
    if one.shape != other.shape:
        return f"{list(other.shape)} in place of {list(one.shape)}"
    return f"apart by up to {(one.double() - other.double()).abs().max().item():.3g}"


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seeds the global generators of torch, NumPy and Python for a while: what a law looks at must not depend on it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 (not ours: to be kept)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
