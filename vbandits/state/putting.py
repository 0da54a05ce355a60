"""From a state to an object of the same declaration, see `vbandits.state`."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbandits.errors import ConfigError
from vbandits.state.taking import PLAIN, Known, State, attributes, joined, names_of, place, weights_of

BITS = {name: getattr(np.random, name) for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")}
NOTHING = object()
"""Stands for what a new object has not."""


def put(root: Any, state: State, known: Known, device: torch.device | str = "cpu") -> Any:
    """Puts a state into an object of the same declaration that was made anew, and returns it.

    Args:
        root: the object; it is changed in place, and of no use if this fails.
        state: of another, as `take` returned it.
        known: as `take` was given it.
        device: of tensors that the new object has not.

    Raises:
        ConfigError: where the state does not fit, with path, expected and got.
    """
    return _Put(state, known, device).all(root)


class _Put:
    """One walk through a new object beside the state that it gets."""

    def __init__(self, state: State, known: Known, device: torch.device | str) -> None:
        self._tree, self._arrays = state.tree, state.arrays
        self._device = torch.device(device)
        self._records = {cls.__qualname__: cls for cls in known.records}
        self._known = known
        self._done: dict[str, Any] = {}  # by path
        self._used: set[int] = set()  # ids of objects that were changed in place
        self._ours = True  # whether it stands in a class of ours: those of users may hold what is of another kind
        self._memory: dict[tuple[str, torch.device], Tensor] = {}
        self._makers: dict[str, Callable[[Any, Any, str], Any]] = {
            "float": lambda node, old, path: float(node["value"]),
            "declared": self._declared,
            "same": self._same,
            "tensor": self._tensor,
            "array": lambda node, old, path: self._on_cpu(node, path).numpy(),
            "scalar": lambda node, old, path: self._on_cpu(node, path).numpy()[()],
            "generator": self._generator,
            "torch generator": self._torch_generator,
            "optimizer": self._optimizer,
            "module": self._module,
            "record": self._record,
            "dict": self._dict,
            "object": self._object,
            **dict.fromkeys(("list", "tuple", "deque", "set", "frozenset"), self._sequence),
        }

    def all(self, root: Any) -> Any:
        """Returns the object with all of the state."""
        try:
            return self._value(self._tree, root, "")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError, RecursionError) as error:
            raise ConfigError(f"expected a state as it was saved, got one that is damaged: {error!r}") from error

    def _value(self, node: Any, old: Any, path: str, grows: bool = False) -> Any:
        """Returns the value of a node.

        Args:
            node: of the tree.
            old: what the new object has here; what was None before any data may be anything.
            path: of it.
            grows: whether its second axis may have another length, and it may be of another type.
        """
        kind = node["is"] if isinstance(node, dict) else type(node).__name__
        if self._ours and old is not NOTHING and old is not None and kind not in ("same", "declared", "record"):
            self._check_kind(node, kind, old, path)
        if not isinstance(node, dict):
            return node
        if kind == "tensor" and isinstance(old, Tensor):
            _check_form(node, old, path, self._ours, grows)
        made = self._makers[kind](node, old, path)
        if kind not in ("same", "declared", "float"):
            self._done[path] = made
        return made

    def _check_kind(self, node: Any, kind: str, old: Any, path: str) -> None:
        found = _kind_of(old)
        numbers = {"int", "float"}
        if kind != found and not {kind, found} <= numbers:
            raise ConfigError(f"{path}: expected {found}, as a new one has it, got {kind}")

    def _declared(self, node: Any, old: Any, path: str) -> Any:
        if old is NOTHING or old is None:
            raise ConfigError(
                f"{path}: expected what the declaration makes, got something that is made later and cannot be written "
                "as data: make it when the object is made, or list its name in `not_saved` of the class"
            )
        return old

    def _same(self, node: Any, old: Any, path: str) -> Any:
        return self._done[node["as"]]

    def _on_cpu(self, node: Any, path: str) -> Tensor:
        return self._strided(node, torch.device("cpu"), path)

    def _tensor(self, node: Any, old: Any, path: str) -> Tensor:
        device = old.device if isinstance(old, Tensor) else self._device
        made = self._strided(node, device, path)
        if isinstance(old, nn.Parameter):
            return nn.Parameter(made, node["leaf"])
        return made.requires_grad_() if node["leaf"] else made

    def _strided(self, node: Any, device: torch.device, path: str) -> Tensor:
        """Returns a tensor in the memory that it shares with others."""
        name, dtype = node["memory"], getattr(torch, node["dtype"])
        if (name, device) not in self._memory:
            if name not in self._arrays:
                raise ConfigError(f"{path}: expected an array {name!r}, got none")
            # a copy, whose address is aligned as that of any other tensor
            self._memory[name, device] = self._arrays[name].flatten().to(device, copy=True)
        flat = self._memory[name, device]
        if flat.dtype != dtype:
            raise ConfigError(f"{path}: expected an array of {dtype}, got {flat.dtype}")
        shape, stride, offset = (node[part] for part in ("shape", "stride", "offset"))
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if min([0, *shape, *stride, offset]) < 0 or (0 not in shape and last >= len(flat)):
            raise ConfigError(f"{path}: expected a tensor {shape} in an array of {len(flat)} numbers, got {last + 1}")
        return flat.as_strided(shape, stride, offset).detach()

    def _generator(self, node: Any, old: Any, path: str) -> np.random.Generator:
        state = self._value(node["state"], NOTHING, joined(path, "state"))
        name = state["bit_generator"]
        if name not in BITS:
            raise ConfigError(f"{path}: expected a generator of {', '.join(BITS)}, got {name!r}")
        fits = isinstance(old, np.random.Generator) and type(old.bit_generator).__name__ == name
        made = old if fits else np.random.Generator(BITS[name]())
        made.bit_generator.state = state
        return made

    def _torch_generator(self, node: Any, old: Any, path: str) -> torch.Generator:
        made = old if isinstance(old, torch.Generator) else torch.Generator(self._device)
        made.set_state(self._value(node["state"], made.get_state(), joined(path, "state")))
        return made

    def _optimizer(self, node: Any, old: Any, path: str) -> Any:
        held = {
            id(weight)
            for module in self._done.values()
            if isinstance(module, nn.Module)
            for weight in module.parameters()
        }
        if any(id(weight) not in held for group in old.param_groups for weight in group["params"]):
            raise ConfigError(
                f"{path}: expected an optimiser of the parameters of an nn.Module that stands before it, got others: "
                "tensors by themselves are made anew"
            )
        old.load_state_dict(self._value(node["state"], NOTHING, joined(path, "state")))
        return old

    def _module(self, node: Any, old: Any, path: str) -> nn.Module:
        weights = weights_of(old)
        _check_names(node["of"], weights, path)
        with torch.no_grad():
            for name, own in node["of"].items():
                weights[name].copy_(self._value(own, weights[name], joined(path, name)))
        return old

    def _record(self, node: Any, old: Any, path: str) -> Any:
        cls = self._records.get(node["class"])
        if cls is None:
            raise ConfigError(f"{path}: expected one of {', '.join(self._records)}, got {node['class']!r}")
        _check_names(node["of"], names_of(cls), path)
        return cls(**{name: self._value(own, NOTHING, joined(path, name)) for name, own in node["of"].items()})

    def _sequence(self, node: Any, old: Any, path: str) -> Any:
        before = list(old) if isinstance(old, list | tuple | deque) else []
        if isinstance(old, tuple) and len(old) != len(node["of"]):
            raise ConfigError(f"{path}: expected {len(old)} values, got {len(node['of'])}")
        before += [NOTHING] * (len(node["of"]) - len(before))
        values = [self._value(own, before[place], f"{path}[{place}]") for place, own in enumerate(node["of"])]
        if node["is"] == "deque":
            return deque(values, node["most"])
        return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[node["is"]](values)

    def _dict(self, node: Any, old: Any, path: str) -> Any:
        before = old if isinstance(old, dict) else {}
        keys = [self._value(key, NOTHING, path) for key, _ in node["of"]]
        if missing := [key for key in before if key not in keys]:
            raise ConfigError(f"{path}: expected {missing[0]!r} in it, got {', '.join(map(repr, keys)) or 'nothing'}")
        found = {
            key: self._value(own, before.get(key, NOTHING), place(path, key))
            for key, (_, own) in zip(keys, node["of"], strict=True)
        }
        if node["class"] == "dict":
            return found
        self._check_class(node, old, path)
        old.clear()
        old.update(found)
        self._fill(old, node["own"], old, path)
        return old

    def _object(self, node: Any, old: Any, path: str) -> Any:
        self._check_class(node, old, path)
        frozen = is_dataclass(old) and type(old).__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
        made = old
        if frozen or id(old) in self._used:  # the new object has it in two places, the other had two
            made = object.__new__(type(old))
            vars(made).update(vars(old))
        self._used.add(id(old))
        self._done[path] = made  # parts of it may speak of it
        self._fill(made, node["of"], old, path)
        return made

    def _check_class(self, node: Any, old: Any, path: str) -> None:
        if old is NOTHING or old is None:
            raise ConfigError(
                f"{path}: expected what a new object has here or a record, got {node['class']}, which is made later: "
                "make it when the object is made, or list its name in `not_saved` of the class"
            )
        if type(old).__qualname__ != node["class"]:
            raise ConfigError(f"{path}: expected {type(old).__qualname__}, got {node['class']}")

    def _fill(self, made: Any, parts: Mapping[str, Any], old: Any, path: str) -> None:
        """Sets the attributes of an object; a user's own class may have others than it began with."""
        before, outer = attributes(old), self._ours
        self._ours = type(old).__module__.partition(".")[0] == "vbandits"
        if self._ours:
            _check_names(parts, before, path)
        grows = getattr(type(old), "grows", ())
        for name, own in parts.items():
            value = self._value(own, before.get(name, NOTHING), joined(path, name), name in grows)
            object.__setattr__(made, name, value)
        self._ours = outer


