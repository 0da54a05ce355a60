"""Datasets: their original files, what was published of them, scikit-learn's copies, and a user's own files."""

from vbandits.envs.data.catalogue import PUBLISHED
from vbandits.envs.data.loading import load
from vbandits.envs.data.record import Dataset

__all__ = ["PUBLISHED", "Dataset", "load"]
