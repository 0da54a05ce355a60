"""Randomness: one stream per (seed, purpose), the same numbers whatever else runs beside it."""

import copy
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from vbandits import philox

BY_PLACE = {"cuda"}
"""Kinds of devices on which numbers are made by their places."""
BLOCK = 4096
"""Numbers drawn ahead per replica. It only amortises the cost of a call: the sequence does not depend on it."""


def _sequence(seed: int, purpose: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()),))


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Returns the generator of one seed for one purpose.

    The key holds nothing but the two: not the environment, the agent, the number of replicas or of steps. So seed 7 is
    the same problem for every agent, alone or in a batch. NumPy's generators are sequential (two draws of 20 are one
    draw of 40), which torch's are not, and they give the same numbers on every machine.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, purpose)))


def derived(seeds: Sequence[int], number: int) -> tuple[int, ...]:
    """Returns other seeds, each from one seed and a number alone; the number 0 gives the seeds themselves."""
    if not number:
        return tuple(seeds)
    return tuple(
        int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1, np.uint64)[0]) for seed in seeds
    )


class Stream:
    """Random numbers for one purpose, one row per replica, drawn ahead in blocks.

    On a CPU they are NumPy's. On a GPU they are made there, other ones, by their places: all sequences at once.
    """

    grows: ClassVar = ("_ahead",)

    def __init__(
        self, seeds: Sequence[int], purpose: str, *, device: torch.device | str = "cpu", dtype=torch.float32
    ) -> None:
        self.seeds, self.purpose = tuple(seeds), purpose
        self.replicas = len(seeds)
        self._by_place = torch.device(device).type in BY_PLACE
        self._generators = [] if self._by_place else [generator(seed, purpose) for seed in seeds]
        keys = [_sequence(seed, purpose).generate_state(2).tolist() if self._by_place else [0, 0] for seed in seeds]
        self._keys = torch.tensor(keys, dtype=torch.int64, device=device).view(-1, 2)
        self._made = 0  # blocks of words
        self._device = device
        self._dtype = dtype
        self._sample = ""
        self._ahead = torch.empty(self.replicas, 0)
        self._used = 0

    def normal(self, *shape: int) -> Tensor:
        """Returns standard normal numbers [R, *shape] of the stream's dtype."""
        return self._take("standard_normal", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Returns uniform numbers in [0, 1) [R, *shape], always float64: they are cut to integers."""
        return self._take("random", shape)

    def integers(self, high: Tensor | int, *shape: int) -> Tensor:
        """Returns integers below `high` (a number, or one per replica [R, 1]) [R, *shape]."""
        return (self.uniform(*shape) * high).long().clamp_(max=high - 1)

    def gamma(self, shape: Tensor, draws: int) -> Tensor:
        """Returns gamma-distributed numbers [R, S, ...] of the shape parameters [R, ...] and rate 1, by inversion."""
        return _gamma_quantile(shape.unsqueeze(1), self.uniform(draws, *shape.shape[1:]))

    def _take(self, sample: str, shape: tuple[int, ...]) -> Tensor:
        if self._sample != sample:
            if self._sample:
                raise ValueError(f"a stream gives one kind of number: this one gives {self._sample}, not {sample}")
            self._sample = sample
        size = int(np.prod(shape))
        if self._ahead.shape[1] - self._used < size:
            self._refill(size)
        start, self._used = self._used, self._used + size
        return self._ahead[:, start : self._used].view(self.replicas, *shape)

    def _refill(self, size: int) -> None:
        left = self._ahead[:, self._used :]
        wanted = max(size - left.shape[1], BLOCK)
        fresh = self._numbers_by_place(wanted) if self._by_place else self._numbers(wanted)
        self._ahead = torch.cat([left.to(fresh), fresh], 1) if left.shape[1] else fresh
        self._used = 0

    @property
    def _single(self) -> bool:
        """Whether its numbers are of float32."""
        return self._sample == "standard_normal" and self._dtype == torch.float32

    def _numbers(self, wanted: int) -> Tensor:
        """Returns the numbers that come next, at least as many as are wanted."""
        kind = np.float32 if self._single else np.float64
        fresh = np.empty((len(self._generators), wanted), dtype=kind)
        for row, source in zip(fresh, self._generators, strict=True):
            getattr(source, self._sample)(out=row, dtype=kind)
        return torch.from_numpy(fresh).to(self._device)

    def _numbers_by_place(self, wanted: int) -> Tensor:
        most, found, count = max(1, philox.BLOCKS // self.replicas), [], 0
        while count < wanted:
            size = min(most, -(-(wanted - count) // (4 if self._single else 2)))  # numbers of a block
            if self._sample == "standard_normal":
                found.append(philox.normal(self._keys, self._made, size, self._dtype))
            else:
                found.append(philox.uniform(self._keys, self._made, size))
            self._made, count = self._made + size, count + found[-1].shape[1]
        return torch.cat(found, 1)


class RepeatedStream(Stream):
    """Gives the same numbers at every call of the same kind and shape, those that a fresh stream begins with."""

    not_saved: ClassVar = ("_kept", "_gammas")

    def __init__(self, seeds: Sequence[int], purpose: str, *, device: torch.device | str, dtype: torch.dtype) -> None:
        super().__init__(seeds, purpose, device=device, dtype=dtype)
        self._kept: dict[Any, Tensor] = {}
        self._gammas: dict[Any, tuple[Tensor, Tensor]] = {}  # and the shape parameters that they are of

    def gamma(self, shape: Tensor, draws: int) -> Tensor:
        """Returns the same as `Stream.gamma`, made anew only where a shape parameter is another than the last time."""
        uniform, key = self.uniform(draws, *shape.shape[1:]), (draws, *shape.shape)
        if key not in self._gammas:
            self._gammas[key] = shape.clone(), _gamma_quantile(shape.unsqueeze(1), uniform)
        before, found = self._gammas[key]
        changed = shape != before
        if changed.any():
            replica, *place = changed.nonzero(as_tuple=True)
            cells = (replica, slice(None), *place)
            found = found.clone()
            found[cells] = _gamma_quantile(shape[changed].unsqueeze(1), uniform[cells])
            self._gammas[key] = shape.clone(), found
        return found

    def _take(self, sample: str, shape: tuple[int, ...]) -> Tensor:
        if (sample, shape) not in self._kept:
            fresh = Stream(self.seeds, self.purpose, device=self._device, dtype=self._dtype)
            self._kept[sample, shape] = fresh._take(sample, shape)
        return self._kept[sample, shape]

    @classmethod
    def beside(cls, stream: Stream) -> "RepeatedStream":
        """Returns one of the same form as a stream, for the same seeds and a purpose of its own."""
        purpose = f"predictive {stream.purpose}"
        return cls(stream.seeds, purpose, device=stream._device, dtype=stream._dtype)


def _gamma_quantile(shape: Tensor, probability: Tensor) -> Tensor:
    found = gammaincinv(shape.expand_as(probability).cpu().numpy(), probability.cpu().numpy())
    return torch.from_numpy(found).to(probability)


def aside(state: Any, kept: dict[Any, Any]) -> Any:
    """Returns a state that looks like another, and draws without moving the other's random numbers on.

    Its streams are repeated ones, kept in `kept` from one call to the next; generators of other kinds are copies. The
    rest is shared. It is to be drawn from at once, and thrown away.

    Args:
        state: an object or a dict, whose parts may be such again.
        kept: the same dict at every call with the same state.
    """
    return _aside(state, kept, ())


def _aside(part: Any, kept: dict[Any, Any], place: tuple[Any, ...]) -> Any:
    if isinstance(part, Stream):
        if place not in kept:
            kept[place] = RepeatedStream.beside(part)
        return kept[place]
    if isinstance(part, torch.Generator):
        return part.clone_state()
    if isinstance(part, np.random.Generator):
        return copy.deepcopy(part)
    if isinstance(part, (list, tuple)) and part and isinstance(part[0], (Stream, torch.Generator, np.random.Generator)):
        return type(part)(_aside(one, kept, (*place, i)) for i, one in enumerate(part))
    inner = part if isinstance(part, dict) else getattr(part, "__dict__", None)
    if inner is None or isinstance(part, (Tensor, torch.nn.Module, type)) or len(place) > 1:
        return part
    found = {name: _aside(own, kept, (*place, name)) for name, own in inner.items()}
    if place and all(found[name] is own for name, own in inner.items()):
        return part
    if isinstance(part, dict):
        return found
    copied = copy.copy(part)
    vars(copied).update(found)
    return copied
