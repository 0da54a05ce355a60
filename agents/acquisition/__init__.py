"""Acquisition: which labels to buy. Draws and features in, rows of the pool out; it knows nothing of networks."""

from vbandits.agents.acquisition.base import Acquisition, Rows, Scored, View
from vbandits.agents.acquisition.batches import Random, ranking
from vbandits.agents.acquisition.covariance import IntegratedVariance, MaxDet
from vbandits.agents.acquisition.diversity import BADGE, CoreSet
from vbandits.agents.acquisition.information import BALD, EPIG, PosteriorSampling
from vbandits.agents.acquisition.joint import BatchBALD
from vbandits.agents.acquisition.scores import Entropy, LeastConfidence, Margin, MeanStd, Variance, VoteEntropy
from vbandits.agents.acquisition.typical import Coverage, TypiClust

__all__ = [
    "BADGE",
    "BALD",
    "EPIG",
    "Acquisition",
    "BatchBALD",
    "CoreSet",
    "Coverage",
    "Entropy",
    "IntegratedVariance",
    "LeastConfidence",
    "Margin",
    "MaxDet",
    "MeanStd",
    "PosteriorSampling",
    "Random",
    "Rows",
    "Scored",
    "TypiClust",
    "Variance",
    "View",
    "VoteEntropy",
    "ranking",
]
