"""Problems: bandits and active learning, native and in lockstep; adapter and checker for a user's own environments."""

from vbandits.data.pool import Pool
from vbandits.data.pools import load_pool
from vbandits.envs.active.environment import PoolActiveLearning
from vbandits.envs.active.stream import StreamActiveLearning
from vbandits.envs.arm_features import ArmFeaturesBandit
from vbandits.envs.base import NativeBandit
from vbandits.envs.classification import Classification
from vbandits.envs.logged import Financial, Jester, Mushroom
from vbandits.envs.noise import HeteroscedasticBandit, LogisticBandit
from vbandits.envs.nonstationary import AbruptBandit, DriftingBandit
from vbandits.envs.reward_table import RewardTable
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
    "Pool",
    "PoolActiveLearning",
    "RewardTable",
    "SparseLinearBandit",
    "StreamActiveLearning",
    "Wheel",
    "load_pool",
]
