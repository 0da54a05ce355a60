"""Networks as pure functions of replica-batched weights."""

from vbandits.networks.mlp import MLP, MLPNetwork
from vbandits.networks.module import Module, ModuleNetwork, from_module

__all__ = ["MLP", "MLPNetwork", "Module", "ModuleNetwork", "from_module"]
