"""How wide networks are initialised and how fast each layer learns.

`sp` is the standard parametrisation; `mup` the maximal-update parametrisation (Yang et al., "Tensor Programs V", 2022,
Table 3), under which the best learning rate does not move with the width; `ntp` the neural-tangent parametrisation
(Jacot, Gabriel and Hongler, 2018), whose weights are N(0, 1) and are multiplied by 1 / sqrt(fan_in) in the forward
pass. Here that multiplier c is absorbed: weights hold c w, with standard deviation c and a learning rate times c^2 (for
Adam times c), which is the same function at every step.

    initial standard deviation   input             hidden            output            bias
    sp                           1 / sqrt(fan_in)  1 / sqrt(fan_in)  1 / sqrt(fan_in)  1
    mup                          1 / sqrt(fan_in)  1 / sqrt(fan_in)  1 / fan_in        1
    ntp                          1 / sqrt(fan_in)  1 / sqrt(fan_in)  1 / sqrt(fan_in)  1
    learning rate of SGD
    sp                           1                 1                 1                 1
    mup                          fan_out           1                 1 / fan_in        fan_out
    ntp                          1 / fan_in        1 / fan_in        1 / fan_in        1
    learning rate of Adam
    sp                           1                 1                 1                 1
    mup                          1                 1 / fan_in        1 / fan_in        1
    ntp                          1 / sqrt(fan_in)  1 / sqrt(fan_in)  1 / sqrt(fan_in)  1

Norm layers start at their identity, have no prior, and learn as biases do.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from vbandits.types import Layer

Parametrization = Literal["mup", "sp", "ntp"]


def std(layer: Layer, parameter: str, parametrization: str) -> float:
    """Returns the standard deviation of a parameter at initialisation, which is also that of its prior."""
    if layer.role == "norm":
        return 0.0
    if parameter in layer.biases:
        return 1.0
    if parametrization == "mup" and layer.role == "output":
        return 1 / layer.fan_in
    return 1 / math.sqrt(layer.fan_in)


def rate(layer: Layer, parameter: str, parametrization: str, optimizer: str = "sgd") -> float:
    """Returns the factor on the learning rate of an optimiser, "sgd" or "adam", for a parameter."""
    adam = optimizer == "adam"
    vector = parameter in layer.biases or layer.role == "norm"
    if parametrization == "sp":
        return 1.0
    if parametrization == "ntp":
        return 1.0 if vector else layer.fan_in ** (-0.5 if adam else -1.0)
    if vector or layer.role == "input":
        return 1.0 if adam else float(layer.fan_out)
    return 1 / layer.fan_in if adam or layer.role == "output" else 1.0


def per_entry(layer: Layer, value: Callable[[Layer, str], float]) -> Tensor:
    """Returns a value of each parameter for every entry of a flattened layer [P]."""
    parts = [(math.prod(shape), value(layer, name)) for name, shape in layer.shapes.items()]
    return torch.cat([torch.full((count,), number, dtype=torch.float64) for count, number in parts])