def _kind_of(value: Any) -> str:
    """Returns the kind of node that a value of a new object would be."""
    kinds: list[tuple[Any, str]] = [
        (Tensor, "tensor"),
        (np.ndarray, "array"),
        (np.generic, "scalar"),
        (np.random.Generator, "generator"),
        (torch.Generator, "torch generator"),
        (torch.optim.Optimizer, "optimizer"),
        (nn.Module, "module"),
        (dict, "dict"),
    ]
    if found := next((kind for cls, kind in kinds if isinstance(value, cls)), None):
        return found
    return type(value).__name__ if type(value) in (*PLAIN, list, tuple, deque, set, frozenset) else "object"


def _check_form(node: Mapping[str, Any], old: Tensor, path: str, ours: bool, grows: bool) -> None:
    """Raises a ConfigError unless a tensor has the type and the shape of the one in the new object, so far as told."""
    shape, dtype = tuple(node["shape"]), getattr(torch, node["dtype"], None)
    expected = tuple(old.shape)
    if grows and len(shape) == len(expected) > 1:
        shape, expected, dtype = (*shape[:1], *shape[2:]), (*expected[:1], *expected[2:]), old.dtype
    elif not ours and len(shape) == len(expected):
        shape = expected
    if shape != expected:
        raise ConfigError(f"{path}: expected a tensor {list(old.shape)}, got {node['shape']}")
    if dtype != old.dtype:
        raise ConfigError(f"{path}: expected a tensor of {old.dtype}, got {node['dtype']}")


def _check_names(found: Iterable[str], expected: Iterable[str], path: str) -> None:
    """Raises a ConfigError unless there are the names that there should be."""
    found, expected = set(found), set(expected)
    if found != expected:
        lacks, over = sorted(expected - found), sorted(found - expected)
        told = [f"no {', '.join(lacks)}"] * bool(lacks) + [f"{', '.join(over)} too"] * bool(over)
        raise ConfigError(f"{path or 'state'}: expected {', '.join(sorted(expected))}, got {' and '.join(told)}")
