"""Problems: native replica-batched bandits, and the adapter and checker for a user's own environments."""

from vbandits.envs.arm_features import ArmFeaturesBandit
from vbandits.envs.base import NativeBandit
from vbandits.envs.classification import Classification
from vbandits.envs.logged import Financial, Jester, Mushroom
from vbandits.envs.noise import HeteroscedasticBandit, LogisticBandit
from vbandits.envs.nonstationary import AbruptBandit, DriftingBandit
from vbandits.envs.synthetic import GaussianBandit, LinearBandit, NeuralBandit, SparseLinearBandit
from vbandits.envs.wheel import Wheel

__all__ = [
    "AbruptBandit",
    "ArmFeaturesBandit",
    "Classification",
    "DriftingBandit",
    "Financial",
    "GaussianBandit",
    "HeteroscedasticBandit",
    "Jester",
    "LinearBandit",
    "LogisticBandit",
    "Mushroom",
    "NativeBandit",
    "NeuralBandit",
    "SparseLinearBandit",
    "Wheel",
]
