"""A dataset is one registered reader, which returns a `Row` for every clip of all its splits."""

from trokens.clips.datasets import finegym, folder, hmdb_ucf, k400, ssv2  # noqa: F401 -- each registers its readers
from trokens.clips.lists import READERS

__all__ = ["READERS"]
