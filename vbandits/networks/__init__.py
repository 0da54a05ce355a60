"""Networks as pure functions of replica-batched weights."""

from vbandits.networks.lenet import LeNet5
from vbandits.networks.mlp import MLP, MLPNetwork
from vbandits.networks.module import Module, ModuleNetwork, from_module
from vbandits.networks.resnet import ResNet18

__all__ = ["MLP", "LeNet5", "MLPNetwork", "Module", "ModuleNetwork", "ResNet18", "from_module"]
