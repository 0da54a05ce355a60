"""Any `torch.nn.Module` as a network of the suite."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vbandits.types import Layer, Weights


@dataclass(frozen=True)
class Module:
    """Configuration of a network that the user writes in PyTorch.

    Attributes:
        factory: called with D features and K outputs, returns an `nn.Module` that maps [N, D] to [N, K]; or
            "my_networks:make", the place of such a function.
        parametrization: "mup" or "sp"; it initialises the weights, the module's own values are not used.
    """

    factory: Callable[[int, int], nn.Module] | str
    parametrization: Literal["mup", "sp"] = "mup"

    def build(self, features: int, outputs: int) -> "ModuleNetwork":
        """Returns the network for D features and K outputs."""
        from vbandits.registry import load

        factory = load(self.factory) if isinstance(self.factory, str) else self.factory
        return from_module(factory(features, outputs), self.parametrization)


def from_module(module: nn.Module, parametrization: str = "mup") -> "ModuleNetwork":
    """Returns any module that maps [N, D] to [N, K] as a network.

    Raises:
        ValueError: where rows of a batch would influence each other (BatchNorm), or there is no weight matrix.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"expected a network whose rows do not influence each other, got {type(part).__name__} at {name!r}: "
                "use GroupNorm or LayerNorm"
            )
    return ModuleNetwork(module.eval(), parametrization)


class ModuleNetwork:
    """The pure function of a module, mapped over replicas and draws."""

    def __init__(self, module: nn.Module, parametrization: str) -> None:
        self.parametrization = parametrization
        self.layers = _layers(module)
        self._module = module
        self._buffers = dict(module.named_buffers())

    def apply(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N K"]:
        """Returns the network's outputs."""
        replicas = x.shape[0]
        draws = max(x.shape[1], *(weight.shape[1] for weight in weights.values()))
        flat = {name: weight.expand(replicas, draws, *weight.shape[2:]).flatten(0, 1)
                for name, weight in weights.items()}  # fmt: skip
        x = x.expand(replicas, draws, *x.shape[2:]).flatten(0, 1)
        return torch.vmap(self._call)(flat, x).unflatten(0, (replicas, draws))

    def _call(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        buffers = {name: value.to(x.device) for name, value in self._buffers.items()}
        return torch.func.functional_call(self._module, {**buffers, **weights}, (x,))


def _layers(module: nn.Module) -> tuple[Layer, ...]:
    """Groups parameters by the submodule that owns them; the first and last weight matrices are input and output."""
    owned = [(name, dict(part.named_parameters(recurse=False))) for name, part in module.named_modules()]
    owned = [(name, parameters) for name, parameters in owned if parameters]
    matrices = [name for name, parameters in owned if any(value.dim() > 1 for value in parameters.values())]
    if not matrices:
        raise ValueError(f"expected a module with at least one weight matrix, got {type(module).__name__} without one")
    return tuple(_layer(name, parameters, matrices) for name, parameters in owned)


def _layer(name: str, parameters: dict[str, nn.Parameter], matrices: list[str]) -> Layer:
    full = {f"{name}.{key}" if name else key: value for key, value in parameters.items()}
    shapes = {key: tuple(value.shape) for key, value in full.items()}
    if name not in matrices:
        width = max(value.numel() for value in full.values())
        values = {key: value.detach().clone() for key, value in full.items()}
        return Layer(name, shapes, width, width, "norm", start=values)
    matrix = next(value for value in full.values() if value.dim() > 1)
    role = "output" if name == matrices[-1] else "input" if name == matrices[0] else "hidden"
    biases = frozenset(key for key, value in full.items() if value.dim() == 1)
    return Layer(name, shapes, matrix[0].numel(), matrix.shape[0], role, biases)
