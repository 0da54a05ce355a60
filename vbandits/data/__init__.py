"""Datasets: their original files, what was published of them, scikit-learn's copies, and a user's own files."""

from vbandits.data.catalogue import PUBLISHED
from vbandits.data.loading import load
from vbandits.data.record import Dataset

__all__ = ["PUBLISHED", "Dataset", "load"]
