"""Data sets that people hand in: files, folders of files, and addresses of either."""

from homeostat.adapters.datasets.dataset import Dataset, open_dataset
from homeostat.adapters.datasets.profiling import Profiled

__all__ = ["Dataset", "Profiled", "open_dataset"]
