"""From an object to its state, see `vbandits.state`."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbandits.errors import ConfigError

PLAIN = (bool, int, float, str, type(None))
FIXED = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, partial, type, torch.device, torch.dtype, np.dtype)
"""Kinds of things that hold no state: they are what the declaration makes them."""


@dataclass(frozen=True)
class State:
    """What an object holds: a tree of JSON, and the arrays that it names."""

    tree: Any
    arrays: dict[str, Tensor]


@dataclass(frozen=True)
class Known:
    """What is known of classes before any data are read.

    Attributes:
        declared: parts of a declaration, which an object that is made anew has by itself.
        records: dataclasses and named tuples that are made anew from their fields.
    """

    declared: tuple[type, ...] = ()
    records: tuple[type, ...] = ()


def take(root: Any, known: Known) -> State:
    """Returns the state of an object: of tensors, arrays, numbers, generators, optimisers, and what is made of them.

    Tensors that share memory share it in the state as well, and keep their strides: products of matrices that lie in
    another way have other last bits.

    Raises:
        ConfigError: for what cannot be written as data, with its path.
    """
    return _Taken(known).state(root)


def joined(path: str, name: str) -> str:
    """Returns the path of an attribute."""
    return f"{path}.{name}" if path else name


def place(path: str, key: Any) -> str:
    """Returns the path of an entry of a dict."""
    return f"{path}[{key}]" if path else str(key)


def attributes(value: Any) -> dict[str, Any]:
    """Returns the attributes of an object that are saved."""
    left_out = getattr(type(value), "not_saved", ())
    return {name: own for name, own in vars(value).items() if name not in left_out}


def parts_of(value: Any) -> dict[str, Any]:
    """Returns the fields of a record."""
    return {name: getattr(value, name) for name in names_of(type(value))}


def names_of(record: Any) -> list[str]:
    """Returns the names of the fields of a dataclass or a named tuple."""
    return [field.name for field in fields(record)] if is_dataclass(record) else list(record._fields)


class _Taken:
    """One walk through an object."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._seen: dict[int, tuple[str, Any]] = {}  # by id: where it was first, and itself, so that no id is reused
        self._shared: dict[Any, list[tuple[str, dict[str, Any], Tensor]]] = {}  # tensors by memory

    def state(self, root: Any) -> State:
        """Returns the state."""
        tree, arrays = self._node(root, ""), {}
        for users in self._shared.values():
            whole = next((one for one in users if _is_whole(one[2])), None)
            name, _, tensor = whole or users[0]
            arrays[name] = (tensor if whole else _flat(tensor)).detach().cpu().contiguous()
            for _, node, _ in users:
                node["memory"] = name
        return State(tree, arrays)

    def _node(self, value: Any, path: str) -> Any:
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            finite = not isinstance(value, float) or math.isfinite(value)
            return value if finite else {"is": "float", "value": str(value)}
        if isinstance(value, (*FIXED, *self._known.declared)):
            return {"is": "declared"}
        if id(value) in self._seen:
            return {"is": "same", "as": self._seen[id(value)][0]}
        self._seen[id(value)] = path, value
        return self._new(value, path)

    def _new(self, value: Any, path: str) -> Any:
        """Returns the node of something that was not met before."""
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(np.asarray(value), path, scalar=isinstance(value, np.generic))
        if isinstance(value, np.random.Generator):
            return {"is": "generator", "state": self._node(value.bit_generator.state, joined(path, "state"))}
        if isinstance(value, torch.Generator):
            return {"is": "torch generator", "state": self._node(value.get_state(), joined(path, "state"))}
        if isinstance(value, torch.optim.Optimizer):
            return {"is": "optimizer", "state": self._node(value.state_dict(), joined(path, "state"))}
        if isinstance(value, nn.Module):
            return {"is": "module", "of": self._named(weights_of(value), path)}
        if type(value) in self._known.records:
            return {"is": "record", "class": type(value).__qualname__, "of": self._named(parts_of(value), path)}
        if type(value) in (list, tuple, deque, set, frozenset):
            parts = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            most = {"most": value.maxlen} if isinstance(value, deque) else {}
            of = [self._node(one, f"{path}[{i}]") for i, one in enumerate(parts)]
            return {"is": type(value).__name__, "of": of, **most}
        if isinstance(value, dict):
            pairs = [[self._node(key, path), self._node(own, place(path, key))] for key, own in value.items()]
            node = {"is": "dict", "class": type(value).__qualname__, "of": pairs}
            return node if type(value) is dict else {**node, "own": self._named(attributes(value), path)}
        if hasattr(value, "__dict__") and not isinstance(value, tuple):
            own = self._named(attributes(value), path)
            return {"is": "object", "class": type(value).__qualname__, "of": own}
        raise ConfigError(
            f"{path}: expected tensors, arrays, numbers, texts, generators, lists, dicts and objects of these, got "
            f"{type(value).__qualname__}: it cannot be written as data"
        )

    def _named(self, parts: Mapping[str, Any], path: str) -> dict[str, Any]:
        return {name: self._node(own, joined(path, name)) for name, own in parts.items()}

    def _tensor(self, value: Tensor, path: str) -> dict[str, Any]:
        if value.layout is not torch.strided or value.is_quantized:
            raise ConfigError(f"{path}: expected a dense tensor, got one of layout {value.layout}: write it as one")
        node = {
            "is": "tensor",
            "shape": list(value.shape),
            "stride": list(value.stride()),
            "offset": value.storage_offset(),
            "dtype": str(value.dtype).removeprefix("torch."),
            "device": value.device.type,
            "leaf": value.requires_grad and value.is_leaf,
        }
        key = (value.device, value.untyped_storage().data_ptr()) if value.numel() else path
        self._shared.setdefault(key, []).append((path, node, value))
        return node

    def _array(self, value: np.ndarray, path: str, scalar: bool) -> dict[str, Any]:
        """Returns the node of an array; views of arrays become arrays of their own."""
        try:
            tensor = torch.from_numpy(value.copy(order="K"))
        except TypeError:
            raise ConfigError(f"{path}: expected an array of numbers, got one of type {value.dtype}") from None
        node = self._tensor(tensor, path)
        node["is"] = "scalar" if scalar else "array"
        return node


def _is_whole(tensor: Tensor) -> bool:
    """Says whether a tensor is all of its memory, in order."""
    return tensor.is_contiguous() and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _flat(tensor: Tensor) -> Tensor:
    """Returns all of a tensor's memory in one dimension."""
    return torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Returns what a module holds."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
