"""How wide networks are initialised and how fast each layer learns.

`sp` is the standard parametrisation; `mup` the maximal-update parametrisation (Yang et al., "Tensor Programs V", 2022,
Table 3), under which the best learning rate does not move with the width.
"""

import math

import torch
from torch import Tensor

from vbandits.types import Layer


def std(layer: Layer, parameter: str, parametrization: str) -> float:
    """Returns the standard deviation of a parameter at initialisation, which is also that of its prior.

    Norm layers return 0: they start at their identity and have no prior.
    """
    if layer.role == "norm":
        return 0.0
    if parameter in layer.biases:
        return 1.0
    if parametrization == "mup" and layer.role == "output":
        return 1 / layer.fan_in
    return 1 / math.sqrt(layer.fan_in)


def rate(layer: Layer, parameter: str, parametrization: str) -> float:
    """Returns the factor on the learning rate of SGD for a parameter."""
    if parametrization == "sp":
        return 1.0
    if parameter in layer.biases or layer.role in ("input", "norm"):
        return float(layer.fan_out)
    return 1 / layer.fan_in if layer.role == "output" else 1.0


def per_entry(layer: Layer, parametrization: str, value) -> Tensor:
    """Returns `std` or `rate` (given as `value`) for every entry of a flattened layer [P]."""
    return torch.cat(
        [torch.full((math.prod(shape),), value(layer, name, parametrization)) for name, shape in layer.shapes.items()]
    )
